# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of service accounts, as far as their holder can read them: JSON Web Tokens (RFC 7519) of
the TokenRequest API. Pure.

Runs on hosts (standard library alone), and on the controller, which asks for a host's first token.
A token is renewed by its holder when less than half of its life is left, and replaced by the site
run when less than a quarter is: then whatever renews it does not work, or the host was off.
"""

from __future__ import annotations

import base64
import json

DIRECTORY = "/etc/multinet/kubernetes"  # where a host has them
RENEW_BELOW = 1 / 2
REPLACE_BELOW = 1 / 4


class TokenError(ValueError):
    """A text that is no token of a service account. The message says why, without the text."""


class Token:
    """text: str.

    Has namespace, account (str), begin, end (seconds since 1970); identity: what another token of
    the same kind shares.
    """

    def __init__(self, text):
        parts = text.strip().split(".")
        try:
            header, claims = (
                json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
                for part in parts[:2]
            )
            self.begin, self.end = int(claims["iat"]), int(claims["exp"])
            bound = claims["kubernetes.io"]
            self.namespace, self.account = (
                str(bound["namespace"]),
                str(bound["serviceaccount"]["name"]),
            )
            # the key and the issuer are the cluster's, the uid tells an account from an earlier one
            # of its name
            self.identity = (
                header.get("kid"),
                claims.get("iss"),
                claims.get("aud"),
                claims.get("sub"),
                bound["serviceaccount"].get("uid"),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TokenError(
                f"it is not a token of a service account ({type(error).__name__})"
            ) from None

    @property
    def seconds(self):
        """How long it lives in all."""
        return self.end - self.begin

    def left(self, now):
        """Return the part of its life (float, below 0 when it is over) that is left at a time
        (seconds since 1970).
        """
        return (self.end - now) / max(self.seconds, 1)


def request(namespace, account, seconds):
    """Return (path, object: dict) that, posted, ask for a token of a service account that lives so
    many seconds (int).
    """
    return f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": seconds},
    }


def is_good(held, fresh, now):
    """Return whether the token (str) that a host holds may stay.

    fresh: one that was issued just now for the same account, or "" when there is none to compare
    with; now: seconds since 1970.
    """
    try:
        token = Token(held)
        return token.left(now) >= REPLACE_BELOW and (
            not fresh or token.identity == Token(fresh).identity
        )
    except TokenError:
        return False
