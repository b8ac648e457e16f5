#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cni_gc
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: Free what containers that are gone have left
description:
  - Finds the attachments of the meta-plugin whose container is gone, and detaches them with their
    plugins' DEL.
  - Finds addresses that host-local has given out and nobody has any more, and frees them. They are
    what ends in
    C(no IP addresses available in network). An address counts as left over only when it is on no
    interface in any network namespace of the host,
    no remembered attachment of its container has a namespace that is still there, and it is older
    than O(grace).
  - Finds files that the flannel plugin keeps for such containers, and removes them.
  - Finds what libcni's caches remember of such containers that another CNI attached, before the
    meta-plugin took its place, and detaches them with its plugins' DEL, which takes the rules of
    published ports and the addresses away.
extends_documentation_fragment:
  - multinet.flannel.cni
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows what there was and what is left of it.
options:
  networks:
    description:
      - CNI names of the networks whose addresses are looked at, those of other programs are left
        alone.
      - "The default is every network of this collection: those whose CNI name begins with
        C(multinet-)."
    type: list
    elements: str
    default: []
  grace:
    description: Seconds during which an address may be taken without being on an interface yet; no
      less than an ADD may last.
    type: int
    default: 300
  state_dir:
    description: Where the meta-plugin keeps its state, C(cniDir) of its configuration.
    type: path
    default: /var/lib/cni/multinet
  ipam_dir:
    description: Where host-local keeps the addresses it gave out.
    type: path
    default: /var/lib/cni/networks
  flannel_dir:
    description: Below which the flannel plugin keeps its files.
    type: path
    default: /var/lib/cni/flannel
"""

EXAMPLES = r"""
- name: Free what containers that are gone have left
  multinet.flannel.cni_gc:

- name: See what a host-local network of another configuration holds too long
  multinet.flannel.cni_gc:
    networks: [cbr0]
    grace: 600
  check_mode: true
  register: stale
"""

RETURN = r"""
states:
  description: Attachments of the meta-plugin whose container is gone.
  returned: always
  type: list
  elements: dict
  sample: [{"container_id": "4f2a", "interface": "eth0", "networks": ["multinet-blue",
    "multinet-red"]}]
addresses:
  description: Addresses that were given out and nobody has.
  returned: always
  type: list
  elements: dict
  sample:
    - network: multinet-blue
      address: 10.1.5.7
      container_id: 4f2a
      interface: eth0
      file: /var/lib/cni/networks/multinet-blue/10.1.5.7
flannel:
  description: Files that the flannel plugin keeps for containers that are gone.
  returned: always
  type: list
  elements: dict
  sample: [{"network": "multinet-blue", "container_id": "4f2a", "file":
    "/var/lib/cni/flannel/blue/4f2a"}]
remembered:
  description: Attachments of other CNIs whose container is gone, with the file of libcni's cache.
  returned: always
  type: list
  elements: dict
  sample: [{"network": "cbr0", "container_id": "4f2a", "interface": "eth0", "file":
    "/var/lib/cni/results/cbr0-4f2a-eth0"}]
listing:
  description: The same, a sentence for each.
  returned: always
  type: list
  elements: str
  sample: ["address 10.1.5.7 of multinet-blue, container 4f2a"]
spoiled:
  description: States of the meta-plugin that cannot be read. They are left to look at; remove them
    by hand.
  returned: always
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._cni import errors
from ansible_collections.multinet.flannel.plugins.module_utils._meta import garbage
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
            "state_dir": {"type": "path", "default": "/var/lib/cni/multinet"},
            "ipam_dir": {"type": "path", "default": "/var/lib/cni/networks"},
            "flannel_dir": {"type": "path", "default": "/var/lib/cni/flannel"},
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
        state_directory=wanted["state_dir"],
        ipam_directory=wanted["ipam_dir"],
        flannel_directory=wanted["flannel_dir"],
        path=[wanted["bin_dir"]],
    )

    def is_ours(name: str) -> bool:
        return name in wanted["networks"] if wanted["networks"] else name.startswith("multinet-")

    try:
        found = garbage.find(host, is_ours, wanted["grace"])
    except (errors.Error, OSError) as error:
        module.fail_json(msg=f"This host could not be searched for what is left over: {error}")
    before = listing(found)
    failed = [] if module.check_mode else garbage.collect(host, found)
    after = ""
    if failed:
        after = listing(garbage.find(host, is_ours, wanted["grace"]))
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
