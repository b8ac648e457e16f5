# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import pathlib

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.filter import etcd, inventory

GROUPS = {"all": ["node1"]}
HOSTVARS = {"node1": {"multinet_node_address": "192.0.2.11"}}


@pytest.mark.parametrize(
    "text, told",
    [
        ('[{"name": "node1", "address": "192.0.2.11"}]', ""),
        ("[]", ""),
        ('[{"name": "gone", "address": "192.0.2.9"}]', "etcd would move from gone to node1"),
        ("[{", "is not a list of etcd members. Remove it"),
        ("null", "is not a list of etcd members. Remove it"),
        ('{"name": "node1"}', "is not a list of etcd members. Remove it"),
        ('["node1"]', "is not a list of etcd members. Remove it"),
        ('[{"name": "node1"}]', "is not a list of etcd members. Remove it"),
    ],
)
def test_a_record_of_members_that_does_not_serve_is_told(
    tmp_path: pathlib.Path, text: str, told: str
) -> None:
    record = tmp_path / "members.json"
    record.write_text(text)
    found = inventory.inventory_problems(GROUPS, HOSTVARS, [], ["node1"], str(record))
    assert len(found) == bool(told) and told in "".join(found), found
    if told:
        with pytest.raises(AnsibleFilterError, match=told):
            etcd.etcd_members(GROUPS, HOSTVARS, record=str(record))


def member(name: str, address: str = "192.0.2.1") -> dict[str, str]:
    return {"name": name, "address": address}


@pytest.mark.parametrize(
    "known, declared, prune, due, recorded",
    [
        ("abc", "abc", False, False, "abc"),
        ("abc", "cba", False, False, "cba"),
        ("", "a", False, True, "a"),
        ("a", "abc", False, True, "abc"),
        # the run is going to be refused: what it would take out is still there
        ("abc", "c", False, False, "cab"),
        ("abc", "cd", False, True, "cdab"),
        ("abc", "c", True, True, "c"),
    ],
)
def test_members_that_leave_stay_recorded_until_they_may(
    tmp_path: pathlib.Path, known: str, declared: str, prune: bool, due: bool, recorded: str
) -> None:
    record = tmp_path / "members.json"
    if known:
        record.write_text(json.dumps([member(name) for name in known]))
    found = etcd.etcd_due(
        [member(name) for name in declared], str(tmp_path), str(record), tls=False, prune=prune
    )
    assert found["record"] is due
    assert [one["name"] for one in found["members"]] == list(recorded)


def test_another_address_is_recorded(tmp_path: pathlib.Path) -> None:
    (tmp_path / "members.json").write_text(json.dumps([member("a")]))
    moved = [member("a", "192.0.2.2")]
    found = etcd.etcd_due(moved, str(tmp_path), str(tmp_path / "members.json"), tls=False)
    assert found["record"] and found["members"] == moved


def test_a_key_in_another_form_is_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / "client.key").write_bytes(b"\x30\x82")
    with pytest.raises(AnsibleFilterError, match="Write it in PEM form"):
        etcd.etcd_pki_files({"client.key": str(tmp_path / "client.key")}, "/etc/multinet/pki")


def test_a_record_of_members_that_cannot_be_read_is_told(tmp_path: pathlib.Path) -> None:
    found = inventory.inventory_problems(GROUPS, HOSTVARS, [], ["node1"], str(tmp_path))
    assert found == [
        f"The record of the etcd members {tmp_path} can't be read on the controller: Is a"
        " directory. Let the user who runs Ansible read it."
    ]
