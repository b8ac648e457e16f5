# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option of modules that work by the plan."""

from __future__ import annotations


class ModuleDocFragment:
    """The whole plan."""

    DOCUMENTATION = r"""
options:
  plan:
    description: The plan, as the filter P(multinet.flannel.plan#filter) returns it.
    type: dict
    required: true
"""
