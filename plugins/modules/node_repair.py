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

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._drift import (
    commands,
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


def look(
    record: deployed.Record, cni_conf: str, scope: str
) -> tuple[list[compare.Deviation], list[repair.Step]]:
    """Return what deviates from the plan, and what puts it right as far as it is in the scope."""
    plan, seen = record["plan"], observe.look(record, cni_conf)
    found = compare.deviations(plan, seen)
    steps = repair.steps(plan, seen, found)
    return found, [step for step in steps if scope in ("all", "ways" if step.again else "own")]


def hand_over(module: AnsibleModule, plan: dict[str, Any], public_ip: str) -> list[str]:
    """Give the host's leases another address; return sentences about it."""
    names = [network["unit"] for network in plan["networks"]]
    shown = units.Systemd(module.run_command).show(names)
    running = {name: int(shown.get(name, {}).get("MainPID") or 0) for name in names}
    with lock.by_run():
        return handover.hand_over(plan["networks"], running, public_ip, check=module.check_mode)


class Repairs:
    """The repairs of a host; raises ObserveError, UnitError or LockError.

    found, steps, due: what the last look found, what puts it right, and what of this may be done
    now. made: the steps that were taken.
    """

    def __init__(self, module: AnsibleModule, record: deployed.Record) -> None:
        self._module, self._record = module, record
        self._waits = repair.Waits(module.params["unleased_for"], time.monotonic)
        self.made: list[repair.Step] = []
        self.look()

    def look(self) -> None:
        """Look at the host."""
        params = self._module.params
        self.found, self.steps = look(self._record, params["cni_conf"], params["scope"])
        self.due = self._waits.over(self.steps)

    def make(self) -> None:
        """Repair, and look until it is as planned, or the time is over."""
        for dummy in range(PATIENCE):
            if self.steps:  # a daemon that has just been started is about to do it itself
                time.sleep(0.5)
                self.look()
        if not self.steps:
            return
        # a flanneld that is restarted while its data store is away would not come up
        wrong = data_store.problems(data_store.environments(step.unit for step in self.due))
        if wrong:
            self._module.fail_json(msg="\n".join([*wrong, "Nothing was repaired."]))
        self._make(self.due)
        timeout, unleased_for = (self._module.params[key] for key in ("timeout", "unleased_for"))
        deadline = time.monotonic() + timeout + unleased_for
        # other hosts' flanneld follow, and this one's learns of them
        while self.steps and time.monotonic() < deadline:
            time.sleep(0.5)
            self.look()
            # what a daemon that was down hid; what it makes itself, it is about to make
            self._make([step for step in self.due if not step.unit and step not in self.made])
        if self.steps:
            reasons = " ".join(f"{step.reason}." for step in self.steps)
            self._module.warn(f"Not repaired within {timeout} s: {reasons}")

    def _make(self, due: list[repair.Step]) -> None:
        """Take steps.

        All there is is looked at once more before what leads to another host is taken away, and
        after it: flanneld makes it once, so a host that took its lease in between would not get it
        back.
        """
        if not due:
            return
        with lock.by_run():
            taken = [step for step in due if not step.again]
            run_commands(taken)
            ways = [step for step in due if step.again]
            if ways:
                ways = repair.still_due(ways, self._all_steps())
                run_commands(ways)
            networks = {one.network for one in ways} - {one.network for one in taken if one.unit}
            if networks:
                steps = self._all_steps()
                lost = [step for step in steps if step.unit and step.network in networks]
                run_commands(lost)
                taken += lost
            changes = [units.Change(one.unit, "restart", one.reason) for one in taken if one.unit]
            systemd = units.Systemd(self._module.run_command)
            units.apply(systemd, changes, [], self._module.params["timeout"])
        self.made += taken + ways

    def _all_steps(self) -> list[repair.Step]:
        return look(self._record, self._module.params["cni_conf"], "all")[1]


def run_commands(due: list[repair.Step]) -> None:
    """Run the commands of steps; raise ObserveError."""
    for step in due:
        for command in step.commands:
            commands.run(command)


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
            repairs = Repairs(module, record)
            if not module.check_mode:
                repairs.make()
            made = repairs.steps if module.check_mode else repairs.made
            before, repaired = [step.reason for step in made], [step.sentence() for step in made]
            left = [] if module.check_mode else [one.line() for one in repairs.found]
    except (
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
