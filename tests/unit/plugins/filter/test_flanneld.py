# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.filter import flanneld

PLAN = {"networks": [{"name": "red"}, {"name": "blue"}]}
GUARD = {"/etc/systemd/system/multinet-isolation.service": "isolation"}
SERVER = {"/etc/systemd/system/multinet-subnets.service": "subnet_server"}
NETWORKS = {
    "/run/multinet-isolation/guarded/blue": "isolation",
    "/run/multinet-isolation/guarded/red": "isolation",
}


@pytest.mark.parametrize(
    "form, datastore, tls, more",
    [
        ("units", "etcd", True, {"/etc/multinet/pki/client.key": "etcd"}),
        ("units", "etcd", False, {}),
        ("units", "kubernetes", True, SERVER),
        # their certificates are in a Secret
        ("daemonset", "etcd", True, NETWORKS),
        ("daemonset", "kubernetes", False, {**SERVER, **NETWORKS}),
    ],
)
def test_no_flanneld_runs_before_its_guard_and_its_data_store(form, datastore, tls, more):
    settings = {"form": form, "datastore": datastore, "tls": tls}
    assert flanneld.flanneld_needs(PLAN, settings) == {**GUARD, **more}


def test_a_node_needs_a_guard_of_just_these_networks():
    guarded = {"a": ["blue", "red"], "b": ["blue"], "c": ["blue", "green", "red"]}
    nodes = ["d", "c", "b", "a"]
    assert flanneld.unguarded_nodes(nodes, guarded, ["blue", "red"]) == ["b", "c", "d"]
    assert flanneld.unguarded_nodes([], {}, ["blue"]) == []
