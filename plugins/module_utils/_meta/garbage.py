# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What attachments have left on a host although their containers are gone: states, addresses of
host-local, files of the flannel plugin, and what other CNIs attached and nobody detached.

An address is garbage only when all of it is true: it is on no interface in any network namespace of
the host, no remembered attachment of its container has a namespace that is still there, and it is
older than any ADD can last. What cannot be looked into is an error, not garbage.
"""

from __future__ import annotations

import fcntl
import glob
import os
import time

from .._cni import conf, errors, files, netlink, netns, skel, version
from .._cni import result as results
from .._names import BY_CALLERS, NO_EXECUTABLE
from . import delete, foreign, lock
from . import plugin as meta_plugin
from . import state as states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Any

    Garbage = dict[str, list[Any]]

# Where runtimes and we remember what they attached, one JSON file each (libcni's cache; ours).
CACHES = (
    "/var/lib/cni/results",
    "/var/lib/cni/cache/results",
    "/var/lib/cni/multus/results",
    BY_CALLERS,
)
OWN_TYPE = "multinet"  # of the meta-plugin's configurations
_OURS = "multinet-"  # how the CNI names of the collection's networks begin
GRACE = 300.0  # seconds, no less than an ADD may last
_DEL = 60.0  # seconds for one
_NAMESPACES = ("/run/netns/*", "/run/docker/netns/*", "/proc/[0-9]*/ns/net")


class Host:
    """The places of a host.

    path: directories with CNI plugins; caches: directories; namespaces: patterns of paths.
    """

    def __init__(
        self,
        *,
        state_directory: str,
        ipam_directory: str,
        flannel_directory: str,
        path: list[str],
        caches: Iterable[str] = CACHES,
        namespaces: Iterable[str] = _NAMESPACES,
    ) -> None:
        self.state_directory = state_directory
        self.ipam_directory = ipam_directory
        self.flannel_directory = flannel_directory
        self.path = path
        self.caches = caches
        self.namespaces = namespaces


def find(host: Host, wanted: Collection[str], grace: float) -> Garbage:
    """Return what is garbage on a host: `states` {container_id, interface, networks}, `addresses`
    {network, address, container_id, interface, file}, `flannel` {network, container_id, file},
    `remembered` {network, container_id, interface, file} of other CNIs, and what only people can
    judge: `damaged` (files).

    wanted: CNI names of networks; with none, all that was attached, and addresses and files of the
    collection's. grace: seconds. Raises Error.
    """
    now = time.time()
    store = states.Store(host.state_directory)
    live: set[str] = set()
    dead: list[dict[str, Any]] = []
    damaged: list[str] = []
    for container_id, interface in store.attachments():
        try:
            state = store.read(container_id, interface)
        except states.Corrupt as corrupt:
            damaged.append(corrupt.file)
            live.add(container_id)  # nothing is known of it, so nothing of it is taken
            continue
        if state is None:
            continue
        age = _age(store.file(container_id, interface), now)
        if age < grace or _lives(state, host):
            live.add(container_id)
        else:
            every = [one.raw["name"] for one in state.attached]
            networks = [name for name in every if not wanted or name in wanted]
            if networks or not wanted:
                dead.append(
                    {"container_id": container_id, "interface": interface, "networks": networks}
                )
    kept = foreign.entries(host.caches)
    live.update(_alive(kept), foreign.running(kept, OWN_TYPE))
    damaged += sorted(glob.glob(os.path.join(glob.escape(host.state_directory), "*.corrupt-*")))
    search = _Search(host, wanted, grace)
    search.live = live
    # freed with the state, which is garbage itself
    search.freed = {(one["container_id"], name) for one in dead for name in one["networks"]}
    return {
        "states": dead,
        "addresses": search.addresses(),
        "flannel": search.flannel(),
        "remembered": [
            one for one in _left(kept, grace, live) if not wanted or one["network"] in wanted
        ],
        "damaged": damaged,
    }


def remembered(caches: Iterable[str] = CACHES, proc: str = "/proc") -> list[dict[str, Any]]:
    """Return {network, container_id, interface, file} of what other CNIs attached to containers
    that are gone, and nobody detached; raise OSError.
    """
    return _left(foreign.entries(caches), GRACE, (), proc)


def _left(
    kept: dict[str, dict[str, Any]], grace: float, live: Collection[str], proc: str = "/proc"
) -> list[dict[str, Any]]:
    """See remembered(). kept: what the caches hold; live: containers that may be at work."""
    now = time.time()
    return [
        {
            "network": one.raw.get("name"),
            "container_id": one.container_id,
            "interface": one.interface,
            "file": one.file,
        }
        for one in foreign.left(kept, OWN_TYPE, proc)
        if one.container_id not in live and _age(one.file, now) >= grace
    ]


def collect(host: Host, garbage: Garbage) -> list[str]:
    """Take away what find() returned; return the sentences about what could not be.

    States go first, by DEL of their plugins.
    """
    failed = []
    plugin = meta_plugin.Plugin()
    for one in garbage["states"]:
        try:
            _detach(plugin, host, one)
        except Exception as error:  # whatever it was, others are detached
            failed.append(f"{one['interface']} of container {one['container_id']}: {error}")
    there = {}
    try:
        kept = foreign.entries(host.caches) if garbage["remembered"] else {}
        there = {one.file: one for one in foreign.left(kept, OWN_TYPE)}
    except OSError as error:
        failed.append(str(error))
    for one in garbage["remembered"]:
        if one["file"] in there:
            cni = plugin.runtime(
                _deletion(host, one),
                host.path,
                deadline=time.monotonic() + _DEL,
                in_process=foreign.in_process([there[one["file"]]]),
                when_missing=NO_EXECUTABLE,
            )
            failed += [
                f"{one['interface']} of container {one['container_id']}: {error} If its plugins are"
                f" gone for good, remove {one['file']}."
                for error in foreign.detach(cni, [there[one["file"]]], [], "")
            ]
    for one in garbage["addresses"]:
        try:
            _release(one)
        except OSError as error:
            failed.append(f"{one['file']}: {error.strerror}")
    for one in garbage["flannel"]:
        try:
            files.remove(one["file"])
        except OSError as error:
            failed.append(f"{one['file']}: {error.strerror}")
    return failed


def _detach(plugin: meta_plugin.Plugin, host: Host, one: dict[str, Any]) -> None:
    """Detach a container from the networks that find() names; the state keeps the others."""
    attachment = one["container_id"], one["interface"]
    store = states.Store(host.state_directory)
    with lock.held(store.directory, *attachment, _DEL, needed=False):
        state = store.read_or_put_aside(*attachment)
        if state is not None:
            delete.detach_some(
                plugin,
                _deletion(host, one),
                store,
                state,
                lambda attached: attached.raw["name"] in one["networks"],
            )


def _deletion(host: Host, one: dict[str, Any]) -> skel.Request:
    """Return the DEL of a container that is gone; one: has its container_id and interface."""
    environ = dict(
        os.environ,
        CNI_COMMAND="DEL",
        CNI_CONTAINERID=one["container_id"],
        CNI_IFNAME=one["interface"],
        CNI_NETNS="",
        CNI_PATH=os.pathsep.join(host.path),
        CNI_ARGS="",
    )
    return skel.Request("DEL", environ, {"cniDir": host.state_directory}, version.LATEST)


class _Search:
    """Looks through what plugins keep in files, a file for each container.

    live: ids of containers that may be at work; freed: (container id, network) that need no look.
    """

    def __init__(self, host: Host, wanted: Collection[str], grace: float) -> None:
        self.host = host
        self.wanted = wanted
        self.grace = grace
        self.now = time.time()
        self.live: set[str] = set()
        self.freed: set[tuple[str, str]] = set()

    def addresses(self) -> list[dict[str, Any]]:
        """The garbage of host-local: <directory>/<network>/<address>, which holds the container's
        id and the interface on two lines.
        """
        found = []
        present: set[str] | None = None
        for network in files.listed(self.host.ipam_directory):
            directory = os.path.join(self.host.ipam_directory, network)
            if not self._is_wanted(network) or not os.path.isdir(directory):
                continue
            for name in files.listed(directory):
                file = os.path.join(directory, name)
                if netlink.canonical(name) is None or self._is_young(file):
                    continue
                container_id, interface = _holder(file)
                if self._is_kept(container_id, network):
                    continue
                if present is None:  # every namespace is looked into, once, where there is a doubt
                    present = _present(self.host)
                if name not in present:
                    found.append(
                        {
                            "network": network,
                            "address": name,
                            "container_id": container_id,
                            "interface": interface,
                            "file": file,
                        }
                    )
        return found

    def flannel(self) -> list[dict[str, Any]]:
        """The garbage of the flannel plugin: <directory>/<container id> of any data directory."""
        found = []
        for directory, _directories, names in sorted(os.walk(self.host.flannel_directory)):
            for name in sorted(names):
                file = os.path.join(directory, name)
                if name in self.live or not conf.is_name(name) or self._is_young(file):
                    continue
                try:
                    network = conf.decode(files.read(file) or b"{}", file).get("name")
                except errors.Error:
                    continue  # not one of the plugin's
                if not isinstance(network, str) or not self._is_wanted(network):
                    continue
                if not self._is_kept(name, network):
                    found.append({"network": network, "container_id": name, "file": file})
        return found

    def _is_wanted(self, network: str) -> bool:
        return network in self.wanted if self.wanted else network.startswith(_OURS)

    def _is_kept(self, container_id: str, network: str) -> bool:
        return container_id in self.live or (container_id, network) in self.freed

    def _is_young(self, file: str) -> bool:
        return _age(file, self.now) < self.grace


def _holder(file: str) -> tuple[str, str]:
    """The container's id and the interface in a file of host-local, empty where it has none."""
    lines = (files.read(file) or b"").decode("utf-8", "replace").split()
    return lines[0] if lines else "", lines[1] if len(lines) > 1 else ""


def _alive(kept: dict[str, dict[str, Any]]) -> set[str]:
    """The ids of the containers that some runtime remembers with a namespace that is there."""
    live = set()
    for entry in kept.values():
        try:
            if netns.is_there(entry["netns"]):
                live.add(entry["containerId"])
        except (KeyError, TypeError, ValueError):
            continue  # not one of theirs; the address itself is looked for all the same
    return live


def _lives(state: states.State, host: Host) -> bool:
    """Say whether a state's namespace is there: where it was, or still in use elsewhere. Another
    one may be at its path by now.
    """
    if not state.namespace:  # in a state of a former version
        # A mere file may be mounted on where only the runtime's programs see it.
        return netns.is_there(state.netns) or (
            os.path.exists(state.netns) and not _addresses(state).isdisjoint(_present(host))
        )
    paths = (path for pattern in host.namespaces for path in glob.glob(pattern))
    return any(netns.is_marked(path, state.namespace) for path in (state.netns, *paths))


def _addresses(state: states.State) -> set[str | None]:
    """Return the addresses that a container got; raise Error."""
    return {
        netlink.canonical(one["address"])
        for attached in state.attached
        if attached.result
        for one in results.to_latest(attached.final_result)["ips"]
    }


def _present(host: Host) -> set[str]:
    """The addresses in all network namespaces of the host; raise Error for one that is
    there and cannot be looked into.
    """
    found, seen = set(), set()
    for pattern in host.namespaces:
        for path in glob.glob(pattern):
            identity = netns.identity(path)
            if identity is None or tuple(identity) in seen:
                continue
            seen.add(tuple(identity))
            try:
                found.update(netlink.addresses(path))
            except errors.Error:
                # a process or a namespace that ended meanwhile; a mere file in the directory is
                # none
                if netns.identity(path) == identity and _is_namespace(path):
                    raise
    return found


def _is_namespace(path: str) -> bool:
    return path.startswith("/proc/") or any(
        line.split()[4] == os.path.realpath(path) for line in _lines("/proc/self/mountinfo")
    )


def _lines(path: str) -> list[str]:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.readlines()


def _release(one: dict[str, Any]) -> None:
    """Free an address as host-local itself does: with its lock."""
    with open(os.path.join(os.path.dirname(one["file"]), "lock"), "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _holder(one["file"])[0] in (one["container_id"], ""):  # nobody got it meanwhile
            files.remove(one["file"])


def _age(file: str, now: float) -> float:
    try:
        return now - os.stat(file).st_mtime
    except OSError:
        return 0
