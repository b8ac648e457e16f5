# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one line of a unit's journal that tells why it does not get ready. Pure.

flanneld logs in klog's form (`E1126 21:30:00.1   12 main.go:325] Failed to find any valid ...`),
etcd in JSON, Python ends with the exception's line, ours say sentences; systemd's own words stand
between them.
"""

from __future__ import annotations

import json
import re

_KLOG = re.compile(r"[IWEF]\d{4} [\d:.]+ +\d+ [^\]]+\] (.*)")
_GRAVE = re.compile(r"[EF]\d{4} ")
# systemd's: "x.service: Main process exited, ...", "Started x.service - ..."
_SYSTEMD = re.compile(
    r"\S+\.(service|timer): |(Start|Stopp|Reload)(ed|ing) |Failed to start |Scheduled restart job"
)
_SYSTEMD_TELLS = re.compile(r"\S+\.(service|timer): (Failed to (?!parse)|.*timed out)")
_NOISE = ("timed out", "Failed to notify systemd")  # of flanneld, at every try


def reason_in(text: str) -> str:
    """Return why a unit ended or does not get ready, from the text of its journal, newest last: its
    last fatal message, else its last error, else the last line of its own; "" when there is none.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    entries = [entry for entry in map(_json_object, lines) if entry]
    for levels in (("fatal", "panic"), ("error",)):
        grave = [entry for entry in entries if entry.get("level") in levels]
        if grave:
            said = [str(grave[-1][key]) for key in ("msg", "error") if grave[-1].get(key)]
            return ": ".join(said)
    own = [line for line in lines if not _SYSTEMD.match(line) and line not in _NOISE]
    grave_lines = [line for line in own if _GRAVE.match(line)]
    for found in (grave_lines, own):
        if found:
            klog = _KLOG.match(found[-1])
            return klog.group(1) if klog else found[-1]
    tells = [line for line in lines if _SYSTEMD_TELLS.match(line)]
    return (tells or lines or [""])[-1]


def _json_object(line: str) -> dict[str, object]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
