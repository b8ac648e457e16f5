#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: network_plan
short_description: Check a declaration of flannel networks and show what follows from it
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Checks a list of networks as the roles of this collection do and returns the plan they would
    work from.
  - Everything that is wrong is reported at once, one sentence a line, before any host is touched.
  - Reads and changes nothing but its arguments, so it can run on the controller
    (C(delegate_to=localhost)) or anywhere else.
extends_documentation_fragment:
  - multinet.flannel.attributes
  - multinet.flannel.attributes.info
options:
  networks:
    description:
      - The declaration, a list of mappings as in C(multinet_networks).
      - It is taken as it is, so that every mistake, also one of type, is reported in the same way.
      - Set C(no_log=true) on the task when a backend holds a pre-shared key, for Ansible logs
        arguments.
    type: raw
    required: true
  options:
    description: What the declaration is checked against and derived with. All keys are optional.
    type: dict
    suboptions:
      service_cidrs:
        description: Ranges of services (Kubernetes) that no network may overlap.
        type: list
        elements: str
      forbidden_cidrs:
        description: Other ranges that no network may overlap.
        type: list
        elements: str
      underlay_cidrs:
        description: Ranges of the interfaces that carry the tunnels. No network may overlap them.
        type: list
        elements: str
      architectures:
        description:
          - Architectures of the nodes by the names Go has for them, such as V(amd64) and V(arm64).
          - The C(udp) backend is refused unless all of them are known to be V(amd64).
        type: list
        elements: str
      etcd_prefix:
        description:
          - The keys of network C(blue) begin with this, a slash and C(blue).
          - The default is V(/coreos.com/network).
        type: str
      cni_version:
        description:
          - Version of the CNI specification that the configuration of each network is written in.
          - The default is V(0.4.0).
        type: str
      conf_cni_version:
        description:
          - Version of the CNI specification that the configuration of the host is written in.
          - The default is V(1.0.0).
        type: str
      meta_plugin:
        description:
          - File name of the meta-plugin in the directory of the CNI plugins, the C(type) of the
            host's own configuration.
          - The default is V(multinet).
        type: str
      in_process:
        description:
          - CNI plugins whose work the meta-plugin does itself, without starting their executables.
          - The default is V([flannel, tuning]).
        type: list
        elements: str
        choices: [flannel, tuning]
      node_count:
        description: Number of nodes. A network that has fewer subnets is refused.
        type: int
      cni_conf_dir:
        description:
          - Where the container runtime looks for CNI configurations; the one of a network with
            C(default=external) is looked for there.
          - The default is V(/etc/cni/net.d).
        type: path
      kubernetes:
        description:
          - Whether the nodes are Kubernetes', whose pods ask for networks by annotation.
          - By default, when O(options.datastore) is V(kubernetes).
        type: bool
      datastore:
        description: Where leases come from.
        type: str
        choices: [etcd, kubernetes]
      cluster_cidrs:
        description: The ranges that Kubernetes gives its nodes subnets of.
        type: list
        elements: str
      node_cidr_mask_sizes:
        description: The length of those subnets, one for each of O(options.cluster_cidrs). The
          default is 24 for IPv4 and 64 for IPv6.
        type: list
        elements: int
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
  delegate_to: localhost
  run_once: true
  register: declared

- name: Show which networks may not reach each other
  ansible.builtin.debug:
    var: declared.plan.blocked
"""

RETURN = r"""
plan:
  description: All that follows from the declaration. A pre-shared key in it is hidden.
  returned: when the declaration is valid
  type: dict
  contains:
    networks:
      description:
        - The networks in declared order, each with the declared keys and their defaults, and with
          what is derived from them.
        - Among the derived are C(cni_name), C(etcd_prefix), C(annotation_prefix),
          C(net_config_file), C(flannel_config), C(unit),
          C(environment_file), C(subnet_file), C(data_dir), C(ipam_dir),
          C(bridge), C(device), C(devices), C(healthz_port), C(tunnel_ports), C(mtu_overhead),
          C(cni_conflist) and C(net_attach_def).
      returned: always
      type: list
      elements: dict
    default_network:
      description: Name of the network that gives pods their default route. None when that is an
        external one.
      returned: always
      type: str
      sample: blue
    external:
      description: The network of another CNI that is the pods' first one, and where its
        configuration is. None without such a network.
      returned: always
      type: dict
    cni_conf:
      description: The CNI configuration of a host.
      returned: always
      type: dict
    blocked:
      description: Ordered pairs of networks, from and to, that must not reach each other.
      returned: always
      type: list
      elements: list
      sample: [[blue, red], [red, blue]]
    datastore:
      description: Where leases come from.
      returned: always
      type: str
      sample: etcd
    kubernetes:
      description: Whether the nodes are Kubernetes'.
      returned: always
      type: bool
    cluster_cidrs:
      description: The ranges that Kubernetes gives its nodes subnets of.
      returned: always
      type: list
      elements: str
    node_cidr_mask_sizes:
      description: The length of those subnets, one for each range.
      returned: always
      type: list
      elements: int
errors:
  description: What is wrong, a sentence each. Empty when the declaration is valid.
  returned: always
  type: list
  elements: str
  sample: ["network 'red': cidr '10.3.1.0/16' has host bits set; write '10.3.0.0/16'."]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._plan.errors import PlanError
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan


def main():
    """Check the declaration and return the plan, or every mistake at once."""
    cidrs = {"type": "list", "elements": "str"}
    module = AnsibleModule(
        argument_spec={
            "networks": {"type": "raw", "required": True},
            "options": {
                "type": "dict",
                "options": {
                    "service_cidrs": cidrs,
                    "forbidden_cidrs": cidrs,
                    "underlay_cidrs": cidrs,
                    "architectures": {"type": "list", "elements": "str"},
                    "etcd_prefix": {"type": "str"},
                    "cni_version": {"type": "str"},
                    "conf_cni_version": {"type": "str"},
                    "meta_plugin": {"type": "str"},
                    "in_process": {
                        "type": "list",
                        "elements": "str",
                        "choices": ["flannel", "tuning"],
                    },
                    "node_count": {"type": "int"},
                    "cni_conf_dir": {"type": "path"},
                    "kubernetes": {"type": "bool"},
                    "datastore": {"type": "str", "choices": ["etcd", "kubernetes"]},
                    "cluster_cidrs": cidrs,
                    "node_cidr_mask_sizes": {"type": "list", "elements": "int"},
                },
            },
        },
        supports_check_mode=True,
    )
    networks = module.params["networks"]
    for network in networks if isinstance(networks, list) else []:
        backend = network.get("backend") if isinstance(network, dict) else None
        if isinstance(backend, dict) and backend.get("psk"):
            module.no_log_values.add(str(backend["psk"]))
    try:
        planned = plan(networks, module.params["options"])
    except PlanError as error:
        module.fail_json(
            msg=f"The networks cannot be set up as declared:\n{error}", errors=error.errors
        )
    module.exit_json(changed=False, plan=planned, errors=[])


if __name__ == "__main__":
    main()
