# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection makes at a real kube-apiserver, and the tokens by which hosts reach it; what
came of it is asked of the API as an administrator.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import stat
import time

import pytest
from adhoc import Ansible
from ansible_collections.multinet.flannel.plugins.filter.kubernetes import (
    kubernetes_objects,
    kubernetes_problems,
)
from ansible_collections.multinet.flannel.plugins.module_utils._cni import netns
from ansible_collections.multinet.flannel.plugins.module_utils._drift import tokens
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import (
    admin,
    apply,
    checks,
    node,
    objects,
)
from ansible_collections.multinet.flannel.plugins.module_utils._node import files
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from ansible_collections.multinet.flannel.plugins.module_utils._tokens import renew, token
from ansible_collections.multinet.flannel.plugins.module_utils._tokens.token import Token
from ansible_collections.multinet.flannel.plugins.modules import node_files
from declaration import BLUE
from kube_api import KubeApi
from waiting import wait_for

if os.geteuid() != 0:
    pytest.skip("needs root for network namespaces", allow_module_level=True)

RED = {"name": "red", "cidr": "10.3.0.0/16", "backend": {"type": "vxlan", "vni": 2}}
SETTINGS = {
    "namespace": "kube-system",
    "nodes": ["n1", "n2"],
    "nad_namespaces": ["default", "apps"],
    "datastore": "kubernetes",
    "legacy_crds": False,
}
OPTIONS = {
    "kubernetes": True,
    "datastore": "kubernetes",
    "cluster_cidrs": ["10.244.0.0/16"],
    "node_cidr_mask_sizes": [24],
}
FLANNELD = {"subnet_server": "http://127.0.0.1:10253"}
NADS = "/apis/k8s.cni.cncf.io/v1/network-attachment-definitions"
NAD_CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/" + objects.NAD_CRD


class Cluster:
    """The real API, and the modules as an administrator on a controller runs them."""

    def __init__(self, api, directory):
        self.api = api
        certificate, key = api.issue_client("operator")
        self.kubeconfig = directory / "admin.kubeconfig"
        api.kubeconfig(
            self.kubeconfig, {"client-certificate": str(certificate), "client-key": str(key)}
        )
        self.ansible = Ansible(directory / "ansible", {"controller": {}})

    def module(self, name, *options, **arguments):
        """Run a module; return its result."""
        with netns.inside("/run/netns/" + self.api.name):
            return self.ansible.module(
                name, dict(arguments, kubeconfig=str(self.kubeconfig)), *options
            )["controller"]

    def bring_about(self, networks, check_mode=False, wanted=None, **settings):
        """Make what a declaration (or a list of objects) needs, as module kubernetes_objects does;
        return what was done.
        """
        wanted = (
            objects.objects(plan(networks), dict(SETTINGS, **settings))
            if wanted is None
            else wanted
        )
        with netns.inside("/run/netns/" + self.api.name):
            done = [
                change.what
                for change in apply.bring_about(
                    admin.Admin(str(self.kubeconfig)),
                    wanted,
                    apply.Scope(objects.KINDS),
                    check_mode=check_mode,
                ).changes
            ]
        self.api.finish(objects.NODES)
        return done

    def nads(self):
        """Return the names of all NetworkAttachmentDefinitions."""
        status, answer = self.api.request("GET", NADS)
        while status not in (200, 404):  # the API has just been started
            time.sleep(0.1)
            status, answer = self.api.request("GET", NADS)
        return (
            None
            if status == 404
            else {"{namespace}/{name}".format(**item["metadata"]) for item in answer["items"]}
        )

    def renew(self, directory, after=0.0):
        """Run the renewal on a host so many seconds from now; return its exit status."""
        with netns.inside("/run/netns/" + self.api.name):
            return renew.main(str(directory), lambda: time.time() + after)


@pytest.fixture(name="api", scope="module")
def _api(tmp_path_factory, upstream_bin):
    api = KubeApi(tmp_path_factory.mktemp("kube"), upstream_bin)
    api.ok(
        "POST",
        "/api/v1/namespaces",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "apps"}},
    )
    yield api
    api.close()


@pytest.fixture(name="cluster")
def _cluster(api, tmp_path):
    cluster = Cluster(api, tmp_path)
    yield cluster
    for name in cluster.nads() or ():
        api.ok(
            "DELETE",
            (NADS.rpartition("/")[0] + "/namespaces/%s/network-attachment-definitions/%s")
            % tuple(name.split("/")),
        )
    cluster.bring_about(None, wanted=[])
    api.request("DELETE", NAD_CRD)
    wait_for(lambda: api.request("GET", NAD_CRD)[0] == 404)


def test_the_module_tells_the_truth_before_and_after(cluster):
    wanted = objects.objects(plan([BLUE]), SETTINGS)
    told = cluster.module("kubernetes_objects", "--check", "--diff", objects=wanted)
    assert told["changed"] and cluster.nads() is None, told
    made = cluster.module("kubernetes_objects", "--diff", objects=wanted)
    assert made["changes"] == told["changes"] and not made["failed"]
    assert len(made["diff"]) == len(made["changes"]) and all(
        change["before"] == "" for change in made["diff"]
    )
    again = cluster.module("kubernetes_objects", objects=wanted)
    assert not again["changed"] and again["changes"] == []
    wanted = objects.objects(plan([dict(BLUE, delegate={"hairpinMode": False})]), SETTINGS)
    told = cluster.module("kubernetes_objects", "--check", "--diff", objects=wanted)
    assert told["changes"] == [
        "change NetworkAttachmentDefinition default/blue",
        "change NetworkAttachmentDefinition apps/blue",
    ]
    assert (
        r"\"hairpinMode\": true" in told["diff"][0]["before"]
        and r"\"hairpinMode\": false" in told["diff"][0]["after"]
    )
    assert cluster.bring_about([BLUE]) == [], "check mode changed something"


def test_what_is_made_changed_and_removed(cluster):
    cluster.bring_about([BLUE, RED])
    assert cluster.nads() == {"default/blue", "default/red", "apps/blue", "apps/red"}
    changes = cluster.bring_about([BLUE], nad_namespaces=["apps"], datastore="etcd")
    assert [change for change in changes if not change.startswith("delete ")] == []
    assert cluster.nads() == {"apps/blue"}
    assert (
        cluster.api.request(
            "GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/multinet-subnet-server"
        )[0]
        == 404
    )

    told = cluster.bring_about(None, True, wanted=[])
    assert cluster.nads() == {"apps/blue"}
    assert cluster.bring_about(None, wanted=[]) == told != []
    wait_for(lambda: cluster.nads() is None)  # a kind goes in a moment
    assert cluster.bring_about(None, wanted=[]) == []


@pytest.mark.parametrize(
    ("options", "goes"),
    [
        (["--limit=n1"], False),  # n2 is not asked whether it has the network
        (["--limit=n1", "-e", "multinet_prune=true"], False),
        ([], False),  # nor is a node of another inventory
        (["-e", "multinet_prune=true"], True),
    ],
)
def test_what_nodes_may_have_of_a_network_goes_by_prune_of_all(cluster, tmp_path, options, goes):
    """n1 and n2 are this machine, on which nothing is changed, nor is it at the API."""
    cluster.bring_about([BLUE, RED])
    variables = {
        "multinet_networks": [BLUE],
        "multinet_kubernetes": True,
        "multinet_kubeconfig": str(cluster.kubeconfig),
        "multinet_nad_namespaces": ["default"],
    }
    play = {"hosts": "all", "gather_facts": False, "roles": ["multinet.flannel.kubernetes"]}
    ansible = Ansible(tmp_path / "nodes", {"n1": {}, "n2": {}}, variables)
    with netns.inside("/run/netns/" + cluster.api.name):
        ansible.playbook([play], "--check", "--diff", *options)
    said = " ".join(ansible.output.split())
    gone = re.findall(r"\+\+\+ after: NetworkAttachmentDefinition (\S+) @@ \S+ \+0,0 @@", said)
    # the declaration has the leases in etcd, but n2 may still have a subnet server
    role = re.search(r"\+\+\+ after: ClusterRole \S+ @@ \S+ \+0,0 @@", said)
    kept = "ClusterRole multinet-subnet-server and its policies stay"
    assert (role is None) is (kept in said) is ("--limit=n1" in options), said
    # those of a network that is declared go from a namespace that is not
    assert sorted(gone) == ["apps/blue", *(["apps/red", "default/red"] if goes else [])], said
    stays = "not declared: red. What is there of them stays, because nodes may still have them"
    assert (stays in said) is not goes, said


def test_flanneld_changes_from_pods_to_units_for_all_nodes_at_once(cluster):
    pods = {"image": "flannel:1", "max_unavailable": 1, "pki_dir": "", "flanneld": FLANNELD}
    in_pods = kubernetes_objects(plan([BLUE], OPTIONS), dict(SETTINGS, daemonset=pods))
    units = objects.objects(plan([BLUE], OPTIONS), SETTINGS)
    (now,) = (item for item in in_pods if item["kind"] == "DaemonSet")
    try:
        cluster.bring_about(None, wanted=in_pods)
        asked = {"objects": units, "later": ["DaemonSet"], "declared": ["blue"]}
        refused = cluster.module("kubernetes_objects", "--check", access_stays=True, **asked)
        assert "would end on nodes that are not in this run" in refused["msg"]
        gone = cluster.module("kubernetes_objects", "--check", **asked)["changes"]
        assert f"delete {objects.label(now)}" in gone
    finally:
        # nobody is here to end its pods
        cluster.api.request("DELETE", f"{objects.path(now)}?propagationPolicy=Background")


def test_only_ready_pods_made_as_they_say_now_count(cluster):
    pods = {"image": "flannel:1", "max_unavailable": "10%", "pki_dir": "", "flanneld": FLANNELD}
    declared = plan([BLUE], OPTIONS)
    before, wanted = (
        kubernetes_objects(declared, dict(SETTINGS, daemonset=dict(pods, image=image)))
        for image in ("flannel:1", "flannel:2")
    )
    place = "/api/v1/namespaces/kube-system/pods"

    def make(name, items, *conditions, **container):
        daemon_set = next(item for item in items if item["kind"] == "DaemonSet")
        template = daemon_set["spec"]["template"]
        metadata = dict(template["metadata"], name=name)
        spec = dict(template["spec"], nodeName="n1", priorityClassName=None)
        cluster.api.ok(
            "POST", place, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        )
        status = {
            "conditions": list(conditions),
            "containerStatuses": [
                {
                    "name": "flanneld",
                    "image": "",
                    "imageID": "",
                    "ready": True,
                    "restartCount": 0,
                    "state": container,
                }
            ],
        }
        cluster.api.ok(
            "PATCH", f"{place}/{name}/status", {"status": status}, "application/merge-patch+json"
        )

    def wait(seconds=0, **more):
        with netns.inside("/run/netns/" + cluster.api.name):
            apply.wait_for_pods(
                admin.Admin(str(cluster.kubeconfig)),
                wanted,
                ["n1"],
                patience=apply.Patience(seconds, sleep=lambda seconds: None),
                **more,
            )

    missing = "DaemonSet kube-system/multinet-flannel-blue has no ready pod on the node n1"
    try:
        make("former", before, {"type": "Ready", "status": "True"}, running={})
        with pytest.raises(admin.AdminError) as refused:
            wait()
        assert (
            str(refused.value) == f"After 0 s, {missing}. Look at it with kubectl, then run again."
        )
        make(
            "waiting",
            wanted,
            {"type": "Ready", "status": "False"},
            waiting={"reason": "ImagePullBackOff", "message": "no such image"},
        )
        with pytest.raises(admin.AdminError) as refused:
            wait()
        assert (
            str(refused.value)
            == f"After 0 s, {missing} (ImagePullBackOff: no such image). Look at it with kubectl,"
            " then run again."
        )
        # what will stay so is not waited for
        log = "E1126 21:30:00.1   12 main.go:325] Failed to find any valid interface to use: no"
        for container, said in (
            (
                {"state": {"waiting": {"reason": "ErrImageNeverPull"}}, "restartCount": 0},
                "(ErrImageNeverPull)",
            ),
            (
                {
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"exitCode": 1, "message": log}},
                    "restartCount": 3,
                },
                "(CrashLoopBackOff) (its log says: Failed to find any valid interface to use: no)",
            ),
        ):
            named = dict(container, name="flanneld", image="", imageID="", ready=False)
            cluster.api.ok(
                "PATCH",
                place + "/waiting/status",
                {"status": {"containerStatuses": [named]}},
                "application/merge-patch+json",
            )
            with pytest.raises(admin.AdminError) as refused:
                wait(seconds=1e9)
            sentence = f"{missing} {said}. Look at it with kubectl, then run again."
            assert str(refused.value) == sentence
        cluster.api.ok(
            "PATCH",
            place + "/waiting/status",
            {"status": {"conditions": [{"type": "Ready", "status": "True"}]}},
            "application/merge-patch+json",
        )
        wait(without=["n2"])
        with pytest.raises(
            admin.AdminError,
            match="DaemonSet kube-system/multinet-flannel-blue still has a pod on the node n1",
        ):
            wait(without=["n1"])
    finally:
        for name in ("former", "waiting"):
            cluster.api.request("DELETE", f"{place}/{name}?gracePeriodSeconds=0")


def test_flanneld_stays_where_a_daemon_set_named_its_nodes(cluster):
    """As it was made before the nodes had a label for each network."""
    settings = {"image": "flannel:1", "max_unavailable": 1, "pki_dir": "", "flanneld": FLANNELD}
    wanted = kubernetes_objects(plan([BLUE], OPTIONS), dict(SETTINGS, daemonset=settings))
    (now,) = (item for item in wanted if item["kind"] == "DaemonSet")
    former = json.loads(json.dumps(now))
    pod = former["spec"]["template"]["spec"]
    del pod["nodeSelector"]
    terms = [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}
        for name in ("n1", "n2")
    ]
    pod["affinity"] = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
        }
    }
    place = "/api/v1/namespaces/kube-system/pods/runs"
    node_of = {"apiVersion": "v1", "kind": "Node"}
    try:
        for name in ("n1", "n2", "n3"):
            cluster.api.ok("POST", "/api/v1/nodes", dict(node_of, metadata={"name": name}))
        cluster.bring_about(None, wanted=[former])
        metadata = dict(former["spec"]["template"]["metadata"], name="runs")
        spec = dict(pod, nodeName="n2", priorityClassName=None, affinity=None)
        cluster.api.ok(
            "POST",
            place.rpartition("/")[0],
            {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec},
        )
        status = {"status": {"phase": "Running"}}
        cluster.api.ok("PATCH", place + "/status", status, "application/merge-patch+json")

        # what a run for n1 alone does
        nodes = {"nodes": ["n1", "gone"], "state": "guarded", "networks": ["blue"]}
        told = cluster.module("kubernetes_nodes", "--check", **nodes)
        done = cluster.module("kubernetes_nodes", **nodes)
        label = "multinet.flannel/network-blue"
        assert told["changes"] == done["changes"] == [f"label Node n1: {label}=guarded"]
        assert not cluster.module("kubernetes_nodes", **nodes)["changed"]
        done = cluster.bring_about(None, wanted=[now])
        assert done == ["change Node n2", "change DaemonSet kube-system/multinet-flannel-blue"]
        assert cluster.bring_about(None, wanted=[now]) == []
        # a reset of a node brings no version and no network to the others
        newer = dict(SETTINGS, daemonset=dict(settings, image="flannel:2"))
        leaves = {"kinds": ["DaemonSet"], "no_pods_on": ["n3"]}
        both = kubernetes_objects(plan([BLUE, RED], OPTIONS), newer)
        assert cluster.module("kubernetes_objects", objects=both, **leaves)["changes"] == []
        guarded = {"n1": ["blue"], "n2": ["blue"]}
        assert cluster.module("kubernetes_info")["guarded"] == guarded
        cluster.module("kubernetes_nodes", nodes=["n1"], state="absent")
        assert cluster.module("kubernetes_info")["guarded"] == {"n2": ["blue"]}
    finally:
        for path in (place + "?gracePeriodSeconds=0", *map("/api/v1/nodes/n{}".format, (1, 2, 3))):
            cluster.api.request("DELETE", path)
        # nobody is here to end its pods
        cluster.api.request("DELETE", f"{objects.path(now)}?propagationPolicy=Background")


def test_the_image_that_an_upgrade_replaces_is_kept_and_restored(cluster):
    pods = {"max_unavailable": 1, "pki_dir": "", "flanneld": FLANNELD}
    one, two, three = (
        kubernetes_objects(
            plan([BLUE], OPTIONS), dict(SETTINGS, daemonset=dict(pods, image=f"flannel:{number}"))
        )
        for number in (1, 2, 3)
    )
    (now,) = (item for item in one if item["kind"] == "DaemonSet")
    name = "DaemonSet kube-system/multinet-flannel-blue"
    place = "/api/v1/namespaces/kube-system/pods/runs"

    def upgrade(objects_of_it, version, *options, release="1"):
        kept = {"state": "kept", "image": f"flannel:{version}", "versions": {"cni": release}}
        done = cluster.module("previous_images", *options, **kept)["changes"]
        return done if options else (done, cluster.bring_about(None, wanted=objects_of_it))

    def restored(*options):
        done = cluster.module("previous_images", *options, state="restored", timeout=0)
        return done.get("msg") or done["changes"]

    try:
        ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        cluster.api.ok(
            "POST",
            "/api/v1/nodes",
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}},
        )
        cluster.bring_about(None, wanted=one)
        template = now["spec"]["template"]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": dict(template["metadata"], name="runs"),
            "spec": dict(template["spec"], nodeName="n1", priorityClassName=None),
        }
        cluster.api.ok("POST", place.rpartition("/")[0], pod)
        for path in (place, "/api/v1/nodes/n1"):
            merge = "application/merge-patch+json"
            cluster.api.ok("PATCH", path + "/status", ready, merge)

        assert restored() == [], "nothing was upgraded"
        assert upgrade(two, 2, "--check") == [f"keep flannel:1 of {name}"]
        assert upgrade(two, 2) == ([f"keep flannel:1 of {name}"], [f"change {name}"])
        assert upgrade(two, 2) == ([], []), "what is kept is no difference"
        back = f"{name}: flannel:1 instead of flannel:"
        assert restored("--check") == [back + "2"]
        # of the second no pod was ever ready
        assert upgrade(three, 3, release="2")[0] == [f"keep flannel:1 of {name}"]
        assert restored("--check") == [back + "3"]
        assert restored() == [back + "3"]
        assert cluster.bring_about(None, wanted=one) == [], "not as the former one was declared"
        assert restored() == [], "and there it stays"

        # another upgrade, which replaces no image
        upgrade(two, 2)
        assert upgrade(two, 2, release="2")[0] == [f"forget the former image of {name}"]
        assert restored("--check") == []
        # the node answers, and its pod is of another image
        assert f"{name} has no ready pod on the node n1" in restored()
        down = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
        cluster.api.ok("PATCH", "/api/v1/nodes/n1/status", down, "application/merge-patch+json")
        assert restored() == []
    finally:
        for path in (place + "?gracePeriodSeconds=0", "/api/v1/nodes/n1"):
            cluster.api.request("DELETE", path)
        # nobody is here to end its pods
        cluster.api.request("DELETE", f"{objects.path(now)}?propagationPolicy=Background")


def test_what_others_made_stays(cluster):
    foreign = objects.objects({"networks": []}, SETTINGS)[0]
    foreign = dict(
        foreign, metadata={"name": foreign["metadata"]["name"], "labels": {"app": "multus"}}
    )
    cluster.api.ok("POST", NAD_CRD.rpartition("/")[0], foreign)
    before = cluster.api.ok("GET", NAD_CRD)["metadata"]["uid"]
    wait_for(lambda: cluster.api.request("GET", NADS)[0] != 404)
    theirs = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "red"},
        "spec": {"config": "{}"},
    }
    cluster.api.ok("POST", NADS.replace("/network-", "/namespaces/apps/network-"), theirs)
    assert cluster.module("kubernetes_info")["definitions"] == ["apps/red"]

    with pytest.raises(
        admin.AdminError, match="apps/red already exists and is not the collection's"
    ):
        cluster.bring_about([BLUE, RED])
    cluster.bring_about([BLUE])
    assert cluster.nads() == {"default/blue", "apps/blue", "apps/red"}
    labels = cluster.api.ok("GET", NAD_CRD)["metadata"]
    assert labels["labels"] == {"app": "multus"} and labels["uid"] == before

    cluster.bring_about(None, wanted=[])
    assert cluster.nads() == {"apps/red"}, "removing ours took what others made"


def test_a_crd_over_which_others_apply_their_manifest_is_left_as_it_is(cluster):
    cluster.bring_about([BLUE])
    version = dict(objects.objects({"networks": []}, SETTINGS)[0]["spec"]["versions"][0])
    version["schema"]["openAPIV3Schema"]["description"] = "As upstream describes it."
    change = {"spec": {"versions": [version]}}
    cluster.api.ok("PATCH", NAD_CRD, change, "application/merge-patch+json")
    assert cluster.bring_about([BLUE], check_mode=True) == [] == cluster.bring_about([BLUE])
    spec = cluster.api.ok("GET", NAD_CRD)["spec"]
    assert "As upstream" in spec["versions"][0]["schema"]["openAPIV3Schema"]["description"]
    assert spec["names"]["shortNames"] == ["net-attach-def"]


def test_a_crd_of_ours_stays_while_others_use_it(cluster):
    cluster.bring_about([BLUE])
    theirs = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "macvlan"},
        "spec": {"config": "{}"},
    }
    cluster.api.ok("POST", NADS.replace("/network-", "/namespaces/apps/network-"), theirs)
    cluster.bring_about(None, wanted=[])
    assert cluster.nads() == {"apps/macvlan"}


def test_an_object_that_waits_for_a_finalizer_is_deleted_once(cluster):
    cluster.bring_about([BLUE, RED])
    wanted = objects.objects(plan([BLUE]), SETTINGS)
    red = NADS.replace("/network-", "/namespaces/default/network-") + "/red"
    holds = {"metadata": {"finalizers": ["example.com/holds"]}}
    cluster.api.ok("PATCH", red + "?fieldManager=keeps", holds, "application/merge-patch+json")
    try:
        first, again = (
            (
                cluster.module("kubernetes_objects", objects=wanted),
                " ".join(cluster.ansible.output.split()),
            )
            for dummy in range(2)
        )
    finally:
        holds["metadata"]["finalizers"] = None
        cluster.api.ok("PATCH", red, holds, "application/merge-patch+json")
    assert "delete NetworkAttachmentDefinition default/red" in first[0]["changes"]
    assert not again[0]["changed"] and again[0]["changes"] == []
    for told, output in (first, again):
        assert told["ending"] == ["NetworkAttachmentDefinition default/red"]
        assert "waits for its finalizer example.com/holds (set by keeps)" in output
    wait_for(lambda: "default/red" not in cluster.nads())


def write_access(cluster, directory, check_mode=False, seconds=600):
    """Give a host (a directory of this machine) its access as role kubernetes does; return the
    names of the files that changed.
    """
    with netns.inside("/run/netns/" + cluster.api.name):
        api = admin.Admin(str(cluster.kubeconfig))
        issued = {"server": api.server, "ca": api.ca("kube-system")}
        made = {
            name: "" if check_mode else api.token(objects.NODES, "n1", seconds)
            for name in objects.access(SETTINGS)
        }
    wanted = json.loads(
        json.dumps(node.files(issued, "n1", made)).replace(node.DIRECTORY, str(directory))
    )
    changes = files.decide(
        files.Wish(
            [node_files.file_from(item) for item in wanted],
            [files.Directory(str(directory), "0700")],
        )
    )
    if not check_mode:
        files.apply(changes)
    assert not any(text in json.dumps(files.diff(changes)) for text in made.values() if text)
    return {change.path.rpartition("/")[2] for change in changes}


def test_tokens_last_and_renew_themselves(cluster, tmp_path, capsys):
    directory = tmp_path / "kubernetes"
    cluster.bring_about([BLUE])
    written = {
        "ca.crt",
        "meta-plugin.kubeconfig",
        "meta-plugin.token",
        "subnet-server.kubeconfig",
        "subnet-server.token",
    }
    assert (
        write_access(cluster, directory, True)
        == write_access(cluster, directory)
        == written | {"kubernetes"}
    )
    assert {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()
    } == dict.fromkeys(written, 0o600)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    first = (directory / "meta-plugin.token").read_text()
    assert write_access(cluster, directory) == write_access(cluster, directory, True) == set(), (
        "a token that is fine was replaced"
    )
    assert cluster.renew(directory) == 0 and (directory / "meta-plugin.token").read_text() == first

    # more than half of its 600 seconds is over
    assert cluster.renew(directory, after=310) == 0
    second = (directory / "meta-plugin.token").read_text()
    assert second != first and Token(second).seconds == 600
    assert stat.S_IMODE((directory / "meta-plugin.token").stat().st_mode) == 0o600
    assert capsys.readouterr().out.count("renewed, valid until") == 2

    # a host that was off for too long says so, and the next run of the role repairs it
    assert cluster.renew(directory, after=700) == 1
    said = capsys.readouterr().err
    assert (
        "the token expired at" in said
        and "Run multinet.flannel.site" in said
        and second.strip() not in said
    )
    (directory / "meta-plugin.token").write_text("not a token\n")
    assert write_access(cluster, directory) == {"meta-plugin.token"}
    assert cluster.renew(directory, after=310) == 0


def test_a_token_of_an_account_that_was_made_anew_is_replaced(cluster, tmp_path):
    directory = tmp_path / "kubernetes"
    cluster.bring_about([BLUE])
    write_access(cluster, directory)
    cluster.api.ok("DELETE", objects.account_path("n1"))
    cluster.bring_about([BLUE])
    assert write_access(cluster, directory) == {"meta-plugin.token", "subnet-server.token"}


def test_the_module_that_asks_for_tokens(cluster):
    cluster.bring_about([BLUE])
    issued = cluster.module("kubernetes_tokens", nodes=["n1", "n2"], seconds=600)
    assert set(issued["files"]) == {"n1", "n2"}
    written = {pathlib.PurePath(file["path"]).name: file for file in issued["files"]["n2"]}
    assert set(written) == {"ca.crt", "meta-plugin.kubeconfig", "meta-plugin.token"}
    given = written["meta-plugin.token"]
    assert Token(given["content"].strip()).seconds == issued["seconds"] == 600
    assert Token(given["content"].strip()).account == "n2"
    assert given["secret"] and given["keep_token"] and not issued["changed"]
    assert written["ca.crt"]["content"] == cluster.api.authority.ca_crt.read_text()
    checked = cluster.module(
        "kubernetes_tokens", "--check", nodes=["n1"], server="https://192.0.2.1:6443"
    )
    written = {pathlib.PurePath(file["path"]).name: file for file in checked["files"]["n1"]}
    assert written["meta-plugin.token"]["content"] == ""
    assert "https://192.0.2.1:6443" in written["meta-plugin.kubeconfig"]["content"]


def test_an_api_that_is_away_leaves_the_token(cluster, tmp_path, capsys, monkeypatch):
    directory = tmp_path / "kubernetes"
    cluster.bring_about([BLUE])
    write_access(cluster, directory)
    first = (directory / "meta-plugin.token").read_text()
    monkeypatch.setattr(renew, "_SECONDS", 1.0)
    cluster.api.stop()
    try:
        assert cluster.renew(directory, after=310) == 1
        said = capsys.readouterr().err
        assert "does not answer: connection refused." in said and "The token is valid until" in said
        assert (directory / "meta-plugin.token").read_text() == first
        asked = cluster.module("kubernetes_info")
        assert asked["failed"] and "does not answer" in asked["msg"]
    finally:
        cluster.api.start()


def test_a_token_that_is_not_renewed_is_told_long_before_it_ends(
    cluster, tmp_path, capsys, monkeypatch
):
    """For a day, with an account that is gone: what status, the keeper and verify say."""
    directory = tmp_path / "kubernetes"
    cluster.bring_about([BLUE])
    write_access(cluster, directory, seconds=86400)
    held = (directory / "meta-plugin.token").read_text()
    end = token.at(Token(held).end)
    units = {tokens.TIMER: {"ActiveState": "active"}, tokens.SERVICE: {}}
    said = []

    def wrong(after):
        """Return what is wrong so many hours from now."""
        now = time.time() + after * 3600
        with monkeypatch.context() as patch:
            patch.setattr(tokens.time, "time", lambda: now)
            found = tokens.look(units, lambda argv: "".join(said), str(directory))
        return {name: one["wrong"] for name, one in found.items() if one["wrong"]}

    cluster.api.ok("DELETE", objects.account_path("n1"))
    wait_for(lambda: cluster.renew(directory, after=12.1 * 3600) == 1)
    capsys.readouterr()
    assert cluster.renew(directory, after=13 * 3600) == 1
    said.append(capsys.readouterr().err)
    assert wrong(after=0) == wrong(after=13) == {}
    told = wrong(after=14)
    assert set(told) == {"meta-plugin", "subnet-server"}
    assert f"is not renewed and ends at {end} (the last renewal said: " in told["meta-plugin"]
    assert "does not know us" in told["meta-plugin"] and held.strip() not in str(told)
    assert "expired at" in wrong(after=25)["meta-plugin"]

    # what site does about it
    cluster.bring_about([BLUE])
    assert write_access(cluster, directory, seconds=86400) > {"meta-plugin.token"}
    assert wrong(after=1) == {}


def test_a_service_account_can_do_what_it_must_and_no_more(cluster):
    """As the API's own authorizer decides it (SubjectAccessReview)."""
    cluster.bring_about([BLUE])

    def may(verb, resource, subresource="", group="", namespace="kube-system"):
        attributes = {
            "verb": verb,
            "resource": resource,
            "subresource": subresource,
            "group": group,
            "namespace": namespace,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": objects.account("n1"),
                "groups": ["system:serviceaccounts:" + objects.NODES, "system:authenticated"],
                "resourceAttributes": attributes,
            },
        }
        return cluster.api.ok("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)[
            "status"
        ]["allowed"]

    assert may("create", "serviceaccounts", "token", namespace=objects.NODES)
    assert not may("create", "serviceaccounts", "token")
    for resource in ("secrets", "configmaps", "serviceaccounts"):
        for namespace in ("kube-system", objects.NODES):
            assert not any(
                may(verb, resource, namespace=namespace)
                for verb in ("get", "list", "create", "update")
            )
    assert may("get", "pods", namespace="apps") and may("patch", "pods", "status", namespace="apps")
    assert not may("patch", "pods", namespace="apps") and not may("list", "pods")
    assert all(may(verb, "nodes") for verb in ("get", "list", "watch"))
    assert may("patch", "nodes", "status") and not may("patch", "nodes")

    cluster.bring_about([BLUE], datastore="etcd")
    wait_for(lambda: not may("get", "nodes"))
    assert not may("patch", "nodes", "status")


def test_of_the_status_of_its_own_a_node_may_change_annotations_alone(cluster):
    """With the rights of the test above, one could change conditions, addresses and labels, and
    those of all nodes and pods.
    """
    api = cluster.api
    kept = {
        "labels": {"zone": "a"},
        "annotations": {"kept": "1", "red.multinet.flannel/public-ip": "192.0.2.1"},
    }
    node = {"metadata": dict(kept, name="n1")}
    pod = {
        "metadata": dict(kept, name="p1"),
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "none"}]},
    }
    cluster.bring_about([BLUE], serving=["n3"])
    api.ok("POST", "/api/v1/nodes", node)
    api.ok("POST", "/api/v1/namespaces/apps/pods", pod)

    def patch(path, who="n1", **what):
        return api.request(
            "PATCH", path + "/status", what, "application/merge-patch+json", objects.account(who)
        )[0]

    theirs = {
        "/api/v1/nodes/n1": "blue.multinet.flannel/public-ip",
        "/api/v1/namespaces/apps/pods/p1": "k8s.v1.cni.cncf.io/network-status",
    }
    condition = {
        "type": "Ready",
        "status": "True",
        "lastHeartbeatTime": None,
        "lastTransitionTime": None,
    }
    try:
        for path, key in theirs.items():
            # a policy holds a moment after it was made; and it minds no label that stays what it is
            def is_refused(path=path):
                zone = {"labels": {"zone": str(time.monotonic())}}
                return patch(path, metadata=zone) == 422

            wait_for(is_refused)
            assert patch(path, metadata={"labels": None}) == 422
            assert patch(path, status={"conditions": [condition]}) == 422
            assert patch(path, metadata={"finalizers": ["example.org/kept"]}) == 422
            for value in ("2", None):
                assert patch(path, metadata={"annotations": {"kept": value}}) == 422
            assert patch(path, metadata={"annotations": {"other": "1"}}) == 422
            assert patch(path, metadata={"annotations": {key: "1", "other": "1"}}) == 422
            for value in ("1", "2", None):
                assert patch(path, metadata={"annotations": {key: value}}) == 200
            assert patch(path, "n2", metadata={"annotations": {key: "1"}}) == 422
            assert patch(path, "n", metadata={"annotations": {key: "1"}}) == 422
            # a subnet server for other hosts, too
            done = 200 if "/nodes/" in path else 422
            assert patch(path, "n3", metadata={"annotations": {key: None}}) == done
            found = api.ok("GET", path)["metadata"]
            assert found["annotations"] == kept["annotations"] and set(found["labels"]) == {"zone"}
    finally:
        api.ok("DELETE", "/api/v1/nodes/n1")
        api.ok("DELETE", "/api/v1/namespaces/apps/pods/p1?gracePeriodSeconds=0")


def test_a_node_gets_tokens_of_its_own_account_alone(cluster):
    api = cluster.api
    cluster.bring_about([BLUE])

    def ask(path, who="n1"):
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        return api.request("POST", path + "/token", asked, user=objects.account(who))[0]

    wait_for(lambda: ask(objects.account_path("n2")) == 422)
    assert ask(objects.account_path("n1")) == ask(objects.account_path("n2"), "n2") == 201
    assert ask("/api/v1/namespaces/kube-system/serviceaccounts/default") == 403


def test_accounts_of_other_nodes_and_of_former_versions_stay(cluster):
    """A run may know some of the nodes alone, and those that it has not reached need theirs."""
    api = cluster.api
    cluster.bring_about([BLUE])
    former = objects.labelled({"metadata": {"name": "multinet"}}, namespace="kube-system")
    accounts = "/api/v1/namespaces/kube-system/serviceaccounts"
    api.ok("POST", accounts, dict(former, kind="ServiceAccount"))
    assert cluster.bring_about([BLUE], nodes=["n2"]) == []
    account = objects.account_path("n1")
    assert api.request("GET", account)[0] == api.request("GET", accounts + "/multinet")[0] == 200
    told = cluster.module("kubernetes_nodes", "--check", nodes=["n1", "gone"], state="removed")
    assert told["changes"] == ["delete ServiceAccount multinet-nodes/n1"]
    assert cluster.module("kubernetes_nodes", nodes=["n1"], state="removed")["changed"]
    assert api.request("GET", account)[0] == 404
    cluster.bring_about(None, wanted=[])
    assert api.request("GET", accounts + "/multinet")[0] == 404
    assert api.request("GET", "/api/v1/namespaces/" + objects.NODES)[0] == 404


def test_a_namespace_of_others_is_neither_taken_nor_removed(cluster):
    api, path = cluster.api, "/api/v1/namespaces/" + objects.NODES
    api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": objects.NODES}})
    try:
        with pytest.raises(
            admin.AdminError,
            match=r"Namespace multinet-nodes .* is not the collection's .*\)\. Rem",
        ):
            cluster.bring_about([BLUE])
        cluster.bring_about(None, wanted=[])
        assert api.request("GET", path)[0] == 200
    finally:
        api.ok("DELETE", path)
        api.finish(objects.NODES)
    cluster.bring_about([BLUE])
    theirs = path + "/serviceaccounts"
    api.ok("POST", theirs, {"metadata": {"name": "theirs"}})
    cluster.bring_about(None, wanted=[])
    assert api.ok("GET", path)["status"]["phase"] == "Active"
    api.ok("DELETE", theirs + "/theirs")
    assert cluster.bring_about(None, wanted=[]) == ["delete Namespace multinet-nodes"]


def test_the_meta_plugin_changes_no_events_of_others(cluster):
    api = cluster.api
    cluster.bring_about([BLUE])
    events = "/api/v1/namespaces/apps/events"
    for name, component in (("ours", "multinet"), ("theirs", "kubelet")):
        event = {
            "metadata": {"name": name},
            "involvedObject": {"namespace": "apps"},
            "source": {"component": component},
        }
        api.ok("POST", events, event)

    def patch(name):
        return api.request(
            "PATCH",
            f"{events}/{name}",
            {"count": 2, "reason": str(time.monotonic())},
            "application/merge-patch+json",
            objects.account("n1"),
        )[0]

    try:
        wait_for(lambda: patch("theirs") == 422)
        assert patch("ours") == 200
    finally:
        for name in ("ours", "theirs"):
            api.ok("DELETE", f"{events}/{name}")


def test_an_api_that_knows_no_policies_gets_none(cluster):
    cluster.api.stop()
    users = (
        "ValidatingAdmissionPolicy",
        "MutatingAdmissionPolicy",
        "ValidatingAdmissionWebhook",
        "MutatingAdmissionWebhook",
    )
    cluster.api.start(
        "--runtime-config=admissionregistration.k8s.io/v1=false",
        "--disable-admission-plugins=" + ",".join(users),
    )
    try:
        told = cluster.bring_about([BLUE], check_mode=True)
        assert cluster.bring_about([BLUE]) == told and cluster.bring_about([BLUE]) == []
        assert "create ClusterRole multinet" in told and not any(
            "Policy" in change for change in told
        )
    finally:
        cluster.api.stop()
        cluster.api.start()
    assert sum("Policy" in change for change in cluster.bring_about([BLUE])) == 8


def test_the_cluster_is_looked_at(cluster):
    cluster.api.ok(
        "POST",
        "/api/v1/nodes",
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "n1"},
            "spec": {"podCIDR": "10.244.0.0/24"},
        },
    )
    cluster.api.ok(
        "POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}}
    )
    try:
        cluster.module("kubernetes_nodes", nodes=["n1", "gone"])
        seen = cluster.module("kubernetes_info", inventory=["n1"])
        cluster.module("kubernetes_nodes", nodes=["n1"], state="absent")
        again = cluster.module("kubernetes_info")
    finally:
        for name in ("n1", "n2"):
            cluster.api.ok("DELETE", "/api/v1/nodes/" + name)
    assert (
        seen["nodes"] == {"n1": ["10.244.0.0/24"], "n2": []}
        and "apps" in seen["namespaces"]
        and seen["server"] == "https://127.0.0.1:6443"
    )
    assert (seen["announced"], again["announced"]) == (["n1"], [])
    assert seen["kube_proxy"] is None and seen["pod_security"] == {}


LEVELS = """
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: restricted, enforce-version: latest}
    exemptions: {namespaces: [kube-system]}
"""


def test_a_cluster_that_lets_no_such_pods_be_unless_told_to(cluster, tmp_path):
    """The API server's own default level is no label of a namespace."""
    config = tmp_path / "admission.yml"
    config.write_text(LEVELS)
    planned, image = plan([BLUE], {"kubernetes": True}), "flannel:1"
    asked = {"plan": planned, "image": image}
    settings = {"server": "https://192.0.2.1:6443", "nad_namespaces": [], "form": "daemonset"}
    assert cluster.module("kubernetes_info", namespace="apps", **asked)["pods_refused"] == ""
    cluster.api.stop()
    try:
        cluster.api.start(f"--admission-control-config-file={config}")
        exempt = cluster.module("kubernetes_info", **asked)
        unasked = cluster.module("kubernetes_info", namespace="apps", plan=planned)
        seen = cluster.module("kubernetes_info", namespace="apps", **asked)
    finally:
        cluster.api.stop()
        cluster.api.start()
    assert exempt["pods_refused"] == unasked["pods_refused"] == ""
    (problem,) = checks.cluster_problems(seen, dict(settings, namespace="apps"))
    assert 'violates PodSecurity "restricted:latest"' in problem and "hostNetwork=true" in problem
    assert cluster.api.ok("GET", "/api/v1/namespaces/apps/pods")["items"] == []


def test_a_site_whose_pods_are_strangers_already_is_warned_and_not_refused(cluster):
    api, path = cluster.api, "/api/v1/namespaces/kube-system/configmaps"
    config = "kind: KubeProxyConfiguration\nclusterCIDR: 10.244.0.0/16\n"
    api.ok("POST", path, {"metadata": {"name": "kube-proxy"}, "data": {"config.conf": config}})
    daemon_sets = "/apis/apps/v1/namespaces/kube-system/daemonsets"
    labels = {"k8s-app": "kube-proxy"}
    pod = {
        "containers": [{"name": "kube-proxy", "image": "kube-proxy"}],
        "volumes": [{"name": "kube-proxy", "configMap": {"name": "kube-proxy"}}],
    }
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    api.ok("POST", daemon_sets, {"metadata": {"name": "kube-proxy"}, "spec": spec})
    api.ok("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    planned = plan([BLUE], {"kubernetes": True})
    settings = {"server": "https://192.0.2.1:6443", "namespace": "default", "nad_namespaces": []}
    found = {}
    try:
        for state in ("absent", "present"):
            cluster.module("kubernetes_nodes", nodes=["n1"], state=state)
            seen = cluster.module("kubernetes_info", plan=planned)
            told = kubernetes_problems(planned, seen, "n1", settings)
            found[state] = (told, " ".join(cluster.ansible.output.split()))
    finally:
        api.ok("DELETE", path + "/kube-proxy")
        api.ok("DELETE", daemon_sets + "/kube-proxy")
        api.ok("DELETE", "/api/v1/nodes/n1")
    sentence = "kube-proxy does not know that 10.1.0.0/16 (network 'blue') are addresses of pods"
    (problem,), output = found["absent"]
    assert sentence in problem and sentence not in output
    problems, output = found["present"]
    assert problems == [] and sentence in output


def test_what_a_measurement_is_compared_with_is_read(cluster):
    seen = cluster.module("cluster_info")
    assert not seen["changed"]
    # the API server's own Service, of which a cluster without nodes has no endpoint
    none = {"services": [], "ports": [], "nodes": {}}
    assert seen["cluster"] == {"pods": [], **none, "kube_proxy": None}
    assert seen["published"] == none


def test_a_kubeconfig_that_is_missing_or_not_known(cluster, tmp_path):
    cluster.kubeconfig = tmp_path / "nowhere"
    refused = cluster.module("kubernetes_info")
    assert (
        refused["failed"]
        and "Set multinet_kubeconfig" in refused["msg"]
        and str(tmp_path / "nowhere") in refused["msg"]
    )
    cluster.kubeconfig = tmp_path / "stranger"
    cluster.api.kubeconfig(cluster.kubeconfig, {"token": "none"})
    refused = cluster.module("kubernetes_info")
    assert refused["failed"] and "HTTP 401" in refused["msg"]
    cluster.kubeconfig = tmp_path / "admin.kubeconfig"
