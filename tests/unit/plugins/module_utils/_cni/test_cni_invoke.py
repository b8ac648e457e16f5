# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real executables: small shell scripts."""

from __future__ import annotations

import os
import pathlib
import signal

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import errors, invoke, process
from waiting import PATIENCE, wait_for


@pytest.fixture(name="script")
def _script(tmp_path):
    def make(text, name="plugin"):
        file = tmp_path / name
        file.write_text("#!/bin/sh\n" + text, encoding="utf-8")
        file.chmod(0o755)
        return str(file)

    return make


def test_stdin_environment_and_both_outputs(script):
    stderr = []
    out = invoke.exec_plugin(
        invoke.Exec(),
        script('cat; echo "$X"; echo said >&2'),
        {"X": "y", "PATH": os.environ["PATH"]},
        b"in\n",
        seconds=PATIENCE,
        relay=stderr.append,
    )
    assert out == b"in\ny\n"
    assert stderr == [b"said\n"]


def test_more_than_a_pipe_holds(script):
    file = script("cat; cat /dev/zero | head -c 3000000 >&2")
    status, stdout, stderr = invoke.Exec().run(file, dict(os.environ), b"x" * 2000000, PATIENCE)
    assert (status, len(stdout), len(stderr)) == (0, 2000000, 3000000)


def test_one_that_hangs_is_killed_with_what_it_started(script, tmp_path):
    told = tmp_path / "child"
    file = script(f"sleep 3600 & echo $! > {told}.new; mv {told}.new {told}; wait")
    for seconds in (0.5, 5, 50):  # a busy machine has not begun with it after the first
        with pytest.raises(errors.Error) as caught:
            invoke.exec_plugin(invoke.Exec(), file, dict(os.environ), b"", seconds=seconds)
        assert caught.value.code == errors.TRY_AGAIN_LATER
        if told.exists():
            break
    status = pathlib.Path(f"/proc/{told.read_text(encoding='utf-8').strip()}/stat")

    def is_gone():
        try:
            return status.read_text(encoding="utf-8").split()[2] == "Z"
        except OSError:
            return True

    wait_for(is_gone)


def test_one_that_cannot_be_killed_does_not_keep_us(script, monkeypatch):
    """It waits in the kernel, for a disk that does not answer."""
    killed, waitpid = [], os.waitpid

    def waits(pid, options):
        assert options == os.WNOHANG  # otherwise we would wait as long
        return 0, 0

    monkeypatch.setattr(process, "_KILL_SECONDS", 0.2)
    monkeypatch.setattr(process.os, "waitpid", waits)
    monkeypatch.setattr(process.os, "killpg", lambda pid, number: killed.append(pid))
    with pytest.raises(errors.Error) as caught:
        invoke.Exec().run(script("exec sleep 3600"), dict(os.environ), b"", 0.1)
    assert caught.value.code == errors.TRY_AGAIN_LATER
    monkeypatch.undo()
    os.killpg(killed[0], signal.SIGKILL)
    waitpid(killed[0], 0)


def test_one_that_leaves_a_child_behind_does_not_keep_us(script, tmp_path):
    file = script(f"sleep 3600 & echo $! > {tmp_path}/child; echo ok")
    said = invoke.exec_plugin(invoke.Exec(), file, dict(os.environ), b"", seconds=PATIENCE)
    assert said == b"ok\n"
    # which it would not be any more after it had been waited for
    os.kill(int((tmp_path / "child").read_text(encoding="utf-8")), signal.SIGKILL)


def test_one_that_talks_without_end_is_killed(script):
    with pytest.raises(errors.Error, match="more than 16 MiB"):
        invoke.exec_plugin(
            invoke.Exec(), script("exec cat /dev/zero"), dict(os.environ), b"", seconds=PATIENCE
        )


def test_signals_and_silent_failures(script):
    with pytest.raises(errors.Error, match="signal 9"):
        invoke.exec_plugin(
            invoke.Exec(), script("kill -9 $$"), dict(os.environ), b"", seconds=PATIENCE
        )
    with pytest.raises(errors.Error) as caught:
        invoke.exec_plugin(
            invoke.Exec(),
            script("echo why >&2; exit 3"),
            dict(os.environ),
            b"",
            seconds=PATIENCE,
            relay=lambda text: None,
        )
    assert (caught.value.code, caught.value.details) == (999, "why")
    assert "exit status 3" in caught.value.msg


def test_a_file_that_is_just_being_written_is_tried_again(script, monkeypatch):
    file = script("echo ok", "busy")
    waits = []
    with open(file, "ab") as writer:

        def wait(seconds):
            waits.append(seconds)
            writer.close()

        monkeypatch.setattr(process.time, "sleep", wait)
        assert (
            invoke.exec_plugin(invoke.Exec(), file, dict(os.environ), b"", seconds=PATIENCE)
            == b"ok\n"
        )
    assert waits == [1.0]


def test_find(script, tmp_path):
    file = script("", "there")
    (tmp_path / "data").write_text("", encoding="utf-8")
    assert invoke.Exec().find("there", ["/nowhere", str(tmp_path)]) == file
    for missing in ("nothere", "data"):
        with pytest.raises(errors.Error) as caught:
            invoke.Exec().find(missing, [str(tmp_path)])
        assert missing in caught.value.msg and str(tmp_path) in caught.value.msg


def test_what_cannot_be_started_is_an_error(script):
    file = script("")
    with open(file, "w", encoding="utf-8") as text:
        text.write("#!/no/such/interpreter\n")
    with pytest.raises(errors.Error, match="cannot be started"):
        invoke.exec_plugin(invoke.Exec(), file, {}, b"", seconds=PATIENCE)


@pytest.mark.parametrize("name", ["", ".", "..", "../plugins/plugin", "/bin/sh", "plugin/"])
def test_a_plugin_is_a_file_name(script, tmp_path, name):
    script("")
    (tmp_path / "plugins").symlink_to(tmp_path)
    with pytest.raises(errors.Error, match="is not a file name") as caught:
        invoke.Exec().find(name, [str(tmp_path)])
    assert caught.value.code == errors.INVALID_CONFIGURATION
