# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several upstream flanneld with leases from one real API server through our subnet server; what
they made is read from the kernel and the API.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
import time

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import netns
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from ansible_collections.multinet.flannel.plugins.module_utils._ports import SUBNET_SERVER_REMOTE
from declaration import RED
from kube_api import SERVING, KubeApi
from subnet_lab import API, INSTALLED, PORT, Lab, run
from waiting import PATIENCE, wait_for

if os.geteuid() != 0:
    pytest.skip("needs root for network namespaces", allow_module_level=True)

PLAN = plan(
    [
        {
            "name": "blue",
            "cidr": "10.244.0.0/16",
            "default": True,
            "backend": {"type": "vxlan", "vni": 1},
        },
        dict(RED, subnet_len=26),
    ],
    {"datastore": "kubernetes", "cluster_cidrs": ["10.244.0.0/16"], "node_cidr_mask_sizes": [24]},
)


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
    def red(number, host=0):
        """Return subnet so many of red, or the address of a host in it."""
        high, low = divmod(number * 64 + host, 256)
        return f"10.3.{high}.{low}/26"

    wait_for(
        lambda: (
            one.subnet("blue") == [f"10.244.{index}.1/24"] and one.subnet("red") == [red(index, 1)]
        )
    )
    wait_for(lambda: one.routes("flannel.1") == {f"10.244.{other_index}.0/24"})
    wait_for(lambda: one.routes("flannel.2") == {red(other_index)})
    wait_for(lambda: one.entries("flannel.1") == one.entries("flannel.2") == {other.address})


def test_two_networks_on_two_nodes(lab):
    """Leases, routes, a node that comes and goes, and the API and subnet servers away meanwhile."""
    one, two = lab.host(1, "10.244.3.0/24"), lab.host(2, "10.244.7.0/24")
    one.start_all()
    two.start_all()
    everything_is_there(one, two, 3, 7)
    everything_is_there(two, one, 7, 3)
    assert one.metric(f'multinet_subnets_installed{{sha256="{INSTALLED}"}}') == 1
    annotations = lab.api.ok("GET", "/api/v1/nodes/node-1")["metadata"]["annotations"]
    assert {key.split("/")[0] for key in annotations} == {
        "blue.multinet.flannel",
        "red.multinet.flannel",
    }
    assert annotations["red.multinet.flannel/public-ip"] == one.address

    lab.node(
        "third",
        ["10.244.9.0/24"],
        {
            "red.multinet.flannel/" + key: value
            for key, value in (
                ("backend-type", "vxlan"),
                ("backend-data", '{"VNI":2,"VtepMAC":"02:00:00:00:00:09"}'),
                ("public-ip", "192.0.2.99"),
                ("kube-subnet-manager", "true"),
            )
        },
    )
    wait_for(lambda: "10.3.2.64/26" in one.routes("flannel.2"))
    assert one.routes("flannel.1") == {"10.244.7.0/24"}
    lab.api.ok("DELETE", "/api/v1/nodes/third")
    wait_for(lambda: one.routes("flannel.2") == {"10.3.1.192/26"})

    lab.api.stop()
    wait_for(lambda: not one.metric("multinet_subnets_upstream_connected"))
    assert one.routes("flannel.2") == {"10.3.1.192/26"}
    # a flanneld that is killed now comes back: what it asks is known
    one.stop("flanneld-red")
    (one.directory / "red.env").unlink()
    one.start_flanneld("red")
    wait_for(lambda: one.subnet("red"))
    status, answer = one.request(
        "PATCH",
        "/red/api/v1/nodes/node-1/status",
        {"metadata": {"annotations": {"red.multinet.flannel/public-ip": "192.0.2.50"}}},
        "application/strategic-merge-patch+json",
    )
    assert (status, answer["kind"]) == (502, "Status") and "does not answer" in answer["message"]
    lab.api.start()
    lab.api.ok("DELETE", "/api/v1/nodes/node-2")
    wait_for(lambda: one.routes("flannel.1") == one.routes("flannel.2") == set())


OWN = "/red/api/v1/nodes/node-1"
LEASE = {"metadata": {"annotations": {"red.multinet.flannel/public-ip": "192.0.2.11"}}}


def test_what_is_refused(lab):
    """Everything but what flanneld needs; the API is not asked for it."""
    one = lab.host(1, "10.244.3.0/24")
    lab.node("node-2", ["10.244.7.0/24"])
    one.start_server()
    merge = "application/strategic-merge-patch+json"
    for method, path, body, kind in (
        ("GET", "/red/api/v1/nodes/node-2", None, ""),
        ("PATCH", "/red/api/v1/nodes/node-2/status", LEASE, merge),
        ("PATCH", OWN, LEASE, merge),
        (
            "PATCH",
            OWN + "/status",
            {"metadata": {"annotations": {"blue.multinet.flannel/public-ip": "192.0.2.11"}}},
            merge,
        ),
        (
            "PATCH",
            OWN + "/status",
            {"status": {"conditions": [{"type": "NetworkUnavailable", "status": "False"}]}},
            merge,
        ),
        ("PATCH", OWN + "/status", LEASE, "application/json-patch+json"),
        ("PUT", OWN, LEASE, "application/json"),
        ("DELETE", OWN, None, ""),
        ("POST", "/red/api/v1/nodes", LEASE, "application/json"),
        ("GET", "/red/api/v1/pods", None, ""),
        ("GET", "/red/api/v1/secrets", None, ""),
        ("GET", "/red/api/v1/nodes/node-1/proxy/x", None, ""),
        ("GET", "/red/apis/apps/v1/deployments", None, ""),
        ("GET", "/red/api", None, ""),
        ("GET", "/red/api/v1/nodes/../secrets", None, ""),
        ("GET", "/red/api/v1/nodes?labelSelector=a", None, ""),
    ):
        status, answer = one.request(method, path, body, kind)
        assert (status, answer["kind"], answer["reason"]) == (403, "Status", "Forbidden"), (
            method,
            path,
            answer,
        )
    assert one.request("GET", "/green/api/v1/nodes")[0] == 404
    assert one.request("GET", "/nonsense")[0] == 404
    assert (
        one.request(
            "PATCH",
            OWN + "/status",
            {"metadata": {"annotations": {"red.multinet.flannel/public-ip": "x" * 70000}}},
            merge,
        )[0]
        == 400
    )
    assert lab.api.ok("GET", "/api/v1/nodes/node-1")["metadata"].get("annotations", {}) == {}
    assert one.metric('multinet_subnets_upstream_requests_total{code="200",verb="PATCH"}') == 0
    assert (
        one.request("PATCH", OWN + "/status", LEASE, merge)[1]["metadata"]["annotations"]
        == LEASE["metadata"]["annotations"]
    )
    # from another user, and from another host
    curl = [
        "ip",
        "netns",
        "exec",
        one.ns,
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        "curl",
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
    ]
    codes = {
        path: run(*curl, f"http://127.0.0.1:{PORT}{path}")
        for path in ("/red/api/v1/nodes", "/v1/red/leases", "/healthz", "/metrics")
    }
    assert codes == {
        "/red/api/v1/nodes": "403",
        "/v1/red/leases": "403",
        "/healthz": "200",
        "/metrics": "200",
    }
    # nor can another user keep flanneld out by holding connections
    hold = (
        f"import socket, time; held = [socket.create_connection(('127.0.0.1', {PORT})) for _ in"
        " range(300)]; print(flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [*curl[: curl.index("curl")], sys.executable, "-c", hold], stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        time.sleep(0.5)
        assert one.get("/red/api/v1/nodes")[0] == 200
        holder.kill()
    with netns.inside("/run/netns/" + lab.api.name), pytest.raises(OSError):
        http.client.HTTPConnection(one.address, PORT, timeout=3).request("GET", "/healthz")


def watching(host, query=""):
    """Open a watch as client-go does; return (function that gives the next event or None at the
    end, connection).
    """
    path = "/red/api/v1/nodes"
    version = host.get(path)[1]["metadata"]["resourceVersion"]
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=PATIENCE)
    with netns.inside("/run/netns/" + host.ns):
        connection.connect()
    connection.request(
        "GET", path + "?watch=true&allowWatchBookmarks=true&resourceVersion=" + version + query
    )
    response = connection.getresponse()
    assert response.status == 200
    return lambda: json.loads(response.readline() or "null"), connection


def test_a_watch_is_the_apis_own_for_one_network(lab):
    one = lab.host(1, "10.244.3.0/24")
    one.start_server()
    following, connection = watching(one)
    lab.node(
        "two",
        ["10.244.7.0/24"],
        {
            "red.multinet.flannel/public-ip": "192.0.2.12",
            "blue.multinet.flannel/public-ip": "192.0.2.12",
            "other": "x",
        },
    )
    event = following()
    truth = lab.api.ok("GET", "/api/v1/nodes/two")
    assert event == {
        "type": "ADDED",
        "object": {
            "kind": "Node",
            "apiVersion": "v1",
            "spec": {"podCIDR": "10.3.1.192/26", "podCIDRs": ["10.3.1.192/26"]},
            "status": {},
            "metadata": {
                "name": "two",
                "uid": truth["metadata"]["uid"],
                "resourceVersion": truth["metadata"]["resourceVersion"],
                "annotations": {"red.multinet.flannel/public-ip": "192.0.2.12"},
            },
        },
    }
    # a heartbeat is nothing to flanneld
    ready = {
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "reason": "x", "message": "y"}]
        }
    }
    lab.api.ok("PATCH", "/api/v1/nodes/two/status", ready, "application/strategic-merge-patch+json")
    lab.api.ok("DELETE", "/api/v1/nodes/two")
    assert following()["type"] == "DELETED"
    connection.close()
    begin = time.monotonic()
    following, connection = watching(one, "&timeoutSeconds=2")
    assert following() is None and time.monotonic() - begin >= 2
    connection.close()
    status, answer = one.get("/red/api/v1/nodes?watch=true&resourceVersion=1")
    assert (status, answer["reason"]) == (410, "Expired")
    following, connection = watching(
        one, "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1"
    )
    assert following()["object"]["metadata"]["name"] == "node-1"
    assert following()["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    connection.close()


def test_a_watch_that_nobody_reads_costs_nothing(lab):
    one = lab.host(1, "10.244.3.0/24")
    one.start_server()
    _next_event, connection = watching(one)
    wait_for(lambda: one.metric('multinet_subnets_watches{network="red"}') == 1)
    before = one.metric("process_resident_memory_bytes")
    for number in range(600):
        value = {
            "metadata": {
                "annotations": {"red.multinet.flannel/backend-data": f"{number} {'x' * 4000}"}
            }
        }
        lab.api.ok("PATCH", "/api/v1/nodes/node-1", value, "application/merge-patch+json")
    wait_for(lambda: '"599 ' in json.dumps(one.get("/red/api/v1/nodes")[1]))
    assert one.metric("process_resident_memory_bytes") - before < 8 << 20
    connection.close()


def test_tokens_and_silence(lab, monkeypatch):
    """A token that is no good is no end: the next one is used at once.

    A connection that died without a word is noticed.
    """
    monkeypatch.setenv("MULTINET_TEST_SILENCE", "4")
    one = lab.host(1, "10.244.3.0/24")
    one.start_server()
    wait_for(lambda: one.metric("multinet_subnets_upstream_connected"))
    good = one.token.read_text(encoding="ascii")
    one.token.write_text("nonsense", encoding="ascii")
    lab.api.stop()
    lab.api.start()
    wait_for(lambda: "401" in one.log("subnets"))
    status, _answer = one.request(
        "PATCH", OWN + "/status", LEASE, "application/strategic-merge-patch+json"
    )
    assert status == 401
    one.token.write_text(good, encoding="ascii")
    wait_for(lambda: one.metric("multinet_subnets_upstream_connected"))
    assert (
        one.request("PATCH", OWN + "/status", LEASE, "application/strategic-merge-patch+json")[0]
        == 200
    )

    run("ip", "-n", lab.api.name, "link", "set", "w1", "nomaster")
    lab.node("two", ["10.244.7.0/24"])
    wait_for(lambda: not one.metric("multinet_subnets_upstream_connected"))
    run("ip", "-n", lab.api.name, "link", "set", "w1", "master", "switch")
    wait_for(lambda: len(one.get("/red/api/v1/nodes")[1]["items"]) == 2)


def test_a_node_registered_again(lab):
    """Another podCIDR: leases, devices, routes and bridge follow, without a hand; a pod that is
    still there is named and keeps its bridge.
    """
    one, two = lab.host(1, "10.244.3.0/24"), lab.host(2, "10.244.7.0/24")
    one.start_all()
    two.start_all()
    everything_is_there(one, two, 3, 7)
    mac = json.loads(run("ip", "-n", one.ns, "-j", "link", "show", "flannel.2"))[0]["address"]
    for network, address in (("blue", "10.244.3.1/24"), ("red", "10.3.0.193/26")):
        run("ip", "-n", one.ns, "link", "add", "mn-" + network, "type", "bridge")
        run("ip", "-n", one.ns, "address", "add", address, "dev", "mn-" + network)
    run("ip", "-n", one.ns, "link", "add", "pod0", "type", "veth", "peer", "name", "pod1")
    run("ip", "-n", one.ns, "link", "set", "pod0", "master", "mn-red")
    ipam = one.directory / "ipam" / "red"
    ipam.mkdir(parents=True)
    (ipam / "10.3.0.200").write_text("container-of-a-pod\r\neth0", encoding="ascii")
    (ipam / "lock").touch()

    lab.api.ok("DELETE", "/api/v1/nodes/node-1")
    wait_for(lambda: two.routes("flannel.1") == two.routes("flannel.2") == set())
    one.register("10.244.20.0/24")
    everything_is_there(one, two, 20, 7)
    everything_is_there(two, one, 7, 20)
    wait_for(lambda: one.metric('multinet_subnets_flanneld_restarts_total{network="red"}') == 1)
    assert (
        json.loads(run("ip", "-n", one.ns, "-j", "link", "show", "flannel.2"))[0]["address"] == mac
    )
    addresses = json.loads(run("ip", "-n", one.ns, "-j", "address", "show", "dev", "flannel.2"))[0][
        "addr_info"
    ]
    assert [item["local"] for item in addresses if item["family"] == "inet"] == ["10.3.5.0"]

    wait_for(lambda: not run("ip", "-n", one.ns, "link", "show", "mn-blue", check=False))
    wait_for(lambda: one.metric('multinet_subnets_stale_pods{network="red"}') == 1)
    # who sees the metric finds in the log what it counts
    assert "Pod container-of-a-pod has 10.3.0.200 of a former subnet of network red" in one.log(
        "subnets"
    )
    assert run("ip", "-n", one.ns, "link", "show", "mn-red")
    run("ip", "-n", one.ns, "link", "delete", "pod0")
    (ipam / "10.3.0.200").unlink()
    wait_for(lambda: not run("ip", "-n", one.ns, "link", "show", "mn-red", check=False))
    wait_for(lambda: one.metric('multinet_subnets_stale_pods{network="red"}') == 0)

    # with the same podCIDR, its leases are gone all the same
    lab.api.ok("DELETE", "/api/v1/nodes/node-1")
    one.register("10.244.20.0/24")
    for network in ("blue", "red"):
        lease = f"{network}.multinet.flannel/kube-subnet-manager"
        wait_for(
            lambda lease=lease: (
                lab.api.ok("GET", "/api/v1/nodes/node-1")["metadata"]
                .get("annotations", {})
                .get(lease)
            )
        )
    everything_is_there(two, one, 7, 20)


def test_a_network_without_room_for_a_node(lab):
    """It alone stays down there, and it is said why."""
    one, two = lab.host(1, "10.244.3.0/24"), lab.host(2, "10.244.0.0/24")
    for host in (one, two):
        host.networks[1].update(
            cidr="10.3.0.0/25",
            flannel_config=dict(host.networks[1]["flannel_config"], Network="10.3.0.0/25"),
        )
        host.start_all()
    wait_for(
        lambda: (
            one.routes("flannel.1") == {"10.244.0.0/24"}
            and two.routes("flannel.1") == {"10.244.3.0/24"}
        )
    )
    wait_for(lambda: two.subnet("red") == ["10.3.0.1/26"])
    assert one.subnet("red") == [] and two.routes("flannel.2") == set()
    sentence = (
        "Node node-1 is number 4 of the cluster, and network red has 2 subnets of /26 in"
        " 10.3.0.0/25; give the network a larger range."
    )
    wait_for(lambda: one.metric('multinet_subnets_without_subnet{network="red"}') == 1)
    assert one.log("subnets").count(sentence) == 1


def test_a_node_that_is_not_there(lab):
    one = lab.host(1, "10.244.3.0/24")
    lab.api.ok("DELETE", "/api/v1/nodes/node-1")
    one.start_server()
    wait_for(lambda: "The cluster has no node node-1." in one.log("subnets"))
    status, answer = one.get(OWN)
    assert (status, answer["reason"]) == (404, "NotFound")


def test_annotations_of_a_network_that_is_gone(lab):
    one = lab.host(1, "10.244.3.0/24")
    lab.api.ok(
        "PATCH",
        "/api/v1/nodes/node-1",
        {
            "metadata": {
                "annotations": {
                    "gone.multinet.flannel/public-ip": "192.0.2.11",
                    "red.multinet.flannel/public-ip": "192.0.2.11",
                    "mine": "x",
                }
            }
        },
        "application/merge-patch+json",
    )
    one.start_server()

    def there():
        return set(lab.api.ok("GET", "/api/v1/nodes/node-1")["metadata"].get("annotations", {}))

    wait_for(lambda: there() == {"red.multinet.flannel/public-ip", "mine"})


def test_both_families(api, tmp_path, upstream_bin):
    both = plan(
        [
            {
                "name": "blue",
                "cidr": "10.244.0.0/16",
                "ipv6_cidr": "fd00:244::/56",
                "default": True,
                "backend": {"type": "vxlan", "vni": 1},
            },
            {
                "name": "red",
                "cidr": "10.3.0.0/16",
                "ipv6_cidr": "fd00:3::/56",
                "backend": {"type": "vxlan", "vni": 2},
            },
        ],
        {
            "datastore": "kubernetes",
            "cluster_cidrs": ["10.244.0.0/16", "fd00:244::/56"],
            "node_cidr_mask_sizes": [24, 64],
        },
    )
    with Lab(api, both, tmp_path, upstream_bin) as lab:
        one, two = (
            lab.host(1, "10.244.3.0/24", "fd00:244:0:4::/64"),
            lab.host(2, "10.244.7.0/24", "fd00:244:0:8::/64"),
        )
        one.start_all()
        two.start_all()
        wait_for(
            lambda: (
                one.subnet("blue") == ["10.244.3.1/24", "fd00:244:0:4::1/64"]
                and one.subnet("red") == ["10.3.3.1/24", "fd00:3:0:4::1/64"]
            )
        )
        wait_for(
            lambda: (
                (one.routes("flannel.2"), one.routes("flannel-v6.2", 6))
                == ({"10.3.7.0/24"}, {"fd00:3:0:8::/64"})
            )
        )
        wait_for(
            lambda: (
                (two.routes("flannel.1"), two.routes("flannel-v6.1", 6))
                == ({"10.244.3.0/24"}, {"fd00:244:0:4::/64"})
            )
        )
        assert (
            one.get("/v1/red/leases/10.3.7.0-24")[1]["snapshot"][0]["IPv6Subnet"]
            == "fd00:3:0:8::/64"
        )


# --- flannel's own protocol


class OldFlannel:
    """A client of flannel's protocol, version 1, written from its description: config, lease, watch
    with a cursor, renewal.

    ask: callable(method, path, body) -> (status, answer).
    """

    def __init__(self, ask):
        self.ask = ask
        self.cursor = None
        self.leases = {}

    def ask_well(self, method, path, body=None):
        """Ask, and take anything but success for a failure of the test."""
        status, answer = self.ask(method, "/v1/red" + path, body)
        assert status == 200, answer
        return answer

    def acquire(self, public_ip, mac):
        self.lease = self.ask_well(
            "POST",
            "/leases",
            {"PublicIP": public_ip, "BackendType": "vxlan", "BackendData": {"VtepMAC": mac}},
        )

    def key(self):
        return self.lease["Subnet"].replace("/", "-")

    def watch(self):
        result = self.ask_well("GET", "/leases" + ("?next=" + self.cursor if self.cursor else ""))
        self.cursor = result["cursor"]
        if not result["events"]:
            self.leases = {lease["Subnet"]: lease for lease in result["snapshot"]}
        for event in result["events"]:
            if event["type"] == "added":
                self.leases[event["lease"]["Subnet"]] = event["lease"]
            else:
                del self.leases[event["lease"]["Subnet"]]

    def follow(self, subnets):
        """Watch until there are these leases (set): each server knows of them when the API has told
        it.
        """
        wait_for(lambda: self.watch() or set(self.leases) == subnets)


def test_an_old_client_and_a_flanneld_of_today(lab):
    """They see each other's leases."""
    one, two = lab.host(1, "10.244.3.0/24"), lab.host(2, "10.244.7.0/24")
    one.start_all()
    two.start_server()
    wait_for(lambda: one.subnet("red"))
    old = OldFlannel(two.request)
    assert old.ask_well("GET", "/config") == PLAN["networks"][1]["flannel_config"]
    old.follow({"10.3.0.192/26"})
    assert old.leases["10.3.0.192/26"]["Attrs"]["PublicIP"] == one.address
    old.acquire(two.address, "02:00:00:00:00:07")
    assert (old.lease["Subnet"], old.lease["Attrs"]["BackendData"]) == (
        "10.3.1.192/26",
        {"VtepMAC": "02:00:00:00:00:07"},
    )
    old.follow({"10.3.0.192/26", "10.3.1.192/26"})
    wait_for(
        lambda: (
            one.routes("flannel.2") == {"10.3.1.192/26"}
            and one.entries("flannel.2") == {two.address}
        )
    )

    # a watch waits until something comes
    waiting = threading.Timer(
        2,
        lambda: lab.node(
            "third",
            ["10.244.9.0/24"],
            {
                "red.multinet.flannel/public-ip": "192.0.2.99",
                "red.multinet.flannel/kube-subnet-manager": "true",
            },
        ),
    )
    begin = time.monotonic()
    waiting.start()
    old.follow({"10.3.0.192/26", "10.3.1.192/26", "10.3.2.64/26"})
    assert time.monotonic() - begin >= 2
    waiting.join()  # it has the API's connection until it has its answer
    lab.api.ok("DELETE", "/api/v1/nodes/third")
    old.follow({"10.3.0.192/26", "10.3.1.192/26"})
    old.cursor = "1"
    old.leases = {}
    old.watch()  # too old: all there is
    assert set(old.leases) == {"10.3.0.192/26", "10.3.1.192/26"}

    assert old.ask_well("PUT", "/leases/" + old.key(), old.lease)["Subnet"] == old.lease["Subnet"]
    old.ask_well(
        "PUT",
        "/leases/" + old.key(),
        dict(
            old.lease, Attrs=dict(old.lease["Attrs"], BackendData={"VtepMAC": "02:00:00:00:00:08"})
        ),
    )
    wait_for(
        lambda: (
            "02:00:00:00:00:08" in run("bridge", "-n", one.ns, "fdb", "show", "dev", "flannel.2")
        )
    )
    assert {"Subnet": "10.3.1.192/26", "PublicIP": two.address} in old.ask_well(
        "GET", "/reservations"
    )
    assert (
        old.ask_well("POST", "/reservations", {"Subnet": "10.3.1.192/26", "PublicIP": two.address})
        == {}
    )
    for method, path, body, wanted in (
        ("POST", "/leases", {"PublicIP": one.address}, 403),
        ("POST", "/leases", {"PublicIP": "192.0.2.77"}, 412),
        ("POST", "/leases", {"PublicIP": "x"}, 400),
        ("POST", "/leases", None, 400),
        ("PUT", "/leases/10.3.0.192-26", old.lease, 403),
        ("DELETE", "/leases/10.3.0.192-26", None, 403),
        ("PUT", "/leases/10.3.200.0-26", old.lease, 404),
        ("GET", "/leases/nonsense", None, 400),
        ("GET", "/nonsense", None, 404),
        ("POST", "/reservations", {"Subnet": "10.3.5.0/26", "PublicIP": two.address}, 409),
        ("DELETE", "/reservations/10.3.1.192-26", None, 403),
    ):
        status, answer = two.request(method, "/v1/red" + path, body)
        assert status == wanted and answer.endswith(".\n"), (method, path, status, answer)
    old.ask_well("DELETE", "/leases/" + old.key())
    wait_for(
        lambda: (
            one.get("/v1/red/leases")[1]["snapshot"]
            and len(one.get("/v1/red/leases")[1]["snapshot"]) == 1
        )
    )
    # "_" is the network of clients that know of one
    assert two.get("/v1/_/config")[1]["Network"] == "10.244.0.0/16"
    assert two.get("/v1/")[1]["snapshot"] == ["blue", "red"]


def test_beyond_the_host_with_certificates_alone(lab):
    one = lab.host(SERVING, "10.244.3.0/24")
    authority = lab.api.authority
    certificate, key = authority.issue("subnets", (one.address,))
    remote = {
        "address": "0.0.0.0",
        "port": SUBNET_SERVER_REMOTE,
        "certificate": str(certificate),
        "key": str(key),
        "client_ca": str(authority.ca_crt),
    }
    lab.node("node-2", ["10.244.7.0/24"], address="192.0.2.12")
    one.start_server(remote=remote)

    def asking(client):
        context = ssl.create_default_context(cafile=str(authority.ca_crt))
        if client:
            context.load_cert_chain(*map(str, client))

        def ask(method, path, body=None):
            with contextlib.closing(
                http.client.HTTPSConnection(
                    one.address, SUBNET_SERVER_REMOTE, timeout=PATIENCE, context=context
                )
            ) as connection:
                with netns.inside("/run/netns/" + lab.api.name):
                    connection.connect()
                connection.request(method, path, None if body is None else json.dumps(body))
                response = connection.getresponse()
                text = response.read()
            return response.status, json.loads(text) if text[:1] in b"{[" else text.decode()

        return ask

    old = OldFlannel(asking(authority.issue("node-2")))
    old.acquire("192.0.2.12", "02:00:00:00:00:07")
    old.follow({"10.3.1.192/26"})
    # the certificate says whose lease
    assert (
        asking(authority.issue("node-2"))("POST", "/v1/red/leases", {"PublicIP": one.address})[0]
        == 403
    )
    assert asking(authority.issue("somebody"))("DELETE", "/v1/red/leases/10.3.1.192-26")[0] == 403
    # the node API is not served there
    assert asking(authority.issue(one.name))("GET", "/red/api/v1/nodes")[0] == 403
    with pytest.raises((OSError, http.client.HTTPException)):
        asking(None)("GET", "/v1/red/config")
    plain = http.client.HTTPConnection(one.address, SUBNET_SERVER_REMOTE, timeout=5)
    with (
        pytest.raises((OSError, http.client.HTTPException)),
        netns.inside("/run/netns/" + lab.api.name),
    ):
        plain.request("GET", "/v1/red/config")
        plain.getresponse()


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"listen": {"address": "0.0.0.0", "port": PORT}}, "which allows only loopback"),
        ({"networks": []}, "nothing in 'networks'"),
        (
            {
                "remote": {
                    "address": "0.0.0.0",
                    "port": SUBNET_SERVER_REMOTE,
                    "certificate": "/not/there",
                    "key": "/not/there",
                    "client_ca": "/not/there",
                }
            },
            "No such file",
        ),
    ],
)
def test_a_configuration_that_is_wrong(lab, change, sentence):
    one = lab.host(1, "10.244.3.0/24")
    (one.directory / "subnets.json").write_text(json.dumps(one.config(**change)), encoding="utf-8")
    done = subprocess.run(
        one.program(), check=False, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 1 and sentence in done.stderr
