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
    description: For a component, the URL that replaces the beginning of upstream's addresses.
    type: dict
    default: {}
  sums:
    description: Checksums of archives that are not in the table, by component, version and
      architecture. M(multinet.flannel.artifact) has an example.
    type: dict
    default: {}
"""
