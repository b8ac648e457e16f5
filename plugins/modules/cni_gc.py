#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cni_gc
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: Free addresses and files of containers that no longer exist
description:
  - Finds attachments of the meta-plugin whose container no longer exists, and detaches them with
    DEL of their plugins.
  - Finds addresses that host-local assigned and that nobody uses any more, and frees them. Too many
    of them cause the error C(no IP addresses available in network). An address is freed only if no
    interface in any network namespace of the host has it, no recorded attachment of its container
    has an existing namespace, and it is older than O(grace).
  - Finds files of the flannel plugin for such containers, and removes them.
  - Finds such containers in libcni's caches that another CNI attached before the meta-plugin
    replaced it, and detaches them with DEL of its plugins. This removes their addresses and the
    rules of published ports.
extends_documentation_fragment:
  - multinet.flannel.cni
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows what was found and what remains.
options:
  networks:
    description:
      - CNI names of the networks to clean up. From a container on several networks, only these are
        detached.
      - If empty, the dead attachments of all networks, and leftover addresses and files of this
        collection's networks, whose CNI names begin with C(multinet-).
    type: list
    elements: str
    default: []
  grace:
    description: Seconds for which an address may be assigned without an interface. Not less than
      the longest ADD.
    type: int
    default: 300
  ipam_dir:
    description: Where host-local stores the assigned addresses.
    type: path
    default: /var/lib/cni/networks
"""

EXAMPLES = r"""
- name: Free addresses and files of containers that no longer exist
  multinet.flannel.cni_gc:

- name: Show unused addresses of a host-local network of another configuration
  multinet.flannel.cni_gc:
    networks: [cbr0]
    grace: 600
  check_mode: true
  register: stale
"""

RETURN = r"""
states:
  description: Attachments of the meta-plugin whose container no longer exists.
  returned: success, and if not everything could be freed
  type: list
  elements: dict
  sample: [{"container_id": "4f2a", "interface": "eth0", "networks": ["multinet-blue",
    "multinet-red"]}]
addresses:
  description: Addresses that were assigned and that nobody uses.
  returned: success, and if not everything could be freed
  type: list
  elements: dict
  sample:
    - network: multinet-blue
      address: 10.1.5.7
      container_id: 4f2a
      interface: eth0
      file: /var/lib/cni/networks/multinet-blue/10.1.5.7
flannel:
  description: Files of the flannel plugin for containers that no longer exist.
  returned: success, and if not everything could be freed
  type: list
  elements: dict
  sample: [{"network": "multinet-blue", "container_id": "4f2a", "file":
    "/var/lib/cni/flannel/blue/4f2a"}]
remembered:
  description: Attachments by other CNIs whose container no longer exists, with the file of libcni's
    cache.
  returned: success, and if not everything could be freed
  type: list
  elements: dict
  sample: [{"network": "cbr0", "container_id": "4f2a", "interface": "eth0", "file":
    "/var/lib/cni/results/cbr0-4f2a-eth0"}]
listing:
  description: All of these, one line each.
  returned: success, and if not everything could be freed
  type: list
  elements: str
  sample: ["address 10.1.5.7 of multinet-blue, container 4f2a"]
damaged:
  description: State files of the meta-plugin that cannot be read. They stay for inspection; remove
    them by hand.
  returned: success, and if not everything could be freed
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._cni import errors
from ansible_collections.multinet.flannel.plugins.module_utils._meta import conf, flannel, garbage
from ansible_collections.multinet.flannel.plugins.module_utils._node import root


def listing(found: dict[str, Any]) -> str:
    """Return what was found as text, a line each."""
    lines = []
    for one in found["states"]:
        networks = ", ".join(one["networks"])
        lines.append(
            f"attachment of container {one['container_id']}, {networks}, by {one['interface']}"
        )
    for one in found["addresses"]:
        lines.append(
            f"address {one['address']} of {one['network']}, container {one['container_id']}"
        )
    lines += [one["file"] for one in found["flannel"]]
    lines += [
        f"attachment of container {one['container_id']}, {one['network']} of another CNI, by"
        f" {one['interface']}"
        for one in found["remembered"]
    ]
    return "".join(line + "\n" for line in lines)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "networks": {"type": "list", "elements": "str", "default": []},
            "grace": {"type": "int", "default": 300},
            "ipam_dir": {"type": "path", "default": "/var/lib/cni/networks"},
            "bin_dir": {"type": "path", "default": "/opt/cni/bin"},
        },
        supports_check_mode=True,
    )
    refused = root.prepare()
    if refused:
        module.fail_json(msg=refused)
    wanted = module.params
    if wanted["grace"] < 0:
        module.fail_json(msg=f"`grace` is {wanted['grace']}; write a number of seconds, 0 or more.")
    host = garbage.Host(
        state_directory=conf.STATE_DIRECTORY,
        ipam_directory=wanted["ipam_dir"],
        flannel_directory=flannel.DATA_DIRECTORY,
        path=[wanted["bin_dir"]],
    )
    try:
        found = garbage.find(host, wanted["networks"], wanted["grace"])
    except (errors.Error, OSError) as error:
        why = root.unread(error)
        module.fail_json(msg=f"This host could not be searched for what is left over: {why}")
    before = listing(found)
    failed = [] if module.check_mode else garbage.collect(host, found)
    after = ""
    if failed:
        try:
            after = listing(garbage.find(host, wanted["networks"], wanted["grace"]))
        except (errors.Error, OSError) as error:
            after = "(not known)\n"
            failed.append(f"what is left could not be searched for: {error}")
    result = dict(
        found,
        listing=before.splitlines(),
        changed=before != after,
        diff={"before": before, "after": after},
    )
    if failed:
        module.fail_json(msg=f"Not everything could be freed: {'; '.join(failed)}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
