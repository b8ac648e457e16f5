# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pod is told when a network is taken out of it while it runs: its annotation network-status
says what it still has, an Event what it lost. With the node's own account.
"""

from __future__ import annotations

from .._cni import errors
from .._kube_client import client, kubeconfig
from .._meta import network_status, pods

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .._meta.state import Attached, State

KUBECONFIG = "/etc/multinet/kubernetes/meta-plugin.kubeconfig"
_SECONDS = 5.0  # for one pod
REASON = "RemovedInterface"


class PodNews:
    """sandboxes: as cri.sandboxes() returns them; connect: returns the API's client.

    problems: sentences, one for each pod that could not be told; nothing else depends on it.
    """

    def __init__(
        self,
        sandboxes: Iterable[dict[str, Any]],
        connect: Callable[[], client.Client] | None = None,
    ) -> None:
        self.problems: list[str] = []
        self._pods = {
            one["container"]: pods.Pod(one["namespace"], one["name"], one["uid"], {})
            for one in sandboxes
        }
        self._connect = connect or _connect
        self._api: client.Client | None = None
        self._is_away = False

    def lost(self, state: State, lost: Attached) -> None:
        """Tell the pod of a state, from which `lost` has been taken already."""
        pod = self._pods.get(state.container_id)
        if pod is None or self._is_away:
            return
        left = [one for one in state.attached if one.result]
        has_first = any(one.interface == state.interface for one in left)
        try:
            self._api = self._api or self._connect()
            self._api.limit(_SECONDS)
            if network_status.publish(self._api, pod, left, has_default=has_first):
                network_status.tell(
                    self._api,
                    pod,
                    lambda dummy, sentence: self.problems.append(sentence),
                    kind="Warning",
                    reason=REASON,
                    message=_message(lost),
                )
        except (errors.Error, OSError) as error:
            # one that is away is asked once, not for every pod
            self._is_away = getattr(error, "status", None) is None
            self.problems.append(f"The pod {pod} was not told that it lost {lost.place}: {error}")


def _connect() -> client.Client:
    return client.Client(kubeconfig.load(KUBECONFIG))


def _message(lost: Attached) -> str:
    name = lost.full_name or lost.raw["name"]
    return (
        f"Removed {lost.interface} from {name}: the network was removed from this node. Delete the"
        " pod, so that a new one starts."
    )
