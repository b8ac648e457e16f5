#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_executables
short_description: Report and install executables on a host by their SHA-256 checksums
version_added: 0.1.0
description:
  - Reports the checksums of executables, and installs executables from temporary files on the host.
  - This is the part of M(multinet.flannel.artifact) that runs on hosts. Playbooks use that module.
  - An executable is copied into the directory of its target, verified there and renamed. So it may
    be running while it is replaced.
  - If one has a wrong checksum, none is installed.
author: [multinet.flannel authors (@multinet-flannel)]
extends_documentation_fragment:
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: M(multinet.flannel.artifact) shows the difference.
options:
  executables:
    description: The executables to report or install.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      sha256:
        description: The wanted checksum. Without it, the executable is only reported.
        type: str
      src:
        description: The file on the host to install it from if its checksum differs.
        type: path
      version_arguments:
        description: Arguments with which it prints its version and exits. If given, an existing
          executable is run with them, to check that it runs on this host.
        type: list
        elements: str
  record:
    description: Whether to record installed executables in C(/etc/multinet/executables.json), for
      M(multinet.flannel.node_removal).
    type: bool
    default: false
  adopt:
    description: With O(record), whether to record also executables that are there with the right
      checksum. This is for hosts that lost their record, see RV(record_is_lost).
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Report the checksum of flanneld
  multinet.flannel.node_executables:
    executables:
      - path: /usr/local/bin/flanneld
"""

RETURN = r"""
machine:
  description: The host's architecture, by the kernel's name.
  type: str
  returned: success
  sample: x86_64
host:
  description: The identity of the machine, and its data of a data store.
  type: dict
  returned: success
  contains:
    machine:
      description: Identifies the machine. The same for all inventory names of a machine, and
        different for each machine.
      type: str
    member:
      description: Name of the etcd member whose data is on the host. Null without one.
      type: str
    ca:
      description: Checksum of the CA certificate with which the host reaches etcd. Null without
        one.
      type: str
    deployed_as:
      description: The inventory name under which networks were deployed on the host. Null without
        networks.
      type: str
    listeners:
      description: What listens at the ports of etcd (address, port, process, pid, unit).
      type: list
      elements: dict
executables:
  description: Each executable as it was before.
  type: list
  elements: dict
  returned: success
  contains:
    path:
      description: Its path.
      type: str
    sha256:
      description: Its checksum. Null if the file does not exist.
      type: str
    mode:
      description: Its mode as four octal digits. Null if the file does not exist.
      type: str
    device:
      description: Number of the file system that it is on, or will be on.
      type: int
    free:
      description: Bytes free on that file system.
      type: int
    recorded:
      description: Whether the record says that the collection installed an executable at this path.
      type: bool
    replaced:
      description: Whether somebody replaced the executable that the collection installed at this
        path.
      type: bool
    problem:
      description: Why it does not run on this host. Empty if it runs.
      type: str
      returned: when it was tried
    version:
      description: The version that it prints. Empty if it prints none.
      type: str
      returned: when it was tried
record_is_missing:
  description: Whether C(/etc/multinet/executables.json) does not exist.
  type: bool
  returned: success
record_is_lost:
  description: Whether networks are deployed on the host, but C(/etc/multinet/executables.json) does
    not exist.
  type: bool
  returned: success
changed_executables:
  description: Paths that were (in check mode, would be) installed.
  type: list
  elements: str
  returned: success
"""

import platform

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._architectures import GO_NAMES
from ansible_collections.multinet.flannel.plugins.module_utils._node import (
    executables,
    identity,
    listeners,
)
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError
from ansible_collections.multinet.flannel.plugins.module_utils._ports import ETCD_CLIENT, ETCD_PEER

ARGUMENT_SPEC = {
    "executables": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "path": {"type": "path", "required": True},
            "sha256": {"type": "str"},
            "src": {"type": "path"},
            "version_arguments": {"type": "list", "elements": "str"},
        },
    },
    "record": {"type": "bool", "default": False},
    "adopt": {"type": "bool", "default": False},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    wanted, machine = module.params["executables"], platform.machine()
    missing, lost = executables.is_missing(), executables.is_lost()
    try:
        found = executables.states(wanted, GO_NAMES.get(machine, machine))
        differing = [
            item for item, state in zip(wanted, found) if executables.differs(state, item["sha256"])
        ]
        if not module.check_mode:
            adopted = wanted if module.params["adopt"] else []
            executables.install(
                differing, executables.RECORD if module.params["record"] else None, adopted
            )
        host = identity.look()
    except (ArtifactError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(differing),
        changed_executables=[item["path"] for item in differing],
        executables=found,
        record_is_missing=missing,
        record_is_lost=lost,
        machine=machine,
        host=dict(host, listeners=listeners.look(tcp=(ETCD_CLIENT, ETCD_PEER))),
    )


if __name__ == "__main__":
    main()
