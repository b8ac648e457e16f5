# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of probe: how each is sent, what it proves, and what follows when it arrives where it
must not, or does not where it must. cells.py says between whom each is sent, sender.py how each
carrier travels; everything else (verdict, report, docs/report.md) goes by this table.

Pure, standard library: hosts and the controller read it.
"""

from __future__ import annotations

from typing import NamedTuple

from . import leaks

# How a token travels; sender.CARRY has a function for each.
PINNED = "pinned"  # sockets bound to one interface and its address
ORDINARY = "ordinary"  # sockets as an application has them: routes decide
GATEWAY = "gateway"  # frames to the gateway or another MAC
BROADCAST = "broadcast"  # one frame for all who may hear it
WHO_HAS = "who-has"  # an ARP request, which has no room for a token
TUNNEL = "tunnel"  # a VXLAN message with the frame inside, to a node's tunnel port
SYN = "syn"  # a TCP SYN with the token as payload, to the gateway
ADVERTISEMENT = "advertisement"  # a router's, to all who may hear it
GRATUITOUS = "gratuitous"  # an ARP request that says that an address is the sender's
TOO_BIG = "too big"  # an error of ICMP about a packet that the host never sent

# What a token travels in: a datagram, a SYN with a payload, an echo request. All of them where a
# filter may tell them apart.
ALL_PROTOCOLS = ("udp", "tcp", "icmp")

# Who is to receive it.
POD = "pod"
NODE = "node"  # a host, by one of its own addresses in a network
ENDPOINT = "endpoint"  # whatever a Service or a published port leads to


class Kind(NamedTuple):
    """One kind of probe, by the name that stands in the id of its cells."""

    name: str
    carrier: str
    sent: str  # what is sent, in the report's words
    proves: str
    receiver: str = POD
    answered: bool = False  # the receiver is to answer
    answer_suffices: bool = False  # an answer proves the arrival: no listener can note the token
    leak: leaks.Leak | None = None  # what an arrival means that must not be
    leak_across: leaks.Leak | None = None  # the same between two hosts, if it is another
    leak_ipv6: leaks.Leak | None = leaks.IPV6  # the same if IPv4 is tight, if it is another
    failure: leaks.Leak = leaks.NO_PATH  # what it means that it must arrive and does not
    needs: str = ""  # what to look at then, before the repair of that class; filled in like it
    arrives: str = ""  # what its arrival is, if it is more than that of a token
    keeps_source: bool = False  # it must arrive with the pod's own address as its source
    shows_masquerade: bool = False  # another source than was sent is counted in findings
    everywhere: bool = True  # False: needs Kubernetes, or a controller that is no node
    protocols: tuple[str, ...] = ALL_PROTOCOLS


UNICAST = Kind(
    "unicast",
    PINNED,
    "UDP, TCP and ICMP from the interface, to a peer on the same network, and its answer",
    "a network connects its pods, both ways and with their true addresses",
    answered=True,
    keeps_source=True,
    shows_masquerade=True,
)
FULL = Kind(
    "full",
    PINNED,
    "UDP packets that fill the MTU, with fragmentation forbidden",
    "packets of the promised size arrive",
    answered=True,
    keeps_source=True,
    shows_masquerade=True,
    protocols=("udp",),
)
FORCED = Kind(
    "forced",
    GATEWAY,
    "frames (UDP, TCP, ICMP) to the gateway for a pod of another network, whatever the pod's"
    " routes say",
    "no host forwards from one network into another",
    answered=True,
    leak=leaks.HOST_FORWARDING,
    leak_across=leaks.FOREIGN_TUNNEL,
    shows_masquerade=True,
)
SPOOFED = Kind(
    "spoofed",
    GATEWAY,
    "the same with a source address of the other network",
    "the guard decides by device, not by what a packet claims",
    leak=leaks.HOST_FORWARDING,
    leak_across=leaks.FOREIGN_TUNNEL,
)
NATURAL = Kind(
    "natural",
    ORDINARY,
    "UDP, TCP and ICMP by ordinary sockets and the pod's own routes",
    "what an application sees",
    answered=True,
    leak=leaks.HOST_FORWARDING,
    leak_across=leaks.FOREIGN_TUNNEL,
    keeps_source=True,
)
NODE_ADDRESS = Kind(
    "node",
    GATEWAY,
    "UDP, TCP and ICMP to gateway and tunnel addresses of other networks on every host",
    "no host accepts or answers packets to an address of another network",
    receiver=NODE,
    answered=True,
    answer_suffices=True,
    leak=leaks.NODE_ADDRESSES,
)
OUT = Kind(
    "out",
    GATEWAY,
    "UDP, TCP and ICMP to another node's own address, from networks with masquerade",
    "pods reach the outside of the networks, with their node's address",
    receiver=NODE,
    answered=True,
    failure=leaks.NO_WAY_OUT,
    keeps_source=True,
)
RELAY = Kind(
    "relay",
    GATEWAY,
    "UDP, TCP and ICMP by way of a neighbour that is on several networks",
    "no pod forwards from one of its networks into another",
    leak=leaks.POD_FORWARDS,
)
ARP = Kind(
    "arp",
    WHO_HAS,
    "an ARP request for an address of another network",
    "a pod answers only for the addresses of that interface",
    answer_suffices=True,
    leak=leaks.ARP,
    protocols=("arp",),
)
INJECT = Kind(
    "inject",
    TUNNEL,
    "a VXLAN message to a node's tunnel port, also with another node's address",
    "no pod can put a frame into another network's tunnel",
    leak=leaks.INJECTION,
    protocols=("udp",),
)
NEIGHBOUR = Kind(
    "neighbour",
    GATEWAY,
    "a datagram to a neighbour that is on several networks, for its own address in another one,"
    " with and without a VLAN tag (VID 0)",
    "a pod is reached at each address through that address's own network",
    leak=leaks.BY_A_NEIGHBOUR,
    protocols=("udp",),
)
ROUTER = Kind(
    "router",
    ADVERTISEMENT,
    "a router advertisement to all on the bridge, with a lifetime of 0, which changes nothing",
    "no pod is a router for its neighbours",
    leak=leaks.SPEAKS_FOR_OTHERS,
    leak_ipv6=None,
    protocols=("advertisement",),
)
CLAIM = Kind(
    "claim",
    GRATUITOUS,
    "a gratuitous ARP with a neighbour's address, to that neighbour alone, which ignores it;"
    " from pods that the collection attached, unless their network has `spoofing: allowed`",
    "no pod takes the address of a neighbour",
    leak=leaks.SPEAKS_FOR_OTHERS,
    protocols=("claim",),
)
SHADOW = Kind(
    "shadow",
    GATEWAY,
    "a datagram to another node's own address from the port of a tunnel, from networks with"
    " masquerade",
    "no pod gets a tunnel's port of its node, and with it the packets to that port",
    receiver=NODE,
    leak=leaks.PORT_SHADOW,
    arrives="it left in the node's name from a tunnel's port",
    protocols=("udp",),
)
MTU = Kind(
    "mtu",
    TOO_BIG,
    "an ICMP error to the gateway: a packet to an unused address of another network was too big by"
    " 8 bytes",
    "no pod changes what a node sends into other networks",
    receiver=NODE,
    answer_suffices=True,
    leak=leaks.LOWERED_MTU,
    arrives="the node believed it, and sends smaller packets there",
    protocols=("icmp",),
)
L2 = Kind(
    "l2",
    BROADCAST,
    "a broadcast: whoever hears it shares the bridge",
    "the pods of one network and host share a bridge, and nobody else does",
    leak=leaks.SHARED_BRIDGE,
    leak_across=leaks.BROADCAST,
    leak_ipv6=None,
    protocols=("udp",),
)
SERVICE = Kind(
    "service",
    SYN,
    "a TCP SYN to the cluster address of a Service: its endpoints on the sender's network must"
    " hear it, those of another must not",
    "Services work from the default network, with the pod's own address, and lead into no other"
    " network",
    receiver=ENDPOINT,
    answered=True,
    leak=leaks.REDIRECTED,
    failure=leaks.NODE_TO_POD,
    needs="On {host}, kube-proxy must run, and have rules for the Service (nft list table ip"
    " kube-proxy; iptables-save -t nat | grep KUBE-SVC).",
    keeps_source=True,
    everywhere=False,
    protocols=("tcp",),
)
PORT = Kind(
    "port",
    SYN,
    "a TCP SYN to a port that a node publishes (hostPort, NodePort)",
    "published ports work and lead into no other network",
    receiver=ENDPOINT,
    answered=True,
    leak=leaks.REDIRECTED,
    failure=leaks.NODE_TO_POD,
    needs="On {host}, a pod's hostPort is portmap's (iptables-save -t nat | grep CNI-; nft list"
    " table inet cni_hostport), which makes its rules when the pod is made again: kubectl delete"
    " pod. A NodePort is kube-proxy's.",
    everywhere=False,
    protocols=("tcp",),
)
HOST = Kind(
    "host",
    ORDINARY,
    "UDP, TCP and ICMP by ordinary sockets of the node, as the kubelet's probes use",
    "a node reaches the pods on it",
    answered=True,
    failure=leaks.NODE_TO_POD,
    needs="On {host}, look at what drops in output what the node sends to its pods, or in input"
    " their answers.",
    everywhere=False,
)
OUTSIDE = Kind(
    "outside",
    TUNNEL,
    "a VXLAN message to a node's tunnel port from the controller, which is no node",
    "nobody but a node can put a frame into a tunnel",
    leak=leaks.INJECTION_FROM_OUTSIDE,
    leak_ipv6=None,
    everywhere=False,
    protocols=("udp",),
)

# By name, in the order of reports.
KINDS = {kind.name: kind for kind in list(vars().values()) if isinstance(kind, Kind)}


def protocols(name: str) -> tuple[str, ...]:
    """Return what the tokens of a kind travel in."""
    return KINDS[name].protocols


def leak_of(kind: Kind, same_host: bool, ipv6_alone: bool) -> leaks.Leak:
    """Return the class of a token of this kind that arrived and must not have.

    same_host: whether sender and receiver share it. ipv6_alone: it went by IPv6, and between those
    networks nothing leaks over IPv4.
    """
    if ipv6_alone and kind.leak_ipv6:
        return kind.leak_ipv6
    if not same_host and kind.leak_across:
        return kind.leak_across
    if kind.leak is None:
        raise ValueError(f"{kind.name} is never sent where it must not arrive")
    return kind.leak
