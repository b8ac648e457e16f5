#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_units
short_description: Have systemd units run with what is installed now
version_added: 0.1.0
description:
  - Enables and starts units of a host and waits until each says that it is ready.
  - A unit that runs is restarted, or reloaded, only when what it runs with changed. That is read
    from the running process (its environment and its executable), so an interrupted run is
    completed by the next one.
  - systemd reads the unit files again when one of them changed.
  - Before a flanneld is started or restarted, the host asks the data store that the unit's
    O(units[].environment) names, with the same certificates. When a flanneld would get no answer,
    nothing is touched, and the failure says why in a sentence.
  - A unit that ends for good is not waited for, and the line of its journal that tells is the
    message.
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
    required: true
    suboptions:
      name:
        description: Name of the unit, with its type, such as C(.service) or C(.timer).
        type: str
        required: true
      environment:
        description:
          - What the main process must have in its environment, as V(NAME=value) lines.
          - To have a unit restarted when its files change, let it say C(Environment=) with a
            sum of them, and say the same sum here. For that, the name
            C(MULTINET_INSTALLED_SHA256) has a sentence of its own as reason.
        type: str
        default: ''
      environment_prefix:
        description: The process must have no other variables that begin with this.
        type: str
        default: ''
      state_file:
        description:
          - Where the unit writes what it works with, a JSON object with C(environment) in it, an
            object. It stands in for the environment of the main process.
          - For a unit that takes new files without becoming a new process.
        type: path
      executable:
        description: The executable that the main process must run.
        type: path
      when_different:
        description:
          - What brings a unit that runs in line.
          - With V(reload) it is never stopped, not even when its unit file changed.
        type: str
        choices: [restart, reload]
        default: restart
      reason:
        description:
          - A reason to restart or reload it that is known already, or an empty string.
          - For check mode, in which a file that the unit reads has not been changed yet.
        type: str
        default: ''
  timeout:
    description: Seconds until all units must be ready.
    type: int
    default: 90
  only_ask:
    description:
      - Only ask the data stores of all units that are flanneld's. No unit is looked at, and none is
        touched.
      - For a role that would write files which are of no use then.
    type: bool
    default: false
  needs:
    description: With O(only_ask), what other roles bring, as M(multinet.flannel.node_files) has it.
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

- name: Run a daemon, whose unit says Environment=MULTINET_INSTALLED_SHA256=..., and a timer
  multinet.flannel.node_units:
    units:
      - name: example.service
        environment: "MULTINET_INSTALLED_SHA256={{ example_files | to_json | hash('sha256') }}"
      - name: example.timer
"""

RETURN = r"""
restarted:
  description: The units that were (in check mode would be) started or restarted, with the reason.
  returned: always
  type: dict
  sample:
    flanneld@blue.service: its executable was replaced
reloaded:
  description: The units that were (in check mode would be) reloaded, with the reason.
  returned: always
  type: dict
  sample: {}
enabled:
  description: The units that were (in check mode would be) enabled.
  returned: always
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._flanneld import data_store
from ansible_collections.multinet.flannel.plugins.module_utils._node import files, lock, units

ARGUMENT_SPEC = {
    "units": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "environment": {"type": "str", "default": ""},
            "environment_prefix": {"type": "str", "default": ""},
            "state_file": {"type": "path"},
            "executable": {"type": "path"},
            "when_different": {
                "type": "str",
                "choices": ["restart", "reload"],
                "default": "restart",
            },
            "reason": {"type": "str", "default": ""},
        },
    },
    "timeout": {"type": "int", "default": 90},
    "only_ask": {"type": "bool", "default": False},
    "needs": {"type": "dict", "default": {}},
}


def main() -> None:
    """Enable, start and restart what is not as wanted."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    wanted = [_unit(item) for item in module.params["units"]]
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
        verb=item["when_different"],
        reason=item["reason"],
    )


def _ask_first(
    module: AnsibleModule, wanted: list[units.Unit], changes: list[units.Change]
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


def _diff(changes: list[units.Change], enable: list[str]) -> dict[str, str]:
    """Return Ansible's diff of what is done to units, and of those that are enabled."""
    before = [f"{c.unit}: {c.reason}\n" for c in changes]
    after = [f"{c.unit}: {c.verb}ed\n" for c in changes]
    return {
        "before": "".join(before + [f"{unit}: not enabled\n" for unit in enable]),
        "after": "".join(after + [f"{unit}: enabled\n" for unit in enable]),
    }


if __name__ == "__main__":
    main()
