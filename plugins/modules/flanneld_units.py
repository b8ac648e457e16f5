#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: flanneld_units
short_description: Run one flanneld unit per network
version_added: 0.1.0
description:
  - Enables and starts the flanneld units of a host and waits until each daemon says that it is
    ready.
  - A unit is restarted only when what it runs with changed. That is read from the running process
    (its environment and its
    executable), so an interrupted run is completed by the next one.
author:
  - multinet.flannel authors (@multinet-flannel)
extends_documentation_fragment:
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows each unit with the reason to restart it.
options:
  units:
    description: The units that must run.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the unit.
        type: str
        required: true
      environment:
        description: What its environment file says, as V(NAME=value) lines.
        type: str
        required: true
  subnet_files:
    description:
      - For networks whose flanneld is no unit but runs in a pod. The range of each network, by the
        path of the file that its flanneld writes.
      - The module waits until the files are there and say so. In check mode it does not look.
    type: dict
    default: {}
  executable:
    description: The executable they run.
    type: path
    default: /usr/local/bin/flanneld
  restart_reason:
    description: A reason to restart every unit, or an empty string.
    type: str
    default: ''
  timeout:
    description: Seconds until all units must be ready.
    type: int
    default: 90
"""

EXAMPLES = r"""
- name: Run one flanneld per network
  multinet.flannel.flanneld_units:
    units:
      - name: flanneld@blue.service
        environment: |
          FLANNELD_ETCD_PREFIX=/coreos.com/network/blue
"""

RETURN = r"""
restarted:
  description: The units that were (in check mode would be) started or restarted, with the reason.
  returned: always
  type: dict
  sample:
    flanneld@blue.service: its executable was replaced
enabled:
  description: The units that were (in check mode would be) enabled.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._flanneld import units


def main():
    module = AnsibleModule(
        argument_spec=dict(
            units=dict(
                type="list",
                elements="dict",
                default=[],
                options=dict(
                    name=dict(type="str", required=True),
                    environment=dict(type="str", required=True),
                ),
            ),
            subnet_files=dict(type="dict", default={}),
            executable=dict(type="path", default="/usr/local/bin/flanneld"),
            restart_reason=dict(type="str", default=""),
            timeout=dict(type="int", default=90),
        ),
        supports_check_mode=True,
    )
    wanted = {
        unit["name"]: units.parse_environment(unit["environment"])
        for unit in module.params["units"]
    }
    systemd = units.Systemd(module.run_command)
    try:
        restarts, enables = (
            units.plan_units(
                systemd, wanted, module.params["executable"], module.params["restart_reason"]
            )
            if wanted
            else ([], [])
        )
        if (restarts or enables) and not module.check_mode:
            units.apply_units(systemd, restarts, enables, module.params["timeout"])
        if not module.check_mode:
            units.wait_for_subnets(module.params["subnet_files"], module.params["timeout"])
    except units.UnitError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(restarts or enables),
        restarted=dict(restarts),
        enabled=enables,
        diff=dict(
            before="".join(f"{unit}: {reason}\n" for unit, reason in restarts)
            + "".join(f"{unit}: not enabled\n" for unit in enables),
            after="".join(f"{unit}: restarted\n" for unit, dummy in restarts)
            + "".join(f"{unit}: enabled\n" for unit in enables),
        ),
    )


if __name__ == "__main__":
    main()
