# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: former_directories
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: Find directories that former versions created beside the inventory
description:
  - Former versions kept reports, manifests, executables and certificates beside the inventory,
    where Ansible reads them as inventory. This lookup returns those that still exist, so that they
    can be moved.
  - Directories that the user set by a variable are not returned.
options:
  _terms:
    description: The directory of the inventory. Without it, nothing is returned.
    required: true
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Show them
  ansible.builtin.debug:
    msg: "{{ query('multinet.flannel.former_directories', inventory_dir) }}"
"""

RETURN = r"""
_raw:
  description: The directories that exist. That of the certificates is last.
  type: list
  elements: str
"""

import os
from collections.abc import Mapping
from typing import Any

from ansible.plugins.lookup import LookupBase

ALL = "multinet_controller_dir"
# As long as one is there, all are looked for there: so the certificates go last
KEPT = {
    "multinet_report_dir": "multinet-report",
    "multinet_manifest_dir": "multinet-manifests",
    "multinet_artifact_dir": "multinet-artifacts",
    "multinet_pki_dir": "multinet-pki",
}


def names(variables: Mapping[str, Any]) -> list[str]:
    """Return the names of the directories that no user has said the place of.

    variables: as they are written; the role's own values follow from each other.
    """
    if "__multinet_former_dir" not in str(variables.get(ALL, "__multinet_former_dir")):
        return []
    return [name for variable, name in KEPT.items() if ALL in str(variables.get(variable, ALL))]


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[str]:
        """Return the directories."""
        paths = [
            os.path.join(str(term), name)
            for term in terms
            if term
            for name in names(variables or {})
        ]
        return [path for path in paths if os.path.isdir(path)]
