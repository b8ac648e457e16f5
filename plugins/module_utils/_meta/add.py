# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ADD: attach a container to all of its networks, or to none.

The master comes first, then the others in the order of the configuration. When one fails, all that
was tried is detached again.
"""

from __future__ import annotations

import time

from .._cni import errors, netns, runtime
from .._cni import result as results
from .._cni.quick_os import os
from .._names import NO_EXECUTABLE
from . import conf, flannel, lock
from . import state as states
from .in_process import InProcess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._cni.rtnetlink import Route
    from .._cni.skel import Request
    from .addresses import Others
    from .conf import Delegate, MetaConf
    from .log import Log
    from .plugin import Networks, Plugin

# Of an ADD's time this share is kept back, so that there is time to undo it.
_UNDO_SHARE = 1 / 6
# What a default network may take to become ready, and an operation before this one to end, at most.
_READY_SECONDS = 45
_LOCK_SECONDS = 60


def add(plugin: Plugin, request: Request) -> dict[str, Any]:
    """Attach to all networks; return the master's result in the request's version.

    Raises Error; nothing is attached then, or the state stays, by which a DEL finds the rest.
    """
    begin = time.monotonic()
    configuration = conf.parse(request.conf)
    log = plugin.logger(request)
    log(
        "verbose",
        f"The configuration {configuration.name} is read as {configuration.generation}:"
        f" {configuration.why}",
    )
    if configuration.unknown:
        names = ", ".join(configuration.unknown)
        log("error", f"The configuration has keys that mean nothing here: {names}")
    if plugin.is_delegate(request):
        raise plugin.delegates_to_itself("One of its delegates calls it again.")
    _wait_until_ready(configuration, begin + min(_READY_SECONDS, configuration.timeout / 4))
    with lock.held(
        configuration.state_directory,
        request.container_id,
        request.interface,
        min(_LOCK_SECONDS, configuration.timeout / 4),
    ):
        networks = plugin.networks(request, configuration, log)
        try:
            one = _Add(plugin, request, configuration, log)
            return one.attach_all(networks, begin + configuration.timeout * (1 - _UNDO_SHARE))
        except errors.Error as error:
            log("error", str(error))
            raise
        finally:
            networks.close()


def _wait_until_ready(configuration: MetaConf, deadline: float) -> None:
    """Wait for the file by which the default network says that it is ready (NPWG 6.2)."""
    while configuration.readiness_file and not os.path.exists(configuration.readiness_file):
        if time.monotonic() >= deadline:
            raise errors.Error(
                errors.TRY_AGAIN_LATER,
                f"The default network is not ready: there is no {configuration.readiness_file}.",
            )
        time.sleep(min(0.25, max(deadline - time.monotonic(), 0.01)))


class _Add:
    """One ADD, whose attachment's lock is held."""

    def __init__(self, plugin: Plugin, request: Request, configuration: MetaConf, log: Log) -> None:
        self.plugin = plugin
        self.request = request
        self.configuration = configuration
        self.log = log
        self.store = states.Store(configuration.state_directory)

    def attach_all(self, networks: Networks, deadline: float) -> dict[str, Any]:
        request, configuration = self.request, self.configuration
        delegates = networks.delegates()
        path = runtime.search_path(configuration.bin_dirs, request.path)
        self.plugin.refuse_itself(request, delegates, path, configuration.in_process)
        self._check_not_attached(deadline)
        state = states.State(
            conf_name=configuration.name,
            container_id=request.container_id,
            interface=request.interface,
            netns=request.netns,
            path=path,
            timeout=configuration.timeout,
            attached=self._planned(delegates),
            in_process=configuration.in_process,
            namespace=netns.mark(request.netns),
        )
        self._check_free(state)
        for delegate in delegates:
            flannel.check_lease(delegate.network)
            if "ips" in delegate.capability_args:
                flannel.check_addresses(delegate.network, delegate.capability_args["ips"])
        cni = self.plugin.runtime(request, path, deadline=deadline, in_process=state.in_process)
        if state.in_process:
            _keep_ahead(cni, state)
        self.store.begin(state)
        tried: list[states.Attached] = []
        behind = [one for one in state.attached[1:] if not one.chained]
        is_told = all(flannel.tells_routes(one.network) for one in behind)
        before: dict[object, Route] | None = None
        try:
            for one, delegate in zip(state.attached, delegates):
                if tried and not is_told and before is None:
                    before = self.plugin.default_routes(request.netns)
                if one.chained and not tried[-1].chained:
                    self._settle_default_routes(tried, delegates, before)
                tried.append(one)
                self._describe_device(one, delegate)
                self._attach(cni, one, self._prev_result(state, one))
                if delegate.others is not None:
                    self._check_result(one, delegate.others)
                self.log(
                    "debug",
                    f"{one.interface} of network {one.raw['name']} is attached: {one.result}",
                )
            if not tried[-1].chained:
                self._settle_default_routes(tried, delegates, before)
            answer = results.convert(state.attached[0].final_result, request.version)
            self.store.write(state)
            self.plugin.tell_guard(self.store, state)
            networks.publish(state.attached)
        except Exception as error:  # whatever it was, nothing stays half attached
            failure = errors.as_error(error, "The meta-plugin failed.")
            raise self._undo(state, tried, failure) from None
        return answer

    def _planned(self, delegates: list[Delegate]) -> list[states.Attached]:
        """Return the delegates as the state keeps them, with what the plugins are told of what the
        pod wants.
        """
        master = conf.interface_of(delegates[0], self.request.interface)
        planned = []
        for delegate in delegates:
            interface = (
                master if delegate.chained else conf.interface_of(delegate, self.request.interface)
            )
            # what the runtime asks for is meant for the default network alone (NPWG 7.5)
            wanted = dict(self.configuration.runtime_config if delegate is delegates[0] else {})
            wanted.update(delegate.capability_args)
            able = delegate.network.capabilities
            file = None
            if delegate.device or "CNIDeviceInfoFile" in able:
                file = self.plugin.host_devices().file(
                    delegate.full_name or delegate.raw["name"], self.request.container_id, interface
                )
                wanted.setdefault("CNIDeviceInfoFile", file)
            planned.append(
                states.Attached(
                    delegate.raw,
                    interface,
                    capability_args={key: value for key, value in wanted.items() if key in able},
                    full_name=delegate.full_name,
                    chained=delegate.chained,
                    device_file=file,
                    args=delegate.args,
                )
            )
        return planned

    def _describe_device(self, one: states.Attached, delegate: Delegate) -> None:
        """Give the plugin the description of the device that it gets; raise OSError."""
        if one.device_file and delegate.device and delegate.resource:
            self.plugin.host_devices().prepare(delegate.resource, delegate.device, one.device_file)

    def _check_not_attached(self, deadline: float) -> None:
        """Raise Error where there is a state of the attachment already.

        After a reboot no namespace of before is there, and a caller that uses container ids again
        has had no occasion to call DEL: that is made up for.
        """
        request, store = self.request, self.store
        state = store.read_or_put_aside(request.container_id, request.interface)
        if state is None:
            return
        if not netns.is_of_former_boot(state.namespace):
            raise errors.Error(
                errors.ALREADY_ATTACHED,
                f"The container {request.container_id} is already attached by {request.interface}.",
                f"Its state is in {store.directory}; call DEL first.",
            )
        from . import delete  # after a reboot

        self.log("verbose", "What it was attached to before the reboot is detached first")
        try:
            seconds = (deadline - time.monotonic()) / 2
            delete.detach(self.plugin, request, store, state, seconds=seconds)
        except errors.Error as error:
            raise error.within("What was attached before the reboot is not detached") from None

    def _check_free(self, state: states.State) -> None:
        """Raise Error where an interface is taken, or asked for twice."""
        own = [one for one in state.attached if not one.chained]
        wanted = [one.interface for one in own]
        for interface in wanted:
            if wanted.count(interface) > 1:
                names = [one.raw["name"] for one in own if one.interface == interface]
                raise errors.Error(
                    errors.INVALID_CONFIGURATION,
                    f"The networks {' and '.join(names)} would both have interface {interface}.",
                    "Give one of them another name.",
                )
        for one in own:
            flannel.check_unused(one.network, state.container_id)
        # Looked at before any delegate is called: undoing would take away an interface that was not
        # ours.
        taken = sorted(self.plugin.interfaces(state.netns).intersection(wanted))
        if taken:
            raise errors.Error(
                errors.ALREADY_ATTACHED,
                f"The network namespace {state.netns} has an interface {', '.join(taken)} already.",
            )

    def _prev_result(self, state: states.State, one: states.Attached) -> dict[str, Any] | None:
        """What a delegate's first plugin works on: what we were given for the master, the master's
        own result for a chained one.
        """
        master = state.attached[0]
        if one.chained:
            return results.convert(master.final_result, one.network.version)
        given = self.configuration.prev_result
        if one is not master or not given:
            return None
        return results.convert(
            dict({"cniVersion": self.request.version}, **given), one.network.version
        )

    def _attach(
        self, cni: runtime.Runtime, one: states.Attached, prev_result: dict[str, Any] | None
    ) -> None:
        network = one.network
        attachment = one.attachment(cni, self.request.container_id, self.request.netns)
        try:
            one.result = cni.add(network, attachment, prev_result)
            if one.args:
                self._check_told(one)
        except errors.Error as error:
            # flanneld may have gone meanwhile, which is a better answer than the plugin's
            flannel.check_lease(network)
            raise error.within(one.place) from None
        one.kept = flannel.remembered(network, self.request.container_id)

    @staticmethod
    def _check_result(one: states.Attached, others: Others) -> None:
        """Raise Error where plugins of a network that users defined answer what they may not."""
        from . import definitions  # for what pods ask for

        try:
            definitions.check_result(one)
            others.check_result(one.final_result)
        except errors.Error as error:
            raise error.within(one.place) from None

    @staticmethod
    def _check_told(one: states.Attached) -> None:
        """Raise Error where plugins have not done what CNI_ARGS say: they need not know them."""
        from .._cni import netlink

        latest = results.to_latest(one.final_result)
        given = {netlink.canonical(item["address"]) for item in latest["ips"]}
        given |= {
            str(item.get("mac")).lower() for item in latest["interfaces"] if item.get("sandbox")
        }
        wanted = [netlink.canonical(text) for text in one.args.get("IP", "").split(",") if text]
        if "MAC" in one.args:
            wanted.append(one.args["MAC"].lower().replace("-", ":"))
        missing = [text for text in wanted if text not in given]
        if missing:
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"The pod asks for {', '.join(map(str, missing))}, but did not get it: none of the"
                " network's plugins has the capability, or does what CNI_ARGS say.",
                "Add `ips` or `mac` to the `capabilities` of a plugin that can do it, or remove it"
                " from the pod's annotation.",
            )

    def _settle_default_routes(
        self,
        attached: list[states.Attached],
        delegates: list[Delegate],
        before: dict[object, Route] | None,
    ) -> None:
        """Leave one default route of each family, where another than the master may have one.

        before: those there were when the master alone was attached; None where the plugins of the
        others tell all that they make.
        """
        told = [delegate.default_route for delegate in delegates[: len(attached)]]
        if all(gateways is None for gateways in told) and not any(
            results.default_families(one.final_result) for one in attached[1:]
        ):
            if before is None:
                return
            if self.plugin.default_routes(self.request.netns).keys() == before.keys():
                return
        from . import gateway

        gateway.settle(
            self.request.netns, list(zip(attached, told)), self.configuration.service_ranges, before
        )

    def _undo(
        self, state: states.State, tried: list[states.Attached], error: errors.Error
    ) -> errors.Error:
        """Detach what was tried, last first, the one that failed included; return the error to
        answer with.
        """
        from . import delete  # where an ADD fails

        for one in tried:
            one.kept = one.kept or flannel.remembered(one.network, state.container_id)
        try:
            place = delete.namespace(self.request.netns, state)
        except (errors.Error, OSError) as more:
            return error.with_details(f"It was not undone, DEL will do it: {more}")
        failed = delete.detach_all(
            self.plugin.runtime(
                self.request,
                state.path,
                in_process=state.in_process,
                when_missing=NO_EXECUTABLE,  # they may have gone since
            ),
            tried,
            container_id=state.container_id,
            netns=place,
            deadline=time.monotonic() + state.timeout * _UNDO_SHARE,
        )
        try:
            if failed:
                self.store.write(state)
            else:
                self.store.remove(state)
        except errors.Error as more:
            failed.append(more)
        if not failed:
            return error
        return error.with_details(
            f"Undoing it failed as well, DEL will try again: {errors.join(failed)}"
        )


def _keep_ahead(cni: runtime.Runtime, state: states.State) -> None:
    """What flannel's DEL will need is on the disk before flannel's ADD, where it is done here."""
    if isinstance(cni.execute, InProcess):
        for one in state.attached:
            one.kept = cni.execute.will_keep(
                one.network, state.container_id, one.capability_args, state.path
            )
