#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_tokens
short_description: Get tokens and kubeconfigs for the nodes' access to the Kubernetes API
version_added: 0.1.0
description:
  - Requests tokens of the nodes' service accounts from the Kubernetes API (TokenRequest). This
    changes nothing at the API.
  - Returns the tokens and the kubeconfigs that refer to them as files for
    M(multinet.flannel.node_files).
  - In check mode it requests no tokens and returns empty ones.
author: [multinet.flannel authors (@multinet-flannel)]
extends_documentation_fragment:
  - multinet.flannel.kubernetes_admin
  - multinet.flannel.attributes
  - multinet.flannel.attributes.info
attributes:
  check_mode:
    details: Returns empty tokens.
options:
  nodes:
    description: Names of the nodes, which are those of their service accounts.
    type: list
    elements: str
    required: true
  namespace:
    description: A namespace in which pods find the CA certificates of the API, for a kubeconfig
      that has none.
    type: str
    default: kube-system
  datastore:
    description: Where leases come from. With V(kubernetes) the subnet server has access, too,
      besides the meta-plugin.
    type: str
    choices: [etcd, kubernetes]
    default: etcd
  server:
    description: URL of the API for the hosts. By default, that of the kubeconfig.
    type: str
    default: ""
  seconds:
    description: The requested lifetime of the tokens in seconds, at least 600. The API server may
      be configured to give a shorter one.
    type: int
    default: 604800
  least_seconds:
    description: Fail if the lifetime of a token is shorter than this.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: Get a token for the meta-plugin of a node
  multinet.flannel.kubernetes_tokens:
    kubeconfig: ~/.kube/config
    nodes: [node1]
  delegate_to: localhost
  run_once: true
  no_log: true
  register: issued

- name: Write the kubeconfig and the token of node1
  multinet.flannel.node_files:
    directories:
      - {path: /etc/multinet/kubernetes, mode: "0700"}
    files: "{{ issued.files['node1'] }}"
"""

RETURN = r"""
files:
  description: For each node a list of files. These are the CA certificates of the API, if the
    kubeconfig has any, and a kubeconfig and a token for each program.
  returned: success
  type: dict
seconds:
  description: The shortest lifetime of the tokens in seconds. 0 in check mode.
  returned: success
  type: int
  sample: 604800
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import (
    admin,
    node,
    objects,
)
from ansible_collections.multinet.flannel.plugins.module_utils._tokens import token


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "str", "required": True},
            "nodes": {"type": "list", "elements": "str", "required": True},
            "namespace": {"type": "str", "default": "kube-system"},
            "datastore": {"type": "str", "choices": ["etcd", "kubernetes"], "default": "etcd"},
            "server": {"type": "str", "default": ""},
            "seconds": {"type": "int", "default": 604800},
            "least_seconds": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        api = admin.Admin(params["kubeconfig"])
        issued = {"server": api.server, "ca": api.ca(params["namespace"])}
        tokens = {
            name: {
                file: "" if module.check_mode else api.token(objects.NODES, name, params["seconds"])
                for file in objects.access(params)
            }
            for name in params["nodes"]
        }
        texts = [text for of_node in tokens.values() for text in of_node.values() if text]
        lives = [token.Token(text).seconds for text in texts]
    except (admin.AdminError, token.TokenError) as error:
        module.fail_json(msg=str(error))
    if lives and min(lives) < params["least_seconds"]:
        module.fail_json(
            msg=(
                f"The Kubernetes API {api.server} gives tokens for at most {int(min(lives))} s"
                f" (--service-account-max-token-expiration), but {params['seconds']} s were asked"
                f" for. Set kubernetes_token_seconds to {int(min(lives))}."
            )
        )
    module.exit_json(
        changed=False,
        files={
            name: node.files(issued, name, of_node, params["server"])
            for name, of_node in tokens.items()
        },
        seconds=min(lives, default=0),
    )


if __name__ == "__main__":
    main()
