# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Compass4nfv of 2018 calls: a shell command, its exit code and files. Nothing of ours is on
the calling side but a POSIX shell.
"""

from __future__ import annotations

import json
import pathlib
import shlex
import subprocess
import sys

import deck_server
import pytest
import yaml
from adhoc import Ansible
from declaration import BLUE
from test_compass import files
from waiting import PATIENCE

ROOT = pathlib.Path(__file__).resolve().parents[2]
KIT = ROOT / "installers" / "compass" / "multi_network"
SCRIPT = KIT / "roles" / "multi_network" / "files" / "multi_network.sh"
PLAYBOOK = pathlib.Path(sys.executable).parent / "ansible-playbook"
HOSTS = {"host1": ["kube_master", "etcd", "ha"], "host2": ["kube_node"]}
# As Compass' own Ansible sets them for what it starts.
THEIRS = {
    "ANSIBLE_CONFIG": "/var/ansible/run/kubernetes-opnfv/ansible.cfg",
    "ANSIBLE_CALLBACK_PLUGINS": "/opt/ansible_plugins/callback",
    "PYTHONPATH": "/usr/lib/python2.7/site-packages",
}


class Caller:
    """Compass' side: the directory of a run, and the one of the networks."""

    def __init__(self, directory):
        self.run = directory / "run" / "kubernetes-opnfv"
        files.run_directory(self.run, HOSTS, yaml.safe_load(files.NETWORK))
        self.directory = directory / "multi_network"
        (self.directory / "group_vars").mkdir(parents=True)
        (self.directory / "group_vars" / "all.yml").write_text("multinet_networks: []\n")

    def call(self, *arguments, **environment):
        done = subprocess.run(
            ["/bin/sh", str(SCRIPT), *map(str, arguments or [self.run])],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "MULTI_NETWORK_DIRECTORY": str(self.directory),
                **THEIRS,
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, done.stderr

    def program(self, code):
        """Have a program stand in for ansible-playbook, which ends so."""
        program = self.directory / "venv" / "bin" / "ansible-playbook"
        program.parent.mkdir(parents=True)
        seen = shlex.quote(str(self.directory / "seen"))
        program.write_text(
            f'#!/bin/sh\n{{ echo "$PWD $*"; env; }} >{seen}\necho said\nexit {code}\n'
        )
        program.chmod(0o755)

    @property
    def seen(self):
        return (self.directory / "seen").read_text().splitlines()

    @property
    def exit_code(self):
        return int((self.directory / "exit-code").read_text())


@pytest.fixture(name="caller")
def _caller(tmp_path):
    return Caller(tmp_path)


@pytest.mark.parametrize("code", [0, 2, 4])
def test_the_exit_code_is_the_programs(caller, code):
    caller.program(code)
    status, error = caller.call()
    assert status == code
    assert caller.exit_code == code
    assert (caller.directory / "log").read_text() == "said\n"
    assert ("said" in error) == (code != 0), "why it failed is in the caller's own log"


def test_nothing_of_the_callers_ansible_goes_on(caller):
    caller.program(0)
    caller.call()
    assert caller.seen[0] == f"{caller.directory} -i opnfv.compass.yml multinet.flannel.compass"
    assert not [line for line in caller.seen if line in {f"{k}={v}" for k, v in THEIRS.items()}]
    assert "ANSIBLE_CALLBACKS_ENABLED=multinet.flannel.progress" in caller.seen
    caller.call(COMPASS_STATUS_EMAIL="a@example.org")
    assert (
        "ANSIBLE_CALLBACKS_ENABLED=multinet.flannel.progress,multinet.flannel.compass_status"
        in caller.seen
    )
    assert "COMPASS_STATUS_FINAL=false" in caller.seen


def test_an_expansion(caller):
    caller.program(0)
    later = pathlib.Path(f"{caller.run}-expansion")
    files.run_directory(later, {"host3": ["kube_node"]}, yaml.safe_load(files.NETWORK))
    assert caller.call(later)[0] == 0
    assert yaml.safe_load((caller.directory / "opnfv.compass.yml").read_text()) == {
        "plugin": "multinet.flannel.compass",
        "run_directory": str(caller.run),
        "password": True,
        "expansions": [{"run_directory": str(later)}],
    }


@pytest.mark.parametrize(
    ("missing", "code", "sentence"),
    [
        ("run/kubernetes-opnfv/inventories/inventory.json", 64, "no directory of a run"),
        ("multi_network/group_vars/all.yml", 69, "declare multinet_networks in it"),
        ("multi_network/venv/bin/ansible-playbook", 69, "Install ansible-core and the collection"),
    ],
)
def test_what_is_missing_is_said(caller, tmp_path, missing, code, sentence):
    caller.program(0)
    (tmp_path / missing).unlink()
    status, error = caller.call()
    assert status == code
    assert caller.exit_code == code
    assert sentence in error


def test_called_without_a_run(caller):
    assert caller.call("a", "b")[0] == 64


def test_the_real_ansible_fails_and_all_learn_it(caller):
    """Hosts without Python: nothing is changed on this machine, which stands for both."""
    deck = deck_server.Deck(HOSTS)
    namespace = caller.directory / "collections" / "ansible_collections" / "multinet"
    namespace.mkdir(parents=True)
    (namespace / "flannel").symlink_to(ROOT, target_is_directory=True)
    (caller.directory / "group_vars" / "all.yml").write_text(
        yaml.safe_dump(
            {
                "ansible_connection": "local",
                "ansible_python_interpreter": "/nonexistent/python",
                "multinet_networks": [BLUE],
            }
        )
    )
    status, error = caller.call(
        MULTI_NETWORK_PLAYBOOK=str(PLAYBOOK),
        COMPASS_STATUS_URL=deck.url,
        COMPASS_STATUS_EMAIL=deck_server.EMAIL,
        COMPASS_STATUS_PASSWORD=deck_server.PASSWORD,
        COMPASS_STATUS_PATIENCE="20",
        no_proxy="127.0.0.1",
    )
    deck.close()
    log = (caller.directory / "log").read_text()
    assert status == 2, log
    assert "/nonexistent/python" in log
    assert "PLAY RECAP" in error
    assert deck.states == dict.fromkeys(HOSTS, "ERROR")
    assert deck.of("host1") == ["INSTALLING", "ERROR"]
    *steps, end = map(json.loads, (caller.directory / "progress").read_text().splitlines())
    assert {one["host"] for one in steps} == set(HOSTS)
    assert end["failed"]


def test_a_wrong_file_is_no_success(caller):
    (caller.run / "group_vars" / "all").write_text("ip_settings: {}\n")
    namespace = caller.directory / "collections" / "ansible_collections" / "multinet"
    namespace.mkdir(parents=True)
    (namespace / "flannel").symlink_to(ROOT, target_is_directory=True)
    status, error = caller.call(MULTI_NETWORK_PLAYBOOK=str(PLAYBOOK))
    assert status == 1, error
    assert "group_vars/all, line 1: network_cfg must be a mapping" in " ".join(error.split())


def test_the_playbook_with_another_inventory_says_so(tmp_path):
    ansible = Ansible(tmp_path, {"host": {}})
    assert ansible.playbook("multinet.flannel.compass") == 2
    assert "These hosts do not come from Compass: compass_cluster is not defined." in ansible.output


def test_what_compass_reads_is_yaml_of_its_time():
    role = KIT / "roles" / "multi_network"
    tasks = yaml.safe_load((role / "tasks" / "main.yml").read_text())
    assert [sorted(task) for task in tasks] == [["command", "environment", "name"]]
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    used = {name for name in defaults if f"{{{{ {name} }}}}" in str(tasks)}
    assert used == set(defaults)
    assert yaml.safe_load((KIT / "plugin.desc").read_text())["plugin"]["name"] == "multi_network"
