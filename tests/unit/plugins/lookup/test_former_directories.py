# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What former versions kept among the inventory, and what a user keeps there."""

from __future__ import annotations

import pathlib

import yaml
from ansible_collections.multinet.flannel.plugins.lookup import former_directories

SETTINGS = pathlib.Path(__file__).parents[4] / "roles/multinet/defaults/main/settings.yml"


def test_what_no_user_has_said():
    settings = yaml.safe_load(SETTINGS.read_text())
    every = list(former_directories.KEPT.values())
    assert former_directories.names(settings) == every
    mine = {**settings, "multinet_report_dir": "{{ inventory_dir }}/multinet-report"}
    assert former_directories.names(mine) == every[1:]
    assert former_directories.names({**settings, "multinet_controller_dir": "/srv"}) == []


def test_those_that_are_there(tmp_path):
    (tmp_path / "multinet-pki").mkdir()
    (tmp_path / "multinet-report").write_text("")
    found = former_directories.LookupModule().run([str(tmp_path)], {})
    assert found == [str(tmp_path / "multinet-pki")]
    assert former_directories.LookupModule().run([""], {}) == []
