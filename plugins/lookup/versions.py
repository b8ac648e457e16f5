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
  - Reads the collection's table of versions and checksums,
    C(plugins/plugin_utils/_artifacts/releases.yml).
options:
  _terms:
    description: Mappings of components to versions that replace the defaults. Later mappings
      override earlier ones.
    type: list
    elements: dict
"""

EXAMPLES = r"""
- name: Show the versions with another flannel and the defaults of all other components
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
