# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The meta-plugin: attaches a container to several networks by delegating to other CNI plugins.

Every command has a file: add, delete, check, status, gc; one is imported when it is asked for. ADD
leaves a state (state.py). DEL, CHECK and GC go by that, not by the configuration they are given.
"""

from __future__ import annotations

from .._cni import errors, invoke, netns, runtime, skel
from .._cni.quick_os import os
from . import conf
from .in_process import InProcess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from signal import SIG_IGN, SIGTERM, signal
    from typing import Any, Union

    from .._cni.rtnetlink import Route
    from .._cni.skel import Request
    from .conf import ConfiguredNetworks, Delegate, MetaConf
    from .devices import Devices
    from .foreign import CacheDirectories
    from .log import Log
    from .pod_networks import Connect, PodNetworks
    from .state import State, Store

    Networks = Union[ConfiguredNetworks, PodNetworks]
else:
    from _signal import SIG_IGN, SIGTERM, signal  # as in process.py

ABOUT = "multinet: attaches a container to several networks by delegating to other CNI plugins"
# Set for delegates: whoever finds it set was started, by whatever detour, by itself.
_MARK = "MULTINET_DELEGATING"
# Delegates do one thing after the other; Go's runtime would prepare for as many at once as the host
# has processors. What the runtime's own environment says goes first.
_DELEGATES_DEFAULTS = {"GOMAXPROCS": "1"}


class Plugin:
    """The commands, and what they touch of the host.

    execute: finds and runs delegates; interfaces: path of a network namespace -> the names in it;
    addresses: such a path and an interface -> its addresses; default_routes: such a path -> those
    of rtnetlink's default_routes(); relay: takes what a delegate wrote to stderr; own_file: our own
    executable; connect: an Access and seconds -> the Client that may take so long; others: where
    other CNIs keep what they attached. What is not given is the host's.
    """

    def __init__(
        self,
        *,
        execute: invoke.Exec | None = None,
        interfaces: Callable[[str], set[str]] = netns.interfaces,
        addresses: Callable[[str, str], set[str]] | None = None,
        default_routes: Callable[[str], dict[object, Route]] = netns.default_routes,
        relay: Callable[[bytes], object] = invoke.relay_stderr,
        own_file: str | None = None,
        connect: Connect | None = None,
        devices: Devices | None = None,
        others: CacheDirectories | None = None,
    ) -> None:
        self.execute = execute or invoke.Exec()
        self.interfaces = interfaces
        self._addresses = addresses
        self.default_routes = default_routes
        self._relay = relay
        self._own_file = own_file
        self._connect = connect
        self._devices = devices
        self.others = others

    def handlers(self) -> dict[str, Callable[[Request], dict[str, Any] | None]]:
        """Return what skel.main() dispatches to."""
        commands = {
            "ADD": self.add,
            "DEL": self.delete,
            "CHECK": self.check,
            "STATUS": self.status,
            "GC": self.gc,
        }
        return {name: _with_our_keys(command) for name, command in commands.items()}

    def add(self, request: Request) -> dict[str, Any]:
        """Attach to all networks or to none; return the master's result."""
        from . import add

        return add.add(self, request)

    def delete(self, request: Request) -> None:
        """Detach from all networks of the state; no state is no failure."""
        from . import delete

        delete.delete(self, request)

    def check(self, request: Request) -> None:
        """Every interface of the state is there, and the master's plugins agree."""
        from . import check

        check.check(self, request)

    def status(self, request: Request) -> None:
        """An ADD would find everything it needs."""
        from . import status

        status.status(self, request)

    def gc(self, request: Request) -> None:
        """Detach what this configuration attached and the runtime no longer lists."""
        from . import gc

        gc.gc(self, request)

    # what the commands share

    def logger(self, request: Request) -> Log:
        """Return what writes to the log that the configuration asks for."""
        if "logLevel" not in request.conf:
            return lambda level, sentence: None
        from . import log  # for those who want one

        return log.logger(request.conf, request)

    def networks(self, request: Request, configuration: MetaConf, log: Log) -> Networks:
        """Return what knows the networks of a request; its close() is to be called."""
        if configuration.is_complete and not configuration.may_ask_api(request.environ):
            return conf.ConfiguredNetworks(configuration.delegates)
        from . import pod_networks  # with all that it needs, which the common path does not

        return pod_networks.PodNetworks(
            request,
            configuration,
            connect=self._connect or pod_networks.connect,
            devices=self.host_devices(),
            log=log,
        )

    def runtime(
        self,
        request: Request,
        path: list[str],
        *,
        deadline: float | None = None,
        in_process: Iterable[str] = (),
        when_missing: Iterable[str] | None = None,
    ) -> runtime.Runtime:
        """Return what calls delegates: those found in path, until the deadline; in_process,
        when_missing: the plugins whose work is done without their executables, see InProcess.
        """
        environ = dict(_DELEGATES_DEFAULTS, **request.environ)
        environ[_MARK] = "1"
        execute = self.execute
        if in_process or when_missing:
            execute = InProcess(execute, in_process, when_missing)
        return runtime.Runtime(path, execute, environ=environ, relay=self._relay, deadline=deadline)

    def host_devices(self) -> Devices:
        """Return the devices that pods may have."""
        if self._devices is None:
            from . import devices  # where a network has devices

            self._devices = devices.Devices()
        return self._devices

    def host_addresses(self, path: str, interface: str) -> set[str]:
        """Return the addresses of an interface in the network namespace at path; raise Error."""
        if self._addresses is not None:
            return self._addresses(path, interface)
        from .._cni import netlink

        return netlink.addresses(path, interface)

    def tell_guard(self, store: Store, state: State) -> None:
        """Have the host's guard keep the ports of a state, which is written, to what CNI gave them;
        raise Error.
        """
        from . import state as states

        if any(states.is_on_our_bridge(one.result) for one in state.attached):
            from . import guard  # for those alone

            guard.told(store.file(state.container_id, state.interface))

    # what would be its own delegate

    def is_delegate(self, request: Request) -> bool:
        """Say whether it was this plugin itself that sent the request."""
        return bool(request.environ.get(_MARK))

    def refuse_itself(
        self,
        request: Request,
        delegates: Iterable[Delegate],
        path: list[str],
        in_process: Iterable[str],
    ) -> None:
        """Raise Error where a delegate's executable is this plugin, or is missing and needed."""
        cni = self.runtime(request, path, in_process=in_process)
        for delegate in delegates:
            try:
                found = cni.find(delegate.network)
            except errors.Error as error:
                raise error.within(f"network {delegate.raw['name']}") from None
            for file in found:
                if os.path.isabs(file) and _same_program(file, self._own_file):
                    raise self.delegates_to_itself(
                        f"The plugin {file} of the network {delegate.network.name} is the"
                        " meta-plugin."
                    )

    @staticmethod
    def delegates_to_itself(details: str) -> errors.Error:
        """Return the Error for a configuration that comes back to this plugin."""
        return errors.Error(
            errors.INVALID_CONFIGURATION, "The meta-plugin cannot be its own delegate.", details
        )


def _with_our_keys(
    command: Callable[[Request], dict[str, Any] | None],
) -> Callable[[Request], dict[str, Any] | None]:
    """Let a command see the configuration's keys in one case, whatever they are written in."""

    def served(request: Request) -> dict[str, Any] | None:
        request.conf = conf.folded(request.conf)
        return command(request)

    return served


def _same_program(file: str, own_file: str | None) -> bool:
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


def _terminated(number: int, _frame: object) -> None:
    """Who is told to end takes back first what it began; being told twice changes nothing."""
    signal(number, SIG_IGN)
    raise errors.Error(errors.TRY_AGAIN_LATER, f"The operation was ended by signal {number}.")


def main(own_file: str) -> int:
    """Serve the request in the environment and on stdin; return the exit status.

    own_file: the executable that was started.
    """
    signal(SIGTERM, _terminated)
    return skel.main(Plugin(own_file=own_file).handlers(), ABOUT, conf_optional=("DEL",))
