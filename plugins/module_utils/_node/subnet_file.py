# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What flanneld wrote about this host's share of a network: its subnet file.

FLANNEL_SUBNET=10.1.39.1/24 and its like (flannel, pkg/subnet/subnet.go:WriteSubnetFile).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from .._ranges import Range
from .units import parse_environment


def read(path: str) -> dict[str, str]:
    """Return {variable: value} of a subnet file, {} when there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return parse_environment(file.read())
    except (OSError, ValueError):  # or a path that can be none
        return {}


def gateways(written: Mapping[str, str]) -> list[str]:
    """Return the bridge's addresses with their lengths, IPv4 first: ["10.1.39.1/24"].

    What is no address, such as half a line, is no subnet.
    """
    texts = (written.get(key, "") for key in ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"))
    return [text for text in texts if _is_subnet(text)]


def subnets(written: Mapping[str, str]) -> list[Range]:
    """Return this host's subnets, IPv4 first."""
    return [ipaddress.ip_network(gateway, strict=False) for gateway in gateways(written)]


def _is_subnet(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return "/" in text
