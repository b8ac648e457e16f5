# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check one value by what the tables of schema.py say of its key."""

from __future__ import annotations

import re
from typing import Any

from .schema import Key
from .sentences import Report, show

SIMPLE = ("boolean", "integer", "string")  # the kinds that check_value knows


def check_value(name: str, key: Key, value: Any, report: Report) -> Any:
    """Return the value, or null when it is wrong, which is reported; no sentence shows a secret.

    name: what a sentence calls the key, whose kind is one of SIMPLE.
    """
    said = f"{name} is {'wrong (it is secret and not shown)' if key.secret else show(value)}"
    if key.kind == "boolean":
        if isinstance(value, bool):
            return value
        report.wrong(f"{said}; write true or false")
    elif key.kind == "integer":
        if is_int(value) and key.low <= value <= key.high:
            return int(value)
        report.wrong(f"{said}; write a whole number from {key.low} to {key.high} ({key.why})")
    elif key.choices:
        if isinstance(value, str) and value in key.choices:
            return str(value)
        report.wrong(f"{said}; write {key.write or 'one of ' + ', '.join(key.choices)}")
    elif not isinstance(value, str) or not value:
        report.wrong(f"{name} is not a string, or is empty; write a string")
    elif len(value) < key.low:
        report.wrong(f"{name} has {len(value)} characters; write at least {key.low}")
    elif key.pattern and not re.fullmatch(key.pattern, value):
        report.wrong(f"{name} is {key.why}")
    else:
        return str(value)
    return None


def is_int(value: Any) -> bool:
    """True for a whole number; YAML's booleans are not numbers."""
    return isinstance(value, int) and not isinstance(value, bool)
