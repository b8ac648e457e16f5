# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode and diff mode; a module adds C(support) and, as C(details), what is special to it."""

from __future__ import annotations


class ModuleDocFragment:
    """Every module extends DOCUMENTATION; one that only reads extends INFO as well."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: In check mode, reports what it would change, and changes nothing.
  diff_mode:
    description: In diff mode, returns what changed (in check mode, would change).
"""

    INFO = r"""
attributes:
  check_mode:
    support: full
    details: Only reads, so it does the same in check mode.
  diff_mode:
    support: N/A
    details: Changes nothing.
"""
