# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Move pods off a node before it loses its networks: by evictions (policy/v1), which disruption
budgets may put off. Runs on the controller.
"""

from __future__ import annotations

from typing import NamedTuple

from .admin import Admin, AdminError
from .apply import Patience
from .objects import Item, full_name

_MIRROR = "kubernetes.io/config.mirror"
_CORDON = "node.kubernetes.io/unschedulable"  # the taint, NoSchedule, of a cordoned node
_GONE, _PUT_OFF = 404, 429
_ENDED = ("Succeeded", "Failed")
_PAUSE = 1.0  # seconds from one try to the next


class Drained(NamedTuple):
    """What was done, as clauses for people; the pods (namespace/name) that nobody moves; whether
    the node took new pods before.
    """

    changes: list[str]
    left: list[str]
    cordoned: bool


def drain(api: Admin, node: str, patience: Patience, *, check_mode: bool = False) -> Drained:
    """Let no pod start on a node any more and evict those that somebody starts again elsewhere;
    return once they are gone. A node that is not there has none.

    Pods of DaemonSets, static ones and those without a controller stay; so do those that come back
    to the node because they tolerate that it is cordoned. Those in the host's network lose nothing.
    Raises AdminError, naming pod and budget, and takes pods again then.
    """
    item = api.get(_path(node))
    if item is None:
        return Drained([], [], False)
    cordoned = not item.get("spec", {}).get("unschedulable")
    moving, left = sort(_pods(api, node))
    changes = [f"cordon Node {node}"] if cordoned else []
    changes += [f"evict Pod {full_name(pod)}" for pod in moving]
    if not check_mode:
        if cordoned:
            _set_unschedulable(api, node, True)
        try:
            evicted = {pod["metadata"]["uid"] for pod in moving}
            patience.wait(lambda: _evict(api, node, evicted), _PAUSE)
            returned, left = sort(_pods(api, node))
            left = sorted([*left, *(full_name(pod) for pod in returned)])
        except AdminError:
            if cordoned:
                reopen(api, node)
            raise
    return Drained(changes, left, cordoned)


def reopen(api: Admin, node: str, *, check_mode: bool = False) -> list[str]:
    """Let pods start on a node again; return what was done."""
    item = api.get(_path(node))
    if not item or not item.get("spec", {}).get("unschedulable"):
        return []
    if not check_mode:
        _set_unschedulable(api, node, False)
    return [f"uncordon Node {node}"]


def sort(pods: list[Item]) -> tuple[list[Item], list[str]]:
    """Return (pods to evict, namespace/name of those that stay) of those on a node."""
    moving, left = [], []
    for pod in pods:
        if pod["spec"].get("hostNetwork") or pod.get("status", {}).get("phase") in _ENDED:
            continue
        if _MIRROR in (pod["metadata"].get("annotations") or {}) or _controller(pod) in (
            None,
            "DaemonSet",
        ):
            left.append(full_name(pod))
        else:
            moving.append(pod)
    return moving, sorted(left)


def _controller(pod: Item) -> str | None:
    owners = pod["metadata"].get("ownerReferences") or []
    return next((str(one["kind"]) for one in owners if one.get("controller")), None)


def _tolerates_cordon(pod: Item) -> bool:
    """Return whether a pod may start on a cordoned node (core/v1 Toleration)."""
    return any(
        one.get("effect") in (None, "", "NoSchedule")
        and one.get("key") in (None, "", _CORDON)
        and (one.get("operator") == "Exists" or (one.get("key") and not one.get("value")))
        for one in pod["spec"].get("tolerations") or ()
    )


def _evict(api: Admin, node: str, evicted: set[str]) -> str:
    """Ask for what is still there to go; return why the first of it does not, "" for none.

    evicted: the uids of the pods that were there at first.
    """
    problems: list[str] = []
    for pod in sort(_pods(api, node))[0]:
        if pod["metadata"]["uid"] not in evicted and _tolerates_cordon(pod):
            continue  # the next one would come back, too
        what = f"the pod {full_name(pod)} is still on the node {node}"
        metadata = {key: pod["metadata"][key] for key in ("name", "namespace")}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        path = "/api/v1/namespaces/{namespace}/pods/{name}/eviction".format_map(metadata)
        if pod["metadata"].get("deletionTimestamp"):
            if not problems:  # the first one is told
                problems.append(f"{what}: {_why_not_ended(api, pod)}")
            continue
        try:
            api.post(path, eviction)
            problems.append(f"{what}: it has not ended yet")
        except AdminError as error:
            if error.status == _GONE:
                continue
            if error.status != _PUT_OFF:
                raise
            why = " ".join(cause.rstrip(".") for cause in error.causes) or str(error)
            problems.insert(0, f"{what}: {why.rstrip('.')}")  # a budget is told before others
    return problems[0] if problems else ""


def _why_not_ended(api: Admin, pod: Item) -> str:
    """Say that a pod has not ended yet, with the last warning of its kubelet."""
    selector = f"involvedObject.uid={pod['metadata']['uid']},type=Warning"
    namespace = pod["metadata"]["namespace"]
    try:
        events = api.items(f"/api/v1/namespaces/{namespace}/events", fieldSelector=selector) or []
    except AdminError:  # an account that may drain, but not read events
        events = []
    last = max(events, key=lambda event: event.get("lastTimestamp") or "", default=None)
    if last is None:
        return "it has not ended yet"
    return f"it has not ended yet: {last['reason']}: {last['message'].strip().rstrip('.')}"


def _pods(api: Admin, node: str) -> list[Item]:
    return api.items("/api/v1/pods", fieldSelector=f"spec.nodeName={node}") or []


def _path(node: str) -> str:
    return f"/api/v1/nodes/{node}"


def _set_unschedulable(api: Admin, node: str, value: bool) -> None:
    api.patch(_path(node), {"spec": {"unschedulable": value or None}})
