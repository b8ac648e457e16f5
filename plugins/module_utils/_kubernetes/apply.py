# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the collection's objects at the Kubernetes API be those that are wanted: first see what is
there, then change what differs.

What would change is asked of the API itself (server-side apply, dryRun), so check mode knows its
defaults and its refusals.
"""

from __future__ import annotations

import json
import time

from . import admin, daemonset, objects

#: What the API itself changes in an object.
_NOISE = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
_HIDDEN = "(not shown: a secret)\n"


class Change:
    """One object that is made, changed or removed. before, after: dict or None."""

    def __init__(self, item, before, after):
        self.item = item
        self.before = before
        self.after = after

    @property
    def verb(self):
        """What is done, as a clause for people."""
        return (
            f"{'create' if self.before is None else 'delete' if self.after is None else 'change'}"
            f" {objects.label(self.item)}"
        )

    def diff(self):
        """Return the change as Ansible's diff."""
        name = objects.label(self.item)
        texts = [_text(state) for state in (self.before, self.after)]
        if self.item["kind"] == "Secret":
            texts = [text and f"({when}) {_HIDDEN}" for text, when in zip(texts, ("old", "new"))]
        return {"before_header": name, "after_header": name, "before": texts[0], "after": texts[1]}


def bring_about(
    api,
    wanted,
    kinds,
    check_mode=False,
    later=(),
    timeout=60,
    clock=time.monotonic,
    sleep=time.sleep,
):
    """Make the objects with our label be the wanted ones; return the list of Change.

    Raises AdminError.

    api: admin.Admin. wanted: list of dict, as objects.objects() makes them. kinds: list of str;
    what is of these kinds, ours and not wanted is removed.
    later: kinds (list of str) of which nothing is made or changed this time.
    A CustomResourceDefinition that others made serves as it is. Ours is removed when it is asked
    for and nobody has objects of it.
    """
    found = {kind: _ours(api, kind) for kind in kinds}
    ours = {objects.path(item): item for items in found.values() for item in items or ()}
    wanted_paths = {objects.path(item) for item in wanted}
    changes = []
    for path, item in ours.items():
        if path not in wanted_paths and _may_go(api, item):
            changes.append(Change(item, item, None))
            if not check_mode:
                _delete(api, path, item, timeout, clock, sleep)
    for item in wanted:
        if item["kind"] in later or (
            item["kind"] in objects.OPTIONAL and found[item["kind"]] is None
        ):
            continue
        before = ours.get(objects.path(item)) or api.get(objects.path(item))
        if before is not None and not objects.is_ours(before):
            if item["kind"] == "CustomResourceDefinition":
                continue
            if item["kind"] == "NetworkAttachmentDefinition":
                raise admin.AdminError(
                    f"{objects.label(item)} is there already and is not the collection's (it has no"
                    f" label {objects.LABEL}={objects.OWNER}). Remove it, or give the network"
                    " another name."
                )
        after = _apply(api, item, before, check_mode)
        if _clean(before) != _clean(after):
            changes.append(Change(item, before, after))
        if (
            item["kind"] == "CustomResourceDefinition"
            and not check_mode
            and not _established(after)
        ):
            _wait(
                lambda path=objects.path(item): _established(api.get(path)),
                f"{objects.label(item)} is not served",
                timeout,
                clock,
                sleep,
            )
    return changes


def wait_for_pods(
    api, wanted, nodes, without=(), timeout=60, clock=time.monotonic, sleep=time.sleep
):
    """Wait until the DaemonSets among the wanted objects have a ready pod, made as they say now, on
    each of these nodes (list of str). Raises AdminError.

    without: nodes (list of str) on which they must have none.
    """
    deadline = clock() + timeout
    while True:
        problems = [
            problem
            for item in wanted
            if item["kind"] == "DaemonSet"
            for problem in _pod_problems(api, item, nodes, without)
        ]
        if not problems:
            return
        if clock() > deadline:
            more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise admin.AdminError(
                f"After {timeout} s, {'; '.join(problems[:3])}{more}. Look at it with kubectl, then"
                " run again."
            )
        sleep(0.5)


def _pod_problems(api, item, nodes, without):
    template = item["spec"]["template"]["metadata"]
    selector = ",".join(
        "{}={}".format(*pair) for pair in sorted(item["spec"]["selector"]["matchLabels"].items())
    )
    answer = api.get(
        f"/api/v1/namespaces/{item['metadata']['namespace']}/pods", labelSelector=selector
    ) or {"items": []}
    pods = {
        pod["spec"].get("nodeName"): pod
        for pod in answer["items"]
        if "deletionTimestamp" not in pod["metadata"]
        and (pod["metadata"].get("annotations") or {}).get(daemonset.SUM)
        == template["annotations"][daemonset.SUM]
    }
    here = {pod["spec"].get("nodeName") for pod in answer["items"]}
    problems = [
        f"{objects.label(item)} still has a pod on the node {node}"
        for node in without
        if node in here
    ]
    for node in nodes:
        status = pods[node].get("status") or {} if node in pods else {}
        if not any(
            one["type"] == "Ready" and one["status"] == "True"
            for one in status.get("conditions") or []
        ):
            states = [
                one["state"].get("waiting") or one["state"].get("terminated") or {}
                for one in status.get("containerStatuses") or []
            ]
            why = "".join(
                f" ({': '.join(state[key] for key in ('reason', 'message') if state.get(key))})"
                for state in states
                if state.get("reason")
            )
            problems.append(f"{objects.label(item)} has no ready pod on the node {node}{why}")
    return problems


def _ours(api, kind):
    """Return what is there of a kind with our label (list of dict), None where the API does not
    know the kind.
    """
    answer = api.get(
        objects.collection_path(kind), labelSelector=f"{objects.LABEL}={objects.OWNER}"
    )
    # the items of a list say neither
    return answer and [
        dict(item, kind=kind, apiVersion=answer["apiVersion"]) for item in answer["items"]
    ]


def _may_go(api, item):
    """Return whether nothing of others would go with it: with a CustomResourceDefinition go all
    objects of its kind.
    """
    if item["kind"] != "CustomResourceDefinition":
        return True
    spec = item["spec"]
    collection = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
    return all(objects.is_ours(other) for other in api.items(collection))


def _apply(api, item, before, check_mode):
    if not check_mode:
        return api.apply(objects.path(item), item)
    try:
        return api.apply(objects.path(item), item, dryRun="All")
    except admin.AdminError as error:
        if (
            error.status == 404 and before is None
        ):  # its kind or its namespace comes into being by the real run
            return item
        raise


def _delete(api, path, item, timeout, clock, sleep):
    if item["kind"] != "DaemonSet":
        api.delete(path)
        return
    # its pods go first, so that its end is theirs
    api.delete(path, propagationPolicy="Foreground")
    _wait(
        lambda: api.get(path) is None, f"{objects.label(item)} is not gone", timeout, clock, sleep
    )


def _wait(is_true, problem, timeout, clock, sleep):
    deadline = clock() + timeout
    while not is_true():
        if clock() > deadline:
            raise admin.AdminError(
                f"{problem} after {timeout} s. Look at it with kubectl, then run again."
            )
        sleep(0.2)


def _established(item):
    conditions = ((item or {}).get("status") or {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def _clean(item):
    if item is None:
        return None
    metadata = {key: value for key, value in item["metadata"].items() if key not in _NOISE}
    return dict({key: value for key, value in item.items() if key != "status"}, metadata=metadata)


def _text(item):
    return "" if item is None else json.dumps(_clean(item), indent=2, sort_keys=True) + "\n"
