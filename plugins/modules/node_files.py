#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_files
short_description: Write many small text files on a host in one call
version_added: 0.1.0
description:
  - Creates, changes and removes any number of small text files and directories on a host in one
    round trip.
  - Each file is written to a temporary file with its final mode, synced to disk and renamed. If one
    cannot be written, none is changed.
author: [multinet.flannel authors (@multinet-flannel)]
extends_documentation_fragment:
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows the content of the changed files, except secret files and files that not
      everybody on the host may read.
options:
  files:
    description: The files to write. A symbolic link at the path of a file is replaced by the file.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path. Its directory must exist or be in O(directories).
        type: path
        required: true
      content:
        description: The whole content.
        type: str
        required: true
      mode:
        description: Four octal digits, in quotes.
        type: str
        default: "0644"
      owner:
        description: Name or number of the owner. By default, the owner is not changed.
        type: str
      group:
        description: Name or number of the group. By default, the group is not changed.
        type: str
      secret:
        description: Whether the content is secret. It is then neither logged nor shown in a diff.
        type: bool
        default: false
      keep_token:
        description:
          - Whether the content is a new token of a Kubernetes service account. The existing token
            stays while at least a quarter of its lifetime is left and it has the same account,
            audience and signing key.
          - The content may be empty in check mode, in which no token is requested.
        type: bool
        default: false
      keep_original:
        description: Whether the content starts the meta-plugin. A file of somebody else at this
          path is kept with the suffix C(.original), and M(multinet.flannel.node_removal) restores
          it.
        type: bool
        default: false
      add_lines:
        description: Whether to add the lines of the content to the end of the file, unless it has
          them already.
        type: bool
        default: false
  directories:
    description: The directories to create. They are created before the files. Missing parents get
      mode 0755.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: path
        required: true
      mode:
        description: Four octal digits, in quotes. By default, a new directory gets 0755 and an
          existing one keeps its mode.
        type: str
      owner:
        description: Name or number of the owner. By default, the owner is not changed.
        type: str
      group:
        description: Name or number of the group. By default, the group is not changed.
        type: str
  absent:
    description:
      - Absolute paths to remove. They are removed after the files are written.
      - A directory that is not empty is removed only if its path ends with a slash.
    type: list
    elements: str
    default: []
  launchers:
    description:
      - All paths at which the meta-plugin is installed. It is removed from other paths that the
        record /etc/multinet/launchers has, after everything is written, and files of somebody else
        that were kept there are restored. Other files at these paths stay.
    type: list
    elements: path
  keep:
    description: Absolute paths of files of somebody else. They are copied to the same path with the
      suffix C(.original).
    type: list
    elements: path
    default: []
  versioned:
    description: Absolute paths of directories that belong to one version and are named with twelve
      hexadecimal digits. The latest other version in the same directory stays, for programs that
      were started with it. Older ones are removed.
    type: list
    elements: path
    default: []
  needs:
    description: Files that other roles create, as absolute paths with the names of these roles.
      While one is missing, nothing is written. They are not checked in check mode, in which they do
      not exist yet.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Write the environment files of two daemons and remove that of a third
  multinet.flannel.node_files:
    directories:
      - path: /etc/flannel
    files:
      - path: /etc/flannel/blue.env
        content: |
          FLANNELD_ETCD_PREFIX=/coreos.com/network/blue
      - path: /etc/multinet/pki/client.key
        content: "{{ __example_key }}"
        mode: "0600"
        secret: true
    absent:
      - /etc/flannel/red.env
      - /var/lib/cni/flannel/red/
"""

RETURN = r"""
changed_files:
  description: Paths of the files and directories that were (in check mode, would be) created,
    changed, or restored.
  type: list
  elements: str
  returned: success
  sample: [/etc/flannel/blue.env]
removed:
  description: Paths that were (in check mode, would be) removed.
  type: list
  elements: str
  returned: success
  sample: [/etc/flannel/red.env]
errors:
  description: What is wrong, one sentence each.
  type: list
  elements: str
  returned: failure
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._node import (
    executables,
    files,
    lock,
    written,
)
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError
from ansible_collections.multinet.flannel.plugins.module_utils._tokens import token

ARGUMENT_SPEC = {
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        # Hidden until it is known which files are secret, so that nothing can log them
        # before. As a whole: of an option within, several lines would be logged.
        "no_log": True,
        "options": {
            "path": {"type": "path", "required": True},
            "content": {"type": "str", "required": True, "no_log": True},
            "mode": {"type": "str", "default": "0644"},
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "secret": {"type": "bool", "default": False, "no_log": False},
            "keep_token": {"type": "bool", "default": False, "no_log": False},
            "keep_original": {"type": "bool", "default": False},
            "add_lines": {"type": "bool", "default": False},
        },
    },
    "directories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "mode": {"type": "str"},
            "owner": {"type": "str"},
            "group": {"type": "str"},
        },
    },
    "absent": {"type": "list", "elements": "str", "default": []},
    "launchers": {"type": "list", "elements": "path"},
    "keep": {"type": "list", "elements": "path", "default": []},
    "versioned": {"type": "list", "elements": "path", "default": []},
    "needs": {"type": "dict", "default": {}},
}


def file_from(item: dict[str, Any]) -> files.File:
    """Return an item of the option files, with what decides whether the one that is there stays."""

    def is_good_token(found: bytes) -> bool:
        return token.is_good(found.decode("ascii", "replace"), item["content"], time.time())

    switches = {"keep_token": is_good_token, "keep_original": executables.is_launcher}
    keep, is_ours = (check if item.get(key) else None for key, check in switches.items())
    options = {key: value for key, value in item.items() if key not in (*switches, "add_lines")}
    return files.File(**options, keep=keep, is_ours=is_ours, adds=bool(item.get("add_lines")))


def launchers_alone(paths: list[str]) -> tuple[list[files.File], list[str]]:
    """Return the record of the meta-plugin's executables, and those of other paths in it; raise
    ArtifactError.
    """
    record = files.File(executables.LAUNCHERS, "".join(f"{path}\n" for path in paths), last=True)
    return [record], [path for path in executables.launchers() if path not in paths]


def wish_from(params: dict[str, Any], given: list[files.File]) -> files.Wish:
    """Return what is to be there and what is to go; raise ArtifactError."""
    record: list[files.File] = []
    given_back: list[str] = []
    if params["launchers"] is not None:
        record, given_back = launchers_alone(params["launchers"])
    return files.Wish(
        given + record,
        [files.Directory(**item) for item in params["directories"]],
        params["absent"],
        given_back,
        executables.is_launcher,
        params["keep"],
        params["versioned"],
        written.RECORD,
    )


def decided(wish: files.Wish, needs: dict[str, str]) -> list[files.FileChange]:
    """Return what is to change; raise NodeFilesError, also where something of needs is missing."""
    errors = files.check(wish) + files.missing(needs)
    if errors:
        raise files.NodeFilesError(errors)
    return files.decide(wish)


def main() -> None:
    """Bring the files of this host into the wanted state."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    given = [file_from(item) for item in module.params["files"]]
    module.no_log_values.clear()
    # an empty one would be found everywhere
    module.no_log_values.update(file.content for file in given if file.secret and file.content)
    try:
        wish = wish_from(module.params, given)
        changes = decided(wish, {} if module.check_mode else module.params["needs"])
        if changes and not module.check_mode:
            with lock.by_run():
                files.apply(changes)
    except (ArtifactError, lock.LockError) as error:
        module.fail_json(msg=str(error), errors=[str(error)])
    except files.NodeFilesError as error:
        module.fail_json(msg=str(error), errors=error.errors)
    module.exit_json(
        changed=bool(changes),
        changed_files=[change.path for change in changes if change.action != "remove"],
        removed=[change.path for change in changes if change.action == "remove"],
        diff=files.diff(changes),
    )


if __name__ == "__main__":
    main()
