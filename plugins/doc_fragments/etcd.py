# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of modules that speak with etcd."""

from __future__ import annotations


class ModuleDocFragment:
    """DOCUMENTATION: certificates on the host. CLIENT: where etcd is."""

    DOCUMENTATION = r"""
options:
  ca_cert:
    description: Path of the CA certificate of etcd. By default, the host's own CAs are trusted.
    type: path
  client_cert:
    description: Path of the client certificate.
    type: path
  client_key:
    description: Path of the key of the client certificate.
    type: path
"""

    CLIENT = r"""
options:
  endpoints:
    description: URLs of etcd, tried in order, such as V(https://10.0.0.1:2379).
    type: list
    elements: str
    required: true
  timeout:
    description: Seconds to wait for each endpoint.
    type: int
    default: 5
"""
