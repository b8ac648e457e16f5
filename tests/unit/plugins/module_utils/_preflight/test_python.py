# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python of the collection's own programs is where their units see it, and new enough."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._preflight import python
from ansible_collections.multinet.flannel.plugins.module_utils._preflight.python import Seen

GOOD = Seen(("/usr/bin/python3.12", "/usr"), (3, 12, 1))


@pytest.mark.parametrize(
    ("path", "seen", "why"),
    [
        ("/usr/bin/python3", GOOD, ""),
        ("/homes/bin/python3", GOOD, ""),
        ("python3", GOOD, "is no absolute path without blanks"),
        ("/opt/my python/bin/python3", GOOD, "is no absolute path without blanks"),
        ("/usr/bin/python3", GOOD._replace(version=(3, 6, 8)), "is Python 3.6.8 on this host"),
        ("/opt/none", Seen(problem="is not on this host"), "is not on this host"),
        ("/home/u/venv/bin/python", GOOD, "is below /home, where units of systemd see nothing"),
        (
            # a virtual environment of uv's
            "/opt/venv/bin/python",
            GOOD._replace(paths=("/root/.local/share/uv/python/bin/python3.12", "/root/.local")),
            "needs /root/.local/share/uv/python/bin/python3.12, which is below /root, where units"
            " of systemd see nothing",
        ),
        (
            # one whose executable is a copy
            "/opt/venv/bin/python",
            GOOD._replace(paths=("/opt/venv/bin/python", "/home/u/.pyenv/versions/3.12")),
            "needs /home/u/.pyenv/versions/3.12, which is below /home, where units of systemd see"
            " nothing",
        ),
    ],
)
def test_what_cannot_run_the_programs(path, seen, why):
    told = python.problem(path, seen)
    assert bool(told) == bool(why)
    assert not why or f"Ansible's modules), which {why}. Set multinet_python to" in told


def test_what_is_there(tmp_path):
    mine = tuple(sys.version_info[:3])
    assert python.look(sys.executable).version == mine
    other = tmp_path / "python"
    other.symlink_to(sys.executable)
    assert python.look(str(other)).version == mine
    for name, text, told in (
        ("broken", "no program", "cannot be run on this host (Exec format error)"),
        ("old", "#!/bin/sh\necho no Python", "does not say on this host which Python it is"),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
        assert python.look(str(tmp_path / name)).problem == told
    assert python.look(str(tmp_path / "none")).problem == "is not on this host"
