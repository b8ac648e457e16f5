# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others put on the networks' devices, as `ip`, `tc` and `nft` say it."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import bypasses

BLUE = {"name": "blue", "bridge": "mn-blue", "device": "flannel.1", "cidr": "10.1.0.0/16"}
PLAN = {"networks": [dict(BLUE, ipv6_cidr="fd00:1::/48")]}
NETDEV = """table netdev other {
\tchain one {
\t\ttype filter hook ingress device "v1" priority filter; policy accept;
\t\tudp dport 47470 dup to "v2"
\t\tip protocol 7 fwd ip to 10.0.0.1 device "eth0"
\t}

\tchain two {
\t\ttype filter hook ingress devices = { eth0, mn-blue } priority filter; policy accept;
\t\tip protocol tcp fwd to "v1"
\t}
}
"""


def link(name, index, kind, **more):
    return {"ifname": name, "ifindex": index, "linkinfo": {"info_kind": kind}, **more}


def links():
    return [
        link("eth0", 2, "veth"),
        link("ifb0", 3, "ifb"),
        link("mn-blue", 4, "bridge", promiscuity=0),
        link("flannel.1", 5, "vxlan"),
        link("v1", 6, "veth", master="mn-blue", promiscuity=1),
        link("v2", 7, "veth", promiscuity=0),
    ]


def said(links, filters=None, netdev=None, sniffers=(), proxies=()):
    seen = bypasses.Seen(filters, netdev, list(sniffers), list(proxies))
    return [
        f"{one['interface']}: {one['what']} is {one['observed']}, not {one['expected']}"
        for one in bypasses.found(PLAN, links, seen)
    ]


def mirred(device, target):
    action = {"kind": "mirred", "mirred_action": "mirror", "to_dev": target}
    return {"dev": device, "kind": "u32", "options": {"actions": [action]}}


def test_nothing_is_found_where_nothing_is():
    assert said(links(), [], "") == said(links()) == []


@pytest.mark.parametrize(
    ("device", "target", "expected"),
    [
        ("v1", "v2", "v1: what passes here is sent to v2 by a tc filter (mirror), not let pass"),
        ("eth0", "v1", "v1: what passes eth0 is sent to v1 by a tc filter (mirror), not let pass"),
        ("v1", "ifb0", None),  # the plugin bandwidth
        ("eth0", "v2", None),  # nothing of ours
    ],
)
def test_filters_of_tc(device, target, expected):
    assert said(links(), [mirred(device, target)]) == [expected] * bool(expected)


def test_chains_of_netdev():
    assert said(links(), [], NETDEV) == [
        "v1: what passes here is sent to v2 by a rule of netdev (dup), not let pass",
        "v1: what passes here is sent to 10.0.0.1 by a rule of netdev (fwd), not let pass",
        "v1: what passes eth0 is sent to v1 by a rule of netdev (fwd), not let pass",
        "mn-blue: what passes here is sent to v1 by a rule of netdev (fwd), not let pass",
    ]


ROUTED = """table {family} other {{
\tset ours {{
\t\ttype ifname
\t\telements = {{ "mn-green",
\t\t\t     "mn-blue" }}
\t}}

\tchain copy {{
\t\tdup to 192.168.9.77
\t}}

\tchain f {{
\t\ttype filter hook {hook} priority raw; policy accept;
\t\tcounter packets 0 bytes 0 accept
\t\t{rule}
\t}}
}}
"""


@pytest.mark.parametrize(
    ("rule", "place"),
    [
        ('iifname "mn-blue" dup to 192.168.9.77 device "eth0"', "mn-blue"),
        ('iifname { "eth0", "mn-*" } counter packets 7 bytes 9 dup to 192.168.9.77', "mn-blue"),
        ('oif "flannel.1" meta l4proto tcp dup to 192.168.9.77', "flannel.1"),
        ('iifname "mn-blue" oifname "eth0" dup to 192.168.9.77', "mn-blue"),
        ('iifname != "eth0" dup to 192.168.9.77', "mn-blue"),
        ("ip saddr 10.1.2.10 dup to 192.168.9.77", "mn-blue"),
        ("ip daddr 10.0.9.0-10.1.0.5 dup to 192.168.9.77", "mn-blue"),
        ("udp dport 47470 dup to 192.168.9.77", "mn-blue"),
        ('iifname "mn-blue" jump copy', "mn-blue"),
        ('iifname vmap { "eth0" : accept, "mn-blue" : goto copy }', "mn-blue"),
        ("iifname @ours dup to 192.168.9.77", "mn-blue"),
        # of others, or within the network
        ('iifname "eth0" dup to 192.168.9.77', None),
        ('iifname "eth0" ip saddr 10.0.0.0/8 dup to 192.168.9.77', None),
        ('iifname "eth0" oifname != "lo" dup to 192.168.9.77', None),
        ('iifname != "mn-blue" oifname "eth0" dup to 192.168.9.77', None),
        ('iifname vmap { "eth0" : jump copy, "mn-blue" : accept }', None),
        ("ip daddr 10.9.0.0/16 dup to 192.168.9.77", None),
        ("meta mark 0x7 dup to 192.168.9.77", None),
        ("ip saddr @some dup to 192.168.9.77", None),
        ('iifname "flannel.1" ip daddr 10.1.1.10 dup to 10.1.1.10 device "mn-blue"', None),
        ('iifname "mn-blue" dup to 10.1.1.11', None),
    ],
)
def test_rules_that_copy_what_a_host_routes(rule, place):
    listing = ROUTED.format(family="ip", hook="prerouting", rule=rule)
    found = f"{place}: what passes here is sent to 192.168.9.77 by a rule of ip (dup), not let pass"
    assert said(links(), [], listing) == [found] * bool(place)


def test_rules_of_other_families_and_other_words():
    rule = 'ip6 daddr fd00:1:0:2::/64 dup to fd09::77 device "eth0"'
    (found,) = said(links(), [], ROUTED.format(family="ip6", hook="forward", rule=rule))
    assert "is sent to fd09::77 by a rule of ip6 (dup)" in found
    rule = 'iifname "mn-blue" counter packets 0 bytes 0 xt target "TEE"'
    (found,) = said(links(), [], ROUTED.format(family="ip", hook="prerouting", rule=rule))
    assert "is sent to another host by a rule of ip (TEE)" in found
    rule = "dup to 192.168.9.77"
    assert said(links(), [], ROUTED.format(family="ip", hook="output", rule=rule)) == []


@pytest.mark.parametrize(
    ("more", "is_found"),
    [
        ({"options": {"handle": "0x1", "direct-action": True}}, True),
        ({}, False),  # tc lists the priority, too
        ({"options": {"bpf_name": "cil_from_container-v1", "direct-action": True}}, False),
        ({"options": {"bpf_name": "mirror.o:[tc]", "direct-action": True}}, True),
        ({"kind": "matchall", "options": {"actions": [{"kind": "bpf", "bpf_name": "x"}]}}, True),
    ],
)
def test_a_program_of_tc(more, is_found):
    expected = ["v1: program that sees packets (tc) is there, not none"] * is_found
    assert said(links(), [{"dev": "v1", "kind": "bpf", **more}]) == expected
    assert said(links(), [{"dev": "eth0", "kind": "bpf", **more}]) == []


def test_devices_on_top_of_a_tunnel():
    here = links()
    here[3]["promiscuity"] = 1
    above = "flannel.1: number of devices on top of it (macvlan, in any namespace)"
    assert said(here) == [f"{above} is 1, not 0"]
    assert said(here, sniffers=[5]) == []
    here[3]["master"] = "br9"  # somebody's bridge makes it so
    assert said(here) == []
    here.append(link("x", 9, "vlan", link="flannel.1"))
    here.append(link("eth0.5", 10, "vlan", link="eth0"))
    del here[3]["master"], here[3]["promiscuity"]
    assert said(here) == ["flannel.1: device on top of it is x (vlan), not none"]


def test_a_program_that_sees_packets_first():
    here = links()
    here[4]["xdp"] = {"mode": 2, "prog": {"id": 7}}
    assert said(here) == ["v1: program that sees packets first (XDP) is there, not none"]


def test_devices_on_top_of_a_bridge_and_those_who_sniff_there():
    here = links()
    here[2]["promiscuity"] = 2
    above = "mn-blue: number of devices on top of it (macvlan, in any namespace)"
    assert said(here, sniffers=[4, 2]) == [f"{above} is 1, not 0"]
    assert said(here, sniffers=[4, 4]) == []
    here[2].update(promiscuity=1, flags=["UP", "PROMISC"])  # the plugin bridge's promiscMode
    assert said(here) == []


def test_a_host_that_answers_for_all():
    answers = "mn-blue: proxy_arp is 1: the host answers for all, not 0"
    assert said(links(), proxies=["mn-blue"]) == said(links(), proxies=["all"]) == [answers]
    assert said(links(), proxies=["eth0"]) == []


def test_settings_of_a_port():
    here = links()
    here[4]["linkinfo"]["info_slave_data"] = {"isolated": True, "learning": False, "hairpin": True}
    assert said(here) == [
        "v1: isolated of the port on mn-blue is on, not off",
        "v1: learning of the port on mn-blue is off, not on",
    ]
