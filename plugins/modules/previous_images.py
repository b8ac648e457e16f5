#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: previous_images
short_description: Keep the image of flanneld's pods before an upgrade, and restore it
version_added: 0.1.0
description:
  - Writes the image that flanneld's pods have to an annotation of their DaemonSets, and restores
    it from there. Kubernetes then replaces the pods a few nodes at a time.
  - A restored image is no longer kept. So another restore changes nothing.
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
  state:
    description:
      - V(kept) keeps the image of each DaemonSet that is about to get O(image), in place of what
        was kept before.
      - V(restored) restores what is kept. Then it waits until each DaemonSet has a ready pod of its
        current template on each of its nodes whose kubelet answers.
    type: str
    choices: [kept, restored]
    required: true
  image:
    description: The image that the upgrade is about to install. Needed with V(kept).
    type: str
  versions:
    description: With V(kept), the declared versions. An upgrade that is run again with the same
      versions does not change what is kept.
    type: dict
    default: {}
  timeout:
    description: Seconds to wait for a further pod that is ready.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Go back to the image that was there before the last upgrade
  multinet.flannel.previous_images:
    kubeconfig: ~/.kube/config
    state: restored
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
changes:
  description: The changes that were (in check mode, would be) made, in order.
  returned: success
  type: list
  elements: str
  sample: ["DaemonSet kube-system/multinet-flannel-red: flannel:v0.26.7 instead of flannel:v0.28.4"]
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import (
    admin,
    apply,
    former_image,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["kept", "restored"], "required": True},
            "image": {"type": "str"},
            "versions": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 60},
        },
        required_if=[("state", "kept", ["image"])],
        supports_check_mode=True,
    )
    params, check_mode = module.params, module.check_mode

    def work(api: admin.Admin) -> dict[str, Any]:
        if params["state"] == "kept":
            declared = json.dumps(params["versions"], sort_keys=True)
            kept = former_image.keep(api, params["image"], declared, check_mode=check_mode)
            return {"changes": kept}
        done = former_image.restore(api, check_mode=check_mode)
        if not check_mode:
            items = former_image.daemon_sets(api)
            nodes = former_image.nodes_of(api, items)
            patience = apply.Patience(params["timeout"])
            apply.wait_for_pods(api, items, nodes, patience=patience)
        return {"changes": done}

    admin.run(module, work)


if __name__ == "__main__":
    main()
