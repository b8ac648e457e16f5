# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an etcd could not be spoken to: one sentence that says what is wrong, where and what to do.

Runs on hosts: standard library alone.
"""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from . import certificate

# How far apart the clocks of two hosts may be before that is the cause of what goes wrong
_CLOCKS_AGREE = timedelta(minutes=2)
_AUTHENTICATION = ("user name is empty", "permission denied", "CommonName of client")
_FORM = "%Y-%m-%d %H:%M UTC"
# Python 3.11 of Debian 12 calls it a proper end when the other side closes without an answer.
_HUNG_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError)

CONNECTING, GREETING, ASKING = "connecting", "greeting", "asking"  # TCP, TLS, HTTP


class Server(NamedTuple):
    """What a server shows to whoever does not check it: its certificate, its clock."""

    certificate: certificate.Certificate | None = None
    clock: datetime | None = None


def explain(
    url: str,
    error: BaseException,
    client_cert: str | None = None,
    stage: str = ASKING,
    look: Callable[[], Server] = Server,
) -> str:
    """Return the sentence for an exception met while speaking to a URL.

    client_cert: path of the client certificate; stage: CONNECTING, GREETING or ASKING; look:
    returns what the server shows, and is called when that matters.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return _verification(url, error, look())
    if isinstance(error, ssl.SSLError) or (
        isinstance(error, (ConnectionResetError, BrokenPipeError)) and url.startswith("https:")
    ):
        return _tls(url, error, client_cert, stage)
    if isinstance(error, socket.gaierror):
        return (
            f"etcd at {url} can't be reached: this host cannot resolve its name. Correct the"
            " endpoint or the host's name resolution."
        )
    if isinstance(error, (socket.timeout, TimeoutError)):
        if stage == CONNECTING:
            return (
                f"etcd at {url} can't be reached: no answer in time. A firewall drops the packets,"
                " or no host has that address. Let this host reach that port, or correct the"
                " endpoint."
            )
        return (
            f"What listens at {url} accepts the connection but gives no answer in time. etcd hangs"
            " (see its own log), or something between drops the answer."
        )
    if isinstance(error, ConnectionRefusedError):
        return (
            f"etcd at {url} can't be reached: connection refused. Start etcd there or correct the"
            " endpoint."
        )
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return (
            f"What answers at {url} closes the connection, as an etcd with TLS does. Write https://"
            " if it is an etcd with TLS; otherwise correct the endpoint."
        )
    if isinstance(error, http.client.HTTPException):
        return f"What answers at {url} is not an etcd: it doesn't speak HTTP. Correct the endpoint."
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if getattr(error, "errno", None) in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES):
        return (
            f"etcd at {url} can't be reached: {reason.lower()}. The host is down, or a route is"
            " missing, or a firewall rejects the packets. Start the host, or let this host reach"
            " it."
        )
    return (
        f"etcd at {url} can't be reached: {reason.lower()}. Start etcd there or correct the"
        " endpoint."
    )


def no_etcd(url: str, path: str, status: int, headers: Mapping[str, str]) -> str:
    """Return the sentence for an answer that no etcd gives. headers: with lower case names."""
    if (
        status == 407
        or "html" in headers.get("content-type", "")
        or {"via", "proxy-authenticate"} & set(headers)
    ):
        return (
            f"What answers at {url} is not an etcd 3.4 or newer but a proxy or a web server (HTTP"
            f" status {status} for {path}). Correct the endpoint, or bypass the proxy."
        )
    return (
        f"What answers at {url} is not an etcd 3.4 or newer (HTTP status {status} for {path})."
        " Correct the endpoint or upgrade etcd."
    )


def refusal(url: str, message: str) -> str:
    """Return the sentence for a request that etcd refuses with this message of its own."""
    if "database space exceeded" in message:
        return alarm(url, "NOSPACE")
    if any(words in message for words in _AUTHENTICATION):
        return (
            f"etcd at {url} refuses the request ({message}): its authentication is on, but its JSON"
            " gateway, which this collection uses, does not know users by their certificates. Give"
            " the networks an etcd without authentication (etcdctl auth disable)."
        )
    return f"etcd at {url} refuses the request: {message.rstrip('.')}."


def alarm(url: str, kind: str) -> str:
    """Return the sentence for an alarm that etcd has raised (etcd's AlarmType)."""
    if kind == "NOSPACE":
        return (
            f"etcd at {url} accepts no writes: its database is full (alarm NOSPACE). Compact and"
            " defragment it (etcdctl compaction, etcdctl defrag), then run etcdctl alarm disarm."
        )
    return (
        f"etcd at {url} accepts no writes: alarm {kind}. Find the member that has it (etcdctl alarm"
        " list) and replace it."
    )


def _verification(url: str, error: ssl.SSLCertVerificationError, server: Server) -> str:
    # Numbers of OpenSSL's X509_verify_cert(3).
    if error.verify_code in (9, 10):
        return f"The certificate of etcd at {url} isn't valid at this time{_time(server)}"
    if error.verify_code in (62, 64):
        return (
            f"The certificate of etcd at {url} does not name that address. Use an address that it"
            " names, or renew it with this address."
        )
    issuer = server.certificate.issuer if server.certificate else ""
    by = f": it is signed by {issuer!r}" if issuer else f" ({error.verify_message})"
    return (
        f"The certificate of etcd at {url} isn't signed by the given CA{by}. Give the CA that"
        " signed it; if that is not etcd's CA, a proxy or another etcd answers in its place."
    )


def _time(server: Server, now: datetime | None = None) -> str:
    """Return the rest of the sentence for a certificate that isn't valid now, and the remedy."""
    now = now or datetime.now(timezone.utc)
    shown, clock = server.certificate, server.clock
    if shown is None:
        return " (expired, or a clock is wrong). Renew it or set the clock."
    if (
        clock
        and abs(clock - now) > _CLOCKS_AGREE
        and shown.begins <= clock <= shown.ends
        and not shown.begins <= now <= shown.ends
    ):
        return (
            f": this host's clock says {now:{_FORM}}, etcd's {clock:{_FORM}}. Set the clock of"
            " this host (timedatectl)."
        )
    if now < shown.begins:
        return (
            f": it begins at {shown.begins:{_FORM}}, and this host's clock says {now:{_FORM}}. Set"
            " the clock (timedatectl)."
        )
    return (
        f": it ended at {shown.ends:{_FORM}}. Renew it (the playbook site renews those that it"
        " made)."
    )


def _tls(url: str, error: BaseException, client_cert: str | None, stage: str) -> str:
    reason = (getattr(error, "reason", None) or "").lower().replace("_", " ")
    if (
        "wrong version number" in reason
        or "record layer" in reason
        or (stage == GREETING and isinstance(error, _HUNG_UP))
    ):
        return f"etcd at {url} doesn't speak TLS. Write http:// or give it certificates."
    if not client_cert:
        return (
            f"etcd at {url} wants a client certificate, but none is given. Give a client"
            " certificate and its key."
        )
    if "alert" in reason:
        return _refused_certificate(url, reason, client_cert)
    return (
        f"etcd at {url} broke the connection, as it does when it refuses the client certificate or"
        " ends. Its own log says why."
    )


def _refused_certificate(url: str, reason: str, client_cert: str) -> str:
    says = f"etcd at {url} refuses the client certificate {client_cert}"
    try:
        mine = certificate.read_file(client_cert)
    except (OSError, ValueError):
        return f"{says} ({reason}). Give one that is signed by the CA that etcd trusts."
    now = datetime.now(timezone.utc)
    if mine.ends < now:
        return (
            f"{says}: it ended at {mine.ends:{_FORM}}. Renew it (the playbook site renews those"
            " that it made)."
        )
    if now < mine.begins or "expired" in reason:
        return (
            f"{says} ({reason}): it is valid from {mine.begins:{_FORM}} to {mine.ends:{_FORM}}, and"
            f" this host's clock says {now:{_FORM}}. Set the clock of this host or of etcd's."
        )
    return (
        f"{says} ({reason}): it is signed by {mine.issuer!r}. Give one that is signed by the CA"
        " that etcd trusts."
    )
