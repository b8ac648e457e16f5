# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several upstream flanneld with leases from one real API server through our subnet server; what they made is read from the kernel and the API."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from kube_api import KubeApi
from subnet_lab import API, Lab, wait_for

if os.geteuid() != 0:
    pytest.skip("needs root for network namespaces", allow_module_level=True)

PLAN = plan([
    {"name": "blue", "cidr": "10.244.0.0/16", "default": True, "backend": {"type": "vxlan", "vni": 1}},
    {"name": "red", "cidr": "10.3.0.0/16", "subnet_len": 26, "backend": {"type": "vxlan", "vni": 2, "port": 8286}},
], {"datastore": "kubernetes", "cluster_cidrs": ["10.244.0.0/16"], "node_cidr_mask_sizes": [24]})


@pytest.fixture(name="api", scope="module")
def _api(tmp_path_factory, upstream_bin):
    if not (upstream_bin / "kube-apiserver").exists():
        pytest.skip("there is no kube-apiserver among the upstream programs")
    api = KubeApi(tmp_path_factory.mktemp("kube"), upstream_bin, [API])
    try:
        yield api
    finally:
        api.close()


@pytest.fixture(name="lab")
def _lab(api, tmp_path, upstream_bin):
    with Lab(api, PLAN, tmp_path, upstream_bin) as lab:
        yield lab


def everything_is_there(one, other, index, other_index):
    wait_for(lambda: one.subnet("blue") == ["10.244.%d.1/24" % index] and one.subnet("red") == ["10.3.%d.%d/26" % divmod(index * 64 + 1, 256)])
    wait_for(lambda: one.routes("flannel.1") == {"10.244.%d.0/24" % other_index})
    wait_for(lambda: one.routes("flannel.2") == {"10.3.%d.%d/26" % divmod(other_index * 64, 256)})
    wait_for(lambda: one.entries("flannel.1") == one.entries("flannel.2") == {other.address})


def test_two_networks_on_two_nodes(lab):
    """Leases, routes, a node that comes, goes, and the API server and subnet server away meanwhile."""
    one, two = lab.host(1, "10.244.3.0/24"), lab.host(2, "10.244.7.0/24")
    one.start_all()
    two.start_all()
    everything_is_there(one, two, 3, 7)
    everything_is_there(two, one, 7, 3)
    annotations = lab.api.ok("GET", "/api/v1/nodes/node-1")["metadata"]["annotations"]
    assert {key.split("/")[0] for key in annotations} == {"blue.multinet.flannel", "red.multinet.flannel"}
    assert annotations["red.multinet.flannel/public-ip"] == one.address

    lab.node("third", ["10.244.9.0/24"], {
        "red.multinet.flannel/" + key: value for key, value in (
            ("backend-type", "vxlan"), ("backend-data", '{"VNI":2,"VtepMAC":"02:00:00:00:00:09"}'), ("public-ip", "192.0.2.99"), ("kube-subnet-manager", "true"))
    })
    wait_for(lambda: "10.3.2.64/26" in one.routes("flannel.2"), 3)
    assert one.routes("flannel.1") == {"10.244.7.0/24"}
    lab.api.ok("DELETE", "/api/v1/nodes/third")
    wait_for(lambda: one.routes("flannel.2") == {"10.3.1.192/26"}, 3)

    lab.api.stop()
    wait_for(lambda: not one.metric("multinet_subnets_upstream_connected"))
    assert one.routes("flannel.2") == {"10.3.1.192/26"}
    # a flanneld that is killed now comes back: what it asks is known
    one.stop("flanneld-red")
    (one.directory / "red.env").unlink()
    one.start_flanneld("red")
    wait_for(lambda: one.subnet("red"), 20)
    status, answer = one.request("PATCH", "/red/api/v1/nodes/node-1/status", {"metadata": {"annotations": {"red.multinet.flannel/public-ip": "192.0.2.50"}}},
                                 "application/strategic-merge-patch+json")
    assert (status, answer["kind"]) == (502, "Status") and "does not answer" in answer["message"]
    lab.api.start()
    lab.api.ok("DELETE", "/api/v1/nodes/node-2")
    wait_for(lambda: one.routes("flannel.1") == one.routes("flannel.2") == set(), 40)
