# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The meta-plugin's executable with a real kube-apiserver (TLS, RBAC) and upstream plugins; what it
did is read from the kernel and from the API.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import objects
from cni_host import BIN, NET, CniHost
from kube_api import NODE, KubeApi
from pythons import FOUND
from waiting import wait_for

if os.geteuid() != 0:
    pytest.skip("needs root for network namespaces", allow_module_level=True)

NADS = "/apis/k8s.cni.cncf.io/v1/namespaces/%s/network-attachment-definitions"
NETWORKS, STATUS = "k8s.v1.cni.cncf.io/networks", "k8s.v1.cni.cncf.io/network-status"


def fixture_api(tmp_path_factory, upstream_bin):
    """A cluster with networks to ask for, as a fixture of a module."""
    if not (upstream_bin / "kube-apiserver").exists():
        pytest.skip("there is no kube-apiserver among the upstream programs")
    api = KubeApi(tmp_path_factory.mktemp("kube"), upstream_bin)
    try:
        api.set_up()
        for name in ("apps", "other"):
            api.ok(
                "POST",
                "/api/v1/namespaces",
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
            )
        for namespace, name, config in (
            ("apps", "red", bridge("red", "10.20.0.0/24")),
            (
                "apps",
                "blue",
                {
                    "cniVersion": "0.4.0",
                    "plugins": [bridge(None, "10.21.0.0/24", "br-blue"), {"type": "tuning"}],
                },
            ),
            ("other", "green", bridge("green", "10.22.0.0/24")),
            ("kube-system", "chosen", bridge("chosen", "10.23.0.0/24", gateway=True)),
            ("apps", "on-host", None),
        ):
            spec = {} if config is None else {"config": json.dumps(config)}
            item = {
                "apiVersion": "k8s.cni.cncf.io/v1",
                "kind": "NetworkAttachmentDefinition",
                "metadata": {"name": name},
                "spec": spec,
            }
            api.ok("POST", NADS % namespace, item)
        yield api
    finally:
        api.close()


api = pytest.fixture(name="api", scope="module")(fixture_api)


@pytest.fixture(name="host")
def _host(tmp_path, upstream_bin, api, request):
    host = CniHost(
        tmp_path, upstream_bin, shared=api.name, python=getattr(request, "param", sys.executable)
    )
    host.lease("/run/flannel/subnet.env", "10.1.5.1/24", "10.1.0.0/16")
    (tmp_path / "token").write_text(api.token(), encoding="ascii")
    api.kubeconfig(tmp_path / "kubeconfig", {"tokenFile": str(tmp_path / "token")})
    yield host
    host.close()


def bridge(name, subnet, device=None, gateway=False):
    conf = {
        "cniVersion": "1.0.0",
        "name": name,
        "type": "bridge",
        "bridge": device or "br-" + name,
        "isDefaultGateway": gateway,
        "capabilities": {"ips": True, "mac": True},
        "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}]]},
    }
    return {key: value for key, value in conf.items() if value is not None}


def meta(host, **keys):
    return dict(
        {
            "name": "meta",
            "cniVersion": "1.0.0",
            "type": "multinet",
            "kubeconfig": str(host.directory / "kubeconfig"),
            "delegates": [bridge("default", "10.19.0.0/24", gateway=True)],
        },
        **keys,
    )


class Pod:
    """A pod in the API and its namespace on the host."""

    count = 0

    def __init__(self, host, api, namespace="apps", **notes):
        Pod.count += 1
        self.host, self.api, self.namespace = host, api, namespace
        self.name = f"pod-{Pod.count}"
        self.uid = api.pod(self.name, namespace, annotations=notes.get("notes", {}))
        self.netns = host.pod()

    def cni(self, command, conf, **environ):
        args = (
            f"IgnoreUnknown=1;K8S_POD_NAMESPACE={self.namespace};K8S_POD_NAME={self.name};"
            f"K8S_POD_UID={self.uid}"
        )
        return self.host.cni(command, conf, self.netns, **dict({"CNI_ARGS": args}, **environ))

    def addresses(self):
        return self.host.addresses(self.netns)

    def status(self):
        return json.loads(self.api.annotations(self.name, self.namespace).get(STATUS, "null"))

    def events(self):
        items = self.api.ok("GET", f"/api/v1/namespaces/{self.namespace}/events")["items"]
        return sorted(
            (one["type"], one["reason"], one["message"])
            for one in items
            if one["involvedObject"]["uid"] == self.uid
        )


@pytest.mark.parametrize("host", FOUND.values(), ids=FOUND, indirect=True)
def test_networks_by_the_short_form(host, api):
    pod = Pod(host, api, notes={NETWORKS: "red, blue@data0,other/green", "mine": "stays"})
    status, answer = pod.cni("ADD", meta(host))
    assert status == 0, answer
    assert pod.addresses() == {
        "eth0": "10.19.0.2/24",
        "net1": "10.20.0.2/24",
        "data0": "10.21.0.2/24",
        "net3": "10.22.0.2/24",
    }
    assert host.default_route(pod.netns) == ("10.19.0.1", "eth0")
    assert answer["ips"] == [{"interface": 2, "address": "10.19.0.2/24", "gateway": "10.19.0.1"}]
    listing = subprocess.run(
        ["ip", "-n", pod.netns, "-j", "link"], capture_output=True, check=True, text=True
    ).stdout
    links = {link["ifname"]: link for link in json.loads(listing)}
    told = pod.status()
    assert [(one["name"], one["interface"], one["ips"], one["default"]) for one in told] == [
        ("default", "eth0", ["10.19.0.2"], True),
        ("apps/red", "net1", ["10.20.0.2"], False),
        ("apps/blue", "data0", ["10.21.0.2"], False),
        ("other/green", "net3", ["10.22.0.2"], False),
    ]
    assert [one["mac"] for one in told] == [links[one["interface"]]["address"] for one in told]
    assert (told[0]["gateway"], told[0]["dns"]) == (["10.19.0.1"], {})
    assert api.annotations(pod.name)["mine"] == "stays"
    assert pod.events() == sorted(
        ("Normal", "AddedInterface", "Add {} [{}] from {}".format(*one))
        for one in (
            ("eth0", "10.19.0.2/24", "default"),
            ("net1", "10.20.0.2/24", "apps/red"),
            ("data0", "10.21.0.2/24", "apps/blue"),
            ("net3", "10.22.0.2/24", "other/green"),
        )
    )
    assert pod.cni("CHECK", meta(host)) == (0, None)
    assert pod.cni("DEL", meta(host)) == (0, None)
    assert pod.addresses() == {}
    assert host.leftovers() == []


def test_networks_by_json_with_addresses(host, api):
    asked = [
        {"name": "red", "ips": ["10.20.0.77/24"], "mac": "02:00:00:00:00:77", "interface": "red0"},
        {"name": "blue"},
    ]
    pod = Pod(host, api, notes={NETWORKS: json.dumps(asked)})
    assert pod.cni("ADD", meta(host))[0] == 0
    assert pod.addresses() == {
        "eth0": "10.19.0.2/24",
        "red0": "10.20.0.77/24",
        "net2": "10.21.0.2/24",
    }
    assert pod.status()[1]["mac"] == "02:00:00:00:00:77"
    assert pod.cni("DEL", "")[0] == 0
    assert host.leftovers() == []


def test_a_wish_that_no_plugin_can_fulfil_is_an_error(host, api):
    pod = Pod(
        host,
        api,
        notes={
            NETWORKS: json.dumps(
                [{"name": "red", "portMappings": [{"hostPort": 1, "containerPort": 2}]}]
            )
        },
    )
    status, answer = pod.cni("ADD", meta(host))
    assert (
        (status, answer["code"]) == (1, 7)
        and "portMappings" in answer["msg"]
        and "apps/red" in answer["msg"]
    )
    assert (pod.addresses(), pod.status(), host.leftovers()) == ({}, None, [])


def test_the_default_route_is_the_networks_that_asks_for_it(host, api):
    pod = Pod(
        host,
        api,
        notes={
            NETWORKS: json.dumps(
                [{"name": "red", "default-route": ["10.20.0.1"]}, {"name": "blue"}]
            )
        },
    )
    status, answer = pod.cni("ADD", meta(host))
    assert status == 0, answer
    assert host.default_route(pod.netns) == ("10.20.0.1", "net1")
    assert answer.get("routes", []) == []
    assert (pod.status()[1]["gateway"], "gateway" in pod.status()[0]) == (["10.20.0.1"], False)
    assert pod.cni("CHECK", meta(host)) == (0, None)
    assert pod.cni("DEL", meta(host)) == (0, None)
    # a default route that its own plugin makes
    pod = Pod(
        host,
        api,
        notes={
            NETWORKS: json.dumps(
                [{"name": "chosen", "namespace": "kube-system", "default-route": []}]
            )
        },
    )
    assert pod.cni("ADD", meta(host))[0] == 0
    assert host.default_route(pod.netns) == ("10.23.0.1", "net1")
    assert pod.cni("DEL", meta(host)) == (0, None)
    assert host.leftovers() == []


SERVICES = ["10.96.0.0/12", "fd00:96::/112"]


def test_services_stay_with_the_default_network(host, api):
    """By another network's gateway they, DNS and the API would be out of reach."""
    conf = meta(host, serviceRanges=SERVICES)
    asked = [{"name": "red", "default-route": ["10.20.0.1"]}]
    pod = Pod(host, api, notes={NETWORKS: json.dumps(asked)})
    status, answer = pod.cni("ADD", conf)
    assert status == 0, answer
    assert host.default_route(pod.netns) == ("10.20.0.1", "net1")
    way = ["ip", "-n", pod.netns, "-j", "route", "get"]
    ways = {
        address: json.loads(subprocess.check_output([*way, address]))[0]
        for address in ("10.96.0.1", "192.0.2.1")
    }
    assert (ways["10.96.0.1"]["dev"], ways["10.96.0.1"]["gateway"]) == ("eth0", "10.19.0.1")
    assert ways["192.0.2.1"]["dev"] == "net1"
    assert answer["routes"] == [{"dst": "10.96.0.0/12", "gw": "10.19.0.1"}]
    assert pod.cni("CHECK", conf) == (0, None)
    assert pod.cni("DEL", conf) == (0, None) and host.leftovers() == []


def test_a_default_network_without_a_way_to_services_is_refused(host, api):
    conf = meta(host, serviceRanges=SERVICES)
    notes = {"v1.multus-cni.io/default-network": "chosen"}
    pod = Pod(host, api, notes=notes)
    status, answer = pod.cni("ADD", conf)
    assert (status, answer["code"]) == (1, 7)
    assert "asks for kube-system/chosen instead of the default network" in answer["msg"]
    assert "`default-route`" in answer["details"]
    # the one that it has anyway, by its definition
    conf["delegates"] = [bridge("chosen", "10.23.0.0/24", gateway=True)]
    assert Pod(host, api, notes=notes).cni("ADD", conf)[0] == 0


def test_the_default_network_a_pod_chooses(host, api):
    pod = Pod(host, api, notes={"v1.multus-cni.io/default-network": "chosen", NETWORKS: "red"})
    assert pod.cni("ADD", meta(host))[0] == 0
    assert pod.addresses() == {"eth0": "10.23.0.2/24", "net1": "10.20.0.2/24"}
    assert [(one["name"], one["default"]) for one in pod.status()] == [
        ("kube-system/chosen", True),
        ("apps/red", False),
    ]
    assert pod.cni("DEL", meta(host)) == (0, None)


def test_networks_on_the_host_and_the_cluster_network(host, api):
    conf_dir = host.directory / "net.d"
    conf_dir.mkdir()
    on_host = {
        "name": "on-host",
        "cniVersion": "1.0.0",
        "plugins": [bridge(None, "10.24.0.0/24", "br-onhost")],
    }
    (conf_dir / "x.conflist").write_text(json.dumps(on_host), encoding="utf-8")
    conf = {
        "name": "meta",
        "cniVersion": "1.1.0",
        "kubeconfig": str(host.directory / "kubeconfig"),
        "confDir": str(conf_dir),
        "clusterNetwork": "chosen",
        "defaultNetworks": ["on-host"],
    }
    pod = Pod(host, api, notes={NETWORKS: "on-host"})
    status, answer = pod.cni("ADD", dict(conf, defaultNetworks=[]))
    assert status == 0, answer
    assert pod.addresses() == {"eth0": "10.23.0.2/24", "net1": "10.24.0.2/24"}
    assert pod.cni("DEL", conf) == (0, None)
    # the same network twice is two attachments
    assert pod.cni("ADD", dict(conf, defaultNetworks=["chosen"]))[0] == 0
    assert pod.addresses() == {
        "eth0": "10.23.0.3/24",
        "net1": "10.23.0.4/24",
        "net2": "10.24.0.3/24",
    }
    assert host.cni("STATUS", conf, pod.netns) == (0, None)
    assert host.cni("GC", dict(conf, **{"cni.dev/valid-attachments": []}), pod.netns) == (0, None)
    assert (pod.addresses(), host.leftovers()) == ({}, [])
    assert host.cni("STATUS", dict(conf, clusterNetwork="nowhere"), pod.netns)[1]["code"] == 50


@pytest.mark.parametrize(
    ("text", "keys", "code", "words"),
    [
        ("nothing", {}, 7, "apps/nothing"),
        ("red,other/green", {"namespaceIsolation": True}, 7, "namespaceIsolation"),
        ("red@eth0", {}, 7, "interface eth0"),
        ("red@x,blue@x", {}, 7, "interface x"),
        ("red,", {}, 7, "annotation"),
        ("red,on-host", {}, 7, "on-host"),
    ],
)
def test_what_cannot_be_is_an_error_and_leaves_nothing(host, api, text, keys, code, words):
    pod = Pod(host, api, notes={NETWORKS: text})
    status, answer = pod.cni("ADD", meta(host, **keys))
    assert (status, answer["code"]) == (1, code), answer
    assert words in answer["msg"]
    assert (pod.addresses(), pod.status(), host.leftovers()) == ({}, None, [])
    if "eth0" not in text:  # known only when the request's own interface is
        assert [event[:2] for event in pod.events()] == [("Warning", "NoNetworkFound")]
    assert pod.cni("DEL", meta(host)) == (0, None)


def test_an_event_that_is_written_again_counts_up(host, api):
    pod = Pod(host, api, notes={NETWORKS: "nothing"})
    for _try in range(3):
        assert pod.cni("ADD", meta(host))[0] == 1
    items = api.ok("GET", "/api/v1/namespaces/apps/events")["items"]
    (event,) = (one for one in items if one["involvedObject"]["uid"] == pod.uid)
    assert (event["count"], event["source"]["component"]) == (3, "multinet")
    assert event["reason"] == "NoNetworkFound"


def test_annotations_from_the_runtime_need_no_pod_from_the_api(host, api):
    pod = Pod(host, api)
    # in the API the pod asks for nothing, so what it gets is what the runtime said
    conf = meta(
        host,
        runtimeConfig={"io.kubernetes.cri.pod-annotations": {NETWORKS: "red"}, "portMappings": []},
    )
    assert pod.cni("ADD", conf)[0] == 0
    assert pod.addresses() == {"eth0": "10.19.0.2/24", "net1": "10.20.0.2/24"}
    assert len(pod.status()) == 2
    assert pod.cni("DEL", conf) == (0, None)
    # and without any API, from the host's files
    conf_dir = host.directory / "net.d"
    conf_dir.mkdir()
    (conf_dir / "red.conf").write_text(json.dumps(bridge("red", "10.20.0.0/24")), encoding="utf-8")
    conf = dict(conf, confDir=str(conf_dir))
    del conf["kubeconfig"]
    assert pod.cni("ADD", conf)[0] == 0
    assert pod.addresses() == {"eth0": "10.19.0.3/24", "net1": "10.20.0.3/24"}
    assert pod.cni("DEL", conf) == (0, None)
    assert host.leftovers() == []


@pytest.mark.parametrize("by_runtime", [False, True])
def test_a_runtime_that_is_not_ours(host, api, upstream_bin, by_runtime):
    """cnitool, with the pod's name in CNI_ARGS; what the pod asks for comes from the API, or from
    the runtime as containerd hands it over.
    """
    pod = Pod(host, api, notes={} if by_runtime else {NETWORKS: "red@data0"})
    notes = "io.kubernetes.cri.pod-annotations"
    plugin = meta(host, capabilities={notes: True})
    network = {
        "name": plugin.pop("name"),
        "cniVersion": "1.1.0",
        "plugins": [{key: value for key, value in plugin.items() if key != "cniVersion"}],
    }
    (host.path(NET) / "00-multinet.conflist").write_text(json.dumps(network), encoding="utf-8")
    args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE=apps;K8S_POD_NAME={pod.name};K8S_POD_UID={pod.uid}"
    environ = {"NETCONFPATH": NET, "CNI_PATH": BIN, "CNI_ARGS": args}
    if by_runtime:
        environ["CAP_ARGS"] = json.dumps({notes: {NETWORKS: "red@data0"}})

    def cnitool(command):
        done = host.run(
            [upstream_bin / "cnitool", command, "meta", "/run/netns/" + pod.netns], environ=environ
        )
        assert done.returncode == 0, (command, done.stderr + done.stdout)

    cnitool("status")
    cnitool("add")
    assert sorted(pod.addresses()) == ["data0", "eth0"]
    assert [(one["name"], one["interface"]) for one in pod.status()] == [
        ("default", "eth0"),
        ("apps/red", "data0"),
    ]
    cnitool("check")
    cnitool("gc")  # cnitool lists no attachment as valid
    assert pod.addresses() == {}
    assert host.leftovers() == []
    cnitool("del")


def test_a_pod_that_is_gone_or_another_one(host, api):
    pod = Pod(host, api, notes={NETWORKS: "red"})
    uid, pod.uid = pod.uid, "11111111-1111-1111-1111-111111111111"
    status, answer = pod.cni("ADD", meta(host))
    assert (status, answer["code"]) == (1, 3) and uid in answer["details"]
    pod.uid = uid
    assert pod.cni("ADD", meta(host))[0] == 0
    api.ok("DELETE", f"/api/v1/namespaces/apps/pods/{pod.name}?gracePeriodSeconds=0")
    assert pod.cni("CHECK", meta(host)) == (0, None)
    assert pod.cni("DEL", meta(host)) == (0, None)
    assert host.leftovers() == []
    status, answer = pod.cni("ADD", meta(host))
    assert (status, answer["code"]) == (1, 3) and pod.name in answer["msg"]
    assert (pod.addresses(), host.leftovers()) == ({}, [])


def test_another_pod_of_the_same_name_is_not_told_of_our_networks(host, api):
    pod = Pod(host, api)
    pod.uid = "11111111-1111-1111-1111-111111111111"
    conf = meta(host, runtimeConfig={"io.kubernetes.cri.pod-annotations": {NETWORKS: "red"}})
    status, answer = pod.cni("ADD", conf)
    assert status == 1 and "metadata.uid" in answer["details"], answer
    assert (pod.status(), pod.addresses(), host.leftovers()) == (None, {}, [])


def test_a_pod_that_goes_while_it_is_attached_is_left_to_its_del(host, api):
    pod = Pod(host, api)
    conf = meta(host, runtimeConfig={"io.kubernetes.cri.pod-annotations": {NETWORKS: "red"}})
    api.ok("DELETE", f"/api/v1/namespaces/apps/pods/{pod.name}?gracePeriodSeconds=0")
    assert pod.cni("ADD", conf)[0] == 0
    assert pod.cni("DEL", conf) == (0, None)
    assert host.leftovers() == []


def test_a_status_that_may_not_be_written_takes_everything_back(host, api):
    role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/multinet"
    before = api.ok("GET", role)
    rules = [rule for rule in before["rules"] if rule["resources"] != ["pods/status"]]
    api.ok("PATCH", role, {"rules": rules}, "application/merge-patch+json")
    pod = Pod(host, api, notes={NETWORKS: "red"})
    try:
        # RBAC takes a moment to know of a change
        wait_for(lambda: pod.cni("ADD", meta(host))[0] == 1)
        status, answer = pod.cni("ADD", meta(host))
        assert (
            (status, answer["code"]) == (1, 7)
            and "RBAC" in answer["msg"]
            and "pods/status" in answer["details"]
        )
        assert (pod.addresses(), host.leftovers()) == ({}, [])
    finally:
        api.ok("PATCH", role, {"rules": before["rules"]}, "application/merge-patch+json")
    wait_for(lambda: pod.cni("ADD", meta(host))[0] == 0)
    assert pod.cni("DEL", meta(host)) == (0, None)


def test_its_role_allows_no_more_than_it_needs(api):
    for verb, resource, group, subresource, allowed in (
        ("get", "pods", "", "", True),
        ("patch", "pods", "", "status", True),
        ("create", "events", "", "", True),
        ("patch", "events", "", "", True),
        ("list", "events", "", "", False),
        ("delete", "events", "", "", False),
        ("get", "network-attachment-definitions", "k8s.cni.cncf.io", "", True),
        ("patch", "pods", "", "", False),
        ("update", "pods", "", "", False),
        ("list", "pods", "", "", False),
        ("get", "secrets", "", "", False),
        ("delete", "pods", "", "", False),
        ("patch", "nodes", "", "", False),
        ("list", "network-attachment-definitions", "k8s.cni.cncf.io", "", False),
        ("get", "configmaps", "", "", False),
    ):
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": objects.account(NODE),
                "groups": ["system:serviceaccounts:" + objects.NODES],
                "resourceAttributes": {
                    "verb": verb,
                    "resource": resource,
                    "group": group,
                    "subresource": subresource,
                    "namespace": "apps",
                },
            },
        }
        answer = api.ok("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        assert answer["status"]["allowed"] == allowed, (verb, resource, subresource)


def test_a_token_that_is_no_longer_valid(host, api):
    (host.directory / "token").write_text(api.token("short"), encoding="ascii")
    api.ok("DELETE", objects.account_path("short"))
    pod = Pod(host, api, notes={NETWORKS: "red"})

    def expired():
        status, answer = pod.cni("ADD", meta(host))
        return (status, answer["code"]) == (1, 11) and "expired" in answer["msg"]

    wait_for(expired)
    assert (pod.addresses(), host.leftovers()) == ({}, [])
    # a new one in the file is all it takes
    (host.directory / "token").write_text(api.token(), encoding="ascii")
    assert pod.cni("ADD", meta(host))[0] == 0
    (host.directory / "token").write_text("rubbish", encoding="ascii")
    assert pod.cni("DEL", meta(host)) == (0, None)
    assert host.leftovers() == []


def test_an_api_that_is_down(host, api):
    pod, other = Pod(host, api, notes={NETWORKS: "red"}), Pod(host, api, notes={NETWORKS: "red"})
    assert pod.cni("ADD", meta(host))[0] == 0
    api.stop()
    try:
        status, answer = other.cni("ADD", meta(host, timeoutSeconds=8))
        assert (status, answer["code"]) == (1, 11) and "127.0.0.1:6443" in answer["msg"]
        assert (other.addresses(), other.cni("DEL", meta(host))) == ({}, (0, None))
        # CHECK and DEL do not need it
        assert pod.cni("CHECK", meta(host)) == (0, None)
        assert pod.cni("DEL", meta(host)) == (0, None)
        assert host.leftovers() == []
        host.cni("ADD", meta(host), pod.netns)  # no pod, no need
        # somebody who takes connections and never answers
        silent = subprocess.Popen(
            [
                "ip",
                "netns",
                "exec",
                api.name,
                "python3",
                "-c",
                (
                    "import socket, time; s = socket.create_server(('127.0.0.1', 6443));"
                    " print(flush=True); time.sleep(600)"
                ),
            ],
            stdout=subprocess.PIPE,
        )
        try:
            silent.stdout.readline()
            status, answer = other.cni("ADD", meta(host, timeoutSeconds=8))
            assert (status, answer["code"]) == (1, 11) and "in time" in answer["msg"], answer
        finally:
            silent.kill()
            silent.communicate()
    finally:
        api.start()
    assert other.cni("ADD", meta(host))[0] == 0
    assert other.cni("DEL", meta(host)) == (0, None)


def test_a_client_certificate(host, api):
    certificate, key = api.issue_client("node")
    api.kubeconfig(
        host.directory / "kubeconfig",
        {"client-certificate": str(certificate), "client-key": str(key)},
    )
    pod = Pod(host, api, notes={NETWORKS: "red"})
    assert pod.cni("ADD", meta(host))[0] == 0
    assert len(pod.status()) == 2
    assert pod.cni("DEL", meta(host)) == (0, None)


def test_the_default_network_has_to_be_ready(host, api):
    pod = Pod(host, api)
    ready = host.directory / "ready"
    conf = meta(host, readinessindicatorfile=str(ready), timeoutSeconds=4, cniVersion="1.1.0")
    status, answer = pod.cni("ADD", conf)
    assert (status, answer["code"]) == (1, 11) and str(ready) in answer["msg"]
    assert host.cni("STATUS", conf, pod.netns)[1]["code"] == 50
    assert pod.cni("DEL", conf) == (0, None)
    ready.write_text("", encoding="utf-8")
    assert pod.cni("ADD", conf)[0] == 0
    ready.unlink()
    assert pod.cni("DEL", conf) == (0, None)
    assert host.leftovers() == []


# the first generation's world

FLANNEL = {
    "metadata": {"name": "flannel-conf"},
    "plugin": "flannel",
    "args": '[\n{\n"delegate": {\n"isDefaultGateway": true\n}\n}\n]',
}
SRIOV = {
    "metadata": {"name": "sriov-conf"},
    "plugin": "sriov",
    "args": (
        '[\n{\n"if0": "enp12s0f1",\n"ipam": {\n"type": "host-local",\n"subnet":'
        ' "10.56.217.0/24",\n"rangeStart": "10.56.217.171",\n"rangeEnd":'
        ' "10.56.217.181",\n"routes": [\n{ "dst": "0.0.0.0/0" }\n],\n"gateway":'
        ' "10.56.217.1"\n}\n}\n]'
    ),
}
VLAN = {
    "metadata": {"name": "sriov-vlanid-l2enable-conf"},
    "plugin": "sriov",
    "args": '[\n{\n"if0": "enp2s0",\n"vlan": 210,\n"if0name": "north",\n"l2enable": true\n}\n]',
}
ANNOTATION = (
    '[\n{ "name": "flannel-conf" },\n{ "name": "sriov-conf"},\n{ "name":'
    ' "sriov-vlanid-l2enable-conf" }\n]'
)


@pytest.fixture(name="old", scope="module")
def _old(api):
    for item in (FLANNEL, SRIOV, VLAN):
        api.ok(
            "POST",
            "/apis/kubernetes.com/v1/namespaces/default/networks",
            dict(item, apiVersion="kubernetes.com/v1", kind="Network"),
        )


# There is no SR-IOV device here: a plugin that notes what it is given, and gives an interface as
# that one would.
PLAYED_SRIOV = """
conf=$(cat)
echo "$CNI_COMMAND $CNI_IFNAME $conf" >> %s
ns=$(basename "$CNI_NETNS")
name=$(echo "$conf" | sed -n 's/.*"if0name": "\\([a-z]*\\)".*/\\1/p')
case $CNI_COMMAND in
ADD)
    ip -n "$ns" link add "${name:-$CNI_IFNAME}" type bridge
    echo '{"ip4": {"ip": "10.56.217.171/24"}}'
    ;;
DEL) ip -n "$ns" link del "${name:-$CNI_IFNAME}" 2>/dev/null; true ;;
esac
"""


def test_kubeconfig_alone_and_network_objects_as_the_first_generation_had_them(
    host, api, old, tmp_path
):
    host.plugin("sriov", PLAYED_SRIOV % (tmp_path / "calls"))
    conf = '{\n"name": "node-cni-network",\n"type": "multus",\n"kubeconfig": "%s"\n}' % (
        host.directory / "kubeconfig"
    )
    pod = Pod(host, api, notes={"networks": ANNOTATION})
    status, answer = pod.cni("ADD", conf)
    assert status == 0, answer
    assert pod.addresses() == {"eth0": "10.1.5.2/24", "net0": "", "north": ""}
    assert host.default_route(pod.netns) == ("10.1.5.1", "eth0")
    assert answer["ip4"]["ip"] == "10.1.5.2/24"
    first, second = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
    assert (
        first.startswith("ADD net0 ")
        and '"if0": "enp12s0f1"' in first
        and '"rangeStart": "10.56.217.171"' in first
    )
    assert second.startswith("ADD net1 ") and '"vlan": 210' in second
    assert STATUS not in api.annotations(pod.name)
    assert pod.cni("DEL", conf) == (0, None)
    assert (pod.addresses(), host.leftovers()) == ({}, [])
    # a pod that asks for nothing has nothing to get
    status, answer = Pod(host, api).cni("ADD", conf)
    assert (status, answer["code"]) == (1, 7) and "`networks`" in answer["msg"]


def test_kubeconfig_and_delegates_as_default(host, api, old, tmp_path):
    host.plugin("sriov", PLAYED_SRIOV % (tmp_path / "calls"))
    host.plugin(
        "weave-net",
        'cat >/dev/null; [ $CNI_COMMAND = ADD ] && echo \'{"ip4": {"ip": "10.32.0.1/12"}}\';'
        " exit 0\n",
    )
    conf = (
        '{\n"name": "node-cni-network",\n"type": "multus",\n"kubeconfig": "%s",\n'
        '"delegates": [{\n"type": "weave-net",\n"hairpinMode": true,\n"masterplugin": true\n}]\n}'
        % (host.directory / "kubeconfig")
    )
    status, answer = Pod(host, api).cni("ADD", conf)
    assert (status, answer["ip4"]["ip"]) == (0, "10.32.0.1/12")
    asking = Pod(host, api, notes={"networks": ANNOTATION})
    assert asking.cni("ADD", conf)[0] == 0
    assert set(asking.addresses()) == {"eth0", "net0", "north"}
    assert asking.cni("DEL", conf) == (0, None)


def test_always_use_default(host, api, old, tmp_path):
    host.plugin("sriov", PLAYED_SRIOV % (tmp_path / "calls"))
    conf = (
        '{\n"name": "multus-cni-network",\n"type": "multus",\n"delegates": [{"type": "flannel",'
        ' "isDefaultGateway": true, "masterplugin": true}],\n"always_use_default":'
        ' true,\n"kubeconfig": "%s"\n}' % (host.directory / "kubeconfig")
    )
    pod = Pod(
        host,
        api,
        notes={"networks": '[{"name": "sriov-conf"}, {"name": "sriov-vlanid-l2enable-conf"}]'},
    )
    status, answer = pod.cni("ADD", conf)
    assert status == 0, answer
    assert pod.addresses() == {"eth0": "10.1.5.2/24", "net0": "", "north": ""}
    assert pod.cni("DEL", conf) == (0, None)
    assert host.leftovers() == []
