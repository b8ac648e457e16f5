# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attachments that another CNI has made before this plugin took its place: Multus, or the cluster's
former one. Their containers' DEL comes to us, or has come while nobody knew what to do with it.

What to detach is in libcni's cache, which both the runtime and Multus write: a JSON file
<network>-<container id>-<interface> for each network, with its configuration and what the plugins
were told (libcni/api.go, cachedInfo). Multus has such a cache of its own, and a file for each
container beside it.
"""

from __future__ import annotations

import os

from .._cni import conf, errors, files, netns, runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_KIND = "cniCacheV1"
_BY_HOST_LOCAL = ("bridge", "flannel", "host-local")


class CacheDirectories:
    """runtimes: libcni's caches of container runtimes; multus: what Multus keeps."""

    def __init__(
        self,
        runtimes: Iterable[str] = ("/var/lib/cni/results", "/var/lib/cni/cache/results"),
        multus: str = "/var/lib/cni/multus",
    ) -> None:
        self.runtimes = runtimes
        self.multus = multus


class Remembered:
    """One network of a container: what libcni's cache has of it, and the file."""

    def __init__(self, entry: dict[str, Any], file: str) -> None:
        from binascii import a2b_base64

        self.file = file
        self.interface: str = entry["ifName"]
        self.container_id: str = entry["containerId"]
        # "" where libcni is older than 1.2, as containerd's up to 1.7
        self.netns: str = entry.get("netns") or ""
        self.raw = conf.network_keys(conf.decode(a2b_base64(entry["config"]), file))
        self.result: dict[str, Any] | None = entry.get("result")
        arguments = entry.get("cniArgs") or ()
        self._args = ";".join(f"{key}={value}" for key, value in arguments)
        self.pod_uid = "".join(value for key, value in arguments if key == "K8S_POD_UID")
        self._capability_args: dict[str, Any] = entry.get("capabilityArgs") or {}

    @property
    def network(self) -> conf.NetworkList:
        """The network; raise Error."""
        return conf.parse(self.raw, self.file)

    def attachment(self, netns: str) -> runtime.Attachment:
        """Return what the plugins were called for; netns: a path, empty when it is gone."""
        return runtime.Attachment(
            self.container_id,
            netns,
            self.interface,
            args=self._args,
            capability_args=self._capability_args,
        )

    def is_meta(self, own_type: object) -> bool:
        """Say whether it is a meta-plugin's, Multus' or our own; by now it may be this program that
        has its executable's name.
        """
        return any(
            plugin.get("type") in ("multus", own_type)
            or "delegates" in plugin
            or "clusterNetwork" in plugin
            for plugin in self.raw.get("plugins") or [self.raw]
        )


def remembered(
    container_id: str, interface: str, own_type: object, caches: CacheDirectories
) -> tuple[list[Remembered], list[str]]:
    """Return the networks to detach a container from, the last one attached first, and the files to
    remove after them.

    What the runtime remembers by the request's interface, and all that Multus does. own_type: the
    `type` of our own configuration.
    """
    direct = [
        one
        for directory in caches.runtimes
        for one in _of_container(directory, container_id)
        if one.interface == interface
    ]
    # Multus' own entry, or ours: what they attached is remembered, too
    metas = [one for one in direct if one.is_meta(own_type)]
    found = [one for one in direct if one not in metas]
    found += _of_container(os.path.join(caches.multus, "results"), container_id)
    found.sort(key=lambda one: (one.interface != interface, one.interface), reverse=True)
    return found, [os.path.join(caches.multus, container_id), *(one.file for one in metas)]


def entries(directories: Iterable[str], part: str = "") -> dict[str, dict[str, Any]]:
    """Return {file: the JSON object in it} of caches, libcni's and others, without what is none;
    raise OSError for a directory that cannot be read. part: of the files' names.
    """
    paths = [
        os.path.join(directory, name)
        for directory in directories
        for name in files.listed(directory)
        if part in name
    ]
    found = {}
    for path in paths:
        try:
            found[path] = conf.decode(files.read(path) or b"", path)
        except (errors.Error, OSError):
            continue  # not one of theirs
    return found


def left(
    kept: dict[str, dict[str, Any]], own_type: object, proc: str = "/proc"
) -> list[Remembered]:
    """Return what libcni's caches remember of containers that are gone: what their plugins gave
    them, such as addresses and the rules of published ports, may still be there.

    Gone is who has no network namespace any more. A pod of which a process is stays where none is
    named, or where a mere file is in its place: a runtime may mount namespaces where only its own
    programs see them. kept: of entries(); own_type: as in remembered(); what a meta-plugin attached
    has entries of its own.
    """
    runs = running(kept, own_type, proc)
    return [
        one
        for one in _all_of(kept)
        if not one.is_meta(own_type)
        and not netns.is_there(one.netns)
        and (one.container_id not in runs if one.pod_uid else one.netns)
    ]


def running(kept: dict[str, dict[str, Any]], own_type: object, proc: str = "/proc") -> set[str]:
    """Return the ids of the pods of which a process is, of those whose namespace is not found: none
    is named, or a mere file is in its place. The arguments are those of left().
    """
    unsure = [
        one
        for one in _all_of(kept)
        if one.pod_uid
        and not one.is_meta(own_type)
        and not netns.is_there(one.netns)
        and (not one.netns or os.path.exists(one.netns))
    ]
    processes = _processes(proc) if unsure else ""
    return {one.container_id for one in unsure if _runs(one, processes)}


def _processes(proc: str) -> str:
    """Return who started the processes of this host, and as what: their cgroups, command lines."""
    return "\n".join(
        files.text(f"{proc}/{pid}/{name}")
        for pid in os.listdir(proc)
        if pid.isdigit()
        for name in ("cgroup", "cmdline")
    )


def _runs(one: Remembered, processes: str) -> bool:
    """Say whether a process of a pod is among them: systemd's cgroups write its UID with _."""
    names = one.container_id, one.pod_uid, one.pod_uid.replace("-", "_")
    return any(name in processes for name in names)


def attachments(caches: CacheDirectories) -> set[tuple[str, str]]:
    """Return (container id, interface) of all that is remembered, ours among it."""
    directories = (*caches.runtimes, os.path.join(caches.multus, "results"))
    return {(one.container_id, one.interface) for one in _all_of(entries(directories))}


def _of_container(directory: str, container_id: str) -> list[Remembered]:
    found = _all_of(entries([directory], f"-{container_id}-"))
    return [one for one in found if one.container_id == container_id]


def in_process(found: Iterable[Remembered]) -> tuple[str, ...]:
    """Return the plugins whose work is to be done without their executables: those by which an
    address is freed, where the network's addresses lie behind a link, as those of a network that
    was taken over do (module_utils/_node/adopted.py). Upstream's host-local follows none.
    """
    from .host_local_plugin import DIRECTORY

    names = {str(one.raw.get("name")) for one in found}
    links = [name for name in names if os.path.islink(os.path.join(DIRECTORY, name))]
    return _BY_HOST_LOCAL if links else ()


def detach(
    cni: runtime.Runtime, found: list[Remembered], others: list[str], netns: str
) -> list[errors.Error]:
    """Detach what was remembered and forget it; return the errors of what could not be."""
    failed = []
    for one in found:
        try:
            cni.delete(one.network, one.attachment(netns), one.result)
            _remove(one.file)
        except Exception as error:  # as in delete.detach_all()
            place = f"network {one.raw.get('name')}, interface {one.interface}"
            failed.append(errors.as_error(error, "The meta-plugin failed.").within(place))
    if not failed:
        for file in others:
            _remove(file)
    return failed


def _remove(file: str) -> None:
    try:
        files.remove(file)
    except OSError as error:
        raise errors.io_failure(f"{file} cannot be removed.", error) from None


def _all_of(kept: dict[str, dict[str, Any]]) -> list[Remembered]:
    """Return what entries() remember; a file of another kind remembers nothing."""
    found = [_of_cache(entry, file) for file, entry in kept.items()]
    return [one for one in found if one]


def _of_cache(entry: dict[str, Any], file: str) -> Remembered | None:
    try:
        return Remembered(entry, file) if entry.get("kind") == _KIND else None
    except (errors.Error, KeyError, TypeError, ValueError, AttributeError):
        return None
