# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option of modules that call CNI plugins."""

from __future__ import annotations


class ModuleDocFragment:
    """Where the executables are."""

    DOCUMENTATION = r"""
options:
  bin_dir:
    description: Directory of the CNI plugins.
    type: path
    default: /opt/cni/bin
"""
