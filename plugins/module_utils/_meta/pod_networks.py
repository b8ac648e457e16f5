# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of one request where the configuration alone does not name them: the pod's, found
out by the API, the pod's annotations and files, and told to the pod.
"""

from __future__ import annotations

from .._cni import errors
from . import conf, devices, network_status, networks, pods

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .._cni.skel import Request
    from .._kube_client.client import Client
    from .._kube_client.kubeconfig import Access
    from .log import Log
    from .state import Attached

    # How to reach the API, seconds for all requests.
    Connect = Callable[[Access, float], Client]

# What the API may take of an ADD before it, at most.
_API_SECONDS = 15


def connect(access: Access, seconds: float) -> Client:
    """Return a client of the API whose requests may take so long in all."""
    from .._kube_client import client as kube

    return kube.Client(access, seconds)


def on_disk(configuration: conf.MetaConf, log: Log) -> list[conf.Delegate]:
    """Return what can be known of the networks without the API and the pod; raise Error."""
    delegates = networks.Resolver(configuration, devices=devices.Devices(), log=log).delegates()
    conf.name_interfaces(delegates, configuration.generation)
    return delegates


class PodNetworks:
    """The networks of one request, and the API where they are asked for and told.

    connect: as the function of that name; log: takes a level and a sentence.
    """

    def __init__(
        self,
        request: Request,
        configuration: conf.MetaConf,
        *,
        connect: Connect,
        devices: devices.Devices,
        log: Log,
    ) -> None:
        self.request = request
        self.configuration = configuration
        self.devices = devices
        self.log = log
        self._connect = connect
        self._api: Client | None = None
        self._pod: pods.Pod | None = None

    def delegates(self) -> list[conf.Delegate]:
        """Return the networks, the master first, every one with its interface; raise Error."""
        configuration = self.configuration
        access = self._access()
        if access is None and configuration.is_complete:
            return configuration.delegates
        if access is not None:
            seconds = min(_API_SECONDS, configuration.timeout / 4)
            self._api = self._connect(access, seconds)
        if self.request.command == "ADD":
            self._pod = pods.identify(self.request, configuration, self._api)
        elif configuration.generation == conf.LEGACY:
            return configuration.delegates
        try:
            resolver = networks.Resolver(
                configuration, pod=self._pod, api=self._api, devices=self.devices, log=self.log
            )
            delegates = resolver.delegates()
            conf.name_interfaces(delegates, configuration.generation)
        except errors.Error as error:
            self._tell("Warning", "NoNetworkFound", str(error))
            raise
        return delegates

    def publish(self, attached: list[Attached]) -> None:
        """Tell the pod what it was attached to, as NPWG has it; raise Error."""
        if self._api is None or self._pod is None or not self._tells:
            return
        self._api.limit(min(_API_SECONDS, self.configuration.timeout / 8))
        if not network_status.publish(self._api, self._pod, attached):
            self.log(
                "error", f"The pod {self._pod} is gone, so its networks are not reported to anybody"
            )
            return
        for one in attached:
            if not one.chained:
                self._tell("Normal", "AddedInterface", network_status.added(one))

    def close(self) -> None:
        """Close the connection to the API."""
        if self._api is not None:
            self._api.close()

    @property
    def _tells(self) -> bool:
        return self.configuration.generation != conf.LEGACY

    def _tell(self, kind: str, reason: str, message: str) -> None:
        if self._api is not None and self._pod is not None and self._tells:
            network_status.tell(
                self._api, self._pod, self.log, kind=kind, reason=reason, message=message
            )

    def _access(self) -> Access | None:
        """How to reach the API: by the kubeconfig, else as a pod does, else not."""
        if not self.configuration.may_ask_api(self.request.environ):
            return None
        from .._kube_client import kubeconfig

        if self.configuration.kubeconfig:
            return kubeconfig.load(self.configuration.kubeconfig)
        return kubeconfig.in_cluster(self.request.environ)
