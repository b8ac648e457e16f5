# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files by which a node's programs reach the Kubernetes API: for each a kubeconfig, and beside
it the token that it names. Pure; runs on the controller.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .._tokens.token import DIRECTORY


def files(
    issued: Mapping[str, Any], node: str, tokens: Mapping[str, str], server: str = ""
) -> list[dict[str, Any]]:
    """Return the files as module node_files takes them.

    issued: {server: URL of the API, ca: certificates (PEM) or ""}. node: the name of its account.
    tokens: {file name: token}. server: URL of the API as the hosts reach it, or "" for that of the
    kubeconfig.
    """
    found = []
    if issued["ca"]:
        found.append(_secret("ca.crt", issued["ca"], False))
    for name, token in sorted(tokens.items()):
        cluster: dict[str, Any] = {"server": server or issued["server"]}
        if issued["ca"]:
            cluster["certificate-authority"] = DIRECTORY + "/ca.crt"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": "kubernetes", "cluster": cluster}],
            "users": [{"name": node, "user": {"tokenFile": f"{DIRECTORY}/{name}.token"}}],
            "contexts": [{"name": name, "context": {"cluster": "kubernetes", "user": node}}],
        }
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
