# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What callbacks tell of a playbook: to Compass' deck, in whatever state that is, and to a file."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys

import deck_server
import pytest
from waiting import PATIENCE, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOSTS = ("host1", "host2")
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}


class Run:
    """A directory with a playbook of two roles on two hosts, and how it is run."""

    def __init__(self, directory, deck=None):
        self.directory = directory
        self.deck = deck
        namespace = directory / "collections" / "ansible_collections" / "multinet"
        namespace.mkdir(parents=True)
        (namespace / "flannel").symlink_to(ROOT, target_is_directory=True)
        hosts = dict.fromkeys(HOSTS, LOCAL)
        (directory / "hosts.json").write_text(
            json.dumps({"all": {"hosts": hosts, "vars": {"cluster_name": "opnfv"}}})
        )

    def roles(self, **tasks):
        """tasks: role -> its tasks."""
        for role, its_tasks in tasks.items():
            (self.directory / "roles" / role / "tasks").mkdir(parents=True)
            text = json.dumps(its_tasks)
            (self.directory / "roles" / role / "tasks" / "main.yml").write_text(text)
        play = {
            "name": "Deploy",
            "hosts": "all",
            "gather_facts": False,
            "any_errors_fatal": True,
            "roles": list(tasks),
        }
        (self.directory / "site.yml").write_text(json.dumps([play]))

    def start(self, *options, callback="compass_status", **environment):
        deck = {
            "COMPASS_STATUS_URL": self.deck.url if self.deck else "http://127.0.0.1:1/api",
            "COMPASS_STATUS_EMAIL": deck_server.EMAIL,
            "COMPASS_STATUS_PASSWORD": deck_server.PASSWORD,
            "COMPASS_STATUS_PATIENCE": "100" if self.deck and not self.deck.trouble else "0.2",
            "COMPASS_STATUS_TIMEOUT": "60",
        }
        return subprocess.Popen(
            [
                pathlib.Path(sys.executable).parent / "ansible-playbook",
                "-i",
                "hosts.json",
                "site.yml",
                *options,
            ],
            cwd=self.directory,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(self.directory / "none.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(self.directory / "collections"),
                "ANSIBLE_CALLBACKS_ENABLED": f"multinet.flannel.{callback}",
                "ANSIBLE_NOCOLOR": "1",
                "no_proxy": "127.0.0.1",
                **deck,
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *options, **more):
        with self.start(*options, **more) as playbook:
            out = playbook.communicate(timeout=PATIENCE)[0]
        assert deck_server.PASSWORD not in out
        assert "Callback dispatch" not in out, out
        return playbook.returncode, out


def say(name, **more):
    return {"name": name, "ansible.builtin.debug": {"msg": name}, **more}


FAIL = {"name": "Break", "ansible.builtin.fail": {"msg": "no lease"}}


@pytest.fixture(name="deck")
def _deck():
    deck = deck_server.Deck(HOSTS)
    yield deck
    deck.close()


@pytest.fixture(name="run")
def _run(tmp_path, deck):
    return Run(tmp_path, deck)


def test_states_in_order(run, deck):
    run.roles(etcd=[say("Form the cluster")], flanneld=[say("Run flanneld"), say("Wait")])
    status, out = run.run()
    assert status == 0, out
    for host in HOSTS:
        assert deck.of(host) == ["INSTALLING", "SUCCESSFUL"]
        told = [message for name, _state, message in deck.posted if name == host]
        assert told[-1] == "done"
        assert set(told) <= {"begins", "etcd: Form the cluster", "flanneld: Run flanneld", "done"}
    assert deck.logins == 1
    assert "deck" not in out


def test_a_failure_is_the_clusters(run, deck):
    run.roles(
        etcd=[say("Form the cluster")], flanneld=[{**FAIL, "when": "inventory_hostname == 'host1'"}]
    )
    status, out = run.run()
    assert status == 2, out
    assert deck.states == {"host1": "ERROR", "host2": "ERROR"}
    assert deck.posted[-2:] == [
        ("host2", "ERROR", "stopped, because host1 failed"),
        ("host1", "ERROR", "flanneld: Break: no lease"),
    ]
    assert "SUCCESSFUL" not in deck.cluster_states, "the installer would take it for the end"


def test_what_is_rescued_is_no_failure(run, deck):
    run.roles(etcd=[{"name": "Try", "block": [FAIL], "rescue": [say("Repair")]}])
    assert run.run()[0] == 0
    assert deck.states == dict.fromkeys(HOSTS, "SUCCESSFUL")
    assert "ERROR" not in deck.cluster_states


def test_a_run_that_is_not_the_last(run, deck):
    run.roles(etcd=[say("Form the cluster")])
    assert run.run(COMPASS_STATUS_FINAL="false")[0] == 0
    assert deck.states == dict.fromkeys(HOSTS, "INSTALLING")
    assert deck.posted[-1][2] == "networks are done"


def test_a_secret_is_not_told(run, deck):
    run.roles(etcd=[{**FAIL, "ansible.builtin.fail": {"msg": "psk"}, "no_log": True}])
    assert run.run()[0] == 2
    assert deck.states == dict.fromkeys(HOSTS, "ERROR")
    assert "psk" not in str(deck.posted)


def test_check_mode_tells_nothing(run, deck):
    run.roles(etcd=[say("Form the cluster")])
    assert run.run("--check")[0] == 0
    assert deck.posted == []


WAIT = {"name": "Wait", "ansible.builtin.wait_for": {"path": "/nonexistent", "timeout": 600}}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_playbook_that_is_killed(run, deck, how):
    run.roles(etcd=[WAIT])
    with run.start() as playbook:
        wait_for(lambda: len(deck.posted) >= 2)
        os.killpg(playbook.pid, how)
        playbook.stdout.read()
    wait_for(lambda: deck.states == dict.fromkeys(HOSTS, "ERROR"))
    assert deck.posted[-1][2] == "the playbook ended before its summary"


def test_a_playbook_that_dies_of_itself(run, deck):
    run.roles(
        etcd=[say("Form"), {"name": "Go on", "ansible.builtin.include_role": {"name": "none"}}]
    )
    assert run.run()[0] != 0
    wait_for(lambda: deck.states == dict.fromkeys(HOSTS, "ERROR"))


@pytest.mark.parametrize("trouble", [401, 500])
def test_a_deck_that_refuses(run, deck, trouble):
    deck.trouble = trouble
    run.roles(etcd=[say("Form the cluster")])
    status, out = run.run()
    assert status == 0, out
    assert "The end of this run could not be reported to the deck" in out
    assert deck.posted == []


def test_a_deck_that_is_slow(run, deck):
    deck.slow = 3600
    run.roles(etcd=[say("Form the cluster")])
    status, out = run.run(COMPASS_STATUS_PATIENCE="0.2", COMPASS_STATUS_TIMEOUT="2")
    assert status == 0, out
    assert "this tries again for one more minute" in out
    assert deck.posted == [], "it was waited for"
    deck.slow = 0.0


def test_a_deck_that_comes_back(run, deck):
    deck.trouble = 503
    run.roles(etcd=[say("Form the cluster")])
    assert run.run()[0] == 0
    deck.trouble = 0
    wait_for(lambda: deck.states == dict.fromkeys(HOSTS, "SUCCESSFUL"))


def test_a_token_that_expires(run, deck):
    expired = run.directory / "expired"
    until = {"path": str(expired), "timeout": 600}
    run.roles(etcd=[WAIT | {"ansible.builtin.wait_for": until}], flanneld=[say("Run")])
    with run.start() as playbook:
        wait_for(lambda: len(deck.posted) >= 2)
        deck.tokens.clear()
        expired.touch()
        out = playbook.stdout.read()
    assert deck.states == dict.fromkeys(HOSTS, "SUCCESSFUL"), out
    assert deck.logins == 2


def test_a_deck_that_is_down(tmp_path):
    run = Run(tmp_path)
    run.roles(etcd=[say("Form the cluster")])
    status, out = run.run()
    assert status == 0, out
    assert "The end of this run could not be reported to the deck" in out


def test_a_wrong_password(run, deck):
    run.roles(etcd=[say("Form the cluster")])
    status, out = run.run(COMPASS_STATUS_PASSWORD="wrong", COMPASS_STATUS_PATIENCE="0.2")
    assert status == 0, out
    assert "The end of this run could not be reported to the deck" in out


def test_a_cluster_that_nobody_names(run, deck):
    run.roles(etcd=[say("Form the cluster")])
    hosts = dict.fromkeys(HOSTS, LOCAL)
    (run.directory / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    status, out = run.run()
    assert status == 0
    assert "Set COMPASS_STATUS_CLUSTER to its name" in " ".join(out.split())
    assert run.run(COMPASS_STATUS_CLUSTER="opnfv")[0] == 0
    assert deck.states == dict.fromkeys(HOSTS, "SUCCESSFUL")


def test_a_file_of_lines(tmp_path):
    run = Run(tmp_path)
    run.roles(etcd=[say("Form the cluster")], flanneld=[say("Run flanneld")])
    path = tmp_path / "progress"
    assert run.run(callback="progress", MULTINET_PROGRESS_FILE=str(path))[0] == 0
    *lines, end = map(json.loads, path.read_text().splitlines())
    assert end["end"] is True
    assert end["failed"] == []
    told = [(one["host"], one["state"], one["percentage"], one["message"]) for one in lines]
    assert told == [
        ("host1", "INSTALLING", 0.0, "begins"),
        ("host2", "INSTALLING", 0.0, "begins"),
        ("host1", "INSTALLING", 0.5, "etcd: Form the cluster"),
        ("host2", "INSTALLING", 0.5, "etcd: Form the cluster"),
        ("host1", "INSTALLING", 0.99, "flanneld: Run flanneld"),
        ("host2", "INSTALLING", 0.99, "flanneld: Run flanneld"),
        ("host1", "SUCCESSFUL", 1.0, "done"),
        ("host2", "SUCCESSFUL", 1.0, "done"),
    ]


def test_a_file_that_cannot_be_written(tmp_path):
    run = Run(tmp_path)
    run.roles(etcd=[say("Form the cluster")])
    status, out = run.run(callback="progress", MULTINET_PROGRESS_FILE="/nonexistent/progress")
    assert status == 0, out
    assert "The progress is not written to /nonexistent/progress: No such file" in out
