# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""flannel's own protocol, version 1 (flannel 0.5 to 0.7, remote/server.go).

GET /v1/                                the networks
GET /v1/<network>/config                its configuration
GET /v1/<network>/leases[?next=cursor]  all leases; from a cursor on what changed since, as soon as
                                        something has
POST /v1/<network>/leases               LeaseAttrs -> Lease
GET, PUT, DELETE /v1/<network>/leases/<subnet>    one lease: watched, renewed, revoked
GET, POST /v1/<network>/reservations, DELETE .../<subnet>

A client changes the leases of one node: on loopback this host's, else the one that its certificate
names.
"""

from __future__ import annotations

import time
from typing import Any

from . import leases, nodes, subnets
from .app import App
from .exchange import LOOK, Exchange, HttpError
from .subnets import Network, Node

_LONG_POLL = 300.0  # seconds


class LeaseApi:
    """Answers for all networks of an App. node: the one whose leases the client may change."""

    def __init__(self, app: App, node: str) -> None:
        self._app = app
        self._node = node

    def serve(self, exchange: Exchange) -> None:
        """Answer a request; raise HttpError or upstream.UnavailableError."""
        try:
            self._route(exchange, exchange.steps[1:])
        except leases.BadRequestError as error:
            raise HttpError(400, str(error)) from None

    def _route(self, exchange: Exchange, steps: list[str]) -> None:
        """steps: of the path, after /v1."""
        if steps in ([], [""]) and exchange.command == "GET":
            self._networks(exchange)
            return
        name = (steps or [""])[0]
        network = self._app.network(self._app.config.default_network if name == "_" else name)
        exchange.network = network.name
        of_all = {
            ("GET", "config"): self._config,
            ("GET", "leases"): self._watch_all,
            ("POST", "leases"): self._acquire,
            ("GET", "reservations"): self._reservations,
            ("POST", "reservations"): self._reserve,
        }
        of_one = {
            ("GET", "leases"): self._watch,
            ("PUT", "leases"): self._renew,
            ("DELETE", "leases"): self._revoke,
            ("DELETE", "reservations"): self._unreserve,
        }
        what = (exchange.command, steps[1] if len(steps) > 1 else "")
        if len(steps) == 3:
            subnet = leases.subnet_key(steps[2])
            if what in of_one:
                of_one[what](exchange, network, subnet)
                return
        elif len(steps) == 2 and what in of_all:
            of_all[what](exchange, network)
            return
        raise HttpError(404, f"flannel's protocol has no {exchange.command} {exchange.path:.100}.")

    def _networks(self, exchange: Exchange) -> None:
        deadline = time.monotonic() + _LONG_POLL
        # networks change by a new start alone: there is nothing to say
        while "next" in exchange.query and time.monotonic() < deadline:
            time.sleep(LOOK)
            exchange.check_client()
        names = sorted(self._app.config.networks)
        exchange.reply(200, {"events": [], "snapshot": names, "cursor": "0"})

    @staticmethod
    def _config(exchange: Exchange, network: Network) -> None:
        exchange.reply(200, network.config)

    def _lease(self, node: Node, network: Network) -> dict[str, Any] | None:
        return leases.lease(node, network, self._app.config.cluster, time.time())

    def _watch_all(self, exchange: Exchange, network: Network) -> None:
        self._watch(exchange, network, None)

    def _watch(self, exchange: Exchange, network: Network, subnet: str | None) -> None:
        """Answer with what changed since the cursor, or with all there is. subnet: of one lease."""

        def is_wanted(lease: dict[str, Any]) -> bool:
            return subnet is None or lease["Subnet"] == subnet

        found, version = self._app.snapshot()
        if "next" in exchange.query:
            deadline = time.monotonic() + _LONG_POLL
            try:
                place = self._app.kept.place_after(exchange.query["next"])
                while time.monotonic() < deadline:
                    changes, place, cursor = self._app.kept.read(place, LOOK)
                    events = [
                        event
                        for event in leases.events(
                            changes, network, self._app.config.cluster, time.time()
                        )
                        if is_wanted(event["lease"])
                    ]
                    if events:
                        answer = {"events": events, "snapshot": [], "cursor": cursor}
                        exchange.reply(200, answer)
                        return
                    exchange.check_client()
                found, version = self._app.snapshot()
            except nodes.GoneError:
                pass  # as the protocol says: no events, and all there is
        items = [lease for lease in (self._lease(node, network) for node in found) if lease]
        exchange.reply(
            200,
            {
                "events": [],
                "snapshot": [lease for lease in items if is_wanted(lease)],
                "cursor": version,
            },
        )

    def _acquire(self, exchange: Exchange, network: Network) -> None:
        annotations = leases.to_annotations(exchange.json(), network)
        key = network.prefix + "public-ip"
        public = annotations[key]
        found, _version = self._app.snapshot()
        own = [node for node in found if node.name == self._node]
        node = next(
            (
                node
                for node in own + found  # others may write what they want into their lease
                if public in node.addresses or node.annotations.get(key) == public
            ),
            None,
        )
        if node is None:
            raise HttpError(
                412, f"No node has the address {public} yet; the kubelet has to register it."
            )
        self._must_be_own(node)
        try:
            network.subnets(node, self._app.config.cluster)
        except subnets.NoSubnetError as error:
            raise HttpError(412, str(error)) from None
        exchange.reply(200, self._lease(self._patch(node, annotations, network), network))

    def _renew(self, exchange: Exchange, network: Network, subnet: str) -> None:
        node = self._holder(network, subnet)
        item = exchange.json()
        attributes = item.get("Attrs") if isinstance(item, dict) else None
        if attributes:
            annotations = leases.to_annotations(attributes, network)
            if any(node.annotations.get(key) != value for key, value in annotations.items()):
                node = self._patch(node, annotations, network)
        exchange.reply(200, self._lease(node, network))

    def _revoke(self, exchange: Exchange, network: Network, subnet: str) -> None:
        self._patch(self._holder(network, subnet), dict.fromkeys(network.written), network)
        exchange.reply(200, {})

    def _holder(self, network: Network, subnet: str) -> Node:
        """Return the node that has the lease on a subnet, if this client may change it."""
        for node in self._app.snapshot()[0]:
            lease = self._lease(node, network)
            if lease and lease["Subnet"] == subnet:
                self._must_be_own(node)
                return node
        raise HttpError(404, f"No node has a lease on {subnet}.")

    def _must_be_own(self, node: Node) -> None:
        if node.name != self._node:
            raise HttpError(
                403, f"You may change only the lease of node {self._node}, not of node {node.name}."
            )

    def _patch(self, node: Node, annotations: dict[str, Any], network: Network) -> Node:
        status, item = self._app.api.patch_own(node.name, annotations)
        if status != 200:
            raise HttpError(
                502,
                f"The Kubernetes API does not change node {node.name}: HTTP {status},"
                f" {item.get('message')}",
            )
        return subnets.Node(item, network.known)

    def _reservation(self, node: Node, network: Network) -> dict[str, Any] | None:
        return leases.reservation(node, network, self._app.config.cluster)

    def _reservations(self, exchange: Exchange, network: Network) -> None:
        found = self._app.snapshot()[0]
        items = [item for item in (self._reservation(node, network) for node in found) if item]
        exchange.reply(200, items)

    def _reserve(self, exchange: Exchange, network: Network) -> None:
        item = exchange.json()
        for node in self._app.snapshot()[0]:
            there = self._reservation(node, network)
            if (
                there
                and isinstance(item, dict)
                and item.get("Subnet") == there["Subnet"]
                and item.get("PublicIP") in (there["PublicIP"], *node.addresses)
            ):
                exchange.reply(200, {})  # it is so already, and stays so
                return
        raise HttpError(
            409,
            "Subnets are derived from the podCIDR of the nodes; those that GET returns are reserved"
            " for good, and no others can be reserved.",
        )

    @staticmethod
    def _unreserve(exchange: Exchange, network: Network, subnet: str) -> None:
        raise HttpError(
            403, f"The subnet {subnet} belongs to its node as long as that has its podCIDR."
        )
