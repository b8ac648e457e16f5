# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only all hosts of a run together show."""

from __future__ import annotations

import json
import pathlib

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._preflight import machines

VECTORS = json.loads(
    pathlib.Path(__file__).with_name("vectors").joinpath("machines.json").read_text()
)
NOTHING = {"member": None, "ca": None, "deployed_as": None}


def read(vector):
    """Return (hosts, inventory): a host is its machine alone, or a dict."""
    hosts = {
        name: dict(NOTHING, **(host if isinstance(host, dict) else {"machine": host}))
        for name, host in vector["hosts"].items()
    }
    inventory = {"running": list(hosts), **vector["inventory"]}
    return hosts, machines.Inventory(**inventory)


@pytest.mark.parametrize("name", VECTORS["site"])
def test_site(name):
    vector = VECTORS["site"][name]
    assert machines.problems(*read(vector)) == vector["problems"]


@pytest.mark.parametrize("name", VECTORS["reset"])
def test_reset(name):
    vector = VECTORS["reset"][name]
    leases = [{"public_ip": address, "subnet": ""} for address in vector.get("leases", [])]
    prune = vector.get("prune", False)
    assert machines.reset_problems(*read(vector), leases, prune) == vector["problems"]


def test_one_name_stands_for_a_machine():
    inventory = machines.Inventory(nodes=["node2", "node1"], members=["etcd1"], running=["etcd1"])
    hosts = {"etcd1": {"machine": "m1"}, "node1": {"machine": "m1"}, "node2": {"machine": "m2"}}
    assert machines.first_names(hosts, inventory) == {
        "etcd1": "node1",
        "node1": "node1",
        "node2": "node2",
    }
