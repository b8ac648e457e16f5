# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of modules that download upstream's releases."""

from __future__ import annotations


class ModuleDocFragment:
    """Other addresses, and sums that the table of versions does not have."""

    DOCUMENTATION = r"""
options:
  base_urls:
    description: For a component, the URL that stands in for the beginning of upstream's addresses.
    type: dict
    default: {}
  sums:
    description: Sums of archives that the table does not have, as component, version and
      architecture, see the example of M(multinet.flannel.artifact).
    type: dict
    default: {}
"""
