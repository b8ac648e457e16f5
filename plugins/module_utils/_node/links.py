# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links as `ip -j -d addr` prints them, in the short form in which they are compared; and the MAC
of one, which needs no process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

UDP_TUNNELS = ("vxlan", "geneve")  # kinds of which `port` is a UDP port

Link = dict[str, Any]  # of `ip -j -d addr`


def json_lists(text: str) -> Iterator[list[Any]]:
    """Yield the lists that `ip -j -batch` and `tc -j -batch` print one after the other."""
    decoder, place = json.JSONDecoder(), 0
    while True:
        while place < len(text) and text[place].isspace():
            place += 1
        if place == len(text):
            return
        listed, place = decoder.raw_decode(text, place)
        yield listed


def brief(one: Link) -> dict[str, Any]:
    """Return {"name", "kind" ("" of a real one), "mac", "mtu", "up", "master" (the bridge it is on,
    or None), "apart" (whether its other end is in another network namespace, as a pod's is),
    "addresses", "vni", "port", "local"} of a link; the last three are a VXLAN or Geneve device's,
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
        "apart": "link_netnsid" in one,
        "addresses": addresses(one),
        "vni": data.get("id"),
        "port": data.get("port"),
        "local": data.get("local") or data.get("local6"),
    }


def keep_addresses(name: str) -> str:
    """Return the command by which a device keeps its IPv6 addresses while it is down."""
    return f"echo 1 > /proc/sys/net/ipv6/conf/{name}/keep_addr_on_down"


def name_back(name: str, wanted: str) -> str:
    """Return the commands that rename a device; before 6.2, kernels rename none that is up."""
    return (
        f"{keep_addresses(name)}; ip link set {name} down && ip link set {name} name {wanted} &&"
        f" ip link set {wanted} up"
    )


def mac(name: str) -> str | None:
    """Return the MAC of a network device, None where there is none."""
    try:
        with open(f"/sys/class/net/{name}/address", encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return None


def addresses(one: Link) -> list[str]:
    """Return ["10.1.5.2/24", ...] of a link; link-local addresses stay out."""
    return [
        f"{item['local']}/{item['prefixlen']}"
        for item in one.get("addr_info", [])
        if "local" in item and item.get("scope") != "link"
    ]
