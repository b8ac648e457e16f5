# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which settings of kube-proxy would cost pods their source addresses at Services."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import kube_proxy
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan


def planned(cidr="10.1.0.0/16", ipv6_cidr=None, **options):
    blue = {"name": "blue", "cidr": cidr, "default": True, "backend": {"type": "vxlan", "vni": 1}}
    if ipv6_cidr:
        blue["ipv6_cidr"] = ipv6_cidr
    return plan([blue], dict({"kubernetes": True}, **options))


def configured(text):
    files = {
        "config.conf": f"kind: KubeProxyConfiguration\n{text}",
        "kubeconfig.conf": "apiVersion: v1\nkind: Config\n",
    }
    return kube_proxy.local_pods({"data": dict(reversed(files.items()))})


OF_THE_API = {"datastore": "kubernetes", "cluster_cidrs": ["10.244.0.0/16"]}


@pytest.mark.parametrize(
    ("text", "cidr", "options", "told"),
    [
        ("clusterCIDR: 10.244.0.0/16\n", "10.1.0.0/16", {}, "clusterCIDR: 10.244.0.0/16"),
        ("clusterCIDR: 10.244.0.0/16,fd00::/48\n", "10.244.0.0/16", {}, None),
        ("clusterCIDR: 10.0.0.0/8\n", "10.1.0.0/16", {}, None),
        ("clusterCIDR: ''\n", "10.1.0.0/16", {}, None),
        ("mode: nftables\n", "10.1.0.0/16", {}, None),
        ("detectLocalMode: NodeCIDR\n", "10.244.0.0/16", OF_THE_API, None),
        ("detectLocalMode: NodeCIDR\n", "10.244.0.0/16", {}, "detectLocalMode: NodeCIDR"),
        ("detectLocalMode: NodeCIDR\n", "10.1.0.0/16", OF_THE_API, "detectLocalMode: NodeCIDR"),
        (
            "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: mn-blue}\n",
            "10.1.0.0/16",
            {},
            None,
        ),
        (
            "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}\n",
            "10.1.0.0/16",
            {},
            "bridgeInterface: cni0",
        ),
        (
            "detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: mn-b}\n",
            "10.1.0.0/16",
            {},
            None,
        ),
        (
            "detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: veth}\n",
            "10.1.0.0/16",
            {},
            "interfaceNamePrefix: veth",
        ),
    ],
)
def test_pods_are_no_strangers(text, cidr, options, told):
    problems = kube_proxy.problems(configured(text), planned(cidr, **options))
    assert len(problems) == int(told is not None)
    if told:
        assert f"kube-proxy, {told})" in problems[0]
        assert "bridgeInterface: mn-blue}" in problems[0]


@pytest.mark.parametrize(
    ("text", "cluster", "stranger"),
    [
        ("clusterCIDR: 10.244.0.0/16\n", ["10.244.0.0/16"], False),
        ("clusterCIDR: fd00:9::/56\n", ["10.244.0.0/16"], True),
        ("clusterCIDR: 10.244.0.0/16,fd00:244::/56\n", ["10.244.0.0/16"], False),
        ("clusterCIDR: 10.244.0.0/16,fd00:9::/56\n", ["10.244.0.0/16"], True),
        ("detectLocalMode: NodeCIDR\n", ["10.244.0.0/16"], False),
        ("detectLocalMode: NodeCIDR\n", ["10.244.0.0/16", "fd00:244::/56"], False),
        ("detectLocalMode: NodeCIDR\n", ["10.244.0.0/16", "fd00:9::/56"], True),
    ],
)
def test_each_family_is_known_by_itself(text, cluster, stranger):
    """Of a family without a range kube-proxy hides nobody (getLocalDetectors, 1.34)."""
    options = {"datastore": "kubernetes", "cluster_cidrs": cluster}
    ours = planned("10.244.0.0/16", "fd00:244::/56", **options)
    problems = kube_proxy.problems(configured(text), ours)
    assert len(problems) == int(stranger)
    if stranger:
        assert "kube-proxy does not know that fd00:244::/56 (network 'blue')" in problems[0]


def test_a_cluster_that_says_nothing_and_a_first_network_of_others():
    for config_map in (None, {}, {"data": {"x": "no: {yaml"}}, {"data": {"x": "kind: Config"}}):
        assert kube_proxy.local_pods(config_map) is None
    known = configured("clusterCIDR: 10.244.0.0/16\n")
    assert kube_proxy.problems(None, planned()) == []
    red = {"name": "red", "cidr": "10.3.0.0/16", "backend": {"type": "vxlan", "vni": 2}}
    other = {"name": "cni", "default": "external", "cidr": "10.244.0.0/16", "conf": "10-x.conflist"}
    assert kube_proxy.problems(known, plan([other, red], {"kubernetes": True})) == []


@pytest.mark.parametrize(
    ("text", "hides"),
    [
        ("clusterCIDR: 10.244.0.0/16\n", False),
        ("iptables: {masqueradeAll: false}\n", False),
        ("iptables:\n  masqueradeAll: true\n", True),
        ("mode: ipvs\niptables: {masqueradeAll: true}\n", True),
        ("mode: nftables\niptables: {masqueradeAll: true}\nnftables: null\n", False),
        ("mode: nftables\nnftables: {masqueradeAll: true}\n", True),
    ],
)
def test_who_hides_all_pods(text, hides):
    assert configured(text)["hides_all"] is hides


class Api:
    """A cluster with kube-proxy's ConfigMap, and a DaemonSet with these volumes."""

    def __init__(self, config_map, volumes):
        self.config_map = config_map
        self.daemon_set = {"spec": {"template": {"spec": {"volumes": volumes}}}}

    def get(self, dummy):
        return self.config_map

    def items(self, dummy):
        return [self.daemon_set]


CONFIG_MAP = {"data": {"config.conf": "kind: KubeProxyConfiguration\nclusterCIDR: 10.244.0.0/16\n"}}
ITS = {"name": "kube-proxy"}


@pytest.mark.parametrize(
    ("config_map", "volumes", "known"),
    [
        (CONFIG_MAP, [{"name": "a", "hostPath": {}}, {"name": "b", "configMap": ITS}], True),
        (CONFIG_MAP, [{"name": "a", "projected": {"sources": [{"configMap": ITS}]}}], True),
        (None, [{"name": "b", "configMap": ITS}], False),
        # kube-router, Cilium and others in its place: kubectl delete daemonset kube-proxy
        (CONFIG_MAP, [{"name": "a", "configMap": {"name": "kube-router"}}], False),
        (CONFIG_MAP, None, False),
    ],
)
def test_a_config_map_that_nobody_has_says_nothing(config_map, volumes, known):
    assert bool(kube_proxy.look(Api(config_map, volumes))) is known
