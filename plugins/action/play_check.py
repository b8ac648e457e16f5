# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""multinet.flannel.play_check: ends a play that cannot go well, on the controller."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

# Those that run each host by itself; others may be anybody's
APART = ("free", "host_pinned")


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_async = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        spec = {"problems": {"type": "list", "elements": "str", "default": []}}
        dummy, arguments = self.validate_argument_spec(spec)
        play = self._task.get_play()
        problems = [*_of_strategy(str(play.strategy), play.get_name()), *arguments["problems"]]
        return {
            **result,
            "changed": False,
            "problems": problems,
            **({"failed": True, "msg": " ".join(problems)} if problems else {}),
        }


def _of_strategy(strategy: str, play: str) -> list[str]:
    """Say why a play's strategy does not serve."""
    if strategy.rpartition(".")[2] not in APART:
        return []
    return [
        f"The play '{play}' has the strategy {strategy}, by which each host runs by itself. These"
        " roles do some things once for all hosts, such as certificates, and look at all hosts"
        " before they change one. Write strategy: linear in the play."
    ]
