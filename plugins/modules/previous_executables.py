#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: previous_executables
short_description: Keep the executables of a host before an upgrade, and restore them
version_added: 0.1.0
description:
  - Copies executables to C(/var/lib/multinet/previous), and restores them from there by rename, all
    or none.
  - Restored executables are no longer kept. So another restore changes nothing.
  - Which networks there are, and whether flanneld runs as units, is read from the host's record of
    what is deployed, not from the inventory.
author: [multinet.flannel authors (@multinet-flannel)]
extends_documentation_fragment:
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  paths:
    description:
      - Absolute paths of the executables. Those that do not exist are skipped.
      - Needed with V(kept). Without it, V(restored) restores all that is kept, except etcd's
        executables, and flanneld if it runs in pods.
    type: list
    elements: path
  among:
    description:
      - With V(kept), the paths of all executables that the upgrade is concerned with, of which it
        replaces O(paths). What an earlier upgrade kept is removed.
      - If that upgrade was interrupted before it replaced everything, what it kept stays.
    type: list
    elements: path
  state:
    description:
      - V(kept) keeps their present content below C(/var/lib/multinet/previous), in place of what
        was kept before. It returns C(changed=false) then, because it replaces nothing that runs. In
        check mode it keeps nothing.
      - V(restored) restores what is kept. It fails before anything is changed if the record of what
        is deployed cannot be read and O(paths) is not given.
    type: str
    choices: [kept, restored]
    required: true
"""

EXAMPLES = r"""
- name: Go back to what was there before the last upgrade
  multinet.flannel.previous_executables:
    state: restored
"""

RETURN = r"""
changed_executables:
  description: Those that were (in check mode, would be) restored.
  type: list
  elements: str
  returned: success
deployed:
  description: Whether networks are deployed on this host.
  type: bool
  returned: with O(state=restored) and without O(paths)
networks:
  description: The names of these networks.
  type: list
  elements: str
  returned: with O(state=restored) and without O(paths)
in_pods:
  description: Whether their flanneld run in pods.
  type: bool
  returned: with O(state=restored) and without O(paths)
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._node import deployed, previous
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "path"},
            "among": {"type": "list", "elements": "path"},
            "state": {"type": "str", "choices": ["kept", "restored"], "required": True},
        },
        required_if=[("state", "kept", ["paths"])],
        supports_check_mode=True,
    )
    paths = module.params["paths"]
    found: dict[str, Any] = {}
    try:
        if module.params["state"] == "kept":
            # nothing of the networks changes by it
            if not module.check_mode:
                previous.keep(paths, among=module.params["among"])
            module.exit_json(changed=False, changed_executables=[])
        if paths is None:
            paths, found = [], {"deployed": False, "networks": [], "in_pods": False}
            if (plan := deployed.plan()) is not None:
                in_pods = deployed.in_pods(plan)
                paths = previous.of_networks(in_pods=in_pods)
                names = [network["name"] for network in plan["networks"]]
                found = {"deployed": True, "networks": names, "in_pods": in_pods}
        changed = previous.differing(paths) if module.check_mode else previous.restore(paths)
    except (ArtifactError, deployed.DeployedError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changed), changed_executables=changed, **found)


if __name__ == "__main__":
    main()
