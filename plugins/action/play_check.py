# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""multinet.flannel.play_check: ends a play that cannot go well, on the controller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ansible.playbook.block import Block
from ansible.playbook.play import Play
from ansible.plugins.action import ActionBase

# Those that run each host by itself; others may be anybody's
APART = ("free", "host_pinned")
OURS = "multinet.flannel."
# The order of all_hosts.yml and each_host.yml
ORDER = (
    "preflight",
    "etcd",
    "meta_plugin",
    "kubernetes",
    "prune",
    "network_config",
    "cni_plugins",
    "isolation",
    "subnet_server",
    "flanneld",
    "runtime",
    "cni_config",
    "keeper",
)
# What a role does not find on a fresh host if it comes before these
NEEDS = {
    "network_config": ("etcd",),
    "flanneld": ("etcd", "kubernetes", "network_config", "isolation", "subnet_server"),
    "cni_config": ("meta_plugin", "cni_plugins", "flanneld"),
}
# Those that have something to do with one of the data stores alone
STORES = {"etcd": "etcd", "network_config": "etcd", "subnet_server": "kubernetes"}


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_async = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        spec = {
            "problems": {"type": "list", "elements": "str", "default": []},
            "emergency": {"type": "bool", "default": False},
            "role": {"type": "str"},
            "datastore": {"type": "str", "required": True},
            "kubernetes": {"type": "bool", "required": True},
        }
        dummy, arguments = self.validate_argument_spec(spec)
        declared = arguments["datastore"], arguments["kubernetes"]
        warnings = arguments["problems"] if arguments["emergency"] else []
        if arguments["role"]:
            problems = useless([arguments["role"]], *declared)
        else:
            play = self._task.get_play()
            problems = [
                *_of_strategy(str(play.strategy), play.get_name()),
                *([] if arguments["emergency"] else arguments["problems"]),
                *wrong_order(list(_names(play)), play.get_name()),
                *useless(_listed(play, conditional=False), *declared),
            ]
        return {
            **result,
            "changed": False,
            "problems": problems,
            **({"warnings": warnings} if warnings else {}),
            **({"failed": True, "msg": " ".join(problems)} if problems else {}),
        }


def _of_strategy(strategy: str, play: str) -> list[str]:
    """Say why a play's strategy does not serve."""
    if strategy.rpartition(".")[2] not in APART:
        return []
    return [
        f"The play '{play}' has the strategy {strategy}, with which each host runs by itself. But"
        " these roles do some things once for all hosts, such as certificates, and look at all"
        " hosts before they change one. Write strategy: linear in the play."
    ]


def wrong_order(roles: list[str], play: str) -> list[str]:
    """Say which of the play's roles comes before one that it needs; roles: in the order of the
    play.
    """
    first = {name: roles.index(name) for name in ORDER if name in roles}
    for role, needed in NEEDS.items():
        late = [name for name in needed if first.get(name, -1) > first.get(role, len(roles))]
        if late:
            return [
                f"The play '{play}' has the role {role} before {', '.join(late)}, which it needs."
                f" Write them in this order: {', '.join(first)}."
            ]
    return []


def useless(roles: Iterable[str], datastore: str, kubernetes: bool) -> list[str]:
    """Say which of these roles have nothing to do with what is declared."""
    problems = [
        f"The role {role} is for multinet_datastore: {STORES[role]}, but it is {datastore}. Leave"
        " the role out, or set multinet_datastore."
        for role in roles
        if STORES.get(role, datastore) != datastore
    ]
    if "kubernetes" in roles and not kubernetes:
        problems.append(
            "The role kubernetes is for hosts that are nodes of Kubernetes, but multinet_kubernetes"
            " is false. Leave the role out, or write multinet_kubernetes: true."
        )
    return problems


def _names(play: Play) -> Iterator[str]:
    """Yield the names of the collection's roles in the order in which the play comes to them."""
    yield from _of_blocks(play.pre_tasks)
    yield from _listed(play)
    yield from _of_blocks(play.tasks)


def _listed(play: Play, conditional: bool = True) -> list[str]:
    """Return the names of the collection's roles below `roles`; conditional: also those that have a
    `when`.
    """
    names = [
        role.get_name()
        for role in play.roles
        if not role.from_include and (conditional or not role.when)
    ]
    return [name.removeprefix(OURS) for name in names if name.startswith(OURS)]


def _of_blocks(blocks: Iterable[Any]) -> Iterator[str]:
    """Yield the names of the collection's roles that tasks import or include."""
    for item in blocks:
        if isinstance(item, Block):
            yield from _of_blocks(item.block)
            continue
        # of a task that an imported role has; of one of the play's own that includes a role
        role = getattr(item, "_role", None)
        name = role.get_name() if role else getattr(item, "_role_name", None) or ""
        if name.startswith(OURS):
            yield name.removeprefix(OURS)
