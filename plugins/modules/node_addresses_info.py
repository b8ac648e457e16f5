#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: node_addresses_info
short_description: Count the addresses of a host's networks
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Returns the subnets that a host leased, how many addresses of each are used by pods, the leases
    in the data store, and the host's own addresses and routes.
  - The filter P(multinet.flannel.addresses#filter) combines the results of all hosts.
extends_documentation_fragment:
  - multinet.flannel.attributes
  - multinet.flannel.attributes.info
options: {}
notes:
  - Needs root, and C(ip) and C(bridge) of iproute2 on the host.
"""

EXAMPLES = r"""
- name: Count addresses
  multinet.flannel.node_addresses_info:
  register: found
"""

RETURN = r"""
networks:
  description: Each network that is deployed on the host. C(leases) is null if the data store could
    not be read.
  returned: success
  type: list
  elements: dict
  sample:
    - name: blue
      cidr: 10.1.0.0/16
      ipv6_cidr: null
      subnets:
        - {subnet: 10.1.39.0/24, addresses: 253, used: 2}
      leases:
        - {subnet: 10.1.39.0/24, ipv6_subnet: "", public_ip: 192.0.2.11}
leases_problem:
  description: Why the leases could not be read, or an empty string.
  returned: success
  type: str
addresses:
  description: The host's own addresses, with their prefix lengths.
  returned: success
  type: list
  elements: str
  sample: [192.0.2.11/24]
routes:
  description: The destinations of the host's routes.
  returned: success
  type: list
  elements: str
  sample: [10.1.21.0/24]
"""

import ipaddress
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._drift import commands, observe
from ansible_collections.multinet.flannel.plugins.module_utils._drift import network as networks
from ansible_collections.multinet.flannel.plugins.module_utils._node import (
    deployed,
    root,
    subnet_file,
)


def addresses(plan: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """Return what RETURN says, of what observe.look() saw."""
    return {
        "networks": [_network(network, seen) for network in plan["networks"]],
        "leases_problem": seen["leases_problem"],
        "addresses": [one for link in seen["links"].values() for one in link["addresses"]],
        "routes": sorted({route["dst"] for route in seen["routes"]} - {"default"}),
    }


def _network(network: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    name, subnets = network["name"], []
    for text in subnet_file.gateways(seen["subnet_files"][name]):
        subnet = ipaddress.ip_network(text, strict=False)
        used = seen["allocated"][name][str(subnet.version)]
        subnets.append({"subnet": str(subnet), "addresses": networks.room(text), "used": used})
    leases = seen["leases"][name]
    keys = ("subnet", "ipv6_subnet", "public_ip")
    return {
        **{key: network[key] for key in ("name", "cidr", "ipv6_cidr")},
        "subnets": subnets,
        "leases": leases and [{key: lease[key] for key in keys} for lease in leases],
    }


NOTHING: deployed.Record = {"plan": {"networks": [], "datastore": "", "cni_conf": None}}


def main() -> None:
    """Look at this host, and return its addresses."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    refused = root.prepare()
    if refused:
        module.fail_json(msg=refused)
    try:
        record = deployed.record() or NOTHING
        # what the container runtime reads is of no interest here
        seen = observe.look(record, cni_conf="/nonexistent")
    except (deployed.DeployedError, commands.ObserveError) as error:
        module.fail_json(msg=f"This host could not be looked at. {error}")
    module.exit_json(changed=False, **addresses(record["plan"], seen))


if __name__ == "__main__":
    main()
