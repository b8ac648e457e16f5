# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's connections: who is let in, and who answers what.

/<network>/api/v1/nodes...   loopback only                            node_api
/v1/...                      loopback, or TLS with client certificates  lease_api
/healthz /readyz /apiz /metrics  everywhere, to everybody                 here
"""

from __future__ import annotations

import contextlib
import http.server
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable
from typing import Any

from . import metrics, peer, upstream
from .app import PATIENCE, App
from .exchange import Exchange, HttpError
from .lease_api import LeaseApi
from .node_api import NodeApi

CONNECTIONS = 128
# of them, those of other users: they get health and metrics, and must not keep flanneld out
_STRANGERS = 8
STRANGERS_SECONDS = 15.0  # of a stranger's connection in all, and of a TLS greeting
_IDLE = 120.0  # seconds of a connection without a request, and of a write nobody takes
_PUBLIC = ("healthz", "readyz", "apiz", "metrics")


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Serves an App on (address, port).

    tls: gives what tls_context() makes of its files as they are now, for each connection; None on
    loopback, where there is no TLS.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, place: tuple[str, int], app: App, tls: Callable[[], ssl.SSLContext] | None = None
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        self.app = app
        self.node_api = NodeApi(app)
        self.tls = tls
        self.strangers = threading.BoundedSemaphore(_STRANGERS)
        self._slots = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__(place, Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, or close it when there are too many."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._slots.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The life of one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def tls_context(certificate: str, key: str, client_ca: str) -> ssl.SSLContext:
    """Return a context that serves by a certificate and takes only clients whose certificate a CA
    has signed (files).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(client_ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "multinet-subnets"
    sys_version = ""
    timeout = _IDLE
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer leaves in one piece; what is streamed is flushed

    def setup(self) -> None:
        """Greet by TLS where that is asked for; learn who the client is."""
        if self.server.tls:
            self.request.settimeout(_IDLE)
            end = self._end_later()
            try:
                self.request = self.server.tls().wrap_socket(self.request, server_side=True)
            finally:
                end.cancel()
            self.peer = peer.of_certificate(self.request.getpeercert())
        else:
            self.peer = peer.of_process(self.request, self.server.app.config.node_name)
        if not self.peer.served and not self.server.strangers.acquire(blocking=False):
            raise ConnectionRefusedError()
        super().setup()
        if not self.peer.served:
            self._end = self._end_later()
            self.connection.settimeout(PATIENCE)

    def _end_later(self) -> threading.Timer:
        """End the connection after a time, however much of a request has come by then."""
        timer = threading.Timer(STRANGERS_SECONDS, _end, [self.request])
        timer.daemon = True
        timer.start()
        return timer

    def finish(self) -> None:
        """Give back what the connection took, and close what TLS has put around it."""
        if not self.peer.served:
            self._end.cancel()
            self.server.strangers.release()
        super().finish()
        if self.server.tls:
            self.request.close()

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
            exchange.reply_text(200, text, metrics.CONTENT_TYPE)
            return
        if what == "readyz":
            self.server.app.snapshot(0.0)
        if what == "apiz" and self.server.app.why():
            raise HttpError(503, self.server.app.why())
        exchange.reply_text(200, "ok\n")
