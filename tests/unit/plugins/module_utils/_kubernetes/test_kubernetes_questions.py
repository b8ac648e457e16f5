# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of objects of the API, of those that have everything and of those that have not."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import admin, questions


def with_condition(kind, status):
    return {
        "status": {
            "conditions": [{"type": "Other", "status": "True"}, {"type": kind, "status": status}]
        }
    }


@pytest.mark.parametrize(
    ("spec", "ranges"),
    [
        (
            {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24", "fd00::/64"]},
            ["10.0.0.0/24", "fd00::/64"],
        ),
        ({"podCIDR": "10.0.0.0/24"}, ["10.0.0.0/24"]),
        ({}, []),
        (None, []),
    ],
)
def test_pod_ranges(spec, ranges):
    assert questions.ask(questions.POD_CIDRS, {"spec": spec}) == ranges


@pytest.mark.parametrize(
    ("question", "kind"), [(questions.IS_READY, "Ready"), (questions.IS_ESTABLISHED, "Established")]
)
def test_what_serves(question, kind):
    assert questions.ask(question, with_condition(kind, "True")) is True
    for item in (with_condition(kind, "False"), {"status": {}}, {}, None):
        assert not questions.ask(question, item)


def test_why_containers_do_not_run():
    states = [
        {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
        {"running": {}},
        {"terminated": {"reason": "Error"}},
    ]
    pod = {"status": {"containerStatuses": [{"state": state} for state in states]}}
    assert questions.ask(questions.NOT_RUNNING, pod) == [
        ["ImagePullBackOff", "no such image"],
        ["Error", None],
    ]
    assert questions.ask(questions.NOT_RUNNING, {}) is None


def test_how_containers_ended():
    ended = {"restartCount": 4, "lastState": {"terminated": {"message": "no route\\n"}}}
    pod = {"status": {"containerStatuses": [ended, {"restartCount": 0, "lastState": {}}]}}
    assert questions.ask(questions.ENDED, pod) == [[4, "no route\\n"]]
    assert questions.ask(questions.ENDED, {}) is None


def test_what_stays():
    def pod(name, value, **more):
        return {"metadata": dict(more, name=name, annotations={"multinet.flannel/sum": value})}

    pods = [pod("a", "1"), pod("b", "2"), pod("c", "1", deletionTimestamp="now"), {"metadata": {}}]
    found = questions.ask(questions.staying("multinet.flannel/sum", "1"), pods)
    assert questions.ask(questions.NAMES, found) == ["a"]


@pytest.mark.parametrize("package", ["kubernetes", "jmespath"])
def test_a_package_that_is_missing_is_said_at_the_start(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(admin.AdminError, match=f"The Python package {package} is missing on the"):
        admin.Admin("/kubeconfig")
