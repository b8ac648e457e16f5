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
from waiting import PATIENCE, wait_for


@pytest.fixture(autouse=True)
def logs(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "LOGS", tmp_path)


def job(name, script, room=""):
    return jobs.Job(name=name, command=("sh", "-c", script), again=f"make {name}", room=room)


def tend_until(all_jobs, names, at_once):
    """Tend until jobs of these names have ended; return the names in the order of their end."""
    ended = []

    def tend():
        ended.extend(one.name for one in all_jobs.tend(at_once))
        return set(ended) == set(names)

    wait_for(tend, every=0.01)
    return ended


def test_a_job_keeps_its_output_status_and_cost():
    one = job("one", "echo out; echo err >&2; exit 3")
    assert tend_until(jobs.Jobs([one], dict(os.environ)), ["one"], 1) == ["one"]
    assert one.status == 3
    assert one.log.read_text() == "out\nerr\n"
    assert one.seconds > 0 and one.cpu > 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "  │ TASK [One]\n  │ ok: [a]\n  └─ Return code: 0 ─\n"
            "  \x1b[2m│\x1b[0m TASK [Two]\n  │ fatal: [a]: FAILED!\n  │         TASK [Inner]\n"
            "  └─ Return code: 2 ─\n  │ TASK [Destroy]\n  └─ Return code: 0 ─\n",
            "  │ TASK [Two]\n  │ fatal: [a]: FAILED!\n  │         TASK [Inner]",
        ),
        (
            "  │ TASK [Zero]\n  │ fatal: [a]: FAILED!\n  │ ...ignoring\n  └─ Return code: 0 ─\n"
            "  │ TASK [One]\n  │ ok: [a]\n  │ [ERROR]: Task failed: Why.\n"
            "  │ TASK [Two]\n  │ ok: [a]\n  └─ Return code: 2 ─\n",
            "  │ TASK [One]\n  │ ok: [a]\n  │ [ERROR]: Task failed: Why.",
        ),
    ],
    ids=["the last", "other hosts went on"],
)
def test_a_failed_scenario_is_told_by_the_task_that_failed(text, told):
    one = job("one", "")
    one.log.write_text(text)
    assert one.failure() == told


def test_of_what_is_no_scenario_the_last_lines_are_told():
    one = job("one", "")
    one.log.write_text("".join(f"{number}\n" for number in range(100)))
    assert one.failure().splitlines()[0] == "29"
    assert one.failure().splitlines()[-1] == "99"


def test_jobs_of_a_room_run_one_at_a_time_and_others_beside_them(tmp_path):
    go, room = tmp_path / "go", tmp_path / "room"

    def alone(name):
        # fails where another of the room has not ended
        script = f"mkdir {room} && until [ -e {go} ]; do sleep 0.01; done && rmdir {room}"
        return job(name, script, "cluster")

    first, second, beside = alone("first"), alone("second"), job("beside", "true")
    run = jobs.Jobs([first, second, beside], dict(os.environ))
    assert tend_until(run, ["beside"], 2) == ["beside"]
    assert first.process and not second.process
    go.touch()
    assert tend_until(run, ["first", "second"], 2) == ["first", "second"]
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
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    assert run.stop() == ["one"]
    stat = pathlib.Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")

    def is_gone():  # whoever is its parent now waits for it, or not
        try:
            return stat.read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    wait_for(is_gone)
    assert (tmp_path / "undone").exists()
    assert run.tend(1) == [] and two.process is None


def test_stop_lets_a_job_clean_up_that_has_time_for_it(tmp_path):
    ready, clean = tmp_path / "ready", tmp_path / "clean"
    script = f"trap 'touch {clean}; exit 4' TERM; touch {ready}; while :; do sleep 0.01; done"
    one = job("one", script)
    one.grace = PATIENCE
    run = jobs.Jobs([one], dict(os.environ))
    run.tend(1)
    wait_for(ready.exists)
    assert run.stop() == ["one"]
    assert clean.exists() and one.status == 4


def test_the_table_adds_up_and_says_what_nobody_measured(monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    account = budget.Budget(began=now - 60)
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
