# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node API of each network, of which its flanneld takes this server for Kubernetes.

/<network>/api/v1/nodes               list, watch
/<network>/api/v1/nodes/<own>         read
/<network>/api/v1/nodes/<own>/status  patch
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from typing import Any

from . import nodes, subnets
from .app import App
from .exchange import LOOK, Exchange, HttpError, compact, failure
from .subnets import Network

_BOOKMARKS = 60.0  # seconds
_WATCH, _LONGEST_WATCH = 600.0, 3600.0  # seconds of a watch that does not say how long, and at most
_WATCHES = "multinet_subnets_watches"
_MERGE_PATCHES = ("application/strategic-merge-patch+json", "application/merge-patch+json")


class NodeApi:
    """Answers for all networks of an App."""

    def __init__(self, app: App) -> None:
        self._app = app
        for name in app.config.networks:
            app.metrics.add(_WATCHES, 0, network=name)

    def serve(self, exchange: Exchange) -> None:
        """Answer a request; raise HttpError or upstream.UnavailableError."""
        name, *rest = exchange.steps
        network = self._app.network(name)
        exchange.network = network.name
        if rest[:3] != ["api", "v1", "nodes"]:
            raise HttpError(
                403, "The subnet server serves only nodes: flanneld needs nothing else."
            )
        which = rest[3:]  # [], [name of the node] or [name of the node, "status"]
        if (exchange.command, len(which)) == ("GET", 0):
            self._list_or_watch(exchange, network)
        elif (exchange.command, len(which)) == ("GET", 1):
            self._own(which[0])
            self._read(exchange, network)
        elif (exchange.command, len(which)) == ("PATCH", 2):
            self._own(which[0])
            self._patch(exchange, network, which[1])
        else:
            raise self._not_for_flanneld(exchange)

    def _own(self, name: str) -> None:
        """Raise HttpError unless a name is that of this host's node."""
        if name != self._app.config.node_name:
            raise HttpError(
                403,
                f"Only the node {self._app.config.node_name} of this host is served here, not"
                f" {name!r:.60}.",
            )

    @staticmethod
    def _not_for_flanneld(exchange: Exchange) -> HttpError:
        return HttpError(
            403,
            "flanneld may list and watch nodes, read its own, and patch the annotations in its own"
            f" node's status; not {exchange.command} {exchange.path:.100}.",
        )

    def _view(self, node: subnets.Node, network: Network) -> dict[str, Any]:
        return subnets.view(node, network, self._app.config.cluster)

    def _list_or_watch(self, exchange: Exchange, network: Network) -> None:
        if any(exchange.query.get(key) for key in ("labelSelector", "fieldSelector", "continue")):
            raise HttpError(
                403, "The subnet server serves all nodes together: flanneld does not select."
            )
        if exchange.is_watch:
            self._watch(exchange, network)
            return
        found, version = self._app.snapshot()
        exchange.reply(
            200,
            {
                "kind": "NodeList",
                "apiVersion": "v1",
                "metadata": {"resourceVersion": version},
                "items": [self._view(node, network) for node in found],
            },
        )

    def _read(self, exchange: Exchange, network: Network) -> None:
        self._app.snapshot()
        name = self._app.config.node_name
        node = self._app.kept.get(name)
        if node is None:
            raise HttpError(404, f"The cluster has no node {name}.")
        own = {key: text for key, text in node.annotations.items() if key in network.written}
        self._app.written.found(network.name, own)
        exchange.reply(200, self._view(node, network))

    def _patch(self, exchange: Exchange, network: Network, part: str) -> None:
        if part != "status":
            raise self._not_for_flanneld(exchange)
        if exchange.content_type not in _MERGE_PATCHES:
            raise HttpError(403, "The subnet server accepts only a merge patch.")
        try:
            annotations = subnets.allowed_annotations(exchange.json(), network)
        except subnets.ChangeRefusedError as error:
            raise HttpError(403, str(error)) from None
        status, item = self._app.api.patch_own(self._app.config.node_name, annotations)
        if status == 200:
            self._app.written.changed(network.name, annotations)
            item = self._view(subnets.Node(item, network.known), network)
        exchange.reply(status, item)

    def _watch(self, exchange: Exchange, network: Network) -> None:
        query = exchange.query
        asked = query.get("resourceVersion", "")
        found, now = self._app.snapshot()
        initial = query.get("sendInitialEvents") in ("1", "true")
        # without a version, or with 0, a watch begins with what there is (Kubernetes, API concepts,
        # "Semantics for watch")
        version = now if initial or asked in ("", "0") else asked
        first = found if initial or version != asked else []
        try:
            place = self._app.kept.place_after(version)
        except nodes.GoneError:
            raise HttpError(410, f"too old resource version: {version:.60}") from None
        self._app.metrics.add(_WATCHES, network=network.name)
        try:
            exchange.begin_stream()
            exchange.send_lines(_event("ADDED", self._view(node, network)) for node in first)
            if initial:
                exchange.send_lines([_bookmark(version, {"k8s.io/initial-events-end": "true"})])
            self._follow(exchange, network, place)
            exchange.end_stream()
        finally:
            self._app.metrics.add(_WATCHES, -1, network=network.name)

    def _follow(self, exchange: Exchange, network: Network, place: int) -> None:
        """Send what changes from a place on, for as long as was asked for."""
        bookmarks = exchange.query.get("allowWatchBookmarks") in ("1", "true")
        end = time.monotonic() + _seconds(exchange.query.get("timeoutSeconds") or "0")
        bookmark_at = time.monotonic() + _BOOKMARKS
        while (now := time.monotonic()) < end:
            exchange.check_client()
            try:
                changes, place, version = self._app.kept.read(
                    place, max(0.0, min(bookmark_at - now, end - now, LOOK))
                )
            except nodes.GoneError:
                sentence = "Older changes are not kept any more; list again."
                exchange.send_lines([_event("ERROR", failure(410, sentence))])
                return
            exchange.send_lines(self._events(network, changes))
            if time.monotonic() >= bookmark_at:
                bookmark_at = time.monotonic() + _BOOKMARKS
                if bookmarks:
                    exchange.send_lines([_bookmark(version)])

    def _events(self, network: Network, changes: Iterable[nodes.Change]) -> Iterator[bytes]:
        for change in changes:
            if change.kind is None or change.node is None:
                continue
            item = self._view(change.node, network)
            # a reader goes on from the version of the last object it got
            item["metadata"]["resourceVersion"] = change.version
            yield _event(change.kind, item)


def _seconds(asked: str) -> float:
    return min(float(asked), _LONGEST_WATCH) if re.fullmatch("0*[1-9][0-9]{0,8}", asked) else _WATCH


def _event(kind: str, item: dict[str, Any]) -> bytes:
    return compact({"type": kind, "object": item}) + b"\n"


def _bookmark(version: str, annotations: dict[str, str] | None = None) -> bytes:
    metadata: dict[str, Any] = {"resourceVersion": version}
    if annotations:
        metadata["annotations"] = annotations
    return _event(
        "BOOKMARK",
        {"kind": "Node", "apiVersion": "v1", "metadata": metadata, "spec": {}, "status": {}},
    )
