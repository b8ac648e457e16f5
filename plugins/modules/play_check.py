#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: play_check
short_description: Fail if a play cannot succeed
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Fails if the play's strategy runs hosts independently of each other, because the collection's
    roles need all hosts in step. Fails if a role runs before one that it needs, or if a role
    without a condition is useless with this declaration. Fails also for each problem in
    O(problems).
  - Runs on the controller and contacts no host.
extends_documentation_fragment:
  - multinet.flannel.attributes
  - multinet.flannel.attributes.info
options:
  problems:
    description: Other problems that were found, one sentence each.
    type: list
    elements: str
    default: []
  emergency:
    description: Only warn of O(problems), because the play does without the inventory's variables.
    type: bool
    default: false
  role:
    description: Check only this role, and only whether it is useless with this declaration.
    type: str
  datastore:
    description: The value of C(multinet_datastore).
    type: str
    required: true
  kubernetes:
    description: The value of C(multinet_kubernetes).
    type: bool
    required: true
"""

EXAMPLES = r"""
- name: Check the names of the variables, and how the play runs
  multinet.flannel.play_check:
    problems: "{{ query('multinet.flannel.unknown_variables') }}"
    datastore: "{{ multinet_datastore }}"
    kubernetes: "{{ multinet_kubernetes }}"
  run_once: true
"""

RETURN = r"""
problems:
  description: All problems, one sentence each.
  returned: always
  type: list
  elements: str
  sample: []
"""
