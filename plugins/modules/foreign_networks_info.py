#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: foreign_networks_info
short_description: Find flannel networks that somebody else deployed on a host
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Reads the CNI configurations of a host (including Multus' delegates), the subnet files that
    these name and the host's devices. Returns a declaration for each flannel network.
  - Also returns what cannot be taken over.
extends_documentation_fragment:
  - multinet.flannel.attributes
  - multinet.flannel.attributes.info
options:
  cni_conf_dir:
    description: Directory of the container runtime's CNI configurations.
    type: path
    default: /etc/cni/net.d
  plan:
    description: The plan of the networks that will replace them, as
      M(multinet.flannel.network_plan) returns it. RV(problems), RV(waits) and RV(leases) refer to
      it.
    type: dict
  public_ip:
    description: The public IP that this host's flanneld will get.
    type: str
    default: ""
  public_ipv6:
    description: The same for IPv6.
    type: str
    default: ""
  cluster_cidrs:
    description: The ranges from which Kubernetes assigns podCIDRs, if leases come from its API.
    type: list
    elements: str
    default: []
notes:
  - Needs C(ip) of iproute2 on the host.
"""

EXAMPLES = r"""
- name: Find networks of other deployments
  multinet.flannel.foreign_networks_info:
  register: found
"""

RETURN = r"""
networks:
  description: Each flannel network. If C(declaration) is null, C(problem) says why. It has no
    backend if no flanneld runs and none of its devices exists.
  returned: success
  type: list
  elements: dict
  sample:
    - name: flannel0
      file: 10-multus-2flannel.conf
      files: [10-multus-2flannel.conf]
      default: true
      bridge: kbr0
      subnet_file: /run/flannel/subnet1.env
      ipam_dir: /var/lib/cni/networks/flannel0
      subnet: 10.1.39.1/24
      ipv6_subnet: ""
      device: flannel.1
      mac: "1a:fc:e5:a0:5a:37"
      daemon:
        pid: 471
        kind: unit
        id: flanneld.service
        subnet_file: /run/flannel/subnet1.env
        store: keys below /coreos.com/network in etcd at http://198.51.100.7:2379
        udp_ports: []
      declaration:
        name: flannel0
        cidr: 10.1.0.0/16
        default: true
        backend: {type: vxlan, vni: 1, port: 8472}
      problem: ""
beside:
  description: The other plugins in the configuration files that contain networks, by file name.
  returned: success
  type: dict
  sample: {10-multus-2flannel.conf: [storage]}
stays:
  description: What is not taken over, and what must be done before, as sentences.
  returned: success
  type: list
  elements: str
problems:
  description: Why the networks cannot become those of O(plan), as sentences.
  returned: success
  type: list
  elements: str
waits:
  description: What a person must do on this host first, as sentences.
  returned: success
  type: list
  elements: str
leases:
  description: The leases of this host for the networks of O(plan), in the form that
    M(multinet.flannel.flannel_network_config) takes.
  returned: success
  type: list
  elements: dict
adopted:
  description: The networks that were taken over on this host before. Keys are their names now,
    values their former names.
  returned: success
  type: dict
  sample: {blue: flannel0}
lines:
  description: All of this as text.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._node import root
from ansible_collections.multinet.flannel.plugins.module_utils._node.removal import RemovalError
from ansible_collections.multinet.flannel.plugins.module_utils._preflight import adoption, foreign


def main() -> None:
    """Look at this host, and return what was recognised."""
    root.complete_path()
    module = AnsibleModule(
        argument_spec={
            "cni_conf_dir": {"type": "path", "default": "/etc/cni/net.d"},
            "plan": {"type": "dict"},
            "public_ip": {"type": "str", "default": ""},
            "public_ipv6": {"type": "str", "default": ""},
            "cluster_cidrs": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        seen = foreign.look(module.run_command, params["cni_conf_dir"])
    except (OSError, RemovalError) as error:
        why = root.unread(error)
        module.fail_json(msg=f"The CNI configurations of this host cannot be read: {why}")
    found = foreign.recognise(seen)
    plan = params["plan"] or {"networks": []}
    module.exit_json(
        changed=False,
        lines=foreign.sentences(found),
        problems=adoption.problems(found, plan, params["cluster_cidrs"]) if params["plan"] else [],
        waits=adoption.waits(found, plan),
        leases=adoption.leases(found, plan, params["public_ip"], params["public_ipv6"]),
        **found,
    )


if __name__ == "__main__":
    main()
