# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's ends of pods' interfaces, against what CNI said when it made them.

Reads only. Runs on hosts.
"""

from __future__ import annotations

import functools
import glob
import json
import os
from collections.abc import Collection, Iterator
from typing import Any

from .._cni import files
from .._names import ATTACHMENTS

_SYS = "/sys/class/net"

End = dict[str, str]  # {"name", "mac"}


def off_bridge(
    links: dict[str, dict[str, Any]],
    bridges: Collection[str],
    states: Collection[str] = ATTACHMENTS,
) -> dict[str, dict[str, str]]:
    """Return {the host's end of a pod's interface: {"bridge": of the network that CNI put it on,
    "mac": that bridge's} of those that are not on it any more.

    links: brief() by name; bridges: of the networks.
    """
    loose = {
        name: link
        for name, link in links.items()
        if link["kind"] == "veth" and link["apart"] and link["master"] not in bridges
    }
    found = {}
    for bridge, end in _attached(states) if loose else ():
        name = end["name"]
        if bridge["name"] not in bridges or end["mac"] != loose.get(name, {}).get("mac"):
            continue
        # one whose ADD was under way when the links were listed is there by now
        if os.path.isdir(f"{_SYS}/{name}") and _master(name) not in bridges:
            found[name] = {"bridge": bridge["name"], "mac": bridge["mac"]}
    return found


def _attached(states: Collection[str]) -> Iterator[tuple[End, End]]:
    """Yield (bridge, host's end) of every interface whose ADD has ended."""
    for path in sorted(one for place in states for one in glob.glob(f"{place}/*.json")):
        try:
            there = os.stat(path)
            found = _ends(path, there.st_size, there.st_mtime_ns, there.st_ino)
        except OSError:
            continue  # it has just gone
        yield from found


@functools.lru_cache(maxsize=1024)
def _ends(path: str, size: int, mtime: int, inode: int) -> list[tuple[End, End]]:
    """Return what a record has of it, as the plugin bridge returns it (its result since CNI 0.3.0).
    A process that looks again and again reads only what has changed. Raises OSError.
    """
    found = []
    try:
        state = json.loads(files.read(path) or b"{}")
        for given in (state, *state.get("delegates", ())):
            listed = (given.get("result") or {}).get("interfaces") or ()
            ends = [
                {"name": str(one["name"]), "mac": str(one.get("mac", "")).lower()}
                for one in listed
                if not one.get("sandbox")
            ]
            if len(ends) == 2:
                found.append((ends[0], ends[1]))
    except (ValueError, LookupError, TypeError, AttributeError):
        pass  # damaged: the meta-plugin says so when the pod goes
    return found


def _master(name: str) -> str:
    """Return what a device is on now, "" for nothing."""
    try:
        return os.path.basename(os.readlink(f"{_SYS}/{name}/master"))
    except OSError:
        return ""
