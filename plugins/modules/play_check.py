#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: play_check
short_description: End a play that cannot go well
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Fails where the play's strategy runs each host by itself, which the collection's roles do not
    allow for, where a role stands before one that it needs, where a role without a condition has
    nothing to do with what is declared, and for each problem that it is given.
  - Runs on the controller; no host is contacted.
extends_documentation_fragment:
  - multinet.flannel.attributes
  - multinet.flannel.attributes.info
options:
  problems:
    description: What else speaks against the play, a sentence each.
    type: list
    elements: str
    default: []
  role:
    description: Look at this role alone, and at no more than whether it has to do with what is
      declared.
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
  description: All that speaks against the play.
  returned: always
  type: list
  elements: str
  sample: []
"""
