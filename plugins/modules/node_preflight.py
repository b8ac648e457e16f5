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
  api_server:
    description: URL of the Kubernetes API as this host is to reach it. Empty when nothing on it
      asks the API. Where the host has accounts already, a warning says whom the API does not know.
    type: str
    default: ""
  api_ca:
    description: The certificates (PEM) by which that API is trusted. By default, those of the host.
    type: str
    default: ""
  launchers:
    description: The paths that the meta-plugin is going to have.
    type: list
    elements: path
    default: []
  replace_multus:
    description: Whether the meta-plugin takes the place of Multus where it is. A warning says what
      is going to be done. If V(false), a Multus whose place it would take is a problem.
    type: bool
    default: false
  multus_daemon_sets:
    description: The DaemonSets that bring Multus to nodes (namespace/name), for the warning.
    type: list
    elements: str
    default: []
  taking_over:
    description: Whether networks of others with the same ranges are going to be taken over by
      M(multinet.flannel.node_takeover). If V(false) they are a problem.
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
former:
  description: What networks that stay had here and no longer have (devices of another VNI, routes
    of another backend), for M(multinet.flannel.node_removal). What a run that was stopped has left
    is among it.
  returned: success
  type: list
  elements: dict
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
multus_confs:
  description: Multus' configurations, as a reset will need them where it is replaced.
  returned: success
  type: list
  elements: str
  sample: [/etc/cni/net.d/00-multus.conf]
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

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._architectures import SUPPORTED
from ansible_collections.multinet.flannel.plugins.module_utils._attach import detachment
from ansible_collections.multinet.flannel.plugins.module_utils._drift import compare, repair
from ansible_collections.multinet.flannel.plugins.module_utils._drift import observe as drift
from ansible_collections.multinet.flannel.plugins.module_utils._node import deployed as record
from ansible_collections.multinet.flannel.plugins.module_utils._node import multus, root
from ansible_collections.multinet.flannel.plugins.module_utils._plan import changes
from ansible_collections.multinet.flannel.plugins.module_utils._preflight import (
    adoption,
    checks,
    foreign,
    observe,
)
from ansible_collections.multinet.flannel.plugins.module_utils._runtime import cri, wiring


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
            api_server=dict(type="str", default=""),
            api_ca=dict(type="str", default=""),
            launchers=dict(type="list", elements="path", default=[]),
            replace_multus=dict(type="bool", default=False),
            multus_daemon_sets=dict(type="list", elements="str", default=[]),
            taking_over=dict(type="bool", default=False),
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
    moved: list[str] = []
    if module.params["taking_over"]:
        found = foreign.recognise(foreign.look(module.run_command, module.params["cni_conf_dir"]))
        observed = adoption.without(observed, found, plan)
        conf_dir = module.params["cni_conf_dir"]
        moved = [os.path.join(conf_dir, name) for name in adoption.files(found, plan)]
    going = [network["cni_name"] for network in changes.removed(deployed, plan)]
    pod_names = detachment.pod_names(cri.sandboxes()) if going else {}
    observed["pods"] = detachment.pods_on(going, pod_names)
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
    unreached = observe.api_problem(module.params["api_server"], module.params["api_ca"])
    problems += [unreached] if unreached else []
    unknown_here = (
        []
        if unreached
        else observe.account_problems(module.params["api_server"], module.params["api_ca"])
    )
    if unknown:
        problems.append(
            f"{record.is_lost(unknown)}, and not declared, so nobody knows what it has on this"
            " host. Declare it as it was, run the playbook site, and remove it then."
        )
    params = module.params
    others = multus.look(params["cni_conf_dir"], params["cni_bin_dir"])
    others = multus.without(others, moved)
    of_multus = others, params["launchers"], bool(deployed)
    if not params["replace_multus"]:
        problems += filter(None, [multus.problem(*of_multus)])
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
        + unknown_here
        + (
            multus.sentences(*of_multus, params["multus_daemon_sets"])
            if params["replace_multus"]
            else []
        )
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
        former=changes.former(deployed, plan, (deployment_record or {}).get("former", [])),
        own_directories=own_directories,
        drift=_drift(module, deployed) + changed,
        multus_confs=multus.to_keep(others, moved) if params["replace_multus"] else [],
        wiring_due=wiring_due,
    )


if __name__ == "__main__":
    main()
