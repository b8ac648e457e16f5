#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_info
short_description: Read from a Kubernetes cluster what several networks need
version_added: 0.1.0
description:
  - Reads nodes with their podCIDRs, namespaces, DaemonSets, and the ConfigMap of kube-proxy.
    Changes nothing.
  - Warns about nodes that are not in the inventory.
  - Fails if the API cannot be reached or does not accept the user, and says why.
author: [multinet.flannel authors (@multinet-flannel)]
options:
  inventory:
    description: Names of the Node objects of all hosts that have the networks. Without it, there is
      no warning about other nodes.
    type: list
    elements: str
  namespace:
    description: If the kubeconfig has no CA certificates, they are read from the ConfigMap
      C(kube-root-ca.crt) of this namespace.
    type: str
    default: kube-system
  plan:
    description: The plan. The module then warns if networks with C(attach=all) shift the interface
      names of other networks. If nodes have the networks already, it also warns if kube-proxy's
      settings do not match their pods.
    type: dict
  image:
    description: The image of flanneld, if it runs in pods. With it and O(plan), a dry run checks
      whether the API allows such pods in O(namespace).
    type: str
    default: ""
extends_documentation_fragment:
  - multinet.flannel.kubernetes_admin
  - multinet.flannel.attributes
  - multinet.flannel.attributes.info
"""

EXAMPLES = r"""
- name: Read the cluster
  multinet.flannel.kubernetes_info:
    kubeconfig: ~/.kube/config
  delegate_to: localhost
  run_once: true
  register: cluster
"""

RETURN = r"""
shared:
  description: Names of the nodes that O(inventory) has more than once.
  returned: success
  type: list
  elements: str
  sample: []
server:
  description: URL of the API, from the kubeconfig.
  returned: success
  type: str
  sample: https://192.0.2.10:6443
ca:
  description: The CA certificates (PEM) of the API, or an empty string.
  returned: success
  type: str
version:
  description: Version of the API server.
  returned: success
  type: str
  sample: v1.34.4
nodes:
  description: The podCIDRs (list of str) of each Node object, by name.
  returned: success
  type: dict
  sample:
    node1: [10.244.0.0/24]
announced:
  description: Names of the nodes that M(multinet.flannel.kubernetes_nodes) labelled as having the
    networks.
  returned: success
  type: list
  elements: str
guarded:
  description: The networks (list of str) whose flanneld may run in a pod on a node, by the names of
    the nodes for which there are any, see M(multinet.flannel.kubernetes_nodes).
  returned: success
  type: dict
  sample:
    node1: [blue, red]
addresses:
  description: The addresses (InternalIP) of each node that has any.
  returned: success
  type: dict
  sample:
    node1: [192.0.2.11]
kube_proxy:
  description: How kube-proxy recognizes the pods of its node. Null if no ConfigMap says so, or if
    no DaemonSet uses that ConfigMap.
  returned: success
  type: dict
  sample: {mode: ClusterCIDR, cidrs: [10.244.0.0/16], interface: "", hides_all: false}
definitions:
  description: The NetworkAttachmentDefinitions (namespace/name) that are not the collection's.
  returned: success
  type: list
  elements: str
  sample: [apps/storage]
multus:
  description: The DaemonSets (namespace/name) that install Multus on nodes.
  returned: success
  type: list
  elements: str
  sample: [kube-system/kube-multus-ds]
pod_security:
  description: The Pod Security level of each namespace that enforces one.
  returned: success
  type: dict
  sample: {apps: baseline}
pods_refused:
  description: Why the API refuses flanneld's pods in the namespace. Empty if it allows them.
  returned: success
  type: str
namespaces:
  description: Names of the namespaces.
  returned: success
  type: list
  elements: str
  sample: [default, kube-system]
terminating:
  description: Names of the namespaces that are being deleted.
  returned: success
  type: list
  elements: str
  sample: []
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import (
    admin,
    guards,
    kube_proxy,
    objects,
    pods_of_others,
    trial,
)
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import (
    nodes as node_objects,
)
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes.questions import (
    INTERNAL_ADDRESSES,
    NAMES,
    POD_CIDRS,
    TERMINATING,
    ask,
)

ENFORCED = "pod-security.kubernetes.io/enforce"


def look(api: admin.Admin, params: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return what RETURN says, and sentences to warn with; raise AdminError."""
    plan, inventory = params["plan"] or {"networks": []}, params["inventory"]
    namespace, image = params["namespace"], params["image"]
    in_pods = image and plan["networks"]
    version = api.get("/version") or {}
    nodes = api.items("/api/v1/nodes") or []
    namespaces = api.items("/api/v1/namespaces") or []
    proxy = kube_proxy.look(api)
    announced = [node["metadata"]["name"] for node in nodes if node_objects.is_announced(node)]
    definitions = api.items("/apis/k8s.cni.cncf.io/v1/network-attachment-definitions") or []
    others = [objects.full_name(item) for item in definitions if not objects.is_ours(item)]
    found = {
        "announced": announced,
        "definitions": others,
        "guarded": _by_name(nodes, guards.networks_of),
        "kube_proxy": proxy,
        "multus": pods_of_others.multus(api.items("/apis/apps/v1/daemonsets") or []),
        "pod_security": _by_name(namespaces, _pod_security),
        "pods_refused": trial.refusal(api, plan, namespace, image) if in_pods else "",
        "shared": sorted(name for name, times in Counter(inventory or []).items() if times > 1),
        "server": api.server,
        "ca": api.ca(namespace),
        "version": version.get("gitVersion", ""),
        "addresses": _by_name(nodes, lambda node: ask(INTERNAL_ADDRESSES, node)),
        "nodes": {node["metadata"]["name"]: ask(POD_CIDRS, node) for node in nodes},
        "namespaces": ask(NAMES, namespaces),
        "terminating": ask(TERMINATING, namespaces),
    }
    warnings = pods_of_others.shifted(plan["networks"], others)
    if announced:  # otherwise it is a problem (filter kubernetes_problems)
        warnings += kube_proxy.problems(proxy, plan)
    if inventory is not None:
        warnings.append(node_objects.outside(nodes, inventory))
    return found, warnings


def _by_name(items: list[dict[str, Any]], value: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Return {name: value} of the objects for which there is any."""
    found = {item["metadata"]["name"]: value(item) for item in items}
    return {name: one for name, one in found.items() if one}


def _pod_security(namespace: dict[str, Any]) -> str | None:
    return (namespace["metadata"].get("labels") or {}).get(ENFORCED)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "str", "required": True},
            "plan": {"type": "dict"},
            "inventory": {"type": "list", "elements": "str"},
            "namespace": {"type": "str", "default": "kube-system"},
            "image": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    try:
        found, warnings = look(admin.Admin(module.params["kubeconfig"]), module.params)
    except admin.AdminError as error:
        module.fail_json(msg=str(error))
    for sentence in filter(None, warnings):
        module.warn(sentence)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
