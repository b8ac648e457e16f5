#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_units
short_description: Start systemd units, and restart them if their files changed
version_added: 0.1.0
description:
  - Enables and starts units of a host and waits until all are ready.
  - A running unit is restarted or reloaded only if its settings or its executable changed. The
    module compares them with those of the running process, so another run completes an interrupted
    one.
  - If a unit file changed, systemd is reloaded.
  - Before it starts or restarts a flanneld, it connects to the data store from the unit's
    O(units[].environment), with the same certificates. If the data store does not answer, the
    module changes no unit and fails, and says why.
  - If a unit fails permanently, the module stops waiting. The error contains the line of its
    journal that says why.
author:
  - multinet.flannel authors (@multinet-flannel)
extends_documentation_fragment:
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows each unit with the reason to restart or reload it.
options:
  units:
    description: The units that must run.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the unit, with its suffix, such as C(.service) or C(.timer).
        type: str
        required: true
      environment:
        description:
          - The variables that the main process must have in its environment, as lines
            V(NAME=value).
          - To restart a unit when its files change, give the unit an C(Environment=) with a
            checksum of these files, and give the same checksum here. The name
            C(MULTINET_INSTALLED_SHA256) is for this; the reason for the restart then says that
            files changed.
        type: str
        default: ''
      environment_prefix:
        description: The process must have no other variables with this prefix.
        type: str
        default: ''
      state_file:
        description:
          - A file in which the unit writes the settings that it uses. It is a JSON object with an
            object C(environment), which is compared instead of the environment of the main process.
          - This is for units that load new files without a restart.
        type: path
      executable:
        description: The executable of the main process.
        type: path
      arguments:
        description: The arguments of the main process. By default, they are not compared.
        type: list
        elements: str
      when_different:
        description:
          - What to do with a running unit that differs.
          - With V(reload), it is never stopped, even if its unit file changed.
        type: str
        choices: [restart, reload]
        default: restart
      reason:
        description:
          - A known reason to restart or reload the unit, what of it was changed; or an empty
            string.
          - This is for check mode, in which the unit's files are not changed.
        type: str
        choices: ['', executable, unit_file, program]
        default: ''
  deployed:
    description:
      - Instead of O(units), the units of flanneld for the networks that are deployed on the host,
        with the environment files that are there. The inventory may declare others.
      - There are none if nothing is deployed, or if flanneld runs in pods.
    type: bool
    default: false
  reason:
    description: With O(deployed), as O(units[].reason), for all of them.
    type: str
    choices: ['', executable, unit_file, program]
    default: ''
  timeout:
    description: Seconds to wait until all units are ready.
    type: int
    default: 90
  only_ask:
    description:
      - Only connect to the data stores of flanneld units. No unit is compared or changed.
      - A role uses this before it writes files that would be useless without the data store.
    type: bool
    default: false
  needs:
    description: With O(only_ask), files that other roles create, as in
      M(multinet.flannel.node_files).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Run one flanneld per network
  multinet.flannel.node_units:
    units:
      - name: flanneld@blue.service
        environment: |
          FLANNELD_ETCD_PREFIX=/coreos.com/network/blue
        environment_prefix: FLANNELD_
        executable: /usr/local/bin/flanneld

- name: Restart each flanneld that runs with something else than what is on the host
  multinet.flannel.node_units:
    deployed: true

- name: Run a daemon whose unit has Environment=MULTINET_INSTALLED_SHA256=..., and a timer
  multinet.flannel.node_units:
    units:
      - name: example.service
        environment: "MULTINET_INSTALLED_SHA256={{ example_files | to_json | hash('sha256') }}"
      - name: example.timer
"""

RETURN = r"""
restarted:
  description: The units that were (in check mode, would be) started or restarted, with the reason.
  returned: success
  type: dict
  sample:
    flanneld@blue.service: its executable was replaced
reloaded:
  description: The units that were (in check mode, would be) reloaded, with the reason.
  returned: success
  type: dict
  sample: {}
enabled:
  description: The units that were (in check mode, would be) enabled.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._flanneld import data_store
from ansible_collections.multinet.flannel.plugins.module_utils._node import (
    deployed,
    files,
    lock,
    units,
)

_REASON = {"type": "str", "choices": ["", *units.GIVEN], "default": ""}
ARGUMENT_SPEC = {
    "units": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "environment": {"type": "str", "default": ""},
            "environment_prefix": {"type": "str", "default": ""},
            "state_file": {"type": "path"},
            "executable": {"type": "path"},
            "arguments": {"type": "list", "elements": "str"},
            "when_different": {
                "type": "str",
                "choices": ["restart", "reload"],
                "default": "restart",
            },
            "reason": _REASON,
        },
    },
    "deployed": {"type": "bool", "default": False},
    "reason": _REASON,
    "timeout": {"type": "int", "default": 90},
    "only_ask": {"type": "bool", "default": False},
    "needs": {"type": "dict", "default": {}},
}


def main() -> None:
    """Enable, start and restart what is not as wanted."""
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        required_if=[("deployed", False, ["units"])],
        supports_check_mode=True,
    )
    if module.params["deployed"]:
        try:
            wanted = _deployed(module.params["reason"])
        except deployed.DeployedError as error:
            module.fail_json(msg=str(error))
    else:
        wanted = [_unit(item) for item in module.params["units"] or []]
    if module.params["only_ask"]:
        environments = {unit.name: unit.environment for unit in wanted}
        problems = files.missing(module.params["needs"]) or data_store.problems(environments)
        if problems:
            module.fail_json(msg=" ".join(problems))
        module.exit_json(changed=False, restarted={}, reloaded={}, enabled=[])
    systemd = units.Systemd(module.run_command)
    try:
        changes, enable = units.plan(systemd, wanted)
        if (changes or enable) and not module.check_mode:
            _ask_first(module, wanted, changes)
            with lock.by_run():
                units.apply(systemd, changes, enable, module.params["timeout"])
            still = units.in_vain(systemd, wanted, changes)
            if still:
                module.fail_json(msg="\n".join(still))
    except (units.UnitError, lock.LockError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(changes or enable),
        restarted={c.unit: c.reason for c in changes if c.verb != "reload"},
        reloaded={c.unit: c.reason for c in changes if c.verb == "reload"},
        enabled=enable,
        diff=_diff(changes, enable),
    )


def _unit(item: dict[str, Any]) -> units.Unit:
    """Return an item of the option units as what is wanted."""
    return units.Unit(
        name=item["name"],
        environment=units.parse_environment(item["environment"]),
        prefix=item["environment_prefix"],
        state_file=item["state_file"] or "",
        executable=item["executable"] or "",
        arguments=item["arguments"],
        verb=item["when_different"],
        reason=item["reason"],
    )


def _deployed(reason: str) -> list[units.Unit]:
    """Return the units of the networks that are deployed here; raise DeployedError."""
    plan = deployed.plan()
    if plan is None or deployed.in_pods(plan):
        return []
    names = [network["unit"] for network in plan["networks"]]
    environments = data_store.environments(names)
    return [
        units.Unit(
            name=name,
            environment=environments.get(name, {}),
            prefix="FLANNELD_" if name in environments else "",
            executable=deployed.FLANNELD,
            arguments=[],
            reason=reason,
        )
        for name in names
    ]


def _ask_first(
    module: AnsibleModule, wanted: list[units.Unit], changes: list[units.UnitChange]
) -> None:
    """Fail with the reason where a flanneld would wait for its data store in vain."""
    begun = {change.unit for change in changes if change.verb != "reload"}
    problems = data_store.problems(
        {unit.name: unit.environment for unit in wanted if unit.name in begun}
    )
    if problems:
        module.fail_json(
            msg="\n".join(problems)
            + "\nNothing was started or stopped: everything that ran before still runs."
        )


def _diff(changes: list[units.UnitChange], enable: list[str]) -> dict[str, str]:
    """Return Ansible's diff of what is done to units, and of those that are enabled."""
    before = [f"{c.unit}: {c.reason}\n" for c in changes]
    after = [f"{c.unit}: {c.verb}ed\n" for c in changes]
    return {
        "before": "".join(before + [f"{unit}: not enabled\n" for unit in enable]),
        "after": "".join(after + [f"{unit}: enabled\n" for unit in enable]),
    }


if __name__ == "__main__":
    main()
