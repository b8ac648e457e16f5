#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_tokens
short_description: Tokens of service accounts, and what a host needs besides to use them
version_added: 0.1.0
description:
  - Asks the Kubernetes API (TokenRequest) for a token of each service account. Nothing at the API
    changes by it.
  - In check mode no token is asked for, and each one returned is empty.
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
  accounts:
    description: Names of the service accounts.
    type: list
    elements: str
    required: true
  seconds:
    description: How long the tokens are to live, at least 600. The API server may be set up to give
      them less.
    type: int
    default: 604800
  least_seconds:
    description: Fail when a token lives less than this.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: Ask for a token of the meta-plugin
  multinet.flannel.kubernetes_tokens:
    kubeconfig: ~/.kube/config
    accounts: [multinet]
  delegate_to: localhost
  run_once: true
  no_log: true
  register: issued
"""

RETURN = r"""
server:
  description: URL of the API, as the kubeconfig has it.
  returned: success
  type: str
  sample: https://192.0.2.10:6443
ca:
  description: The certificates (PEM) by which the API is trusted, or an empty string when the
    hosts' own have to do.
  returned: success
  type: str
tokens:
  description: The tokens by the names of their service accounts.
  returned: success
  type: dict
seconds:
  description: How long the token that ends first lives, 0 in check mode.
  returned: success
  type: int
  sample: 604800
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import admin
from ansible_collections.multinet.flannel.plugins.module_utils._tokens import token


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kubeconfig": {"type": "str", "required": True},
            "namespace": {"type": "str", "default": "kube-system"},
            "accounts": {"type": "list", "elements": "str", "required": True},
            "seconds": {"type": "int", "default": 604800},
            "least_seconds": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        api = admin.Admin(params["kubeconfig"])
        # where the kubeconfig has none, that of the cluster's own pods
        ca = api.ca() or (
            (
                api.get(f"/api/v1/namespaces/{params['namespace']}/configmaps/kube-root-ca.crt")
                or {}
            ).get("data")
            or {}
        ).get("ca.crt", "")
        tokens = {
            name: (
                "" if module.check_mode else api.token(params["namespace"], name, params["seconds"])
            )
            for name in params["accounts"]
        }
        lives = [token.Token(text).seconds for text in tokens.values() if text]
    except (admin.AdminError, token.TokenError) as error:
        module.fail_json(msg=str(error))
    if lives and min(lives) < params["least_seconds"]:
        module.fail_json(
            msg=(
                f"The Kubernetes API {api.server} gives tokens of {int(min(lives))} s at most"
                f" (--service-account-max-token-expiration), and {params['seconds']} s were asked"
                f" for. Set kubernetes_token_seconds to {int(min(lives))}."
            )
        )
    module.exit_json(
        changed=False, server=api.server, ca=ca, tokens=tokens, seconds=min(lives, default=0)
    )


if __name__ == "__main__":
    main()
