#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_objects
short_description: Make the collection's objects at the Kubernetes API be these, and no others
version_added: 0.1.0
description:
  - Makes and changes the objects by server-side apply, and removes those that carry the
    collection's label and are not among them.
  - A CustomResourceDefinition that somebody else made is left as it is. One of the collection's own
    is removed only when no objects of others would go with it.
  - An object that is being deleted already is not deleted again; a warning names the finalizers
    that it waits for, and who set them. One that is wanted again is waited for.
  - Before a DaemonSet that names its nodes, as the collection once made them, is changed into one
    that selects them by a label, the nodes on which its pods run get that label.
author: [multinet.flannel authors (@multinet-flannel)]
extends_documentation_fragment:
  - multinet.flannel.kubernetes_admin
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
    details: Asks the API what would change, by a dry run of its own.
  diff_mode:
    support: full
    details: Shows each object before and after, but nothing of a Secret.
options:
  objects:
    description: The objects, as the filter P(multinet.flannel.kubernetes_objects#filter) makes
      them. An empty list removes everything that carries the label.
    type: list
    elements: dict
    required: true
  secrets:
    description: What is in the Secrets among the objects, as the filter
      P(multinet.flannel.kubernetes_secrets#filter) returns it.
    type: dict
    default: {}
  kinds:
    description: Only objects of these kinds are looked at. By default all that the collection
      makes.
    type: list
    elements: str
    default: []
  later:
    description: Of these kinds nothing is made or changed this time, but what is not wanted any
      more is removed.
    type: list
    elements: str
    default: []
  pods_on:
    description: Names of nodes. In the end, the DaemonSets among the objects must have a ready pod,
      made as they say now, on each of these.
    type: list
    elements: str
    default: []
  no_pods_on:
    description: Names of nodes. In the end, the DaemonSets among the objects must have no pod on
      any of these.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for an object that is removed to be gone, for a
      CustomResourceDefinition to be served, and for pods.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Make what the networks need at the Kubernetes API
  multinet.flannel.kubernetes_objects:
    kubeconfig: ~/.kube/config
    objects: "{{ multinet_plan | multinet.flannel.kubernetes_objects(settings) }}"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
changes:
  description: What was (in check mode would be) done, in order.
  returned: success
  type: list
  elements: str
  sample: [create NetworkAttachmentDefinition default/red]
ending:
  description: What was deleted, now or before, and stays until others take their finalizers off it.
  returned: success
  type: list
  elements: str
  sample: []
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import (
    admin,
    apply,
    daemonset,
    ending,
    objects,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "str", "required": True},
            "objects": {"type": "list", "elements": "dict", "required": True},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "kinds": {"type": "list", "elements": "str", "default": []},
            "later": {"type": "list", "elements": "str", "default": []},
            "pods_on": {"type": "list", "elements": "str", "default": []},
            "no_pods_on": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    params = module.params
    kinds = params["kinds"] or list(objects.KINDS)
    wanted = [item for item in params["objects"] if item["kind"] in kinds]
    try:
        wanted = [
            daemonset.with_contents(item, params["secrets"]) if item["kind"] == "Secret" else item
            for item in wanted
        ]
    except KeyError as error:
        module.fail_json(
            msg=f"O(secrets) lacks the content of the Secret {error.args[0]}. Add it there."
        )
    for item in wanted:
        if item["kind"] == "Secret":
            module.no_log_values.update(item["data"].values())

    def work(api: admin.Admin) -> dict[str, Any]:
        patience = apply.Patience(params["timeout"])
        changes, ends = apply.bring_about(
            api,
            wanted,
            kinds,
            later=params["later"],
            leaving=params["no_pods_on"],
            check_mode=module.check_mode,
            patience=patience,
        )
        if not module.check_mode:
            apply.wait_for_pods(api, wanted, params["pods_on"], params["no_pods_on"], patience)
        for sentence in [*ending.warnings(ends), *(change.disputed for change in changes)]:
            if sentence:
                module.warn(sentence)
        return {
            "changes": [change.what for change in changes],
            "ending": [objects.label(item) for item in ends],
            "diff": [change.diff() for change in changes],
        }

    admin.run(module, work)


if __name__ == "__main__":
    main()
