# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ADD, DEL, CHECK, STATUS and GC of several networks at once.

ADD attaches the master first, then the others in the order of the configuration, and undoes
everything when one fails. DEL, CHECK and GC go by the state that ADD left (state.py), not by the
configuration they are given.
"""

from __future__ import annotations

import os
import time
from _signal import SIG_IGN, SIGTERM, signal  # as in invoke.py

from .._cni import errors, files, invoke, netns, runtime, skel
from .._cni import result as results
from . import conf, flannel, lock
from . import state as states

ABOUT = "multinet: attaches a container to several networks by delegating to other CNI plugins"
# Of an ADD's time this share is kept back, so that there is time to undo it.
_UNDO_SHARE = 1 / 6
# What the API may take of an ADD before it, and what a default network may take to become ready, at
# most (seconds).
_API_SECONDS = 15
_READY_SECONDS = 45
_LOCK_SECONDS = 60
_GC_LOCK_SECONDS = 10
# The attachments that stay when GC comes: the specification's key, and the one that an earlier text
# of it had.
_VALID_KEYS = ("cni.dev/valid-attachments", "cni.dev/attachments")
# Set for delegates: whoever finds it set was started, by whatever detour, by itself.
_MARK = "MULTINET_DELEGATING"
# Delegates do one thing after the other; Go's runtime would prepare for as many at once as the host
# has processors. What the runtime's own environment says goes first.
_DELEGATES_DEFAULTS = {"GOMAXPROCS": "1"}


class Plugin:
    """The handlers of the commands, over what they touch: execute (an invoke.Exec), interfaces
    (path of a namespace -> set of names),
    relay (bytes a delegate wrote to stderr), own_file (str or None: our own executable), connect
    (takes a kubeconfig.Access, environment and seconds, returns a kube.Client), devices (a
    devices.Devices), addresses (path of a namespace, interface -> set of addresses); None for the
    last
    three: those of the host.
    """

    def __init__(
        self,
        execute=None,
        interfaces=netns.interfaces,
        relay=invoke.relay_stderr,
        own_file=None,
        connect=None,
        devices=None,
        addresses=None,
    ):
        self.execute = execute or invoke.Exec()
        self.interfaces = interfaces
        self.relay = relay
        self.own_file = own_file
        self.connect = connect
        self.devices = devices
        self.addresses = addresses

    def handlers(self):
        """Return what skel.main() dispatches to."""
        return {
            "ADD": self.add,
            "DEL": self.delete,
            "CHECK": self.check,
            "STATUS": self.status,
            "GC": self.gc,
        }

    # ADD

    def add(self, request):
        """Attach to all networks or to none; return the master's result in the request's version."""
        begin = time.monotonic()
        configuration = conf.parse(request.conf)
        log = _log(request)
        log(
            "verbose",
            f"The configuration {configuration.name} is meant in the world of"
            f" {configuration.world}: {configuration.why}",
        )
        if configuration.unknown:
            log(
                "error",
                "The configuration has keys that mean nothing here:"
                f" {', '.join(configuration.unknown)}",
            )
        if request.environ.get(_MARK):
            raise _delegates_to_itself("One of its delegates calls it again.")
        _wait_until_ready(configuration, begin + min(_READY_SECONDS, configuration.timeout / 4))
        with lock.held(
            configuration.state_directory,
            request.container_id,
            request.interface,
            min(_LOCK_SECONDS, configuration.timeout / 4),
        ):
            wanted = Wanted(self, request, configuration, log)
            try:
                return self._add(request, configuration, wanted, begin, log)
            except errors.Error as error:
                log("error", str(error))
                raise
            finally:
                wanted.close()

    def _add(self, request, configuration, wanted, begin, log):
        delegates = wanted.delegates()
        path = _path(request, configuration.bin_dir)
        self._refuse_ourselves(request, delegates, path)
        store = states.Store(configuration.state_directory)
        state = states.State(
            configuration.name,
            request.container_id,
            request.interface,
            request.netns,
            path,
            configuration.timeout,
            self._attached(request, configuration, delegates),
            configuration.in_process,
        )
        self._check_free(store, state)
        for delegate in delegates:
            flannel.check_lease(delegate.network)
        calls = self._runtime(
            request, path, begin + configuration.timeout * (1 - _UNDO_SHARE), state.in_process
        )
        for attached in state.attached if state.in_process else ():
            attached.kept = calls.execute.will_keep(
                attached.network, state.container_id, attached.capability_args, path
            )
        store.begin(state)
        tried = []
        gateways = (
            [delegate.default_route for delegate in delegates]
            if any(delegate.default_route is not None for delegate in delegates)
            else None
        )
        try:
            for number, attached in enumerate(state.attached):
                tried.append(attached)
                attached.result = self._attach(
                    calls,
                    request,
                    attached,
                    self._prev_result(request, configuration, state, number),
                )
                attached.kept = flannel.remembered(attached.network, request.container_id)
                if gateways and not attached.chained:
                    from . import gateway  # where a pod says which network has the default route

                    gateway.apply(request.netns, attached, gateways[number])
                log(
                    "debug",
                    f"{attached.interface} of network {attached.raw['name']} is attached:"
                    f" {attached.result}",
                )
            answer = results.convert(state.attached[0].result, request.version)
            store.write(state)
            wanted.publish(state.attached)
        except Exception as error:  # whatever it was, nothing stays half attached
            raise self._undo(store, state, tried, request, _as_error(error)) from None
        return answer

    def _attached(self, request, configuration, delegates):
        """Return the delegates as the state keeps them (list of states.Attached), with what the
        plugins are told of what the pod wants.
        """
        master = conf.interface_of(delegates[0], request.interface)
        attached = []
        for number, delegate in enumerate(delegates):
            interface = (
                master if delegate.chained else conf.interface_of(delegate, request.interface)
            )
            # what the runtime asks for is meant for the default network alone (NPWG 7.5)
            wanted = dict(
                configuration.runtime_config if number == 0 else {}, **delegate.capability_args
            )
            able = {
                name
                for plugin in delegate.network.plugins
                for name, supported in (plugin.get("capabilities") or {}).items()
                if supported
            }
            file = (
                self._device_file(request, delegate, interface)
                if delegate.device or "CNIDeviceInfoFile" in able
                else None
            )
            if file:
                wanted.setdefault("CNIDeviceInfoFile", file)
            given = {name: value for name, value in wanted.items() if name in able}
            attached.append(
                states.Attached(
                    delegate.raw, interface, None, given, delegate.full_name, delegate.chained, file
                )
            )
        return attached

    def _device_file(self, request, delegate, interface):
        file = self.host_devices().file(
            delegate.full_name or delegate.raw["name"], request.container_id, interface
        )
        if delegate.device and delegate.resource:
            self.host_devices().prepare(delegate.resource, delegate.device, file)
        return file

    def host_devices(self):
        """Return the devices.Devices."""
        if self.devices is None:
            from . import devices  # where a network has devices

            self.devices = devices.Devices()
        return self.devices

    @staticmethod
    def _prev_result(request, configuration, state, number):
        """What a delegate's first plugin works on: what we were given for the master, the master's
        own result for a chained one.
        """
        attached = state.attached[number]
        if attached.chained:
            return results.convert(state.attached[0].result, attached.network.version)
        if number or not configuration.prev_result:
            return None
        return results.convert(
            dict({"cniVersion": request.version}, **configuration.prev_result),
            attached.network.version,
        )

    @staticmethod
    def _attach(calls, request, attached, prev_result):
        network = attached.network
        attachment = runtime.Attachment(
            request.container_id,
            request.netns,
            attached.interface,
            capability_args=attached.capability_args,
        )
        try:
            return calls.add(network, attachment, prev_result)
        except errors.Error as error:
            flannel.check_lease(
                network
            )  # flanneld may have gone while we were at it, which is a better answer than the plugin's
            raise _place(error, attached) from None

    def _undo(self, store, state, tried, request, error):
        """Detach what was tried, last first, the one that failed included; return the error to
        answer with.
        """
        for one in tried:
            one.kept = one.kept or flannel.remembered(one.network, state.container_id)
        calls = self._runtime(request, state.path, in_process=state.in_process)
        failed = self._detach_all(
            calls,
            state.container_id,
            state.netns,
            tried,
            time.monotonic() + state.timeout * _UNDO_SHARE,
        )
        try:
            if failed:
                store.write(state)
            else:
                store.remove(state)
        except errors.Error as more:
            failed.append(more)
        return (
            error.with_details(
                f"Undoing it failed as well, DEL will try again: {errors.join(failed)}"
            )
            if failed
            else error
        )

    def _check_free(self, store, state):
        if self._read(store, state.container_id, state.interface) is not None:
            raise errors.Error(
                errors.ALREADY_ATTACHED,
                f"The container {state.container_id} is attached by {state.interface} already.",
                f"Its state is in {store.directory}; DEL comes first.",
            )
        own = [one for one in state.attached if not one.chained]
        wanted = [one.interface for one in own]
        for interface in wanted:
            if wanted.count(interface) > 1:
                raise errors.Error(
                    errors.INVALID_CONFIGURATION,
                    f"Two networks would have the interface {interface}.",
                    "Give one of them another name.",
                )
        for one in own:
            flannel.check_unused(one.network, state.container_id)
        # Looked at before any delegate is called: undoing would take away an interface that was not
        # ours.
        taken = sorted(self.interfaces(state.netns).intersection(wanted))
        if taken:
            raise errors.Error(
                errors.ALREADY_ATTACHED,
                f"The network namespace {state.netns} has an interface {', '.join(taken)} already.",
            )

    def _refuse_ourselves(self, request, delegates, path):
        calls = self._runtime(request, path)
        for delegate in delegates:
            for file in calls.find(delegate.network):
                if _same_program(file, self.own_file):
                    raise _delegates_to_itself(
                        f"The plugin {file} of the network {delegate.network.name} is the"
                        " meta-plugin."
                    )

    # DEL

    def delete(self, request):
        """Detach from all networks of the state; no state is no failure."""
        if request.environ.get(_MARK):
            return  # we refused that ADD, so there is nothing to undo
        directory = conf.state_directory(request.conf)
        if request.conf.get("readinessindicatorfile") and not os.path.exists(
            str(request.conf["readinessindicatorfile"])
        ):
            _log(request)(
                "error",
                "The default network is not ready: there is no"
                f" {request.conf['readinessindicatorfile']}",
            )
        with lock.held(
            directory, request.container_id, request.interface, _patience(request), needed=False
        ):
            self._delete(request, states.Store(directory))

    def _delete(self, request, store):
        try:
            state = store.read(request.container_id, request.interface)
        except states.Corrupt as corrupt:
            error = _corrupt(corrupt)
            try:
                self._delete_by_conf(request)
            except errors.Error as more:
                error = error.with_details(str(more))
            raise error from None
        if state is None:
            try:
                store.discard(request.container_id, request.interface)
            except OSError:
                pass  # half of a state that never was; it stands for nothing
            # Delegates that go by the container alone would take away what another interface of it
            # still uses.
            if not store.interfaces_of(request.container_id):
                self._delete_by_conf(request)
            return
        self._delete_state(store, state, request)

    def _delete_state(self, store, state, request):
        self._keep(store, state)
        calls = self._runtime(
            request, _merge(request.path, state.path), in_process=state.in_process
        )
        there = request.netns or (state.netns if os.path.exists(state.netns) else "")
        failed = self._detach_all(
            calls, state.container_id, there, state.attached, time.monotonic() + state.timeout
        )
        if failed:
            error = errors.join(failed)
            _log(request)("error", str(error))
            raise error  # and the state stays, for the next DEL
        store.remove(state)

    @staticmethod
    def _keep(store, state):
        """Of an ADD that was killed, what its flannel plugins need is not in the state yet."""
        unkept = [one for one in state.attached if not one.kept]
        for one in unkept:
            one.kept = flannel.remembered(one.network, state.container_id)
        if any(one.kept for one in unkept):
            try:
                store.write(state)
            except errors.Error:
                pass  # a full disk; taking away goes on

    def _delete_by_conf(self, request):
        """Without a state, what the configuration names is detached as well as it can be: a state
        may have been lost.
        """
        if not request.conf.get("delegates") and not request.conf.get("clusterNetwork"):
            return
        try:
            configuration = conf.parse(request.conf)
            delegates = configuration.delegates
            if configuration.cluster_network:
                delegates = Wanted(self, request, configuration, _log(request)).on_disk()
        except errors.Error:
            return  # nothing can have been attached by it
        attached = [
            states.Attached(one.raw, conf.interface_of(one, request.interface))
            for one in delegates
            if not one.chained
        ]
        if os.path.exists(request.netns):
            # An ADD that was refused is followed by a DEL as well: what is not there is not
            # touched, others may have state under the same id.
            present = self.interfaces(request.netns)
            attached = [one for one in attached if one.interface in present]
        calls = self._runtime(
            request, _path(request, configuration.bin_dir), in_process=configuration.in_process
        )
        failed = self._detach_all(
            calls,
            request.container_id,
            request.netns,
            attached,
            time.monotonic() + configuration.timeout,
        )
        if failed:
            raise errors.join(failed)

    def _detach_all(self, calls, container_id, there, attached, deadline):
        """Detach every one, last first, and return the list of Errors.

        Each may use its share of the time that is left, so none is left out.
        """
        failed = []
        for left, one in zip(range(len(attached), 0, -1), reversed(attached)):
            now = time.monotonic()
            calls.deadline = now + max(deadline - now, 1.0) / left
            try:
                attachment = runtime.Attachment(
                    container_id, there, one.interface, capability_args=one.capability_args
                )
                flannel.put_back(one.network, container_id, one.kept)
                calls.delete(one.network, attachment, one.result)
                if one.device_file:
                    files.remove(one.device_file)
            except errors.Error as error:
                failed.append(_place(error, one))
            except OSError as error:
                failed.append(
                    _place(
                        errors.Error(
                            errors.IO_FAILURE,
                            f"{one.device_file} cannot be removed.",
                            error.strerror,
                        ),
                        one,
                    )
                )
        return failed

    # CHECK, STATUS, GC

    def check(self, request):
        """Every interface of the state is there, and every delegate that knows CHECK agrees."""
        store = states.Store(conf.state_directory(request.conf))
        state = self._read(store, request.container_id, request.interface)
        if state is None:
            raise errors.Error(
                errors.UNKNOWN_CONTAINER,
                f"The container {request.container_id} is not attached by {request.interface}.",
            )
        present = self.interfaces(request.netns)
        calls = self._runtime(
            request,
            _merge(request.path, state.path),
            time.monotonic() + state.timeout,
            state.in_process,
        )
        for attached in state.attached:
            if attached.result is None:
                raise _place(
                    errors.Error(errors.UNKNOWN_CONTAINER, "Its ADD never ended."), attached
                )
            latest = results.to_latest(attached.result)
            interface = _inside(latest["interfaces"], attached.interface)
            if interface not in present:
                raise _place(
                    errors.Error(
                        errors.UNKNOWN_CONTAINER,
                        f"The interface {interface} is not in {request.netns}.",
                    ),
                    attached,
                )
            try:
                self._check_addresses(request, latest, interface)
                attachment = runtime.Attachment(
                    request.container_id,
                    request.netns,
                    attached.interface,
                    capability_args=attached.capability_args,
                )
                calls.check(attached.network, attachment, attached.result)
            except errors.Error as error:
                raise _place(error, attached) from None

    def _check_addresses(self, request, latest, interface):
        """What plugins said is on the interface is there; many plugins (flannel is one) do not look
        themselves.
        """
        own = [
            item["address"]
            for item in latest["ips"]
            if _is_of(item, latest["interfaces"], interface)
        ]
        if not own:
            return
        from .._cni import netlink

        there = (self.addresses or netlink.addresses)(request.netns, interface)
        missing = [address for address in own if netlink.canonical(address) not in there]
        if missing:
            raise errors.Error(
                errors.UNKNOWN_CONTAINER,
                f"The interface has not the address {', '.join(missing)} any more.",
            )

    def status(self, request):
        """An ADD would find everything it needs."""
        try:
            configuration = conf.parse(request.conf)
        except errors.Error as error:
            code = errors.NOT_AVAILABLE if error.code == errors.TRY_AGAIN_LATER else error.code
            raise errors.Error(code, error.msg, error.details) from None
        if configuration.readiness_file and not os.path.exists(configuration.readiness_file):
            raise errors.Error(
                errors.NOT_AVAILABLE,
                f"The default network is not ready: there is no {configuration.readiness_file}.",
            )
        path = _path(request, configuration.bin_dir)
        wanted = Wanted(self, request, configuration, _log(request))
        try:
            delegates = wanted.delegates()
        except errors.Error as error:
            raise errors.Error(errors.NOT_AVAILABLE, error.msg, error.details) from None
        finally:
            wanted.close()
        self._refuse_ourselves(request, delegates, path)
        calls = self._runtime(request, path, time.monotonic() + configuration.timeout)
        for delegate in delegates:
            try:
                flannel.check_lease(delegate.network)
                calls.status(delegate.network)
            except errors.Error as error:
                code = (
                    error.code
                    if error.code in (errors.NOT_AVAILABLE, errors.LIMITED_CONNECTIVITY)
                    else errors.NOT_AVAILABLE
                )
                raise errors.Error(code, error.msg, error.details).within(
                    f"network {delegate.network.name}"
                ) from None

    def gc(self, request):
        """Detach what this configuration attached and the runtime no longer lists.

        Plugins have no GC of their own, so it is DEL that is called.
        """
        key = next((key for key in _VALID_KEYS if key in request.conf), None)
        if key is None:
            return  # a caller that lists nothing, not even an empty list, does not say what may go
        listed = request.conf[key] or []  # Go prints an empty list as null
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"`{key}` is not a list of attachments {{containerID, ifname}}.",
            )
        valid = {(one.get("containerID"), one.get("ifname")) for one in listed}
        store = states.Store(conf.state_directory(request.conf))
        failed = []
        for key in store.keys() + store.unfinished():
            if key in valid:
                continue
            try:
                with lock.held(store.directory, *key, _GC_LOCK_SECONDS, needed=False):
                    state = self._read(store, *key)
                    if state is not None and state.conf_name == request.conf.get("name"):
                        self._delete_state(store, state, request)
                    elif state is None:
                        store.discard(*key)
            except (errors.Error, OSError) as error:
                failed.append(_as_error(error).within("container {}, interface {}".format(*key)))
        if failed:
            raise errors.join(failed)

    # shared

    def _read(self, store, container_id, interface):
        try:
            return store.read(container_id, interface)
        except states.Corrupt as corrupt:
            raise _corrupt(corrupt) from None

    def _runtime(self, request, path, deadline=None, in_process=()):
        environ = dict(_DELEGATES_DEFAULTS, **request.environ)
        environ[_MARK] = "1"
        execute = self.execute
        if in_process:
            from . import in_process as work  # where the configuration says so

            execute = work.InProcess(execute, in_process)
        return runtime.Runtime(path, execute, environ, self.relay, deadline)


class Wanted:
    """The networks of one request, and the API where they are asked for and told.

    What it imports, the common path does not need.
    """

    def __init__(self, plugin, request, configuration, log):
        self.plugin = plugin
        self.request = request
        self.configuration = configuration
        self.log = log
        self.api = None
        self.pod = None

    def delegates(self):
        """Return the networks (list of conf.Delegate, the master first, every one with its
        interface); raise Error.
        """
        access = self._access()
        configuration = self.configuration
        if access is None and not self._is_elsewhere():
            return configuration.delegates
        from . import networks, pods

        if access is not None:
            self.api = self._connect(access)
        is_add = self.request.command == "ADD"
        self.pod = pods.identify(self.request, configuration, self.api) if is_add else None
        if not is_add and configuration.world == "old":
            return configuration.delegates
        try:
            resolver = networks.Resolver(
                configuration, self.pod, self.api, self.plugin.host_devices(), self.log
            )
            delegates = resolver.delegates()
            conf.name_interfaces(delegates, configuration.world)
        except errors.Error as error:
            self._tell("Warning", "NoNetworkFound", str(error))
            raise
        return delegates

    def on_disk(self):
        """Return what can be known of the networks without the API and the pod; raise Error."""
        from . import networks

        delegates = networks.Resolver(self.configuration, None, None, None, self.log).delegates()
        conf.name_interfaces(delegates, self.configuration.world)
        return delegates

    def publish(self, attached):
        """Tell the pod what it was attached to, in today's world; raise Error."""
        if self.api is None or self.pod is None or self.configuration.world == "old":
            return
        from . import status

        self.api.limit(min(_API_SECONDS, self.configuration.timeout / 8))
        if not status.publish(self.api, self.pod, attached):
            self.log("error", f"The pod {self.pod} is gone, so nobody is told its networks")
            return
        for one in attached:
            if not one.chained:
                self._tell("Normal", "AddedInterface", status.added(one))

    def close(self):
        """Close the connection to the API."""
        if self.api is not None:
            self.api.close()

    def _tell(self, kind, reason, message):
        if self.api is not None and self.pod is not None and self.configuration.world != "old":
            from . import status

            status.tell(self.api, self.pod, self.log, kind, reason, message)

    def _is_elsewhere(self):
        """Whether the configuration itself does not say it all."""
        configuration = self.configuration
        return bool(
            configuration.cluster_network
            or configuration.default_networks
            or "io.kubernetes.cri.pod-annotations" in configuration.runtime_config
        )

    def _access(self):
        """How to reach the API: by the kubeconfig, else in today's world as a pod does, else not."""
        if self.configuration.kubeconfig:
            from .._kube_client import kubeconfig

            return kubeconfig.load(self.configuration.kubeconfig)
        if self.configuration.world == "today" and self.request.environ.get(
            "KUBERNETES_SERVICE_HOST"
        ):
            from .._kube_client import kubeconfig

            return kubeconfig.in_cluster(self.request.environ)
        return None

    def _connect(self, access):
        seconds = min(_API_SECONDS, self.configuration.timeout / 4)
        if self.plugin.connect is not None:
            return self.plugin.connect(access, self.request.environ, seconds)
        from .._kube_client import client as kube

        return kube.Client(access, self.request.environ, seconds)


def _inside(interfaces, name):
    """The name of a container's interface by its result: the one it was asked for, unless its
    plugin gave it another (sriov's `if0name`).
    """
    names = [item["name"] for item in interfaces if item.get("sandbox")]
    return names[0] if names and name not in names else name


def _is_of(item, interfaces, name):
    """Say whether an address of a result is said to be on the sandbox's interface of this name."""
    index = item.get("interface")
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(interfaces):
        return False
    return interfaces[index]["name"] == name and bool(interfaces[index].get("sandbox"))


def _log(request):
    if "logLevel" not in request.conf:
        return lambda level, sentence: None
    from . import log  # for those who want one

    return log.logger(request.conf, request)


def _patience(request):
    """How long (seconds) a DEL waits for what is still at work; its configuration may be anything."""
    timeout = request.conf.get("timeoutSeconds")
    usable = isinstance(timeout, (int, float)) and not isinstance(timeout, bool) and timeout > 0
    return min(_LOCK_SECONDS, (timeout if usable else conf.TIMEOUT_SECONDS) / 2)


def _wait_until_ready(configuration, deadline):
    """Wait for the file by which the default network says that it is ready (NPWG 6.2)."""
    while configuration.readiness_file and not os.path.exists(configuration.readiness_file):
        if time.monotonic() >= deadline:
            raise errors.Error(
                errors.TRY_AGAIN_LATER,
                f"The default network is not ready: there is no {configuration.readiness_file}.",
            )
        time.sleep(min(0.25, max(deadline - time.monotonic(), 0.01)))


def _as_error(error):
    if isinstance(error, errors.Error):
        return error
    return errors.Error(
        errors.INTERNAL, "The meta-plugin failed.", f"{type(error).__name__}: {error}"
    )


def _path(request, bin_dir):
    return _merge([bin_dir] if bin_dir else [], request.path)


def _merge(*paths):
    return list(dict.fromkeys(directory for path in paths for directory in path))


def _place(error, attached):
    return error.within(f"network {attached.raw.get('name')}, interface {attached.interface}")


def _corrupt(corrupt):
    return errors.Error(
        errors.DECODING_FAILURE,
        "The state of the attachment was spoiled.",
        f"It is kept as {states.put_aside(corrupt.file)}.",
    )


def _delegates_to_itself(details):
    return errors.Error(
        errors.INVALID_CONFIGURATION, "The meta-plugin cannot be its own delegate.", details
    )


def _same_program(file, own_file):
    """Say whether two executables are the same one, also when one is a copy under another name."""
    if own_file is None or not os.path.exists(own_file):
        return False
    one, other = os.stat(file), os.stat(own_file)
    if os.path.samestat(one, other):
        return True
    if one.st_size != other.st_size:
        return False
    with open(file, "rb") as left, open(own_file, "rb") as right:
        return left.read() == right.read()


def _terminated(number, dummy_frame):
    """Who is told to end takes back first what it began; being told twice changes nothing."""
    signal(number, SIG_IGN)
    raise errors.Error(errors.TRY_AGAIN_LATER, f"The operation was ended by signal {number}.")


def main(own_file):
    """Serve the request in the environment and on stdin; return the exit status.

    own_file: str, the executable that was started.
    """
    signal(SIGTERM, _terminated)
    return skel.main(Plugin(own_file=own_file).handlers(), ABOUT, conf_optional=("DEL",))
