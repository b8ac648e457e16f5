# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What module pod_interfaces_info says where the host was not compared with what was deployed."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._drift import commands
from ansible_collections.multinet.flannel.plugins.module_utils._node import deployed
from ansible_collections.multinet.flannel.plugins.modules import pod_interfaces_info


class Module:
    """AnsibleModule, as far as it is used."""

    params: t.ClassVar = {
        "plan": {"networks": []},
        "host": "h1",
        "node_name": None,
        "mode": "active",
        "cni_conf": "",
        "state_dirs": [],
        "runtime_dir": "",
    }

    def __init__(self, **dummy):
        Module.said = None

    def get_bin_path(self, *dummy, **more):
        pass

    def exit_json(self, **said):
        Module.said = said


@pytest.mark.parametrize(
    ("error", "is_gap"),
    [
        (deployed.DeployedError("Its record is damaged."), False),
        (commands.ObserveError("systemctl cannot be run."), True),
        (PermissionError(13, "Permission denied"), True),
    ],
)
def test_a_host_that_was_not_compared_is_a_gap(monkeypatch, error, is_gap):
    """In a note, it would leave the verdict green."""

    def fail(*dummy):
        raise error

    monkeypatch.setattr(pod_interfaces_info, "AnsibleModule", Module)
    monkeypatch.setattr(pod_interfaces_info.root, "prepare", lambda: "")
    monkeypatch.setattr(pod_interfaces_info, "gather", lambda *dummy, **more: {"problems": ["one"]})
    monkeypatch.setattr(pod_interfaces_info.deployed, "record", fail)
    pod_interfaces_info.main()
    said = [f"What is not as deployed on this host could not be looked at. {error}"]
    notes, gaps = ([], said) if is_gap else (said, [])
    assert Module.said["drift"] == {"deviations": [], "failed_to_look": notes}
    assert Module.said["problems"] == ["one", *gaps]


@pytest.mark.parametrize("mode", ["static", "passive", "active"])
@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ({"devices": None}, "its tables (inet multinet, bridge multinet) are not in the kernel"),
        ({"ports": None}, "its tables (inet multinet, bridge multinet) are not in the kernel"),
        ({"devices": ["mn-blue"]}, "it does not have flannel.1"),
        ({"unreadable": "nft cannot be run"}, "nft cannot be run"),
        ({}, ""),
    ],
)
@pytest.mark.parametrize("record", [None, deployed.DeployedError("The record is lost.")])
def test_a_guard_that_nothing_has_shown_is_a_gap(monkeypatch, mode, seen, why, record):
    """Cells show it in active mode, the comparison with what was deployed in others."""
    plan = {"networks": [{"devices": ["mn-blue", "flannel.1"]}]}
    guard = {"unreadable": "", "devices": ["mn-blue", "flannel.1"], "ports": {}, **seen}

    def look():
        if record:
            raise record
        return record

    def problems(plan):
        monkeypatch.setattr(Module, "params", {**Module.params, "mode": mode, "plan": plan})
        pod_interfaces_info.main()
        return Module.said["problems"]

    monkeypatch.setattr(pod_interfaces_info, "AnsibleModule", Module)
    monkeypatch.setattr(pod_interfaces_info.root, "prepare", lambda: "")
    monkeypatch.setattr(pod_interfaces_info, "gather", lambda *dummy, **more: {"problems": []})
    monkeypatch.setattr(pod_interfaces_info.deployed, "record", look)
    monkeypatch.setattr(pod_interfaces_info.guard, "look", lambda dummy: guard)
    said = [f"Nothing shows that the guard keeps the networks apart here: {why}."] * bool(why)
    assert problems(plan) == said * (mode != "active")
    assert problems({**plan, "elsewhere": True}) == []
