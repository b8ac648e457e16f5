# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules find root's programs with the PATH of a user, whom su leaves it."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import root

MODULES = pathlib.Path(__file__).parents[5] / "plugins/modules"
# They run systemctl alone, which is no program of root's
OF_ALL = {"node_files", "node_units"}


@pytest.mark.parametrize(
    ("path", "then"),
    [
        ("/usr/bin:/bin", "/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"),
        ("/usr/sbin:/opt/bin", "/usr/sbin:/opt/bin:/usr/local/sbin:/sbin"),
        ("", "/usr/local/sbin:/usr/sbin:/sbin"),
    ],
)
def test_roots_programs_come_last(path, then):
    environ = {"PATH": path}
    root.complete_path(environ)
    assert environ == {"PATH": then}


def test_modules_that_run_programs_find_them():
    texts = {path.stem: path.read_text() for path in MODULES.glob("*.py")}
    run = {name for name, text in texts.items() if "module.run_command" in text} - OF_ALL
    assert run >= {"node_preflight", "node_removal"}
    assert run <= {name for name, text in texts.items() if "root.complete_path()" in text}
