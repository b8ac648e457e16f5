#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_removal
short_description: Remove networks, and whatever else the collection made, from a host
version_added: 0.1.0
description:
  - Takes networks off a host, completely, in an order that strands no container. First the CNI
    configuration goes, so that no new container gets the network, then the attachments of running
    containers, the daemon, its devices and its files.
  - What is not there is passed over, so a removal that was stopped half way is completed by the
    next one. The host's own record of what is deployed is left as it is.
author:
  - multinet.flannel authors (@multinet-flannel)
extends_documentation_fragment:
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Lists what is removed.
options:
  networks:
    description: The networks to remove, as they were planned when they were deployed.
    type: list
    elements: dict
    default: []
  all_deployed:
    description: Remove every network that the host's own record says is deployed, too.
    type: bool
    default: false
  cni_conf:
    description: The host's own CNI configuration, whose delegates of these networks go first.
    type: path
    default: /etc/cni/net.d/00-multinet.conf
  cni_bin_dir:
    description: Directory of the CNI plugins, which detach the containers that run.
    type: path
    default: /opt/cni/bin
  devices:
    description: Other network devices to delete.
    type: list
    elements: str
    default: []
  units:
    description: Units to stop and disable after the networks are gone.
    type: list
    elements: str
    default: []
  nft_tables:
    description: nftables tables of family inet to delete after the units are stopped.
    type: list
    elements: str
    default: []
  paths:
    description: Files and directories to remove at the end. A V(*) stands for any part of a name.
    type: list
    elements: path
    default: []
  empty_directories:
    description: Directories to remove only if nothing is left in them, because others may use them
      as well.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
- name: Remove the networks that are no longer declared
  multinet.flannel.node_removal:
    networks: "{{ __preflight_host.removed }}"
"""

RETURN = r"""
networks:
  description: The networks that were (in check mode would be) removed, as they were planned when
    they were deployed.
  returned: success
  type: list
  elements: dict
subnets:
  description: The subnets that this host had of each network, by the network's name.
  returned: success
  type: dict
  sample:
    red: [10.3.7.0/24]
removed:
  description: What was (in check mode would be) removed, in order.
  returned: always
  type: list
  elements: str
  sample: ["unit flanneld@red.service", "device mn-red"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._attach import detachment
from ansible_collections.multinet.flannel.plugins.module_utils._node import (
    deployed,
    lock,
    network_removal,
    removal,
    root,
    subnet_file,
)


def removal_steps(host: removal.Host, params: dict[str, Any]) -> list[removal.Step]:
    """Return all that is to go, in order; params: networks and the options about other things."""
    steps = network_removal.network_steps(
        host,
        params["networks"],
        params["cni_conf"],
        lambda name: detachment.detach_steps(name, params["cni_bin_dir"]),
    )
    steps += removal.device_steps(host, params["devices"])
    steps += removal.unit_steps(host, params["units"])
    steps += removal.table_steps(host, params["nft_tables"])
    known = {step.what for step in steps}
    steps += [step for step in removal.path_steps(params["paths"]) if step.what not in known]
    return steps + removal.empty_directory_steps(params["empty_directories"])


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            networks=dict(type="list", elements="dict", default=[]),
            all_deployed=dict(type="bool", default=False),
            cni_conf=dict(type="path", default="/etc/cni/net.d/00-multinet.conf"),
            cni_bin_dir=dict(type="path", default="/opt/cni/bin"),
            devices=dict(type="list", elements="str", default=[]),
            units=dict(type="list", elements="str", default=[]),
            nft_tables=dict(type="list", elements="str", default=[]),
            paths=dict(type="list", elements="path", default=[]),
            empty_directories=dict(type="list", elements="path", default=[]),
        ),
        supports_check_mode=True,
    )
    refused = root.problem()
    if refused:
        module.fail_json(msg=refused)
    params = module.params
    done = []
    try:
        networks = list(params["networks"])
        if params["all_deployed"]:
            named = {network["name"] for network in networks}
            networks += [
                network
                for network in (deployed.plan() or {}).get("networks", [])
                if network["name"] not in named
            ]
        written = {
            network["name"]: subnet_file.read(network["subnet_file"]) for network in networks
        }
        held = {name: list(map(str, subnet_file.subnets(one))) for name, one in written.items()}
        host = removal.Host(module.run_command)
        steps = removal_steps(host, dict(params, networks=networks))
        if steps and not module.check_mode:
            with lock.by_run():
                for step in steps:
                    step.act()
                    done.append(step.what)
    except (
        removal.RemovalError,
        lock.LockError,
        deployed.DeployedError,
        OSError,
        ValueError,
    ) as error:
        module.fail_json(
            msg=f"{error} Removed before that: {', '.join(done) or 'nothing'}.", removed=done
        )
    removed = [step.what for step in steps]
    module.exit_json(
        changed=bool(removed),
        removed=removed,
        networks=networks,
        subnets=held,
        diff=dict(before="".join(what + "\n" for what in removed), after=""),
    )


if __name__ == "__main__":
    main()
