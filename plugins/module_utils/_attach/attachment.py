# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attach a namespace to networks and detach it, as a container runtime would, remembering what was
done.
"""

from __future__ import annotations

import os
import time

from .._cni import conf, errors, files, invoke, runtime
from .._cni import netns as namespaces
from .._cni import result as results
from .._meta import conf as meta_conf
from .._meta import flannel, guard, in_process, lock
from .._meta import state as meta_state
from .._names import NO_EXECUTABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Optional

    from .._cni.cache import Cache
    from .._cni.conf import NetworkList
    from .target import Target

    # CNI name, interface, result.
    Part = tuple[str, str, Optional[dict[str, Any]]]

_PREFIX = "multinet-"


class NamedNetwork:
    """A network to attach to: its name as the user calls it; interface: see assign()."""

    def __init__(self, name: str, network: NetworkList, interface: str | None = None) -> None:
        self.name = name
        self.network = network
        self.interface = interface


def load(names: list[str], conf_dir: str, network_dir: str) -> list[NamedNetwork]:
    """Return the networks to attach to, without interfaces: those named, or for no names the one of
    the host's configuration; raise Error.
    """
    if not names:
        network = conf.load_directory(conf_dir)
        return [NamedNetwork(network.name, network)]
    return [NamedNetwork(name, _load_named(name, network_dir)) for name in dict.fromkeys(names)]


def _load_named(name: str, network_dir: str) -> NetworkList:
    file = os.path.join(network_dir, name + ".conflist")
    if not conf.is_name(name) or not os.path.isfile(file):
        try:
            there = files.listed(network_dir)
        except OSError as error:
            raise errors.io_failure(
                f"The directory {network_dir} of the networks cannot be read.", error
            ) from None
        known = [name[: -len(".conflist")] for name in there if name.endswith(".conflist")]
        raise errors.Error(
            errors.INVALID_CONFIGURATION,
            f"There is no network {name!r} in {network_dir}.",
            f"Known are: {', '.join(known) or 'none'}.",
        )
    return conf.load_file(file)


def assign(
    wanted: list[NamedNetwork],
    entries: list[dict[str, Any]],
    present: set[str],
    *,
    first: str,
    first_is_fixed: bool = False,
) -> None:
    """Give every network its interface: the one it has already, else `first` for the first one,
    else the first free of net1, net2, ...

    entries: what the container is attached to; present: the interfaces there are; first_is_fixed:
    the user asked for it, so another one is an error. Changes wanted; raises Error.
    """
    has = {entry["networkName"]: entry["ifName"] for entry in entries}
    taken = set(has.values())
    for number, one in enumerate(wanted):
        if one.network.name in has:
            one.interface = has[one.network.name]
            continue
        if number == 0 and first not in taken:
            one.interface = first
        elif number == 0 and first_is_fixed:
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"Another network already has the interface {first}; name another one for"
                f" {one.name}.",
            )
        else:
            used = taken | present
            free = (f"net{count}" for count in range(1, len(used) + 2) if f"net{count}" not in used)
            one.interface = next(free)
        taken.add(one.interface)


class Attacher:
    """Attaches and detaches.

    path: plugin directories; args: CNI_ARGS; timeout: seconds for one ADD or DEL; execute, relay:
    see runtime.Runtime; interfaces: path of a namespace -> the names in it.
    """

    def __init__(
        self,
        path: list[str],
        cache: Cache,
        *,
        args: str = "",
        timeout: float = 180,
        execute: invoke.Exec | None = None,
        relay: Callable[[bytes], object] = invoke.relay_stderr,
        interfaces: Callable[[str], set[str]] = namespaces.interfaces,
    ) -> None:
        self.path = path
        self.cache = cache
        self.args = args
        self.timeout = timeout
        self.execute = execute
        self.relay = relay
        self.interfaces = interfaces

    def entries(self, target: Target) -> list[dict[str, Any]]:
        """Return what a target is attached to, oldest first; a container that is gone is known by
        its label.
        """
        entries = self.cache.entries()
        if target.container_id:
            return [entry for entry in entries if entry["containerId"] == target.container_id]
        return [entry for entry in entries if entry.get("target") == target.label]

    def alone(self, target: Target, needed: bool = True) -> lock.held:
        """Return what holds the target's lock for the time of a with block, in which nobody else
        attaches or detaches it; raise Error there. needed: see lock_of().
        """
        return lock_of(self.cache, target.container_id or target.label, self.timeout, needed)

    def within(self, entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return {CNI name of a network: the entry} for the networks that come with another one:
        those a meta-plugin attached for it.
        """
        return {part[0]: entry for entry in entries for part in self._meta_parts(entry) or []}

    def is_whole(self, target: Target, entry: dict[str, Any]) -> bool:
        """Say whether an attachment is as it was left: same namespace, interface there, plugins
        content.
        """
        if entry["result"] is None or not target.netns:
            return False
        if not namespaces.is_marked(target.netns, entry["namespace"]):
            return False
        if entry["ifName"] not in self.interfaces(target.netns):
            return False
        try:
            self._runtime().check(_network(entry), self._attachment(target, entry), entry["result"])
        except errors.Error as error:
            if error.code == errors.TRY_AGAIN_LATER:
                raise
            return False
        return True

    def attach(self, target: Target, wanted: NamedNetwork) -> dict[str, Any]:
        """Attach one network (with an interface) and return its entry; after an Error nothing of it
        is left.
        """
        if wanted.interface in self.interfaces(target.netns):
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"The namespace already has an interface {wanted.interface}, which was not attached"
                " here.",
                "Start the container without a network, or name another `interface`.",
            )
        self._runtime().find(wanted.network)
        flannel.check_lease(wanted.network)
        flannel.check_unused(wanted.network, str(target.container_id))
        entry: dict[str, Any] = {
            "containerId": target.container_id,
            "networkName": wanted.network.name,
            "ifName": wanted.interface,
            "network": wanted.name,
            "target": target.label,
            "netns": target.netns,
            "namespace": namespaces.mark(target.netns),
            "cniArgs": self.args,
            "config": wanted.network.raw,
            "result": None,
            "since": time.time(),
        }
        # before the first plugin is called: whatever happens now can be cleaned up
        self.cache.put(entry)
        try:
            entry["result"] = self._runtime().add(wanted.network, self._attachment(target, entry))
            self.cache.put(entry)
            self.tell(entry)
        except errors.Error as error:
            try:
                self.detach(target, entry)
            except errors.Error as more:
                error = error.with_details(f"Undoing it failed as well: {more}")
            raise error from None
        return entry

    def tell(self, entry: dict[str, Any]) -> None:
        """Have the host's guard keep an attachment's port to what CNI gave it; raise Error.

        To tell it twice does no harm: a run may have been killed before it did.
        """
        if meta_state.is_on_our_bridge(entry["result"]):
            guard.told(self.cache.file(entry))

    def detach(self, target: Target, entry: dict[str, Any]) -> None:
        """Detach one entry and forget it; the namespace may be gone.

        Raises Error, and remembers it then.
        """
        flannel.put_back(_network(entry), entry["containerId"], {})
        self._runtime().delete(_network(entry), self._attachment(target, entry), entry["result"])
        self.cache.remove(entry)

    def describe(self, target: Target, entry: dict[str, Any]) -> list[dict[str, Any]]:
        """Return an entry's interfaces: network, name, mac, addresses, gateway, mtu, routes."""
        parts = self._meta_parts(entry) or [(entry["network"], entry["ifName"], entry["result"])]
        return [
            _describe(target, network, interface, result)
            for network, interface, result in parts
            if result is not None
        ]

    def _meta_parts(self, entry: dict[str, Any]) -> list[Part] | None:
        """Return [(CNI name, interface, result), ...] of a meta-plugin's networks: it answers with
        the first alone, its state knows them all.
        """
        for plugin in _network(entry).plugins:
            if "delegates" in plugin or "clusterNetwork" in plugin:
                store = meta_state.Store(meta_conf.state_directory(plugin))
                try:
                    state = store.read(entry["containerId"], entry["ifName"])
                except meta_state.Corrupt as corrupt:
                    raise errors.Error(
                        errors.DECODING_FAILURE,
                        f"The meta-plugin's state {corrupt.file} is damaged.",
                        "Detach and attach again.",
                    ) from None
                if state is not None:
                    return [
                        (one.raw["name"], one.interface, one.result)
                        for one in state.attached
                        if not one.chained
                    ]
        return None

    def _runtime(self) -> runtime.Runtime:
        execute = in_process.InProcess(
            self.execute or invoke.Exec(), (), when_missing=NO_EXECUTABLE
        )
        return runtime.Runtime(
            self.path, execute, relay=self.relay, deadline=time.monotonic() + self.timeout
        )

    def _attachment(self, target: Target, entry: dict[str, Any]) -> runtime.Attachment:
        # A path may by now lead to somebody else's namespace: processes' numbers are used again.
        same = [
            path
            for path in (target.netns, entry["netns"])
            if namespaces.is_marked(path, entry["namespace"])
        ]
        return runtime.Attachment(
            entry["containerId"], same[0] if same else "", entry["ifName"], args=entry["cniArgs"]
        )


def lock_of(cache: Cache, container: str, seconds: float, needed: bool) -> lock.held:
    """Return the lock of what a cache remembers of a container. seconds: how long to wait for it;
    needed: whether a lock file that cannot be written is an Error, see lock.held.

    container: its id, or the label by which one that is gone is known.
    """
    return lock.held(cache.directory, container.replace("/", "%"), "", seconds, needed)


def _network(entry: dict[str, Any]) -> NetworkList:
    return conf.parse(entry["config"], f"the remembered network {entry['networkName']}")


def plain(name: str) -> str:
    """Return a network's name as the user knows it."""
    return name.removeprefix(_PREFIX)


def _describe(
    target: Target, network: str, interface: str, result: dict[str, Any]
) -> dict[str, Any]:
    latest = results.to_latest(result)
    mac: str | None
    mtu: int | None
    try:
        mac, mtu = namespaces.hardware(target.netns, interface)
    except errors.Error:  # somebody took the interface away
        mac, mtu = None, None
    names = [item["name"] for item in latest["interfaces"]]
    own = [
        item
        for item in latest["ips"]
        if _index_name(names, item.get("interface")) in (None, interface)
    ]
    return {
        "network": plain(network),
        "name": interface,
        "mac": mac,
        "mtu": mtu,
        "addresses": [item["address"] for item in own],
        "gateway": next((item["gateway"] for item in own if item.get("gateway")), None),
        "routes": latest["routes"],
    }


def _index_name(names: list[str], index: object) -> str | None:
    return names[index] if isinstance(index, int) and 0 <= index < len(names) else None
