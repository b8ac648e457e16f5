# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reset of hosts that have etcd alone, by an inventory that lacks those which take leases from
it.
"""

from __future__ import annotations

import json
import os

import pytest
from adhoc import Ansible
from ansible_collections.multinet.flannel.plugins.module_utils._etcd import client as etcd
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from etcd_server import running_etcd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(name="hosts")
def _hosts(upstream_bin, tmp_path):
    """Ansible with one host, which is this machine and the member of an etcd with two leases."""
    ansible = Ansible(tmp_path, {"etcd1": {}})
    settings = tmp_path / "host" / "etc" / "multinet" / "etcd.env"
    settings.parent.mkdir(parents=True)
    (tmp_path / "one").mkdir()
    with running_etcd(upstream_bin / "etcd", tmp_path / "one") as url:
        settings.write_text(
            f"ETCD_NAME=etcd1\nETCD_DATA_DIR={tmp_path}/one/data\n"
            f"ETCD_LISTEN_CLIENT_URLS=http://192.0.2.1:2379,{url}\n"
        )
        client = etcd.Client([url])
        client.put("/coreos.com/network/red/config", '{"Network": "10.3.0.0/16"}')
        client.put("/coreos.com/networks/red/config", '{"Network": "10.4.0.0/16"}')
        for number in (1, 2):
            lease = {"PublicIP": f"192.0.2.1{number}", "BackendType": "vxlan"}
            key = f"/coreos.com/network/red/subnets/10.3.{number}.0-24"
            client.put(key, json.dumps(lease))
        yield ansible


def test_leases_of_hosts_that_the_inventory_lacks_are_seen(hosts):
    assert hosts.playbook("multinet.flannel.reset") != 0
    said = " ".join(hosts.output.split())
    assert "leases of hosts that are not in this run: 192.0.2.11 and 192.0.2.12" in said, said


def test_what_would_go_with_etcd_is_listed(hosts):
    assert hosts.playbook("multinet.flannel.reset", "-e", "multinet_prune=true") == 0
    assert "- /coreos.com/network/red/subnets/10.3.2.0-24" in hosts.output, hosts.output
    assert "/coreos.com/networks/red" not in hosts.output, hosts.output


def test_a_reset_that_came_to_no_end_can_be_run_again(tmp_path):
    """The member went with it; the other host still has the record of a network, and where etcd was
    nobody knows.
    """
    ansible = Ansible(tmp_path, {"node1": {}})
    record = tmp_path / "host" / "etc" / "multinet" / "deployed.json"
    record.parent.mkdir(parents=True)
    blue = {"name": "blue", "cidr": "10.1.0.0/16", "backend": {"type": "vxlan", "vni": 1}}
    planned = plan([{**blue, "default": True}])
    record.write_text(json.dumps({"plan": planned, "host": "node1", "directories": []}))
    assert ansible.playbook("multinet.flannel.reset") == 0, ansible.output
    assert "- directory /etc/multinet" in ansible.output, ansible.output
