# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: unknown_variables
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: Find misspelt variables of the play's hosts
description:
  - Ansible ignores a misspelt variable, and the default is used. This lookup finds unknown
    variables that begin with C(multinet_), and names that are similar to a variable of a role, such
    as C(isolation_node_adresses). It does not check other names.
  - It also finds a group of the inventory whose name is similar to C(multinet_nodes) or
    C(multinet_etcd), if the inventory does not have the right one.
  - Known names are those in the argument specifications of the roles, and those that the role
    P(multinet.flannel.multinet#role) derives.
options: {}
"""

EXAMPLES = r"""
- name: Check the names of the variables
  ansible.builtin.assert:
    that: query('multinet.flannel.unknown_variables') | length == 0
    fail_msg: "{{ query('multinet.flannel.unknown_variables') | join(' ') }}"
  run_once: true
"""

RETURN = r"""
_raw:
  description: A sentence for each such variable of any host of the play, with the name that was
    probably meant. An empty list if there is none.
  type: list
  elements: str
"""

import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import yaml
from ansible.plugins.lookup import LookupBase
from ansible_collections.multinet.flannel.plugins.module_utils._site.variables import (
    misspelt,
    misspelt_groups,
)

ROLES = pathlib.Path(__file__).resolve().parent.parent.parent / "roles"


# One task asks with two lookups
@functools.cache
def options() -> list[tuple[str, dict[str, Any]]]:
    """Return (name, argument specification) of the variables that roles have."""
    return [
        option
        for path in ROLES.glob("*/meta/argument_specs.yml")
        for entry in _load(path)["argument_specs"].values()
        for option in entry.get("options", {}).items()
    ]


def known() -> Iterator[str]:
    """Yield the names of the variables that roles have."""
    yield from (name for name, dummy in options())
    yield from _load(ROLES / "multinet" / "defaults" / "main" / "derived.yml")


def _load(path: pathlib.Path) -> dict[str, Any]:
    # Ansible's own loader notes where each word stands, which takes ten times as long
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[str]:
        """Return the sentences of misspelt() about all hosts of the play, and misspelt_groups()."""
        variables = variables or {}
        hosts = list(variables.get("ansible_play_batch", []))
        found = {name: set(hosts) for name in variables}
        for host in hosts:
            for name in variables["hostvars"][host]:
                found.setdefault(name, set()).add(host)
        groups = misspelt_groups(variables.get("groups", ()))
        return [*groups, *misspelt(found, known(), len(hosts))]
