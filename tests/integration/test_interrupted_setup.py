# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""scripts/setup.py: what an interrupted run leaves behind."""

from __future__ import annotations

import pathlib
import subprocess
import sys

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"


def test_a_root_file_system_with_what_debootstrap_mounted(tmp_path, monkeypatch):
    """It goes, and what was mounted in it stays as it is."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import setup

    sys.modules.pop("setup")
    tree, mine = tmp_path / "image.tar.root.x", tmp_path / "mine"
    (tree / "proc").mkdir(parents=True)
    (tree / "dev").mkdir()
    mine.mkdir()
    (mine / "file").touch()
    subprocess.run(["mount", "-t", "proc", "proc", str(tree / "proc")], check=True)
    subprocess.run(["mount", "--bind", str(mine), str(tree / "dev")], check=True)
    setup.remove_root(tree)
    assert not tree.exists()
    assert (mine / "file").exists()
