# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's connections: who is let in, and who answers what.

/<network>/api/v1/nodes...   loopback only                            node_api
/v1/...                      loopback, or TLS with client certificates  lease_api
/healthz /readyz /apiz /metrics  everywhere, to everybody                 here
"""

from __future__ import annotations

import http.server
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from .._node.exposition import CONTENT_TYPE
from . import metrics, peer, upstream
from .app import App
from .connection_limit import ConnectionLimit
from .exchange import Exchange, HttpError
from .lease_api import LeaseApi
from .node_api import NodeApi

CONNECTIONS = 128  # of those who are served; with TLS shared by certificate
# of other users, shared by user: they get health and metrics
_STRANGERS = 8
_GREETINGS = 64  # of whoever has shown no certificate yet, shared by address
STRANGERS_SECONDS = 15.0  # of a stranger's connection in all, and of a TLS greeting
_PATIENCE = 5.0  # seconds for a node's own connections that are about to end
_IDLE = 120.0  # seconds of a connection without a request, and of a write nobody takes
_AS_READ = 1.0  # seconds until files are read again
_RELOAD_FAILURES = "multinet_subnets_tls_reload_failures_total"
_PUBLIC = ("healthz", "readyz", "apiz", "metrics")


class Server(http.server.HTTPServer):
    """Serves an App on (address, port).

    tls: gives the context for a connection (Contexts.now); None on loopback, where there is no TLS.
    """

    request_queue_size = 1024

    def __init__(
        self, place: tuple[str, int], app: App, tls: Callable[[], ssl.SSLContext] | None = None
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        self.app = app
        self.node_api = NodeApi(app)
        self.tls = tls
        self._served = ConnectionLimit(CONNECTIONS, displaces=False)
        self._strangers = ConnectionLimit(_GREETINGS if tls else _STRANGERS, displaces=True)
        super().__init__(place, Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, if the limit admits it."""
        try:
            if self.tls:
                request = self.tls().wrap_socket(
                    request, server_side=True, do_handshake_on_connect=False
                )
                client = peer.Peer(False, "", client_address[0])
            else:
                client = peer.of_process(request, self.app.config.node_name)
            (self._served if client.served else self._strangers).admit(request, client.name)
            threading.Thread(target=self._serve, args=(request, client), daemon=True).start()
        except BaseException:
            self._close(request)
            raise

    def _serve(self, connection: socket.socket, client: peer.Peer) -> None:
        """The life of one connection."""
        try:
            if isinstance(connection, ssl.SSLSocket):
                client = self._greet(connection)
            Handler(connection, client, self)
        except Exception:
            self.handle_error(connection, client)
        finally:
            self._close(connection)

    def _greet(self, connection: ssl.SSLSocket) -> peer.Peer:
        connection.settimeout(STRANGERS_SECONDS)
        connection.do_handshake()
        client = peer.of_certificate(connection.getpeercert() or {})
        self._served.admit(connection, client.name, _PATIENCE)
        self._strangers.release(connection)
        return client

    def _close(self, connection: socket.socket) -> None:
        self._strangers.release(connection)
        self._served.release(connection)
        self.shutdown_request(connection)

    def service_actions(self) -> None:
        """What the base class calls after each connection, and twice a second."""
        self._strangers.end_older(STRANGERS_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Contexts:
    """The TLS contexts of a server with certificate and key, which takes only clients whose
    certificate a CA has signed (files). say: logs a sentence. Raises OSError where the files cannot
    be used.
    """

    def __init__(
        self,
        certificate: str,
        key: str,
        client_ca: str,
        counted: metrics.Metrics,
        say: Callable[[str], object],
    ) -> None:
        self._certificate, self._key, self._client_ca = certificate, key, client_ca
        self._counted, self._say = counted, say
        self._context = self._read()
        self._until = time.monotonic() + _AS_READ
        self._failure = ""
        counted.add(_RELOAD_FAILURES, 0)

    def now(self) -> ssl.SSLContext:
        """Return one by the files as they were a second ago, at most: a client without a
        certificate must not have them read again and again. While they cannot be used, it is the
        former one.
        """
        if time.monotonic() >= self._until:
            self._until = time.monotonic() + _AS_READ
            try:
                self._context = self._read()
            except OSError as error:
                self._counted.add(_RELOAD_FAILURES)
                self._tell(str(error))
            else:
                self._tell("")
        return self._context

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._certificate, self._key)
        context.load_verify_locations(self._client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _tell(self, failure: str) -> None:
        files = f"{self._certificate}, {self._key} and {self._client_ca}"
        if failure and failure != self._failure:
            self._say(
                f"The files for TLS, {files}, cannot be used: {failure}. What they were before is"
                " used until they can."
            )
        elif self._failure and not failure:
            self._say(f"The files for TLS, {files}, are used again.")
        self._failure = failure


class Handler(http.server.BaseHTTPRequestHandler):
    """The requests of one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "multinet-subnets"
    sys_version = ""
    timeout = _IDLE
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer leaves in one piece; what is streamed is flushed

    def __init__(self, connection: socket.socket, client: peer.Peer, server: Server) -> None:
        self.peer = client
        super().__init__(connection, client, server)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are counted, not logged."""

    def do_GET(self) -> None:
        """Answer one request, of any method."""
        exchange = Exchange(self)
        try:
            exchange.read_body()
            self._route(exchange)
        except HttpError as refusal:
            exchange.refuse(refusal.status, str(refusal))
        except upstream.UnavailableError as error:
            exchange.refuse(502, str(error))
        finally:
            self.server.app.metrics.add(
                "multinet_subnets_requests_total",
                network=exchange.network,
                verb=exchange.verb,
                code=exchange.status,
            )

    # the base class looks for these names
    do_PATCH = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_GET  # noqa: N815

    def _route(self, exchange: Exchange) -> None:
        if len(exchange.steps) == 1 and exchange.steps[0] in _PUBLIC:
            self._public(exchange, exchange.steps[0])
        elif not self.peer.served:
            raise HttpError(403, "This server serves only the user that runs it.")
        elif exchange.steps[0] == "v1":
            LeaseApi(self.server.app, self.peer.node).serve(exchange)
        elif self.server.tls:
            raise HttpError(403, "Other hosts are served only flannel's protocol (/v1).")
        else:
            self.server.node_api.serve(exchange)

    def _public(self, exchange: Exchange, what: str) -> None:
        if exchange.command not in ("GET", "HEAD"):
            raise HttpError(405, "This can only be read.")
        if what == "metrics":
            text = self.server.app.metrics.text()
            exchange.reply_text(200, text, CONTENT_TYPE)
            return
        if what == "readyz":
            self.server.app.snapshot(0.0)
        if what == "apiz" and self.server.app.why():
            raise HttpError(503, self.server.app.why())
        exchange.reply_text(200, "ok\n")
