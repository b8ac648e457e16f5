# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What module node_preflight says of what is deployed on a host."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.modules import node_preflight


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
