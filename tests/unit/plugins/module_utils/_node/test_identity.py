# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machine this is, and whose data lies on it."""

from __future__ import annotations

import json

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import identity


def test_a_machine_says_the_same_under_every_name_and_another_one_says_something_else(tmp_path):
    assert identity.look() == identity.look()
    for name in ("one", "two"):  # containers of one image, on one kernel
        (tmp_path / name / "etc").mkdir(parents=True)
        (tmp_path / name / "etc/machine-id").write_text("0123456789abcdef\n")
    machines = {identity.look(f"{tmp_path / name}/")["machine"] for name in ("one", "two")}
    assert len(machines) == 2


def test_a_member_is_there_with_its_data_alone(tmp_path):
    etc, data = tmp_path / "etc/multinet", tmp_path / "var/lib/multinet/etcd"
    (etc / "pki").mkdir(parents=True)
    nothing = {"member": None, "ca": None, "deployed_as": None}
    assert dict(identity.look(f"{tmp_path}/"), machine="") == {"machine": "", **nothing}
    (etc / "etcd.env").write_text("ETCD_NAME=etcd1\nETCD_DATA_DIR=/var/lib/multinet/etcd\n")
    assert identity.look(f"{tmp_path}/")["member"] is None
    (data / "member/wal").mkdir(parents=True)
    (data / "member/wal/0-0.wal").write_text("")
    (etc / "pki/ca.crt").write_text("certificate")
    (etc / "deployed.json").write_text(json.dumps({"plan": {"networks": []}, "host": "node1"}))
    found = identity.look(f"{tmp_path}/")
    assert (found["member"], found["deployed_as"]) == ("etcd1", "node1") and found["ca"]
    (etc / "deployed.json").write_text(
        json.dumps({"plan": {"networks": []}})
    )  # of an older version
    assert identity.look(f"{tmp_path}/")["deployed_as"] is None


def test_settings_of_etcd_that_cannot_be_read_are_not_taken_for_no_member(tmp_path):
    (tmp_path / "etc/multinet/etcd.env").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        identity.look(f"{tmp_path}/")
