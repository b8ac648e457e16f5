# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes API behind the server: one list and one watch of the nodes for all networks, and
changes of the own node.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import random
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .._cni import errors
from .._kube_client import client as kube
from .._kube_client import kubeconfig, reasons
from . import nodes, subnets

# The API sends a bookmark about every minute: a watch that is silent for longer has lost its
# connection.
SILENCE = 90.0
_TIMEOUT = 15.0
_PAGE = 200
_LINE_LIMIT = 8 * 1024 * 1024
_PAUSES = (0.5, 15.0)  # seconds after a first failure, and at most


class UnavailableError(Exception):
    """The API did not answer, or not as it should.

    The message is a sentence; status: HTTP's, None where there was no answer.
    """

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status


class ExpiredError(Exception):
    """The version from which to watch is too old: list again."""


class Upstream:
    """path: a kubeconfig, read at each connection, and its token at each request; known: the
    annotations to keep; count: called with verb and status (0: no answer) after each request.
    """

    def __init__(
        self,
        path: str,
        known: frozenset[str],
        count: Callable[[str, int], None] = lambda verb, status: None,
    ) -> None:
        self._path = path
        self._known = known
        self._count = count
        self._server = ""  # as the kubeconfig had it at the last connection

    def list_nodes(self) -> tuple[list[subnets.Node], str]:
        """Return (nodes, version); raise UnavailableError, or ExpiredError in the middle of a long
        list.
        """
        found: list[subnets.Node] = []
        query = {"limit": str(_PAGE)}
        while True:
            items, version, more = self._page(query)
            found += items
            if not more:
                return found, version
            query["continue"] = more

    def version(self) -> str:
        """Return the version of the nodes at this moment; raise UnavailableError or ExpiredError.

        It costs the API one object, however many nodes there are.
        """
        return self._page({"limit": "1"})[1]

    def _page(self, query: Mapping[str, str]) -> tuple[list[subnets.Node], str, str]:
        """Return (nodes, version, where the next page begins or "") of a page of the list."""
        status, page = self._ask("LIST", "/api/v1/nodes?" + urllib.parse.urlencode(query))
        if status == 410:
            raise ExpiredError()
        if status != 200:
            raise self._unavailable("list the nodes", status, page)
        with self._is_understood("a list of nodes"):
            metadata = page["metadata"]
            version, more = metadata["resourceVersion"], metadata.get("continue") or ""
            if (page["kind"], type(version), type(more)) != ("NodeList", str, str):
                raise ValueError("another kind")
            items = page.get("items") or []  # null is an empty list in Go
            return [subnets.Node(item, self._known) for item in items], version, more

    @contextlib.contextmanager
    def _is_understood(self, what: str) -> Iterator[None]:
        """Have it be an UnavailableError where an answer, a proxy's for example, is not `what`."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _misunderstood(self._server, what, error) from None

    def patch_own(
        self, name: str, annotations: Mapping[str, str | None]
    ) -> tuple[int, dict[str, Any]]:
        """Set annotations of a node (None: take it off); return (HTTP's status, the object or the
        API's Status); raise UnavailableError.
        """
        body = json.dumps({"metadata": {"annotations": annotations}}).encode()
        path = f"/api/v1/nodes/{urllib.parse.quote(name, safe='')}/status"
        status, answer = self._ask("PATCH", path, body)
        if status == 200:
            with self._is_understood("a node"):
                subnets.Node(answer, self._known)
        return status, answer

    def create_event(self, namespace: str, event: Mapping[str, Any]) -> int:
        """Write an Event; return HTTP's status (409: it was written before); raise
        UnavailableError.
        """
        path = f"/api/v1/namespaces/{urllib.parse.quote(namespace, safe='')}/events"
        return self._ask("POST", path, json.dumps(event).encode())[0]

    def watch_nodes(self, version: str) -> Iterator[tuple[str, subnets.Node] | str]:
        """Yield (kind, node) of each change after a version, and the version alone of each
        bookmark; raise UnavailableError or ExpiredError. Ends when the API ends it.
        """
        query = {
            "watch": 1,
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": random.randint(300, 600),
        }
        with _Connection(self._path, SILENCE) as connection:
            self._server = connection.server
            path = "/api/v1/nodes?" + urllib.parse.urlencode(query)
            response = connection.send(path, compressed=False)
            self._count("WATCH", response.status)
            if response.status == 410:
                raise ExpiredError()
            if response.status != 200:
                answer = connection.read(response)
                raise self._unavailable("watch the nodes", response.status, answer)
            yield version
            while True:
                event = connection.line(response)
                if event is None:
                    return
                kind, item = event["type"], event["object"]
                if kind == "BOOKMARK":
                    yield item["metadata"]["resourceVersion"]
                elif kind in (nodes.ADDED, nodes.MODIFIED, nodes.DELETED):
                    yield kind, subnets.Node(item, self._known)
                elif kind == "ERROR" and item.get("code") == 410:
                    raise ExpiredError()
                else:
                    raise self._unavailable("watch the nodes", item.get("code") or 0, item)

    def _unavailable(self, what: str, status: int, answer: Mapping[str, Any]) -> UnavailableError:
        message = str(answer.get("message") or "")[:300]
        return UnavailableError(
            reasons.refusal(self._server, status, message, reasons.ON_HOSTS, f"to {what}"), status
        )

    def _ask(self, verb: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
        try:
            with _Connection(self._path, _TIMEOUT) as connection:
                self._server = connection.server
                response = connection.send(path, body, method=verb)
                answer = connection.read(response)
        except UnavailableError:
            self._count(verb, 0)
            raise
        self._count(verb, response.status)
        return response.status, answer


class _Connection:
    """A connection for one request. Every failure of it is an UnavailableError."""

    def __init__(self, path: str, seconds: float) -> None:
        try:
            self._access = kubeconfig.load(path)
            self.server = self._access.server
            self._connection = kube.connect(self._access, seconds)
        except errors.Error as error:
            raise UnavailableError(_sentence(error)) from None

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._connection.close()
        if isinstance(error, (OSError, http.client.HTTPException)):
            raise UnavailableError(kube.no_answer(self._access.server, error).msg) from None
        if isinstance(error, errors.Error):
            raise UnavailableError(_sentence(error)) from None
        if isinstance(
            error, (KeyError, TypeError, ValueError, AttributeError, EOFError, zlib.error)
        ):
            raise _misunderstood(self._access.server, "a list of nodes", error) from None

    def send(
        self, path: str, body: bytes | None = None, compressed: bool = True, method: str = "GET"
    ) -> http.client.HTTPResponse:
        """Ask for what is at a path, or for a change of it (PATCH: a JSON merge patch), or for a
        new object (POST); return the answer's head. compressed: the answer may be so, for read()
        follows and not line().
        """
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip" if compressed else "identity",
            "User-Agent": "multinet-subnets",
        }
        token = kube.bearer_token(self._access)
        if token:
            headers["Authorization"] = "Bearer " + token
        if body is not None:
            kind = "merge-patch+json" if method == "PATCH" else "json"
            headers["Content-Type"] = "application/" + kind
        self._connection.request(
            method if body is not None else "GET",  # a list is a GET, too
            kube.split_url(self._access.server)[3].rstrip("/") + path,
            body=body,
            headers=headers,
        )
        return self._connection.getresponse()

    @staticmethod
    def read(response: http.client.HTTPResponse) -> dict[str, Any]:
        """Return the whole answer; where it is no object, its beginning as the message of one."""
        text = response.read()
        if response.getheader("Content-Encoding") == "gzip":
            text = gzip.decompress(text)
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if isinstance(answer, dict):
            return answer
        return {"message": text[:200].decode("utf-8", "replace")}

    @staticmethod
    def line(response: http.client.HTTPResponse) -> dict[str, Any] | None:
        """Return the next event of a watch, None at its end."""
        text = response.readline(_LINE_LIMIT)
        if len(text) == _LINE_LIMIT:
            raise http.client.HTTPException(f"one event is longer than {_LINE_LIMIT >> 20} MiB")
        return json.loads(text) if text.endswith(b"\n") else None


def _misunderstood(server: str, what: str, error: BaseException) -> UnavailableError:
    return UnavailableError(
        f"The Kubernetes API {server} gives an answer that is not {what} ({type(error).__name__})."
    )


def _sentence(error: errors.Error) -> str:
    return f"{error.msg} {error.details}" if error.details else error.msg


class Follower(threading.Thread):
    """Keeps the nodes in line with the API for as long as the process lives.

    connected: whether a watch is open; failure: the last one, "" once that is over; say: logs a
    sentence.
    """

    def __init__(self, upstream: Upstream, kept: nodes.Nodes, say: Callable[[str], None]) -> None:
        super().__init__(daemon=True, name="follower")
        self._upstream = upstream
        self._kept = kept
        self._say = say
        self._listed = False
        self._broken = False  # the last watch, not ended by the API
        self.connected = False
        self.failure = "Nothing was asked yet."

    def run(self) -> None:
        """Follow; on a failure wait, at first shortly."""
        pause = _PAUSES[0]
        while True:
            try:
                self.follow_once()
                pause = _PAUSES[0]
            except UnavailableError as error:
                if self.failure != str(error):
                    self._say(f"{error} The known nodes stay as they are; asking again.")
                if self.connected:
                    pause = _PAUSES[0]
                self.failure = str(error)
                self._broken = True
            except ExpiredError:
                self._say(
                    "The API does not keep changes as old as the last known one; listing the nodes"
                    " again."
                )
                self._listed = False
            self.connected = False
            # not all nodes at the same moment
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _PAUSES[1])

    def follow_once(self) -> None:
        """List the nodes unless that is done, then follow their changes until the API ends the
        watch; raise UnavailableError or ExpiredError.
        """
        if self._listed and self._broken and self._is_later_than(self._upstream.version()):
            self._say(
                "The API has an older state than the last known one (its etcd was restored from a"
                " backup?); listing the nodes again."
            )
            self._listed = False
        if not self._listed:
            self._kept.replace(*self._upstream.list_nodes())
            self._listed = True
        self._broken = False
        for event in self._upstream.watch_nodes(self._kept.version or ""):
            if self.failure:
                self._say(f"The Kubernetes API is watched; {len(self._kept)} nodes are known.")
            self.connected, self.failure = True, ""
            if isinstance(event, str):
                self._kept.bookmark(event)
            else:
                self._kept.apply(*event)

    def _is_later_than(self, version: str) -> bool:
        """Whether the last known version is of a future that the API does not have: a watch from
        there is silent.
        """
        known = self._kept.version or ""
        # they are revisions of etcd
        numbers = [text.isascii() and text.isdigit() for text in (known, version)]
        return all(numbers) and int(version) < int(known)
