# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renew the tokens of a host at the Kubernetes API, each with the right of its own service account
to ask for the next one.

Runs on hosts, started by a timer: standard library alone. What there is to renew is what lies in
the directory: each kubeconfig with its tokenFile; all else is in the token itself.
"""

from __future__ import annotations

import glob
import os
import sys
import time
from collections.abc import Callable

from .._cni import errors, files
from .._kube_client import client as kube
from .._kube_client import kubeconfig
from . import token

_SECONDS = 30.0  # for all requests about one token


def main(directory: str = token.DIRECTORY, clock: Callable[[], float] = time.time) -> int:
    """Renew what is due; print a line for each token; return the exit status, 1 when one could not
    be renewed.
    """
    status = 0
    for path in sorted(glob.glob(os.path.join(glob.escape(directory), "*.kubeconfig"))):
        try:
            sys.stdout.write(f"{path}: {renew(path, clock)}\n")
        except (errors.Error, token.TokenError, OSError) as error:
            sys.stderr.write(f"{path}: {_sentence(error)}\n")
            status = 1
    return status


def renew(path: str, clock: Callable[[], float]) -> str:
    """Renew the token of the kubeconfig at a path if it is due; return what was done.

    Raises Error, TokenError and OSError.
    """
    access = kubeconfig.load(path)
    if not access.token_file:
        return "no tokenFile, so nothing to renew."
    held = token.Token(kube.bearer_token(access) or "")
    left = held.left(clock())
    if left >= token.RENEW_BELOW:
        return f"valid until {token.at(held.end)}, nothing to do yet."
    if left <= 0:
        raise token.TokenError(
            f"the token expired at {token.at(held.end)}, while this host could not renew it. Run"
            " multinet.flannel.site, which writes a new one"
        )
    client = kube.Client(access, seconds=_SECONDS)
    try:
        answer = client.post(*token.request(held.namespace, held.account, held.seconds))
    except errors.Error as error:
        raise errors.Error(
            error.code,
            f"{error.msg} The token is valid until {token.at(held.end)} and is tried again.",
            error.details,
        ) from None
    finally:
        client.close()
    fresh = str(((answer or {}).get("status") or {}).get("token") or "")
    try:
        issued = token.Token(fresh)
    except token.TokenError as error:
        raise token.TokenError(
            f"the API's answer to a TokenRequest: {error}; the token that is there stays"
        ) from None
    files.write(access.token_file, fresh + "\n")
    return f"{token.RENEWED}, valid until {token.at(issued.end)}."


def _sentence(error: Exception) -> str:
    text = str(error)
    if isinstance(error, errors.Error) and error.details:
        text = f"{error.msg} ({error.details})"
    return text.rstrip(".") + "."
