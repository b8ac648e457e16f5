# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules find root's programs with the PATH of a user, whom su leaves it."""

from __future__ import annotations

import importlib
import os
import pathlib

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import root

MODULES = pathlib.Path(__file__).parents[5] / "plugins/modules"
# They run systemctl alone, which is no program of root's
OF_ALL = {"node_files", "node_units"}
SIGNS = ("module.run_command", "root.prepare()")
RUN_PROGRAMS = {
    path.stem
    for path in MODULES.glob("*.py")
    if any(sign in path.read_text() for sign in SIGNS) and path.stem not in OF_ALL
}


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


class Invocation:
    """Instead of AnsibleModule: without parameters, so that a module ends at the first one."""

    check_mode = True

    def __init__(self, **spec):
        self.params = {}

    def fail_json(self, **result):
        raise SystemExit

    def run_command(self, *arguments, **options):
        raise AssertionError(f"{arguments} is run before there are parameters")


@pytest.mark.parametrize("name", sorted(RUN_PROGRAMS))
def test_a_module_finds_roots_programs_before_it_looks_at_anything(name, monkeypatch):
    module = importlib.import_module(f"ansible_collections.multinet.flannel.plugins.modules.{name}")
    monkeypatch.setattr(module, "AnsibleModule", Invocation)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises((SystemExit, KeyError)):
        module.main()
    assert os.environ["PATH"] == "/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


def test_the_modules_that_run_programs():
    assert {"cni_attachment", "node_preflight", "node_status_info"} <= RUN_PROGRAMS


def test_what_could_not_be_read_is_told_with_what_to_do():
    told = root.unread(OSError(5, "Input/output error", "/var/lib/cni"))
    assert told.startswith("[Errno 5] Input/output error: '/var/lib/cni'. Is the disk full")
    assert root.unread(ValueError("It is kept as x.")) == "It is kept as x."
