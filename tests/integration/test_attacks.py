# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a hostile pod tries, with all rights in its own namespace: each attack succeeds on hosts
with flannel's own rules, and fails with the guard.

An attack is a function of the lab that returns whether it got through. What it changes on hosts and
in pods it puts right again.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import struct

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.ruleset import ruleset
from lab import HAND_MADE_IPV6, OUTSIDE, PORT, Lab, declared, udp_packet

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

ICMP, ICMPV6, UDP = 1, 58, 17
FRESH_PORTS = itertools.count(40404)
POD_PORTS = sorted({*range(1024, 65536)} - {PORT})
FRAG_NEEDED, PACKET_TOO_BIG, REDIRECT = (3, 4), (2, 0), 5


@pytest.fixture(scope="module", name="world")
def _world():
    with Lab(declared(), HAND_MADE_IPV6) as lab:
        yield lab


@pytest.fixture(name="lab")
def _lab(world):
    """The lab as hosts with flannel's own rules and nothing of ours."""
    world.flush()
    world.flannel_rules()
    return world


# Other people's connections: conntrack


def talk_from_every_port(lab, version=4):
    """Send from every port of h1-blue to one of h2, which no connection knows yet; returns that.

    Masquerade then gives the pod most ports of the node.
    """
    port = next(FRESH_PORTS)
    any_address, family = ("0.0.0.0", socket.AF_INET) if version == 4 else ("::", socket.AF_INET6)
    with lab.inside("h1-blue"):
        for source in POD_PORTS:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.bind((any_address, source))
                sock.sendto(b"shadow", (lab.underlay(2, version), port))
    return port


def shadowed_tunnel(lab, version=4):
    """Have masquerade give a pod's connection a tunnel's port of the node; then what another node
    sends to that tunnel, from the port that the pod has talked to, comes to the pod.
    """
    port = talk_from_every_port(lab, version)
    stolen = []
    for victim in ["h1-blue-b"] + ["h1-red"] * (version == 4):
        token = lab.inject("h2", lab.underlay(1, version), victim, source_port=port)
        stolen.append(token not in lab.receipts([token]))
    return any(stolen)


def shadowed_tunnel_ipv6(lab):
    """The same over IPv6."""
    masquerade = "type nat hook postrouting priority srcnat; ip6 saddr fd00:1::/48"
    masquerade += " ip6 daddr != fd00:1::/48 masquerade fully-random"
    lab.nft(f"table ip6 theirs {{ chain c {{ {masquerade}; }}; }}\n", hosts=["h1"])
    return shadowed_tunnel(lab, 6)


def shadowed_node_port(lab):
    """The same with what a node publishes, as a hostPort or a NodePort."""
    published, port = 30080, talk_from_every_port(lab)
    with lab.inside("h1"):
        service = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with service:
        service.bind(("0.0.0.0", published))
        lab.send("h2", lab.underlay(1), published, source_port=port)
        stolen = not select.select([service], [], [], 0.3)[0]
    lab.receipts([])
    return stolen


# The node itself


def connects(lab, sender, address, port):
    """Return whether a TCP connection is made."""
    with lab.inside(sender):
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    with sock:
        sock.settimeout(0.3)
        return sock.connect_ex((address, port)) == 0


def to_the_data_store(lab):
    """Open a connection to etcd on a node, at every address of every node."""
    with contextlib.ExitStack() as listeners:
        for host in ("h1", "h2"):
            for port in (2379, 2380):
                with lab.inside(host):
                    listeners.enter_context(
                        socket.create_server(
                            ("::", port), family=socket.AF_INET6, dualstack_ipv6=True
                        )
                    )
        assert connects(lab, "h1", lab.underlay(2), 2379), "nodes must reach it"
        addresses = [lab.underlay(1), lab.underlay(2), lab.underlay(1, 6), lab.underlay(2, 6)]
        addresses += [lab.gateway("blue", host, version) for host in (1, 2) for version in (4, 6)]
        return any(
            connects(lab, "h1-blue", address, port)
            for address in addresses
            for port in (2379, 2380)
        )


def to_loopback(lab):
    """Send to 127.0.0.1 of the node, where portmap or kube-proxy has switched route_localnet on."""
    lab.sysctl("h1", "ipv4/conf/mn-blue/route_localnet", "1")
    packet = udp_packet(lab.pod_address("h1-blue"), "127.0.0.1", b"to loopback")
    lab.frame("h1-blue", lab.bridge_mac("blue", 1), packet)
    return "to loopback" in lab.receipts(["to loopback"])


def icmp_error(lab, sender, address, kind, quoted, mtu=0):
    """Send an ICMP error (type, code) that quotes the beginning of a packet."""
    version = 6 if ":" in address else 4
    family, protocol = (
        (socket.AF_INET, socket.IPPROTO_ICMP) if version == 4 else (socket.AF_INET6, ICMPV6)
    )
    with lab.inside(sender):
        sock = socket.socket(family, socket.SOCK_RAW, protocol)
    body = struct.pack("!BBHI", *kind, 0, mtu) + quoted
    if version == 4:
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    with sock:
        sock.sendto(body, (address, 0))


def checksum(data):
    """Return the Internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def quoted_ipv4(source, target, protocol, payload):
    """Return an IPv4 header with what follows, as an ICMP error quotes it."""
    header = [0x45, 0, 1500, 1, 0x4000, 64, protocol, 0]
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    header[-1] = checksum(struct.pack("!BBHHHBBH", *header) + addresses)
    return struct.pack("!BBHHHBBH", *header) + addresses + payload


def quoted_ipv6(source, target, protocol, payload):
    """The same for IPv6."""
    addresses = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(
        socket.AF_INET6, target
    )
    return struct.pack("!IHBB", 6 << 28, 1400, protocol, 64) + addresses + payload


ECHO_REPLY = struct.pack("!BBHI", 0, 0, 0xFFFF, 0)
ECHO_REPLY_V6 = struct.pack("!BBHI", 129, 0, 0, 0)


def way_is_smaller(lab, target):
    """Return whether h1 believes that packets to the target must be smaller; it forgets it then."""
    route = lab.run("h1", "ip", "route", "get", target)
    lab.run("h1", "ip", "route", "flush", "cache")
    lab.run("h1", "ip", "-6", "route", "flush", "cache")
    return " mtu " in route


def smaller_tunnel(lab):
    """A forged "fragmentation needed" about the tunnel's own packets."""
    vxlan = struct.pack("!HHHHII", 50000, 8286, 100, 0, 0x08000000, 2 << 8)
    quoted = quoted_ipv4(lab.underlay(1), lab.underlay(2), UDP, vxlan)
    icmp_error(lab, "h1-blue", lab.gateway("blue", 1), FRAG_NEEDED, quoted, 576)
    return way_is_smaller(lab, lab.underlay(2))


def smaller_way_to_a_node(lab):
    """The same about an answer to a ping, which the kernel believes without a look."""
    quoted = quoted_ipv4(lab.underlay(1), lab.underlay(2), ICMP, ECHO_REPLY)
    icmp_error(lab, "h1-blue", lab.gateway("blue", 1), FRAG_NEEDED, quoted, 576)
    return way_is_smaller(lab, lab.underlay(2))


def smaller_way_to_another_network(lab):
    """The same about a pod of another network, whose packets take that way too."""
    quoted = quoted_ipv4(lab.gateway("red", 1), lab.pod_address("h2-red"), ICMP, ECHO_REPLY)
    icmp_error(lab, "h1-blue", lab.gateway("blue", 1), FRAG_NEEDED, quoted, 576)
    return way_is_smaller(lab, lab.pod_address("h2-red"))


def smaller_way_over_ipv6(lab):
    """The same with "packet too big"."""
    quoted = quoted_ipv6(lab.underlay(1, 6), lab.underlay(2, 6), ICMPV6, ECHO_REPLY_V6)
    icmp_error(lab, "h1-blue", lab.gateway("blue", 1, 6), PACKET_TOO_BIG, quoted, 1280)
    return way_is_smaller(lab, lab.underlay(2, 6))


def redirected_by_the_node(lab):
    """Have the node tell a pod another way to its neighbour."""
    with lab.inside("h1-blue"):
        heard = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    for name in ("all", "mn-blue"):
        lab.sysctl("h1", f"ipv4/conf/{name}/send_redirects", "1")
    packet = udp_packet(lab.pod_address("h1-blue"), lab.pod_address("h1-blue-b"), b"redirected")
    with heard:
        for dummy in range(3):  # the kernel does not answer the first
            lab.frame("h1-blue", lab.bridge_mac("blue", 1), packet)
            lab.receipts(["redirected"])
            while select.select([heard], [], [], 0.2)[0]:
                if heard.recv(2048)[20] == REDIRECT:
                    return True
    return False


# Other CNIs


def forged_by_another_cnis_pod(lab):
    """Send from a device of another CNI as a pod of a network that has no tunnel device."""
    lab.run(
        "h1", "ip", "link", "add", "cali0", "type", "veth", "peer", "eth1", "netns", lab.ns(OUTSIDE)
    )
    try:
        lab.run("h1", "ip", "link", "set", "cali0", "up")
        lab.run("h1", "ip", "addr", "add", "169.254.1.1/32", "dev", "cali0")
        lab.run(OUTSIDE, "ip", "link", "set", "eth1", "up")
        lab.run(OUTSIDE, "ip", "addr", "add", "172.30.0.5/32", "dev", "eth1")
        lab.run(OUTSIDE, "ip", "route", "add", "169.254.1.1", "dev", "eth1")
        lab.run(OUTSIDE, "ip", "route", "add", lab.pod_address("h1-green"), "via", "169.254.1.1")
        for name in ("all", "cali0"):
            lab.sysctl("h1", f"ipv4/conf/{name}/rp_filter", "0")
        cell = (OUTSIDE, lab.pod_address("h1-green"), "10.5.2.77")
        return cell in lab.probe([cell])
    finally:
        lab.run("h1", "ip", "link", "del", "cali0")


ATTACKS = [
    shadowed_tunnel,
    shadowed_tunnel_ipv6,
    shadowed_node_port,
    to_the_data_store,
    to_loopback,
    smaller_tunnel,
    smaller_way_to_a_node,
    smaller_way_to_another_network,
    smaller_way_over_ipv6,
    redirected_by_the_node,
    forged_by_another_cnis_pod,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_an_attack_that_the_guard_stops(lab, attack):
    assert attack(lab), "without the guard it should have got through"
    lab.flush()
    lab.flannel_rules()
    nodes = [lab.underlay(host, version) for host in (1, 2) for version in (4, 6)]
    lab.nft(ruleset(declared(), nodes))
    assert not attack(lab)
