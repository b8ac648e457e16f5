# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reset of hosts whose cluster cannot be asked, or is no more: what they would lose is listed all
the same.
"""

from __future__ import annotations

import json
import os

import pytest
from adhoc import Ansible
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

PLAN = plan(
    [
        {
            "name": "blue",
            "cidr": "10.1.0.0/16",
            "default": True,
            "backend": {"type": "vxlan", "vni": 1},
        }
    ],
    {"datastore": "kubernetes", "kubernetes": True, "cluster_cidrs": ["10.244.0.0/16"]},
)


@pytest.fixture(name="node")
def _node(tmp_path):
    """Ansible with one host, which is this machine, with the record of a network."""
    variables = {
        "multinet_datastore": "kubernetes",
        "multinet_kubeconfig": str(tmp_path / "gone"),
        "multinet_cluster_cidrs": ["10.244.0.0/16"],
    }
    record = tmp_path / "host" / "etc" / "multinet" / "deployed.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"plan": PLAN, "host": "node1", "directories": []}))
    return Ansible(tmp_path, {"node1": {}}, variables)


@pytest.mark.parametrize("form", ["units", "daemonset"])
def test_an_api_that_cannot_be_asked_is_said_last(node, form):
    assert node.playbook("multinet.flannel.reset", "-e", f"multinet_flanneld_form={form}") != 0
    said = " ".join(node.output.split())
    listed, dummy, stays = said.partition("What the networks have at the Kubernetes API stays.")
    assert "- directory /etc/multinet" in listed, node.output
    assert "set multinet_kubernetes to false" in stays, node.output


def test_a_cluster_that_is_no_more_is_not_asked(node):
    options = ("-e", "multinet_kubernetes=false", "-e", "multinet_flanneld_form=daemonset")
    assert node.playbook("multinet.flannel.reset", *options) == 0, node.output
    assert "- directory /etc/multinet" in node.output, node.output
