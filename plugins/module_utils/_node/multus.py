# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Multus on a host: what there is of it, and what the meta-plugin in its place means.

look() and kept() read; what decides is pure.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from .._cni import files
from .._cni.conf import SUFFIXES
from .._cni.conf import files as conf_files
from . import executables
from .files import original

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

# The `type` of Multus' thin plugin, and of the thick one's end on the host
NAMES = ("multus", "multus-shim")
_OURS = "00-multinet.conf"


class Found(NamedTuple):
    """What a host has of Multus."""

    # paths of configurations that a container runtime reads, and which call it
    confs: list[str]
    # those of them whose delegate is the meta-plugin: Multus takes the first configuration for the
    # pods' first network, and 00-multinet.conf is the first
    fed_by_us: list[str]
    executables: list[str]  # paths; what the meta-plugin has taken the place of is not among them


def look(conf_dir: str, bin_dir: str) -> Found:
    """Return what is in the two directories of CNI; raise OSError."""
    confs, fed_by_us = [], []
    for path in conf_files(conf_dir):
        if os.path.basename(path) != _OURS and os.path.isfile(path):
            with open(path, "rb") as stream:
                content = stream.read()
            if calls_multus(content):
                confs.append(path)
                fed_by_us += [path] if is_fed_by_us(content) else []
    paths = [os.path.join(bin_dir, name) for name in NAMES]
    there = [path for path in paths if os.path.isfile(path)]
    return Found(confs, fed_by_us, [path for path in there if not executables.is_launcher_at(path)])


def serves_then(conf_dir: str, given_back: Iterable[str]) -> bool:
    """Say whether a runtime asks Multus once ours are gone: by a configuration that is there, or by
    one of given_back (paths of what was kept); raise OSError.
    """
    return bool(look(conf_dir, "").confs) or any(
        calls_multus(files.read(path) or b"") for path in given_back
    )


def without(found: Found, moved: Collection[str]) -> Found:
    """Return what is left of Multus where configurations (paths) are moved away, for ours has their
    networks; raise OSError. One with a kubeconfig stays in it: it serves pods' annotations, too.
    """
    confs = [path for path in found.confs if path not in moved or _serves_annotations(path)]
    return found._replace(confs=confs)


def _serves_annotations(path: str) -> bool:
    with open(path, "rb") as stream:
        return any("kubeconfig" in plugin for plugin in _plugins(stream.read()))


def calls_multus(content: bytes) -> bool:
    """Say whether a CNI configuration has a runtime call Multus."""
    return any(plugin.get("type") in NAMES for plugin in _plugins(content))


def is_fed_by_us(content: bytes) -> bool:
    """Say whether Multus' configuration has what this collection writes as its delegate."""
    delegates = [plugin.get("delegates") for plugin in _plugins(content)]
    return any(
        isinstance(delegate, dict) and delegate.get("name") == "multinet"
        for listed in delegates
        for delegate in (listed if isinstance(listed, list) else ())
    )


def _plugins(content: bytes) -> Iterator[dict[str, Any]]:
    try:
        conf = json.loads(content)
    except (ValueError, RecursionError):
        return
    if isinstance(conf, dict):
        plugins = conf.get("plugins")
        for plugin in plugins if isinstance(plugins, list) else [conf]:
            if isinstance(plugin, dict):
                yield plugin


def problem(found: Found, launchers: Iterable[str], is_deployed: bool) -> str:
    """Say what of Multus is in the way of a host that is not to replace it; "" for nothing.

    launchers: the paths that the meta-plugin is to have. is_deployed: whether networks are on this
    host already: then Multus came later, and is called by nobody.
    """
    taken = [path for path in found.executables if path in launchers]
    served = [] if is_deployed else found.confs
    if not taken and not served:
        return ""
    would = (
        f"{_OURS} would come before its configuration"
        if served
        else "multinet_meta_plugin_names has its name"
    )
    return (
        f"Multus is on this host ({', '.join(served + taken)}), and {would}. Write"
        " multinet_replace_multus: true to have the meta-plugin serve its pods and annotations from"
        " now on, until a reset; or remove Multus first."
    )


def sentences(
    found: Found, launchers: Iterable[str], is_deployed: bool, daemon_sets: Sequence[str] = ()
) -> list[str]:
    """Say what a run will do on a host that is to replace Multus; none where all is done.

    daemon_sets: those that bring Multus to nodes, namespace/name.
    """
    taken = [path for path in found.executables if path in launchers]
    served = [] if is_deployed else found.confs
    said = []
    if served:
        said.append(f"{_OURS} comes before {' and '.join(map(os.path.basename, served))}")
    said += [
        f"{path} is now the meta-plugin, and the former file is {original(path)}" for path in taken
    ]
    if not said:
        return []
    more = "".join(
        f" DaemonSet {name} stays as it is; each time its pod starts here, it puts its own"
        " executable back, until the next run. Delete it when you do not want to go back to Multus."
        for name in daemon_sets
    )
    return [
        f"Multus is replaced on this host: {'; '.join(said)}. Running pods keep their interfaces,"
        f" and a reset brings Multus back.{more}"
    ]


def stays(found: Found, again: Iterable[str]) -> list[str]:
    """Say which of Multus' configurations will attach nothing when ours are gone, a sentence each.

    again: those that will be what they were.
    """
    return [
        f"{path} stays: Multus wrote it with the meta-plugin as its delegate. Restart Multus'"
        " DaemonSet, or remove the file."
        for path in found.fed_by_us
        if path not in again
    ]


def to_keep(found: Found, moved: Collection[str] = ()) -> list[str]:
    """Return the configurations of Multus that a reset may need as they are.

    moved: paths that are kept elsewhere.
    """
    return [path for path in found.confs if path not in {*found.fed_by_us, *moved}]


def kept(conf_dir: str) -> list[str]:
    """Return the paths of the configurations that were kept; raise OSError."""
    end = original("")
    names = files.listed(conf_dir)
    return [
        os.path.join(conf_dir, name[: -len(end)])
        for name in names
        if name[: -len(end)].endswith(SUFFIXES) and name.endswith(end)
    ]
