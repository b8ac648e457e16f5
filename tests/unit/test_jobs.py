# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that run beside the tests, and the account of a run's time."""

from __future__ import annotations

import os
import pathlib
import time

import budget
import jobs
import pytest


@pytest.fixture(autouse=True)
def logs(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "LOGS", tmp_path)


def job(name, script, room=""):
    return jobs.Job(name=name, command=("sh", "-c", script), again=f"make {name}", room=room)


def tend_until(all_jobs, names, at_once):
    """Tend until jobs of these names have ended; return the names in the order of their end."""
    ended, end = [], time.monotonic() + 20
    while set(ended) != set(names) and time.monotonic() < end:
        ended += [one.name for one in all_jobs.tend(at_once)]
        time.sleep(0.01)
    return ended


def test_a_job_keeps_its_output_status_and_cost():
    one = job("one", "echo out; echo err >&2; exit 3")
    assert tend_until(jobs.Jobs([one], dict(os.environ)), ["one"], 1) == ["one"]
    assert one.status == 3
    assert one.log.read_text() == "out\nerr\n"
    assert one.seconds > 0 and one.cpu > 0


def test_jobs_of_a_room_run_one_at_a_time_and_others_beside_them(tmp_path):
    def alone(name):
        # fails where another of the room has not ended
        return job(name, f"mkdir {tmp_path}/room && sleep 0.3 && rmdir {tmp_path}/room", "cluster")

    first, second, beside = alone("first"), alone("second"), job("beside", "true")
    run = jobs.Jobs([first, second, beside], dict(os.environ))
    assert tend_until(run, ["first", "second", "beside"], 2) == ["beside", "first", "second"]
    assert (first.status, second.status, beside.status) == (0, 0, 0)


def test_as_many_run_as_may():
    first, second = job("first", "sleep 0.2"), job("second", "true")
    run = jobs.Jobs([first, second], dict(os.environ))
    assert tend_until(run, ["first", "second"], 1) == ["first", "second"]


def test_stop_ends_what_a_job_started_in_sessions_of_its_own_too(tmp_path):
    script = f"setsid sh -c 'echo $$ >{tmp_path}/pid; sleep 60' & wait"
    one, two = job("one", script), job("two", "true")
    one.undo = ("touch", str(tmp_path / "undone"))
    run = jobs.Jobs([one, two], dict(os.environ))
    run.tend(1)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.01)
    assert run.stop() == ["one"]
    pid = int((tmp_path / "pid").read_text())
    stat = pathlib.Path(f"/proc/{pid}/stat")
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"
    assert (tmp_path / "undone").exists()
    assert run.tend(1) == [] and two.process is None


def test_the_table_adds_up_and_says_what_nobody_measured():
    account = budget.Budget(began=time.time() - 60)
    account.add("unit", budget.Part(10, 9))
    account.add("unit", budget.Part(20.4, 21))
    account.add("scenario vlans", budget.Part(90, 45))
    rows = [line.split() for line in account.table()]
    assert rows[0] == ["part", "time", "processor"]
    assert rows[1] == ["set-up", "1:00"]
    assert rows[2] == ["unit", "0:30", "0:30"]
    assert rows[3] == ["scenario", "vlans", "1:30", "0:45"]
    assert rows[4] == ["one", "after", "the", "other", "3:00"]
    assert rows[5][:3] == ["this", "run", "1:00"]
