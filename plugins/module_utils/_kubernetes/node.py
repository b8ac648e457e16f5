# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files by which a host reaches the Kubernetes API: for each service account a kubeconfig, and
beside it the token that it names. Pure; runs on the controller.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .._tokens.token import DIRECTORY


def files(
    issued: Mapping[str, Any], accounts: Mapping[str, str], server: str = ""
) -> list[dict[str, Any]]:
    """Return the files as module node_files takes them.

    issued: {server: URL of the API, ca: certificates (PEM) or "", tokens: {account: token}}.
    accounts: {file name: service account} as objects.accounts() makes it.
    server: URL of the API as the hosts reach it, or "" for that of the kubeconfig.
    """
    found = []
    if issued["ca"]:
        found.append(_secret("ca.crt", issued["ca"], False))
    for name, account in sorted(accounts.items()):
        cluster: dict[str, Any] = {"server": server or issued["server"]}
        if issued["ca"]:
            cluster["certificate-authority"] = DIRECTORY + "/ca.crt"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": "kubernetes", "cluster": cluster}],
            "users": [{"name": account, "user": {"tokenFile": f"{DIRECTORY}/{name}.token"}}],
            "contexts": [{"name": name, "context": {"cluster": "kubernetes", "user": account}}],
        }
        token = issued["tokens"][account]
        found.append(_secret(name + ".token", token and token + "\n", True))
        found.append(_secret(name + ".kubeconfig", json.dumps(config, indent=2) + "\n", False))
    return found


def _secret(name: str, content: str, token: bool) -> dict[str, Any]:
    return {
        "path": f"{DIRECTORY}/{name}",
        "content": content,
        "mode": "0600",
        "secret": token,
        "keep_token": token,
    }
