# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links as `ip -j -d addr` prints them, in the short form in which they are compared."""

from __future__ import annotations

from typing import Any

Link = dict[str, Any]  # of `ip -j -d addr`


def brief(one: Link) -> dict[str, Any]:
    """Return {"name", "kind" ("" of a real one), "mac", "mtu", "up", "master" (the bridge it is on,
    or None), "addresses", "vni", "port", "local"} of a link; the last three are a VXLAN device's,
    else None.
    """
    data = one.get("linkinfo", {}).get("info_data", {})
    return {
        "name": one["ifname"],
        "kind": one.get("linkinfo", {}).get("info_kind", ""),
        "mac": one.get("address"),
        "mtu": one["mtu"],
        "up": "UP" in one["flags"],
        "master": one.get("master"),
        "addresses": addresses(one),
        "vni": data.get("id"),
        "port": data.get("port"),
        "local": data.get("local") or data.get("local6"),
    }


def addresses(one: Link) -> list[str]:
    """Return ["10.1.5.2/24", ...] of a link; link-local addresses stay out."""
    return [
        f"{item['local']}/{item['prefixlen']}"
        for item in one.get("addr_info", [])
        if "local" in item and item.get("scope") != "link"
    ]
