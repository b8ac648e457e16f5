#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_objects
short_description: Create, update and remove the collection's objects at the Kubernetes API
version_added: 0.1.0
description:
  - Creates and updates the objects by server-side apply. Removes all other objects with the
    collection's label.
  - A CustomResourceDefinition that somebody else created is not changed. One of the collection's
    own is removed only if it has no objects of others.
  - An object that is being deleted is not deleted again. A warning names its finalizers and who set
    them. If the object is wanted again, the module waits until it is gone.
  - Earlier versions of the collection made DaemonSets that name their nodes. Before such a
    DaemonSet is changed into one that selects nodes by a label, the nodes where its pods run get
    that label.
author: [multinet.flannel authors (@multinet-flannel)]
extends_documentation_fragment:
  - multinet.flannel.kubernetes_admin
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
    details: Uses a dry run of the API to find what would change.
  diff_mode:
    support: full
    details: Shows each object before and after, except Secrets.
options:
  objects:
    description: The objects, as the filter P(multinet.flannel.kubernetes_objects#filter) returns
      them. An empty list removes all objects with the label.
    type: list
    elements: dict
    required: true
  secrets:
    description: The content of the Secrets among the objects, as the filter
      P(multinet.flannel.kubernetes_secrets#filter) returns it.
    type: dict
    default: {}
  kinds:
    description: Process only objects of these kinds. By default all kinds that the collection
      creates.
    type: list
    elements: str
    default: []
  later:
    description: For these kinds, this call only removes objects. It creates and updates none.
    type: list
    elements: str
    default: []
  pods_on:
    description: Names of nodes. The module waits until each DaemonSet among the objects has a ready
      pod of its current template on each of these nodes.
    type: list
    elements: str
    default: []
  no_pods_on:
    description: Names of nodes. The module waits until no DaemonSet among the objects has a pod on
      these nodes. It creates no DaemonSet, and changes only those that do not select nodes by a
      label. Use it with O(kinds=DaemonSet).
    type: list
    elements: str
    default: []
  declared:
    description: Names of networks. The objects of other networks stay, with a warning, because
      nodes may still have these networks. By default, they are removed.
    type: list
    elements: str
  access_stays:
    description: Whether rights of nodes stay even if they are not needed any more, with a warning,
      because other nodes may still need them. It is an error then if DaemonSets of the networks in
      O(declared) would end.
    type: bool
    default: false
  timeout:
    description: Seconds to wait until a removed object is gone, until a CustomResourceDefinition is
      served, and for pods.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Create the objects that the networks need
  multinet.flannel.kubernetes_objects:
    kubeconfig: ~/.kube/config
    objects: "{{ multinet_plan | multinet.flannel.kubernetes_objects(settings) }}"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
changes:
  description: The changes that were (in check mode, would be) made, in order.
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

import functools
from collections.abc import Collection
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import (
    admin,
    apply,
    daemonset,
    ending,
    objects,
)

ARGUMENT_SPEC = {
    "kubeconfig": {"type": "str", "required": True},
    "objects": {"type": "list", "elements": "dict", "required": True},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "kinds": {"type": "list", "elements": "str", "default": []},
    "later": {"type": "list", "elements": "str", "default": []},
    "pods_on": {"type": "list", "elements": "str", "default": []},
    "no_pods_on": {"type": "list", "elements": "str", "default": []},
    "declared": {"type": "list", "elements": "str"},
    "access_stays": {"type": "bool", "default": False},
    "timeout": {"type": "int", "default": 60},
}


def wanted_objects(module: AnsibleModule, kinds: Collection[str]) -> list[apply.Item]:
    """Return the objects of these kinds, with the contents of Secrets, which are not logged."""
    secrets = module.params["secrets"]
    found = [item for item in module.params["objects"] if item["kind"] in kinds]
    try:
        found = [
            daemonset.with_contents(item, secrets) if item["kind"] == "Secret" else item
            for item in found
        ]
    except KeyError as error:
        module.fail_json(
            msg=f"O(secrets) lacks the content of the Secret {error.args[0]}. Add it there."
        )
    for item in found:
        if item["kind"] == "Secret":
            module.no_log_values.update(filter(None, item["data"].values()))
    return found


def work(
    module: AnsibleModule, wanted: list[apply.Item], scope: apply.Scope, api: admin.Admin
) -> dict[str, Any]:
    """Bring the objects about, and return the result; raise AdminError."""
    params = module.params
    patience = apply.Patience(params["timeout"])
    changes, ends, staying = apply.bring_about(
        api, wanted, scope, check_mode=module.check_mode, patience=patience
    )
    if not module.check_mode:
        apply.wait_for_pods(api, wanted, params["pods_on"], params["no_pods_on"], patience)
    told = [*ending.warnings(ends), *apply.stays(staying)]
    for sentence in [*told, *(change.disputed for change in changes)]:
        if sentence:
            module.warn(sentence)
    return {
        "changes": [change.what for change in changes],
        "ending": [objects.label(item) for item in ends],
        "diff": [change.diff() for change in changes],
    }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    scope = apply.Scope(
        params["kinds"] or objects.KINDS,
        later=params["later"],
        leaving=params["no_pods_on"],
        declared=params["declared"],
        access_stays=params["access_stays"],
    )
    wanted = wanted_objects(module, scope.kinds)
    admin.run(module, functools.partial(work, module, wanted, scope))


if __name__ == "__main__":
    main()
