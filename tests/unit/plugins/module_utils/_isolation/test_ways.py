# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which devices the guard takes other nodes to be reached."""

from __future__ import annotations

import ipaddress
import socket
import struct

from test_ports import guard

ETH0, TUN, BR0, VETH, OWN0, VNET0 = range(1, 7)
LINKS = {
    ETH0: (b"", BR0),
    TUN: (b"tun", 0),
    BR0: (b"bridge", 0),
    VETH: (b"veth", OWN0),
    OWN0: (b"bridge", 0),
    VNET0: (b"tun", OWN0),
}
NODE = socket.inet_aton("192.168.7.2")
RANGES = [ipaddress.ip_network("10.3.0.0/16")]
RA = guard.RTPROT_RA


def route(prefix, device, gateway="", protocol=3, hops=()):
    """hops: (device, gateway) of each, in the place of one device."""
    target = ipaddress.ip_network(prefix)
    family = socket.AF_INET if target.version == 4 else socket.AF_INET6
    attributes = {guard.RTA_DST: target.network_address.packed} if target.prefixlen else {}
    if device:
        attributes[guard.RTA_OIF] = struct.pack("=i", device)
    if gateway:
        attributes[guard.RTA_GATEWAY] = ipaddress.ip_address(gateway).packed
    nested = b""
    for index, hop in hops:
        inner = struct.pack("=HH", 8, guard.RTA_GATEWAY) + socket.inet_aton(hop) if hop else b""
        nested += struct.pack("=HBBi", 8 + len(inner), 0, 0, index) + inner
    if nested:
        attributes[guard.RTA_MULTIPATH] = nested
    body = struct.pack("=8BI", family, target.prefixlen, 0, 0, 254, protocol, 0, 1, 0)
    return body, attributes


def to(*routes):
    return guard.Ways(routes, guard._made_for_pods(LINKS)).to({NODE})


def into(*routes):
    return guard.Ways(routes, guard._made_for_pods(LINKS)).into(RANGES)


def test_a_bridge_is_made_for_pods_unless_it_carries_something_else():
    assert guard._made_for_pods(LINKS) == {VETH, OWN0}


def test_a_node_is_reached_by_the_underlay_and_not_by_what_was_made_for_a_pod():
    assert to(route("192.168.7.0/24", ETH0), route("192.168.7.2/32", VETH)) == {ETH0}
    assert to(route("192.168.7.0/24", BR0), route("192.168.7.0/25", OWN0)) == {BR0}
    assert to(route("192.168.8.0/24", ETH0)) == set()


def test_a_gateway_makes_it_the_underlay_as_in_a_node_that_is_a_container():
    assert to(route("0.0.0.0/0", VETH, "192.168.7.254")) == {VETH}
    assert to(route("0.0.0.0/0", OWN0, "192.168.7.254", protocol=RA)) == set()
    both = [(ETH0, "192.168.7.254"), (VETH, "192.168.7.253"), (OWN0, "")]
    assert to(route("0.0.0.0/0", 0, hops=both)) == {ETH0, VETH}


def test_a_network_without_a_tunnel_device_is_reached_by_its_routes():
    """By the gateway of each node (host-gw), and by flanneld's own device (udp)."""
    assert into(route("10.3.9.0/24", VETH, "192.168.7.2"), route("10.3.0.0/16", TUN)) == {VETH, TUN}
    assert into(route("10.3.9.5/32", VETH), route("10.3.9.0/25", OWN0)) == set()
    assert into(route("10.0.0.0/8", TUN), route("10.4.0.0/16", TUN)) == set()
