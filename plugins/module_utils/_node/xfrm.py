# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies of ipsec, as `ip xfrm policy` lists them. Pure; runs on hosts."""

from __future__ import annotations

import re
from typing import NamedTuple

# "src 10.7.1.0/24 dst 10.7.2.0/24 \n\tdir out priority 0 \n\ttmpl src 192.0.2.1 dst 192.0.2.2"
_POLICY = re.compile(
    r"^src (\S+) dst (\S+)\s+dir (in|out|fwd)\b[^\n]*(?:\n\s+tmpl src \S+ dst (\S+))?", re.MULTILINE
)


class Policy(NamedTuple):
    """Between which ranges, in which direction, and to which host; "" where it says none."""

    source: str
    target: str
    way: str
    host: str


def policies(listed: str) -> list[Policy]:
    """Return the policies of what `ip xfrm policy` printed."""
    return [Policy(*found) for found in _POLICY.findall(listed)]
