# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option of modules that compare a host with what was deployed on it."""

from __future__ import annotations


class ModuleDocFragment:
    """The host's CNI configuration."""

    DOCUMENTATION = r"""
options:
  cni_conf:
    description: Path of the CNI configuration that the container runtime reads.
    type: path
    default: /etc/cni/net.d/00-multinet.conf
notes:
  - Needs root, and C(ip) and C(bridge) of iproute2 on the host.
"""
