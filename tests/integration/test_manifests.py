# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook multinet.flannel.manifests writes what site.yml would make at the API, but for
secrets.
"""

from __future__ import annotations

import pathlib

import pytest
import yaml
from adhoc import Ansible
from ansible_collections.multinet.flannel.plugins.filter.kubernetes import kubernetes_objects
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from declaration import BLUE

NETWORKS = [BLUE, {"name": "red", "cidr": "10.3.0.0/16", "backend": {"type": "vxlan", "vni": 2}}]
ENDPOINTS = ["https://192.0.2.11:2379"]


@pytest.mark.parametrize("form", ["units", "daemonset"])
def test_a_manifest_has_everything_but_secrets(tmp_path: pathlib.Path, form: str) -> None:
    pki = tmp_path / "pki"
    pki.mkdir()
    for name in ("ca.crt", "client.crt", "client.key"):
        (pki / name).write_text("hush")
    variables = {
        "multinet_networks": NETWORKS,
        "multinet_kubernetes": True,
        "multinet_nad_namespaces": ["default", "apps"],
        "multinet_etcd_endpoints": ENDPOINTS,
        "multinet_flanneld_form": form,
        "multinet_flannel_image": "flannel:1",
        "multinet_pki_dir": str(pki),
        "multinet_manifest_dir": str(tmp_path / "manifests"),
        # nobody could become root on the controller
        "ansible_become": True,
        "ansible_become_exe": "/nonexistent/sudo",
        # a host that is contacted would be seen
        "ansible_connection": "ssh",
        "ansible_host": "127.0.0.1",
        "ansible_port": 1,
    }
    ansible = Ansible(tmp_path, {"n2": variables, "n1": {**variables, "multinet_node_name": "one"}})
    assert ansible.playbook("multinet.flannel.manifests") == 0, ansible.output
    pods = {
        "image": "flannel:1",
        "max_unavailable": "10%",
        "pki_dir": str(pki),
        "flanneld": {"etcd_endpoints": ENDPOINTS, "tls": True},
    }
    settings = {
        "namespace": "kube-system",
        "nodes": ["n2", "one"],
        "nad_namespaces": ["default", "apps"],
        "datastore": "etcd",
        "daemonset": pods if form == "daemonset" else None,
    }
    wanted = kubernetes_objects(plan(NETWORKS, {"kubernetes": True}), settings)
    text = (tmp_path / "manifests" / "multinet.yml").read_text()
    assert [document for document in yaml.safe_load_all(text) if document] == [
        item for item in wanted if item["kind"] != "Secret"
    ]
    assert "aHVzaA" not in text
    command = "kubectl -n kube-system create secret generic multinet-etcd-client --from-file=ca.crt"
    assert (command in text) == (form == "daemonset")
