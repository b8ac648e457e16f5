# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: versions
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: The version of each component that is installed
description:
  - Reads the collection's one table of versions and sums,
    C(plugins/plugin_utils/_artifacts/releases.yml).
options:
  _terms:
    description: Mappings of a component to its version, instead of the default. Those of the later
      ones win.
    type: list
    elements: dict
"""

EXAMPLES = r"""
- name: Say the versions with another flannel, and of everything else the default
  ansible.builtin.debug:
    msg: "{{ lookup('multinet.flannel.versions', {'flannel': '0.27.3'}) }}"
"""

RETURN = r"""
_raw:
  description: One mapping, the version of each component by its name.
  type: list
  elements: dict
  sample: [{cni-plugins: 1.9.1, etcd: 3.6.14}]
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts import releases


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, str]]:
        table = releases.load_table()
        versions = releases.default_versions(table)
        for term in terms:
            problems = releases.version_problems(term, table)
            if problems:
                raise AnsibleError(" ".join(problems))
            versions.update({component: str(version) for component, version in term.items()})
        return [versions]
