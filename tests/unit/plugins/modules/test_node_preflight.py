# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What module node_preflight says of what is deployed on a host."""

from __future__ import annotations

import copy
import pathlib
import sys
import types

import pytest
from ansible_collections.multinet.flannel.plugins.modules import node_preflight

sys.path.append(str(pathlib.Path(__file__).parents[1] / "module_utils" / "_drift"))
from drift_host import HOST, PLAN

MODULE = types.SimpleNamespace(params={"cni_conf_dir": "/etc/cni/net.d"}, warn=pytest.fail)


@pytest.mark.parametrize(
    ("deployed", "in_pods", "declared", "clauses"),
    [
        ({"networks": []}, False, "units", []),
        ({"networks": []}, True, "daemonset", []),
        (None, True, "units", []),  # nothing runs yet
        ({"networks": []}, True, None, []),
        (
            {"networks": []},
            False,
            "daemonset",
            ["flanneld would run otherwise: multinet_flanneld_form from units to daemonset"],
        ),
    ],
)
def test_another_form_is_another_deployment(monkeypatch, deployed, in_pods, declared, clauses):
    monkeypatch.setattr(node_preflight.record, "in_pods", lambda dummy: in_pods)
    assert node_preflight._form(declared, deployed) == clauses


def test_what_has_drifted_is_repaired(monkeypatch):
    seen = copy.deepcopy(HOST)
    seen["links"]["flannel.1"]["up"] = False
    # a look needs the record, which knows more than the plan
    monkeypatch.setattr(
        node_preflight.drift, "_look", lambda record, *_, **__: record["plan"] and seen
    )
    assert node_preflight._drift(MODULE, {"plan": PLAN}) == [
        "flanneld@blue.service is restarted: the device flannel.1 is down"
    ]
    assert node_preflight._drift(MODULE, {"directories": []}) == []


def test_what_could_not_be_looked_at_is_looked_at_again(monkeypatch):
    def look(*dummy):
        raise node_preflight.drift.ObserveError("ip: not found.")

    monkeypatch.setattr(node_preflight.drift, "look", look)
    (sentence,) = node_preflight._drift(MODULE, {"plan": PLAN})
    assert sentence.endswith("could not be looked at. ip: not found.")
