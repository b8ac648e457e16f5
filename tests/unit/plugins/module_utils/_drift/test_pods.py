# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

from ansible_collections.multinet.flannel.plugins.module_utils._drift import pods

LINKS = {
    "cali1": {"kind": "veth", "apart": True, "master": None, "mac": "ee:ee:ee:ee:ee:ee"},
    "end1": {"kind": "veth", "apart": True, "master": None, "mac": "02:00:00:00:00:02"},
}


def test_of_records_only_what_has_changed_is_read_again(tmp_path, monkeypatch):
    """On a host of another CNI, the ends of its pods are on no bridge of ours at each look."""
    read, content = [], pods.files.read

    def counted(path):
        read.append(path)
        return content(path)

    monkeypatch.setattr(pods.files, "read", counted)
    monkeypatch.setattr(pods, "_SYS", str(tmp_path))
    (tmp_path / "end1").mkdir()
    states = tmp_path / "states"
    states.mkdir()

    def record(name, mac):
        ends = [{"name": "mn-red", "mac": "02:00:00:00:00:01"}, {"name": "end1", "mac": mac}]
        (states / name).write_text(json.dumps({"result": {"interfaces": ends}}))

    def look():
        read.clear()
        found = pods.off_bridge(LINKS, ["mn-red"], [str(states)])
        return sorted(found), len(read)

    record("a.json", "02:00:00:00:00:02")
    (states / "b.json").write_text("{")
    assert look() == (["end1"], 2)
    assert look() == (["end1"], 0)
    record("a.json", "02:00:00:00:00:10:10")
    assert look() == ([], 1)
    (states / "a.json").unlink()
    assert look() == ([], 0)
