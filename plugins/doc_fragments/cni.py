# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option of modules that call CNI plugins."""

from __future__ import annotations


class ModuleDocFragment:
    """Where the executables are, under the names that options have."""

    DOCUMENTATION = r"""
options:
  bin_dir:
    description: Directory of the CNI plugins.
    type: path
    default: /opt/cni/bin
"""

    CNI_BIN_DIR = r"""
options:
  cni_bin_dir:
    description: The directory of the CNI plugins.
    type: path
    default: /opt/cni/bin
"""
