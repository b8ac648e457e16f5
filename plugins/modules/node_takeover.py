#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_takeover
short_description: Take over flannel networks that somebody else deployed on a host
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Stops the flanneld of the other deployment, renames the bridges of its networks to those of a
    plan, and moves the addresses that host-local assigned to the directories of the plan's
    networks. Running pods keep their interfaces and addresses, and get the sysctls that the plan's
    networks set in new pods.
  - Keeps the files that the deployment will replace, and moves the CNI configurations of those
    networks to another directory. So no pod is attached until the collection's configuration
    exists.
  - Records everything in C(/etc/multinet/adopted.json), with which M(multinet.flannel.node_removal)
    restores it.
extends_documentation_fragment:
  - multinet.flannel.plan
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Lists the steps.
options:
  cni_conf_dir:
    description: Directory of the networks' CNI configurations. They are moved to another directory.
    type: path
    default: /etc/cni/net.d
  keep:
    description: Files that the deployment will replace. Their present content is kept for a reset.
    type: list
    elements: path
    default: []
  directories:
    description: Directories that did not exist on the host before the deployment, as
      M(multinet.flannel.node_preflight) returns them in C(own_directories).
    type: list
    elements: path
    default: []
notes:
  - Needs C(ip) of iproute2 on the host.
"""

EXAMPLES = r"""
- name: Take over the networks
  multinet.flannel.node_takeover:
    plan: "{{ multinet_plan }}"
    keep: [/opt/cni/bin/flannel]
"""

RETURN = r"""
done:
  description: The steps that were (in check mode, would be) done, in order.
  returned: always
  type: list
  elements: str
  sample: ["unit flanneld.service", "device kbr0 to mn-blue"]
"""

import functools
import json
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._cni import files
from ansible_collections.multinet.flannel.plugins.module_utils._node import (
    adopted,
    deployed,
    lock,
    removal,
    root,
)
from ansible_collections.multinet.flannel.plugins.module_utils._observe import behind
from ansible_collections.multinet.flannel.plugins.module_utils._preflight import adoption, foreign


def main() -> None:
    """Look at this host, and take over what the plan has."""
    module = AnsibleModule(
        argument_spec={
            "plan": {"type": "dict", "required": True},
            "cni_conf_dir": {"type": "path", "default": "/etc/cni/net.d"},
            "keep": {"type": "list", "elements": "path", "default": []},
            "directories": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    refused = root.prepare()
    if refused:
        module.fail_json(msg=refused, done=[])
    done: list[str] = []
    try:
        steps = _steps(module)
        if steps and not module.check_mode:
            with lock.by_run():
                for step in steps:
                    step.act()
                    done.append(step.what)
    except (removal.RemovalError, deployed.DeployedError, lock.LockError, OSError) as error:
        module.fail_json(msg=removal.interrupted(error, "Done", done), done=done)
    what = [step.what for step in steps]
    module.exit_json(
        changed=bool(steps),
        done=what,
        diff={"before": "", "after": "".join(one + "\n" for one in what)},
    )


def _steps(module: AnsibleModule) -> list[removal.Step]:
    """Return what is to be done; raise RemovalError, DeployedError, OSError."""
    plan, conf_dir = module.params["plan"], module.params["cni_conf_dir"]
    found = foreign.recognise(foreign.look(module.run_command, conf_dir))
    # what a run that was stopped did is in the record alone
    before = adopted.read().get("networks", [])
    networks = before + [
        adopted.entry(theirs, ours)
        for theirs, ours in adoption.pairs(found, plan)
        if ours["name"] not in {one["name"] for one in before}
    ]
    away = [os.path.join(conf_dir, name) for name in adoption.files(found, plan)]
    host = removal.Host(module.run_command)
    look = functools.partial(behind.ends, module.run_command)
    steps = adopted.take_steps(host, networks, away, module.params["keep"])
    steps += adopted.pod_steps(networks, plan, look)
    if steps and not deployed.read():
        # before anything: a reset finds the networks by it
        names = {one["name"] for one in networks}
        taken = [one for one in plan["networks"] if one["name"] in names]
        record = {"plan": {**plan, "networks": taken}, "directories": module.params["directories"]}
        text = json.dumps(record, indent=4, sort_keys=True) + "\n"
        steps.insert(1, removal.Step(f"record {deployed.PATH}", lambda: _write(text)))
    return steps


def _write(text: str) -> None:
    files.write(deployed.PATH, text, 0o600)


if __name__ == "__main__":
    main()
