#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_info
short_description: What the Kubernetes API says of pods, Services and published ports
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Lists pods, Services and EndpointSlices of all namespaces and returns the little of them that a
    measurement is compared with and needs, and how kube-proxy is told to treat pods.
  - Run it once, on the controller.
extends_documentation_fragment:
  - multinet.flannel.kubernetes_admin
  - multinet.flannel.attributes
  - multinet.flannel.attributes.info
options:
  inventory:
    description: Names of the Node objects of all hosts that have the networks. The module warns of
      other nodes. Without it, nodes are not asked for.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: See what the cluster says
  multinet.flannel.cluster_info:
    kubeconfig: ~/.kube/config
  delegate_to: localhost
  run_once: true
  register: cluster
"""

RETURN = r"""
cluster:
  description: >-
    The C(pods) with label, uid, node, whether they run, whether they are in the host's network, and
    their annotation network-status; the TCP
    C(services) with address, port and ready endpoints; the C(ports) that nodes publish (hostPort,
    NodePort) with node, port and endpoints; C(kube_proxy) as M(multinet.flannel.kubernetes_info)
    returns it, null also where its ConfigMap may not be read.
  returned: success
  type: dict
published:
  description: C(services) and C(ports) of RV(cluster) alone, which is all that
    M(multinet.flannel.isolation_probe) needs.
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
        changed=False, cluster=seen, published={key: seen[key] for key in ("services", "ports")}
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
