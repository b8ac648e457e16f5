# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A removal comes to its end where a disk is mounted in what goes, as one for etcd's data is."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

REMOVE = """
import os, sys
from ansible_collections.multinet.flannel.plugins.module_utils._node import removal
for step in removal.path_steps(sys.argv[1:]):
    step.act()
for top, names, files in os.walk(os.path.dirname(sys.argv[1])):
    print(top, *files)
print(removal.path_steps(sys.argv[1:]))
"""
MOUNT = """
mount -t tmpfs none "$4/our data/etcd"
mkdir -p "$4/our data/etcd/member/wal"
touch "$4/our data/etcd/member/db"
exec "$1" "$2" "$3" "$4/our data" "$4/link"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_of_what_is_mounted_the_content_goes(tmp_path: pathlib.Path) -> None:
    for name in ("our data/etcd", "our data/previous/etcd", "theirs"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "theirs/kept").touch()
    (tmp_path / "our data/link").symlink_to("../theirs")
    (tmp_path / "link").symlink_to("theirs")
    arguments = [sys.executable, "-c", REMOVE, str(tmp_path)]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", MOUNT, "sh", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert sorted(done.stdout.splitlines()) == sorted(
        [
            str(tmp_path),
            f"{tmp_path}/our data",
            f"{tmp_path}/our data/etcd",
            f"{tmp_path}/theirs kept",
            "[]",
        ]
    ), done.stderr
