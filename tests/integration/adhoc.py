# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run modules and playbooks of this checkout through the real ansible, against "hosts" that are
this machine (connection local).
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys

from cni_host import with_own
from waiting import PATIENCE

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# where the collection keeps what it knows of a host: not this machine's
PLACES = ("/etc/multinet", "/run/multinet", "/run/multinet-verify")
_RESULT = re.compile(
    r"^(\S+) \| (CHANGED|SUCCESS|FAILED!|UNREACHABLE!) => (\{.*?^\})", re.MULTILINE | re.DOTALL
)


class Ansible:
    """An inventory of hosts (name -> variables) below a directory, and ways to run things on it."""

    def __init__(self, directory, hosts, for_all=None):
        """for_all: variables of the group all, which the controller has as well."""
        self.directory = pathlib.Path(directory)
        namespace = self.directory / "collections" / "ansible_collections" / "multinet"
        namespace.mkdir(parents=True)
        (namespace / "flannel").symlink_to(ROOT, target_is_directory=True)
        self.inventory = self.directory / "inventory.json"
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        self.inventory.write_text(
            json.dumps(
                {
                    "all": {
                        "hosts": {name: dict(local, **values) for name, values in hosts.items()},
                        "vars": for_all or {},
                    }
                }
            )
        )
        self.output = ""

    def _run(self, program, arguments, callback="default"):
        environment = dict(
            os.environ,
            # what this checkout's own says is for people
            ANSIBLE_CONFIG=str(self.directory / "none.cfg"),
            ANSIBLE_COLLECTIONS_PATH=str(self.directory / "collections"),
            ANSIBLE_LOCALHOST_WARNING="false",
            ANSIBLE_INJECT_FACT_VARS="false",
            ANSIBLE_NOCOLOR="1",
            ANSIBLE_STDOUT_CALLBACK=callback,
            no_proxy="127.0.0.1",
        )
        command = [
            str(pathlib.Path(sys.executable).parent / program),
            "-i",
            str(self.inventory),
            *arguments,
        ]
        done = subprocess.run(
            with_own(PLACES, self.directory / "host", command),
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=5 * PATIENCE,
            check=False,
        )
        self.output = done.stdout + done.stderr
        return done.returncode

    def module(self, name, arguments, *options):
        """Run one module on all hosts; return {host: result}, "failed" always among it."""
        self._run(
            "ansible",
            [
                "all",
                "-m",
                "multinet.flannel." + name,
                "-a",
                json.dumps(arguments),
                "-vvv",
                *options,
            ],
            callback="minimal",
        )
        results = dict(self._results())
        if not results:
            raise RuntimeError(self.output)
        return results

    def modules(self, name, calls):
        """Run one module several times on the one host, in one run of ansible-playbook (the start
        of ansible takes longer than most modules); return the result of each, as `module` does.

        calls: (arguments, whether in check mode) each.
        """
        tasks = [
            {"multinet.flannel." + name: arguments, "check_mode": check, "ignore_errors": True}
            for arguments, check in calls
        ]
        play = {"hosts": "all", "gather_facts": False, "tasks": tasks}
        self._run("ansible-playbook", [self._written([play]), "-vvv"], callback="minimal")
        results = [result for dummy, result in self._results()]
        if len(results) != len(calls):
            raise RuntimeError(self.output)
        return results

    def _results(self):
        """Return (host, its result) for each result that the last run has shown."""
        return [
            (host, dict(json.loads(text), failed=status == "FAILED!"))
            for host, status, text in _RESULT.findall(self.output)
        ]

    def _written(self, plays):
        """Return the path of a new playbook."""
        path = self.directory / "playbook.json"
        path.write_text(json.dumps(plays))
        return str(path)

    def playbook(self, playbook, *options):
        """Run a playbook (its name in this collection, or its plays); return its exit status."""
        if not isinstance(playbook, str):
            playbook = self._written(playbook)
        return self._run("ansible-playbook", [playbook, *options])

    @property
    def module_calls(self):
        """How many modules the last run sent to hosts."""
        return len(re.findall(r"PUT \S+ TO \S+AnsiballZ_", self.output))
