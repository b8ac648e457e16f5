# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Importing this makes the collection of this checkout, and what its tests share, importable."""

from __future__ import annotations

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
TREE = ROOT / ".build" / "tree" / "ansible_collections" / "multinet"
TREE.mkdir(parents=True, exist_ok=True)
if not (TREE / "flannel").exists():
    (TREE / "flannel").symlink_to(ROOT, target_is_directory=True)
sys.path[:0] = [str(one) for one in (TESTS / "integration", TESTS, TREE.parent.parent)]
