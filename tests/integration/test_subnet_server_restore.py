# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The subnet server's nodes after the cluster's etcd was restored from a backup: a real API server
then has an older version than the one that the server goes on from.
"""

from __future__ import annotations

import os
import shutil

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import netns
from ansible_collections.multinet.flannel.plugins.module_utils._subnets import nodes, upstream
from kube_api import KubeApi
from waiting import PATIENCE, wait_for

if os.geteuid() != 0:
    pytest.skip("needs root for network namespaces", allow_module_level=True)


class InNamespace(upstream.Follower):
    """A Follower in the API server's namespace."""

    namespace = ""

    def run(self):
        with netns.inside(self.namespace):
            super().run()


@pytest.fixture(name="api")
def _api(tmp_path, upstream_bin):
    if not (upstream_bin / "kube-apiserver").exists():
        pytest.skip("there is no kube-apiserver among the upstream programs")
    api = KubeApi(tmp_path, upstream_bin)
    try:
        yield api
    finally:
        api.close()


def add(api, name):
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    api.ok("POST", "/api/v1/nodes", node)


def again(api, change):
    """Stop the API server and its etcd, change its data, and start both."""
    api.stop()
    api.etcd.kill()
    api.etcd.wait(PATIENCE)
    change()
    api.start_etcd()
    api.start()


def test_the_nodes_of_a_restored_cluster(api, tmp_path, monkeypatch):
    monkeypatch.setattr(upstream, "SILENCE", 10.0)
    certificate, key = api.issue_client("server")
    api.kubeconfig(
        tmp_path / "kubeconfig", {"client-certificate": str(certificate), "client-key": str(key)}
    )
    kept, said = nodes.Nodes(), []
    follower = InNamespace(
        upstream.Upstream(str(tmp_path / "kubeconfig"), frozenset()), kept, said.append
    )
    follower.namespace = "/run/netns/" + api.name

    def restored():
        return [sentence for sentence in said if "older state" in sentence]

    def known():
        return {node.name for node in kept.snapshot()[0]}

    for name in ("stays", "deleted-later"):
        add(api, name)
    follower.start()
    wait_for(lambda: follower.connected and known() == {"stays", "deleted-later"})
    data, backup = tmp_path / "etcd", tmp_path / "backup"

    again(api, lambda: shutil.copytree(data, backup))
    wait_for(lambda: follower.connected)
    api.ok("DELETE", "/api/v1/nodes/deleted-later")
    for number in range(60):
        add(api, f"later-{number}")
    wait_for(lambda: len(known()) == 61)
    before = kept.version
    assert not restored(), "a new start of the API is not a restored backup"

    def restore():
        shutil.rmtree(data)
        shutil.move(backup, data)

    again(api, restore)
    wait_for(lambda: known() == {"stays", "deleted-later"}, why=lambda: kept.version)
    assert int(kept.version) < int(before)
    add(api, "new")
    wait_for(lambda: "new" in known(), why=lambda: follower.failure)
    assert len(restored()) == 1, said
