# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: versions
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: The version of each component that is installed by default
description:
  - Reads the collection's one table of versions and sums,
    C(plugins/plugin_utils/_artifacts/releases.yml).
options: {}
"""

EXAMPLES = r"""
- name: Use another flannel, and of everything else the default
  ansible.builtin.import_playbook: multinet.flannel.site
  vars:
    multinet_versions: "{{ lookup('multinet.flannel.versions') | combine({'flannel': '0.27.3'}) }}"
"""

RETURN = r"""
_raw:
  description: One mapping, the version of each component by its name.
  type: list
  elements: dict
  sample: [{cni-plugins: 1.9.1, etcd: 3.6.14}]
"""

from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts import releases


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, str]]:
        return [releases.default_versions(releases.load_table())]
