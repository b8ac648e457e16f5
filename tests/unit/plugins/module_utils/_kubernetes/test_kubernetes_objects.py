# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of a plan: whose they are, and what the pods of flanneld may do and run with."""

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.filter.kubernetes import (
    kubernetes_objects,
    node_names,
)
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import apply, objects
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from declaration import BLUE

NETWORKS = [BLUE, {"name": "red", "cidr": "10.3.0.0/16", "backend": {"type": "vxlan", "vni": 2}}]
SETTINGS = {
    "namespace": "kube-system",
    "nodes": ["n1"],
    "nad_namespaces": ["default", "apps"],
    "legacy_crds": False,
}
FLANNELD = {
    "etcd_endpoints": ["https://192.0.2.11:2379"],
    "tls": True,
    "subnet_server": "http://127.0.0.1:10253",
}
API = {
    "kubernetes": True,
    "datastore": "kubernetes",
    "cluster_cidrs": ["10.244.0.0/16"],
    "node_cidr_mask_sizes": [24],
}


def made(datastore="etcd", pki_dir="", max_unavailable="10%", **more):
    pods = {
        "image": "flannel:1",
        "max_unavailable": max_unavailable,
        "pki_dir": str(pki_dir),
        "flanneld": FLANNELD,
    }
    settings = dict(SETTINGS, datastore=datastore, daemonset=pods, **more)
    return kubernetes_objects(
        plan(NETWORKS, API if datastore == "kubernetes" else {"kubernetes": True}), settings
    )


def of_kind(items, kind):
    return [item for item in items if item["kind"] == kind]


@pytest.mark.parametrize("datastore", ["etcd", "kubernetes"])
def test_all_are_ours_and_of_a_known_kind_and_place(datastore):
    items = made(datastore, legacy_crds=True)
    assert all(
        objects.is_ours(item)
        and bool(item["metadata"].get("namespace")) == objects.KINDS[item["kind"]].namespaced
        for item in items
    )
    assert all(f"/{item['apiVersion']}" in objects.path(item) for item in items)
    assert len({objects.path(item) for item in items}) == len(items)
    assert {objects.label(item) for item in of_kind(items, "NetworkAttachmentDefinition")} == {
        f"NetworkAttachmentDefinition {namespace}/{name}"
        for namespace in ("default", "apps")
        for name in ("blue", "red")
    }


def test_nodes_have_the_names_of_their_hosts_or_their_own():
    hosts = {"n1": {"multinet_node_name": "one", "serves": {"port": 1}}, "n2": {"serves": None}}
    assert node_names(["n2", "n1"], hosts) == ["n2", "one"]
    assert node_names(["n2", "n1"], hosts, "serves") == ["one"]


def test_what_the_api_of_etcd_does_not_need():
    names = {item["metadata"]["name"] for item in made()}
    assert "multinet" in names and not {"multinet-subnet-server", objects.LEGACY_CRD} & names
    assert not of_kind(
        kubernetes_objects(plan(NETWORKS), dict(SETTINGS, datastore="etcd")), "DaemonSet"
    )


def test_pods_run_what_units_would(tmp_path):
    for name in ("ca.crt", "client.crt", "client.key"):
        (tmp_path / name).write_text(name)
    items = made(pki_dir=tmp_path)
    for item in of_kind(items, "DaemonSet"):
        pod = item["spec"]["template"]["spec"]
        container = pod["containers"][0]
        values = {one["name"]: one.get("value") for one in container["env"]}
        network = item["metadata"]["labels"]["multinet.flannel/network"]
        assert (
            values["FLANNELD_ETCD_PREFIX"] == "/coreos.com/network/" + network
            and values["FLANNELD_PUBLIC_IP"] == "$(HOST_IP)"
        )
        assert values["FLANNELD_SUBNET_FILE"] == f"/run/flannel/networks/{network}.env"
        assert [one["name"] for one in container["env"]].index("HOST_IP") == 0, (
            "a variable is known only to those after it"
        )
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {
            "/run/flannel",
            "/run/guarded",
            "/etc/multinet/pki",
        }
        assert {
            "name": "guarded",
            "hostPath": {"path": f"/run/multinet-isolation/guarded/{network}", "type": "File"},
        } in pod["volumes"], "a network comes up where no guard has it"
        assert container["securityContext"]["capabilities"] == {
            "drop": ["ALL"],
            "add": ["NET_ADMIN"],
        }
        assert not pod["automountServiceAccountToken"] and pod["hostNetwork"]
        # not by the names of nodes: then each that joins would have all the others' pods replaced
        assert pod["nodeSelector"] == {f"multinet.flannel/network-{network}": "guarded"}
        assert "affinity" not in pod
    secrets = of_kind(items, "Secret")
    assert len(secrets) == 1 and "data" not in secrets[0]

    (tmp_path / "client.crt").write_text("renewed")
    annotations = [
        [item["spec"]["template"]["metadata"]["annotations"] for item in of_kind(some, "DaemonSet")]
        for some in (items, made(pki_dir=tmp_path))
    ]
    assert all(one != other for one, other in zip(*annotations)), (
        "other certificates, and the pods are the same"
    )


def test_pods_with_leases_from_the_api():
    items = made("kubernetes")
    assert not of_kind(items, "Secret")
    for item, config in zip(of_kind(items, "DaemonSet"), of_kind(items, "ConfigMap")):
        container = item["spec"]["template"]["spec"]["containers"][0]
        name = item["metadata"]["labels"]["multinet.flannel/network"]
        assert {
            "name": "NODE_NAME",
            "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}},
        } in container["env"]
        assert {
            "name": "FLANNELD_KUBE_API_URL",
            "value": "http://127.0.0.1:10253/" + name,
        } in container["env"]
        assert json.loads(config["data"][name + ".json"])["Backend"]["Type"] == "vxlan"


@pytest.mark.parametrize(
    ("namespaces", "may"), [(["a"], False), ({}, False), ({"matchLabels": {"team": "a"}}, True)]
)
def test_labels_of_namespaces_are_read_where_a_selector_needs_them(namespaces, may):
    networks = [NETWORKS[0], dict(NETWORKS[1], namespaces=namespaces)]
    items = kubernetes_objects(
        plan(networks, {"kubernetes": True}), dict(SETTINGS, datastore="etcd")
    )
    (role,) = of_kind(items, "ClusterRole")
    assert may == any(rule["resources"] == ["namespaces"] for rule in role["rules"])


@pytest.mark.parametrize("given, told", [(1, 1), ("3", 3), ("10%", "10%"), ("100%", "100%")])
def test_flanneld_is_replaced_on_a_few_nodes_at_a_time(given, told):
    for daemon_set in of_kind(made(max_unavailable=given), "DaemonSet"):
        assert daemon_set["spec"]["updateStrategy"] == {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": told, "maxSurge": 0},
        }


@pytest.mark.parametrize("wrong", [0, "0%", "101%", "all", "", 1.5, None, True])
def test_on_how_many_nodes_is_a_number_or_a_share(wrong):
    with pytest.raises(AnsibleFilterError, match=r"multinet_flanneld_max_unavailable is .*10%"):
        made(max_unavailable=wrong)


def test_pods_that_come_one_after_the_other_are_waited_for():
    """Each within the timeout, which is shorter than all of it."""
    now = [0.0]
    patience = apply.Patience(10, lambda: now[0], lambda pause: now.__setitem__(0, now[0] + pause))
    nodes = [f"n{number}" for number in range(5)]
    (blue, dummy) = of_kind(made(), "DaemonSet")

    class Api:
        every = 8.0  # seconds from one pod to the next

        def items(self, path, **query):
            if path.endswith("/events"):
                return []
            meta = blue["spec"]["template"]["metadata"]
            return [
                {
                    "metadata": meta,
                    "spec": {"nodeName": node},
                    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
                }
                for node in nodes[: int(now[0] // self.every)]
            ]

    apply.wait_for_pods(Api(), [blue], nodes, patience=patience)
    assert 40 <= now[0] < 42
    Api.every, now[0] = 11.0, 0.0
    with pytest.raises(apply.AdminError, match=r"After 10 s, .* no ready pod on the node n0"):
        apply.wait_for_pods(Api(), [blue], nodes, patience=patience)


@pytest.mark.parametrize("may", [True, False])
def test_a_pod_that_nobody_may_make_has_its_reason(may):
    (blue, dummy) = of_kind(made(), "DaemonSet")
    told = [
        {"lastTimestamp": f"2026-01-01T00:00:0{second}Z", "message": f"Error creating: {why}"}
        for second, why in ((1, "a webhook."), (3, "exceeded quota: pods"), (2, "a policy"))
    ]

    class Api:
        def items(self, path, **query):
            if not path.endswith("/events"):
                return []
            if not may:
                raise apply.AdminError("The account may not list events.", 403)
            assert query["fieldSelector"].startswith("involvedObject.kind=DaemonSet,")
            return told

    with pytest.raises(apply.AdminError) as refused:
        apply.wait_for_pods(Api(), [blue], ["n1"], patience=apply.Patience(0))
    reason = " (Error creating: exceeded quota: pods)" if may else ""
    name = f"DaemonSet kube-system/{blue['metadata']['name']}"
    assert f"{name} has no ready pod on the node n1{reason}." in str(refused.value)


def with_certificates(directory):
    for name in ("ca.crt", "client.crt", "client.key"):
        (directory / name).write_text(f"# für {name}\n", encoding="utf-8")


def test_certificates_may_have_comments_in_any_script(tmp_path):
    with_certificates(tmp_path)
    assert of_kind(made(pki_dir=tmp_path), "Secret")


@pytest.mark.parametrize(
    ("breaks", "told"),
    [
        (lambda file: file.write_bytes(b"\xff\xfe"), "is not text. Write it in PEM form."),
        (lambda file: (file.unlink(), file.mkdir()), "cannot be read on the controller: Is a dir"),
    ],
)
def test_a_certificate_that_cannot_be_read_is_named(tmp_path, breaks, told):
    with_certificates(tmp_path)
    breaks(tmp_path / "client.key")
    with pytest.raises(AnsibleFilterError, match=f"client.key, which .* {told}"):
        made(pki_dir=tmp_path)
