# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attachments that another CNI has made before this plugin took its place: Multus, or the cluster's
former one. Their containers' DEL comes to us.

What to detach is in libcni's cache, which both the runtime and Multus write: a JSON file
<network>-<container id>-<interface> for each network, with its configuration and what the plugins
were told (libcni/api.go, cachedInfo). Multus has such a cache of its own, and a file for each
container beside it.
"""

from __future__ import annotations

import os

from .._cni import conf, errors, files, runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_KIND = "cniCacheV1"


class Places:
    """Directories: runtimes: libcni's caches of container runtimes; multus: what Multus keeps."""

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
        self.raw = conf.network_keys(conf.decode(a2b_base64(entry["config"]), file))
        self.result: dict[str, Any] | None = entry.get("result")
        self._args = ";".join(f"{key}={value}" for key, value in entry.get("cniArgs") or ())
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
    container_id: str, interface: str, own_type: object, places: Places
) -> tuple[list[Remembered], list[str]]:
    """Return the networks to detach a container from, the last one attached first, and the files to
    remove after them.

    What the runtime remembers by the request's interface, and all that Multus does. own_type: the
    `type` of our own configuration.
    """
    direct = [
        one
        for directory in places.runtimes
        for one in _of_container(directory, container_id)
        if one.interface == interface
    ]
    # Multus' own entry, or ours: what they attached is remembered, too
    metas = [one for one in direct if one.is_meta(own_type)]
    found = [one for one in direct if one not in metas]
    found += _of_container(os.path.join(places.multus, "results"), container_id)
    found.sort(key=lambda one: (one.interface != interface, one.interface), reverse=True)
    return found, [os.path.join(places.multus, container_id), *(one.file for one in metas)]


def _of_container(directory: str, container_id: str) -> list[Remembered]:
    files_of_it = [name for name in files.listed(directory) if f"-{container_id}-" in name]
    found = [_read(os.path.join(directory, name)) for name in files_of_it]
    return [one for one in found if one and one.container_id == container_id]


def detach(
    cni: runtime.Runtime, found: list[Remembered], others: list[str], netns: str
) -> list[errors.Error]:
    """Detach what was remembered and forget it; return the errors of what could not be."""
    failed = []
    for one in found:
        try:
            cni.delete(one.network, one.attachment(netns), one.result)
            _remove(one.file)
        except errors.Error as error:
            place = f"network {one.raw.get('name')}, interface {one.interface}"
            failed.append(error.within(place))
    if not failed:
        for file in others:
            _remove(file)
    return failed


def _remove(file: str) -> None:
    try:
        files.remove(file)
    except OSError as error:
        raise errors.Error(
            errors.IO_FAILURE, f"{file} cannot be removed.", error.strerror
        ) from None


def _read(file: str) -> Remembered | None:
    """Return what a file of the cache remembers; None for a file of another kind."""
    try:
        entry = conf.decode(files.read(file) or b"{}", file)
        return Remembered(entry, file) if entry.get("kind") == _KIND else None
    except (errors.Error, OSError, KeyError, TypeError, ValueError, AttributeError):
        return None
