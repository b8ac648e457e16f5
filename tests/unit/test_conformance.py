# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make conformance` makes of its configurations, of the suite's images and of its reports;
what `make churn` says of pods.
"""

from __future__ import annotations

import importlib.util
import json
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
REPORT = """<testsuites><testsuite>
<testcase name="[SynchronizedBeforeSuite]" status="passed" time="1"/>
<testcase name="[It] [sig-network] Services hairpin" status="passed" time="9.5"/>
<testcase name="[It] [sig-network] DNS fails" status="failed" time="2">
  <failure message="no"/></testcase>
<testcase name="[It] [sig-network] DNS hangs" status="timedout" time="90"/>
<testcase name="[It] [sig-network] needs a cloud" status="skipped" time="0">
  <skipped message="skipped - Only supported for providers [gce]"/></testcase>
<testcase name="[It] [sig-node] out of focus" status="skipped" time="0">
  <skipped message="skipped"/></testcase>
<testcase name="[It] [sig-node] not ready" status="pending" time="0"/>
</testsuite></testsuites>"""


def _load(name):
    path = ROOT / "tests" / "conformance" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # typing.NamedTuple looks there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module", name="conformance")
def _conformance():
    yield from _load("conformance")


@pytest.fixture(scope="module", name="churn")
def _churn(conformance):
    yield from _load("churn")


def test_a_configuration_is_what_its_words_change(conformance):
    plain = conformance.inventory("api")["test_hosts"]["vars"]
    both = conformance.inventory("etcd+nftables")
    values = both["test_hosts"]["vars"]
    changed = {key: value for key, value in values.items() if plain.get(key) != value}
    assert changed == {"multinet_datastore": "etcd", "test_kube_proxy_mode": "nftables"}
    assert "multinet_etcd" in both
    assert "multinet_etcd" not in conformance.inventory("api")


def test_a_word_that_is_unknown_is_refused(conformance):
    with pytest.raises(ValueError, match="there is no configuration ipvs, but api, etcd"):
        conformance.inventory("etcd+ipvs")


def test_kube_proxy_takes_the_pods_for_those_of_the_cluster(conformance):
    """Its --cluster-cidr (test_cluster_cidrs) is the ranges of the pods' first network."""
    shared = (ROOT / "molecule" / "shared" / "inventory" / "hosts.yml").read_text()
    assert f"test_cluster_cidrs: [{conformance.CLUSTER}]" in shared
    for word in (*conformance.WORDS, "external+dual", "dual+external"):
        values = conformance.inventory(word)["test_hosts"]["vars"]
        (first,) = [one for one in values["multinet_networks"] if one.get("default")]
        ranges = [first[key] for key in ("cidr", "ipv6_cidr") if key in first]
        assert ranges == values.get("test_cluster_cidrs", [conformance.CLUSTER])


def test_a_dual_stack_cluster_has_networks_and_nodes_of_both_families(conformance):
    groups = conformance.inventory("external+dual")
    networks = groups["test_hosts"]["vars"]["multinet_networks"]
    assert len({one["ipv6_cidr"] for one in networks}) == len(networks) == 3
    commands = {host["test_command"] for host in groups["multinet_nodes"]["hosts"].values()}
    assert commands == {"/etc/kubernetes/init.sh dual"}
    assert "ipv6_cidr" not in str(conformance.inventory("external"))


def test_nodes_with_cri_o_are_told_so(conformance):
    """With what speaks CNI 1.1 alone, so has the meta-plugin's configuration."""
    for word in ("crio", "crio+dual", "dual+crio"):
        groups = conformance.inventory(word)
        assert groups["test_hosts"]["vars"]["multinet_cni_version"] == "1.1.0"
        (command,) = {host["test_command"] for host in groups["multinet_nodes"]["hosts"].values()}
        words = command.split()
        assert (words[0], set(words[1:])) == ("/etc/kubernetes/init.sh", set(word.split("+")))
    assert "multinet_cni_version" not in str(conformance.inventory("api"))
    assert "crio" not in str(conformance.inventory("api"))


def test_two_clusters_have_nothing_in_common(conformance):
    place = conformance.Place("mn-other", "198.18.229.0/24")
    assert place.nodes() == {
        "mn-other-1": "198.18.229.11",
        "mn-other-2": "198.18.229.12",
        "mn-other-3": "198.18.229.13",
    }
    both = conformance.inventory("etcd", place)
    assert set(both["multinet_etcd"]["hosts"]) == {"mn-other-1"}
    assert not [text for text in ("mn-e2e", "198.18.223") if text in json.dumps(both)]


def test_only_a_dual_stack_cluster_has_the_part_for_it(conformance):
    assert list(conformance.parts_of("api", [])) == ["network", "services", "node"]
    assert list(conformance.parts_of("flannel+dual", [])) == ["network", "services", "node", "dual"]
    assert list(conformance.parts_of("dual", ["dual", "network"])) == ["dual", "network"]
    assert conformance.parts_of("etcd", ["dual"]) == {}


def test_images_are_those_that_can_be_made_of_those_that_tests_list(conformance):
    listed = ["localhost/agnhost:2.56", "localhost/nginx:1.15-4", "localhost/perl:5.26"]
    found = conformance.images([*listed, "elsewhere/agnhost:2.6"])
    assert list(found) == [*listed[:2], "localhost/coredns:test"]
    assert found["localhost/agnhost:2.56"] == {"Entrypoint": ["/agnhost"], "Cmd": ["pause"]}


def test_a_report_has_what_ran(conformance, tmp_path):
    (tmp_path / "junit_01.xml").write_text(REPORT)
    passed, failed, skipped = conformance.read_reports([tmp_path / "junit_01.xml"])
    assert passed == ["[sig-network] Services hairpin"]
    assert failed == ["[sig-network] DNS fails", "[sig-network] DNS hangs"]
    assert skipped == ["[sig-network] needs a cloud"]


def test_what_fails_with_plain_flannel_too_is_marked_and_forgiven(conformance):
    results = [
        conformance.Result("api", "network", ["a"], ["b", "c|d"], ["e"], 12.3, "green"),
        conformance.Result("flannel", "network", ["a", "c|d"], ["b"], ["e"], 11.0),
    ]
    assert conformance.table(results)[2:] == [
        "| api | network | 1 | 2 | 1 | 12 | green | b (with plain flannel too); c/d |",
        "| flannel | network | 2 | 1 | 1 | 11 | - | b |",
    ]
    assert conformance.ours("api", results) == ["c|d"]
    assert conformance.ours("flannel", results) == []


def test_plain_flannel_is_compared_on_the_same_kind_of_cluster(conformance):
    results = [
        conformance.Result("etcd+dual", "dual", [], ["a", "b", "c"], [], 1.0, "green"),
        conformance.Result("etcd", "dual", [], ["a", "b", "c"], [], 1.0, "green"),
        conformance.Result("flannel", "services", ["b"], ["a", "c"], [], 1.0),
        conformance.Result("dual+flannel", "services", ["a"], ["b"], [], 1.0),
        conformance.Result("flannel+nftables", "services", ["c"], [], [], 1.0),
        conformance.Result("crio", "services", [], ["a", "c", "d"], [], 1.0, "green"),
        conformance.Result("crio+flannel", "services", ["c"], ["d"], [], 1.0),
    ]
    assert conformance.ours("crio", results) == ["c"]
    assert conformance.ours("etcd+dual", results) == ["a"]
    assert conformance.ours("etcd", results) == ["b"]
    assert conformance.ours("dual+flannel", results) == []


def test_a_part_that_runs_again_takes_the_place_of_its_older_result(conformance, tmp_path):
    old = conformance.Result("api", "node", ["a"], ["b"], [], 9.0)
    others = [old._replace(part="network"), old._replace(configuration="api+dual")]
    for result in (old, *others):
        conformance.keep(tmp_path, result)
    new = old._replace(passed=["a", "b"], failed=[], verify="green")
    assert sorted(conformance.keep(tmp_path, new)) == sorted([new, *others])


@pytest.mark.parametrize("verify", ["red", "green"])
def test_a_red_verification_is_a_failure(conformance, verify):
    results = [conformance.Result("api", "node", ["a"], [], [], 1.0, verify)]
    assert conformance.ours("api", results) == (["verify"] if verify == "red" else [])


def test_a_pod_that_is_not_ready_is_named_with_its_node_and_reason(churn):
    def pod(name, ready, **state):
        status = {"conditions": [{"type": "Ready", "status": ready}]}
        if state:
            status["containerStatuses"] = [{"state": state}]
        return {"metadata": {"name": name}, "spec": {"nodeName": "n1"}, "status": status}

    pods = [pod("a", "True"), pod("b", "False", waiting={"reason": "No"}), pod("c", "False")]
    assert churn.unready(pods) == [
        'b on n1 is not Ready: [{"waiting": {"reason": "No"}}]',
        "c on n1 is not Ready: []",
    ]


def test_a_pod_that_lacks_an_interface_is_named(churn):
    def pod(name, *interfaces):
        text = json.dumps([{"interface": one} for one in interfaces])
        return {"metadata": {"name": name, "annotations": {churn.STATUS: text}}}

    assert churn.lacking([pod("a", "eth0", "net1", "net2"), pod("b", "eth0")]) == [
        "b has ['eth0'] instead of ['eth0', 'net1', 'net2']"
    ]


def test_what_a_node_keeps_and_ways_that_it_lacks_are_named(churn):
    before = {churn.KEPT: {"n1": ["a"], "n2": []}, churn.WAYS: {"n1": ["4", "4"], "n2": ["4", "4"]}}
    after = {churn.KEPT: {"n1": ["a", "b"], "n2": []}, churn.WAYS: {"n1": ["4", "4"], "n2": ["2"]}}
    assert churn.left(before, before) == []
    assert churn.left(before, after) == [
        "n1 keeps b",
        "n2 has 2 routes and neighbours, and had 4 and 4",
    ]
