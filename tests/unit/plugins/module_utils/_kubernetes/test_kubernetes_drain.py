# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pods leave a node before it loses its networks, and what is said of one that does not."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import drain
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes.admin import AdminError
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes.apply import Patience

BUDGET = "The disruption budget web needs 2 healthy pods and has 2 currently"


def pod(name, owner="ReplicaSet", phase="Running", annotations=None, **spec):
    metadata = {"name": name, "uid": f"uid-{name}", "namespace": "apps", "annotations": annotations}
    if owner:
        metadata["ownerReferences"] = [{"kind": "Job"}, {"kind": owner, "controller": True}]
    return {"metadata": metadata, "spec": spec, "status": {"phase": phase}}


class Api:
    """A node with pods; `budget`: how often the eviction of each pod is put off; `returning`: the
    names of those that start there again.
    """

    def __init__(self, pods, budget=0, unschedulable=None, returning=()):
        self.returning = returning
        self.pods = pods
        self.budget = budget
        self.unschedulable = unschedulable
        self.events = []
        self.anew = 0
        self.evicted = []
        self.tries = {}

    def get(self, path):
        there = path == "/api/v1/nodes/node1"
        return {"spec": {"unschedulable": self.unschedulable}} if there else None

    def items(self, path, **query):
        if path == "/api/v1/namespaces/apps/events":
            assert query == {"fieldSelector": "involvedObject.uid=uid-web,type=Warning"}
            if self.events is None:
                raise AdminError("HTTP 403, Forbidden.", 403)
            return self.events
        assert (path, query) == ("/api/v1/pods", {"fieldSelector": "spec.nodeName=node1"})
        return list(self.pods)

    def patch(self, path, change):
        self.unschedulable = change["spec"]["unschedulable"]

    def post(self, path, item):
        name = item["metadata"]["name"]
        assert self.unschedulable and path == f"/api/v1/namespaces/apps/pods/{name}/eviction"
        self.tries[name] = self.tries.get(name, 0) + 1
        if self.tries[name] <= self.budget:
            raise AdminError("HTTP 429, Cannot evict pod.", 429, [BUDGET])
        self.evicted.append(name)
        gone = next(one for one in self.pods if one["metadata"]["name"] == name)
        self.pods.remove(gone)
        if name in self.returning:  # its controller's next one starts here again
            self.anew += 1
            self.pods.append(pod(f"{name}-{self.anew}", tolerations=gone["spec"]["tolerations"]))


class Clock:
    def __init__(self):
        self.now = 0.0

    def patience(self):
        return Patience(10, lambda: self.now, self.sleep)

    def sleep(self, seconds):
        self.now += seconds


STAYING = [
    pod("every", "DaemonSet"),
    pod("static", "Node", annotations={"kubernetes.io/config.mirror": "x"}),
    pod("alone", None),
]
NOT_CONCERNED = [pod("host", hostNetwork=True), pod("done", "Job", "Succeeded")]


def test_pods_that_somebody_starts_elsewhere_go_and_the_others_are_named():
    api = Api([pod("web"), pod("db", "StatefulSet"), *STAYING, *NOT_CONCERNED], budget=2)
    told = drain.drain(api, "node1", Clock().patience(), check_mode=True)
    assert api.evicted == [] and api.unschedulable is None
    done = drain.drain(api, "node1", Clock().patience())
    assert done == told
    assert done.changes == ["cordon Node node1", "evict Pod apps/web", "evict Pod apps/db"]
    assert done.left == ["apps/alone", "apps/every", "apps/static"] and done.cordoned
    assert sorted(api.evicted) == ["db", "web"] and api.unschedulable
    assert drain.reopen(api, "node1") == ["uncordon Node node1"] and not api.unschedulable
    assert drain.reopen(api, "node1") == []


def test_a_budget_that_puts_off_too_long_is_named_and_the_node_takes_pods_again():
    api = Api([pod("web")], budget=99)
    with pytest.raises(AdminError) as caught:
        drain.drain(api, "node1", Clock().patience())
    assert str(caught.value).startswith(
        f"After 10 s, the pod apps/web is still on the node node1: {BUDGET}. "
    )
    assert not api.unschedulable


def test_a_node_that_was_cordoned_stays_so_and_one_that_is_not_there_is_passed_over():
    api = Api([pod("web")], budget=99, unschedulable=True)
    with pytest.raises(AdminError):
        drain.drain(api, "node1", Clock().patience())
    assert api.unschedulable
    api.budget = 0
    assert not drain.drain(api, "node1", Clock().patience()).cordoned
    assert drain.drain(api, "gone", Clock().patience()).changes == []


def test_a_pod_that_does_not_end_is_named_with_the_last_warning_of_its_kubelet():
    ending = pod("web")
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    api = Api([ending])
    told = r"the pod apps/web is still on the node node1: it has not ended yet"
    for api.events in ([], None):
        with pytest.raises(AdminError, match=rf"{told}\. Look"):
            drain.drain(api, "node1", Clock().patience())
    api.events = [
        {"reason": "FailedKillPod", "message": "del failed.\n", "lastTimestamp": "2026-01-01T2"},
        {"reason": "FailedMount", "message": "no volume", "lastTimestamp": "2026-01-01T1"},
        {"reason": "Unhealthy", "message": "an event of the new form", "lastTimestamp": None},
    ]
    with pytest.raises(AdminError, match=rf"{told}: FailedKillPod: del failed\. Look"):
        drain.drain(api, "node1", Clock().patience())


@pytest.mark.parametrize(
    "toleration",
    [
        {"operator": "Exists"},
        {"operator": "Exists", "effect": "NoSchedule"},
        {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "node.kubernetes.io/unschedulable"},
    ],
)
def test_a_pod_that_comes_back_to_the_cordoned_node_is_left_there_and_named(toleration):
    api = Api([pod("web", tolerations=[toleration]), pod("db")], returning=["web", "web-1"])
    done = drain.drain(api, "node1", Clock().patience())
    assert done.changes == ["cordon Node node1", "evict Pod apps/web", "evict Pod apps/db"]
    assert done.left == ["apps/web-1"]


@pytest.mark.parametrize(
    "toleration",
    [
        {"operator": "Exists", "effect": "NoExecute"},
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists"},
        {"key": "node.kubernetes.io/unschedulable", "operator": "Equal", "value": "no"},
    ],
)
def test_a_pod_that_was_bound_as_the_node_was_cordoned_goes_too(toleration):
    class Late(Api):
        def patch(self, path, change):
            super().patch(path, change)
            self.pods.append(pod("late", tolerations=[toleration]))

    api = Late([pod("web")])
    assert drain.drain(api, "node1", Clock().patience()).left == []
    assert api.evicted == ["web", "late"]
