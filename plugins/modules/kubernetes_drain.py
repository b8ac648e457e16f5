#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_drain
short_description: Drain a node before its networks are removed
version_added: 0.1.0
description:
  - Cordons the node, evicts its pods through the API (policy/v1 Eviction), so that disruption
    budgets are respected, and waits until they are gone.
  - Pods of DaemonSets, static pods and pods without a controller stay, because nothing would start
    them on another node. Pods in the host's network stay, because they do not use the networks.
  - If a pod is not gone in time, the module fails, and the error names the pod and the budget. The
    node is then uncordoned, unless it was cordoned before.
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
    details: Lists the steps.
options:
  node:
    description: Name of the Node object.
    type: str
    required: true
  state:
    description: V(drained) evicts the pods. V(open) uncordons the node.
    type: str
    choices: [drained, open]
    default: drained
  timeout:
    description: Seconds to wait until all pods are gone.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Drain this node
  multinet.flannel.kubernetes_drain:
    kubeconfig: ~/.kube/config
    node: node1
  delegate_to: localhost
"""

RETURN = r"""
changes:
  description: The steps that were (in check mode, would be) done, in order.
  returned: success
  type: list
  elements: str
  sample: [cordon Node node1, evict Pod apps/web-1]
left:
  description: The pods (namespace/name) that stay.
  returned: success
  type: list
  elements: str
  sample: [default/every-x2x4z]
cordoned:
  description: Whether this call cordoned (in check mode, would cordon) the node.
  returned: success
  type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import (
    admin,
    apply,
    drain,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "str", "required": True},
            "node": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["drained", "open"], "default": "drained"},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    node, check_mode = module.params["node"], module.check_mode

    def work(api: admin.Admin) -> dict[str, Any]:
        if module.params["state"] == "open":
            changes = drain.reopen(api, node, check_mode=check_mode)
            return drain.Drained(changes, [], False)._asdict()
        patience = apply.Patience(module.params["timeout"])
        return drain.drain(api, node, patience, check_mode=check_mode)._asdict()

    admin.run(module, work)


if __name__ == "__main__":
    main()
