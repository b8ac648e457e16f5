# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import pathlib

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import deployed
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from declaration import BLUE, RED

# deployed.json as former versions of the collection wrote it
VECTORS = pathlib.Path(__file__).with_name("vectors")
PLAN = {"datastore": "etcd", "networks": [{"name": "blue"}, {"name": "red"}, {"name": "green"}]}


@pytest.fixture(name="host")
def _host(tmp_path):
    """A host with files of a network, as a function of (path, content); it returns its root."""

    def with_file(path, content=""):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")

    with_file.root = f"{tmp_path}/"
    return with_file


def test_the_record_is_read_or_named(host):
    assert deployed.plan(host.root) is None
    host("etc/multinet/deployed.json", json.dumps({"plan": {"networks": []}}))
    assert deployed.plan(host.root)["networks"] == []
    for broken in ("{", "[]", "{}"):
        host("etc/multinet/deployed.json", broken)
        with pytest.raises(deployed.DeployedError, match="json, can't be read"):
            deployed.plan(host.root)


def test_a_host_keeps_one_configuration_of_its_own(tmp_path):
    conf = tmp_path / "net.d" / "00-multinet.conf"
    record = {"cni_conf": str(conf)}
    assert deployed.elsewhere({}, "/etc/cni/net.d") == ""
    assert deployed.elsewhere(record, "/etc/cni/net.d") == ""  # moved there, or gone
    conf.parent.mkdir()
    conf.write_text("{}")
    (tmp_path / "alias").symlink_to(conf.parent)
    for same in ("net.d", "net.d/", "alias"):
        assert deployed.elsewhere(record, f"{tmp_path}/{same}") == ""
    assert deployed.elsewhere(record, "/etc/cni/net.d") == (
        "multinet_cni_conf_dir is /etc/cni/net.d, but the CNI configuration of this host's networks"
        f" is {conf}. Set multinet_cni_conf_dir to {conf.parent}. Or, if container runtimes look in"
        " /etc/cni/net.d now, move the file there."
    )


@pytest.mark.parametrize(
    "there, is_in_pods",
    [
        ([deployed.UNIT_FILE, "/etc/flannel/blue.env"], False),
        (["/etc/flannel/blue.env"], False),  # somebody deleted the unit's file
        ([deployed.UNIT_FILE], False),
        ([], True),
    ],
)
def test_a_host_without_the_units_file_and_settings_has_flanneld_in_pods(host, there, is_in_pods):
    for file in there:
        host(file.lstrip("/"))
    networks = [{"name": "blue", "environment_file": "/etc/flannel/blue.env"}]
    assert deployed.in_pods({"networks": networks}, host.root) is is_in_pods


@pytest.mark.parametrize(
    "former", sorted(VECTORS.glob("deployed_*.json")), ids=lambda one: one.stem
)
def test_what_former_versions_deployed_has_all_that_a_plan_has_today(host, former):
    host("etc/multinet/deployed.json", former.read_text(encoding="utf-8"))
    declared = [BLUE, dict(RED, attach="all")]
    today, found = plan(declared), deployed.plan(host.root)
    assert set(today) - set(found) == set()
    assert found["isolated"] == today["isolated"] and found["datastore"] == "etcd"
    for one, other in zip(today["networks"], found["networks"]):
        assert set(one) - set(other) == set()


def test_a_host_that_lost_its_record_knows_its_networks_by_their_files(host):
    host("etc/cni/multinet/net.d/red.conflist")
    host("etc/flannel/blue.env", "FLANNELD_SUBNET_FILE=/run/flannel/networks/blue.env\n")
    host("run/flannel/networks/green.env")
    host("etc/flannel/other.env", "FLANNELD_SUBNET_FILE=/run/flannel/subnet.env\n")
    host("etc/cni/net.d/10-flannel.conflist")
    assert deployed.networks_here(host.root) == ["blue", "green", "red"]
    with pytest.raises(deployed.DeployedError) as raised:
        deployed.plan(host.root)
    assert "is lost, and the networks blue, green, red are here" in str(raised.value)
    assert "run the playbook site, which writes it again" in str(raised.value).lower()


def test_what_is_deployed_is_found_again(host):
    assert deployed.found_again(PLAN, host.root) == ({}, [])
    host("etc/cni/multinet/net.d/blue.conflist")
    plan = {"datastore": "etcd", "networks": [{"name": "blue"}]}
    assert deployed.found_again(PLAN, host.root) == (plan, [])
    host("etc/cni/multinet/net.d/old.conflist")
    assert deployed.found_again(PLAN, host.root) == (plan, ["old"])
