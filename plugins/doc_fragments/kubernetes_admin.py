# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of modules that speak with the Kubernetes API as an administrator."""

from __future__ import annotations


class ModuleDocFragment:
    """A kubeconfig on the controller."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description: Path of an administrator's kubeconfig, or several paths separated by colons, as in
      the environment variable E(KUBECONFIG).
    type: str
    required: true
requirements:
  - Python packages C(kubernetes) and C(jmespath) on the host that runs the module, which is usually
    the controller
"""
