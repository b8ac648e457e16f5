#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_preflight
short_description: Check a host before anything is changed on it
version_added: 0.1.0
description:
  - Looks at a host (kernel, interfaces, addresses, ports, other CNI configurations, what is
    deployed already) and says everything that stands in the way of deploying a plan there, all at
    once.
  - Changes nothing.
author:
  - multinet.flannel authors (@multinet-flannel)
extends_documentation_fragment:
  - multinet.flannel.plan
  - multinet.flannel.attributes
  - multinet.flannel.attributes.info
options:
  underlay_interface:
    description: The interface that reaches the other hosts.
    type: str
    default: ''
  cni_conf_dir:
    description: The directory of the container runtime's CNI configurations.
    type: path
    default: /etc/cni/net.d
  cni_bin_dir:
    description: The directory of CNI's executables.
    type: path
    default: /opt/cni/bin
  containerd_config:
    description: The configuration of containerd. What it says of CNI must fit the two directories.
    type: path
    default: /etc/containerd/config.toml
  containerd_configure:
    description: Whether the configuration of containerd is going to be changed where it does not
      fit.
    type: bool
    default: false
  docker_network:
    description: The network, as in the plan, that docker's own bridge is in. Its addresses are the
      network's then.
    type: dict
  prune:
    description: Whether networks that are deployed but no longer declared are going to be removed.
      If V(false) they are a problem.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Check the host
  multinet.flannel.node_preflight:
    plan: "{{ multinet_plan }}"
    underlay_interface: eth0
"""

RETURN = r"""
stale_devices:
  description: Devices of networks that stay, under names that they no longer have (another VNI, for
    example).
  returned: success
  type: list
  elements: str
own_directories:
  description: Directories that others may use as well, but which the host did not have before
    anything was deployed.
  returned: success
  type: list
  elements: str
drift:
  description: What M(multinet.flannel.node_repair) has to look at when the daemons run, which is
    what has drifted, and what networks that change may leave of what they were.
  returned: success
  type: list
  elements: str
wiring_due:
  description: Whether M(multinet.flannel.runtime_wiring) has anything to do here.
  returned: success
  type: bool
architecture:
  description: The host's architecture in Go's words.
  returned: always
  type: str
  sample: arm64
removed:
  description: The networks that are deployed here but no longer declared, as they were planned.
  returned: success
  type: list
  elements: dict
problems:
  description: What stands in the way, a sentence each.
  returned: always
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._architectures import SUPPORTED
from ansible_collections.multinet.flannel.plugins.module_utils._attach import detachment
from ansible_collections.multinet.flannel.plugins.module_utils._drift import compare, repair
from ansible_collections.multinet.flannel.plugins.module_utils._drift import observe as drift
from ansible_collections.multinet.flannel.plugins.module_utils._node import deployed as record
from ansible_collections.multinet.flannel.plugins.module_utils._node import root
from ansible_collections.multinet.flannel.plugins.module_utils._plan import changes
from ansible_collections.multinet.flannel.plugins.module_utils._preflight import checks, observe
from ansible_collections.multinet.flannel.plugins.module_utils._runtime import wiring


def _drift(module: AnsibleModule, deployed: dict[str, Any] | None) -> list[str]:
    """Return what has drifted from the plan that was last applied and can be put right."""
    if not deployed:
        return []
    try:
        seen = drift.look(deployed, module.params["cni_conf_dir"] + "/00-multinet.conf")
    except drift.ObserveError as error:
        module.warn(f"What has drifted on this host could not be looked at. {error}")
        return []
    compared = compare.compared(deployed, seen)
    steps = repair.steps(*compared)
    for one in repair.left_to_hands(compared, steps):
        module.warn(f"Not as deployed: {one.line()}.")
    # what flanneld is told of the underlay is written anew, and then the rest is looked at again
    underlay = [one.line() for one in compared.found if one.kind == "underlay"]
    return underlay + [step.sentence() for step in steps]


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            plan=dict(type="dict", required=True),
            underlay_interface=dict(type="str", default=""),
            cni_conf_dir=dict(type="path", default="/etc/cni/net.d"),
            cni_bin_dir=dict(type="path", default="/opt/cni/bin"),
            containerd_config=dict(type="path", default=wiring.CONTAINERD),
            containerd_configure=dict(type="bool", default=False),
            docker_network=dict(type="dict"),
            prune=dict(type="bool", default=False),
        ),
        supports_check_mode=True,
    )
    refused = root.problem()
    if refused:
        module.fail_json(msg=refused, problems=[refused], architecture="")
    plan = module.params["plan"]
    try:
        deployment_record = record.read()
    except record.DeployedError as error:
        module.fail_json(msg=str(error), problems=[str(error)], architecture="")
    unknown: list[str] = []
    if deployment_record:
        deployed = deployment_record["plan"]
    else:
        deployed, unknown = record.found_again(plan)
    if deployed and not deployment_record:
        names = [network["name"] for network in deployed["networks"]]
        module.warn(f"{record.is_lost(names)}. They are taken for what is declared.")
    own_directories = (
        deployment_record.get("directories", [])
        if deployment_record
        else observe.missing_directories(
            module.params["cni_conf_dir"], module.params["cni_bin_dir"]
        )
    )
    observed = observe.observe(
        module.run_command, plan, module.params["cni_conf_dir"], module.params["cni_bin_dir"]
    )
    going = [network["cni_name"] for network in changes.removed(deployed, plan)]
    observed["pods"] = detachment.pods_on(going, detachment.pod_names()) if going else []
    deployment = checks.Deployment(
        plan,
        deployed,
        underlay_interface=module.params["underlay_interface"],
        prune=module.params["prune"],
        cni_conf_dir=module.params["cni_conf_dir"],
        cni_bin_dir=module.params["cni_bin_dir"],
        docker_network=(module.params["docker_network"] or {}).get("name", ""),
    )
    problems = checks.problems(observed, deployment)
    if unknown:
        problems.append(
            f"{record.is_lost(unknown)}, and not declared, so nobody knows what it has on this"
            " host. Declare it as it was, run the playbook site, and remove it then."
        )
    params = module.params
    found = wiring.observe(module.run_command, params["containerd_config"])
    settings = wiring.Settings(
        params["cni_conf_dir"],
        params["cni_bin_dir"],
        params["containerd_config"],
        params["containerd_configure"],
        params["docker_network"],
    )
    try:
        due = wiring.due(found, settings)
        # or it has a warning to give
        wiring_due = bool(
            due.changes
            or due.restarts
            or due.record != due.former
            or (found["crio"] is not None and wiring.crio_former_pods(params["cni_conf_dir"]))
        )
    except (wiring.WiringError, OSError) as error:
        problems.append(str(error))
    runtimes = wiring.containerd_problems(found["containerd"], settings)
    runtimes += wiring.crio_problems(found["crio"], settings)
    # without Kubernetes, containerd may well serve docker alone, which asks no CNI
    problems += runtimes if plan.get("kubernetes") else []
    changed = changes.changed(deployed, plan)
    for sentence in (
        checks.warnings(observed, plan, deployed, module.params["underlay_interface"])
        + ([] if plan.get("kubernetes") else runtimes)
        + changed
    ):
        module.warn(sentence)
    architecture = SUPPORTED.get(observed["machine"], observed["machine"])
    if problems:
        module.fail_json(
            msg="This host can't carry the declared networks:\n- " + "\n- ".join(problems),
            problems=problems,
            architecture=architecture,
        )
    module.exit_json(
        changed=False,
        architecture=architecture,
        problems=[],
        removed=changes.removed(deployed, plan),
        stale_devices=checks.stale_devices(observed, plan, deployed),
        own_directories=own_directories,
        drift=_drift(module, deployed) + changed,
        wiring_due=wiring_due,
    )


if __name__ == "__main__":
    main()
