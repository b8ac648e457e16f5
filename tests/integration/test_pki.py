# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of etcd's certificates on the controller are for their owner alone, whoever made them
readable since; what else is in their directory is its owner's.
"""

from __future__ import annotations

import json
import stat

import pytest
from adhoc import Ansible


@pytest.fixture(name="ansible")
def _ansible(tmp_path):
    return Ansible(tmp_path, {"node1": {"multinet_node_address": "192.0.2.1"}})


def modes(directory):
    return {one.name: stat.S_IMODE(one.stat().st_mode) for one in directory.iterdir()}


def make(ansible, pki):
    """Make what is due, as the role etcd does before anything of a host is changed."""
    due = "multinet_etcd_members | multinet.flannel.etcd_due(multinet_pki_dir, record)"
    given = {
        "multinet_pki_dir": str(pki),
        "record": f"{pki}/members.json",
        "multinet_etcd_record": f"{pki}/members.json",
        "__etcd_due": "{{ " + due + " }}",
    }
    role = {"import_role": {"name": "multinet.flannel.etcd", "tasks_from": "pki"}}
    play = {"hosts": "node1", "gather_facts": False, "tasks": [role]}
    assert ansible.playbook([play], "-e", json.dumps(given)) == 0, ansible.output


def test_keys_that_became_readable_are_closed_again(ansible, tmp_path):
    pki = tmp_path / "pki"
    make(ansible, pki)
    names = {f"{one}.{end}" for one in ("ca", "client", "server-node1") for end in ("crt", "key")}
    names |= {".gitignore", "members.json"}
    assert modes(pki) == dict.fromkeys(names, 0o600)
    pki.chmod(0o755)
    for name in names - {".gitignore"}:
        (pki / name).chmod(0o644)
    make(ansible, pki)
    assert modes(pki) == dict.fromkeys(names, 0o600)
    assert stat.S_IMODE(pki.stat().st_mode) == 0o700
    assert (pki / ".gitignore").read_text() == "*\n"
    # from now on the directory is for more
    theirs = {"site.crt": 0o644, "run.sh": 0o755, "server-web.key": 0o640, ".gitignore": 0o644}
    for name, mode in theirs.items():
        (pki / name).write_text("theirs")
        (pki / name).chmod(mode)
    pki.chmod(0o755)
    make(ansible, pki)
    assert "changed=0" in ansible.output
    assert modes(pki) == {**dict.fromkeys(names, 0o600), **theirs}
    assert stat.S_IMODE(pki.stat().st_mode) == 0o755
    assert (pki / ".gitignore").read_text() == "theirs"
