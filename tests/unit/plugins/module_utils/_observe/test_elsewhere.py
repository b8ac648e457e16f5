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


def test_a_plan_of_what_is_declared():
    plan = elsewhere.plan_of([BLUE, dict(RED, allow_to=["blue"])])
    blue, red = plan["networks"]
    assert (blue["device"], blue["device_v6"]) == ("flannel.1", None)
    assert blue["backend"] == {"type": "vxlan", "vni": 1, "port": 8472}
    assert red["backend"]["port"] == 8286
    assert plan["default_network"] == "blue"
    assert pairs.blocked(plan) == [["blue", "red"]]
    bare = elsewhere.plan_of([{"name": "nad", "bridge": "br1", "cidr": "10.9.0.0/24"}])
    assert bare["networks"][0]["backend"] == {"type": "none"}
    assert bare["networks"][0]["device"] is None and bare["default_network"] is None


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ([], "verify_networks must be a list"),
        (["blue"], "number 1 is 'blue'; write a mapping"),
        ([dict(BLUE, brigde="x")], "network 'blue': brigde is unknown"),
        ([{"name": "blue", "cidr": "10.1.0.0/16"}], "network 'blue': bridge is missing"),
        ([{"bridge": "b", "cidr": "10.1.0.0/16"}], "number 1: name is missing"),
        ([{"name": "blue", "bridge": "b"}], "network 'blue': cidr is missing"),
        ([dict(BLUE, cidr="10.1.0.0/33")], "network 'blue': cidr is '10.1.0.0/33'"),
        ([dict(BLUE, vni="1")], "network 'blue': vni is '1'; write a value of type int"),
        ([BLUE, dict(RED, bridge="cni0")], "bridge 'cni0' is used twice"),
        ([BLUE, dict(RED, name="blue")], "name 'blue' is used twice"),
        ([BLUE, dict(RED, default=True)], "several networks have default: true"),
        ([BLUE, dict(RED, allow_to=["bleu"])], "allow_to names 'bleu'"),
        ([BLUE, dict(RED, cidr="10.1.2.0/24")], "10.1.0.0/16 and 10.1.2.0/24 overlap"),
    ],
)
def test_what_is_wrong_is_told(declared, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        elsewhere.plan_of(declared)


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
        assert finding["commands"] == ["ansible-playbook -i INVENTORY multinet.flannel.verify"]
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
