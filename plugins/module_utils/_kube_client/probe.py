# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a Kubernetes API answers, and knows whose kubeconfig it is. Runs on hosts."""

from __future__ import annotations

import contextlib
import http.client
import json

from .._cni import errors
from . import client, https, kubeconfig, reasons

SECONDS = 3.0  # for an answer
_LIMIT = 65536


def problem(path: str) -> str:
    """Return what is wrong, asked with a kubeconfig: a sentence, "" where nothing is."""
    try:
        access = kubeconfig.load(path)
        with contextlib.closing(client.connect(access, SECONDS)) as connection:
            token = client.bearer_token(access)
            connection.request(
                "GET",
                client.split_url(access.server)[3].rstrip("/") + "/version",
                headers={"Authorization": f"Bearer {token}"} if token else {},
            )
            answer = connection.getresponse()
            text = answer.read(_LIMIT)
    except errors.Error as error:
        return f"{error.msg} {error.details}".strip()
    except (OSError, http.client.HTTPException) as error:
        return reasons.no_answer(access.server, error)
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if answer.status == http.client.OK:
        if isinstance(said, dict):
            return ""
        other = "its answer is not a JSON object; a proxy may have answered in its place"
        return reasons.no_answer(access.server, https.ProtocolError(other))
    message = str(said["message"]) if isinstance(said, dict) and "message" in said else ""
    message = message or answer.reason
    return reasons.refusal(access.server, answer.status, message, reasons.ON_HOSTS)
