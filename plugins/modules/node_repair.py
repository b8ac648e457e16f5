#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: node_repair
short_description: Put right what has drifted from the networks that were deployed on a host
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Compares what the host is with the plan that was last applied to it, as
    M(multinet.flannel.node_status_info) does, and repairs what can be repaired without touching a
    running pod's traffic. It restarts the one flanneld, takes an address of a former subnet off a
    device, gives a bridge its address back, removes a bridge of a former subnet that no pod is on,
    writes a sysctl back.
  - What is left afterwards is returned; it needs a hand.
extends_documentation_fragment:
  - multinet.flannel.cni_conf
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows each repair with the deviation that it is for.
options:
  public_ip:
    description:
      - The address that this host's daemons are going to be told when they are restarted. If given,
        nothing is compared or repaired. The host's leases in etcd get that address instead of the
        one that its daemons still run with, since a flanneld that does not find its address there
        takes another subnet, and the host's pods lose their network.
    type: str
  timeout:
    description: Seconds until every daemon that was restarted must be ready, and its network be as
      planned.
    type: int
    default: 90
"""

EXAMPLES = r"""
- name: Put right what has drifted
  multinet.flannel.node_repair:

- name: Keep the subnets of a host that has another address now
  multinet.flannel.node_repair:
    public_ip: 192.0.2.7
"""

RETURN = r"""
repaired:
  description: What was (in check mode would be) put right.
  returned: success
  type: list
  elements: str
  sample: ["flanneld@blue.service is restarted: the device flannel.1 is down"]
left:
  description: What still deviates, as sentences with what puts it right.
  returned: success
  type: list
  elements: str
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._drift import (
    compare,
    observe,
    repair,
)
from ansible_collections.multinet.flannel.plugins.module_utils._etcd import client, handover
from ansible_collections.multinet.flannel.plugins.module_utils._flanneld import data_store
from ansible_collections.multinet.flannel.plugins.module_utils._node import (
    deployed,
    lock,
    root,
    units,
)

PATIENCE = 6  # looks, half a second apart


def look(plan: dict[str, Any], cni_conf: str) -> tuple[list[compare.Deviation], list[repair.Step]]:
    """Return what deviates from the plan, and what puts it right."""
    seen = observe.look(plan, cni_conf)
    found = compare.deviations(plan, seen)
    return found, repair.steps(plan, seen, found)


def hand_over(module: AnsibleModule, plan: dict[str, Any], public_ip: str) -> list[str]:
    """Give the host's leases another address; return sentences about it."""
    names = [network["unit"] for network in plan["networks"]]
    shown = units.Systemd(module.run_command).show(names)
    running = {name: int(shown.get(name, {}).get("MainPID") or 0) for name in names}
    with lock.by_run():
        return handover.hand_over(plan["networks"], running, public_ip, check=module.check_mode)


def repair_all(module: AnsibleModule, due: list[repair.Step]) -> None:
    """Take steps; raise ObserveError, UnitError or LockError."""
    with lock.by_run():
        for step in due:
            for command in step.commands:
                observe.run(command)
        changes = [units.Change(step.unit, "restart", step.reason) for step in due if step.unit]
        timeout = module.params["timeout"]
        units.apply(units.Systemd(module.run_command), changes, [], timeout)


def main() -> None:
    """Look, repair, and look again until it is as planned."""
    root.complete_path()
    module = AnsibleModule(
        argument_spec={
            "cni_conf": {"type": "path", "default": "/etc/cni/net.d/00-multinet.conf"},
            "public_ip": {"type": "str"},
            "timeout": {"type": "int", "default": 90},
        },
        supports_check_mode=True,
    )
    cni_conf, timeout = module.params["cni_conf"], module.params["timeout"]
    try:
        plan = deployed.plan()
        if plan is None:
            module.exit_json(changed=False, repaired=[], left=[])
            return
        if module.params["public_ip"]:
            said = hand_over(module, plan, module.params["public_ip"])
            after = "".join(f"{sentence}\n" for sentence in said)
            module.exit_json(
                changed=bool(said), repaired=said, left=[], diff={"before": "", "after": after}
            )
            return
        found, steps = look(plan, cni_conf)
        for dummy in range(0 if module.check_mode else PATIENCE):
            if steps:  # a daemon that has just been started is about to do it itself
                time.sleep(0.5)
                found, steps = look(plan, cni_conf)
        due = list(steps)
        if due and not module.check_mode:
            # a flanneld that is restarted while its data store is away would not come up
            wrong = data_store.problems(data_store.environments(step.unit for step in due))
            if wrong:
                module.fail_json(msg="\n".join([*wrong, "Nothing was repaired."]))
            repair_all(module, due)
            deadline = time.monotonic() + timeout
            # other hosts' flanneld follow, and this one's learns of them
            while steps and time.monotonic() < deadline:
                time.sleep(0.5)
                found, steps = look(plan, cni_conf)
                # what a daemon that was down hid; what it makes itself, it is about to make
                hidden = [step for step in steps if not step.unit and step not in due]
                if hidden:
                    repair_all(module, hidden)
                    due += hidden
        left = [one.line() for one in found]
        if steps and not module.check_mode:
            module.warn(
                f"Not repaired within {timeout} s: {' '.join(step.reason + '.' for step in steps)}"
            )
    except (
        deployed.DeployedError,
        observe.ObserveError,
        units.UnitError,
        lock.LockError,
        client.EtcdError,
    ) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(due),
        repaired=[step.sentence() for step in due],
        left=[] if module.check_mode else left,
        diff={
            "before": "".join(f"{step.reason}\n" for step in due),
            "after": "".join(f"{step.sentence()}\n" for step in due),
        },
    )


if __name__ == "__main__":
    main()
