#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: network_plan
short_description: Check a declaration of flannel networks and show the plan for it
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Checks a list of networks as the roles of this collection do, and returns the plan that the
    roles would use.
  - Reports all mistakes at once, one sentence per line, before anything is changed on a host.
  - Runs on the controller, reads only its arguments and changes nothing.
extends_documentation_fragment:
  - multinet.flannel.attributes
  - multinet.flannel.attributes.info
  - multinet.flannel.plan_options
options:
  networks:
    description:
      - The declaration, a list of mappings as in C(multinet_networks).
      - It has no argument types, so that wrong types are reported like other mistakes.
      - If a backend has a pre-shared key, set C(no_log=true) on the task, because Ansible logs
        arguments.
    type: raw
    required: true
seealso:
  - plugin: multinet.flannel.plan
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Check the declaration before anything else
  multinet.flannel.network_plan:
    networks: "{{ multinet_networks }}"
    options:
      underlay_cidrs: [192.168.7.0/24]
      architectures: [amd64, arm64]
      node_count: "{{ ansible_play_hosts_all | length }}"
  run_once: true
  register: declared

- name: Show which networks may not reach each other
  ansible.builtin.debug:
    var: declared.plan.isolated
"""

RETURN = r"""
plan:
  description: Everything derived from the declaration. Pre-shared keys are hidden.
  returned: when the declaration is valid
  type: dict
  contains:
    networks:
      description:
        - The networks in declared order. Each has the declared keys, the defaults of the others,
          and derived keys.
        - Derived keys are, among others, C(cni_name), C(etcd_prefix), C(annotation_prefix),
          C(net_config_file), C(flannel_config), C(unit), C(environment_file), C(subnet_file),
          C(data_dir), C(ipam_dir), C(bridge), C(device), C(devices), C(healthz_port),
          C(tunnel_ports), C(mtu_overhead), C(cni_conflist) and C(net_attach_def).
      returned: always
      type: list
      elements: dict
    default_network:
      description: Name of the network that gives pods their default route. None if that is an
        external network.
      returned: always
      type: str
      sample: blue
    external:
      description: The network of another CNI that is the pods' first network, and where its
        configuration is. None without such a network.
      returned: always
      type: dict
    cni_conf:
      description: The CNI configuration of a host.
      returned: always
      type: dict
    isolated:
      description: The networks that are isolated from all others.
      returned: always
      type: list
      elements: str
      sample: [blue, red]
    allowed:
      description: Ordered pairs of networks (from, to) between which connections are allowed
        anyway.
      returned: always
      type: list
      elements: list
      sample: [[blue, red]]
    datastore:
      description: Where leases come from.
      returned: always
      type: str
      sample: etcd
    kubernetes:
      description: Whether the nodes are Kubernetes nodes.
      returned: always
      type: bool
    cluster_cidrs:
      description: The ranges from which Kubernetes assigns podCIDRs.
      returned: always
      type: list
      elements: str
    node_cidr_mask_sizes:
      description: The prefix length of podCIDRs, one for each range.
      returned: always
      type: list
      elements: int
errors:
  description: The mistakes, one sentence each. Empty if the declaration is valid.
  returned: always
  type: list
  elements: str
  sample: ["network 'red': cidr '10.3.1.0/16' has host bits set; write '10.3.0.0/16'."]
"""
