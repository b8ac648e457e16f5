# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP/1.1 with TLS for a program that lives for milliseconds: a few requests over one connection
(RFC 9112).

`http.client` and `ssl` take longer to import than all requests of a plugin together. What they are
made of, modules in C, is used directly.
"""

from __future__ import annotations

import _socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# What is private may change: a version of Python counts when the tests have passed with it. Any
# other takes the same way through `ssl`.
_TESTED = (3, 15)


def _greet_directly(plain: _Plain, context: Any, name: str | None) -> tuple[Any, Any]:
    """Return the TLS over a connected socket, and what owns the descriptor."""
    tls = context._wrap_socket(plain, False, name)
    tls.do_handshake()
    return tls, plain


def _greet_by_ssl(plain: _Plain, context: Any, name: str | None) -> tuple[Any, Any]:
    """Return the same."""
    tls = context.wrap_socket(plain, server_hostname=name)
    return tls, tls


def _implementation() -> tuple[Any, Any, Callable[[_Plain, Any, str | None], tuple[Any, Any]]]:
    """The module with the constants and errors, its class of contexts, and the way to greet."""
    try:
        import _ssl

        if sys.version_info[:2] <= _TESTED and hasattr(_ssl._SSLContext, "_wrap_socket"):
            return _ssl, _ssl._SSLContext, _greet_directly
    except (ImportError, AttributeError):
        pass
    import ssl

    return ssl, ssl.SSLContext, _greet_by_ssl


ssl, _Context, _greet = _implementation()
_TLS_1_2 = 0x0303  # as on the wire (RFC 5246)
_LINE_LIMIT, _LINES_LIMIT = 65536, 200
_CHUNK = 65536


TimedOut, UnknownName = _socket.timeout, _socket.gaierror


class ProtocolError(Exception):
    """The other side speaks no HTTP, or says too much."""


class Connection:
    """A connection that is made and, with a TLS context, greeted; raises OSError (among them
    ssl.SSLError) and ProtocolError.

    seconds: how long a single read or write may take; context: of tls_context(), None for plain
    HTTP; tls_name: whom the certificate has to name; tunnel: ("host:port", headers) where host and
    port are a proxy's.
    """

    def __init__(
        self,
        host: str,
        port: int,
        seconds: float,
        *,
        context: Any = None,
        tls_name: str | None = None,
        tunnel: tuple[str, dict[str, str]] | None = None,
    ) -> None:
        self._rest = b""
        plain = _dial(host, port, seconds)
        self._stream: _Plain | _Secure = plain
        self.will_close = False
        self.retry_after = 0
        try:
            if tunnel:
                self._send("CONNECT", tunnel[0], dict({"Host": tunnel[0]}, **tunnel[1]), b"")
                status = self._head()[0]
                if not 200 <= status < 300:
                    raise ProtocolError(f"the proxy answers {status}")
            if context:
                self._stream = _Secure(plain, context, tls_name)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it."""
        self._stream.close()

    def request(
        self, method: str, target: str, headers: dict[str, str], body: bytes, limit: int
    ) -> tuple[int, bytes]:
        """Return (status, body) of the answer; afterwards `will_close` says whether it was the last
        one, and `retry_after` when to ask again (seconds, 0 where it does not say). limit: of the
        body's length.
        """
        if body or method != "GET":
            headers = dict(headers, **{"Content-Length": str(len(body))})
        self._send(method, target, headers, body)
        status, found = self._head()
        while 100 <= status < 200:
            status, found = self._head()
        self.will_close = "close" in found.get("connection", "").lower()
        again = found.get("retry-after", "")  # or a date, which the API does not write
        is_number = again.isascii() and again.isdigit() and len(again) < 6
        self.retry_after = int(again) if is_number else 0
        if status in (204, 304):
            return status, b""
        if "chunked" in found.get("transfer-encoding", "").lower():
            return status, self._chunks(limit)
        if "content-length" in found:
            return status, self._exactly(_number(found["content-length"], 10), limit)
        self.will_close = True
        while self._more():
            if len(self._rest) > limit:
                raise ProtocolError(f"the answer is longer than {limit} bytes")
        return status, self._rest

    def _send(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        lines = [f"{method} {target} HTTP/1.1"] + [
            "{}: {}".format(*pair) for pair in headers.items()
        ]
        text = "\r\n".join(lines)
        if text.count("\n") != len(lines) - 1 or not text.isascii():
            raise ProtocolError("a header has a line end or is not ASCII")
        self._stream.sendall(text.encode("ascii") + b"\r\n\r\n" + body)

    def _head(self) -> tuple[int, dict[str, str]]:
        """Read up to the empty line; return the status and the headers (lower case names)."""
        if not self._rest and not self._more():
            raise ConnectionResetError("the connection was closed")
        words = self._line().split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or len(words[1]) != 3:
            raise ProtocolError("this is not an HTTP answer")
        headers: dict[str, str] = {}
        for _line in range(_LINES_LIMIT):
            line = self._line()
            if not line:
                return _number(words[1].decode("latin-1"), 10), headers
            name, _colon, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        raise ProtocolError("the answer has too many headers")

    def _chunks(self, limit: int) -> bytes:
        body = b""
        while True:
            size = _number(self._line().partition(b";")[0].decode("latin-1").strip(), 16)
            if size == 0:
                while self._line():
                    pass  # trailers
                return body
            body += self._exactly(size, limit - len(body))
            if self._line():
                raise ProtocolError("a chunk is longer than it says")

    def _line(self) -> bytes:
        while b"\n" not in self._rest:
            if len(self._rest) > _LINE_LIMIT or not self._more():
                raise ProtocolError("a line does not end")
        line, _end, self._rest = self._rest.partition(b"\n")
        return line.rstrip(b"\r")

    def _exactly(self, size: int, limit: int) -> bytes:
        if size > limit:
            raise ProtocolError(f"the answer is longer than {limit} bytes")
        parts = [self._rest]
        missing = size - len(self._rest)
        while missing > 0:
            part = self._stream.recv(_CHUNK)
            if not part:
                raise ProtocolError("the answer ends too early")
            parts.append(part)
            missing -= len(part)
        text = b"".join(parts)
        self._rest = text[size:]
        return text[:size]

    def _more(self) -> bool:
        part = self._stream.recv(_CHUNK)
        self._rest += part
        return bool(part)


class _Plain(_socket.socket):
    """A socket that TLS can be put over (by a weak reference, which the class in C has not)."""


class _Secure:
    """TLS over a connected socket."""

    def __init__(self, plain: _Plain, context: Any, name: str | None) -> None:
        self._tls, self._owner = _greet(plain, context, name)

    def recv(self, size: int) -> bytes:
        try:
            return self._tls.read(size)
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def sendall(self, data: bytes) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[self._tls.write(view) :]
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            raise ConnectionResetError("the connection was closed") from None

    def close(self) -> None:
        self._owner.close()


def tls_context(
    ca_file: str | None = None, ca_data: str | None = None, insecure: bool = False
) -> Any:
    """Return a context that accepts certificates of the authority in a file or PEM text, of the
    system's where neither is given, or, insecure, any.

    It has load_cert_chain(certificate file, key file). Raises OSError, ValueError.
    """
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and name
    context.minimum_version = _TLS_1_2
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_file or ca_data:
        context.load_verify_locations(ca_file if not ca_data else None, None, ca_data)
    else:
        context.set_default_verify_paths()
    return context


def _dial(host: str, port: int, seconds: float) -> _Plain:
    failed = OSError(f"{host} has no address")
    found = _socket.getaddrinfo(host.encode("ascii"), port, 0, _socket.SOCK_STREAM)
    for family, kind, protocol, _name, address in found:
        plain = _Plain(family, kind | _socket.SOCK_CLOEXEC, protocol)
        try:
            # a host that is down keeps silent, and the next address is to have its turn
            plain.settimeout(seconds / len(found))
            plain.connect(address)
            plain.settimeout(seconds)
            plain.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            return plain
        except OSError as error:
            plain.close()
            failed = error
    raise failed


def _number(text: str, base: int) -> int:
    digits = "0123456789abcdefABCDEF"[: 10 if base == 10 else 22]
    if not text or len(text) > 15 or not set(text) <= set(digits):
        raise ProtocolError(f"{text[:20]!r} is not a number")
    return int(text, base)
