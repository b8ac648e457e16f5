# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that docs/expectations.md shows: each holds where it should, and not where not."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from ansible_collections.multinet.flannel.plugins.module_utils._site import expectations
from declaration import BLUE

DOCUMENT = pathlib.Path(__file__).parents[5].joinpath("docs", "expectations.md")
RULES = yaml.safe_load(
    re.search(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)[1]
)["multinet_expectations"]


def networks(**red):
    blue = BLUE
    return plan(
        [
            blue,
            {"name": "red", "cidr": "10.3.0.0/16", "backend": {"type": "vxlan", "vni": 2}, **red},
        ]
    )


def status(*subnets):
    return {
        f"n{number}": {"networks": [{"name": "red", "subnets": one}]}
        for number, one in enumerate(subnets, 1)
    }


def report(pods, mtu):
    interfaces = [{"network": "blue", "mtu": 1300}, {"network": "red", "mtu": mtu}]
    return {
        "hosts": [{"pods": 2}, {"pods": pods}],
        "pods": [{"interfaces": interfaces}, {"interfaces": [{"network": "red", "mtu": 1450}]}],
    }


# The word in each rule's message that tells which it is -> documents with which it holds, and not.
SITES = {
    "is a vxlan": ({"plan": networks()}, {"plan": networks(backend={"type": "host-gw"})}),
    "Nobody in red": ({"plan": networks()}, {"plan": networks(allow_to=["blue"])}),
    "two pods": ({"report": report(2, 1450)}, {"report": report(1, 1450)}),
    "1400 bytes": ({"report": report(2, 1400)}, {"report": report(2, 1399)}),
    "three hosts": (
        {"status": status(["10.3.1.1/24"], [], ["10.3.3.1/24"])},
        {"status": status(["10.3.1.1/24"], ["10.3.2.1/24"])},
    ),
    "a subnet in red": (
        {"status": status(["10.3.1.1/24"], ["10.3.2.1/24"])},
        {"status": status(["10.3.1.1/24"], [])},
    ),
    "A fifth": (
        {"addresses": {"first_out": {"share": 0.79}}},
        {"addresses": {"first_out": {"share": 0.8}}},
    ),
    "host that is gone": (
        {"addresses": {"gone": []}},
        {"addresses": {"gone": [{"subnet": "10.1.7.0/24"}]}},
    ),
}


def test_every_rule_is_one_and_is_tried():
    assert expectations.problems(RULES) == []
    assert len(RULES) == len(SITES)


@pytest.mark.parametrize("word", SITES)
def test_a_rule_of_the_document(word):
    (rule,) = [one for one in RULES if word in one["message"]]
    for documents, holds in zip(SITES[word], (True, False)):
        assert expectations.judged([rule], documents) == [dict(rule, holds=holds, problem="")]
