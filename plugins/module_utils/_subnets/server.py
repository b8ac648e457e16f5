# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's HTTP: the node API of each network for its flanneld, flannel's protocol version 1,
health and metrics.

    /<network>/api/v1/nodes               list, watch          loopback only
    /<network>/api/v1/nodes/<own>         read                 loopback only
    /<network>/api/v1/nodes/<own>/status  patch                loopback only
    /v1/...                               see _Lease           loopback, or TLS with client
    certificates /healthz /readyz /metrics

On loopback only the user that the server runs as is served, besides health and metrics: whoever
could write a node's annotations could draw its traffic.
"""

from __future__ import annotations

import http.server
import ipaddress
import json
import os
import socket
import socketserver
import ssl
import sys
import threading
import time
import urllib.parse

from . import leases, nodes, subnets, upstream

_BODY_LIMIT = 64 * 1024
_CONNECTIONS = 128
_STRANGERS = (
    8  # of them, those of other users: they get health and metrics, and must not keep flanneld out
)
_BOOKMARKS = 60.0
_PATIENCE = 5.0
_LONG_POLL = 300.0
_IDLE = 120.0  # seconds of a connection without a request, and of a write nobody takes
_BATCH = 64 * 1024
_REASONS = {
    400: "BadRequest",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    410: "Expired",
    503: "ServiceUnavailable",
}


class Answer(Exception):
    """An answer that is no success: status: int, and a sentence."""

    def __init__(self, status, sentence):
        super().__init__(sentence)
        self.status = status


class App:
    """What the handlers share.

    networks: dict name -> subnets.Network. default: name of the network that is called "_" in the
    old protocol, or None. node_name: str.
    count: callable(network, verb, status). metrics: callable() -> str.
    """

    def __init__(self, networks, default, cluster, node_name, kept, api, count, metrics):
        self.networks = networks
        self.default = default
        self.cluster = cluster
        self.node_name = node_name
        self.kept = kept
        self.api = api
        self.count = count
        self.metrics = metrics
        self.watches = dict.fromkeys(networks, 0)
        self.lock = threading.Lock()

    def snapshot(self, seconds=_PATIENCE):
        """Return (nodes, version); raise Answer where the API has not been listed after so many
        seconds (a flanneld that is refused waits for longer).
        """
        found, version = self.kept.snapshot(seconds)
        if version is None:
            raise Answer(
                503,
                "The nodes are not known yet: the Kubernetes API has not answered since this server"
                " started.",
            )
        return found, version


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Serves an App on (address, port).

    context: callable() -> tls_context() as its files are now, called for each connection; None on
    loopback.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, place, app, context=None):
        self.address_family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        self.app = app
        self.context = context
        self._slots = threading.BoundedSemaphore(_CONNECTIONS)
        self.strangers = threading.BoundedSemaphore(_STRANGERS)
        super().__init__(place, Handler)

    def process_request(self, request, client_address):
        """Serve a connection in a thread of its own, or close it when there are too many."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address):
        """The life of one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request, client_address):
        """A client that goes away is no error of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def tls_context(certificate, key, client_ca):
    """Return a context that serves by a certificate and takes only clients whose certificate a CA
    has signed (files).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(client_ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def is_loopback(address):
    """Whether an address (str) is one of this host alone."""
    return ipaddress.ip_address(address).is_loopback


def owner(client, server, table="/proc/self/net/"):
    """Return the user id (int) behind a TCP connection on this host, or None.

    client, server: (address, port).
    """

    def text(place):
        packed = ipaddress.ip_address(place[0]).packed
        words = [
            packed[i : i + 4][::-1] for i in range(0, len(packed), 4)
        ]  # the kernel prints words in its own byte order
        return f"{b''.join(words).hex().upper()}:{place[1]:04X}"

    ends = [text(client), text(server)]
    with open(table + ("tcp6" if ":" in client[0] else "tcp"), encoding="ascii") as file:
        for line in file:
            fields = line.split()
            if fields[1:3] == ends:
                return int(fields[7])
    return None


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "multinet-subnets"
    sys_version = ""
    timeout = _IDLE
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer leaves in one piece; what is streamed is flushed

    def setup(self):
        """Greet by TLS where that is asked for; learn who the client is."""
        self.app = self.server.app
        self.may = self.app.node_name  # the node whose leases this client may change
        self.served = True
        self.network = ""
        self.began = False
        if self.server.context:
            self.request.settimeout(_IDLE)
            self.request = self.server.context().wrap_socket(self.request, server_side=True)
            names = dict(pair for entry in self.request.getpeercert()["subject"] for pair in entry)
            common = names.get("commonName", "")
            self.may = (
                common[len("system:node:") :] if common.startswith("system:node:") else common
            )
        else:
            self.served = (
                owner(self.client_address[:2], self.server.server_address[:2]) == os.geteuid()
            )
        if not self.served:
            if not self.server.strangers.acquire(blocking=False):
                raise ConnectionRefusedError()
            self.timeout = _PATIENCE
        super().setup()

    def finish(self):
        """Give back what the connection took, and close what TLS has put around it."""
        if not self.served:
            self.server.strangers.release()
        super().finish()
        if self.server.context:
            self.request.close()

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        """Requests are counted, not logged."""

    def do_GET(self):
        """See the module."""
        self._serve()

    do_PATCH = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_GET

    def _serve(self):
        self.network, self.began = "", False
        parts = urllib.parse.urlsplit(self.path)
        steps = [urllib.parse.unquote(step) for step in parts.path.split("/")[1:]]
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        kubernetes = len(steps) > 1 and steps[1] in ("api", "apis", "version", "openapi")
        verb, self.status = self.command, 200
        try:
            body = self._body()
            if steps in (["healthz"], ["readyz"], ["metrics"]):
                self._public(steps[0])
            elif not self.served:
                raise Answer(403, "Only the user that runs this server is served here.")
            elif steps[0] == "v1":
                _Lease(self, body, query).serve(steps[1:])
            elif self.server.context:
                raise Answer(403, "Only flannel's protocol (/v1) is served beyond this host.")
            else:
                verb = "WATCH" if query.get("watch") in ("1", "true") else self.command
                self._kubernetes(steps, query, body)
        except Answer as answer:
            self._refuse(answer.status, str(answer), kubernetes)
        except upstream.Unavailable as error:
            self._refuse(502, str(error), kubernetes)
        finally:
            self.app.count(self.network, verb, self.status)

    def _body(self):
        if self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            raise Answer(400, "A body must come with its Content-Length.")
        text = self.headers.get("Content-Length") or "0"
        if not text.isdigit() or int(text) > _BODY_LIMIT:
            self.close_connection = True
            raise Answer(400, f"The body is longer than {_BODY_LIMIT} bytes.")
        return self.rfile.read(int(text))

    def json_of(self, body):
        """Return what a body holds; raise Answer."""
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise Answer(400, "The body is no JSON.") from None

    def reply(self, status, content, content_type="application/json"):
        """Send a whole answer. content: JSON-able, or bytes."""
        body = (
            content
            if isinstance(content, bytes)
            else json.dumps(content, separators=(",", ":")).encode()
        )
        self.status = status
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if status in (502, 503):
            self.send_header("Retry-After", "1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status, sentence, kubernetes):
        if self.began:
            self.close_connection = True
        elif kubernetes:
            self.reply(status, _status(status, sentence))
        else:
            self.reply(status, (sentence + "\n").encode(), "text/plain; charset=utf-8")

    def _public(self, what):
        if self.command not in ("GET", "HEAD"):
            raise Answer(405, "This can only be read.")
        if what == "metrics":
            self.reply(200, self.app.metrics().encode(), "text/plain; version=0.0.4; charset=utf-8")
            return
        if what == "readyz":
            self.app.snapshot(0.0)
        self.reply(200, b"ok\n", "text/plain; charset=utf-8")

    # --- the node API of a network
    # ------------------------------------------------------------------------------------------

    def _kubernetes(self, steps, query, body):
        network = self.app.networks.get(steps[0])
        if network is None:
            raise Answer(
                404,
                f"There is no network {steps[0]!r:.60} here; there are"
                f" {', '.join(sorted(self.app.networks))}.",
            )
        self.network = network.name
        if steps[1:4] != ["api", "v1", "nodes"]:
            raise Answer(403, "Only nodes are served here: flanneld needs nothing else.")
        what, own = (self.command, len(steps) - 4), steps[4:5] == [self.app.node_name]
        if what == ("GET", 0):
            if any(query.get(key) for key in ("labelSelector", "fieldSelector", "continue")):
                raise Answer(
                    403, "The nodes are served here all together: flanneld does not select."
                )
            if query.get("watch") in ("1", "true"):
                self._watch(network, query)
            else:
                found, version = self.app.snapshot()
                self.reply(
                    200,
                    {
                        "kind": "NodeList",
                        "apiVersion": "v1",
                        "metadata": {"resourceVersion": version},
                        "items": [subnets.view(node, network, self.app.cluster) for node in found],
                    },
                )
        elif what in (("GET", 1), ("PATCH", 2)) and not own:
            raise Answer(
                403,
                f"Only the node {self.app.node_name} of this host is served here, not"
                f" {steps[4]!r:.60}.",
            )
        elif what == ("GET", 1):
            self.app.snapshot()
            node = self.app.kept.get(self.app.node_name)
            if node is None:
                raise Answer(404, f"The cluster has no node {self.app.node_name}.")
            self.reply(200, subnets.view(node, network, self.app.cluster))
        elif what == ("PATCH", 2) and steps[5] == "status":
            if (self.headers.get("Content-Type") or "").partition(";")[0] not in (
                "application/strategic-merge-patch+json",
                "application/merge-patch+json",
            ):
                raise Answer(403, "Only a merge patch is taken here.")
            try:
                annotations = subnets.allowed_annotations(self.json_of(body), network)
            except subnets.Refused as error:
                raise Answer(403, str(error)) from None
            status, item = self.app.api.patch_own(self.app.node_name, annotations)
            if status == 200:
                item = subnets.view(subnets.Node(item, network.known), network, self.app.cluster)
            self.reply(status, item)
        else:
            raise Answer(
                403,
                "flanneld may list and watch nodes, read its own, and patch the annotations in its"
                f" own node's status; not {self.command} {self.path:.100}.",
            )

    def _watch(self, network, query):
        app = self.app
        bookmarks = query.get("allowWatchBookmarks") in ("1", "true")
        seconds = query.get("timeoutSeconds") or "0"
        end = time.monotonic() + (
            min(float(seconds), 3600.0) if seconds.isdigit() and int(seconds) else 600.0
        )
        found, now = app.snapshot()
        initial = query.get("sendInitialEvents") in ("1", "true")
        version = (
            now
            if initial or query.get("resourceVersion", "") in ("", "0")
            else query["resourceVersion"]
        )
        # without a version, or with 0, a watch begins with what there is (Kubernetes, API concepts,
        # "Semantics for watch")
        first = found if initial or version != query.get("resourceVersion") else []
        try:
            place = app.kept.place_after(version)
        except nodes.Gone:
            raise Answer(410, f"too old resource version: {version:.60}") from None
        with app.lock:
            app.watches[network.name] += 1
        try:
            self._begin_stream()
            self._send_events(
                [_event("ADDED", subnets.view(node, network, app.cluster)) for node in first]
            )
            if initial:
                self._send_events([_bookmark(version, {"k8s.io/initial-events-end": "true"})])
            quiet_until = time.monotonic() + _BOOKMARKS
            while time.monotonic() < end:
                try:
                    changes, place, version = app.kept.read(
                        place, max(0.0, min(quiet_until, end) - time.monotonic())
                    )
                except nodes.Gone:
                    self._send_events(
                        [
                            _event(
                                "ERROR",
                                _status(
                                    410, "The changes after this are not kept any more; list again."
                                ),
                            )
                        ]
                    )
                    break
                self._send_events(self._events(network, changes))
                if time.monotonic() >= quiet_until:
                    quiet_until = time.monotonic() + _BOOKMARKS
                    if bookmarks:
                        self._send_events([_bookmark(version)])
            self.wfile.write(b"0\r\n\r\n")
        finally:
            with app.lock:
                app.watches[network.name] -= 1

    def _events(self, network, changes):
        for change in changes:
            if change.kind is None:
                continue
            item = subnets.view(change.node, network, self.app.cluster)
            # a reader goes on from the version of the last object it got
            item["metadata"]["resourceVersion"] = change.version
            yield _event(change.kind, item)

    def _begin_stream(self):
        self.began = True  # from here on an error can only end the stream
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

    def _send_events(self, lines):
        batch = b""
        for line in lines:
            batch += line
            if len(batch) >= _BATCH:
                self._chunk(batch)
                batch = b""
        if batch:
            self._chunk(batch)

    def _chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


def _event(kind, item):
    return json.dumps({"type": kind, "object": item}, separators=(",", ":")).encode() + b"\n"


def _bookmark(version, annotations=None):
    metadata = {"resourceVersion": version}
    if annotations:
        metadata["annotations"] = annotations
    return _event(
        "BOOKMARK",
        {"kind": "Node", "apiVersion": "v1", "metadata": metadata, "spec": {}, "status": {}},
    )


def _status(code, sentence):
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": sentence,
        "reason": _REASONS.get(code, "InternalError"),
        "code": code,
    }


class _Lease:
    """flannel's protocol, version 1, for one request.

    GET /v1/                                the networks
    GET /v1/<network>/config                its configuration
    GET /v1/<network>/leases[?next=cursor]  all leases, or what changed since a cursor, as soon as
    something has POST /v1/<network>/leases               LeaseAttrs -> Lease
    GET, PUT, DELETE /v1/<network>/leases/<subnet>   one lease, renewed, revoked
    GET, POST /v1/<network>/reservations, DELETE .../<subnet>

    A client changes the leases of one node: on loopback this host's, else the one that its
    certificate names.
    """

    def __init__(self, handler, body, query):
        self._handler = handler
        self._app = handler.app
        self._body = body
        self._query = query

    def serve(self, steps):
        """Answer a request for the path after /v1 (list of str); raise Answer or Unavailable."""
        try:
            self._serve(steps)
        except leases.Bad as error:
            raise Answer(400, str(error)) from None

    def _serve(self, steps):
        method = self._handler.command
        if steps in ([], [""]) and method == "GET":
            if "next" in self._query:
                time.sleep(
                    _LONG_POLL
                )  # networks change by a new start alone: there is nothing to say
            self._handler.reply(
                200, {"events": [], "snapshot": sorted(self._app.networks), "cursor": "0"}
            )
            return
        name = self._app.default if steps[:1] == ["_"] else (steps or [""])[0]
        network = self._app.networks.get(name)
        if network is None:
            raise Answer(
                404,
                f"There is no network {name!r:.60} here; there are"
                f" {', '.join(sorted(self._app.networks))}.",
            )
        self._handler.network = network.name
        what = (method,) + tuple(steps[1:2]) + ("one",) * (len(steps) == 3)
        one = leases.subnet_key(steps[2]) if len(steps) == 3 else None
        act = {
            ("GET", "config"): self._config,
            ("GET", "leases"): self._watch,
            ("GET", "leases", "one"): self._watch,
            ("POST", "leases"): self._acquire,
            ("PUT", "leases", "one"): self._renew,
            ("DELETE", "leases", "one"): self._revoke,
            ("GET", "reservations"): self._reservations,
            ("POST", "reservations"): self._reserve,
            ("DELETE", "reservations", "one"): self._unreserve,
        }.get(what if len(steps) <= 3 else None)
        if act is None:
            raise Answer(404, f"flannel's protocol has no {method} {self._handler.path:.100}.")
        act(network, one)

    def _lease(self, node, network):
        return leases.lease(node, network, self._app.cluster, time.time())

    def _config(self, network, dummy):
        self._handler.reply(200, network.config)

    def _watch(self, network, one):
        def wanted(item):
            return one is None or item["Subnet"] == one

        deadline = time.monotonic() + _LONG_POLL
        found, version = self._app.snapshot()
        try:
            place = (
                self._app.kept.place_after(self._query["next"]) if "next" in self._query else None
            )
            while place is not None and time.monotonic() < deadline:
                changes, place, cursor = self._app.kept.read(place, deadline - time.monotonic())
                events = [
                    event
                    for event in leases.events(changes, network, self._app.cluster, time.time())
                    if wanted(event["lease"])
                ]
                if events:
                    self._handler.reply(200, {"events": events, "snapshot": [], "cursor": cursor})
                    return
            found, version = self._app.snapshot()
        except nodes.Gone:
            pass  # as the protocol says: no events, and all there is
        items = [
            item for item in (self._lease(node, network) for node in found) if item and wanted(item)
        ]
        self._handler.reply(200, {"events": [], "snapshot": items, "cursor": version})

    def _acquire(self, network, dummy):
        attributes = self._handler.json_of(self._body)
        annotations = leases.annotations(attributes, network)
        public = annotations[network.prefix + "public-ip"]
        found, dummy = self._app.snapshot()
        node = next(
            (
                node
                for node in found
                if public in node.addresses
                or node.annotations.get(network.prefix + "public-ip") == public
            ),
            None,
        )
        if node is None:
            raise Answer(
                412, f"No node has the address {public} yet; the kubelet has to register it."
            )
        self._may_change(node)
        try:
            network.subnets(node, self._app.cluster)
        except subnets.NoSubnet as error:
            raise Answer(412, str(error)) from None
        self._handler.reply(200, self._lease(self._patch(node, annotations, network), network))

    def _renew(self, network, one):
        node = self._holder(network, one)
        item = self._handler.json_of(self._body)
        attributes = item.get("Attrs") if isinstance(item, dict) else None
        if attributes:
            annotations = leases.annotations(attributes, network)
            if any(node.annotations.get(key) != value for key, value in annotations.items()):
                node = self._patch(node, annotations, network)
        self._handler.reply(200, self._lease(node, network))

    def _revoke(self, network, one):
        self._patch(self._holder(network, one), dict.fromkeys(network.written), network)
        self._handler.reply(200, {})

    def _holder(self, network, one):
        """The node that has a lease on a subnet, if this client may change it."""
        for node in self._app.snapshot()[0]:
            item = self._lease(node, network)
            if item and item["Subnet"] == one:
                self._may_change(node)
                return node
        raise Answer(404, f"Nobody has a lease on {one}.")

    def _may_change(self, node):
        if node.name != self._handler.may:
            raise Answer(
                403,
                f"You may change the lease of node {self._handler.may} alone, not of node"
                f" {node.name}.",
            )

    def _patch(self, node, annotations, network):
        status, item = self._app.api.patch_own(node.name, annotations)
        if status != 200:
            raise Answer(
                502,
                f"The Kubernetes API does not change node {node.name}: HTTP {status},"
                f" {item.get('message')}",
            )
        return subnets.Node(item, network.known)

    def _reservations(self, network, dummy):
        found = self._app.snapshot()[0]
        self._handler.reply(
            200,
            [
                item
                for item in (leases.reservation(node, network, self._app.cluster) for node in found)
                if item
            ],
        )

    def _reserve(self, network, dummy):
        item = self._handler.json_of(self._body)
        for node in self._app.snapshot()[0]:
            there = leases.reservation(node, network, self._app.cluster)
            if (
                there
                and isinstance(item, dict)
                and item.get("Subnet") == there["Subnet"]
                and item.get("PublicIP") in (there["PublicIP"],) + node.addresses
            ):
                self._handler.reply(200, {})  # it is so already, and stays so
                return
        raise Answer(
            409,
            "Subnets follow from the podCIDR of the nodes; what GET gives is reserved for good, and"
            " nothing else can be.",
        )

    def _unreserve(self, dummy, one):
        raise Answer(403, f"The subnet {one} belongs to its node as long as that has its podCIDR.")
