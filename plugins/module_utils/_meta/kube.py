# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes API, as far as a CNI plugin needs it: a few requests over one connection, each within a time that is known before.

Imported only where a configuration asks for the API. Credentials that are files are read at each request, so that a renewed token is used at once.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import ssl
import time
import urllib.parse

from .._cni import errors

_BODY_LIMIT = 8 * 1024 * 1024
# Tried again: the server is starting, is overloaded, or sits behind a balancer that is.
_PASSING = (429, 500, 502, 503, 504)
_PAUSE = 0.25


class ApiError(errors.Error):
    """An answer that is no success. status: int, HTTP's, or None where there was no answer."""

    def __init__(self, code, msg, details="", status=None):
        super().__init__(code, msg, details)
        self.status = status


class Client:
    """access: a kubeconfig.Access; environ: dict, for the proxy; seconds: float, how long all requests until the next limit() may take."""

    def __init__(self, access, environ=None, seconds=10.0):
        self.access = access
        self.environ = os.environ if environ is None else environ
        self.deadline = time.monotonic() + seconds
        self._connection = None

    def limit(self, seconds):
        """Give the requests from now on so many seconds (float) in all."""
        self.deadline = time.monotonic() + seconds

    def close(self):
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, path):
        """Return the object (dict) at a path (str), None when there is none; raise ApiError."""
        return self._request("GET", path)

    def patch(self, path, change):
        """Change an object by a JSON merge patch (dict); return it, or None when there is none; raise ApiError."""
        return self._request("PATCH", path, change, "application/merge-patch+json")

    def post(self, path, item):
        """Create an object (dict); return it; raise ApiError."""
        return self._request("POST", path, item, "application/json")

    def _request(self, method, path, body=None, content_type=None):
        what = "%s %s" % (method, path)
        data = None if body is None else json.dumps(body).encode()
        refused = False
        while True:
            try:
                status, answer = self._exchange(method, path, data, content_type)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if isinstance(error, ssl.SSLCertVerificationError):
                    raise ApiError(errors.IO_FAILURE, "The certificate of the Kubernetes API %s is not accepted." % self.access.server, str(error)) from None
                if isinstance(error, ssl.SSLError) and "ALERT" in str(error):
                    raise ApiError(errors.IO_FAILURE, "The Kubernetes API %s refuses our certificate." % self.access.server, str(error)) from None
                details = "%s: %s" % (what, error or type(error).__name__)
                problem = ApiError(errors.TRY_AGAIN_LATER, "The Kubernetes API %s does not answer." % self.access.server, details)
            else:
                if status < 300:
                    return answer
                if status == 404:
                    return None
                if status == 401 and not refused and (self.access.token_file or self.access.certificate):
                    refused = True  # once more: it may have been renewed at this moment
                    self.close()
                    continue
                problem = _problem(self.access.server, what, status, answer)
                if status not in _PASSING:
                    raise problem
            if time.monotonic() + _PAUSE >= self.deadline:
                raise problem from None
            time.sleep(_PAUSE)

    def _exchange(self, method, path, data, content_type):
        with _alarm(self.deadline - time.monotonic()):
            fresh = self._connection is None
            if fresh:
                self._connection = connect(self.access, self.environ, max(self.deadline - time.monotonic(), 0.1))
            try:
                return self._once(method, path, data, content_type)
            except (ConnectionError, http.client.BadStatusLine):
                if fresh:
                    raise
                self.close()  # the server closed what we kept open
                self._connection = connect(self.access, self.environ, max(self.deadline - time.monotonic(), 0.1))
                return self._once(method, path, data, content_type)

    def _once(self, method, path, data, content_type):
        headers = {"Accept": "application/json", "User-Agent": "multinet"}
        if content_type:
            headers["Content-Type"] = content_type
        token = bearer_token(self.access)
        if token:
            headers["Authorization"] = "Bearer " + token
        # percent signs and the like never get here: names are checked, and quoted all the same
        self._connection.request(method, urllib.parse.urlsplit(self.access.server).path.rstrip("/") + urllib.parse.quote(path), body=data, headers=headers)
        response = self._connection.getresponse()
        text = response.read(_BODY_LIMIT + 1)
        if len(text) > _BODY_LIMIT:
            raise http.client.HTTPException("the answer is longer than %d MiB" % (_BODY_LIMIT >> 20))
        if response.will_close:
            self.close()
        try:
            answer = json.loads(text) if text else {}
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            if response.status < 300:
                raise http.client.HTTPException("the answer is not a JSON object")
            answer = {"message": text[:200].decode("utf-8", "replace")}
        return response.status, answer


def _problem(server, what, status, answer):
    reason = str(answer.get("message") or answer.get("reason") or "")[:500]
    details = "%s: HTTP %d%s" % (what, status, reason and ", " + reason)
    if status == 401:
        msg = "The Kubernetes API %s does not know us: the token or certificate is wrong or has expired." % server
        return ApiError(errors.TRY_AGAIN_LATER, msg, details, status)
    if status == 403:
        msg = "The Kubernetes API %s does not allow what the meta-plugin needs; its role (RBAC) has to." % server
        return ApiError(errors.INVALID_CONFIGURATION, msg, details, status)
    if status in _PASSING:
        return ApiError(errors.TRY_AGAIN_LATER, "The Kubernetes API %s is not ready." % server, details, status)
    return ApiError(errors.IO_FAILURE, "The Kubernetes API %s refused a request." % server, details, status)


@contextlib.contextmanager
def _alarm(seconds):
    """End what happens inside by TimeoutError when its time is over, also where a server sends one byte at a time."""
    def over(dummy_number, dummy_frame):
        raise TimeoutError("no answer within the time for it")

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.1))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def bearer_token(access):
    """Return the token (str or None) of a kubeconfig.Access as it is now; raise ApiError."""
    if not access.token_file:
        return access.token
    try:
        with open(access.token_file, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ApiError(
            errors.IO_FAILURE, "The token file %s cannot be read." % access.token_file, getattr(error, "strerror", None) or str(error)
        ) from None


def connect(access, environ, seconds):
    """Return an http.client connection to the server of a kubeconfig.Access that waits so long (float) for each answer; raise ApiError."""
    parts = urllib.parse.urlsplit(access.server)
    secure = parts.scheme == "https"
    try:
        host, port = parts.hostname, parts.port or (443 if secure else 80)
    except ValueError:
        host = None
    if not host:
        raise ApiError(errors.INVALID_CONFIGURATION, "The server %s of the Kubernetes API is no URL." % access.server)
    proxy = access.proxy or _proxy(environ, parts.scheme, host)
    to_host, to_port, headers = _proxy_address(proxy) if proxy else (host, port, {})
    if secure:
        connection = _Secure(to_host, to_port, timeout=seconds, context=_context(access))
        connection.tls_name = access.tls_name or host
    else:
        connection = http.client.HTTPConnection(to_host, to_port, timeout=seconds)
    if proxy:
        connection.set_tunnel(host, port, headers)
    return connection


class _Secure(http.client.HTTPSConnection):
    """A connection whose certificate is checked for a name of our choice (kubeconfig's tls-server-name)."""

    tls_name = None

    def connect(self):
        """Connect, through the proxy where there is one, and greet."""
        http.client.HTTPConnection.connect(self)
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self.tls_name)


def _context(access):
    try:
        if access.insecure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context = ssl.create_default_context(cafile=None if access.ca_data else access.ca_file, cadata=access.ca_data)
        if access.certificate:
            with _as_file(access.certificate) as certificate, _as_file(access.key or access.certificate) as key:
                context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ApiError(errors.IO_FAILURE, "The certificates for the Kubernetes API cannot be used.", str(error)) from None
    return context


@contextlib.contextmanager
def _as_file(text_or_path):
    """Give PEM text a path, since ssl takes nothing else; it is never written to a disk."""
    if not text_or_path.startswith("-----"):
        yield text_or_path
        return
    descriptor = os.memfd_create("pem") if hasattr(os, "memfd_create") else os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR, 0o600)
    try:
        os.write(descriptor, text_or_path.encode())
        yield "/proc/self/fd/%d" % descriptor
    finally:
        os.close(descriptor)


def _proxy(environ, scheme, host):
    """The proxy (URL) for a host by the environment, or None (as Go's net/http decides it)."""
    def value(name):
        return environ.get(name.upper()) or environ.get(name) or ""

    import ipaddress  # only where a proxy is configured

    proxy = value(scheme + "_proxy")
    if not proxy or host == "localhost":
        return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is not None and address.is_loopback:
        return None
    for entry in (entry.strip() for entry in value("no_proxy").split(",")):
        if entry == "*":
            return None
        if address is not None:
            with contextlib.suppress(ValueError):
                if address in ipaddress.ip_network(entry, strict=False):
                    return None
        name = entry.partition(":")[0].lower()
        if name and (host.lower() == name.lstrip(".") or host.lower().endswith("." + name.lstrip("."))):
            return None
    return proxy if "://" in proxy else "http://" + proxy


def _proxy_address(proxy):
    parts = urllib.parse.urlsplit(proxy)
    if parts.scheme != "http" or not parts.hostname:
        raise ApiError(errors.INVALID_CONFIGURATION, "The proxy %s://%s is not served here; only http:// is." % (parts.scheme, parts.hostname))
    headers = {}
    if parts.username:
        import base64

        login = "%s:%s" % (urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or ""))
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    return parts.hostname, parts.port or 80, headers
