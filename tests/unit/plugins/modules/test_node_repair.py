# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What module node_repair returns; what is repaired when: _drift/test_repairs.py."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._drift.compare import Deviation
from ansible_collections.multinet.flannel.plugins.module_utils._drift.repair import Step
from ansible_collections.multinet.flannel.plugins.modules import node_repair

STEP = Step((), "flanneld@blue.service", "the device flannel.1 is down")
DEVIATION = Deviation("blue", "routes", "there is no route to 10.1.9.0/24")


class Module:
    """An AnsibleModule, and the Repairs that it asks for."""

    run_command = fail_json = staticmethod(pytest.fail)

    def __init__(self, monkeypatch, check):
        self.check_mode, self.warnings, self.result = check, ["not repaired"], {}
        self.params = dict(cni_conf="", public_ip=None, timeout=9, scope="own", unleased_for=3)
        self.steps, self.made, self.found = [STEP], [], [DEVIATION]
        monkeypatch.setattr(node_repair, "AnsibleModule", lambda **dummy: self)
        monkeypatch.setattr(node_repair.root, "complete_path", lambda: None)
        monkeypatch.setattr(node_repair.deployed, "record", lambda: {"plan": {}})
        monkeypatch.setattr(node_repair.repairs, "Repairs", self.asked)

    def asked(self, dummy, asked, more):
        assert asked == ("", "own", 9, 3)
        return self

    def make(self):
        self.made, self.steps = self.steps, []

    def warn(self, sentence):
        assert sentence == "not repaired"

    def exit_json(self, **result):
        self.result = result


@pytest.mark.parametrize("check, left", [(False, [DEVIATION.line()]), (True, [])])
def test_check_mode_repairs_nothing_and_says_what_would_be(monkeypatch, check, left):
    module = Module(monkeypatch, check)
    node_repair.main()
    assert module.result == {
        "changed": True,
        "repaired": [STEP.sentence()],
        "left": left,
        "diff": {"before": STEP.reason + "\n", "after": STEP.sentence() + "\n"},
    }
    assert module.made == ([] if check else [STEP])
