# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who has a lock is never ended, and what is left of who is gone is."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import errors
from ansible_collections.multinet.flannel.plugins.module_utils._meta import lock
from waiting import wait_for

HOLD = """
import sys
from ansible_collections.multinet.flannel.plugins.module_utils._meta import lock
with lock.held(sys.argv[1], "cid", "eth0", float(sys.argv[2])):
    print("has it", flush=True)
    sys.stdin.read()
"""
PATIENCE = 30


@pytest.fixture(name="path")
def _path(tmp_path):
    return str(tmp_path / ".cid:eth0.lock")


@pytest.fixture(name="start")
def _start(tmp_path):
    """Return what starts an operation: it takes the lock and keeps it until its stdin ends."""
    running = []

    def start(seconds=PATIENCE):
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", HOLD, str(tmp_path), str(seconds)],
                env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return running[-1]

    yield start
    for one in running:
        one.kill()
        one.communicate()


@pytest.fixture(name="orphan")
def _orphan(path):
    """A plugin that has the lock by inheritance from an operation that is gone."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    running = subprocess.Popen(["sleep", str(PATIENCE)], pass_fds=[descriptor])
    os.close(descriptor)
    yield running
    running.kill()
    running.wait()


def has_it(running):
    return running.stdout.readline() == "has it\n"


def test_an_orphan_is_ended(tmp_path, orphan):
    with lock.held(str(tmp_path), "cid", "eth0", PATIENCE):
        pass
    assert orphan.wait(PATIENCE) < 0


def test_who_waits_for_a_file_that_is_gone_waits_for_the_new_one(path, start, orphan):
    """What an operation that has ended left behind keeps the old file."""
    waiting = start()
    wait_until_open(waiting, path)
    os.unlink(path)
    assert has_it(waiting)
    assert orphan.poll() is None


def wait_until_open(running, path):
    directory = f"/proc/{running.pid}/fd"
    wait_for(
        lambda: path in [os.path.realpath(f"{directory}/{one}") for one in os.listdir(directory)],
        running,
    )


def test_only_holders_of_the_file_that_is_waited_for_are_ended(path, start, orphan):
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    os.unlink(path)
    having = start()
    assert has_it(having)
    lock._end_orphans(descriptor, path)
    os.close(descriptor)
    having.communicate()
    assert having.returncode == 0
    assert orphan.poll() is None


def test_who_gets_the_lock_while_orphans_are_looked_for_is_not_ended(
    monkeypatch, path, start, orphan
):
    holders, having = lock._holders, []

    def late(status):
        orphan.kill()
        orphan.wait()
        having.append(start())
        assert has_it(having[0])
        return list(holders(status))

    monkeypatch.setattr(lock, "_holders", late)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    lock._end_orphans(descriptor, path)
    os.close(descriptor)
    having[0].communicate()
    assert having[0].returncode == 0


def test_a_number_is_not_killed_whose_process_has_gone(monkeypatch, path, orphan):
    def gone(pid):
        raise ProcessLookupError

    killed = []
    monkeypatch.setattr(os, "pidfd_open", gone)
    monkeypatch.setattr(os, "kill", lambda *arguments: killed.append(arguments))
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    lock._end_orphans(descriptor, path)
    os.close(descriptor)
    assert killed == []


def test_a_kernel_without_pidfd(monkeypatch, tmp_path, orphan):
    def unknown(pid):
        raise OSError(38, "ENOSYS")

    monkeypatch.setattr(os, "pidfd_open", unknown)
    with lock.held(str(tmp_path), "cid", "eth0", 4):
        pass
    assert orphan.wait(PATIENCE) < 0


def test_a_file_system_where_both_kinds_of_locks_are_one(monkeypatch, tmp_path, path):
    """NFS: the lock that is there is in the way of the other. Nobody can be told to be gone."""

    def refused(*_arguments):
        raise BlockingIOError

    monkeypatch.setattr(fcntl, "lockf", refused)
    with lock.held(str(tmp_path), "cid", "eth0", 1):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        assert not lock._is_orphaned(descriptor, path)
        os.close(descriptor)
    assert not os.path.exists(path)


@pytest.mark.parametrize("needed", [True, False])
def test_orphans_that_cannot_be_ended_are_waited_for(monkeypatch, tmp_path, orphan, needed):
    """The lock is theirs: not even who only takes away goes on without it."""

    def refused(*_arguments):
        raise PermissionError

    monkeypatch.setattr(lock, "_kill", refused)
    with (
        pytest.raises(errors.Error) as caught,
        lock.held(str(tmp_path), "cid", "eth0", 0.3, needed),
    ):
        pass
    assert caught.value.code == errors.TRY_AGAIN_LATER
