# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranges of addresses, for what does without netaddr because it runs on hosts."""

from __future__ import annotations

import ipaddress
from typing import Union

Range = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


def is_within(inner: Range, outer: Range) -> bool:
    """Whether all addresses of a range are in another; never if they are of two families."""
    return inner.prefixlen >= outer.prefixlen and inner.network_address in outer
