# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of the networks is a problem, what may serve docker alone is none."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._preflight import runtimes
from ansible_collections.multinet.flannel.plugins.module_utils._runtime import wiring

SETTINGS = wiring.Settings("/etc/cni/net.d", "/opt/cni/bin", wiring.CONTAINERD)
FOUND = {"files": {}, "containerd": None, "crio": None, "docker_address": "", "docker_unit": ""}
ELSEWHERE = """\
[plugins."io.containerd.grpc.v1.cri".cni]
conf_dir = "/etc/other"
bin_dir = "/opt/cni/bin"
"""


@pytest.fixture(autouse=True)
def nothing_due(monkeypatch):
    monkeypatch.setattr(wiring, "due", lambda *dummy: wiring.Due({}, {}, {}, {}))
    monkeypatch.setattr(wiring, "crio_former_pods", lambda dummy: [])


@pytest.mark.parametrize("kubernetes", [True, False])
def test_a_containerd_that_reads_other_files_is_a_problem_for_kubernetes_alone(kubernetes):
    said, is_due = runtimes.judged(dict(FOUND, containerd=ELSEWHERE), SETTINGS, kubernetes)
    (sentence,) = said.problems if kubernetes else said.warnings
    assert "containerd" in sentence and not is_due
    assert (said.warnings if kubernetes else said.problems) == []


def test_what_cannot_be_wired_is_a_problem(monkeypatch):
    def due(*dummy):
        raise wiring.WiringError("It is edited by hand.")

    monkeypatch.setattr(wiring, "due", due)
    assert runtimes.judged(FOUND, SETTINGS, False) == ((["It is edited by hand."], []), False)


@pytest.mark.parametrize("crio, due", [(None, False), ([], True)])
def test_pods_that_crio_would_detach_are_a_reason_to_look(monkeypatch, crio, due):
    monkeypatch.setattr(wiring, "crio_problems", lambda *dummy: [])
    monkeypatch.setattr(wiring, "crio_former_pods", lambda dummy: ["default/web"])
    assert runtimes.judged(dict(FOUND, crio=crio), SETTINGS, True)[1] is due
