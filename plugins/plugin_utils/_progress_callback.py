# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible calls, as what a Progress wants to know."""

from __future__ import annotations

import abc
from typing import Any

from ansible import constants, context
from ansible.plugins.callback import CallbackBase

from ._progress import Progress

# The task that Ansible puts before a role with options is no step of it.
VALIDATION = ("validate_argument_spec", "ansible.builtin.validate_argument_spec")
OURS = "multinet.flannel."


class ProgressCallback(CallbackBase):
    """The base of callbacks that tell how far hosts are. Nothing that it does fails a playbook."""

    CALLBACK_VERSION = 2.0

    def __init__(self) -> None:
        super().__init__()
        self._progress = Progress(self.tell)
        self._begun = False

    @abc.abstractmethod
    def begin(self, variables: dict[str, Any]) -> None:
        """The first play begins. variables: of its first host."""

    @abc.abstractmethod
    def tell(self, telling: dict[str, Any]) -> None:
        """Pass a telling on."""

    def final(self) -> bool:
        """Return whether success of this run is success of the hosts."""
        return True

    @abc.abstractmethod
    def finish(self, failed: list[str]) -> None:
        """All is told. failed: names of the hosts that did not get to the end."""

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """See CallbackBase."""
        self._progress.playbook(
            sum(_tasks(block) for play in playbook.get_plays() for block in play.compile())
        )

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """See CallbackBase."""
        if context.CLIARGS.get("check"):
            return
        manager = play.get_variable_manager()
        inventory = manager._inventory  # there is no other way to the hosts of a play
        hosts = inventory.get_hosts(play.hosts)
        if hosts and not self._begun:
            self._begun = True
            self.begin(manager.get_vars(host=hosts[0], include_hostvars=False))
        self._progress.play([host.get_name() for host in hosts])

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """See CallbackBase."""
        self._progress.task()

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """See CallbackBase."""
        if self._begun and task._role and task.action not in VALIDATION:
            self._progress.host(host.get_name(), _role(task), task.name)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """See CallbackBase."""
        self._reason(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """See CallbackBase."""
        self._reason(result)

    def _reason(self, result: Any) -> None:
        task = result._task
        name = f"{_role(task)}: {task.name}" if task._role else task.name
        self._progress.failed(result._host.get_name(), name, result._result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """See CallbackBase."""
        if self._begun:
            failed = sorted({*stats.failures, *stats.dark})
            self._progress.end(failed, self.final())
            self.finish(failed)


def _role(task: Any) -> str:
    """Return the name of a task's role; those of this collection are known without its name."""
    return str(task._role.get_name()).removeprefix(OURS)


def _tasks(block: Any) -> int:
    """Return how many tasks a block has, without Ansible's own between the roles."""
    count = 0
    for one in block.block:
        if hasattr(one, "block"):
            count += _tasks(one)
        elif one.action not in constants._ACTION_META:
            count += 1
    return count
