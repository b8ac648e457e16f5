#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: foreign_networks_info
short_description: The flannel networks that somebody else deployed on a host
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Reads the CNI configurations of a host (also Multus' delegates), the subnet files that they name
    and the host's devices, and says how each network of flannel's would be declared.
  - It says also what would stay as it is.
extends_documentation_fragment:
  - multinet.flannel.attributes
  - multinet.flannel.attributes.info
options:
  cni_conf_dir:
    description: Directory of the container runtime's CNI configurations.
    type: path
    default: /etc/cni/net.d
notes:
  - Needs C(ip) of iproute2 on the host.
"""

EXAMPLES = r"""
- name: Look for networks of others
  multinet.flannel.foreign_networks_info:
  register: found
"""

RETURN = r"""
networks:
  description: Each network of flannel's. C(declaration) is null where C(problem) says why.
  returned: success
  type: list
  elements: dict
  sample:
    - name: flannel0
      file: 10-multus-2flannel.conf
      default: true
      bridge: kbr0
      subnet_file: /run/flannel/subnet1.env
      subnet: 10.1.39.1/24
      declaration:
        name: flannel0
        cidr: 10.1.0.0/16
        default: true
        backend: {type: vxlan, vni: 1, port: 8472}
      problem: ""
stays:
  description: What is not taken over, and what comes first, as sentences.
  returned: success
  type: list
  elements: str
lines:
  description: All of it, for people.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._preflight import foreign


def main() -> None:
    """Look at this host, and return what was recognised."""
    module = AnsibleModule(
        argument_spec={"cni_conf_dir": {"type": "path", "default": "/etc/cni/net.d"}},
        supports_check_mode=True,
    )
    try:
        seen = foreign.look(module.run_command, module.params["cni_conf_dir"])
    except OSError as error:
        module.fail_json(msg=f"The CNI configurations of this host cannot be read: {error}")
    found = foreign.recognise(seen)
    module.exit_json(changed=False, lines=foreign.sentences(found), **found)


if __name__ == "__main__":
    main()
