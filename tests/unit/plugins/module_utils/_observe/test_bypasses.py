# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others put on the networks' devices, as `ip`, `tc` and `nft` say it."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import bypasses

PLAN = {"networks": [{"name": "blue", "bridge": "mn-blue", "device": "flannel.1"}]}
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
