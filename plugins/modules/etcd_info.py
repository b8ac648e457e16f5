#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_info
short_description: Check that etcd is healthy and reachable from this host
version_added: 0.1.0
description:
  - Reads a key through etcd's leader, with the given certificates. If that fails, the error says
    why.
author: [multinet.flannel authors (@multinet-flannel)]
extends_documentation_fragment:
  - multinet.flannel.etcd
  - multinet.flannel.etcd.client
  - multinet.flannel.attributes
  - multinet.flannel.attributes.info
options:
  contents:
    description:
      - The contents of the files, instead of O(ca_cert), O(client_cert) and O(client_key), to try
        them before they are written to the host.
      - While the module runs, they are in a directory that only the module's user can read.
    type: dict
    suboptions:
      ca_cert:
        description: The CA's certificate.
        type: str
        required: true
      client_cert:
        description: The client certificate.
        type: str
        required: true
      client_key:
        description: The client certificate's key.
        type: str
        required: true
"""

EXAMPLES = r"""
- name: Check that etcd can be reached
  multinet.flannel.etcd_info:
    endpoints: [https://10.0.0.1:2379]
    ca_cert: /etc/multinet/pki/ca.crt
    client_cert: /etc/multinet/pki/client.crt
    client_key: /etc/multinet/pki/client.key
"""

RETURN = r"""
version:
  description: Version of the etcd that answered.
  type: str
  returned: success
  sample: 3.6.14
downgrade:
  description: The target version of C(etcdctl downgrade enable). An empty string without a
    downgrade, or if etcd is older than 3.6.
  type: str
  returned: success
  sample: 3.5.0
members:
  description: The members of the cluster.
  type: list
  elements: dict
  returned: success
  contains:
    id:
      description: Number of the member.
      type: int
    name:
      description: Its name. An empty string if it was never started.
      type: str
    peer_urls:
      description: The URLs for the other members.
      type: list
      elements: str
    client_urls:
      description: The URLs for clients.
      type: list
      elements: str
"""

import os
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.client import Client, EtcdError

_FILES = ("ca_cert", "client_cert", "client_key")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "endpoints": {"type": "list", "elements": "str", "required": True},
            "ca_cert": {"type": "path"},
            "client_cert": {"type": "path"},
            "client_key": {"type": "path", "no_log": False},
            "contents": {
                "type": "dict",
                "no_log": True,  # as a whole: of an option within, several lines would be logged
                "options": {
                    "ca_cert": {"type": "str", "required": True},
                    "client_cert": {"type": "str", "required": True},
                    "client_key": {"type": "str", "required": True, "no_log": True},
                },
            },
            "timeout": {"type": "int", "default": 5},
        },
        mutually_exclusive=[("contents", name) for name in _FILES],
        supports_check_mode=True,
    )
    params = module.params
    try:
        with tempfile.TemporaryDirectory(dir=module.tmpdir) as directory:
            client = Client(
                params["endpoints"], timeout=params["timeout"], **_files(params, directory)
            )
            client.check_health()  # where it fails, the files are read again for the reason
            status = client.status()
            result = {
                "version": status["version"],
                "downgrade": status["downgrade"],
                "members": [member._asdict() for member in client.members()],
            }
    except EtcdError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


def _files(params: dict[str, Any], directory: str) -> dict[str, str]:
    """Return the paths of the three files; contents are written into directory first."""
    if not params["contents"]:
        return {name: params[name] for name in _FILES}
    paths = {name: os.path.join(directory, name) for name in _FILES}
    for name, path in paths.items():
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(params["contents"][name])
    return paths


if __name__ == "__main__":
    main()
