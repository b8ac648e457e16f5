# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes API, as far as a CNI plugin needs it: a few requests over one connection, each
within a time that is known before.

Imported only where a configuration asks for the API. Credentials that are files are read at each
request, so that a renewed token is used at once.
"""

from __future__ import annotations

import time

from .._cni import conf, errors
from .._cni.quick_os import os
from . import https

TYPE_CHECKING = False
if TYPE_CHECKING:
    import http.client
    from signal import ITIMER_REAL, SIGALRM, setitimer, signal
    from typing import Any, NoReturn

    from .kubeconfig import Access
else:
    from _signal import ITIMER_REAL, SIGALRM, setitimer, signal  # as in process.py

_BODY_LIMIT = 8 * 1024 * 1024
# Tried again: the server is starting, is overloaded, or sits behind a balancer that is.
_PASSING = (429, 500, 502, 503, 504)
_PAUSE = 0.25
_GREETING = 10.0  # seconds for an address, of programs that stay


class ApiError(errors.Error):
    """An answer that is no success. status: HTTP's, None where there was no answer."""

    def __init__(self, code: int, msg: str, details: str = "", status: int | None = None) -> None:
        super().__init__(code, msg, details)
        self.status = status


class Client:
    """seconds: how long all requests until the next limit() may take. A proxy is the kubeconfig's:
    that of the environment is for the runtime's images, or the machine's, and leads elsewhere.
    """

    def __init__(self, access: Access, seconds: float = 10.0) -> None:
        self.access = access
        self.deadline = time.monotonic() + seconds
        self._connection: https.Connection | None = None
        self._retry_after = 0  # what the last answer said

    def limit(self, seconds: float) -> None:
        """Give the requests from now on so many seconds in all."""
        self.deadline = time.monotonic() + seconds

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, path: str) -> dict[str, Any] | None:
        """Return the object at a path, None when there is none; raise ApiError."""
        return self._request("GET", path)

    def patch(self, path: str, change: dict[str, Any]) -> dict[str, Any] | None:
        """Change an object by a JSON merge patch; return it, None when there is none; raise
        ApiError.
        """
        return self._request("PATCH", path, change, "application/merge-patch+json")

    def put(self, path: str, item: dict[str, Any]) -> dict[str, Any] | None:
        """Replace an object, whose `resourceVersion` is what it was read as; return it, None when
        there is none; raise ApiError (status 409: somebody has changed it since).
        """
        return self._request("PUT", path, item, "application/json")

    def post(self, path: str, item: dict[str, Any], *, once: bool = False) -> dict[str, Any] | None:
        """Create an object; return it; raise ApiError. once: what passes is not waited for."""
        return self._request("POST", path, item, "application/json", once=once)

    def _request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        content_type: str | None = None,
        once: bool = False,
    ) -> dict[str, Any] | None:
        what = f"{method} {path}"
        data = b"" if body is None else conf.encode(body).encode()
        refused = False
        before: ApiError | None = None  # why the try before failed
        while True:
            self._retry_after = 0
            try:
                status, answer = self._exchange(method, path, data, content_type)
            except (OSError, https.ProtocolError) as error:
                self.close()
                problem = no_answer(self.access.server, error, what)
                if before and isinstance(error, (TimeoutError, https.TimedOut)):
                    problem = before  # this try had only the rest of the time
                if problem.code != errors.TRY_AGAIN_LATER:
                    raise problem from None
            else:
                if status < 300:
                    return answer
                if status == 404:
                    return None
                if status == 401 and not refused and self.access.is_renewed:
                    refused = True  # once more: it may have been renewed at this moment
                    self.close()
                    continue
                problem = _problem(self.access.server, what, status, answer)
                if status not in _PASSING:
                    raise problem
            # a server that is asked sooner than it says refuses again, and throttles us longer
            pause = max(_PAUSE, self._retry_after)
            if once or time.monotonic() + pause >= self.deadline:
                raise problem from None
            before = problem
            time.sleep(pause)

    def _exchange(
        self, method: str, path: str, data: bytes, content_type: str | None
    ) -> tuple[int, dict[str, Any]]:
        with _Alarm(self.deadline - time.monotonic()):
            kept = self._connection
            try:
                return self._once(kept or self._connect(), method, path, data, content_type)
            except ConnectionError:
                if kept is None:
                    raise
                self.close()  # the server closed what we kept open
                return self._once(self._connect(), method, path, data, content_type)

    def _connect(self) -> https.Connection:
        access = self.access
        secure, host, port, _path = split_url(access.server)
        proxy = access.proxy
        try:
            context = (
                https.tls_context(access.ca_file, access.ca_data, access.insecure)
                if secure
                else None
            )
            load_certificate(context, access)
        except TimeoutError:  # of the time for all of it: the certificates may well serve
            raise
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise _unusable(error) from None
        seconds = max(self.deadline - time.monotonic(), 0.1)
        tunnel = None
        if proxy:
            to_host, to_port, headers = _proxy_address(proxy)
            tunnel = (_authority(host, port), headers)
        else:
            to_host, to_port = host, port
        self._connection = https.Connection(
            to_host,
            to_port,
            seconds,
            context=context,
            tls_name=_tls_name(access, host),
            tunnel=tunnel,
        )
        return self._connection

    def _once(
        self,
        connection: https.Connection,
        method: str,
        path: str,
        data: bytes,
        content_type: str | None,
    ) -> tuple[int, dict[str, Any]]:
        _secure, host, port, below = split_url(self.access.server)
        headers = {
            "Host": _authority(host, port),
            "Accept": "application/json",
            "User-Agent": "multinet",
        }
        if content_type:
            headers["Content-Type"] = content_type
        token = bearer_token(self.access)
        if token:
            headers["Authorization"] = "Bearer " + token
        target = below.rstrip("/") + _quoted(path)
        status, text = connection.request(method, target, headers, data, _BODY_LIMIT)
        self._retry_after = connection.retry_after
        if connection.will_close:
            self.close()
        try:
            answer = conf.decode(text, "The answer") if text else {}
        except errors.Error:
            if status < 300:
                raise https.ProtocolError(
                    "its answer is not a JSON object; a proxy may have answered in its place"
                ) from None
            answer = {"message": text[:200].decode("utf-8", "replace")}
        return status, answer


def no_answer(server: str, error: Exception, what: str = "") -> ApiError:
    """Return the error for a request (what) that got no answer, with the reason in its message;
    code 11 where it may get one later.
    """
    from . import reasons

    later = not reasons.certificate_problem(server, error)
    return ApiError(
        errors.TRY_AGAIN_LATER if later else errors.IO_FAILURE,
        reasons.no_answer(server, error),
        f"{what}: {error or type(error).__name__}",
    )


def _problem(server: str, what: str, status: int, answer: dict[str, Any]) -> ApiError:
    reason = str(answer.get("message") or answer.get("reason") or "")[:500]
    details = f"{what}: HTTP {status}{reason and ', ' + reason}"
    if status in _PASSING:
        return ApiError(
            errors.TRY_AGAIN_LATER, f"The Kubernetes API {server} is not ready.", details, status
        )
    from . import reasons

    code = {401: errors.TRY_AGAIN_LATER, 403: errors.INVALID_CONFIGURATION}.get(status)
    msg = reasons.refusal(server, status, reason, reasons.ON_HOSTS)
    return ApiError(code or errors.IO_FAILURE, msg, details, status)


class _Alarm:
    """End what happens in a with block by TimeoutError when its time (seconds) is over, also where
    a server sends one byte at a time.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __enter__(self) -> None:
        self.before = signal(SIGALRM, self._over)
        setitimer(ITIMER_REAL, max(self.seconds, 0.1))

    def __exit__(self, *dummy: object) -> None:
        setitimer(ITIMER_REAL, 0)
        signal(SIGALRM, self.before)

    @staticmethod
    def _over(_number: int, _frame: object) -> NoReturn:
        raise TimeoutError("no answer in time")


def bearer_token(access: Access) -> str | None:
    """Return the token as it is now, None where there is none; raise ApiError."""
    where = "The token in the kubeconfig"
    token = access.token or ""
    if access.token_file:
        where = f"The token file {access.token_file}"
        try:
            with open(access.token_file, "rb") as file:
                token = file.read().decode("latin-1")
        except OSError as error:
            raise ApiError(
                errors.IO_FAILURE, f"{where} cannot be read.", error.strerror or str(error)
            ) from None
    token = token.strip()
    # no header could carry it, and those who refuse it there show all of it
    if " " in token or not token.isascii() or not token.isprintable():
        raise ApiError(errors.IO_FAILURE, f"{where} is not a single word of ASCII characters.")
    return token or None


def connect(access: Access, seconds: float) -> http.client.HTTPConnection:
    """Return a connection to a server that waits so long (seconds) for each answer; raise ApiError.

    For programs that stay, and read answers that do not end.
    """
    import http.client
    import ssl

    secure, host, port, _path = split_url(access.server)
    proxy = access.proxy
    to_host, to_port, headers = _proxy_address(proxy) if proxy else (host, port, {})
    if not secure:
        connection = http.client.HTTPConnection(to_host, to_port, timeout=seconds)
    else:
        try:
            context = ssl.create_default_context(
                cafile=None if access.ca_data else access.ca_file, cadata=access.ca_data
            )
            # on since Python 3.13, and not all that make clusters make their authority so
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if access.insecure:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            load_certificate(context, access)
        except (OSError, ValueError) as error:
            raise _unusable(error) from None

        tls_name = _tls_name(access, host)

        class Secure(http.client.HTTPSConnection):
            """A connection whose certificate is checked for a name of our choice (kubeconfig's
            tls-server-name).
            """

            def connect(self) -> None:
                """Connect, through the proxy where there is one, and greet: with each address in
                turn, which is not to take as long as an answer may.
                """
                self.timeout = min(seconds, _GREETING)
                http.client.HTTPConnection.connect(self)
                self.sock = context.wrap_socket(self.sock, server_hostname=tls_name)
                self.sock.settimeout(seconds)

        connection = Secure(to_host, to_port, timeout=seconds, context=context)
    if proxy:
        connection.set_tunnel(host, port, headers)
    return connection


def split_url(url: str) -> tuple[bool, str, int, str]:
    """Return (whether it is https, host, port, path) of a server's URL; raise ApiError."""
    scheme, _separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if authority.startswith("["):
        host, bracket, port = authority[1:].partition("]")
        host = host if bracket else ""
        port = port[1:] if port.startswith(":") else port
    else:
        host, _colon, port = authority.partition(":")
    secure = scheme == "https"
    number = 0
    if not port:
        number = 443 if secure else 80
    elif port.isascii() and port.isdigit():
        number = int(port)
    if scheme not in ("http", "https") or not _is_host(host) or not 0 < number < 65536:
        raise ApiError(
            errors.INVALID_CONFIGURATION, f"The server {url} of the Kubernetes API is not a URL."
        )
    return secure, host, number, slash + path


def _is_host(text: str) -> bool:
    """Whether a text can be looked up: Python's resolver and TLS raise ValueError for others."""
    labels = text[:-1].split(".") if text.endswith(".") else text.split(".")
    return (
        text.isascii()
        and text.isprintable()
        and " " not in text
        and all(0 < len(label) < 64 for label in labels)
    )


def _tls_name(access: Access, host: str) -> str:
    name = access.tls_name or host
    if not _is_host(name):
        raise ApiError(
            errors.INVALID_CONFIGURATION, f"The `tls-server-name` {name!r} is not a host's name."
        )
    return name


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _quoted(path: str) -> str:
    # names are checked, so that there is nothing to quote; were there, it would be
    if path.isascii() and path.replace("/", "").replace("-", "").replace(".", "").isalnum():
        return path
    import urllib.parse

    return urllib.parse.quote(path)


def _unusable(error: Exception) -> ApiError:
    return ApiError(
        errors.IO_FAILURE, "The certificates for the Kubernetes API cannot be used.", str(error)
    )


def load_certificate(context: Any, access: Access) -> None:
    """Have a TLS context present the client certificate, where there is one; raise OSError,
    ValueError.
    """
    if context and access.certificate:
        with (
            _File(access.certificate) as certificate,
            _File(access.key or access.certificate) as key,
        ):
            context.load_cert_chain(certificate, key)


class _File:
    """Give PEM text a path for the time of a with block, since OpenSSL takes nothing else; it is
    never written to a disk. A path stays what it is.
    """

    def __init__(self, text_or_path: str) -> None:
        self.text = text_or_path
        self.descriptor: int | None = None

    def __enter__(self) -> str:
        if not self.text.startswith("-----"):
            return self.text
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("pem")
        else:
            descriptor = os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR, 0o600)
        self.descriptor = descriptor
        os.write(descriptor, self.text.encode())
        return f"/proc/self/fd/{descriptor}"

    def __exit__(self, *dummy: object) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)


def _proxy_address(proxy: str) -> tuple[str, int, dict[str, str]]:
    import urllib.parse

    try:
        parts = urllib.parse.urlsplit(proxy)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        host = ""
    if not _is_host(host):
        raise ApiError(errors.INVALID_CONFIGURATION, "The `proxy-url` is not a URL.")
    if parts.scheme != "http":
        raise ApiError(
            errors.INVALID_CONFIGURATION,
            f"The proxy {parts.scheme}://{host} is not supported; only http:// is.",
        )
    headers = {}
    if parts.username:
        import base64

        user, password = (
            urllib.parse.unquote(part or "") for part in (parts.username, parts.password)
        )
        login = f"{user}:{password}"
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    return host, port, headers
