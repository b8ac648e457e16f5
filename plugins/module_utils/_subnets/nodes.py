# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes as the API's one watch tells of them, and the last changes in order, for any number of
readers at their own pace.

resourceVersions stay what they are in the API: opaque texts. A reader goes on after any version
that it can have been given by this server, and gets GoneError where that is too long ago; then it
lists again, as with the API itself. A slow reader keeps nothing but its place.
"""

from __future__ import annotations

import collections
import itertools
import threading
import time
from collections.abc import Iterable

from .subnets import Node

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"
SIZE = 4096
CHARACTERS = 32 << 20  # of all changes; one node can write 256 Ki into each


class GoneError(Exception):
    """The changes after a place are not kept any more."""


class Change:
    """kind: ADDED, MODIFIED or DELETED, or None (and no node) where nothing changed but the
    version; before: the node as it was; version: what a reader then knows.
    """

    __slots__ = ("before", "kind", "node", "version")

    def __init__(
        self, kind: str | None, node: Node | None, before: Node | None, version: str
    ) -> None:
        self.kind = kind
        self.node = node
        self.before = before
        self.version = version

    @property
    def size(self) -> int:
        """Characters of the node."""
        return self.node.size if self.node else 0


class Nodes:
    """size: how many changes are kept; characters: of how large nodes, together."""

    def __init__(self, size: int = SIZE, characters: int = CHARACTERS) -> None:
        self._size = size
        self._characters = characters
        self._kept = 0  # characters of the changes
        self._changed = threading.Condition()
        self._nodes: dict[str, Node] = {}
        self._log: collections.deque[Change] = collections.deque()
        self._begin = 0  # number of the first change that is kept
        self._places: dict[str, int] = {}  # version -> number of the change that comes after it
        self._last = ""  # version of the last change

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def version(self) -> str | None:
        """Version of the last change; None until the first list."""
        return self._last or None

    def get(self, name: str) -> Node | None:
        """Return the node of a name."""
        with self._changed:
            return self._nodes.get(name)

    def snapshot(self, seconds: float = 0.0) -> tuple[list[Node], str | None]:
        """Return (nodes, their version); the version is None where after so many seconds nothing is
        known yet.
        """
        with self._changed:
            self._changed.wait_for(lambda: bool(self._last), seconds)
            return list(self._nodes.values()), self.version

    def replace(self, nodes: Iterable[Node], version: str) -> None:
        """Take all nodes, as listed at a version. What differs from before becomes changes."""
        with self._changed:
            listed = {node.name: node for node in nodes}
            if not self._last:
                self._nodes = dict(listed)
            for name in [name for name in self._nodes if name not in listed]:
                self._delete(self._nodes[name], self._last)
            for node in listed.values():
                before = self._nodes.get(node.name)
                if before is not None and (before.uid, before.pod_cidrs) != (
                    node.uid,
                    node.pod_cidrs,
                ):
                    self._delete(before, self._last)
                if before is None or not before.same_as(node):
                    self._take(node)
                self._nodes[node.name] = node
            self._add(Change(None, None, None, version))

    def apply(self, kind: str, node: Node) -> None:
        """Take one event of the watch: ADDED, MODIFIED or DELETED, and the node."""
        with self._changed:
            before = self._nodes.get(node.name)
            if kind == DELETED:
                if before is not None:
                    self._delete(before, node.version)
            elif before is not None and before.same_as(node):
                self._nodes[node.name] = node
                self._add(Change(None, None, None, node.version))
            else:
                # flanneld sees no change of a podCIDR: it must see the node go and come
                if before is not None and before.pod_cidrs != node.pod_cidrs:
                    self._delete(before, self._last)
                self._take(node)

    def bookmark(self, version: str) -> None:
        """Take the API's word that nothing more came up to a version."""
        with self._changed:
            if version != self._last:
                self._add(Change(None, None, None, version))

    def place_after(self, version: str) -> int:
        """Return the place from which read() gives what came after a version; raise GoneError."""
        with self._changed:
            if version not in self._places:
                raise GoneError()
            return self._places[version]

    def read(self, place: int, seconds: float) -> tuple[list[Change], int, str]:
        """Return (changes from a place on, the next place, the version there), as soon as there are
        some or after so many seconds; raise GoneError.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while place >= self._begin + len(self._log):
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            if place < self._begin:
                raise GoneError()
            changes = list(itertools.islice(self._log, place - self._begin, None))
            return changes, self._begin + len(self._log), self._last

    def _take(self, node: Node) -> None:
        before = self._nodes.get(node.name)
        self._nodes[node.name] = node
        self._add(Change(ADDED if before is None else MODIFIED, node, before, node.version))

    def _delete(self, node: Node, version: str) -> None:
        del self._nodes[node.name]
        self._add(Change(DELETED, node, node, version))

    def _add(self, change: Change) -> None:
        self._log.append(change)
        # one version can stand for several changes: whoever goes on from it gets the later ones
        # again, which does no harm
        self._places.setdefault(change.version, self._begin + len(self._log))
        self._last = change.version
        self._kept += change.size
        while len(self._log) > self._size or self._kept > self._characters:
            self._begin += 1
            gone = self._log.popleft()
            self._kept -= gone.size
            if self._places.get(gone.version) == self._begin:
                del self._places[gone.version]
        self._changed.notify_all()
