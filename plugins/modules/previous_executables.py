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
    description: Absolute paths of the executables. Those that do not exist are skipped.
    type: list
    elements: path
    required: true
  state:
    description:
      - V(kept) keeps their present content, in place of what was kept before.
      - V(restored) restores what is kept.
    type: str
    choices: [kept, restored]
    required: true
"""

EXAMPLES = r"""
- name: Go back to the flanneld that was there before the last upgrade
  multinet.flannel.previous_executables:
    paths: [/usr/local/bin/flanneld]
    state: restored
"""

RETURN = r"""
changed_executables:
  description: Those that were (in check mode, would be) restored.
  type: list
  elements: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._node import previous
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "path", "required": True},
            "state": {"type": "str", "choices": ["kept", "restored"], "required": True},
        },
        supports_check_mode=True,
    )
    paths = module.params["paths"]
    try:
        if module.params["state"] == "kept":
            # nothing of the networks changes by it
            if not module.check_mode:
                previous.keep(paths)
            module.exit_json(changed=False, changed_executables=[])
        changed = previous.differing(paths) if module.check_mode else previous.restore(paths)
    except ArtifactError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changed), changed_executables=changed)


if __name__ == "__main__":
    main()
