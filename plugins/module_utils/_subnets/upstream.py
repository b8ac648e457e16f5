# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes API behind the server: one list and one watch of the nodes for all networks, and
changes of the own node.
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import random
import threading
import time
import urllib.parse
import zlib

from .._cni import errors
from .._kube_client import client as kube
from .._kube_client import kubeconfig
from . import nodes, subnets

# The API sends a bookmark about every minute: a watch that is silent for longer has lost its
# connection.
SILENCE = 90.0
_TIMEOUT = 15.0
_PAGE = 200
_LINE_LIMIT = 8 * 1024 * 1024
_PAUSES = (0.5, 15.0)  # seconds after a first failure, and at most


class Unavailable(Exception):
    """The API did not answer, or not as it should.

    The message is a sentence; status: int, HTTP's, or None.
    """

    def __init__(self, sentence, status=None):
        super().__init__(sentence)
        self.status = status


class Expired(Exception):
    """The version from which to watch is too old: list again."""


class Upstream:
    """path: str, a kubeconfig, read at each connection, and its token at each request.

    known: set of str, the annotations to keep.

    count: callable(verb, status), called after each request.
    """

    def __init__(self, path, known, count=lambda verb, status: None):
        self._path = path
        self._known = known
        self._count = count

    def list(self):
        """Return (list of Node, version); raise Unavailable or Expired (in the middle of a long
        list).
        """
        found, query = [], {"limit": _PAGE}
        while True:
            status, page = self._call(
                "LIST", "GET", "/api/v1/nodes?" + urllib.parse.urlencode(query)
            )
            if status == 410:
                raise Expired()
            if status != 200:
                raise _unavailable("list the nodes", status, page)
            found += [subnets.Node(item, self._known) for item in page["items"]]
            if not page["metadata"].get("continue"):
                return found, page["metadata"]["resourceVersion"]
            query["continue"] = page["metadata"]["continue"]

    def patch_own(self, name, annotations):
        """Set annotations (dict) of a node; return (status, the object or the API's Status: dict);
        raise Unavailable.
        """
        body = json.dumps({"metadata": {"annotations": annotations}}).encode()
        return self._call(
            "PATCH",
            "PATCH",
            f"/api/v1/nodes/{urllib.parse.quote(name, safe='')}/status",
            body,
            "application/merge-patch+json",
        )

    def watch(self, version):
        """Yield (kind, Node) of each change after a version, (None, version) of each bookmark;
        raise Unavailable or Expired. Ends when the API ends it.
        """
        query = {
            "watch": 1,
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": random.randint(300, 600),
        }
        with _Exchange(self._path, SILENCE) as exchange:
            response = exchange.send(
                "GET", "/api/v1/nodes?" + urllib.parse.urlencode(query), whole=False
            )
            self._count("WATCH", response.status)
            if response.status == 410:
                raise Expired()
            if response.status != 200:
                raise _unavailable("watch the nodes", response.status, exchange.read(response))
            yield None, version
            while True:
                event = exchange.line(response)
                if event is None:
                    return
                kind, item = event.get("type"), event.get("object")
                if kind == "BOOKMARK":
                    yield None, item["metadata"]["resourceVersion"]
                elif kind in (nodes.ADDED, nodes.MODIFIED, nodes.DELETED):
                    yield kind, subnets.Node(item, self._known)
                elif kind == "ERROR" and item.get("code") == 410:
                    raise Expired()
                else:
                    raise _unavailable("watch the nodes", item.get("code"), item)

    def _call(self, verb, method, path, body=None, content_type=None):
        try:
            with _Exchange(self._path, _TIMEOUT) as exchange:
                response = exchange.send(method, path, body, content_type)
                answer = exchange.read(response)
        except Unavailable:
            self._count(verb, 0)
            raise
        self._count(verb, response.status)
        return response.status, answer


class _Exchange:
    """One request on a connection of its own. Every failure of it is an Unavailable."""

    def __init__(self, path, seconds):
        try:
            self._access = kubeconfig.load(path)
            self._connection = kube.connect(self._access, os.environ, seconds)
        except errors.Error as error:
            raise Unavailable(_sentence(error)) from None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self._connection.close()
        if isinstance(error, (OSError, http.client.HTTPException)):
            raise Unavailable(
                f"The Kubernetes API {self._access.server} does not answer:"
                f" {error or type(error).__name__}."
            ) from None
        if isinstance(error, errors.Error):
            raise Unavailable(_sentence(error)) from None
        if isinstance(
            error, (KeyError, TypeError, ValueError, AttributeError, EOFError, zlib.error)
        ):
            raise Unavailable(
                f"The Kubernetes API {self._access.server} gives an answer that is no list of nodes"
                f" ({type(error).__name__})."
            ) from None

    def send(self, method, path, body=None, content_type=None, whole=True):
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip" if whole else "identity",
            "User-Agent": "multinet-subnets",
        }
        token = kube.bearer_token(self._access)
        if token:
            headers["Authorization"] = "Bearer " + token
        if content_type:
            headers["Content-Type"] = content_type
        self._connection.request(
            method,
            urllib.parse.urlsplit(self._access.server).path.rstrip("/") + path,
            body=body,
            headers=headers,
        )
        return self._connection.getresponse()

    def read(self, response):
        text = response.read()
        if response.getheader("Content-Encoding") == "gzip":
            text = gzip.decompress(text)
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        return (
            answer
            if isinstance(answer, dict)
            else {"message": text[:200].decode("utf-8", "replace")}
        )

    def line(self, response):
        text = response.readline(_LINE_LIMIT)
        if len(text) == _LINE_LIMIT:
            raise http.client.HTTPException(f"one event is longer than {_LINE_LIMIT >> 20} MiB")
        return json.loads(text) if text.endswith(b"\n") else None


def _sentence(error):
    return f"{error.msg} {error.details}" if error.details else error.msg


def _unavailable(what, status, answer):
    return Unavailable(
        f"The Kubernetes API does not let us {what}: HTTP {status},"
        f" {str(answer.get('message') or '')[:300].rstrip('.')}.",
        status,
    )


class Follower(threading.Thread):
    """Keeps Nodes in line with the API for as long as the process lives.

    connected: bool, whether a watch is open; failure: str, the last one, or "" since. say:
    callable(str).
    """

    def __init__(self, upstream, kept, say, sleep=time.sleep):
        super().__init__(daemon=True, name="follower")
        self._upstream = upstream
        self._kept = kept
        self._say = say
        self._sleep = sleep
        self._listed = False
        self.connected = False
        self.failure = "nothing was asked yet"

    def run(self):
        """Follow; on a failure wait, at first shortly."""
        pause = _PAUSES[0]
        while True:
            try:
                self.follow_once()
                pause = _PAUSES[0]
            except Unavailable as error:
                if self.failure != str(error):
                    self._say(f"{error} What is known of the nodes stays as it is; asking again.")
                if self.connected:
                    pause = _PAUSES[0]
                self.failure = str(error)
            except Expired:
                self._say(
                    "The API keeps no changes as old as our last one; listing the nodes again."
                )
                self._listed = False
            self.connected = False
            # not all nodes at the same moment
            self._sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _PAUSES[1])

    def follow_once(self):
        """List the nodes unless that is done, then follow their changes until the API ends the
        watch; raise Unavailable or Expired.
        """
        if not self._listed:
            self._kept.replace(*self._upstream.list())
            self._listed = True
        for kind, item in self._upstream.watch(self._kept.version):
            if self.failure:
                self._say(f"The Kubernetes API is watched; {len(self._kept)} nodes are known.")
            self.connected, self.failure = True, ""
            if kind is None:
                self._kept.bookmark(item)
            else:
                self._kept.apply(kind, item)
