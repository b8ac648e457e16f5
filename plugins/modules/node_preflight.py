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
  - Checks a host (kernel, interfaces, addresses, ports, other CNI configurations, what is deployed
    already) and reports all reasons at once why a plan cannot be deployed there.
  - Changes nothing.
author:
  - multinet.flannel authors (@multinet-flannel)
extends_documentation_fragment:
  - multinet.flannel.plan
  - multinet.flannel.cni.cni_bin_dir
  - multinet.flannel.attributes
  - multinet.flannel.attributes.info
options:
  underlay_interface:
    description: The interface to the other hosts.
    type: str
    default: ''
  cni_conf_dir:
    description: The directory of the container runtime's CNI configurations.
    type: path
    default: /etc/cni/net.d
  containerd_config:
    description: The configuration of containerd. Its CNI directories must be O(cni_conf_dir) and
      O(cni_bin_dir).
    type: path
    default: /etc/containerd/config.toml
  containerd_configure:
    description: Whether the deployment changes the configuration of containerd if it has other
      directories.
    type: bool
    default: false
  docker_network:
    description: The network of the plan for docker's own bridge. The bridge's addresses then belong
      to the network.
    type: dict
  prune:
    description: Whether the deployment removes networks that are deployed but no longer declared.
      If V(false), they are a problem.
    type: bool
    default: false
  api_server:
    description: URL of the Kubernetes API for this host. Empty if no program on the host uses the
      API. If the host has tokens of service accounts already, a warning names the accounts that the
      API does not accept.
    type: str
    default: ""
  api_ca:
    description: The CA certificates (PEM) of that API. By default, the host's own CAs are trusted.
    type: str
    default: ""
  launchers:
    description: The paths at which the meta-plugin will be installed.
    type: list
    elements: path
    default: []
  replace_multus:
    description: Whether the meta-plugin replaces Multus. A warning then says what the deployment
      will do. If V(false), a Multus that it would replace is a problem.
    type: bool
    default: false
  multus_daemon_sets:
    description: The DaemonSets (namespace/name) that install Multus on nodes, for the warning.
    type: list
    elements: str
    default: []
  python:
    description: The Python for the collection's own programs on the host. It must be 3.9 or later,
      at a path that systemd units can read. Empty to check none.
    type: str
    default: ""
  subnet_server_port:
    description: The port of 127.0.0.1 at which the subnet server is going to listen; 0 for none.
    type: int
    default: 0
  subnet_server_remote:
    description: Where it is going to listen beyond the host, if anywhere.
    type: dict
    default: {}
    suboptions:
      address:
        description: Its address there; empty for nowhere.
        type: str
        default: ''
      port:
        description: Its port there.
        type: int
        default: 10254
  keeper_metrics_port:
    description: The port of 127.0.0.1 at which the keeper is going to serve its numbers; 0 for
      none.
    type: int
    default: 0
  form:
    description: How flanneld will run, V(units) or V(daemonset), for RV(undeployed). If not set, it
      is not compared.
    type: str
    choices: [units, daemonset]
  taking_over:
    description: Whether M(multinet.flannel.node_takeover) will take over networks of other
      deployments with the same ranges. If V(false), they are a problem.
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
deployed:
  description: Whether networks are deployed here, also by a former version of the collection.
  returned: success
  type: bool
former:
  description: What to remove because the declaration of a network changed, such as devices of
    another VNI or routes of another backend, for M(multinet.flannel.node_removal). It includes what
    an interrupted run left.
  returned: success
  type: list
  elements: dict
own_directories:
  description: Directories that others may use, too, but that did not exist on the host before the
    first deployment.
  returned: success
  type: list
  elements: str
drift:
  description: What M(multinet.flannel.node_repair) must check when the daemons run. This is what
    has drifted, and what changed networks may leave behind.
  returned: success
  type: list
  elements: str
multus_confs:
  description: Configurations of Multus, which a reset needs if Multus is replaced.
  returned: success
  type: list
  elements: str
  sample: [/etc/cni/net.d/00-multus.conf]
wiring_due:
  description: Whether M(multinet.flannel.runtime_wiring) must change anything on this host.
  returned: success
  type: bool
architecture:
  description: The host's architecture, by Go's name.
  returned: always
  type: str
  sample: arm64
removed:
  description: The networks that are deployed here but no longer declared, from the plan of their
    deployment.
  returned: success
  type: list
  elements: dict
without_default:
  description: The networks of the plan that a former version deployed without the MTU that is the
    default now.
  returned: success
  type: list
  elements: str
  sample: []
undeployed:
  description: How the networks of the plan, or the form in which flanneld runs, differ from what is
    deployed, a clause each.
  returned: success
  type: list
  elements: str
  sample: ["network 'blue': backend.vni would change from 1 to 7"]
problems:
  description: The reasons why the plan cannot be deployed, one sentence each.
  returned: always
  type: list
  elements: str
"""

import os
from typing import Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._architectures import SUPPORTED
from ansible_collections.multinet.flannel.plugins.module_utils._attach import detachment
from ansible_collections.multinet.flannel.plugins.module_utils._drift import repairs
from ansible_collections.multinet.flannel.plugins.module_utils._node import deployed as record
from ansible_collections.multinet.flannel.plugins.module_utils._node import multus, root
from ansible_collections.multinet.flannel.plugins.module_utils._plan import changes
from ansible_collections.multinet.flannel.plugins.module_utils._ports import SUBNET_SERVER_REMOTE
from ansible_collections.multinet.flannel.plugins.module_utils._preflight import (
    adoption,
    checks,
    foreign,
    observe,
    python,
    runtimes,
)
from ansible_collections.multinet.flannel.plugins.module_utils._runtime import cri, wiring

ARGUMENT_SPEC = dict(
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
    python=dict(type="str", default=""),
    subnet_server_port=dict(type="int", default=0),
    subnet_server_remote=dict(
        type="dict",
        default={},
        options=dict(
            address=dict(type="str", default=""),
            port=dict(type="int", default=SUBNET_SERVER_REMOTE),
        ),
    ),
    keeper_metrics_port=dict(type="int", default=0),
    form=dict(type="str", choices=["units", "daemonset"]),
    taking_over=dict(type="bool", default=False),
)


class Former(NamedTuple):
    """What the last run left on this host."""

    left: record.Record  # without a plan where there are no networks
    problems: list[str]  # networks that nobody knows any more

    @property
    def plan(self) -> dict[str, Any] | None:
        """The plan that it applied."""
        return self.left.get("plan")


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    refused = root.prepare()
    if refused:
        module.fail_json(msg=refused, problems=[refused], architecture="")
    params = module.params
    plan = params["plan"]
    try:
        former = _former(module)
    except record.DeployedError as error:
        module.fail_json(msg=str(error), problems=[str(error)], architecture="")
    observed, moved = _observed(module, former.plan)
    host = _host(params, observed, former.plan)
    elsewhere = record.elsewhere(former.left, params["cni_conf_dir"])
    api = _api(params)
    found = multus.look(params["cni_conf_dir"], params["cni_bin_dir"])
    found = multus.without(found, moved)
    of_multus = _multus(params, found, is_deployed=bool(former.plan))
    of_runtimes, wiring_due = _runtimes(module)
    changed = changes.changed(former.plan, plan)
    warned = host.warnings + of_runtimes.warnings + changed + api.warnings + of_multus.warnings
    for sentence in warned:
        module.warn(sentence)
    problems = (
        host.problems
        + _python(params["python"])
        + api.problems
        + former.problems
        + ([elsewhere] if elsewhere else [])
        + of_multus.problems
        + of_runtimes.problems
    )
    architecture = SUPPORTED.get(observed["machine"], observed["machine"])
    if problems:
        module.fail_json(
            msg="This host can't carry the declared networks:\n- " + "\n- ".join(problems),
            problems=problems,
            architecture=architecture,
        )
    drifted, by_hand = repairs.ahead(former.left, params["cni_conf_dir"] + "/00-multinet.conf")
    for sentence in by_hand:
        module.warn(sentence)
    module.exit_json(
        changed=False,
        architecture=architecture,
        problems=[],
        deployed=bool(former.plan),
        removed=changes.removed(former.plan, plan),
        without_default=changes.without_default(former.plan, plan),
        undeployed=changes.undeployed(former.plan, plan) + _form(params["form"], former.plan),
        former=changes.former(former.plan, plan, former.left.get("former", [])),
        own_directories=former.left.get("directories", []),
        drift=drifted + changed,
        multus_confs=multus.to_keep(found, moved) if params["replace_multus"] else [],
        wiring_due=wiring_due,
    )


def _form(declared: str | None, deployed: dict[str, Any] | None) -> list[str]:
    """Return a clause if flanneld runs otherwise than it is declared to, none where none runs."""
    if not deployed or not declared:
        return []
    there = "daemonset" if record.in_pods(deployed) else "units"
    if there == declared:
        return []
    return [f"flanneld would run otherwise: multinet_flanneld_form from {there} to {declared}"]


def _former(module: AnsibleModule) -> Former:
    """Return what the record says, or, without it, what the host shows; raise DeployedError."""
    found = record.read()
    if found:
        return Former(found, [])
    directories = observe.missing_directories(
        module.params["cni_conf_dir"], module.params["cni_bin_dir"]
    )
    found = record.Record(directories=directories)
    plan, unknown = record.found_again(module.params["plan"])
    if plan:
        found["plan"] = plan
        names = [network["name"] for network in plan["networks"]]
        module.warn(f"{record.is_lost(names)}. They are assumed to be as declared.")
    problems = []
    if unknown:
        problems.append(
            f"{record.is_lost(unknown)}, and not declared, so it is not known what it has on this"
            " host. Declare it as it was, run the playbook site, and then remove it."
        )
    return Former(found, problems)


def _observed(
    module: AnsibleModule, deployed: dict[str, Any] | None
) -> tuple[dict[str, Any], list[str]]:
    """Return (what checks.problems() judges; paths of configurations that a takeover moves)."""
    plan, conf_dir = module.params["plan"], module.params["cni_conf_dir"]
    observed = observe.observe(
        module.run_command,
        plan,
        conf_dir,
        module.params["cni_bin_dir"],
        [one.port for one in _ports(module.params)],
        deployed,
    )
    moved: list[str] = []
    if module.params["taking_over"]:
        found = foreign.recognise(foreign.look(module.run_command, conf_dir))
        observed = adoption.without(observed, found, plan)
        moved = [os.path.join(conf_dir, name) for name in adoption.files(found, plan)]
    going = [network["cni_name"] for network in changes.removed(deployed, plan)]
    pod_names = detachment.pod_names(cri.sandboxes()) if going else {}
    observed["pods"] = detachment.pods_on(going, pod_names)
    return observed, moved


def _host(
    params: dict[str, Any], observed: dict[str, Any], deployed: dict[str, Any] | None
) -> checks.Judgement:
    """Judge the host itself: its kernel, addresses, devices, ports and files."""
    deployment = checks.Deployment(
        params["plan"],
        deployed,
        underlay_interface=params["underlay_interface"],
        prune=params["prune"],
        cni_conf_dir=params["cni_conf_dir"],
        cni_bin_dir=params["cni_bin_dir"],
        docker_network=(params["docker_network"] or {}).get("name", ""),
        ports=_ports(params),
    )
    return checks.Judgement(
        checks.problems(observed, deployment),
        checks.warnings(observed, params["plan"], deployed, params["underlay_interface"]),
    )


def _ports(params: dict[str, Any]) -> list[checks.Port]:
    """Return the ports that units on the host need besides those of flanneld."""
    server, keeper = checks.SUBNET_SERVER, checks.KEEPER
    remote = params["subnet_server_remote"]
    wanted = [
        (server, params["subnet_server_port"], "127.0.0.1", "multinet_subnet_server_port"),
        (keeper, params["keeper_metrics_port"], "127.0.0.1", "keeper_metrics_port"),
    ]
    if remote.get("address"):
        wanted.append((server, remote["port"], remote["address"], "subnet_server_remote.port"))
    return [checks.Port(*one) for one in wanted if one[1]]


def _python(path: str) -> list[str]:
    """Judge what is to run the programs, if anything."""
    problem = python.problem(path, python.look(path)) if path else ""
    return [problem] if problem else []


def _api(params: dict[str, Any]) -> checks.Judgement:
    """Ask the Kubernetes API from here, and whether it knows the accounts of this host."""
    unreached = observe.api_problem(params["api_server"], params["api_ca"])
    if unreached:
        return checks.Judgement([unreached], [])
    return checks.Judgement([], observe.account_problems(params["api_server"], params["api_ca"]))


def _multus(params: dict[str, Any], found: multus.Found, is_deployed: bool) -> checks.Judgement:
    """Say what replacing the Multus of this host means, or what of it is in the way."""
    asked = found, params["launchers"], is_deployed
    if params["replace_multus"]:
        return checks.Judgement([], multus.sentences(*asked, params["multus_daemon_sets"]))
    problem = multus.problem(*asked)
    return checks.Judgement([problem] if problem else [], [])


def _runtimes(module: AnsibleModule) -> tuple[checks.Judgement, bool]:
    """Judge the container runtimes; also return whether runtime_wiring has anything to do."""
    params = module.params
    settings = wiring.Settings(
        params["cni_conf_dir"],
        params["cni_bin_dir"],
        params["containerd_config"],
        params["containerd_configure"],
        params["docker_network"],
    )
    found = wiring.observe(module.run_command, settings.containerd_config)
    return runtimes.judged(found, settings, bool(params["plan"].get("kubernetes")))


if __name__ == "__main__":
    main()
