# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: declaration_problems
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: Find mistakes in how the inventory writes a declaration
description:
  - Finds mistakes that the module M(multinet.flannel.network_plan) cannot find, because it gets
    only the values of one host.
  - Tasks that run once for all hosts use the variables of one host. So a variable must not have
    another value on another host, for example in host_vars. The lookup checks C(multinet_networks)
    and the variables that decide where leases come from.
  - It also finds numbers that begin with 0. YAML reads them as octal, so C(010) is 8. And it checks
    C(multinet_versions).
options:
  _terms:
    description: Names of the hosts that carry networks.
    type: list
    elements: str
    required: true
  form:
    description: How flanneld runs, C(multinet_flanneld_form).
    type: str
    choices: [units, daemonset]
    default: units
  kubernetes:
    description: Whether the hosts are nodes of Kubernetes, C(multinet_kubernetes).
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Check how the declaration is written
  ansible.builtin.assert:
    that: query('multinet.flannel.declaration_problems', *multinet_nodes) | length == 0
"""

RETURN = r"""
_raw:
  description: A sentence for each problem.
  type: list
  elements: str
"""

import linecache
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts import releases

try:
    # There is no public way to learn where a value was written
    from ansible._internal._datatag._tags import Origin
except ImportError:
    Origin = None

# What two hosts of one cluster cannot have differently
ONE_FOR_ALL = (
    "multinet_networks",
    "multinet_datastore",
    "multinet_etcd_prefix",
    "multinet_kubernetes",
    "multinet_kubernetes_namespace",
    "multinet_flanneld_form",
    "multinet_cluster_cidrs",
    "multinet_node_cidr_mask_sizes",
)
_NOT_SET = object()


def differing(hosts: list[str], hostvars: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each variable of ONE_FOR_ALL that is not the same for all hosts.

    Without the group multinet_nodes hosts may be all of the inventory, also such as have nothing to
    do with the networks: those for which no networks are declared are not looked at.
    """
    found = []
    hosts = [host for host in hosts if ONE_FOR_ALL[0] in hostvars[host]]
    for name in ONE_FOR_ALL:
        values = {host: hostvars[host].get(name, _NOT_SET) for host in hosts}
        others = [host for host in hosts if values[host] != values[hosts[0]]]
        if others:
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            found.append(
                f"{name} is not the same for {', '.join(others[:3])}{more} as for {hosts[0]}, but"
                " it must be the same for all hosts. Write it once, in group_vars/all.yml."
            )
    return found


def octal(value: Any) -> Iterator[str]:
    """Yield a sentence for each number in a value that was written with a 0 before it."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from octal(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from octal(item)
    elif isinstance(value, int) and Origin is not None:
        origin = Origin.get_tag(value)
        if origin and origin.path and origin.line_num and origin.col_num:
            line = linecache.getline(str(origin.path), origin.line_num)
            written = re.match(r"0[0-7]+\b", line[origin.col_num - 1 :])
            if written:
                yield (
                    f"{origin.path}, line {origin.line_num}: {written[0]} is {int(value)}, because"
                    " YAML reads a number that begins with 0 as octal. Write"
                    f" {written[0].lstrip('0')}, or {int(value)} if you mean that."
                )


def form_problems(form: str, kubernetes: bool) -> list[str]:
    """Return a sentence if flanneld cannot run as it is declared to."""
    if form == "units" or kubernetes:
        return []
    return [
        "multinet_flanneld_form is daemonset, but the hosts are not Kubernetes' nodes: write"
        " multinet_kubernetes: true, or multinet_flanneld_form: units."
    ]


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[str]:
        """Return the sentences of differing(), octal(), version_problems() and form_problems()."""
        hosts, hostvars = list(terms), (variables or {})["hostvars"]
        first = hostvars[hosts[0]] if hosts else {}
        return [
            *differing(hosts, hostvars),
            *octal(first.get("multinet_networks")),
            *releases.version_problems(first.get("multinet_versions", {}), releases.load_table()),
            *form_problems(kwargs.get("form", "units"), kwargs.get("kubernetes", False)),
        ]
