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
  - Reads what Compass4nfv is given, a DHA file (of either generation) and C(network.yml), or what
    it made of them, the directory of a run.
  - Groups are the roles of Compass (C(kube_master), C(etcd), C(kube_node), C(ha) and so on), and
    C(multinet_nodes), C(multinet_etcd) above them. Hosts of expansions are also in
    C(compass_expansion).
  - Each host has C(compass_networks) (logical network to address, cidr, prefix, interface, and
    where there is one, gateway, vlan, bond and mtu), C(ansible_host), C(multinet_node_address) and
    C(multinet_underlay_interface). Addresses are handed out as Compass does it.
  - All hosts have C(compass_cluster) (name, type, plugins, cluster_param, vips),
    C(multinet_forbidden_cidrs) with the ranges of the hosts' networks, and those entries of
    C(cluster_param) whose names begin with C(multinet_).
  - Passwords of power management are not read. Architectures are not known here; they are facts of
    the hosts.
notes:
  - The name of the file with these options ends in C(compass.yml) or C(compass.yaml).
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
    description: The DHA file. A relative path begins at the directory of the file with these
      options, and so do the others here. Needs O(network).
    type: str
  network:
    description: C(network.yml).
    type: str
  run_directory:
    description:
      - The directory of a run, as C(/var/ansible/run/kubernetes-opnfv). Not with O(dha).
      - Where there is one, prefer it. It has the addresses that Compass gave the hosts.
    type: str
  expansions:
    description:
      - Expansions of the cluster, in order. Each is a dictionary with C(dha) and C(network), or
        with C(run_directory).
      - A network whose C(ip_ranges) are those of before goes on where it was; one with others
        begins with the first of them. An address that a host has already is an error.
    type: list
    elements: dict
    default: []
  connection_network:
    description: Logical network whose address is C(ansible_host).
    type: str
    default: mgmt
  underlay_network:
    description: Logical network that the tunnels go through.
    type: str
    default: mgmt
  node_roles:
    description: Roles of Compass whose hosts are in C(multinet_nodes).
    type: list
    elements: str
    default: [kube_master, kube_node]
  etcd_roles:
    description:
      - Roles of Compass whose hosts are in C(multinet_etcd).
      - These run the collection's own etcd, unless C(multinet_etcd_endpoints) is set or
        C(multinet_datastore) is C(kubernetes). An etcd of the cluster has the same ports.
    type: list
    elements: str
    default: [etcd]
  password:
    description: Whether the password in a run's inventory becomes C(ansible_password). Everybody
      who may run C(ansible-inventory) reads it then, and it is in the inventory's cache.
    type: bool
    default: false
"""

EXAMPLES = r"""
# opnfv.compass.yml
plugin: multinet.flannel.compass
dha: deploy/conf/hardware_environment/pod/k8-nosdn-nofeature-ha.yml
network: deploy/conf/hardware_environment/pod/network.yml
underlay_network: tenant

# what Compass made of it, and a host that came later
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
