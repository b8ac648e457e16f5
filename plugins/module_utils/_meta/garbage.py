# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What attachments have left on a host although their containers are gone: states, addresses of
host-local, files of the flannel plugin.

An address is garbage only when all of it is true: it is on no interface in any network namespace of
the host, no remembered attachment of its container has a namespace that is still there, and it is
older than any ADD can last. What cannot be looked into is an error, not garbage.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import socket
import time

from .._cni import conf, errors, files, netlink, netns, skel, version
from . import plugin as meta_plugin
from . import state as states

# Where runtimes and we remember what they attached, one JSON file each (libcni's cache; ours).
CACHES = ("/var/lib/cni/results", "/var/lib/cni/cache/results", "/var/lib/cni/multinet-runtime")
_NAMESPACES = ("/run/netns/*", "/run/docker/netns/*", "/proc/[0-9]*/ns/net")


class Host:
    """The places of a host.

    state_directory, ipam_directory, flannel_directory: str; path: list of directories with CNI
    plugins;
    caches, namespaces: lists of directories, and of patterns of paths.
    """

    def __init__(
        self,
        state_directory,
        ipam_directory,
        flannel_directory,
        path,
        caches=CACHES,
        namespaces=_NAMESPACES,
    ):
        self.state_directory = state_directory
        self.ipam_directory = ipam_directory
        self.flannel_directory = flannel_directory
        self.path = path
        self.caches = caches
        self.namespaces = namespaces


def find(host, networks, grace):
    """Return what is garbage on a Host (dict of lists): `states` {container_id, interface,
    networks}, `addresses` {network, address, container_id,
    interface, file}, `flannel` {network, container_id, file}, and what only people can judge:
    `spoiled` (list of files).

    networks: a function of a CNI network's name (str) that says whether it is ours to clean; grace:
    float, seconds. Raises Error.
    """
    now = time.time()
    store = states.Store(host.state_directory)
    live, dead, spoiled = set(), [], []
    for key in store.keys():
        try:
            state = store.read(*key)
        except states.Corrupt as corrupt:
            spoiled.append(corrupt.file)
            live.add(key[0])  # nothing is known of it, so nothing of it is taken
            continue
        if state is None:
            continue
        if os.path.exists(state.netns) or _age(store.file(*key), now) < grace:
            live.add(key[0])
        else:
            dead.append(
                {
                    "container_id": key[0],
                    "interface": key[1],
                    "networks": [one.raw["name"] for one in state.attached],
                }
            )
    live.update(_remembered(host.caches))
    spoiled.extend(
        sorted(glob.glob(os.path.join(glob.escape(host.state_directory), "*.corrupt-*")))
    )
    owned = {(one["container_id"], name) for one in dead for name in one["networks"]}
    addresses = _addresses(host, networks, live, owned, grace, now)
    return {
        "states": dead,
        "addresses": addresses,
        "flannel": _flannel(host, networks, live, owned, grace, now),
        "spoiled": spoiled,
    }


def collect(host, garbage):
    """Take away what find() returned; return the sentences (list of str) about what could not be.

    States go first, by DEL of their plugins.
    """
    failed = []
    plugin = meta_plugin.Plugin()
    for one in garbage["states"]:
        environ = dict(
            os.environ,
            CNI_COMMAND="DEL",
            CNI_CONTAINERID=one["container_id"],
            CNI_IFNAME=one["interface"],
            CNI_NETNS="",
            CNI_PATH=os.pathsep.join(host.path),
            CNI_ARGS="",
        )
        request = skel.Request("DEL", environ, {"cniDir": host.state_directory}, version.LATEST)
        try:
            plugin.delete(request)
        except errors.Error as error:
            failed.append(f"{one['interface']} of container {one['container_id']}: {error}")
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


def _addresses(host, networks, live, owned, grace, now):
    """The garbage of host-local: <directory>/<network>/<address>, which holds the container's id
    and the interface on two lines.
    """
    found, present = [], None
    for network in _listdir(host.ipam_directory):
        directory = os.path.join(host.ipam_directory, network)
        if not networks(network) or not os.path.isdir(directory):
            continue
        for name in _listdir(directory):
            file = os.path.join(directory, name)
            if not _is_address(name) or _age(file, now) < grace:
                continue
            holder = (files.read(file) or b"").decode("utf-8", "replace").split()
            container_id = holder[0] if holder else ""
            # those of a state that is garbage itself are freed with it
            if container_id in live or (container_id, network) in owned:
                continue
            if present is None:
                present = _present(
                    host
                )  # every namespace is looked into, once, and only where there is a doubt
            if name not in present:
                interface = holder[1] if len(holder) > 1 else ""
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


def _flannel(host, networks, live, owned, grace, now):
    found = []
    for directory, dummy, names in sorted(os.walk(host.flannel_directory)):
        for name in sorted(names):
            file = os.path.join(directory, name)
            if name in live or not conf.is_name(name) or _age(file, now) < grace:
                continue
            try:
                network = conf.decode(files.read(file) or b"{}", file).get("name")
            except errors.Error:
                continue  # not one of the plugin's
            if isinstance(network, str) and networks(network) and (name, network) not in owned:
                found.append({"network": network, "container_id": name, "file": file})
    return found


def _remembered(directories):
    """The ids of the containers that some runtime remembers with a namespace that is there."""
    live = set()
    for directory in directories:
        for name in _listdir(directory):
            try:
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    entry = json.load(file)
                if os.path.exists(entry["netns"]):
                    live.add(entry["containerId"])
            except (OSError, ValueError, KeyError, TypeError):
                continue  # not one of theirs; the address itself is looked for all the same
    return live


def _present(host):
    """The addresses (set of str) in all network namespaces of the host; raise Error for one that is
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


def _is_namespace(path):
    return path.startswith("/proc/") or any(
        line.split()[4] == os.path.realpath(path) for line in _lines("/proc/self/mountinfo")
    )


def _lines(path):
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.readlines()


def _release(one):
    """Free an address as host-local itself does: with its lock."""
    with open(os.path.join(os.path.dirname(one["file"]), "lock"), "a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        holder = (files.read(one["file"]) or b"").decode("utf-8", "replace").split()
        if holder[:1] == [one["container_id"]] or not holder:  # nobody got it meanwhile
            files.remove(one["file"])


def _is_address(name):
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, name)
            return True
    return False


def _age(file, now):
    try:
        return now - os.stat(file).st_mtime
    except OSError:
        return 0


def _listdir(path):
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []
