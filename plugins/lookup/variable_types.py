# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: variable_types
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: Find variables of the play's hosts that have a value of a wrong kind
description:
  - Ansible accepts a string as a list, for example C(-e multinet_meta_plugin_names=multinet). Each
    letter would then be an item of the list. This lookup finds such strings.
  - It finds lists that should be mappings, and mappings that should be lists, too.
  - It checks all variables with type C(list) or C(dict) in the argument specifications of the
    roles. It skips values that cannot be templated yet.
  - Ansible knows no range of a number, and finds a wrong address only where it is used, when other
    hosts are changed already. So the lookup also checks numbers, addresses, ports and paths.
options: {}
"""

EXAMPLES = r"""
- name: Check that lists are lists
  ansible.builtin.assert:
    that: query('multinet.flannel.variable_types') | length == 0
    fail_msg: "{{ query('multinet.flannel.variable_types') | join(' ') }}"
  run_once: true
"""

RETURN = r"""
_raw:
  description: A sentence for each such variable of any host of the play. An empty list if there is
    none.
  type: list
  elements: str
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.multinet.flannel.plugins.lookup.unknown_variables import options
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.nodes import (
    check_ports,
    declared_nodes,
)
from ansible_collections.multinet.flannel.plugins.module_utils._site.numbers import (
    RANGES,
    out_of_range,
)
from ansible_collections.multinet.flannel.plugins.module_utils._site.variables import (
    PREFIX,
    check_metrics_socket,
    of_another_type,
)

_CONTAINERS: dict[str, type] = {"list": list, "dict": dict}

# What raises a ValueError with a sentence where it is read, which is on hosts or late.
CHECKS: dict[str, Callable[[Any], object]] = {
    "isolation_closed_ports": check_ports,
    "isolation_node_addresses": declared_nodes,
    "keeper_metrics_socket": check_metrics_socket,
}


def types() -> dict[str, str]:
    """Return {name of a variable: its type} of those that are checked."""
    return {
        name: option["type"]
        for name, option in options()
        if option.get("type") in ("list", "dict") or name in RANGES or name in CHECKS
    }


def refused(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the sentence of each of CHECKS that refuses a value of a host."""
    for name in sorted(set(found) & set(CHECKS)):
        for value in found[name].values():
            try:
                CHECKS[name](value)
            except ValueError as error:
                yield str(error)
                break


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[str]:
        """Return the sentences of of_another_type(), out_of_range() and refused() about all hosts
        of the play.
        """
        variables = variables or {}
        hosts = list(variables.get("ansible_play_batch", []))
        wanted = types()
        # a null takes their default away; the variables of all roles have one in its place
        defaults = {
            name for name, one in options() if "default" in one and not name.startswith(PREFIX)
        }
        found: dict[str, dict[str, Any]] = {}
        for host in hosts:
            for name, value in self._values(variables, host, wanted):
                if value is not None or name in defaults:
                    found.setdefault(name, {})[host] = value
        kinds = {
            name: kind
            for name, kind in wanted.items()
            if kind in _CONTAINERS and name not in CHECKS
        }
        return [
            *of_another_type(found, kinds, len(hosts)),
            *out_of_range(found, wanted, len(hosts)),
            *refused(found),
        ]

    def _values(
        self, variables: Mapping[str, Any], host: str, wanted: Mapping[str, str]
    ) -> Iterator[tuple[str, Any]]:
        """Yield (name, value) of the wanted variables of a host that may not be what they should:
        to work out all of all hosts would take long.
        """
        mine = host == variables.get("inventory_hostname")
        # only this host's has the defaults of roles, and what tasks and roles are given
        raw = variables if mine else variables["hostvars"].raw_get(host)
        for name, kind in wanted.items():
            if name not in raw:
                continue
            if name not in CHECKS and isinstance(raw[name], _CONTAINERS.get(kind, ())):
                continue  # its items are checked by who reads them
            if not isinstance(raw[name], str) or "{{" not in raw[name]:
                yield name, raw[name]
                continue
            try:
                yield (
                    name,
                    self._templar.template(raw[name])
                    if mine
                    else variables["hostvars"][host][name],
                )
            except Exception:  # whatever it is, who reads the variable says it
                continue
