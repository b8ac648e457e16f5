# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the collection's objects at the Kubernetes API be those that are wanted: first see what is
there, then change what differs. Runs on the controller.

What would change is asked of the API itself (server-side apply, dryRun), so check mode knows its
defaults and its refusals. kubernetes.core's module k8s would not do: it has no diff of several
objects, and fails in check mode while the CustomResourceDefinition of one is still to come.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .._node.journal import reason_in
from . import daemonset, ending, guards, objects
from .admin import FIELD_MANAGER, Admin, AdminError, pods_of
from .questions import ENDED, IS_ESTABLISHED, IS_READY, NOT_RUNNING, ask, staying

Item = dict[str, Any]  # an object, as the API's JSON has it

# What the API itself changes in an object.
_NOISE = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
_HIDDEN = "(not shown: a secret)\n"
_NOT_GONE = "%s is not gone"
_WATCHED = 1.0  # seconds until what was written at the API has arrived at its watchers
_SHOWN = 3  # of the problems that a wait ended with
# A pod that waits for one of these reasons does so until somebody changes something.
_FOR_GOOD = ("InvalidImageName", "ErrImageNeverPull")
_ENDS_ENOUGH = 3  # how often a container is started again before it counts as one that never runs


class Patience(NamedTuple):
    """How long something at the API is waited for. timeout: seconds; clock, sleep: as in `time`."""

    timeout: float = 60.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def wait(
        self,
        problem: Callable[[], str],
        pause: float = 0.2,
        moves: Callable[[], bool] = lambda: False,
    ) -> None:
        """Return when problem() is empty; raise AdminError with what it was when time was over.
        moves: whether the time begins anew, after each look.
        """
        deadline = self.clock() + self.timeout
        while True:
            sentence = problem()
            if not sentence:
                return
            if moves():
                deadline = self.clock() + self.timeout
            if self.clock() > deadline:
                raise AdminError(
                    f"After {self.timeout} s, {sentence}. Look at it with kubectl, then run again."
                )
            self.sleep(pause)


PATIENCE = Patience()


class Change(NamedTuple):
    """One object that is made, changed or removed; it was not there before, or is not after."""

    item: Item
    before: Item | None
    after: Item | None

    @property
    def disputed(self) -> str:
        """Say which program (none of a person's) also writes what was changed, "" for none."""
        # a Node, of which we change a label alone, is Kubernetes' own
        if self.before is None or self.after is None or not objects.is_ours(self.item):
            return ""
        names = sorted(one for one in _writers(self.before) if not one.startswith("kubectl"))
        if not names:
            return ""
        return (
            f"{objects.label(self.item)} is also written by {', '.join(names)}, which may change it"
            " back: give both the same objects (playbook multinet.flannel.manifests)."
        )

    @property
    def what(self) -> str:
        """What is done, as a clause for people."""
        verb = "create" if self.before is None else "delete" if self.after is None else "change"
        return f"{verb} {objects.label(self.item)}"

    def diff(self) -> dict[str, str]:
        """Return the change as Ansible's diff."""
        before, after = _text(self.before), _text(self.after)
        if self.item["kind"] == "Secret":
            before = before and f"(old) {_HIDDEN}"
            after = after and f"(new) {_HIDDEN}"
        name = objects.label(self.item)
        return {"before_header": name, "after_header": name, "before": before, "after": after}


class Result(NamedTuple):
    """What was changed, the objects that are being deleted and stay for the time being, and those
    that are not wanted and stay for nodes.
    """

    changes: list[Change]
    ending: list[Item]
    staying: list[Item]


class Scope(NamedTuple):
    """What a run is about.

    kinds: what is of these, ours and not wanted is removed; later: of these, nothing is made or
    changed this time; leaving: nodes that are to have no pods of DaemonSets, for which no more of
    these is changed than is needed; declared: names of networks, and what is there of others
    stays; None: it goes; access_stays: whether rights of nodes stay.
    """

    kinds: Collection[str]
    later: Collection[str] = ()
    leaving: Collection[str] = ()
    declared: Collection[str] | None = None
    access_stays: bool = False


def bring_about(
    api: Admin,
    wanted: Sequence[Item],
    scope: Scope,
    *,
    check_mode: bool = False,
    patience: Patience = PATIENCE,
) -> Result:
    """Make the objects with our label be the wanted ones (objects.objects() makes them); return
    what came of it. Raises AdminError.
    """
    found = {kind: _ours(api, kind) for kind in scope.kinds}
    there = {objects.path(item): item for items in found.values() for item in items or ()}
    paths = {objects.path(item) for item in wanted}
    if scope.access_stays:
        _refuse_for_some(paths, there, scope.declared or ())
    run = _Run(api, scope, check_mode, patience)
    for path, item in there.items():
        if path not in paths and not (wanted and objects.stays(item)):
            run.remove(item)
    for item in wanted:
        is_unknown = item["kind"] in objects.OPTIONAL and found[item["kind"]] is None
        if item["kind"] not in scope.later and not is_unknown:
            run.make(item, there.get(objects.path(item)))
    return run.result


class _Run:
    """One run, and what came of it so far."""

    def __init__(self, api: Admin, scope: Scope, check_mode: bool, patience: Patience) -> None:
        self._api, self._scope = api, scope
        self._check_mode, self._patience = check_mode, patience
        self.result = Result([], [], [])

    def remove(self, item: Item) -> None:
        """Take away an object of ours that is not wanted, where nothing of others goes with it."""
        changes, ends, staying = self.result
        if not (ending.is_ending(item) or _may_go(self._api, item)):
            return
        network = item["metadata"]["labels"].get(objects.NETWORK_LABEL)
        declared = self._scope.declared
        is_undeclared = network and declared is not None and network not in declared
        if is_undeclared or (self._scope.access_stays and item["kind"] in objects.ACCESS):
            staying.append(item)
            return
        if not ending.is_ending(item):
            changes.append(Change(item, item, None))
        elif item["kind"] != "DaemonSet":
            ends += [item] if ending.waits(item) else []
            return
        if not self._check_mode:
            ends += _delete(self._api, item, self._patience)

    def make(self, item: Item, before: Item | None) -> None:
        """Make or change a wanted object. before: what is there of it with our label."""
        changes = self.result.changes
        path = objects.path(item)
        before = before or self._api.get(path)
        if _is_of_others(before):
            return
        if ending.is_ending(before):  # what is written into it would go with it
            if self._check_mode:
                changes.append(Change(item, None, item))
                return
            _wait_until_gone(self._api, path, self._patience)
            before = None
        if item["kind"] == "DaemonSet":
            network = item["metadata"]["labels"][objects.NETWORK_LABEL]
            if self._scope.leaving and (before is None or guards.selects(before, network)):
                return  # its pods leave by the label; the rest is for a run that deploys
            if before:
                changes += self._mark_nodes(before, network)
        after = _apply(self._api, item, before, self._check_mode)
        if _clean(before) != _clean(after):
            changes.append(Change(item, before, after))
        if item["kind"] == "CustomResourceDefinition" and not self._check_mode:
            _wait_until_served(self._api, item, self._patience)

    def _mark_nodes(self, before: Item, network: str) -> list[Change]:
        """Give the nodes on which flanneld runs by a DaemonSet that names them the label by which
        the one that comes in its place selects; return what was done.
        """
        done = []
        for name in guards.former_nodes(self._api, before, network):
            path = f"/api/v1/nodes/{name}"
            node = None if name in self._scope.leaving else self._api.get(path)
            found = guards.added(node, network) if node else None
            if not node or not found:
                continue
            labels = {**(node["metadata"].get("labels") or {}), **found[0]["metadata"]["labels"]}
            after = {**node, "metadata": {**node["metadata"], "labels": labels}}
            marked = after if self._check_mode else self._api.patch(path, found[0])
            done.append(Change(node, node, marked))
        if done and not self._check_mode:
            # the controller of DaemonSets sees nodes on another watch: one whose label it had not
            # seen would lose its pod for a moment
            self._patience.sleep(_WATCHED)
        return done


def _refuse_for_some(
    wanted: Collection[str], there: Mapping[str, Item], declared: Collection[str]
) -> None:
    """Raise AdminError where pods of flanneld would end on all nodes. wanted: paths; there: by
    path.
    """
    for path, item in there.items():
        network = item["metadata"]["labels"].get(objects.NETWORK_LABEL)
        if item["kind"] == "DaemonSet" and path not in wanted and network in declared:
            raise AdminError(
                f"{objects.label(item)} would end on nodes that are not in this run. Run this for"
                " all nodes, without --limit, or leave multinet_flanneld_form and"
                " multinet_kubernetes_namespace as they were."
            )


def stays(staying: Sequence[Item]) -> list[str]:
    """Return sentences on what is not wanted and stays, see Result."""
    named = {item["metadata"]["labels"].get(objects.NETWORK_LABEL) for item in staying}
    undeclared = ", ".join(sorted(filter(None, named)))
    roles = [objects.label(item) for item in staying if item["kind"] == "ClusterRole"]
    found = []
    if undeclared:
        found.append(
            f"The Kubernetes API has objects of networks that are not declared: {undeclared}. What"
            " is there of them stays, because nodes may still have them. To remove it, set"
            " multinet_prune to true in a run on all nodes."
        )
    if roles:
        found.append(
            f"{', '.join(roles)} and its policies stay, because nodes that are not in this run may"
            " still need them. A run on all nodes removes what is not needed any more."
        )
    return found


def wait_for_pods(
    api: Admin,
    wanted: Iterable[Item],
    nodes: Collection[str],
    without: Collection[str] = (),
    patience: Patience = PATIENCE,
) -> None:
    """Wait until the DaemonSets among the wanted objects have a ready pod, made as they say now, on
    each of these nodes, and none on those without. Raises AdminError, at once where a pod will not
    get ready, and else when for the timeout none came: they are replaced a few at a time.
    """
    daemon_sets = [item for item in wanted if item["kind"] == "DaemonSet"]
    missing: list[int] = []

    def problem() -> str:
        found = [one for item in daemon_sets for one in _pod_problems(api, item, nodes, without)]
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        sentence = "; ".join(one for one, dummy in found[:_SHOWN]) + more
        if any(for_good for dummy, for_good in found):
            raise AdminError(f"{sentence}. Look at it with kubectl, then run again.")
        missing.append(len(found))
        return sentence

    patience.wait(problem, 0.5, lambda: missing[-1] < min(missing[:-1], default=0))


def _pod_problems(
    api: Admin, daemon_set: Item, nodes: Collection[str], without: Collection[str]
) -> list[tuple[str, bool]]:
    """Return [(a sentence's part, whether it will stay so)]."""
    name, spec = objects.label(daemon_set), daemon_set["spec"]
    pods = pods_of(api, daemon_set)
    made_of = spec["template"]["metadata"]["annotations"][daemonset.SUM]
    here = set(ask("[].spec.nodeName", pods))
    by_node = {
        pod["spec"].get("nodeName"): pod for pod in ask(staying(daemonset.SUM, made_of), pods)
    }
    problems = [
        (f"{name} still has a pod on the node {node}", False) for node in without if node in here
    ]
    refused = "" if by_node.keys() >= set(nodes) else _why_not_made(api, daemon_set)
    for node in nodes:
        pod = by_node.get(node)
        if not ask(IS_READY, pod):
            reasons, for_good = _why(pod) if pod else (refused, False)
            problems.append((f"{name} has no ready pod on the node {node}{reasons}", for_good))
    return problems


def _why_not_made(api: Admin, daemon_set: Item) -> str:
    """Return why the last pod of a DaemonSet was not made, as its controller said, "" where it said
    nothing: a quota, a policy or a webhook may be against it.
    """
    namespace, name = (daemon_set["metadata"][key] for key in ("namespace", "name"))
    about = f"involvedObject.kind=DaemonSet,involvedObject.name={name},reason=FailedCreate"
    try:
        events = api.items(f"/api/v1/namespaces/{namespace}/events", fieldSelector=about) or []
    except AdminError:  # an account that may not read events
        return ""
    last = max(events, key=lambda event: event.get("lastTimestamp") or "", default=None)
    return f" ({last['message'].strip().rstrip('.')})" if last else ""


def _why(pod: Item | None) -> tuple[str, bool]:
    """Return why a pod does not run, and whether it will stay so."""
    waits = ask(NOT_RUNNING, pod) or []
    ends = ask(ENDED, pod) or []
    said = [": ".join(part for part in reason if part) for reason in waits]
    said += [f"its log says: {reason_in(log)}" for dummy, log in ends if log]
    for_good = any(reason in _FOR_GOOD for reason, dummy in waits) or (
        bool(waits) and any(times >= _ENDS_ENOUGH for times, dummy in ends)
    )
    return "".join(f" ({one})" for one in said), for_good


def _ours(api: Admin, kind: str) -> list[Item] | None:
    """Return what is there of a kind with our label, None where the API does not know the kind."""
    selector = f"{objects.LABEL}={objects.OWNER}"
    return api.items(objects.collection_path(kind), labelSelector=selector)


def _is_of_others(item: Item | None) -> bool:
    """Whether what is there in the place of a wanted object is not ours, and serves as it is: a
    CustomResourceDefinition does. Raises AdminError where it would not.
    """
    if item is None:
        return False
    if objects.is_ours(item):
        return item["kind"] == "CustomResourceDefinition" and _is_written_by_others(item)
    if item["kind"] in ("NetworkAttachmentDefinition", "Namespace"):
        raise AdminError(objects.is_taken(item))
    return bool(item["kind"] == "CustomResourceDefinition")


def _is_written_by_others(item: Item) -> bool:
    """Whether others have applied their manifest over ours: each would write its own texts over
    those of the other for ever.
    """
    return bool(_writers(item))


def _writers(item: Item) -> set[str]:
    """Return who has written what an object is, besides us, as the API has noted it."""
    return {
        str(one.get("manager"))
        for one in item["metadata"].get("managedFields") or []
        if one.get("manager") != FIELD_MANAGER
        and not one.get("subresource")
        and (one.get("fieldsV1") or {}).keys() - {"f:metadata", "f:status"}
    }


def _may_go(api: Admin, item: Item) -> bool:
    """Whether nothing of others would go with it: with a CustomResourceDefinition go all objects of
    its kind, and with a Namespace all that are in it.
    """
    if item["kind"] == "Namespace":
        name = item["metadata"]["name"]
        accounts = api.items(objects.collection_path("ServiceAccount", name)) or ()
        others = [one for one in accounts if one["metadata"]["name"] != "default"]
        return not api.items(f"/api/v1/namespaces/{name}/pods") and all(
            map(objects.is_ours, others)
        )
    if item["kind"] != "CustomResourceDefinition":
        return True
    spec = item["spec"]
    collection = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
    return all(objects.is_ours(other) for other in api.items(collection) or ())


def _apply(api: Admin, item: Item, before: Item | None, check_mode: bool) -> Item:
    if not check_mode:
        return api.apply(objects.path(item), item)
    try:
        return api.apply(objects.path(item), item, dryRun="All")
    except AdminError as error:
        if error.status == 404 and before is None:
            return item  # its kind or its namespace comes into being by the real run
        raise


def _delete(api: Admin, item: Item, patience: Patience) -> list[Item]:
    """Delete an object, unless it is being deleted already; return it where it stays for others'
    finalizers.
    """
    path = objects.path(item)
    if item["kind"] != "DaemonSet":
        answer = api.delete(path)
        return [{**item, "metadata": answer["metadata"]}] if answer and _stays(answer) else []
    # its pods go first, so that its end is theirs
    if not ending.is_ending(item):
        api.delete(path, propagationPolicy="Foreground")
    _wait_until_gone(api, path, patience)
    return []


def _stays(answer: Item) -> bool:
    # where it is gone, the answer is a Status, which has no such metadata
    return ending.waits({"metadata": {}, **answer})


def _wait_until_gone(api: Admin, path: str, patience: Patience) -> None:
    def problem() -> str:
        item = api.get(path)
        if item is None:
            return ""
        return ending.sentence(item) if ending.is_ending(item) else _NOT_GONE % objects.label(item)

    patience.wait(problem)


def _wait_until_served(api: Admin, definition: Item, patience: Patience) -> None:
    path = objects.path(definition)
    sentence = f"{objects.label(definition)} is not served"
    patience.wait(lambda: "" if ask(IS_ESTABLISHED, api.get(path)) else sentence)


def _clean(item: Item | None) -> Item | None:
    if item is None:
        return None
    metadata = {key: value for key, value in item["metadata"].items() if key not in _NOISE}
    return dict({key: value for key, value in item.items() if key != "status"}, metadata=metadata)


def _text(item: Item | None) -> str:
    return "" if item is None else json.dumps(_clean(item), indent=2, sort_keys=True) + "\n"
