#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_tokens
short_description: Get tokens and kubeconfigs for a host's access to the Kubernetes API
version_added: 0.1.0
description:
  - Requests a token for each service account of the hosts from the Kubernetes API (TokenRequest).
    This changes nothing at the API.
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
  namespace:
    description: Namespace of the service accounts.
    type: str
    default: kube-system
  datastore:
    description: Where leases come from. With V(kubernetes) the subnet server has a service account,
      too, besides the meta-plugin.
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
- name: Get a token for the meta-plugin
  multinet.flannel.kubernetes_tokens:
    kubeconfig: ~/.kube/config
  delegate_to: localhost
  run_once: true
  no_log: true
  register: issued

- name: Write the kubeconfigs and tokens of this host
  multinet.flannel.node_files:
    directories:
      - {path: /etc/multinet/kubernetes, mode: "0700"}
    files: "{{ issued.files }}"
"""

RETURN = r"""
files:
  description: The CA certificates of the API, if the kubeconfig has any, and a kubeconfig and a
    token for each service account.
  returned: success
  type: list
  elements: dict
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
            "namespace": {"type": "str", "default": "kube-system"},
            "datastore": {"type": "str", "choices": ["etcd", "kubernetes"], "default": "etcd"},
            "server": {"type": "str", "default": ""},
            "seconds": {"type": "int", "default": 604800},
            "least_seconds": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    params = module.params
    accounts = objects.accounts(params)
    try:
        api = admin.Admin(params["kubeconfig"])
        ca = api.ca(params["namespace"])
        tokens = {
            name: (
                "" if module.check_mode else api.token(params["namespace"], name, params["seconds"])
            )
            for name in accounts.values()
        }
        lives = [token.Token(text).seconds for text in tokens.values() if text]
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
    issued = {"server": api.server, "ca": ca, "tokens": tokens}
    module.exit_json(
        changed=False,
        files=node.files(issued, accounts, params["server"]),
        seconds=min(lives, default=0),
    )


if __name__ == "__main__":
    main()
