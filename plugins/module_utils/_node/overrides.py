# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others have put beside a unit file of ours, by which systemd runs something else than we
wrote: drop-ins, and unit files that come before ours (systemctl edit, systemctl edit --full).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping

from .._cni import files

PROPERTIES = ("FragmentPath", "DropInPaths")
REMEDY = "remove that file, and then run the playbook site"
_DIRECTORY = "/etc/systemd/system"

# How much a unit may use, how long it may take and when it starts: what it then does is the same.
# Distributions have such drop-ins for all services (Fedora's 10-timeout-abort.conf).
_NO_MATTER = re.compile(
    "(Startup)?(Allowed)?(CPU|Memory|IO|BlockIO)|Tasks|Limit|OOM|ManagedOOM|Nice$|Slice$|Log|Syslog"
    "|StandardOutput$|StandardError$|Timeout|Restart|RuntimeMax|Job|StartLimit|After$|Before$"
    "|Wants$|On(Failure|Success)|Description$|Documentation$|(Wanted|Required|Upheld)By$"
    "|(Default)?(IP|Device)?Accounting$"
)


def changes(
    unit: str, properties: Mapping[str, str], read: Callable[[str], str] = files.text
) -> dict[str, list[str]]:
    """Return {file of others: names of what it sets}, no names for one in place of our own.

    properties: systemd's, see PROPERTIES, and UnitFileState. read: returns the text of a file.
    """
    found: dict[str, list[str]] = {}
    if properties.get("UnitFileState", "").startswith("masked"):
        return found  # by a link in its place
    file = properties.get("FragmentPath", "")
    if file and file != written(unit):
        found[file] = []
    for path in properties.get("DropInPaths", "").split():
        names = [name for name in _settings(read(path)) if not _NO_MATTER.match(name)]
        if names:
            found[path] = names
    return found


def written(unit: str) -> str:
    """Return the path of the unit file that we write for a unit."""
    name, dot, kind = unit.rpartition(".")
    template = name.partition("@")[0] + "@" if "@" in name else name
    return os.path.join(_DIRECTORY, f"{template}{dot}{kind}")


def sentence(unit: str, path: str, names: list[str]) -> str:
    """Say what a file does to a unit."""
    if names:
        return f"{path} changes {', '.join(names)} of {unit}"
    return f"{unit} is run by {path} instead of {written(unit)}"


def _settings(text: str) -> list[str]:
    """Return the names of what a unit file or a drop-in sets, each once."""
    lines = re.sub(r"\\\n", " ", text).splitlines()
    pairs = (line.partition("=") for line in lines if line.strip()[:1] not in ("#", ";", "["))
    return list(dict.fromkeys(name.strip() for name, sign, dummy in pairs if sign))
