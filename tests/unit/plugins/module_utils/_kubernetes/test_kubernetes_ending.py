# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects that others hold: by a finalizer when they are deleted, or by writing them, too."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import (
    apply,
    ending,
    objects,
)

NAD = "NetworkAttachmentDefinition"
HOLDS = "example.com/holds"
SINCE = "2026-01-01T00:00:00Z"
WAITS = f"{NAD} default/red is being deleted since {SINCE} and waits for its finalizer {HOLDS}"


def item(finalizers=(HOLDS,), deleted=True, managers=()):
    metadata = {"name": "red", "namespace": "default", "finalizers": list(finalizers)}
    if deleted:
        metadata["deletionTimestamp"] = SINCE
    metadata["managedFields"] = [
        {"manager": one, "fieldsV1": {"f:metadata": {"f:finalizers": {f'v:"{HOLDS}"': {}}}}}
        for one in managers
    ]
    return objects.labelled({"kind": NAD, "metadata": metadata})


class Api:
    """Has one object; lives: how often it is still there once it is deleted."""

    def __init__(self, found, lives=10**6):
        self.found = found
        self.lives = lives
        self.done = []

    def items(self, path, **query):
        return [self.found] if path == objects.collection_path(self.found["kind"]) else []

    def get(self, path):
        self.lives -= 1
        return self.found if self.lives >= 0 else None

    def delete(self, path, **query):
        self.done.append("delete")
        self.found = {**self.found, "metadata": {**self.found["metadata"], **item()["metadata"]}}
        return self.found

    def apply(self, path, wanted, **query):
        self.done.append("apply")
        return wanted


@pytest.mark.parametrize("check_mode", [True, False])
def test_what_is_being_deleted_is_not_deleted_again(check_mode):
    api = Api(item(managers=["argocd"]))
    found = apply.bring_about(api, [], apply.Scope([NAD]), check_mode=check_mode)
    assert found.changes == [] and api.done == []
    assert ending.warnings(found.ending) == [
        f"{WAITS} (set by argocd): whoever set it has to take it off. It is not deleted again."
    ]


def test_what_stays_after_it_was_deleted_is_told_at_once():
    api = Api(item(deleted=False))
    found = apply.bring_about(api, [], apply.Scope([NAD]))
    assert [one.what for one in found.changes] == [f"delete {NAD} default/red"]
    assert [objects.label(one) for one in found.ending] == [f"{NAD} default/red"]
    assert ending.warnings(found.ending)[0].startswith(WAITS + ": whoever")


def test_what_kubernetes_itself_holds_goes_in_a_moment():
    own = item(["foregroundDeletion"])
    assert not apply.bring_about(Api(own), [], apply.Scope([NAD])).ending
    assert ending.sentence(own).endswith(SINCE)
    crd = item(["customresourcecleanup.apiextensions.k8s.io"])
    assert ending.sentence(crd).endswith("objects of its kind are still there")


def test_what_is_wanted_again_is_made_once_it_is_gone():
    wanted = item((), deleted=False)
    now = [0.0]
    patience = apply.Patience(9, lambda: now[0], lambda pause: now.__setitem__(0, now[0] + pause))

    api = Api(item(), lives=3)
    found = apply.bring_about(api, [wanted], apply.Scope([NAD]), patience=patience)
    assert [one.what for one in found.changes] == [f"create {NAD} default/red"]
    assert api.done == ["apply"]

    api = Api(item())
    assert [
        one.what for one in apply.bring_about(api, [wanted], apply.Scope([NAD]), check_mode=True)[0]
    ] == [f"create {NAD} default/red"]
    with pytest.raises(apply.AdminError, match=WAITS):
        apply.bring_about(api, [wanted], apply.Scope([NAD]), patience=patience)
    assert api.done == []


@pytest.mark.parametrize(
    ("manager", "fields", "told"),
    [
        ("argocd-controller", {"f:spec": {}}, True),
        ("argocd-controller", {"f:metadata": {"f:labels": {}}}, False),
        ("multinet.flannel", {"f:spec": {}}, False),
        ("kubectl-edit", {"f:spec": {}}, False),
    ],
)
def test_another_program_that_writes_what_was_changed_is_named(manager, fields, told):
    before = item((), deleted=False)
    before["metadata"]["managedFields"] = [{"manager": manager, "fieldsV1": fields}]
    said = apply.Change(before, before, {**before, "spec": {}}).disputed
    name = f"{NAD} default/red is also written by argocd-controller, which may change it back"
    assert said.startswith(name) if told else said == ""
    assert apply.Change(before, before, None).disputed == ""
