# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where measurements keep their files on a host."""

from __future__ import annotations

import multiprocessing
import os

from ansible_collections.multinet.flannel.plugins.module_utils._observe import runs_here

ROUNDS = 200


def test_the_last_measurement_leaves_no_directory(tmp_path):
    runtime_dir = str(tmp_path / "run")
    first, second = (runs_here.directory(runtime_dir, name) for name in ("one", "two"))
    locks = [runs_here.take(first, 47470), runs_here.take(second, 47471)]
    runs_here.remove(first)
    assert os.listdir(runtime_dir) == ["probe-two"]
    runs_here.remove(second)
    assert not os.path.exists(runtime_dir)
    runs_here.remove(second)  # by who comes late
    assert not os.path.exists(runtime_dir)
    for lock in locks:
        os.close(lock)


def test_what_is_not_a_measurements_stays(tmp_path):
    place = runs_here.directory(str(tmp_path), "one")
    (tmp_path / "other").touch()
    os.close(runs_here.take(place, 47470))
    runs_here.remove(place)
    assert os.listdir(tmp_path) == ["other"]


def come_and_go(runtime_dir, name, port):
    for dummy in range(ROUNDS):
        place = runs_here.directory(runtime_dir, name)
        lock = runs_here.take(place, port)
        assert os.path.exists(os.path.join(place, "port"))
        os.close(lock)
        runs_here.remove(place)


def test_one_may_begin_while_another_removes_the_directory(tmp_path):
    runtime_dir = str(tmp_path / "run")
    many = [
        multiprocessing.Process(target=come_and_go, args=(runtime_dir, f"n{port}", port))
        for port in range(3)
    ]
    for one in many:
        one.start()
    for one in many:
        one.join()
    assert [one.exitcode for one in many] == [0, 0, 0]
    assert not os.path.exists(runtime_dir)
