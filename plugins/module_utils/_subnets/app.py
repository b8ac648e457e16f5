# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What everything that answers requests works with."""

from __future__ import annotations

from collections.abc import Callable

from .config import Config
from .exchange import HttpError
from .metrics import Metrics
from .nodes import Nodes
from .subnets import Network, Node
from .upstream import Upstream
from .written import Written

PATIENCE = 5.0


class App:
    """config: what is served; kept: the nodes as they are known; api: where they are changed;
    written: what this host's flanneld wrote; why: returns the sentence why the API is not followed,
    "" while it is.
    """

    def __init__(
        self,
        config: Config,
        kept: Nodes,
        api: Upstream,
        metrics: Metrics,
        written: Written,
        why: Callable[[], str] = lambda: "Nothing was asked yet.",
    ) -> None:
        self.config = config
        self.kept = kept
        self.api = api
        self.metrics = metrics
        self.written = written
        self.why = why

    def network(self, name: str | None) -> Network:
        """Return the network of a name; raise HttpError."""
        network = None if name is None else self.config.networks.get(name)
        if network is None:
            raise HttpError(
                404,
                f"There is no network {name!r:.60} here; there are"
                f" {', '.join(sorted(self.config.networks))}.",
            )
        return network

    def snapshot(self, seconds: float = PATIENCE) -> tuple[list[Node], str]:
        """Return the nodes and their version; raise HttpError where the API has not been listed
        after so many seconds (a flanneld that is refused waits for longer).
        """
        found, version = self.kept.snapshot(seconds)
        if version is None:
            raise HttpError(503, f"The nodes are not known yet. {self.why()}")
        return found, version
