# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that others deployed: what is declared of them, and what is said of their leaks."""

from __future__ import annotations

import re

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import (
    cells,
    elsewhere,
    leaks,
)
from ansible_collections.multinet.flannel.plugins.module_utils._plan import pairs

from .world import arrive, classes, evaluate, load, perfect

BLUE = {"name": "blue", "bridge": "cni0", "cidr": "10.1.0.0/16", "vni": 1, "default": True}
RED = {"name": "red", "bridge": "cbr1", "cidr": "10.3.0.0/16", "vni": 2, "port": 8286}
AGAIN = "ansible-playbook -i INVENTORY -e @verify.yml multinet.flannel.verify"
BARE = {"name": "nad", "bridge": "br1", "cidr": "10.9.0.0/24"}


def test_a_plan_of_what_is_declared():
    plan = elsewhere.plan_of([BLUE, dict(RED, allow_to=["blue"])])
    blue, red = plan["networks"]
    assert (blue["device"], blue["device_v6"]) == ("flannel.1", None)
    assert blue["backend"] == {"type": "vxlan", "vni": 1, "port": 8472}
    assert red["backend"]["port"] == 8286
    assert plan["default_network"] == "blue"
    assert pairs.blocked(plan) == [["blue", "red"]]
    bare = elsewhere.plan_of([BARE])
    assert bare["networks"][0]["backend"] == {"type": "none"}
    assert bare["networks"][0]["device"] is None and bare["default_network"] is None


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ([], "verify_networks: the list is empty; write networks, each with name, bridge and cidr"),
        ({"blue": BLUE}, "verify_networks: a mapping is not a list; write a list of networks"),
        (["blue"], "network number 1: 'blue' is not a mapping; write name, bridge and cidr"),
        ([dict(BLUE, brigde="x")], "network 'blue': 'brigde' is not a key; write bridge"),
        ([dict(BLUE, colour=1)], "'colour' is not a key; write one of name, bridge, cidr,"),
        ([{"name": "blue", "cidr": "10.1.0.0/16"}], "network 'blue': bridge is missing; write"),
        ([{"bridge": "b", "cidr": "10.1.0.0/16"}], "network number 1: name is missing; write"),
        ([{"name": "blue", "bridge": "b"}], "network 'blue': cidr is missing; write the range"),
        ([dict(BLUE, name="a/b c")], "name is 'a/b c'; write letters, digits, '.', '_' and '-'"),
        ([dict(BLUE, cidr="10.1.0.0/33")], "cidr is '10.1.0.0/33'; write an IPv4 range, such as"),
        ([dict(BLUE, cidr="10.1.0.0")], "cidr is '10.1.0.0'; write an IPv4 range, such as"),
        ([dict(BLUE, cidr="10.1.0.1/16")], "'10.1.0.1/16' has host bits set; write '10.1.0.0/16'"),
        ([dict(BLUE, cidr="fd00:1::/48")], "cidr is 'fd00:1::/48'; write an IPv4 range, such as"),
        ([dict(BLUE, cidr=None)], "cidr is null; write an IPv4 range, such as '10.1.0.0/16'"),
        ([dict(BLUE, ipv6_cidr="10.9.0.0/16")], "ipv6_cidr is '10.9.0.0/16'; write an IPv6 range"),
        ([dict(BLUE, vni="1")], "vni is '1'; write a whole number from 0 to 16777215"),
        ([dict(BLUE, vni=True)], "vni is true; write a whole number from 0 to 16777215"),
        ([dict(BLUE, vni=1 << 24)], "vni is 16777216; write a whole number from 0 to 16777215"),
        ([dict(BLUE, port=0)], "port is 0; write a whole number from 1 to 65535"),
        ([dict(BLUE, default="yes")], "default is 'yes'; write true or false"),
        ([dict(BLUE, bridge="a-bridge-too-long")], "bridge is 'a-bridge-too-long'; write the name"),
        ([dict(BLUE, device="flannel 1")], "device is 'flannel 1'; write the name of an interface"),
        ([dict(BLUE, subnet_file="x.env")], "subnet_file is 'x.env'; write a path that begins"),
        ([dict(BLUE, allow_to="red")], "allow_to is 'red'; write a list of names of networks"),
        ([dict(BLUE, allow_to=[3])], "allow_to is a list; write a list of names of networks"),
        ([dict(BARE, port=8472)], "network 'nad': port is given without vni; write vni too, or"),
        ([BLUE, dict(RED, bridge="cni0")], "bridge 'cni0' is also that of network 'blue'; write"),
        ([BLUE, dict(RED, name="blue")], "network 'blue': the name is used twice; write another"),
        ([BLUE, dict(RED, vni=1)], "network 'red': device 'flannel.1' is also that of network"),
        (
            [BLUE, dict(RED, vni=1, port=8472, device="x")],
            "network 'red': vni 1 with port 8472 is also that of network 'blue'; write what",
        ),
        ([BLUE, dict(RED, default=True)], "network 'red': 'blue' has default: true, too; write it"),
        ([BLUE, dict(RED, allow_to=["bleu"])], "'red': allow_to names 'bleu', which is not"),
        ([BLUE, dict(RED, cidr="10.1.2.0/24")], "'10.1.2.0/24' overlaps network 'blue' (10.1.0.0/"),
    ],
)
def test_what_is_wrong_is_told(declared, said):
    assert said in " ".join(elsewhere.problems(declared))
    with pytest.raises(ValueError, match=re.escape(said)):
        elsewhere.plan_of(declared)


def test_all_that_is_wrong_is_told_at_once_and_in_the_order_of_the_keys():
    wrong = dict(RED, vin=2, brigde="x", port="y", default=1)
    del wrong["bridge"]
    told = elsewhere.problems([wrong])
    assert told == elsewhere.problems([wrong])
    assert [one.split(": ", 1)[1].split(";")[0] for one in told] == [
        "'vin' is not a key",
        "'brigde' is not a key",
        "bridge is missing",
        "port is 'y'",
        "default is 1",
    ]


def test_hosts_must_not_be_told_different_things():
    """Tasks that run once go by what one host has."""
    declared = {"h1": [BLUE], "h2": [BLUE]}
    assert elsewhere.differing(declared) == []
    assert elsewhere.differing({**declared, "h3": [RED], "lb": None}) == [
        "verify_networks is not the same for h3, lb as for h1, but it must be the same for all"
        " hosts of the play. Write it once: in a file for -e, or in group_vars/all.yml."
    ]


def test_a_leak_says_that_flannel_isolates_nothing_and_names_no_program_of_ours():
    dummy, facts = load()
    plan = elsewhere.plan_of(
        [
            dict(BLUE, bridge="mn-blue", ipv6_cidr="fd00:1::/48"),
            dict(RED, bridge="mn-red", ipv6_cidr="fd00:3::/48"),
        ]
    )
    shares = perfect(plan, facts)
    assert evaluate(plan, facts, shares)["verdict"] == "as_planned"
    for cell in cells.cells(plan, facts):
        if cell["kind"] in ("forced", "inject"):
            arrive(shares, facts, cell)
    report = evaluate(plan, facts, shares)
    assert classes(report) >= {leaks.HOST_FORWARDING, leaks.FOREIGN_TUNNEL, leaks.INJECTION}
    for finding in report["findings"]:
        assert finding["hosts"] == ["h1", "h2"]
        assert finding["commands"] == [AGAIN]
        assert "inet multinet" not in finding["repair"] and "the guard" not in finding["repair"]
    first = next(one for one in report["findings"] if one["class"] == 1)
    assert "flannel isolates no networks" in first["repair"]


def test_what_nobody_declared_is_no_fault():
    """Interfaces of others, default routes where none was named, leases that nobody knows of."""
    dummy, facts = load()
    plan = elsewhere.plan_of(
        [
            {key: value for key, value in one.items() if key != "default"}
            for one in (dict(BLUE, bridge="mn-blue"), dict(RED, bridge="mn-red"))
        ]
    )
    for host in facts:
        for pod in host["pods"]:
            pod["interfaces"].append(
                dict(pod["interfaces"][0], name="eth9", network=None, bridge=None, addresses=[])
            )
            for interface in pod["interfaces"]:
                interface["addresses"] = [text for text in interface["addresses"] if "." in text]
        for side in host["node"]["networks"].values():
            side.update(lease={}, device_v6=None)
            side["bridge"]["addresses"] = side["bridge"]["addresses"][:1]
    report = evaluate(plan, facts, perfect(plan, facts))
    assert [one["sentence"] for one in report["findings"]] == []


def two_networks(**of_red):
    """(plan, facts) of networks that others deployed, as they are in vectors/world.json."""
    dummy, facts = load()
    blue = dict(BLUE, bridge="mn-blue", ipv6_cidr="fd00:1::/48")
    red = {**RED, "bridge": "mn-red", "ipv6_cidr": "fd00:3::/48", **of_red}
    return elsewhere.plan_of([blue, {key: red[key] for key in red if red[key] is not None}]), facts


def said_of(report, what):
    """(sentence, repair) of the first finding about this."""
    found = next(one for one in report["findings"] if one["what"] == what)
    return found["sentence"], found["repair"]


@pytest.mark.parametrize(
    ("of_red", "what", "sentence", "key"),
    [
        ({"vni": 7}, "tunnel device", "flannel.7: tunnel device is missing", "vni or device"),
        ({"vni": 7, "device": "flannel.2"}, "VNI", "VNI is 2, expected 7.", "vni"),
        ({"port": 4789}, "UDP port", "UDP port is 8286, expected 4789.", "port"),
        ({"cidr": "10.9.0.0/16"}, "address", "expected inside 10.9.0.0/16.", "cidr"),
        ({"cidr": "10.9.0.0/16"}, "route to 10.9.0.0/16", "is none, expected by net1.", "cidr"),
        (
            {"ipv6_cidr": None},
            "address",
            "expected no IPv6 address, for red has no ipv6_cidr.",
            "ipv6_cidr",
        ),
        ({"subnet_file": "/x.env"}, "the lease of network red", "in /x.env.", "subnet_file"),
        (
            {"bridge": "cbr7"},
            "bridge of its peer",
            "net1: bridge of its peer is mn-red, expected cbr7.",
            "bridge",
        ),
    ],
)
def test_where_the_declaration_may_be_wrong_its_key_is_named(of_red, what, sentence, key):
    plan, facts = two_networks(**of_red)
    if what.startswith("the lease"):
        for host in facts:
            host["node"]["networks"]["red"]["lease"] = {}
    if what.startswith("bridge"):
        for host in facts:
            for pod in host["pods"]:
                for one in pod["interfaces"]:
                    one["network"] = None if one["network"] == "red" else one["network"]
    if what == "tunnel device":
        for host in facts:
            host["node"]["networks"]["red"].update(device=None, device_v6=None)
    told, repair = said_of(evaluate(plan, facts, perfect(plan, facts)), what)
    assert sentence in told
    assert repair.endswith(
        f" If that is as it should be, correct {key} of network red in verify_networks."
    )
    assert "flanneld@" not in repair and "multinet" not in repair


def test_a_sysctl_of_a_pod_has_a_repair_of_its_own():
    plan, facts = two_networks()
    facts[0]["pods"][0]["interfaces"][0]["sysctls"]["net/ipv6/conf/eth0/accept_ra"] = 1
    told, repair = said_of(
        evaluate(plan, facts, perfect(plan, facts)), "net.ipv6.conf.eth0.accept_ra"
    )
    assert "accept_ra is 1, expected 0." in told
    assert repair == (
        "In that pod on h1, net.ipv6.conf.eth0.accept_ra must be 0: set it there, and for new pods"
        " by the plugin tuning in each delegate."
    )


def test_a_bridge_that_a_host_does_not_have_is_said():
    plan, facts = two_networks()
    facts[1]["node"]["networks"]["red"]["bridge"] = None
    report = evaluate(plan, facts, perfect(plan, facts))
    assert (
        "Host h2 has no bridge mn-red, so no pods of network red were looked for there. If it has"
        " some, correct bridge of network red in verify_networks: it is the same on all hosts."
    ) in report["notes"]


def test_one_network_alone_is_not_said_to_be_isolated():
    plan, facts = two_networks()
    alone = elsewhere.plan_of([dict(BLUE, bridge="mn-blue", ipv6_cidr="fd00:1::/48")])
    report = evaluate(plan, facts, perfect(plan, facts))
    assert "each network is connected inside and isolated from the others" in report["headline"]
    for host in facts:
        for pod in host["pods"]:
            pod["interfaces"] = [one for one in pod["interfaces"] if one["network"] == "blue"]
    report = evaluate(alone, facts, perfect(alone, facts))
    assert report["verdict"] == "as_planned", report["findings"]
    assert report["headline"].endswith(
        "each network is connected inside. None had to be isolated from another."
    )


def test_facts_alone_are_told_without_measurements_that_failed():
    plan, facts = two_networks(port=4789)
    shares = perfect(plan, facts)
    report = evaluate(plan, facts, shares, mode="static")
    assert report["headline"] == "Nothing was sent, but 4 facts are not as planned."
    report = evaluate(plan, facts, shares)
    assert report["headline"] == "No leak was seen, but 4 facts are not as planned."


def test_a_tunnel_device_of_another_network_is_told():
    """Backend udp numbers its devices as they start, so that each host has them otherwise."""
    plan, facts = two_networks()
    sides = facts[1]["node"]["networks"]
    sides["blue"]["device"], sides["red"]["device"] = (
        dict(sides["blue"]["device"], addresses=sides["red"]["device"]["addresses"]),
        dict(sides["red"]["device"], addresses=sides["blue"]["device"]["addresses"]),
    )
    report = evaluate(plan, facts, perfect(plan, facts))
    assert [(one["host"], one["network"], one["class"]) for one in report["findings"]] == [
        ("h2", "blue", leaks.WRONG_VNI.number),
        ("h2", "red", leaks.WRONG_VNI.number),
    ]
    told, repair = said_of(report, "address of the tunnel device")
    assert told.startswith("h2 flannel.1: address of the tunnel device is 10.3.")
    assert told.endswith(", expected inside 10.1.0.0/16.")
    assert repair == (
        "On h2, ip -o address shows which device is that of blue. If that is as it should be,"
        " correct device of network blue in verify_networks."
    )


def test_where_no_pod_is_found_the_declaration_is_named():
    plan, facts = two_networks()
    for host in facts:
        host["pods"] = []
    assert (
        "No pod is attached to any network, so nothing could be measured. Start pods first, or"
        " correct the bridges in verify_networks."
    ) in evaluate(plan, facts, perfect(plan, facts))["gaps"]


def test_what_others_may_do_otherwise_is_no_fact():
    """A bridge that is nobody's gateway, or by another address; direct routing; an unknown name."""
    plan, facts = two_networks()
    side = facts[0]["node"]["networks"]["red"]
    for host in facts:
        for interface in (one for pod in host["pods"] for one in pod["interfaces"]):
            interface["gateway"] = {"4": None, "6": None}
        for pod in host["pods"]:
            for route in pod["routes"]["4"] + pod["routes"]["6"]:
                route.pop("gateway", None)
    side["bridge"] = dict(side["bridge"], addresses=[])
    for route in side["routes"]:
        if route["device"] == side["device"]["name"]:
            route.update(device="eth0", gateway="192.168.9.2")
    assert evaluate(plan, facts, {}, mode="static")["verdict"] == "as_planned"
    side["bridge"] = dict(side["bridge"], up=False)
    (found,) = evaluate(plan, facts, {}, mode="static")["findings"]
    assert found["sentence"] == "h1 mn-red: state is down, expected up."
