#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: node_status_info
short_description: Check whether the networks of a host are as deployed
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Compares a host with the plan that was last applied to it. For each network, it checks the
    configuration in the data store, the daemon, the lease, the subnet file, the devices, the
    bridge, the MTU of pods, and the routes to all other hosts. For the host, it checks the sysctls,
    the guard, other firewalls, the executables, the data store and the CNI configuration.
  - Each deviation has its cause and its remedy.
options:
  host:
    description:
      - What the inventory calls the host. It is compared with the name under which the host was
        deployed, because an inventory may have the addresses of two hosts the wrong way round.
    type: str
    default: ''
  containerd_config:
    description: The configuration of containerd. Nodes of Kubernetes whose containerd or CRI-O has
      other CNI directories than O(cni_conf) and O(cni_bin_dir) deviate.
    type: path
    default: /etc/containerd/config.toml
  endpoints:
    description: Whether every endpoint of etcd must answer. By default, one is enough.
    type: bool
    default: false
  announced:
    description: Whether the host's Node object says that it has the networks, if that is known, see
      M(multinet.flannel.kubernetes_info).
    type: bool
  cluster_problem:
    description: Why M(multinet.flannel.kubernetes_info) could not look at the cluster, to be told
      with what could not be checked.
    type: str
    default: ''
extends_documentation_fragment:
  - multinet.flannel.cni_conf
  - multinet.flannel.cni.cni_bin_dir
  - multinet.flannel.attributes
  - multinet.flannel.attributes.info
"""

EXAMPLES = r"""
- name: Check whether the networks are as deployed
  multinet.flannel.node_status_info:
  register: found
"""

RETURN = r"""
ok:
  description: Whether everything could be checked and is as deployed.
  returned: success
  type: bool
deployed:
  description: Whether anything is deployed on this host.
  returned: success
  type: bool
networks:
  description: Each network with its subnets on this host and whether it is as planned.
  returned: success
  type: list
  elements: dict
  sample:
    - name: blue
      ok: true
      subnets: [10.1.39.1/24]
deviations:
  description: What is not as planned, causes first. Deviations of the host itself have no network.
  returned: success
  type: list
  elements: dict
  sample:
    - network: blue
      kind: device
      sentence: the device flannel.1 is down
      remedy: "restart the daemon: run the playbook site"
lines:
  description: The same as text, one line for each network and each deviation.
  returned: success
  type: list
  elements: str
  sample:
    - "blue: 10.1.39.1/24, not as deployed"
    - "  the device flannel.1 is down; restart the daemon: run the playbook site"
    - "red: 10.3.21.1/24, as deployed"
not_looked_at:
  description: What could not be checked, as sentences.
  returned: success
  type: list
  elements: str
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._drift import (
    commands,
    compare,
    observe,
)
from ansible_collections.multinet.flannel.plugins.module_utils._kube_client import probe
from ansible_collections.multinet.flannel.plugins.module_utils._node import deployed, root
from ansible_collections.multinet.flannel.plugins.module_utils._runtime import wiring


def main() -> None:
    """Look, compare, and return what deviates."""
    module = AnsibleModule(
        argument_spec={
            "cni_conf": {"type": "path", "default": "/etc/cni/net.d/00-multinet.conf"},
            "host": {"type": "str", "default": ""},
            "cni_bin_dir": {"type": "path", "default": "/opt/cni/bin"},
            "containerd_config": {"type": "path", "default": wiring.CONTAINERD},
            "endpoints": {"type": "bool", "default": False},
            "announced": {"type": "bool"},
            "cluster_problem": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    refused = root.prepare()
    if refused:
        module.fail_json(msg=refused)
    plan: dict[str, Any] | None = None
    seen: dict[str, Any] | None = None
    try:
        record = deployed.record()
        if record:
            plan = record["plan"]
            seen = observe.look(record, module.params["cni_conf"])
            seen["member"] = compare.member_down(seen)
            if module.params["endpoints"]:
                seen["silent"] = compare.silent(seen, observe.silent_endpoints(plan))
            seen["announced"] = module.params["announced"]
            seen["named"] = _named(record, module.params["host"])
            if plan["kubernetes"]:
                seen["runtimes"] = _passed_over(module)
            kubeconfig = (plan.get("cni_conf") or {}).get("kubeconfig")
            if kubeconfig:
                seen["api"] = probe.problem(kubeconfig)
    except (deployed.DeployedError, commands.ObserveError) as error:
        module.fail_json(msg=f"This host could not be looked at. {error}")
    result = compare.status(plan, seen)
    if module.params["cluster_problem"]:
        told = f"The nodes of the cluster were not looked at. {module.params['cluster_problem']}"
        result["lines"].append(told)
        result["not_looked_at"].append(told)
    module.exit_json(changed=False, **result)


def _named(record: deployed.Record, name: str) -> tuple[str, str] | None:
    """Return the name under which this host was deployed and the one that it has now, None if they
    are the same or not known. record: deployed.record().
    """
    before = record.get("host")
    return (before, name) if before and name and before != name else None


def _passed_over(module: AnsibleModule) -> list[str]:
    """Return in what the container runtimes pass over the meta-plugin: an upgrade of theirs may
    have replaced their settings.
    """
    params = module.params
    conf_dir = os.path.dirname(params["cni_conf"])
    settings = wiring.Settings(conf_dir, params["cni_bin_dir"], params["containerd_config"])
    return wiring.passed_over(module.run_command, settings)


if __name__ == "__main__":
    main()
