# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kubernetes adds: its lists cut down (vectors/cluster.json, as an API server gave them,
shortened), and the verdicts that depend on them.
"""

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import cluster
from ansible_collections.multinet.flannel.plugins.module_utils._observe import (
    cells,
    ends,
    leaks,
    sender,
)

from .test_verdict import change
from .world import VECTORS, classes, evaluate, load, note, perfect, receipt

LISTS = json.loads((VECTORS / "cluster.json").read_text(encoding="utf-8"))
SERVICES = [
    {"name": "shop/blue:80", "address": "10.96.0.10", "port": 80, "endpoints": ["10.1.2.10"]},
    {"name": "shop/red:80", "address": "10.96.0.11", "port": 80, "endpoints": ["10.3.1.11"]},
    {
        "name": "default/kubernetes:443",
        "address": "10.96.0.1",
        "port": 443,
        "endpoints": ["192.168.9.1"],
    },
    {"name": "shop/elsewhere:80", "address": "10.96.0.12", "port": 80, "endpoints": ["192.0.2.1"]},
]


@pytest.fixture(name="world")
def _world():
    """(plan, facts, cluster): the world's pods as pods of Kubernetes, with an API that says of them
    what they have.
    """
    plan, facts = load()
    pods = []
    for host in facts:
        host["node_name"] = host["host"] + ".example.com"
        for pod in host["pods"]:
            pod.update(
                namespace="shop",
                name=pod["label"],
                uid=f"{host['host']}-{pod['label']}",
                label="shop/" + pod["label"],
            )
            status = [
                {
                    "interface": item["name"],
                    "network": "x",
                    "ips": [text.split("/")[0] for text in item["addresses"]],
                    "mac": item["mac"].upper(),
                }
                for item in pod["interfaces"]
            ]
            said = {
                "label": pod["label"],
                "uid": pod["uid"],
                "node": host["node_name"],
                "running": True,
                "host_network": False,
            }
            pods.append(dict(said, status=status, status_error=""))
    ports = [
        {
            "name": "shop/c:8081",
            "node": "h2.example.com",
            "port": 8081,
            "endpoints": [address_of(facts, "h2", "blue")],
        }
    ]
    services = [dict(service) for service in SERVICES]
    services[0]["endpoints"], services[1]["endpoints"] = (
        [address_of(facts, "h2", "blue")],
        [address_of(facts, "h1", "red")],
    )
    services[2]["endpoints"] = [facts[0]["node"]["underlay"]["4"]]
    for network in plan["networks"]:
        network.setdefault("attach", "request")
        network.setdefault("interface", "eth0" if network["default"] else "net1")
        network.setdefault("masquerade", network["default"])
    return plan, facts, {"pods": pods, "services": services, "ports": ports}


def address_of(facts, host, network):
    return next(
        end["addresses"]["4"]
        for end in ends.endpoints(facts)
        if (end["host"], end["network"]) == (host, network)
    )


def report_on(world, shares):
    plan, facts, known = world
    return evaluate(plan, facts, shares, cluster=known, cluster_after=known)


def test_view():
    seen = cluster.view(LISTS["pods"], LISTS["services"], LISTS["slices"])
    assert [pod["label"] for pod in seen["pods"] if pod["host_network"]] == [
        "kube-system/agent-6qkcq"
    ]
    web = next(pod for pod in seen["pods"] if pod["label"] == "shop/web-6pn45")
    assert (web["node"], web["running"], [entry["interface"] for entry in web["status"]]) == (
        "node-1",
        True,
        ["eth0", "net1", "net2"],
    )
    assert [(service["name"], service["endpoints"]) for service in seen["services"]] == [
        ("default/kubernetes:443", ["192.168.9.11"]),
        ("shop/web-node:80", ["10.1.28.4", "10.1.74.4"]),
        ("shop/web:80", ["10.1.28.4", "10.1.74.4"]),
    ]
    assert [(port["name"], port["node"]) for port in seen["ports"]] == [
        ("shop/web-6pn45:8081", "node-1"),
        ("shop/web-node:30080", None),
        ("shop/web-v5gxw:8081", "node-2"),
    ]


def test_view_leaves_out_what_cannot_be_tried():
    """UDP, a Service without an address of its own, an endpoint that is not ready, a port bound to
    one address, a pod that is being deleted.
    """
    lists = copy.deepcopy(LISTS)
    services = {item["metadata"]["name"]: item["spec"] for item in lists["services"]}
    services["web"]["ports"][0]["protocol"] = "UDP"
    services["web-node"].update(clusterIP="None", clusterIPs=["None"])
    for item in lists["slices"]:
        for endpoint in item["endpoints"][:1]:
            endpoint["conditions"] = {
                "ready": item["metadata"]["labels"]["kubernetes.io/service-name"] == "kubernetes"
            }
    first, second = [item for item in lists["pods"] if item["metadata"]["name"].startswith("web")]
    first["spec"]["containers"][0]["ports"][0]["hostIP"] = "127.0.0.1"
    second["metadata"]["deletionTimestamp"] = "2026-11-21T14:00:00Z"
    seen = cluster.view(lists["pods"], lists["services"], lists["slices"])
    assert [service["name"] for service in seen["services"]] == ["default/kubernetes:443"]
    assert [(port["name"], len(port["endpoints"])) for port in seen["ports"]] == [
        ("shop/web-node:30080", 1)
    ]
    assert [pod["label"] for pod in seen["pods"] if not pod["running"]] == [
        "shop/" + second["metadata"]["name"]
    ]


def test_a_torn_annotation_is_named():
    lists = copy.deepcopy(LISTS)
    lists["pods"][-1]["metadata"]["annotations"][cluster.NETWORK_STATUS] = '["x"]'
    assert cluster.view(lists["pods"], [], [])["pods"][-1]["status_error"]


def test_what_is_tried(world):
    plan, facts, known = world
    wanted = [
        cell
        for cell in cells.cells(plan, facts, cluster=known)
        if cell["kind"] in ("service", "port", "host")
    ]
    assert {
        (cell["from_network"], cell["to"], cell["expected"])
        for cell in wanted
        if cell["kind"] == "service"
    } == {
        ("blue", "@service/shop/blue:80", "reached"),
        ("red", "@service/shop/blue:80", "blocked"),
        ("blue", "@service/shop/red:80", "blocked"),
        ("blue", "@service/default/kubernetes:443", "reached"),
    }
    assert {
        (cell["from_network"], cell["to_host"], cell["expected"])
        for cell in wanted
        if cell["kind"] == "port"
    } == {("blue", "h2", "reached"), ("red", "h2", "blocked")}
    assert {
        cell["to"] for cell in wanted if cell["kind"] == "host" and cell["from_host"] == "h1"
    } >= {end["id"] for end in ends.endpoints(facts) if end["host"] == "h1"}
    assert len({cell["id"] for cell in wanted}) == len(wanted)


def test_a_pod_is_not_sent_to_its_own_published_port(world):
    plan, facts, known = world
    tried = [cell for cell in cells.cells(plan, facts, cluster=known) if cell["kind"] == "port"]
    assert tried and not [cell for cell in tried if cell["variant"]["ends"] == [cell["from"]]]


def test_a_port_is_published_in_the_families_of_its_endpoints(world):
    plan, facts, known = world
    for number, host in enumerate(facts, 1):
        host["node"]["underlay"]["6"] = f"2001:db8::{number}"

    def families():
        return {
            cell["family"]
            for cell in cells.cells(plan, facts, cluster=known)
            if cell["kind"] == "port"
        }

    assert families() == {"4"}
    sixes = {
        end["addresses"]["6"]
        for end in ends.endpoints(facts)
        if (end["host"], end["network"]) == ("h2", "blue")
    }
    known["ports"].append(dict(known["ports"][0], endpoints=sorted(sixes)))
    assert families() == {"4", "6"}


def test_view_of_both_families():
    lists = copy.deepcopy(LISTS)
    node = next(
        item
        for item in lists["slices"]
        if item["metadata"]["labels"]["kubernetes.io/service-name"] == "web-node"
    )
    lists["slices"].append(
        dict(
            node,
            addressType="IPv6",
            endpoints=[dict(node["endpoints"][0], addresses=["fd00:1::4"])],
        )
    )
    pod = next(item for item in lists["pods"] if item["metadata"]["name"] == "web-6pn45")
    pod["status"]["podIPs"] = [{"ip": pod["status"]["podIP"]}, {"ip": "fd00:1::4"}]
    ports = cluster.view(lists["pods"], lists["services"], lists["slices"])["ports"]
    assert [port["endpoints"] for port in ports if port["name"] == "shop/web-node:30080"] == [
        ["10.1.28.4", "10.1.74.4"],
        ["fd00:1::4"],
    ]
    assert [port["endpoints"] for port in ports if port["name"] == "shop/web-6pn45:8081"] == [
        [pod["status"]["podIP"]],
        ["fd00:1::4"],
    ]


@pytest.mark.parametrize(
    ("host_ip", "families"), [("", "46"), ("0.0.0.0", "4"), ("::", "6"), ("127.0.0.1", "")]
)
def test_a_port_of_all_addresses_of_one_family_is_published_in_that_one(host_ip, families):
    """As the plugin portmap takes it."""
    (pod,) = [one for one in LISTS["pods"] if one["metadata"]["name"] == "web-6pn45"]
    pod = copy.deepcopy(pod)
    pod["status"]["podIPs"] = [{"ip": pod["status"]["podIP"]}, {"ip": "fd00:1::4"}]
    pod["spec"]["containers"][0]["ports"][0]["hostIP"] = host_ip
    ports = cluster.view([pod], [], [])["ports"]
    published = [address for port in ports for address in port["endpoints"]]
    assert ["6" if ":" in one else "4" for one in published] == list(families)


def of_web(lists, **spec):
    """Return what is seen of the Service shop/web, with this in its spec."""
    lists = copy.deepcopy(lists)
    (web,) = [one["spec"] for one in lists["services"] if one["metadata"]["name"] == "web"]
    web.update(spec)
    services = cluster.view([], lists["services"], lists["slices"])["services"]
    return [(one["node"], one["endpoints"]) for one in services if one["name"] == "shop/web:80"]


def test_a_service_that_leads_each_node_to_its_own_endpoints():
    both = ["10.1.28.4", "10.1.74.4"]
    assert of_web(LISTS) == of_web(LISTS, internalTrafficPolicy="Cluster") == [(None, both)]
    assert of_web(LISTS, internalTrafficPolicy="Local") == [
        ("node-1", ["10.1.74.4"]),
        ("node-2", ["10.1.28.4"]),
    ]


def test_a_service_that_kube_proxy_leaves_to_another_program():
    lists = copy.deepcopy(LISTS)
    (web,) = [one for one in lists["services"] if one["metadata"]["name"] == "web"]
    web["metadata"]["labels"] = {"service.kubernetes.io/service-proxy-name": "other"}
    assert of_web(lists) == []


def test_nothing_is_promised_where_a_service_has_no_endpoint_of_the_node(world):
    plan, facts, known = world
    known["services"][0]["node"] = facts[1]["node_name"]
    tried = [
        cell["from_host"]
        for cell in cells.cells(plan, facts, cluster=known)
        if cell["kind"] == "service" and cell["to"] == "@service/shop/blue:80"
    ]
    assert tried and set(tried) == {facts[1]["host"]}
    known["services"][0]["node"] = "not-in-the-inventory"
    assert "@service/shop/blue:80" not in [
        cell["to"] for cell in cells.cells(plan, facts, cluster=known)
    ]


def test_what_all_nodes_publish_is_tried_at_the_nodes_own_addresses(world):
    """kube-proxy's, which in nftables mode takes no others; portmap takes all."""
    plan, facts, known = world
    (of_one,) = known["ports"]
    known["ports"].append(dict(of_one, name="shop/web:30080", node=None))
    own = {host["node_name"]: [f"198.51.100.{number}"] for number, host in enumerate(facts)}

    def tried(name):
        return {
            (cell["to_host"], cell["address"])
            for cell in cells.cells(plan, facts, cluster=known)
            if cell["to"] == f"@port/{name}"
        }

    underlays = {(host["host"], host["node"]["underlay"]["4"]) for host in facts}
    assert tried("shop/web:30080") <= underlays
    before, known["nodes"] = tried(of_one["name"]), own
    assert {address for dummy, address in tried("shop/web:30080")} <= {a for (a,) in own.values()}
    assert len(tried("shop/web:30080")) == len(facts)
    assert tried(of_one["name"]) == before
    known["nodes"] = {name: ["2001:db8::1"] for name in own}
    assert tried("shop/web:30080") == set()


@pytest.mark.parametrize(
    ("status", "addresses"),
    [
        ({"hostIP": "192.0.2.1"}, ["192.0.2.1"]),
        (
            {"hostIP": "192.0.2.1", "hostIPs": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}]},
            ["192.0.2.1", "2001:db8::1"],
        ),
        ({}, None),
    ],
)
def test_pods_know_the_addresses_of_their_nodes(status, addresses):
    pod = copy.deepcopy(LISTS["pods"][-1])
    for key in ("hostIP", "hostIPs"):
        pod["status"].pop(key, None)
    pod["status"].update(status)
    nodes = cluster.view([pod], [], [])["nodes"]
    assert nodes == ({pod["spec"]["nodeName"]: addresses} if addresses else {})


def test_a_masqueraded_network_may_use_what_other_nodes_publish(world):
    plan, facts, known = world
    for network in plan["networks"]:
        network["masquerade"] = True
    ports = [
        cell
        for cell in cells.cells(plan, facts, cluster=known)
        if cell["kind"] == "port" and cell["expected"] == "blocked"
    ]
    assert {cell["from_host"] for cell in ports} == {"h2"}


def test_services_that_work_and_keep_apart(world):
    plan, facts, known = world
    report = report_on(world, perfect(plan, facts, known))
    assert report["verdict"] == "as_planned", report["findings"] + report["gaps"]
    assert [note for note in report["notes"] if "shop/elsewhere:80" in note]
    assert {kind["kind"]: kind["planned"] for kind in report["coverage"]["kinds"]}["service"] > 0


def test_a_service_that_leads_into_another_network(world):
    plan, facts, known = world
    shares = perfect(plan, facts, known)
    cell = next(
        cell
        for cell in cells.cells(plan, facts, cluster=known)
        if cell["kind"] == "service" and cell["expected"] == "blocked"
    )
    pod, interface = cell["variant"]["ends"][0].rsplit("/", 1)
    note(shares, pod.split("/")[0], receipt(cell["id"], pod, interface, cell["source"]))
    report = report_on(world, shares)
    assert (report["verdict"], classes(report)) == ("leaks", {leaks.REDIRECTED})


@pytest.mark.parametrize(
    ("started", "is_note"),
    [("2026-01-31T09:59:59Z", True), ("2026-01-31T10:00:01Z", False), ("", False)],
)
def test_pods_that_are_older_than_the_networks_are_a_note(world, started, is_note):
    plan, facts, known = world
    shares = perfect(plan, facts, known)
    plan["networks"][0]["attach"] = "all"
    stranger = dict(known["pods"][0], label="shop/old", uid="old", started=started)
    stranger.update(running=True, host_network=False, node=facts[0]["host"], status=None)
    for fact in facts:
        fact.update(cni_since="2026-01-31T10:00:00Z", node_name=fact["host"])
    known["pods"].append(stranger)
    report = report_on(world, shares)
    assert any("shop/old" in note for note in report["notes"]) == is_note
    assert any("shop/old" in gap for gap in report["gaps"]) != is_note


def hidden(world, *, itself=False):
    """Return the report after an endpoint of a Service has heard a pod in another's name."""
    plan, facts, known = world
    shares = perfect(plan, facts, known)
    cell = next(
        cell
        for cell in cells.cells(plan, facts, cluster=known)
        if cell["kind"] == "service" and cell["expected"] == "reached" and cell["variant"]["ends"]
    )
    others = [end for end in cell["variant"]["ends"] if end != cell["from"]]
    pod, interface = (cell["from"] if itself else others[0]).rsplit("/", 1)
    note(shares, pod.split("/")[0], receipt(cell["id"], pod, interface, "10.1.9.1"))
    return report_on(world, shares)


def test_a_service_that_hides_a_pod_behind_its_node(world):
    """As kube-proxy does with pods that it does not know."""
    report = hidden(world)
    (finding,) = report["findings"]
    assert report["verdict"] == "broken"
    assert "the receiver saw the source 10.1.9.1 instead of the pod's own" in str(finding)
    assert "does not know the range or the bridge of blue" in finding["repair"]


def test_a_pod_that_a_service_leads_back_to_itself_has_to_be_hidden(world):
    assert hidden(world, itself=True)["verdict"] == "as_planned"


@pytest.mark.parametrize("hides_all", [False, True])
def test_where_kube_proxy_is_to_hide_all_pods_it_does_no_harm(world, hides_all):
    world[2]["kube_proxy"] = {"mode": "ClusterCIDR", "hides_all": hides_all}
    report = hidden(world)
    assert report["verdict"] == ("as_planned" if hides_all else "broken")
    assert ("masqueradeAll" in str(report["not_measured"])) is hides_all


def test_a_cluster_without_a_service_to_show_sources_says_so(world):
    plan, facts, known = world
    told = "Whether Services show the pods' own addresses"
    assert told not in str(report_on(world, perfect(plan, facts, known))["not_measured"])
    # the API server's alone is left, and one that leads to another network
    del known["services"][0]
    assert told in str(report_on(world, perfect(plan, facts, known))["not_measured"])
    assert told not in str(evaluate(plan, facts, perfect(plan, facts))["not_measured"])


def test_a_service_that_nobody_answers(world):
    plan, facts, known = world
    shares = perfect(plan, facts, known)
    cell = next(
        cell
        for cell in cells.cells(plan, facts, cluster=known)
        if cell["kind"] == "service" and cell["variant"]["ends"] == []
    )
    shares[cell["from_host"]]["send"]["answers"].pop(cell["id"])
    report = report_on(world, shares)
    assert (report["verdict"], classes(report)) == ("broken", {leaks.NODE_TO_POD})


@pytest.mark.parametrize(
    ("kind", "says", "others"),
    [
        ("service", "kube-proxy must run", ("hostPort", "output", "masquerade-all")),
        ("port", "a pod's hostPort is portmap's", ("must run", "output", "masquerade-all")),
        ("host", "drops in output", ("kube-proxy", "hostPort", "masquerade-all")),
    ],
)
def test_what_does_not_work_tells_whose_it_is(world, kind, says, others):
    plan, facts, known = world
    shares = perfect(plan, facts, known)
    for cell in cells.cells(plan, facts, cluster=known):
        if (cell["kind"], cell["from_host"], cell["expected"]) == (kind, "h1", "reached"):
            change(plan, facts, shares, {"forget": cell["id"]})
    findings = report_on(world, shares)["findings"]
    assert findings and {finding["class"] for finding in findings} == {leaks.NODE_TO_POD.number}
    for finding in findings:
        assert says in finding["repair"] and "NetworkPolicies" in finding["repair"]
        assert not [word for word in others if word in finding["repair"]]


def test_bridges_that_pass_firewalls_by_are_no_good_to_services_alone(world):
    plan, facts, known = world
    shares = perfect(plan, facts, known)
    facts[1]["node"]["sysctls"]["net/bridge/bridge-nf-call-iptables"] = 0
    assert report_on(world, shares)["verdict"] == "as_planned"
    plan["kubernetes"] = True
    (finding,) = report_on(world, shares)["findings"]
    assert (finding["class"], finding["hosts"]) == (leaks.NODE_TO_POD.number, ["h2"])
    assert finding["sentence"].startswith("h2: net.bridge.bridge-nf-call-iptables is 0, expected 1")


def test_an_answer_by_no_endpoint_is_neither_the_service_nor_a_leak(world):
    plan, facts, known = world
    shares = perfect(plan, facts, known)
    for cell in cells.cells(plan, facts, cluster=known):
        if cell["kind"] == "service":
            shares[cell["from_host"]]["send"]["answers"][cell["id"]] = [
                {"by": cell["address"], "channel": "tcp"}
            ]
            for share in shares.values():
                share["collect"]["receipts"] = [
                    entry for entry in share["collect"]["receipts"] if entry["cell"] != cell["id"]
                ]
    report = report_on(world, shares)
    assert {
        cell["verdict"]
        for cell in report["cells"]
        if cell["kind"] == "service" and cell["expected"] == "blocked"
    } == {"blocked-proven"}
    assert classes(report) == {leaks.NODE_TO_POD}


@pytest.mark.parametrize(
    "differs, words",
    [
        ({"ips": ["10.1.9.9"]}, "network-status says addresses 10.1.9.9, and the pod has "),
        (
            {"mac": "02:00:00:00:00:99"},
            "network-status says MAC 02:00:00:00:00:99, and the pod has ",
        ),
        (
            {"interface": "net7"},
            "network-status names this interface, and the pod has none of that name",
        ),
    ],
)
def test_network_status_that_differs(world, differs, words):
    plan, facts, known = world
    shares = perfect(plan, facts, known)
    known["pods"][0]["status"][0].update(differs)
    report = report_on(world, shares)
    sentences = [finding["sentence"] for finding in report["findings"]]
    assert (report["verdict"], classes(report)) == ("broken", {leaks.MISSING_INTERFACE})
    assert any(words in sentence and sentence.startswith("h1/shop/a ") for sentence in sentences), (
        sentences
    )
    assert all("kubectl delete pod" in finding["repair"] for finding in report["findings"])


def test_an_interface_of_somebody_elses_definition_is_no_stranger(world):
    plan, facts, known = world
    shares = perfect(plan, facts, known)
    more = dict(
        facts[0]["pods"][0]["interfaces"][0],
        name="net9",
        network=None,
        bridge=None,
        peer=None,
        mac="02:00:00:00:00:77",
        addresses=["192.0.2.7/24"],
    )
    facts[0]["pods"][0]["interfaces"].append(more)
    assert classes(report_on(world, shares)) == {leaks.SHARED_BRIDGE}
    known["pods"][0]["status"].append(
        {"interface": "net9", "network": "shop/storage", "ips": ["192.0.2.7"], "mac": more["mac"]}
    )
    assert report_on(world, shares)["verdict"] == "as_planned"
    known["pods"][0]["status"][-1]["network"] = "shop/red"  # ours, and not on its bridge
    assert classes(report_on(world, shares)) == {leaks.SHARED_BRIDGE}


def test_network_status_is_missed_only_where_the_meta_plugin_should_write_it(world):
    plan, facts, known = world
    known["pods"][0]["status"] = None
    assert report_on(world, perfect(plan, facts, known))["verdict"] == "as_planned"
    plan["cni_conf"] = {"kubeconfig": "/etc/multinet/kubernetes/meta-plugin.kubeconfig"}
    report = report_on(world, perfect(plan, facts, known))
    assert [finding["sentence"] for finding in report["findings"]] == [
        "h1/shop/a: it has no annotation network-status."
    ]


def test_a_network_of_every_pod_that_one_lacks(world):
    plan, facts, known = world
    plan["networks"][0]["attach"] = "all"
    report = report_on(world, perfect(plan, facts, known))
    pods = [(f"{host['host']}/{pod['label']}", pod) for host in facts for pod in host["pods"]]
    lacking = [
        (name, pod)
        for name, pod in pods
        if "blue" not in {item["network"] for item in pod["interfaces"]}
    ]
    assert lacking and sorted(finding["pod"] for finding in report["findings"]) == sorted(
        name for name, dummy in lacking
    )
    for dummy, pod in lacking:
        known["pods"] = [one for one in known["pods"] if one["uid"] != pod["uid"]]
        pod["uid"] = ""  # no pod of Kubernetes: it may have been given fewer
    assert report_on(world, perfect(plan, facts, known))["verdict"] == "as_planned"


def test_a_pod_that_runs_but_was_not_found(world):
    plan, facts, known = world
    plan["networks"][0]["attach"] = "all"
    stray = dict(known["pods"][0], label="shop/stray", uid="u9")
    before, after = (
        dict(known, pods=known["pods"] + [stray]),
        dict(known, pods=known["pods"] + [stray]),
    )
    shares = perfect(plan, facts, known)
    assert [
        gap
        for gap in evaluate(plan, facts, shares, cluster=before, cluster_after=after)["gaps"]
        if "shop/stray" in gap
    ]
    started = evaluate(plan, facts, shares, cluster=known, cluster_after=after)
    assert not [gap for gap in started["gaps"] if "shop/stray" in gap]


def test_a_pod_that_went_is_named_and_nothing_else_is_claimed(world):
    plan, facts, known = world
    shares = perfect(plan, facts, known)
    gone = "h1/shop/a"
    shares["h1"]["collect"]["gone"] = [gone]
    for share in shares.values():  # what came in late, or not at all
        share["collect"]["receipts"] = [
            entry for entry in share["collect"]["receipts"] if entry["at"] != gone
        ]
    for name in list(shares["h1"]["send"]["answers"]):
        if gone in name:
            shares["h1"]["send"]["answers"].pop(name)
            shares["h1"]["send"]["errors"][name] = "No such device"
    report = report_on(world, shares)
    assert report["verdict"] == "inconclusive"
    assert {cell["reason"] for cell in report["cells"] if cell["outcome"] == "inconclusive"} == {
        gone + " went away while it was measured"
    }
    assert not report["counts"]["leak"] and not report["counts"]["broken"]


def test_an_api_that_cannot_be_read_is_a_note(world):
    plan, facts, dummy = world
    report = evaluate(
        plan,
        facts,
        perfect(plan, facts),
        cluster_problem="The Kubernetes API could not be read: refused.",
    )
    assert report["verdict"] == "as_planned"
    assert report["notes"][-1].endswith(
        "network-status were left out. The Kubernetes API could not be read: refused."
    )


def outside(plan, facts, shares, **changes):
    wanted = list(cells.cells(plan, facts, only_from=ends.OUTSIDE, outside=True))
    shares[ends.OUTSIDE] = {
        "send": dict(
            {"digest": sender.digest(wanted), "errors": {}, "answers": {}, "skipped": ""}, **changes
        )
    }
    return wanted


def test_tunnels_tried_from_outside(world):
    plan, facts, dummy = world
    shares = perfect(plan, facts)
    wanted = outside(plan, facts, shares)
    report = evaluate(plan, facts, shares)
    assert report["verdict"] == "as_planned"
    assert [note for note in report["notes"] if "from the controller" in note] == [
        "Nothing from the controller arrives at h1, h2, so their tunnels were not tried from"
        " outside."
    ]
    for host in ("h1", "h2"):
        for family in "46":
            note(
                shares, host, receipt(f"control-outside|{family}|{host}", host, "", "192.168.9.100")
            )
        if host == "h1":
            assert [
                one for one in evaluate(plan, facts, shares)["notes"] if "controller" in one
            ] == [
                "Nothing from the controller arrives at h2, so their tunnels were not tried from"
                " outside."
            ]
    collected = shares["h2"]["collect"]
    receipts = collected["receipts"]
    collected["receipts"] = [one for one in receipts if one["cell"] != "control-outside|6|h2"]
    assert [one for one in evaluate(plan, facts, shares)["notes"] if "controller" in one] == [
        "Nothing from the controller arrives at h2 over IPv6, so their tunnels were not tried from"
        " outside that way."
    ]
    collected["receipts"] = receipts
    report = evaluate(plan, facts, shares)
    assert report["verdict"] == "as_planned" and {
        cell["outcome"] for cell in report["cells"] if cell["kind"] == "outside"
    } == {"as planned"}
    pod, interface = wanted[0]["to"].rsplit("/", 1)
    note(shares, pod.split("/")[0], receipt(wanted[0]["id"], pod, interface, "10.1.2.0"))
    report = evaluate(plan, facts, shares)
    assert (report["verdict"], classes(report)) == ("leaks", {leaks.INJECTION_FROM_OUTSIDE})
    assert [finding["hosts"] for finding in report["findings"]] == [[pod.split("/")[0]]]
    outside(plan, facts, shares, skipped="The controller is a node itself.")
    assert "The controller is a node itself." in evaluate(plan, facts, shares)["notes"]
