# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compass' files through the real ansible-inventory."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
import yaml
from waiting import PATIENCE

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit" / "plugins" / "plugin_utils" / "_compass"))

import compass_files as files  # noqa: E402 - found by the line above

GRAPH = """\
@all:
  |--@ungrouped:
  |--@ha:
  |  |--host1
  |--@storage_node:
  |  |--host3
  |--@multinet_nodes:
  |  |--@kube_master:
  |  |  |--host1
  |  |--@kube_node:
  |  |  |--host2
  |  |  |--host3
  |--@multinet_etcd:
  |  |--@etcd:
  |  |  |--host1
"""


class Compass:
    """A directory with Compass' files, and what ansible-inventory says of them."""

    def __init__(self, directory, **options):
        self.directory = directory
        self.source = directory / "opnfv.compass.yml"
        self.source.write_text(yaml.safe_dump({"plugin": "multinet.flannel.compass", **options}))
        namespace = directory / "collections" / "ansible_collections" / "multinet"
        namespace.mkdir(parents=True)
        (namespace / "flannel").symlink_to(ROOT, target_is_directory=True)

    def run(self, *arguments, **environment):
        done = subprocess.run(
            [pathlib.Path(sys.executable).parent / "ansible-inventory", "-i", self.source]
            + list(arguments),
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(self.directory / "none.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(self.directory / "collections"),
                "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def hosts(self, **environment):
        status, out, error = self.run("--list", "--export", **environment)
        assert status == 0, error
        return json.loads(out, object_hook=_plain)


def _plain(found):
    return found.get("__ansible_unsafe", found)


@pytest.fixture(name="compass")
def _compass(tmp_path):
    files.write(tmp_path, dha=files.DHA, network=files.NETWORK)
    return Compass(tmp_path, dha="dha.yml", network="network.yml", underlay_network="tenant")


def test_graph_and_list(compass):
    assert compass.run("--graph")[1] == GRAPH
    found = compass.hosts()
    assert found["_meta"]["hostvars"]["host2"]["ansible_host"] == "10.9.0.51"
    assert found["_meta"]["hostvars"]["host2"]["multinet_underlay_interface"] == "eth1.301"
    assert found["all"]["vars"]["multinet_datastore"] == "kubernetes"


def test_constructed_variables_and_groups(tmp_path):
    files.write(tmp_path, dha=files.DHA, network=files.NETWORK)
    compass = Compass(
        tmp_path,
        dha="dha.yml",
        network="network.yml",
        compose={
            "external": "compass_networks.external.address",
            "ansible_host": "inventory_hostname",
        },
        groups={"tagged": "compass_networks.tenant.vlan is defined"},
        keyed_groups=[{"prefix": "cluster", "key": "compass_cluster.name"}],
        strict=True,
    )
    found = compass.hosts()
    assert found["_meta"]["hostvars"]["host3"]["external"] == "198.51.100.12"
    assert found["_meta"]["hostvars"]["host3"]["ansible_host"] == "host3"
    assert found["tagged"]["hosts"] == ["host1", "host2", "host3"]
    assert found["cluster_opnfv"]["hosts"] == ["host1", "host2", "host3"]


def test_a_cache(compass, tmp_path):
    cache = {
        "ANSIBLE_INVENTORY_CACHE": "true",
        "ANSIBLE_INVENTORY_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_INVENTORY_CACHE_CONNECTION": str(tmp_path / "cache"),
    }
    first = compass.hosts(**cache)
    (tmp_path / "network.yml").unlink()
    assert compass.hosts(**cache) == first
    status, _out, error = compass.run("--list", "--flush-cache", **cache)
    assert status, "the cache was not left out"
    assert "network.yml cannot be read" in error


def test_a_wrong_file_is_told_with_its_line(compass, tmp_path):
    (tmp_path / "dha.yml").write_text(files.FIRST_GENERATION.replace("[kube_node]", "[kube_nod]"))
    status, _out, error = compass.run("--list")
    assert status
    assert "dha.yml, line 23: host2 has the role kube_nod" in " ".join(error.split())
    assert "hunter2" not in error


def test_a_source_that_is_two(tmp_path):
    compass = Compass(tmp_path, dha="dha.yml", run_directory="run")
    status, _out, error = compass.run("--list")
    assert status
    assert "needs dha and network, or only run_directory; found dha, run_directory" in " ".join(
        error.split()
    )
