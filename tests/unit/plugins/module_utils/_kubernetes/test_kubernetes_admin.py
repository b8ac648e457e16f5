# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules that act with an administrator's kubeconfig end."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import admin


class Ended(Exception):
    """How a module ended: (its result, whether it failed)."""


class Module:
    def __init__(self):
        self.params = {"kubeconfig": "/admin.conf"}

    def exit_json(self, **result):
        raise Ended(result, False)

    def fail_json(self, **result):
        raise Ended(result, True)


def ended(monkeypatch, work):
    monkeypatch.setattr(admin, "Admin", lambda kubeconfig: f"the API of {kubeconfig}")
    with pytest.raises(Ended) as end:
        admin.run(Module(), work)
    return end.value.args


@pytest.mark.parametrize(
    ("done", "result"),
    [
        (
            {"changes": [], "left": ["a/b"]},
            {"changed": False, "diff": {"before": "", "after": ""}, "left": ["a/b"]},
        ),
        (
            {"changes": ["label Node a", "label Node b"]},
            {"changed": True, "diff": {"before": "", "after": "label Node a\nlabel Node b\n"}},
        ),
        (
            {"changes": ["create Node a"], "diff": [{"before": "", "after": "a"}]},
            {"changed": True, "diff": [{"before": "", "after": "a"}]},
        ),
    ],
)
def test_what_was_done_is_returned_and_shown(monkeypatch, done, result):
    assert ended(monkeypatch, lambda dummy: done) == ({**done, **result}, False)


def test_work_is_given_the_api_and_its_error_is_the_module_s(monkeypatch):
    def work(api):
        raise admin.AdminError(f"{api} does not answer.")

    message = {"msg": "the API of /admin.conf does not answer."}
    assert ended(monkeypatch, work) == (message, True)
