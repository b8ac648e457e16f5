#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_info
short_description: Read pods, Services and published ports from the Kubernetes API
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Lists pods, Services and EndpointSlices of all namespaces. Returns the fields that a measurement
    needs or is compared with, and kube-proxy's settings for pods.
  - Run it once, on the controller.
extends_documentation_fragment:
  - multinet.flannel.kubernetes_admin
  - multinet.flannel.attributes
  - multinet.flannel.attributes.info
options:
  inventory:
    description: Names of the Node objects of all hosts that have the networks. The module warns
      about other nodes. Without this option, nodes are not read.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Read the cluster
  multinet.flannel.cluster_info:
    kubeconfig: ~/.kube/config
  delegate_to: localhost
  run_once: true
  register: cluster
"""

RETURN = r"""
cluster:
  description: >-
    C(pods) has the pods with label, uid, node, whether they run, whether they use the host's
    network, and their annotation network-status. C(services) has the TCP services with node,
    address, port and ready endpoints. C(ports) has the ports that nodes publish (hostPort,
    NodePort) with node, port and endpoints. C(nodes) has the addresses of nodes that have pods.
    C(kube_proxy) is as M(multinet.flannel.kubernetes_info) returns it; it is also null if the user
    may not read the ConfigMap.
  returned: success
  type: dict
published:
  description: Only C(services), C(ports) and C(nodes) of RV(cluster).
    M(multinet.flannel.isolation_probe) needs no more.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import (
    admin,
    cluster,
    kube_proxy,
    nodes,
)

NODES = "/api/v1/nodes"
FORBIDDEN = 403
LISTS = ("/api/v1/pods", "/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "str", "required": True},
            "inventory": {"type": "list", "elements": "str"},
        },
        supports_check_mode=True,
    )
    try:
        api = admin.Admin(module.params["kubeconfig"])
        found = [api.items(path) or [] for path in LISTS]
        inventory = module.params["inventory"]
        here = [] if inventory is None else api.items(NODES) or []
        proxy = _kube_proxy(api)
    except admin.AdminError as error:
        module.fail_json(
            msg=(
                f"{error} The kubeconfig in multinet_kubeconfig must have the right to list pods,"
                " Services and EndpointSlices."
            )
        )
    strangers = nodes.outside(here, inventory or ())
    if strangers:
        module.warn(strangers)
    seen = dict(cluster.view(*found), kube_proxy=proxy)
    module.exit_json(
        changed=False,
        cluster=seen,
        published={key: seen[key] for key in ("services", "ports", "nodes")},
    )


def _kube_proxy(api: admin.Admin) -> dict[str, Any] | None:
    try:
        return kube_proxy.look(api)
    except admin.AdminError as error:
        if error.status != FORBIDDEN:
            raise
        return None


if __name__ == "__main__":
    main()
