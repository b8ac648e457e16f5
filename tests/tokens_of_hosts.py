# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of service accounts as a Kubernetes API makes them, but for the signature."""

from __future__ import annotations

import base64
import json


def issued(begin, seconds):
    """Return a token that begins at a time (seconds since 1970) and lives so many seconds."""
    account = {"name": "multinet", "uid": "1"}
    claims = {"iat": begin, "exp": begin + seconds}
    claims["kubernetes.io"] = {"namespace": "kube-system", "serviceaccount": account}
    parts = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"kid": "a"}, claims)
    )
    return ".".join((*parts, "signature"))
