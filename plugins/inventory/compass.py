# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: compass
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: The hosts of a Compass4nfv cluster
description:
  - Reads the input of Compass4nfv, a DHA file (of either generation) and C(network.yml), or its
    output, the directory of a run.
  - Groups are the roles of Compass (C(kube_master), C(etcd), C(kube_node), C(ha) and so on), and
    their parents C(multinet_nodes) and C(multinet_etcd). Hosts of expansions are also in
    C(compass_expansion).
  - Each host has C(compass_networks) (for each logical network address, cidr, prefix, interface,
    and if defined gateway, vlan, bond and mtu), C(ansible_host), C(multinet_node_address) and
    C(multinet_underlay_interface). Addresses are assigned in the same way as by Compass.
  - All hosts have C(compass_cluster) (name, type, plugins, cluster_param, vips),
    C(multinet_forbidden_cidrs) with the ranges of the hosts' networks, and the entries of
    C(cluster_param) whose names begin with C(multinet_).
  - Passwords of power management are not read. Architectures are not in these files; Ansible gets
    them as facts of the hosts.
notes:
  - The name of the file with these options must end with C(compass.yml) or C(compass.yaml).
extends_documentation_fragment:
  - constructed
  - inventory_cache
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [multinet.flannel.compass]
  dha:
    description: The DHA file. Relative paths in all options start at the directory of the file with
      these options. Needs O(network).
    type: str
  network:
    description: The file C(network.yml).
    type: str
  run_directory:
    description:
      - The directory of a run, such as C(/var/ansible/run/kubernetes-opnfv). Not with O(dha).
      - Prefer it to O(dha) if it exists, because it has the addresses that Compass assigned.
    type: str
  expansions:
    description:
      - Expansions of the cluster, in order. Each is a dictionary with C(dha) and C(network), or
        with C(run_directory).
      - If C(ip_ranges) of a network did not change, assignment continues after the last address. If
        it changed, assignment begins with the first new address. An address that a host has already
        is an error.
    type: list
    elements: dict
    default: []
  connection_network:
    description: Logical network whose address becomes C(ansible_host).
    type: str
    default: mgmt
  underlay_network:
    description: Logical network that carries the tunnels.
    type: str
    default: mgmt
  node_roles:
    description: Roles of Compass whose hosts become members of C(multinet_nodes).
    type: list
    elements: str
    default: [kube_master, kube_node]
  etcd_roles:
    description:
      - Roles of Compass whose hosts become members of C(multinet_etcd).
      - These hosts run the collection's own etcd, unless C(multinet_etcd_endpoints) is set or
        C(multinet_datastore) is C(kubernetes). An etcd of the Kubernetes cluster on the same host
        would need the same ports.
    type: list
    elements: str
    default: [etcd]
  password:
    description: Whether the password in a run's inventory becomes C(ansible_password). Everybody
      who may run C(ansible-inventory) can then read it, and the inventory's cache contains it.
    type: bool
    default: false
"""

EXAMPLES = r"""
# opnfv.compass.yml
plugin: multinet.flannel.compass
dha: deploy/conf/hardware_environment/pod/k8-nosdn-nofeature-ha.yml
network: deploy/conf/hardware_environment/pod/network.yml
underlay_network: tenant

# the output of Compass, and an expansion
# plugin: multinet.flannel.compass
# run_directory: /var/ansible/run/kubernetes-opnfv
# expansions:
#   - run_directory: /var/ansible/run/kubernetes-opnfv-expansion
"""

import contextlib
import os
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import Cacheable
from ansible_collections.multinet.flannel.plugins.plugin_utils._compass import inventory as compass
from ansible_collections.multinet.flannel.plugins.plugin_utils._constructed import Constructed

_FILES = ({"dha", "network"}, {"run_directory"})


class InventoryModule(Constructed, Cacheable):
    """See DOCUMENTATION."""

    NAME = "multinet.flannel.compass"

    def verify_file(self, path: str) -> bool:
        """Return whether `path` is a file of this plugin's options, by its name."""
        return super().verify_file(path) and path.endswith(("compass.yml", "compass.yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Fill Ansible's inventory. Raises AnsibleParserError."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        self.load_cache_plugin()
        key = self.get_cache_key(path)
        use_cache = self.get_option("cache")
        found = None
        if use_cache and cache:
            with contextlib.suppress(KeyError):
                found = self._cache[key]
        if found is None:
            found = self._build(os.path.dirname(os.path.abspath(path)))
            if use_cache:
                self._cache[key] = found
        self._fill(found)

    def _build(self, directory: str) -> dict[str, Any]:
        first = {
            name: self.get_option(name)
            for name in ("dha", "network", "run_directory")
            if self.get_option(name)
        }
        sources = [first, *self.get_option("expansions")]
        for source in sources:
            if set(source) not in _FILES:
                raise AnsibleParserError(
                    "A cluster, and each of its expansions, needs dha and network, or only"
                    f" run_directory; found {', '.join(sorted(source)) or 'none of them'}."
                )
        wish = compass.Wish(
            connection=self.get_option("connection_network"),
            underlay=self.get_option("underlay_network"),
            nodes=tuple(self.get_option("node_roles")),
            etcd=tuple(self.get_option("etcd_roles")),
            password=self.get_option("password"),
        )
        places = [
            {name: os.path.join(directory, os.path.expanduser(path)) for name, path in one.items()}
            for one in sources
        ]
        try:
            return compass.build(places, wish)
        except compass.CompassError as error:
            raise AnsibleParserError(str(error)) from error

    def _fill(self, found: dict[str, Any]) -> None:
        for host, variables in found["hosts"].items():
            self.inventory.add_host(host)
            for name, value in variables.items():
                self.inventory.set_variable(host, name, value)
        for group, hosts in found["groups"].items():
            self.inventory.add_group(group)
            for host in hosts:
                self.inventory.add_child(group, host)
        for group, children in found["children"].items():
            if children:
                self.inventory.add_group(group)
            for child in children:
                self.inventory.add_child(group, child)
        for name, value in found["vars"].items():
            self.inventory.set_variable("all", name, value)
        for host in found["hosts"]:
            self.construct(host, found["vars"])
