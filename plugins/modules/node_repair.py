#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: node_repair
short_description: Repair what has drifted from the deployed networks on a host
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Compares the host with the plan that was last applied to it, as
    M(multinet.flannel.node_status_info) does, and repairs what it can without interrupting the
    traffic of running pods. Examples are to restart the flanneld of the network, to remove the
    address of a former subnet from a device, to add the missing address of a bridge, to remove the
    bridge of a former subnet without pods, and to set a sysctl.
  - Removes FDB entries, neighbours and routes that flanneld made to a host that no longer has a
    lease. It does so only if the data store lists the leases of this host and of others, and lists
    the same leases again some seconds later, and flanneld has applied these leases.
  - Returns the deviations that remain. Somebody must repair them by hand.
extends_documentation_fragment:
  - multinet.flannel.cni_conf
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows each repair with its deviation.
options:
  public_ip:
    description:
      - The new public IP of this host's daemons. If given, nothing is compared or repaired.
        Instead, the host's leases in etcd get this address in place of the former one, before the
        daemons are restarted with it. A flanneld without a lease for its address would lease
        another subnet, and the host's pods would lose their network.
    type: str
  timeout:
    description: Seconds to wait until the restarted daemons are ready and their networks are as
      planned.
    type: int
    default: 90
  scope:
    description:
      - What is repaired. V(own) is this host's own share of the networks, V(ways) what leads to
        hosts without a lease, V(all) is both.
      - After V(own) on all hosts, V(ways) takes nothing away of a host whose lease was lost and has
        been repaired.
    type: str
    choices: [all, own, ways]
    default: all
  unleased_for:
    description: For so many seconds each look must find what leads to a host without a lease before
      it is removed. Give hosts that are no part of the run the time in which their own keepers
      repair their leases (90).
    type: int
    default: 3
"""

EXAMPLES = r"""
- name: Repair what has drifted
  multinet.flannel.node_repair:

- name: Remove what leads to hosts without a lease, after all hosts have their leases
  multinet.flannel.node_repair:
    scope: ways

- name: Keep the subnets of a host whose address has changed
  multinet.flannel.node_repair:
    public_ip: 192.0.2.7
"""

RETURN = r"""
repaired:
  description: The repairs that were (in check mode, would be) made.
  returned: success
  type: list
  elements: str
  sample: ["flanneld@blue.service is restarted: the device flannel.1 is down"]
left:
  description: The remaining deviations, as sentences with their remedies.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._drift import commands, repairs
from ansible_collections.multinet.flannel.plugins.module_utils._etcd import client, handover
from ansible_collections.multinet.flannel.plugins.module_utils._node import (
    deployed,
    lock,
    root,
    units,
)


def hand_over(module: AnsibleModule, plan: dict[str, Any], public_ip: str) -> list[str]:
    """Give the host's leases another address; return sentences about it."""
    names = [network["unit"] for network in plan["networks"]]
    shown = units.Systemd(module.run_command).show(names)
    running = {name: int(shown.get(name, {}).get("MainPID") or 0) for name in names}
    with lock.by_run():
        return handover.hand_over(plan["networks"], running, public_ip, check=module.check_mode)


def main() -> None:
    """Look, repair, and look again until it is as planned."""
    root.complete_path()
    module = AnsibleModule(
        argument_spec={
            "cni_conf": {"type": "path", "default": "/etc/cni/net.d/00-multinet.conf"},
            "public_ip": {"type": "str"},
            "timeout": {"type": "int", "default": 90},
            "scope": {"type": "str", "choices": ["all", "own", "ways"], "default": "all"},
            "unleased_for": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
    )
    public_ip = module.params["public_ip"]
    try:
        record = deployed.record()
        if record is None:
            module.exit_json(changed=False, repaired=[], left=[])
            return
        if public_ip:
            before, repaired, left = [], hand_over(module, record["plan"], public_ip), []
        else:
            asked = repairs.Asked(*(module.params[name] for name in repairs.Asked._fields))
            work = repairs.Repairs(record, asked, units.Systemd(module.run_command))
            if not module.check_mode:
                work.make()
            for sentence in work.warnings:
                module.warn(sentence)
            made = work.steps if module.check_mode else work.made
            before, repaired = [step.reason for step in made], [step.sentence() for step in made]
            left = [] if module.check_mode else [one.line() for one in work.found]
    except (
        repairs.RepairError,
        deployed.DeployedError,
        commands.ObserveError,
        units.UnitError,
        lock.LockError,
        client.EtcdError,
    ) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(repaired),
        repaired=repaired,
        left=left,
        diff={"before": _lines(before), "after": _lines(repaired)},
    )


def _lines(sentences: list[str]) -> str:
    return "".join(f"{sentence}\n" for sentence in sentences)


if __name__ == "__main__":
    main()
