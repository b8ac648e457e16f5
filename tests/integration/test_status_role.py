# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role status says where its module itself fails."""

from __future__ import annotations

import json

from adhoc import Ansible

CRASHES = """#!/bin/sh
echo 'Traceback (most recent call last):' >&2
echo "KeyError: 'what nobody thought of'" >&2
exit 1
"""


def test_a_module_that_crashes_is_red_with_its_sentence(tmp_path):
    """Nothing is known of such a host, and what is known of the others is told and written."""
    python = tmp_path / "python"
    python.write_text(CRASHES, encoding="utf-8")
    python.chmod(0o755)
    written = tmp_path / "status.json"
    ansible = Ansible(tmp_path / "run", {"crashes": {"ansible_python_interpreter": str(python)}})
    status = ansible.playbook(
        [
            {
                "hosts": "all",
                "gather_facts": False,
                "vars": {"multinet_networks": [], "status_file": str(written)},
                "roles": ["multinet.flannel.status"],
            }
        ]
    )
    said = ansible.output
    assert status == 2, said
    red = said[said.index("fatal: [crashes]") :]
    assert "This host could not be looked at." in red
    assert "KeyError: 'what nobody thought of'" in red
    assert "networks of this host are not as deployed" not in said
    assert json.loads(written.read_text(encoding="utf-8"))["crashes"]["msg"]


def test_a_cluster_that_could_not_be_looked_at_is_told(tmp_path):
    written = tmp_path / "status.json"
    settings = {
        "multinet_networks": [],
        "multinet_kubernetes": True,
        "multinet_kubeconfig": str(tmp_path / "none"),
        "status_file": str(written),
    }
    play = {
        "hosts": "all",
        "gather_facts": False,
        "vars": settings,
        "roles": ["multinet.flannel.status"],
    }
    ansible = Ansible(tmp_path / "run", {"node1": {}})
    ansible.playbook([play])
    told = "The nodes of the cluster were not looked at. "
    assert told in ansible.output
    (sentence,) = json.loads(written.read_text(encoding="utf-8"))["node1"]["not_looked_at"]
    assert sentence.startswith(told) and settings["multinet_kubeconfig"] in sentence
