#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: flanneld_subnets
short_description: Wait until this host has its subnet of each network
version_added: 0.1.0
description:
  - Waits until the flanneld of each network has written its subnet file. This is for flanneld that
    runs in pods, not in units of the host.
author:
  - multinet.flannel authors (@multinet-flannel)
extends_documentation_fragment:
  - multinet.flannel.attributes
  - multinet.flannel.attributes.info
attributes:
  check_mode:
    details: Does not wait, because flanneld may not have been started.
options:
  cidrs:
    description: The path of the subnet file of each network, with the range of the network.
    type: dict
    required: true
  timeout:
    description: Seconds to wait until all files exist and match these ranges.
    type: int
    default: 90
"""

EXAMPLES = r"""
- name: Wait for this host's subnet of a network
  multinet.flannel.flanneld_subnets:
    cidrs:
      /run/flannel/blue.env: 10.1.0.0/16
"""

RETURN = r""" # """

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._flanneld import subnets


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "cidrs": {"type": "dict", "required": True},
            "timeout": {"type": "int", "default": 90},
        },
        supports_check_mode=True,
    )
    if not module.check_mode:
        try:
            subnets.wait_for_subnets(module.params["cidrs"], module.params["timeout"])
        except subnets.SubnetError as error:
            module.fail_json(msg=str(error))
    module.exit_json(changed=False)


if __name__ == "__main__":
    main()
