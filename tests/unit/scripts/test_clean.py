# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make clean` takes what its checkout made, and nothing of another one."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "scripts" / "clean.sh"
PODMAN = """#!/bin/sh
echo "$*" >> {log}
case "$*" in
*label=multinet.checkout={checkout}\\ *) echo mine-1; echo mine-2 ;;
ps*) echo theirs ;;
inspect*) printf 'mine-net\\n\\nmine-net\\n' ;;
esac
"""


@pytest.fixture(name="clean")
def _clean(tmp_path):
    """Run a copy of the script in a checkout of its own; return what podman was asked to remove."""
    checkout, log = tmp_path / "checkout", tmp_path / "log"
    (checkout / "scripts").mkdir(parents=True)
    (checkout / ".build").mkdir()
    shutil.copy(SCRIPT, checkout / "scripts")
    podman = tmp_path / "bin" / "podman"
    podman.parent.mkdir()
    podman.write_text(PODMAN.format(log=log, checkout=checkout.resolve()))
    podman.chmod(0o755)

    def run(*arguments):
        environment = dict(os.environ, PATH=f"{podman.parent}{os.pathsep}{os.environ['PATH']}")
        command = [checkout / "scripts" / "clean.sh", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        asked = [line for line in log.read_text().splitlines() if " rm " in f" {line}"]
        return done.stdout.split(), asked, (checkout / ".build").exists()

    return run


def test_it_takes_the_hosts_and_networks_of_its_checkout(clean):
    dummy, asked, is_built = clean()
    assert [line.split()[-1] for line in asked] == ["mine-2", "mine-net"]
    assert "mine-1" in asked[0] and "theirs" not in " ".join(asked) and not is_built


def test_it_says_what_it_would_take(clean, tmp_path):
    assert clean("--list") == (["mine-1", "mine-2", "mine-net"], [], True)
    machines = tmp_path / "checkout" / ".build" / "machines"
    machines.mkdir()
    (machines / "mine-arm.pid").touch()
    assert clean("--list")[0] == ["mine-1", "mine-2", "mine-net", "mine-arm"]
