# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: unknown_variables
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: Variables of the host that no role of the collection knows
description:
  - Ansible takes a misspelt variable for one that nobody reads, and the default holds. This finds
    those that begin like the collection's own, C(multinet_).
  - The known names are those in the argument specification of the role
    P(multinet.flannel.multinet#role), and those that it derives.
options: {}
"""

EXAMPLES = r"""
- name: Check the names of the variables
  ansible.builtin.assert:
    that: query('multinet.flannel.unknown_variables') | length == 0
    fail_msg: "{{ query('multinet.flannel.unknown_variables') | join(' ') }}"
"""

RETURN = r"""
_raw:
  description: A sentence for each unknown variable, with the nearest known name; an empty list if
    there is none.
  type: list
  elements: str
"""

import pathlib
from typing import Any

from ansible.plugins.lookup import LookupBase
from ansible_collections.multinet.flannel.plugins.module_utils._plan.sentences import closest

PREFIX = "multinet_"
ROLE = pathlib.Path(__file__).resolve().parent.parent.parent / "roles" / "multinet"


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[str]:
        """Return a sentence for each unknown variable."""
        specification = self._load("meta/argument_specs.yml")["argument_specs"]["main"]["options"]
        derived = self._load("defaults/main/derived.yml")
        # without the prefix, which makes everything look alike
        known = sorted(name[len(PREFIX) :] for name in {**specification, **derived})
        unknown = sorted(
            name[len(PREFIX) :]
            for name in variables or {}
            if name.startswith(PREFIX) and name[len(PREFIX) :] not in known
        )
        return [self._sentence(name, closest(name, known)) for name in unknown]

    def _load(self, path: str) -> dict[str, Any]:
        return self._loader.load_from_file(str(ROLE / path))

    def _sentence(self, name: str, meant: str | None) -> str:
        remedy = (
            "write " + PREFIX + meant
            if meant
            else "`ansible-doc -t role multinet.flannel.multinet` has all of them"
        )
        return (
            f"There is no variable {PREFIX}{name}: {remedy}; a variable of your own needs another"
            " prefix."
        )
