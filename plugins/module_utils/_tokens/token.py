# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens of service accounts, as far as their holder can read them: JSON Web Tokens (RFC 7519) of
the TokenRequest API. Pure.

Runs on hosts (standard library alone), and on the controller, which asks for a host's first token.
A token is renewed by its holder when less than half of its life is left, and replaced by the site
run when it is overdue or less than a quarter is left: then whatever renews it does not work, or the
host was off.
"""

from __future__ import annotations

import base64
import json
import time
from typing import Any

DIRECTORY = "/etc/multinet/kubernetes"  # where a host has them
RENEW_BELOW = 1 / 2
REPLACE_BELOW = 1 / 4
RENEWED = "renewed"  # so begins what a renewal says that has worked

# How often the timer looks whether it is due: often enough to renew it well before its end, also
# after a few attempts that failed
INTERVALS, MOST_INTERVAL = 8, 3600
# The API may give it a shorter life than was asked for, but not one of fewer intervals
LEAST_INTERVALS = 4
ACCURACY = 60  # seconds that systemd may start a timer's service later (AccuracySec=)


def interval(seconds: int) -> int:
    """Return how often a token is looked at that was asked for with a life of so many seconds."""
    return min(seconds // INTERVALS, MOST_INTERVAL)


def delay(interval: int) -> int:
    """Return by how much a look may be later, so that not all hosts look at once."""
    return interval // 4


def patience(seconds: int) -> int:
    """Return the most seconds between two looks at a token that lives so long."""
    longest = min(seconds // LEAST_INTERVALS, MOST_INTERVAL)
    return longest + delay(longest) + ACCURACY


class TokenError(ValueError):
    """A text that is no token of a service account. The message says why, without the text."""


class Token:
    """What a token's text says. begin, end: seconds since 1970; identity: what another token of the
    same account, issuer and key shares. Raises TokenError.
    """

    def __init__(self, text: str) -> None:
        parts = text.strip().split(".")
        try:
            header, claims = (
                json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
                for part in parts[:2]
            )
            self.begin, self.end = int(claims["iat"]), int(claims["exp"])
            bound = claims["kubernetes.io"]
            self.namespace = str(bound["namespace"])
            self.account = str(bound["serviceaccount"]["name"])
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
    def seconds(self) -> int:
        """How long it lives in all."""
        return self.end - self.begin

    def left(self, now: float) -> float:
        """Return the part of its life that is left at a time (seconds since 1970), below 0 when it
        is over.
        """
        return (self.end - now) / max(self.seconds, 1)

    def is_overdue(self, now: float) -> bool:
        """Return whether it would have been renewed by now if that worked."""
        return self.end - now < self.seconds * RENEW_BELOW - patience(self.seconds)


def at(seconds: float) -> str:
    """Return a time (seconds since 1970) as people read it."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def request(namespace: str, account: str, seconds: int) -> tuple[str, dict[str, Any]]:
    """Return (path, object) that, posted, ask for a token of a service account that lives so many
    seconds.
    """
    return f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": seconds},
    }


def is_good(held: str, fresh: str, now: float) -> bool:
    """Return whether the token that a host holds may stay.

    fresh: one that was issued just now for the same account, by the API's clock, or "" when there
    is none to compare with; now: seconds since 1970 by the host's, which may be wrong.
    """
    try:
        token, other = Token(held), Token(fresh) if fresh else None
    except TokenError:
        return False
    if other:
        now = other.begin
    lasts = token.left(now) >= REPLACE_BELOW and not token.is_overdue(now)
    # one of another life would be renewed for that life again, perhaps by too slow a timer
    return lasts and (
        other is None or (token.identity == other.identity and token.seconds == other.seconds)
    )
