# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small etcd v3 client over etcd's own JSON gateway
(https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/), standard library only.

Keys and values are str here; the gateway's base64, and its numbers written as strings, stay inside.
Every error is a sentence. Needs etcd 3.4 or newer, the first whose gateway is at /v3/.
"""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hashlib
import http.client
import json
import re
import ssl
import urllib.parse
from collections.abc import Mapping, Sequence
from datetime import timezone
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

from . import certificate, reasons

_ROLE_WRITES = "/etc/multinet/pki/"  # what the role etcd brings to every host
UNAVAILABLE = 14  # gRPC status code: no leader, no quorum, not yet started
_SHA256 = hashlib.sha256().digest_size


class EtcdError(Exception):
    """Something about etcd is wrong; str() is the sentence that says what, where and what to do."""


class EtcdUnreachableError(EtcdError):
    """No endpoint could be spoken to (connection, TLS, name resolution, not an etcd)."""


class EtcdUnavailableError(EtcdError):
    """An endpoint answered that it can't serve the request now (no leader, no quorum, members not
    all connected yet).
    """


class EtcdUncertainError(EtcdError):
    """A write was sent and not answered: it may have been done."""


class EtcdFileMissingError(EtcdError):
    """A file of the CA or the client certificate isn't there."""


class KeyValue(NamedTuple):
    """One key. mod_revision: the cluster's revision at its last change; lease: an id, or 0."""

    key: str
    value: str
    mod_revision: int
    lease: int = 0


class ListedMember(NamedTuple):
    """A member as the cluster lists it. name: "" until it has started for the first time."""

    id: int
    name: str
    peer_urls: list[str]
    client_urls: list[str]


class Endpoint(NamedTuple):
    """Where an etcd answers. scheme: http or https."""

    scheme: str
    host: str
    port: int

    @property
    def url(self) -> str:
        """Its URL; an IPv6 address gets its brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


class Client:
    """Speaks to the first endpoint that answers.

    endpoints: URLs such as https://10.0.0.1:2379; ca_cert, client_cert, client_key: paths (https
    only); timeout: seconds for each endpoint. Raises EtcdError at once when the endpoints or the
    files make no sense.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        ca_cert: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        timeout: float = 5.0,
    ) -> None:
        if not endpoints:
            raise EtcdError(
                "No etcd endpoint is given. Give at least one, such as https://10.0.0.1:2379."
            )
        self._endpoints = [parse_endpoint(url) for url in endpoints]
        self._timeout = timeout
        self._client_cert, self._client_key = client_cert, client_key
        self._tls = None
        if any(endpoint.scheme == "https" for endpoint in self._endpoints):
            self._tls = tls_context(ca_cert, client_cert, client_key)

    # Keys

    def get(self, key: str) -> KeyValue | None:
        """Return what is at a key, or None."""
        found = self._range({"key": _encode(key)})
        return found[0] if found else None

    def prefix(self, prefix: str) -> list[KeyValue]:
        """Return everything whose key starts with prefix, sorted by key."""
        return self._range({"key": _encode(prefix), "range_end": _encode(end_of_prefix(prefix))})

    def put(self, key: str, value: str, lease: int = 0) -> None:
        """Write one key, attached to a lease if given."""
        body = {"key": _encode(key), "value": _encode(value), "lease": str(lease)}
        self._post("/v3/kv/put", body)

    def txn(
        self, compares: Sequence[tuple[Any, ...]], operations: Sequence[tuple[str, ...]]
    ) -> bool:
        """Do all operations in one transaction if every comparison holds; return whether it was
        done.

        compares: list of ("revision", key, mod_revision; 0: the key must not exist) and ("empty",
        prefix: no key starts with it).
        operations: list of ("put", key, value), the same with a lease's id, ("delete", key) and
        ("delete_prefix", prefix).
        """
        answer = self._post(
            "/v3/kv/txn",
            {
                "compare": [_compare(item) for item in compares],
                "success": [_operation(item) for item in operations],
            },
        )
        return bool(answer.get("succeeded", False))

    def _range(self, body: dict[str, Any]) -> list[KeyValue]:
        answer = self._post("/v3/kv/range", body, read=True)
        return [
            KeyValue(
                _decode(kv["key"]),
                _decode(kv.get("value", "")),
                int(kv["mod_revision"]),
                int(kv.get("lease", 0)),
            )
            for kv in answer.get("kvs", [])
        ]

    # Leases

    def lease_grant(self, ttl: int) -> int:
        """Return the id of a new lease of ttl seconds."""
        return int(self._post("/v3/lease/grant", {"TTL": str(ttl), "ID": "0"})["ID"])

    def lease_seconds(self, lease: int) -> int:
        """Return for how many seconds a lease lasts if nobody renews it; -1: it is over."""
        answer = self._post("/v3/lease/timetolive", {"ID": str(lease)}, read=True)
        return int(answer.get("TTL", 0))

    # The cluster

    def status(self) -> dict[str, Any]:
        """Return {version, db_size, quota (bytes; 0: unknown, etcd says it from 3.6 on), alarms
        (names), leader (member id), member (id of who answered), endpoint (its URL), downgrade (the
        version that the cluster was told to go back to, such as 3.5.0, or "")} of the first
        endpoint that answers.
        """
        answer = self._post("/v3/maintenance/status", {}, read=True)
        return {
            "version": answer.get("version", ""),
            "db_size": int(answer.get("dbSize", 0)),
            "quota": int(answer.get("dbSizeQuota", 0)),
            # "memberID:8630161756594109333 alarm:NOSPACE "
            "alarms": sorted(set(re.findall(r"alarm:(\w+)", " ".join(answer.get("errors", []))))),
            "leader": int(answer.get("leader", 0)),
            "member": int(answer["header"]["member_id"]),
            "endpoint": self._endpoints[0].url,
            "downgrade": answer.get("downgradeInfo", {}).get("targetVersion", ""),
        }

    def check_health(self) -> None:
        """Return when a read through the cluster's leader works; raises EtcdError when not."""
        self._post("/v3/kv/range", {"key": _encode("health"), "keys_only": True}, read=True)

    def members(self) -> list[ListedMember]:
        """Return the cluster's members."""
        answer = self._post("/v3/cluster/member/list", {"linearizable": True}, read=True)
        return [
            ListedMember(
                int(item["ID"]),
                item.get("name", ""),
                item.get("peerURLs", []),
                item.get("clientURLs", []),
            )
            for item in answer["members"]
        ]

    def member_add(self, peer_url: str) -> None:
        """Announce a member that is going to join."""
        self._post("/v3/cluster/member/add", {"peerURLs": [peer_url]})

    def member_remove(self, member_id: int) -> None:
        """Take a member out of the cluster. etcd itself refuses when that would cost the quorum."""
        self._post("/v3/cluster/member/remove", {"ID": str(member_id)})

    def member_update(self, member_id: int, peer_url: str) -> None:
        """Tell the cluster a member's new address."""
        body = {"ID": str(member_id), "peerURLs": [peer_url]}
        self._post("/v3/cluster/member/update", body)

    def snapshot(self, target: BinaryIO) -> None:
        """Write the data of the first endpoint to a file, as `etcdctl snapshot save` does: the
        database, and its sha256 after it. Raises EtcdError when it does not come whole.
        """
        endpoint, path = self._endpoints[0], "/v3/maintenance/snapshot"
        total, end = hashlib.sha256(), b""
        with contextlib.closing(self._connection(endpoint)) as connection:
            try:
                connection.request("POST", path, b"{}", {"Content-Type": "application/json"})
                response = connection.getresponse()
                for line in response if response.status == 200 else ():
                    blob = base64.b64decode(json.loads(line)["result"].get("blob", ""))
                    target.write(blob)
                    end += blob
                    total.update(end[:-_SHA256])
                    end = end[-_SHA256:]
            except (OSError, http.client.HTTPException) as error:
                raise EtcdUnreachableError(
                    self._explain(endpoint, error, reasons.ASKING)
                ) from error
            except (ValueError, LookupError, TypeError, AttributeError):
                end = b""  # what it says instead is no part of a database
        if end != total.digest():
            raise EtcdError(
                f"etcd at {endpoint.url} did not give all of its data. See its own log."
            )

    # The wire

    def _post(self, path: str, body: dict[str, Any], read: bool = False) -> dict[str, Any]:
        """Ask for what a path of the gateway does; return its answer. read: nothing changes by it.

        The endpoints are tried in order, and the one that answers is asked first from then on. A
        write that may have reached an endpoint is not sent to a second one: that raises
        EtcdUncertainError.
        """
        errors: list[EtcdError] = []
        for endpoint in list(self._endpoints):
            try:
                answer = self._ask(endpoint, path, body, read)
            except (EtcdUnreachableError, EtcdUnavailableError) as error:
                errors.append(error)
                continue
            self._endpoints.remove(endpoint)
            self._endpoints.insert(0, endpoint)
            return answer
        if len(errors) == 1:
            raise errors[0]
        kind = (
            EtcdUnavailableError
            if any(isinstance(error, EtcdUnavailableError) for error in errors)
            else EtcdUnreachableError
        )
        raise kind(" ".join(str(error) for error in errors))

    def _connection(self, endpoint: Endpoint) -> http.client.HTTPConnection:
        host, port, timeout = endpoint.host, endpoint.port, self._timeout
        if endpoint.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=timeout)

    def _ask(
        self, endpoint: Endpoint, path: str, body: dict[str, Any], read: bool
    ) -> dict[str, Any]:
        url = endpoint.url
        connection = self._connection(endpoint)
        try:
            try:
                connection.connect()
            except (OSError, ssl.SSLError) as error:
                stage = reasons.GREETING if connection.sock else reasons.CONNECTING
                raise EtcdUnreachableError(self._explain(endpoint, error, stage)) from error
            try:
                connection.request(
                    "POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"}
                )
                response = connection.getresponse()
                status, data = response.status, response.read()
                headers = {name.lower(): value for name, value in response.getheaders()}
            except (OSError, http.client.HTTPException) as broken:
                cause = _alert(connection, broken) or broken
                # With TLS 1.3 a server refuses a client's certificate only after the handshake,
                # before it has read the request.
                if (
                    read
                    or isinstance(cause, ssl.SSLError)
                    or (endpoint.scheme == "https" and not self._client_cert)
                ):
                    raise EtcdUnreachableError(
                        self._explain(endpoint, cause, reasons.ASKING)
                    ) from cause
                raise EtcdUncertainError(
                    f"etcd at {url} broke the connection during a write"
                    f" ({cause or type(cause).__name__}), so it is not known whether the write was"
                    " done. Run this again: it continues from what is there."
                ) from cause
        finally:
            connection.close()
        return _answer(url, path, status, data, read, headers)

    def _explain(self, endpoint: Endpoint, error: BaseException, stage: str) -> str:
        return reasons.explain(
            endpoint.url, error, self._client_cert, stage, lambda: self._look(endpoint)
        )

    def _look(self, endpoint: Endpoint) -> reasons.Server:
        """Return what a server shows to a client that does not check it. It is believed in nothing:
        it makes a sentence clearer.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            endpoint.host, endpoint.port, timeout=self._timeout, context=context
        )
        shown, clock = None, None
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, ValueError, TypeError, http.client.HTTPException),
        ):
            if self._client_cert:
                context.load_cert_chain(self._client_cert, self._client_key)
            connection.connect()
            shown = certificate.read(connection.sock.getpeercert(binary_form=True) or b"")
            connection.request("GET", "/version")
            date = connection.getresponse().getheader("Date") or ""
            clock = email.utils.parsedate_to_datetime(date).astimezone(timezone.utc)
        return reasons.Server(shown, clock)


def parse_endpoint(url: Any) -> Endpoint:
    """Return what an endpoint's URL says; raises EtcdError when it is none."""
    wrong = (
        f"{url!r} is not an etcd endpoint. Write it as https://10.0.0.1:2379 (or http://... for an"
        " etcd without TLS)."
    )
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
        host.encode("idna")  # as the resolver does, which ends in a UnicodeError
    except (ValueError, AttributeError, TypeError):
        raise EtcdError(wrong) from None
    if (
        parts.scheme not in ("http", "https")
        or not host
        or not host.isprintable()
        or " " in host
        or not port
        or parts.path.strip("/")
        or parts.query
        or "@" in parts.netloc
    ):
        raise EtcdError(wrong)
    return Endpoint(parts.scheme, host, port)


def end_of_prefix(prefix: str) -> str:
    """Return the range_end that with prefix as key covers every key that starts with prefix (etcd
    API, RangeRequest.range_end).
    """
    if not prefix:
        raise ValueError("an empty prefix would cover every key")
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def tls_context(
    ca_cert: str | None, client_cert: str | None, client_key: str | None
) -> ssl.SSLContext:
    """Return the context for these files (paths; None: not given); raises EtcdError naming the file
    that doesn't serve.
    """
    if bool(client_cert) != bool(client_key):
        raise EtcdError(
            "A client certificate needs both its file and its key's file; only"
            f" {client_cert or client_key} is given."
        )
    for what, path in (
        ("CA certificate", ca_cert),
        ("client certificate", client_cert),
        ("client key", client_key),
    ):
        if path:
            try:
                with open(path, "rb"):
                    pass
            except FileNotFoundError as error:
                remedy = (
                    "Run the role multinet.flannel.etcd first, which writes it."
                    if path.startswith(_ROLE_WRITES)
                    else "Put it there or correct its path."
                )
                raise EtcdFileMissingError(f"The {what} {path} doesn't exist. {remedy}") from error
            except OSError as error:
                raise EtcdError(
                    f"The {what} {path} can't be read: {(error.strerror or str(error)).lower()}."
                ) from error
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    try:
        if ca_cert:
            # Trust this CA alone, not also every public one.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(ca_cert)
    except (ssl.SSLError, ValueError) as error:
        raise EtcdError(
            f"The CA certificate {ca_cert} is not a certificate in PEM form."
        ) from error
    try:
        if client_cert:
            context.load_cert_chain(client_cert, client_key)
    except (ssl.SSLError, ValueError) as error:
        if "KEY_VALUES_MISMATCH" in str(error):
            raise EtcdError(
                f"The key {client_key} doesn't belong to the client certificate {client_cert}."
            ) from error
        raise EtcdError(
            f"The client certificate {client_cert} and its key {client_key} can't be used: they are"
            " not a pair in PEM form."
        ) from error
    return context


def _alert(connection: http.client.HTTPConnection, broken: BaseException) -> ssl.SSLError | None:
    """Return the TLS alert that may be waiting on a connection that broke while we wrote (broken:
    the exception), or None.
    """
    if not isinstance(broken, (ssl.SSLEOFError, BrokenPipeError, ConnectionResetError)):
        return None
    try:
        connection.sock.recv(1)
    except ssl.SSLEOFError:
        return None
    except ssl.SSLError as alert:
        return alert
    except (AttributeError, OSError, ValueError):
        return None
    return None


def _answer(
    url: str,
    path: str,
    status: int,
    data: bytes,
    read: bool,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError:
        if b"HTTP request to an HTTPS server" in data:
            raise EtcdUnreachableError(
                f"etcd at {url} speaks TLS. Write https:// and give the CA and a client"
                " certificate."
            ) from None
        if b"CommonName of client" in data:  # its gateway, when authentication is on
            raise EtcdError(reasons.refusal(url, data.decode("utf-8", "replace").strip())) from None
        answer = None
    header = answer.get("header") if isinstance(answer, dict) else None
    # something else that speaks JSON is no healthy etcd
    if status == 200 and isinstance(header, dict) and header.get("cluster_id"):
        return answer
    if not isinstance(answer, dict) or "code" not in answer:
        raise EtcdUnreachableError(reasons.no_etcd(url, path, status, headers))
    message = str(answer.get("message") or answer.get("error") or "no reason given")
    if not read and "timed out" in message:
        raise EtcdUncertainError(
            f"etcd at {url} doesn't know whether a write was done ({message}). Run this again: it"
            " continues from what is there."
        )
    if answer["code"] == UNAVAILABLE or "no leader" in message or "request timed out" in message:
        raise EtcdUnavailableError(
            f"etcd at {url} can't serve now: no quorum ({message}). Start the members that are"
            " missing: more than half of them must run."
        )
    raise EtcdError(reasons.refusal(url, message))


def _encode(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()


def _decode(text: str) -> str:
    return base64.b64decode(text).decode("utf-8", "surrogateescape")


def _compare(item: tuple[Any, ...]) -> dict[str, Any]:
    if item[0] == "revision":
        return {
            "key": _encode(item[1]),
            "target": "MOD",
            "result": "EQUAL",
            "mod_revision": str(item[2]),
        }
    # On a range that is empty etcd compares with a key of version 0, which no stored key has.
    return {
        "key": _encode(item[1]),
        "range_end": _encode(end_of_prefix(item[1])),
        "target": "VERSION",
        "result": "EQUAL",
        "version": "0",
    }


def _operation(item: tuple[str, ...]) -> dict[str, Any]:
    if item[0] == "put":
        lease = item[3] if len(item) > 3 else "0"
        put = {"key": _encode(item[1]), "value": _encode(item[2]), "lease": lease}
        return {"request_put": put}
    if item[0] == "delete":
        return {"request_delete_range": {"key": _encode(item[1])}}
    return {
        "request_delete_range": {
            "key": _encode(item[1]),
            "range_end": _encode(end_of_prefix(item[1])),
        }
    }
