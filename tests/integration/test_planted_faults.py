# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A table of faults, each made for real, with the finding that it must give: verdict, class, and
the hosts to look at - no other of either.
"""

from __future__ import annotations

import os
import pathlib
import sys
import typing as t

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import leaks
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from declaration import BLUE, RED
from observe_lab import ObserveLab, run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

PLAN = plan([BLUE, dict(RED, ipv6_cidr="fd00:3::/48")])
BOTH = ["blue", "red"]
PODS = {"h1": {"a": BOTH, "b": BOTH, "c": ["red"]}, "h2": {"a": BOTH}, "h3": {"a": ["blue"]}}
FORWARDS = {leaks.HOST_FORWARDING, leaks.FOREIGN_TUNNEL}
OF_PORTS = {leaks.SPEAKS_FOR_OTHERS, leaks.BY_A_NEIGHBOUR}
NO_BRIDGE_TABLE = ("h1", "nft delete table bridge multinet")


class Fault(t.NamedTuple):
    """One fault. Lines are commands in a namespace, by its name ("h1": a host, "h1-a": a pod)."""

    name: str
    make: list[tuple[str, str]]
    verdict: str
    classes: set[leaks.Leak]  # all that must be found; the first finding has one of them
    hosts: set[str]  # all that the findings name
    says: str = ""  # words in a sentence, a repair, a note or a gap
    may: frozenset[leaks.Leak] = frozenset()  # what may be found besides, by the moment


def insert(chain, rule, host="h1"):
    """A rule ahead of all others of a chain of the guard."""
    return (host, f"nft insert rule inet multinet {chain} {rule}")


def filters(hook, rule, host="h1"):
    """A table of somebody else's with one rule."""
    return (
        host,
        f"nft add table inet other; nft add chain inet other {hook} '{{ type filter hook {hook}"
        f" priority 10; }}'; nft add rule inet other {hook} {rule}",
    )


def drops(rule):
    """A table of somebody else's, that drops what h1 forwards."""
    return filters("forward", f"{rule} drop")


def copies(family, rule):
    """A rule of somebody else's on h1, before all that routes."""
    return (
        "h1",
        f"nft add table {family} other; nft add chain {family} other raw '{{ type filter hook"
        f" prerouting priority -300; }}'; nft add rule {family} other raw {rule}",
    )


def too_big(name, command, said_by, mtu):
    """Something of h1 that full packets do not fit through, which it says to their senders."""
    said = f"h1 ({said_by}) told the pod that its packet is too big: {mtu} bytes at most"
    return Fault(name, [("h1", command)], "broken", {leaks.MTU}, {"h1"}, said)


def mirror(device, port):
    """What a device of h1 brings in is copied out of a port."""
    return (
        "h1",
        f"tc qdisc add dev {device} clsact; tc filter add dev {device} ingress protocol all u32"
        f" match u32 0 0 action mirred egress mirror dev {port}",
    )


FAULTS = [
    # the guard
    Fault(
        "no guard on one host",
        [("h1", "nft flush ruleset")],
        "leaks",
        {*FORWARDS, *OF_PORTS, leaks.NODE_ADDRESSES, leaks.INJECTION, leaks.NO_WAY_OUT}
        | {leaks.LOWERED_MTU},
        {"h1"},
    ),
    Fault(
        "no guard on another",
        [("h2", "nft flush ruleset")],
        "leaks",
        {leaks.FOREIGN_TUNNEL, leaks.NODE_ADDRESSES, leaks.INJECTION, leaks.NO_WAY_OUT}
        | {leaks.LOWERED_MTU},
        {"h2"},
    ),
    Fault(
        "TCP let through",
        [insert("forward", "meta l4proto tcp accept")],
        "leaks",
        {leaks.HOST_FORWARDING},
        {"h1"},
        "(tcp)",
    ),
    Fault(
        "ICMP let through",
        [insert("forward", "meta l4proto icmp accept")],
        "leaks",
        {leaks.HOST_FORWARDING},
        {"h1"},
        "(icmp)",
    ),
    Fault(
        "UDP let through",
        [insert("forward", "udp dport 47470 accept")],
        "leaks",
        {leaks.HOST_FORWARDING},
        {"h1"},
        "(udp)",
    ),
    Fault(
        "one network into the other only",
        [insert("forward", 'iifname "mn-red" accept')],
        "leaks",
        {leaks.HOST_FORWARDING},
        {"h1"},
    ),
    Fault(
        "TCP let in at a node's addresses",
        [insert("input", "meta l4proto tcp accept")],
        "leaks",
        {leaks.NODE_ADDRESSES},
        {"h1"},
        "tcp",
    ),
    Fault(
        "ICMP let in at a node's addresses",
        [insert("input", "meta l4proto icmp accept")],
        "leaks",
        {leaks.NODE_ADDRESSES, leaks.LOWERED_MTU},
        {"h1"},
        "icmp",
    ),
    Fault(
        "tunnels open to pods of the host",
        [insert("input", "udp dport 8286 accept"), insert("forward", "udp dport 8286 accept")],
        "leaks",
        {leaks.INJECTION},
        {"h1"},
    ),
    Fault(
        "no masquerade",
        [("h1", "nft flush chain inet multinet as_host; nft flush chain inet multinet leaving")],
        "broken",
        {leaks.NO_WAY_OUT},
        {"h1"},
    ),
    Fault(
        "the way out is closed",
        [drops('iifname "mn-blue" oifname "eth0"')],
        "broken",
        {leaks.NO_WAY_OUT},
        {"h1"},
    ),
    Fault(
        "no masquerade for TCP",
        [insert("as_host", "meta l4proto tcp accept")],
        "broken",
        {leaks.NO_WAY_OUT},
        {"h1"},
        "TCP left with another source than the node's: h2 saw 10.1.1.1",
    ),
    Fault(
        "no masquerade for ICMP",
        [insert("as_host", "meta l4proto icmp accept")],
        "broken",
        {leaks.NO_WAY_OUT},
        {"h1"},
        "ICMP left with another source than the node's: h2 saw 10.1.1.1",
    ),
    Fault(
        "no masquerade for TCP, and no guard at the other node",
        [insert("as_host", "meta l4proto tcp accept"), ("h2", "nft delete table inet multinet")],
        "leaks",
        {leaks.NODE_ADDRESSES, leaks.INJECTION, leaks.NO_WAY_OUT, leaks.LOWERED_MTU},
        {"h1", "h2"},
        "TCP left with another source than the node's: h2 saw 10.1.1.1",
    ),
    Fault(
        "TCP dropped on the way out",
        [drops('iifname "mn-blue" oifname "eth0" meta l4proto tcp')],
        "broken",
        {leaks.NO_WAY_OUT},
        {"h1"},
        "TCP did not get out: what h1 itself sends to h2 does, and the pod's UDP, ICMP, too",
    ),
    Fault(
        "ICMP dropped on the way out",
        [drops('iifname "mn-blue" oifname "eth0" meta l4proto icmp')],
        "broken",
        {leaks.NO_WAY_OUT},
        {"h1"},
        "ICMP did not get out: what h1 itself sends to h2 does, and the pod's UDP, TCP, too",
    ),
    Fault(
        "answers of TCP dropped on the way back",
        [drops('iifname "eth0" oifname "mn-blue" meta l4proto tcp')],
        "broken",
        {leaks.NO_WAY_OUT},
        {"h1"},
        "no answer came back by TCP",
    ),
    Fault(
        "a host that lets nobody in by TCP",
        [filters("input", 'iifname "eth0" meta l4proto tcp drop', "h2")],
        "as_planned",
        set(),
        set(),
        "Of TCP on the ways out from h1 to h2, only what arrives was measured",
    ),
    Fault(
        "a host that refuses what comes by TCP",
        [filters("input", 'iifname "eth0" meta l4proto tcp reject with tcp reset', "h2")],
        "as_planned",
        set(),
        set(),
    ),
    Fault(
        "a host that lets few echo requests in",
        [
            filters(
                "input", "icmp type echo-request limit rate over 1/hour burst 1 packets drop", "h2"
            )
        ],
        "as_planned",
        set(),
        set(),
    ),
    Fault(
        "a host that sends nothing itself by TCP",
        [filters("output", 'oifname "eth0" meta l4proto tcp drop')],
        "as_planned",
        set(),
        set(),
    ),
    Fault(
        "nothing passes between hosts by TCP",
        [
            (
                "switch",
                "nft add table bridge other; nft add chain bridge other forward '{ type filter hook"
                " forward priority 0; }'; nft add rule bridge other forward ip protocol tcp drop",
            )
        ],
        "as_planned",
        set(),
        set(),
        "What h1 itself sends to h2 by TCP does not arrive, so the way out of its pods was not"
        " measured by TCP.",
    ),
    Fault(
        "a pod that sends no TCP",
        [
            (
                "h1-a",
                "nft add table netdev f; nft add chain netdev f out '{ type filter hook egress"
                " device eth0 priority 0; }'; nft add rule netdev f out ip daddr 192.168.9.0/24"
                " meta l4proto tcp drop",
            )
        ],
        "inconclusive",
        {leaks.NOT_MEASURED},
        {"h1"},
        "the sender's host never saw its tcp leave h1/",
    ),
    Fault(
        "masquerade inside a network",
        [
            (
                "h1",
                "nft add table ip other; nft add chain ip other post '{ type nat hook postrouting"
                " priority 50; }'; nft add rule ip other post ip saddr 10.1.0.0/16 oifname"
                " flannel.1 masquerade",
            )
        ],
        "broken",
        {leaks.MASQUERADE},
        {"h1"},
        "instead of the pod's own",
    ),
    Fault(
        "what leaves is not answered",
        [
            (
                "h1",
                "nft add table ip other; nft add chain ip other raw '{ type filter hook prerouting"
                " priority -300; }'; nft add rule ip other raw iifname eth0 udp sport 47470"
                " udp dport != { 8472, 8286 } drop",
            )
        ],
        "broken",
        {leaks.NO_WAY_OUT},
        {"h1"},
        "no answer came back",
    ),
    Fault(
        "another zone of connection tracking one way",
        [
            (
                "h1",
                "nft add table ip other; nft add chain ip other raw '{ type filter hook prerouting"
                " priority -300; }'; nft add rule ip other raw iifname mn-blue ct zone set 7",
            )
        ],
        "broken",
        {leaks.NO_WAY_OUT},
        {"h1"},
        "no answer came back",
    ),
    # what copies and redirects, where no guard looks
    Fault(
        "what a tunnel brings is copied into another network",
        [mirror("flannel.1", "veth00010012")],
        "leaks",
        {leaks.COPIED},
        {"h1"},
        "flannel.1: what passes here is sent to veth00010012 by a tc filter (mirror)",
    ),
    Fault(
        "what a pod sends is copied into another network",
        [mirror("veth00000010", "veth00010011")],
        "leaks",
        {leaks.SHARED_BRIDGE, leaks.SPEAKS_FOR_OTHERS, leaks.COPIED},
        {"h1"},
        "veth00000010: what passes here is sent to veth00010011 by a tc filter (mirror)",
    ),
    Fault(
        "what is sent to a pod is copied into another network, by a filter of a queue",
        [
            (
                "h1",
                "tc qdisc add dev veth00000010 root handle 1: htb;"
                " tc filter add dev veth00000010 parent 1: protocol all u32 match u32 0 0"
                " action mirred egress mirror dev veth00010011",
            )
        ],
        "leaks",
        {leaks.SHARED_BRIDGE, leaks.COPIED},
        {"h1"},
        "veth00000010: what passes here is sent to veth00010011 by a tc filter (mirror)",
    ),
    Fault(
        "a filter of a block that several devices share",
        [
            (
                "h1",
                "tc qdisc add dev flannel.1 ingress_block 7 ingress; tc filter add block 7"
                " protocol all u32 match u32 0 0 action mirred egress mirror dev veth00010012",
            )
        ],
        "leaks",
        {leaks.COPIED},
        {"h1"},
        "flannel.1: what passes here is sent to veth00010012 by a tc filter (mirror)",
    ),
    Fault(
        "what a pod sends is sent to another network's port",
        [
            (
                "h1",
                "nft add table netdev other; nft add chain netdev other in '{ type filter hook"
                ' ingress device "veth00000010" priority 0; }\'; nft add rule netdev other in udp'
                " dport 47470 fwd to veth00010011",
            )
        ],
        "leaks",
        {leaks.SHARED_BRIDGE, leaks.NO_PATH, leaks.NO_WAY_OUT, leaks.COPIED},
        {"h1"},
        "veth00000010: what passes here is sent to veth00010011 by a rule of netdev (fwd)",
    ),
    Fault(
        "a program that sends all from a port to another network's",
        [
            (
                "h1",
                f"{sys.executable} {pathlib.Path(__file__).parent / 'xdp.py'}"
                " veth00000010 veth00010011",
            )
        ],
        "broken",  # no tap sees what goes from program to program
        {leaks.COPIED, leaks.NO_PATH, leaks.NOT_MEASURED},
        {"h1"},
        "veth00000010: program that sees packets first (XDP) is there, expected none",
    ),
    Fault(
        "somebody on top of a bridge",
        [("h1", "ip link add m0 link mn-red type macvlan mode bridge; ip link set m0 up")],
        "broken",
        {leaks.SHARED_BRIDGE},
        {"h1"},
        "mn-red: number of devices on top of it (macvlan, in any namespace) is 1",
    ),
    Fault(
        "somebody on top of a tunnel",  # in a namespace of nobody's
        [
            (
                "h1",
                "ip link add m0 link flannel.1 type macvlan mode bridge; unshare -n sleep 30"
                " </dev/null >/dev/null 2>&1 & ip link set m0 netns $!; nsenter -t $! -n"
                " ip link set m0 up",
            )
        ],
        "broken",
        {leaks.SHARED_BRIDGE},
        {"h1"},
        "flannel.1: number of devices on top of it (macvlan, in any namespace) is 1",
    ),
    Fault(
        "a program at a port",
        [
            (
                "h1",
                "tc qdisc add dev veth00000010 clsact;"
                " tc filter add dev veth00000010 ingress bpf da bytecode '1,6 0 0 0,'",
            )
        ],
        "broken",
        {leaks.COPIED},
        {"h1"},
        "veth00000010: program that sees packets (tc) is there, expected none",
    ),
    Fault(
        "what a network sends is copied to a host of the underlay",
        [copies("ip", 'iifname "mn-blue" dup to 192.168.9.77 device eth0')],
        "broken",
        {leaks.COPIED},
        {"h1"},
        "mn-blue: what passes here is sent to 192.168.9.77 by a rule of ip (dup)",
    ),
    Fault(
        "what a network sends over IPv6 is copied to a host of the underlay",
        [copies("ip6", "ip6 saddr fd00:3::/48 dup to fd09::77 device eth0")],
        "broken",
        {leaks.COPIED},
        {"h1"},
        "mn-red: what passes here is sent to fd09::77 by a rule of ip6 (dup)",
    ),
    Fault(
        "what a tunnel brings is copied by iptables",
        [("h1", "iptables-nft -t mangle -A PREROUTING -i flannel.1 -j TEE --gateway 192.168.9.77")],
        "broken",
        {leaks.COPIED},
        {"h1"},
        "flannel.1: what passes here is sent to 192.168.9.77 by a rule of ip (dup)",
    ),
    Fault(
        "what others send is copied",
        [copies("ip", 'iifname "eth0" dup to 192.168.9.77 device eth0')],
        "as_planned",
        set(),
        set(),
    ),
    Fault(
        "two ports that may not reach each other",
        [
            (
                "h1",
                "for one in veth00010010 veth00010011;"
                " do bridge link set dev $one isolated on; done",
            )
        ],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "isolated of the port on mn-red is on, expected off",
    ),
    Fault(
        "a MAC that the bridge has at another port",
        [("h1", "bridge fdb replace 02:00:04:0b:01:01 dev veth00010010 master static sticky")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
    ),
    Fault(
        "a port that limits what a pod sends",  # as the plugin bandwidth does it
        [
            (
                "h1",
                "ip link add ifb0 type ifb; ip link set ifb0 up;"
                " tc qdisc add dev veth00000010 ingress;"
                " tc filter add dev veth00000010 ingress protocol all u32 match u32 0 0"
                " action mirred egress redirect dev ifb0",
            )
        ],
        "as_planned",
        set(),
        set(),
    ),
    # filters of others
    Fault(
        "TCP dropped between hosts",
        [drops('oifname "flannel.1" meta l4proto tcp')],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "tcp did not",
    ),
    Fault(
        "ICMP dropped between hosts",
        [drops('oifname "flannel.1" meta l4proto icmp')],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "something drops a part of what goes into",
    ),
    Fault(
        "UDP dropped between hosts",
        [drops('oifname "flannel.1" meta l4proto udp')],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "udp did not",
    ),
    Fault(
        "every second packet dropped",
        [drops('oifname "flannel.1" numgen inc mod 2 0')],
        "broken",
        {leaks.LOSSY, leaks.NO_PATH},
        {"h1"},
        "packets lost on the way from h1 to h",
        may=frozenset({leaks.MTU}),
    ),
    Fault(
        "packets that come twice",
        [
            (
                "h1",
                "nft add table ip other; nft add chain ip other raw '{ type filter hook prerouting"
                " priority -300; }'; nft add rule ip other raw iifname flannel.1 ip daddr 10.1.1.10"
                " dup to 10.1.1.10 device mn-blue",
            )
        ],
        "broken",
        {leaks.LOSSY},
        {"h1", "h2"},
        "packets that came again on the way from h2 to h1 in blue",
    ),
    Fault(
        "large packets dropped",
        [drops('oifname "flannel.1" meta length 1300-65535')],
        "broken",
        {leaks.MTU},
        {"h1"},
    ),
    too_big("a bridge for smaller packets", "ip link set mn-blue mtu 1300", "10.1.1.0", 1300),
    too_big("a tunnel for smaller packets", "ip link set flannel.1 mtu 1300", "10.1.1.1", 1300),
    too_big(
        "an IPv6 tunnel for smaller packets",
        "ip link set flannel-v6.2 mtu 1300",
        "fd00:3:0:1::1",
        1300,
    ),
    too_big(
        "a route for smaller packets",
        "ip route change 10.1.2.0/24 via 10.1.2.0 dev flannel.1 onlink mtu 1300",
        "10.1.1.1",
        1300,
    ),
    too_big("an underlay for smaller packets", "ip link set eth0 mtu 1400", "fd00:3:0:1::1", 1330),
    Fault(
        "a pod's end on the host for smaller packets",
        [("h1", "ip link set veth00010011 mtu 1300")],
        "broken",
        {leaks.MTU, leaks.NOT_MEASURED},
        {"h1"},
        "-b net1: MTU of its end veth00010011 on the host is 1300, expected at least 1430",
    ),
    Fault(
        "forwarding off",
        [("h1", "sysctl -qw net.ipv4.ip_forward=0")],
        "broken",
        {leaks.NO_PATH, leaks.NO_WAY_OUT},
        {"h1"},
    ),
    # devices and routes of a host
    Fault(
        "a tunnel device down",
        [("h1", "ip link set flannel.2 down")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "flannel.2",
    ),
    Fault(
        "a tunnel device gone",
        [("h1", "ip link del flannel.2")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "tunnel device is missing",
    ),
    Fault(
        "another VNI",
        [
            (
                "h1",
                "ip link del flannel.1; ip link add flannel.1 mtu 1430 type vxlan id 9 dstport 8472"
                " local 192.168.9.1 nolearning; ip link set flannel.1 up",
            )
        ],
        "broken",
        {leaks.WRONG_VNI, leaks.NO_PATH},
        {"h1"},
        "VNI is 9, expected 1",
    ),
    Fault(
        "another port",
        [
            (
                "h1",
                "ip link del flannel.1; ip link add flannel.1 mtu 1430 type vxlan id 1 dstport 9999"
                " local 192.168.9.1 nolearning; ip link set flannel.1 up",
            )
        ],
        "leaks",  # of a port that no guard knows
        {leaks.INJECTION, leaks.WRONG_VNI, leaks.NO_PATH},
        {"h1"},
        "UDP port is 9999",
    ),
    Fault(
        "no route to another host's subnet",
        [("h1", "ip route del 10.3.2.0/24")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "route to 10.3.2.0/24 of h2 is missing",
    ),
    Fault(
        "a narrower route by the underlay",
        [("h1", "ip route add 10.1.2.0/25 via 192.168.9.2 dev eth0")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "route to 10.1.2.0/25 of h2 is by eth0 via 192.168.9.2, expected by flannel.1 via 10.1.2.0",
    ),
    Fault(
        "a narrower route that discards",
        [("h1", "ip route add blackhole 10.1.2.0/25")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "route to 10.1.2.0/25 of h2 is by nothing, expected by flannel.1 via 10.1.2.0",
    ),
    Fault(
        "a route by a third host",
        [("h1", "ip route replace 10.1.2.0/24 via 10.1.3.0 dev flannel.1 onlink")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "route to 10.1.2.0/24 of h2 is by flannel.1 via 10.1.3.0, expected by flannel.1 via"
        " 10.1.2.0",
    ),
    Fault(
        "an IPv6 route by a device of somebody's",
        [("h1", "ip -6 route add fd00:3:0:2::/65 dev eth0")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "route to fd00:3:0:2::/65 of h2 is by eth0, expected by flannel-v6.2 via fd00:3:0:2::",
    ),
    Fault(
        "a bridge whose packets are not forwarded",
        [("h1", "sysctl -qw net.ipv4.conf.mn-red.forwarding=0")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "h1 mn-red: net.ipv4.conf.mn-red.forwarding is 0, expected 1",
    ),
    Fault(
        "a rule before the routes",
        [
            (
                "h1",
                "ip rule add to 10.3.2.0/24 lookup 100;"
                " ip route add 10.3.2.0/24 via 10.1.2.0 dev flannel.1 onlink table 100",
            )
        ],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "way to 10.3.2.0/24 is by flannel.1, expected by flannel.2",
    ),
    Fault(
        "a rule that discards",
        [
            (
                "h1",
                "ip rule add to 10.3.2.0/24 lookup 100;"
                " ip route add blackhole 10.3.2.0/24 table 100",
            )
        ],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "way to 10.3.2.0/24 is none",
    ),
    Fault(
        "a policy of xfrm that blocks",
        [("h1", "ip xfrm policy add dir fwd dst 10.3.2.0/24 action block")],
        "broken",
        {leaks.NO_PATH},
        {"h1", "h2"},
    ),
    Fault(
        "redirected before the guard",
        [
            (
                "h1",
                "nft add table ip other; nft add chain ip other to '{ type nat hook prerouting"
                " priority -100; }'; nft add rule ip other to iifname mn-blue udp dport 47470 ip"
                " daddr 10.1.2.10 dnat to 10.3.2.10",
            )
        ],
        "broken",  # the guard drops where it leads to
        {leaks.NO_PATH},
        {"h1"},
        "icmp, tcp arrived, udp did not",
    ),
    Fault(
        "rewritten without connection tracking",
        [
            (
                "h1",
                "nft add table ip other; nft add chain ip other raw '{ type filter hook prerouting"
                " priority -300; }'; nft add rule ip other raw iifname mn-blue udp dport 47470 ip"
                " daddr 10.1.2.10 ip daddr set 10.3.2.10",
            )
        ],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "icmp, tcp arrived, udp did not",
    ),
    Fault(
        "a packet a second",
        [drops('oifname "flannel.1" limit rate over 1/second')],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        may=frozenset({leaks.MTU, leaks.LOSSY}),
    ),
    Fault(
        "a host that answers ARP for all",
        [("h1", "sysctl -qw net.ipv4.conf.mn-red.proxy_arp=1")],
        "broken",  # ports hold the questions back
        {leaks.ARP},
        {"h1"},
        "mn-red: proxy_arp is 1",
    ),
    Fault(
        "a host that answers ARP for all, and ports may send the questions",
        [("h1", "sysctl -qw net.ipv4.conf.mn-red.proxy_arp=1"), NO_BRIDGE_TABLE],
        "leaks",
        {leaks.ARP, *OF_PORTS},
        {"h1"},
        "(arp)",
    ),
    Fault(
        "a peer that the tunnel does not know",
        [("h1", "ip neigh del 10.3.2.0 dev flannel.2")],
        "broken",
        {leaks.NO_PATH},
        {"h1", "h2"},
    ),
    Fault(
        "a lease gone",
        [("h1", "rm {place}/h1/red.env")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "the lease of network red",
    ),
    Fault(
        "a bridge down",  # which takes the kernel its IPv6 address
        [("h1", "ip link set mn-red down")],
        "broken",
        {leaks.NO_PATH, leaks.NOT_MEASURED},
        {"h1"},
        "h1 mn-red: state is down, expected up",
    ),
    Fault(
        "a bridge without its gateway's address",
        [("h1", "ip addr del 10.3.1.1/24 dev mn-red")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "h1 mn-red: address of the gateway is none (IPv4), expected 10.3.1.1",
    ),
    Fault(
        "a bridge without IPv6",
        [("h1", "sysctl -qw net.ipv6.conf.mn-red.disable_ipv6=1")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "h1 mn-red: address of the gateway is none (IPv6), expected fd00:3:0:1::1",
    ),
    Fault(
        "a bridge with another gateway's address",
        [("h1", "ip addr del 10.3.1.1/24 dev mn-red; ip addr add 10.3.1.200/24 dev mn-red")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "h1 mn-red: address of the gateway is 10.3.1.200, expected 10.3.1.1",
    ),
    Fault(
        "a bridge that answers no ARP",
        [("h1", "ip link set mn-red arp off")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "h1 mn-red: ARP is off (NOARP), expected on",
    ),
    Fault(
        "a pod's end on the host is down",
        [("h1", "ip link set veth00010011 down")],
        "broken",
        {leaks.NO_PATH, leaks.NOT_MEASURED},
        {"h1"},
        "-b net1: state of its end veth00010011 on the host is down, expected up",
    ),
    Fault(
        "a stranger on a bridge",
        [("h1", "ip link add odd type vxlan id 99 dstport 4999; ip link set odd master mn-red")],
        "broken",
        {leaks.SHARED_BRIDGE},
        {"h1"},
        "port of bridge mn-red is vxlan",
    ),
    Fault(
        "two bridges joined",
        [
            (
                "h1",
                "ip link add j1 type veth peer name j2; ip link set j1 master mn-red up;"
                " ip link set j2 master mn-blue up;"
                " until [ $(bridge link | grep -c 'j[12]@.* state forwarding') = 2 ];"
                " do sleep 0.05; done",
            )
        ],
        "leaks",
        {leaks.SHARED_BRIDGE},
        {"h1"},
    ),
    Fault(
        "a pod on the wrong bridge",
        [("h1", "ip link set veth00010012 master mn-blue")],
        "leaks",
        {leaks.SHARED_BRIDGE},
        {"h1"},
        "bridge of its peer is mn-blue, expected mn-red",
    ),
    Fault(
        "a bridge of somebody's on a bridge",
        [
            (
                "h1",
                "ip link add br9 type bridge; ip link set br9 up; ip link add j1 type veth peer"
                " name j2; ip link set j1 master mn-red up; ip link set j2 master br9 up",
            )
        ],
        "broken",
        {leaks.SHARED_BRIDGE},
        {"h1"},
        "port of bridge mn-red is veth, expected only veths of pods",
    ),
    Fault(
        "one interface off its bridge",
        [("h1", "ip link set veth00010011 nomaster")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "-b net1: its interface's end veth00010011 on the host is not on the bridge mn-red.",
        may=frozenset({leaks.NOT_MEASURED}),  # its routes still lead there
    ),
    Fault(
        "all interfaces of a pod off",
        [("h1", "ip link set veth00010011 nomaster; ip link set veth00000011 nomaster")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "-b eth0: its interface's end veth00000011 on the host is not on the bridge mn-blue.",
    ),
    Fault(
        "an interface on a bridge of somebody's",
        [("h1", "ip link add br9 up type bridge; ip link set veth00010011 master br9")],
        "broken",
        {leaks.SHARED_BRIDGE, leaks.NO_PATH},
        {"h1"},
        "net1: bridge of its peer is br9, expected mn-red",
        may=frozenset({leaks.NOT_MEASURED}),
    ),
    Fault(
        "a bridge deleted",
        [("h1", "ip link del mn-red")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "-c net1: its interface's end veth00010012 on the host is not on the bridge mn-red, which"
        " is gone",
        may=frozenset({leaks.NOT_MEASURED}),
    ),
    # pods
    Fault(
        "a pod with a tunnel of its own",
        [
            (
                "h1-a",
                "ip link add vx type vxlan id 2 dstport 8286 remote 192.168.9.2 nolearning;"
                " ip addr add 10.3.99.1/24 dev vx; ip link set vx up",
            )
        ],
        "broken",  # its packets reach no tunnel
        {leaks.SHARED_BRIDGE, leaks.WRONG_ROUTE},
        {"h1"},
        "vx: bridge of its peer is none, expected a bridge of the plan",
    ),
    Fault(
        "a pod that takes a neighbour for its gateway",
        [("h1-a", "ip neigh replace 10.3.1.1 lladdr 02:00:04:0b:01:01 dev net1 nud permanent")],
        "broken",
        {leaks.NO_PATH, leaks.DUPLICATE},
        {"h1", "h2"},
    ),
    Fault(
        "an interface with another name",
        [
            (
                "h1-b",
                "ip link set net1 down; ip link set net1 name foo; ip link set foo up;"
                " ip addr add fd00:3:0:1::b/64 dev foo nodad;"
                " ip route add 10.3.0.0/16 via 10.3.1.1 dev foo;"
                " ip -6 route add fd00:3::/48 via fd00:3:0:1::1 dev foo",
            )
        ],
        "as_planned",  # what a pod calls them is its own affair, and a note
        set(),
        set(),
        "-b calls its interface net1, which CNI gave it, foo",
    ),
    Fault(
        "an end on the host with another name",
        [
            (
                "h1",
                "ip link set veth00010011 down; ip link set veth00010011 name zzz;"
                " ip link set zzz up;"
                " until bridge link show dev zzz | grep -q 'state forwarding'; do sleep 0.05; done",
            )
        ],
        "leaks",
        set(OF_PORTS),
        {"h1"},
        "-b net1: name of its end on the host is zzz, expected veth00010011",
    ),
    Fault(
        "a host that takes one pod for another",
        [("h1", "ip neigh replace 10.3.1.11 lladdr 02:00:04:0a:01:01 dev mn-red nud permanent")],
        "broken",
        {leaks.DUPLICATE, leaks.NO_PATH},
        {"h1"},
    ),
    Fault(
        "a pod's filter refuses what it sends",
        [
            (
                "h1-a",
                "nft add table inet f; nft add chain inet f o '{ type filter hook output priority"
                " 0; }'; nft add rule inet f o ip daddr 10.3.2.10 drop",
            )
        ],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "-a, look at what refuses what the pod itself sends",
    ),
    Fault(
        "a pod that has lost an interface",
        [("h1-a", "ip link del net1")],
        "broken",
        {leaks.MISSING_INTERFACE},
        {"h1"},
        "net1: interface that CNI gave it is missing, expected present",
    ),
    Fault(
        "a pod that has lost all interfaces",
        [("h1-c", "ip link del net1")],
        "broken",
        {leaks.MISSING_INTERFACE},
        {"h1"},
        "-c net1: interface that CNI gave it is missing, expected present",
    ),
    Fault(
        "a pod that has a bridge of its own for all interfaces",
        [("h1-c", "ip link del net1; ip link add net1 up type bridge")],
        "broken",
        {leaks.SHARED_BRIDGE},
        {"h1"},
        "-c net1: bridge of its peer is none, expected a bridge of the plan",
    ),
    Fault(
        "a pod with a neighbour's address",
        [("h1-b", "ip addr add 10.3.1.10/24 dev net1")],
        "broken",
        {leaks.NO_PATH, leaks.DUPLICATE},
        {"h1"},
        "also used by",
    ),
    Fault(
        "a pod with its gateway's address",
        [("h1-b", "ip addr add 10.3.1.1/24 dev net1")],
        "broken",
        {leaks.DUPLICATE},
        {"h1"},
        "10.3.1.1, also used by the gateway of red on h1",
        may=frozenset({leaks.NO_PATH, leaks.WRONG_ROUTE}),
    ),
    Fault(
        "a pod whose packets end at the first host",
        [("h1-a", "sysctl -qw net.ipv4.ip_default_ttl=1")],
        "broken",
        {leaks.NO_PATH},
        {"h1", "h2"},  # red has pods on no third
        "icmp, tcp arrived, udp did not",
    ),
    Fault(
        "a pod in another's name",
        [
            (
                "h1-a",
                "nft add table ip f; nft add chain ip f o '{ type nat hook postrouting priority"
                " 100; }'; nft add rule ip f o oifname net1 snat to 10.3.1.99",
            )
        ],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
    ),
    Fault(
        "a pod answers ARP for all it has",
        [("h1-a", "sysctl -qw net.ipv4.conf.all.arp_ignore=0")],
        "broken",  # its port holds the answers back
        {leaks.ARP},
        {"h1"},
        "arp_ignore is 0, expected 1",
    ),
    Fault(
        "a pod answers ARP for all it has, and its port may send it",
        [("h1-a", "sysctl -qw net.ipv4.conf.all.arp_ignore=0"), NO_BRIDGE_TABLE],
        "leaks",
        {leaks.ARP, *OF_PORTS},
        {"h1"},
        "(arp)",
    ),
    Fault("no bridge table", [NO_BRIDGE_TABLE], "leaks", OF_PORTS, {"h1"}, "(claim, router)"),
    Fault(
        "a port that is held to nothing",
        [("h1", "nft flush map bridge multinet ports; nft flush map bridge multinet bridged")],
        "leaks",
        OF_PORTS,
        {"h1"},
        "(neighbour)",
    ),
    Fault(
        "VLAN tags let through",
        [
            (
                "h1",
                "for chain in prerouting forward; do"
                " nft insert rule bridge multinet $chain ether type 0x8100 accept; done",
            )
        ],
        "leaks",
        {leaks.BY_A_NEIGHBOUR},
        {"h1"},
        "(neighbour)",
    ),
    Fault(
        "router advertisements let through",
        [("h1", "nft insert rule bridge multinet prerouting icmpv6 type nd-router-advert accept")],
        "leaks",
        {leaks.SPEAKS_FOR_OTHERS},
        {"h1"},
        "(router)",
    ),
    Fault(
        "gratuitous ARP let through",
        [("h1", "nft insert rule bridge multinet prerouting ether type arp accept")],
        "leaks",
        {leaks.SPEAKS_FOR_OTHERS},
        {"h1"},
        "(claim)",
    ),
    Fault(
        "masquerade with any port",
        [
            (
                "h1",
                "nft flush chain inet multinet as_host;"
                " nft add rule inet multinet as_host masquerade",
            )
        ],
        "leaks",
        {leaks.PORT_SHADOW},
        {"h1"},
        "it left in the node's name from a tunnel's port",
    ),
    Fault(
        "a pod may lower any MTU of the node",
        [insert("icmp_to_host", "return")],
        "leaks",
        {leaks.LOWERED_MTU},
        {"h1"},
        "the node believed it",
    ),
    Fault(
        "a pod announces by any address",
        [("h1-a", "sysctl -qw net.ipv4.conf.all.arp_announce=0")],
        "broken",
        {leaks.ARP},
        {"h1"},
        "arp_announce is 0, expected 2",
    ),
    Fault(
        "a pod forwards",
        [("h1-a", "sysctl -qw net.ipv4.ip_forward=1")],
        "broken",
        {leaks.POD_FORWARDS},
        {"h1"},
        "net.ipv4.ip_forward is 1, expected 0",
    ),
    Fault(
        "a pod forwards IPv6",
        [("h1-a", "sysctl -qw net.ipv6.conf.all.forwarding=1")],
        "broken",
        {leaks.POD_FORWARDS},
        {"h1"},
        "net.ipv6.conf.all.forwarding is 1",
    ),
    Fault(
        "a pod forwards, unseen by the guard",
        [
            NO_BRIDGE_TABLE,
            ("h1", "sysctl -qw net.bridge.bridge-nf-call-iptables=0"),
            ("h1-a", "sysctl -qw net.ipv4.ip_forward=1"),
        ],
        "leaks",
        {leaks.POD_FORWARDS, *OF_PORTS},
        {"h1"},
    ),
    Fault(
        "a default route by the other network",
        [("h1-a", "ip route replace default via 10.3.1.1 dev net1")],
        "broken",
        {leaks.WRONG_ROUTE},
        {"h1"},
        "default route (IPv4) is by net1",
    ),
    Fault(
        "a pod believes routers",
        [("h1-a", "sysctl -qw net.ipv6.conf.net1.accept_ra=1")],
        "broken",
        {leaks.WRONG_ROUTE},
        {"h1"},
        "net.ipv6.conf.net1.accept_ra is 1, expected 0",
    ),
    Fault(
        "a pod believes redirects",
        [("h1-b", "sysctl -qw net.ipv4.conf.all.accept_redirects=1")],
        "broken",
        {leaks.WRONG_ROUTE},
        {"h1"},
        "net.ipv4.conf.eth0.accept_redirects is 1, expected 0",
    ),
    Fault(
        "a pod makes itself addresses",
        [("h1-a", "sysctl -qw net.ipv6.conf.net1.autoconf=1")],
        "broken",
        {leaks.WRONG_ROUTE},
        {"h1"},
        "net.ipv6.conf.net1.autoconf is 1, expected 0",
    ),
    Fault(
        "a pod answers ARP for others",
        [("h1-b", "sysctl -qw net.ipv4.conf.net1.proxy_arp=1")],
        "broken",
        {leaks.ARP},
        {"h1"},
        "net.ipv4.conf.net1.proxy_arp is 1, expected 0",
    ),
    Fault(
        "a pod answers neighbour discovery for others",
        [("h1-a", "sysctl -qw net.ipv6.conf.net1.proxy_ndp=1")],
        "broken",
        {leaks.ARP},
        {"h1"},
        "net.ipv6.conf.net1.proxy_ndp is 1, expected 0",
    ),
    Fault(
        "no default route",
        [("h1-a", "ip route del default")],
        "broken",
        {leaks.WRONG_ROUTE},
        {"h1"},
        "default route (IPv4) is none",
    ),
    Fault(
        "a network's route by the wrong interface",
        [("h1-a", "ip route replace 10.3.0.0/16 via 10.1.1.1 dev eth0")],
        "broken",
        {leaks.WRONG_ROUTE, leaks.NO_PATH},
        {"h1"},
        "route to 10.3.0.0/16 is by eth0 via 10.1.1.1, expected by net1",
    ),
    Fault(
        "a network's route by a wrong gateway",
        [("h1-a", "ip route replace 10.3.0.0/16 via 10.3.1.11 dev net1")],
        "broken",
        {leaks.WRONG_ROUTE, leaks.NO_PATH},
        {"h1"},
        "via 10.3.1.11, expected by net1 via 10.3.1.1",
        may=frozenset({leaks.DUPLICATE}),
    ),
    Fault(
        "no route into a network",
        [("h1-a", "ip route del 10.3.0.0/16")],
        "broken",
        {leaks.WRONG_ROUTE, leaks.NO_PATH},
        {"h1"},
        "route to 10.3.0.0/16 is none",
    ),
    Fault(
        "an IPv6 route by the wrong interface",
        [("h1-a", "ip -6 route add fd00:3:0:2::/64 dev eth0")],
        "broken",
        {leaks.WRONG_ROUTE, leaks.NO_PATH},
        {"h1"},
        "route to fd00:3:0:2::/64 is by eth0",
    ),
    Fault(
        "a pod's interface down",
        [("h1-b", "ip link set net1 down")],
        "broken",
        {leaks.NO_PATH, leaks.WRONG_ROUTE},
        {"h1"},
        "state is down",
        may=frozenset({leaks.NOT_MEASURED, leaks.SHARED_BRIDGE}),
    ),
    Fault(
        "a pod that answers no ARP",
        [("h1-b", "ip link set net1 arp off")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "-b net1: ARP is off (NOARP), expected on",
    ),
    Fault(
        "a pod's interface with another MTU",
        [("h1-b", "ip link set net1 mtu 1300")],
        "broken",
        {leaks.MTU},
        {"h1"},
        "MTU is 1300, expected 1430",
    ),
    Fault(
        "a pod without its address",
        [("h1-b", "ip -4 addr flush dev net1")],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "IPv4 address is none",
    ),
    Fault(
        "an address of another host's subnet",
        [
            (
                "h1-b",
                "ip addr flush dev net1; ip addr add 10.3.2.99/24 dev net1;"
                " ip route replace 10.3.0.0/16 dev net1",
            )
        ],
        "broken",
        # its port holds back what it asks for by ARP
        {leaks.DUPLICATE, leaks.NO_PATH},
        {"h1"},
        "expected inside the host's subnet 10.3.1.0/24",
        may=frozenset({leaks.WRONG_ROUTE, leaks.MTU, leaks.NOT_MEASURED}),
    ),
    Fault(
        "a pod's filter drops what comes",
        [
            (
                "h1-b",
                "nft add table inet f; nft add chain inet f i '{ type filter hook input priority"
                " 0; }'; nft add rule inet f i udp dport 47470 drop",
            )
        ],
        "broken",
        {leaks.NO_PATH},
        {"h1"},
        "one-way",
        may=frozenset({leaks.MTU}),
    ),
]


# Those that were green once, or red at the wrong place; `make planted` makes them all.
ALWAYS = (
    "no guard on one host",
    "TCP let through",
    "ICMP let in at a node's addresses",
    "no masquerade",
    "no masquerade for TCP",
    "TCP dropped on the way out",
    "a host that lets nobody in by TCP",
    "TCP dropped between hosts",
    "a bridge for smaller packets",
    "a bridge without its gateway's address",
    "two bridges joined",
    "a pod on the wrong bridge",
    "a network's route by the wrong interface",
    "VLAN tags let through",
    "masquerade with any port",
    "a pod may lower any MTU of the node",
    "no bridge table",
)
CHOSEN = [fault for fault in FAULTS if fault.name in ALWAYS or os.environ.get("PLANTED") == "all"]


def test_at_least_forty():
    assert len(FAULTS) >= 40 and len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", CHOSEN, ids=[fault.name for fault in CHOSEN])
def test_fault(fault, tmp_path):
    with ObserveLab(PLAN, PODS, tmp_path) as lab:
        lab.guard()
        for place, commands in fault.make:
            text = commands.format(place=tmp_path) if "{place}" in commands else commands
            run("ip", "netns", "exec", lab.ns(place), "sh", "-ec", text)
        report = lab.measure()
    found = report["findings"]
    told = [(one["class"], one["hosts"], one["sentence"], one["repair"]) for one in found]
    assert report["verdict"] == fault.verdict, told
    classes = {leaks.CLASSES[one["class"]] for one in found}
    assert fault.classes <= classes <= fault.classes | fault.may, told
    assert not found or leaks.CLASSES[found[0]["class"]] in fault.classes, told
    assert {host for one in found for host in one["hosts"]} == fault.hosts, told
    assert fault.says in str([found, report["notes"], report["gaps"]]), told
