# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from adhoc import Ansible


@pytest.fixture(name="ansible")
def _ansible(tmp_path):
    return Ansible(tmp_path, {"node1": {}})


def wish(place, content="A=1\n"):
    return {
        "directories": [{"path": str(place), "mode": "0750"}],
        "files": [
            {"path": str(place / "a.env"), "content": content},
            {"path": str(place / "key"), "content": "TOP-SECRET\n", "mode": "0600", "secret": True},
        ],
        "absent": [str(place / "old.env")],
    }


def test_check_write_again_change_remove(ansible, tmp_path):
    place = tmp_path / "etc"
    result = ansible.module("node_files", wish(place), "--check", "--diff")["node1"]
    assert result["changed"] and not place.exists()

    result = ansible.module("node_files", wish(place), "--diff")["node1"]
    assert result["changed_files"] == [str(place), str(place / "a.env"), str(place / "key")]
    assert (place / "a.env").read_text() == "A=1\n"
    assert oct((place / "key").stat().st_mode)[-4:] == "0600"
    assert ansible.module_calls == 1

    assert ansible.module("node_files", wish(place))["node1"]["changed"] is False

    (place / "old.env").write_text("old\n")
    result = ansible.module("node_files", wish(place, "A=2\n"), "--diff")["node1"]
    assert result["changed_files"] == [str(place / "a.env")] and result["removed"] == [
        str(place / "old.env")
    ]
    assert [(item["before"], item["after"]) for item in result["diff"]] == [
        ("A=1\n", "A=2\n"),
        ("old\n", ""),
    ]
    assert not (place / "old.env").exists()


def test_a_secret_is_shown_nowhere(ansible, tmp_path):
    result = ansible.module("node_files", wish(tmp_path / "etc"), "--diff", "-vvvv")["node1"]
    assert "A=1" in json.dumps(result)
    assert "TOP-SECRET" not in ansible.output
    # in check mode, some are not made yet: nothing to hide
    empty = wish(tmp_path / "etc")
    empty["files"][1]["content"] = ""
    result = ansible.module("node_files", empty, "--check", "--diff")["node1"]
    assert result["changed_files"] == [str(tmp_path / "etc" / "key")]
    broken = wish(tmp_path / "etc")
    broken["files"][1]["mistyped"] = "x"
    assert ansible.module("node_files", broken)["node1"]["failed"]
    assert "TOP-SECRET" not in ansible.output


def test_bad_input_is_a_sentence_and_changes_nothing(ansible, tmp_path):
    broken = wish(tmp_path / "etc")
    broken["files"][0]["mode"] = "420"
    broken["absent"] = ["/"]
    result = ansible.module("node_files", broken)["node1"]
    assert len(result["errors"]) == 2 and "write it in quotes, for example '0644'" in result["msg"]
    assert not (tmp_path / "etc").exists()


def test_nothing_is_written_before_the_roles_that_come_first(ansible, tmp_path):
    first = tmp_path / "multinet"
    needs = {str(first): "meta_plugin", f"{tmp_path}/inventory.json": "isolation"}
    given = {**wish(tmp_path / "etc"), "needs": needs}
    assert ansible.module("node_files", given, "--check")["node1"]["changed"]
    assert ansible.module("node_files", given)["node1"]["msg"] == (
        f"{first} is not on this host: run the role multinet.flannel.meta_plugin first."
    )
    assert not (tmp_path / "etc").exists()
    first.touch()
    assert ansible.module("node_files", given)["node1"]["changed"]
