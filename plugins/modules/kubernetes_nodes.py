#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_nodes
short_description: Label Node objects that have the networks
version_added: 0.1.0
description:
  - Nodes that have the networks get the label C(multinet.flannel/networks=ready), which pods can
    select. Their taint C(multinet.flannel/no-networks) is removed; a node can join the cluster with
    it.
  - On nodes that no longer have the networks, the label and the annotations with the networks'
    leases are removed.
  - A node whose guard has a network can get the label
    C(multinet.flannel/network-NAME=guarded). The pods of that network's flanneld select it.
  - A node that is not in the cluster is skipped.
author: [multinet.flannel authors (@multinet-flannel)]
extends_documentation_fragment:
  - multinet.flannel.kubernetes_admin
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Lists the changes.
options:
  nodes:
    description: Names of the Node objects.
    type: list
    elements: str
    required: true
  state:
    description: Whether these nodes have the networks. V(leaving) removes only the label. It is for
      nodes whose networks are about to be removed, so that no new pod with a network starts there.
      V(guarded) sets the labels of O(networks) for flanneld's pods, and removes those of other
      networks. It changes nothing else. V(removed) removes the nodes' service accounts. It is for
      nodes on which no program of the collection is left.
    type: str
    choices: [present, guarded, leaving, absent, removed]
    default: present
  networks:
    description: With O(state=guarded), the networks that the guard of each of these nodes has. The
      pods of other networks' flanneld leave these nodes.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Label the nodes that have the networks
  multinet.flannel.kubernetes_nodes:
    kubeconfig: ~/.kube/config
    nodes: [node1, node2]
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
changes:
  description: The changes that were (in check mode, would be) made, in order.
  returned: success
  type: list
  elements: str
  sample: ["label Node node1: multinet.flannel/networks=ready"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import (
    admin,
    guards,
    nodes,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "str", "required": True},
            "nodes": {"type": "list", "elements": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["present", "guarded", "leaving", "absent", "removed"],
                "default": "present",
            },
            "networks": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    names, state = module.params["nodes"], module.params["state"]
    check_mode = module.check_mode

    def work(api: admin.Admin) -> dict[str, Any]:
        if state == "removed":
            return {"changes": nodes.remove_accounts(api, names, check_mode=check_mode)}
        if state == "guarded":
            networks = module.params["networks"]
            return {"changes": guards.bring_about(api, names, networks, check_mode=check_mode)}
        changes = nodes.bring_about(
            api,
            names,
            has_networks=state == "present",
            leases_stay=state == "leaving",
            check_mode=check_mode,
        )
        if state == "absent":
            changes += guards.bring_about(api, names, [], check_mode=check_mode)
        return {"changes": changes}

    admin.run(module, work)


if __name__ == "__main__":
    main()
