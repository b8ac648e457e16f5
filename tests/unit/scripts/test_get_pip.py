# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib
import runpy
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "scripts" / "get_pip.py"


def test_where_a_pip_does_not_run_on_a_newer_python_that_one_has_its_own(monkeypatch):
    """Debian 12's does not on Python 3.12."""
    calls = []

    def run(command, check=False, **_options):
        calls.append(command)
        done = subprocess.CompletedProcess(command, 2 if command[0] == "pip" else 0)
        if check:
            done.check_returncode()
        return done

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--no-setuptools", "pip==24.2"])
    runpy.run_path(str(SCRIPT))
    assert calls == [
        ["pip", "--python", sys.executable, "install", "pip==24.2"],
        [sys.executable, "-m", "ensurepip", "--default-pip"],
        [sys.executable, "-m", "pip", "install", "pip==24.2"],
    ]
