#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_executables
short_description: Report and install executables on a host by their sha256 sums
version_added: 0.1.0
description:
  - Reports the sums of executables, and installs those that already lie in a temporary place on the
    host.
  - This is the host's half of M(multinet.flannel.artifact), which is what playbooks use.
  - An executable is copied beside its target, verified there and renamed, so that one that is
    running can be replaced.
  - When one has a wrong sum, none is installed.
author: [multinet.flannel authors (@multinet-flannel)]
extends_documentation_fragment:
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: M(multinet.flannel.artifact) shows the difference; this module gives it the sums.
options:
  executables:
    description: The executables to look at.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      sha256:
        description: The sum that it is to have. When absent, the executable is only reported.
        type: str
      src:
        description: A file on the host to install it from when its sum differs.
        type: path
      version_arguments:
        description: Arguments with which it says its version and ends. When given, one that is
          there is run with them, to see whether it runs on this host.
        type: list
        elements: str
  record:
    description: Whether to write into C(/etc/multinet/executables.json) what is installed, for
      M(multinet.flannel.node_removal).
    type: bool
    default: false
  adopt:
    description: With O(record), whether what is there with its sum is written into it as well. For
      hosts whose record is lost, see RV(record_is_lost).
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Report the sum of flanneld
  multinet.flannel.node_executables:
    executables:
      - path: /usr/local/bin/flanneld
"""

RETURN = r"""
machine:
  description: The host's architecture as its kernel calls it.
  type: str
  returned: success
  sample: x86_64
host:
  description: Which machine this is, and what of a data store lies on it.
  type: dict
  returned: success
  contains:
    machine:
      description: The same text under every name of a machine, and another on every other machine.
      type: str
    member:
      description: Name of the etcd member whose data is here, null without one.
      type: str
    ca:
      description: Sum of the certificate of the CA that etcd is reached with, null without one.
      type: str
    deployed_as:
      description: The name under which networks were deployed here, null without any.
      type: str
    listeners:
      description: What listens at the ports of etcd (address, port, process, pid, unit).
      type: list
      elements: dict
executables:
  description: Each executable as it was found.
  type: list
  elements: dict
  returned: success
  contains:
    path:
      description: Its path.
      type: str
    sha256:
      description: Its sum, null when there is no such file.
      type: str
    mode:
      description: Its mode as four octal digits, null when there is no such file.
      type: str
    device:
      description: Number of the file system it is on, or will be on.
      type: int
    free:
      description: Bytes free on that file system.
      type: int
    recorded:
      description: Whether the collection has installed something at its path.
      type: bool
    replaced:
      description: Whether what is there is not what the collection installed at its path.
      type: bool
    problem:
      description: Why it does not run on this host, empty for one that does.
      type: str
      returned: when it was tried
    version:
      description: The version that it says it has, empty when it says none.
      type: str
      returned: when it was tried
record_is_missing:
  description: Whether C(/etc/multinet/executables.json) is not there.
  type: bool
  returned: success
record_is_lost:
  description: Whether networks are deployed on the host, and C(/etc/multinet/executables.json) is
    not there.
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


def main() -> None:
    module = AnsibleModule(
        argument_spec={
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
        },
        supports_check_mode=True,
    )
    wanted = module.params["executables"]
    missing, lost = executables.is_missing(), executables.is_lost()
    try:
        ours = executables.recorded()
        found = [
            {
                **state,
                "recorded": state["path"] in ours,
                "replaced": state["sha256"] != ours.get(state["path"], state["sha256"]),
            }
            for state in (executables.look(item["path"]) for item in wanted)
        ]
        machine = platform.machine()
        for item, state in zip(wanted, found):
            if item["version_arguments"] is not None and state["sha256"]:
                architecture = GO_NAMES.get(machine, machine)
                state.update(
                    executables.tried(item["path"], item["version_arguments"], architecture)
                )
        differing = [
            item for item, state in zip(wanted, found) if executables.differs(state, item["sha256"])
        ]
        if not module.check_mode:
            adopted = wanted if module.params["adopt"] else []
            executables.install(
                differing, executables.RECORD if module.params["record"] else None, adopted
            )
    except ArtifactError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(differing),
        changed_executables=[item["path"] for item in differing],
        executables=found,
        record_is_missing=missing,
        record_is_lost=lost,
        machine=machine,
        host=dict(identity.look(), listeners=listeners.look(tcp=(ETCD_CLIENT, ETCD_PEER))),
    )


if __name__ == "__main__":
    main()
