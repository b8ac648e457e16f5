# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One request and its answer, over HTTP 1.1: bodies, whole answers, streams, refusals."""

from __future__ import annotations

import http.server
import json
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any

from . import peer

LOOK = 2.0  # seconds between two looks whether a client that waits is still there
_BODY_LIMIT = 64 * 1024
_BATCH = 64 * 1024  # bytes of a stream that leave at once
_KUBERNETES = ("api", "apis", "version", "openapi")  # what paths of its API begin with
_TEXT = "text/plain; charset=utf-8"
_REASONS = {
    400: "BadRequest",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    410: "Expired",
    503: "ServiceUnavailable",
}


class HttpError(Exception):
    """An answer that is no success: HTTP's status, and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Exchange:
    """command: GET, PATCH, ...; path: as it was asked for, steps: what is between its slashes;
    query: its last value for each name; body: after read_body(); status: of the answer, once there
    is one; network: name of the one that the request is about, "" for none.
    """

    def __init__(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        try:
            parts = urllib.parse.urlsplit(handler.path)
        except ValueError:
            parts = None
        self._handler = handler
        self._began = False
        self.command = handler.command
        self.path = handler.path
        self._is_path = parts is not None
        path, query = (parts.path, parts.query) if parts else ("", "")
        self.steps = [urllib.parse.unquote(step) for step in path.split("/")[1:] or [""]]
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.body = b""
        self.content_type = (handler.headers.get("Content-Type") or "").partition(";")[0]
        self.status = 200
        self.network = ""

    @property
    def is_watch(self) -> bool:
        """Whether changes are asked for, as Kubernetes' API is."""
        return self.query.get("watch") in ("1", "true")

    @property
    def verb(self) -> str:
        """What is counted: the command, or WATCH."""
        return "WATCH" if self.is_watch else self.command

    def read_body(self) -> None:
        """Read the request's body; raise HttpError."""
        headers = self._handler.headers
        if not self._is_path:
            raise self._unreadable("The request is not for a path.")
        if headers.defects:  # after such a line, all others count as no headers
            raise self._unreadable("A line of the request's head is no header.")
        if "Transfer-Encoding" in headers:
            raise self._unreadable("A body must come with its Content-Length.")
        lengths = headers.get_all("Content-Length", ["0"])
        # digits of other scripts are digits too, and a number of thousands of them is an error
        if len(lengths) != 1 or not re.fullmatch("[0-9]{1,9}", lengths[0]):
            raise self._unreadable("The Content-Length is not a number of bytes, or there are two.")
        length = int(lengths[0])
        if length > _BODY_LIMIT:
            raise self._unreadable(f"The body is longer than {_BODY_LIMIT} bytes.")
        self.body = self._handler.rfile.read(length)
        if len(self.body) != length:
            raise self._unreadable("The body is shorter than its Content-Length.")

    def _unreadable(self, sentence: str) -> HttpError:
        """Have the connection end: nobody knows where the next request begins."""
        self._handler.close_connection = True
        return HttpError(400, sentence)

    def json(self) -> Any:
        """Return what the body holds; raise HttpError."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise HttpError(400, "The body is not JSON.") from None

    def reply(self, status: int, content: Any) -> None:
        """Answer with JSON."""
        self._send(status, compact(content), "application/json")

    def reply_text(self, status: int, text: str, content_type: str = _TEXT) -> None:
        """Answer with text for people, or of another content type."""
        self._send(status, text.encode(), content_type)

    def refuse(self, status: int, sentence: str) -> None:
        """Answer with an error, as whom is asked would: Kubernetes' API or flannel's protocol."""
        if self._began:
            self._handler.close_connection = True
        elif len(self.steps) > 1 and self.steps[1] in _KUBERNETES:
            self.reply(status, failure(status, sentence))
        else:
            self.reply_text(status, sentence + "\n")

    def check_client(self) -> None:
        """Raise ConnectionAbortedError where the client is gone, or has closed its half."""
        if not peer.is_established(self._handler.connection):
            raise ConnectionAbortedError()

    def begin_stream(self) -> None:
        """Begin an answer of lines of JSON; from here on an error can only end it."""
        self._began = True
        self._handler.send_response(200)
        self._handler.send_header("Content-Type", "application/json")
        self._handler.send_header("Transfer-Encoding", "chunked")
        self._handler.end_headers()
        self._handler.wfile.flush()

    def send_lines(self, lines: Iterable[bytes]) -> None:
        """Send lines of a stream."""
        batch = b""
        for line in lines:
            batch += line
            if len(batch) >= _BATCH:
                self._chunk(batch)
                batch = b""
        if batch:
            self._chunk(batch)

    def end_stream(self) -> None:
        """End the stream as it should be."""
        self._handler.wfile.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        self._handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self._handler.wfile.flush()

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        handler = self._handler
        self.status = status
        handler.send_response(status)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(body)))
        if status in (502, 503):
            handler.send_header("Retry-After", "1")
        handler.end_headers()
        if self.command != "HEAD":
            handler.wfile.write(body)


def compact(content: Any) -> bytes:
    """Return JSON without spaces."""
    return json.dumps(content, separators=(",", ":")).encode()


def failure(status: int, sentence: str) -> dict[str, Any]:
    """Return the Status object by which Kubernetes' API says that it refuses."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": sentence,
        "reason": _REASONS.get(status, "InternalError"),
        "code": status,
    }
