# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: nodes
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: The nodes of a Kubernetes cluster
description:
  - Lists the nodes of a cluster as hosts of the group C(multinet_nodes). So nodes that autoscaling
    adds are in the inventory without an edit.
  - Nodes without the label C(multinet.flannel/networks=ready) and nodes with the taint
    C(multinet.flannel/no-networks) are also in the group C(multinet_joining). So C(--limit
    multinet_joining) deploys the networks on new nodes and does not change others.
  - Windows nodes cannot have the networks and are not listed.
  - Each host has C(ansible_host) and C(multinet_node_name).
notes:
  - The name of the file with these options must end with C(nodes.yml) or C(nodes.yaml). Variables
    of the site belong in C(group_vars) beside it, as with any inventory.
extends_documentation_fragment:
  - constructed
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [multinet.flannel.nodes]
  kubeconfig:
    description: A kubeconfig on the controller that may list nodes.
    type: str
    default: ~/.kube/config
    env:
      - name: KUBECONFIG
  label_selector:
    description: Only nodes that match this label selector, as for C(kubectl get nodes --selector).
    type: str
    default: ""
  address:
    description: Type of the node address that becomes C(ansible_host).
    type: str
    choices: [InternalIP, ExternalIP, Hostname, InternalDNS, ExternalDNS]
    default: InternalIP
"""

EXAMPLES = r"""
# inventory/nodes.yml
plugin: multinet.flannel.nodes
label_selector: "!node-role.kubernetes.io/edge"
"""

from typing import Any

from ansible.errors import AnsibleParserError
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import admin, nodes
from ansible_collections.multinet.flannel.plugins.plugin_utils._constructed import Constructed


class InventoryModule(Constructed):
    """See DOCUMENTATION."""

    NAME = "multinet.flannel.nodes"

    def verify_file(self, path: str) -> bool:
        """Return whether `path` is a file of this plugin's options, by its name."""
        return super().verify_file(path) and path.endswith(("nodes.yml", "nodes.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Fill Ansible's inventory. Raises AnsibleParserError."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        query = {}
        if self.get_option("label_selector"):
            query["labelSelector"] = self.get_option("label_selector")
        try:
            found = admin.Admin(self.get_option("kubeconfig")).items("/api/v1/nodes", **query)
        except admin.AdminError as error:
            raise AnsibleParserError(str(error)) from error
        self.fill(found or [])

    def fill(self, found: list[dict[str, Any]]) -> None:
        """Fill Ansible's inventory with these Node objects."""
        for group in ("multinet_nodes", "multinet_joining"):
            self.inventory.add_group(group)
        found = [node for node in found if nodes.is_linux(node)]
        for node in sorted(found, key=lambda one: str(one["metadata"]["name"])):
            name = node["metadata"]["name"]
            self.inventory.add_host(name, "multinet_nodes")
            if not nodes.is_announced(node):
                self.inventory.add_host(name, "multinet_joining")
            self.inventory.set_variable(name, "multinet_node_name", name)
            address = nodes.address(node, self.get_option("address"))
            if address:
                self.inventory.set_variable(name, "ansible_host", address)
            self.construct(name)
