# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of the client needs no etcd; the rest is shown with a real one in
tests/integration/test_etcd.py.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import io
import json
import re
import threading

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._etcd import client


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1:2379", "http://[2001:db8::1]:2379", "https://etcd.example:443"]
)
def test_reads_endpoints(url):
    assert client.parse_endpoint(url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "10.0.0.1:2379",
        "https://10.0.0.1",
        "https://10.0.0.1:port",
        "ftp://10.0.0.1:2379",
        "https://10.0.0.1:2379/v3",
        "https://u:p@h:1",
        "https://etcd..example.org:2379",
        f"https://{'e' * 64}.example.org:2379",
        "https://.:2379",
        "https://etcd example.org:2379",
        "",
        None,
        7,
    ],
)
def test_refuses_what_is_no_endpoint(url):
    told = re.escape("is not an etcd endpoint. Write it as https://10.0.0.1:2379")
    with pytest.raises(client.EtcdError, match=told):
        client.Client([url])


def test_needs_an_endpoint():
    with pytest.raises(client.EtcdError, match="No etcd endpoint is given"):
        client.Client([])


def test_ranges():
    assert client.end_of_prefix("/coreos.com/network/blue/") == "/coreos.com/network/blue0"
    with pytest.raises(ValueError):
        client.end_of_prefix("")


@pytest.mark.parametrize(
    "path, remedy",
    [
        ("/etc/multinet/pki/no-such.crt", "Run the role multinet.flannel.etcd first, which writes"),
        ("/nonexistent/ca.crt", "Put it there or correct its path."),
    ],
)
def test_says_who_brings_a_missing_file(path, remedy):
    with pytest.raises(
        client.EtcdFileMissingError, match=re.escape(f"{path} doesn't exist. {remedy}")
    ):
        client.tls_context(path, None, None)


def test_names_the_file_that_does_not_serve(tmp_path):
    missing = str(tmp_path / "missing.pem")
    there = tmp_path / "there.pem"
    there.write_text("no certificate")
    for files, told in (
        (dict(ca_cert=missing), f"CA certificate {missing} doesn't exist"),
        (dict(ca_cert=str(there)), "is not a certificate in PEM form"),
        (dict(client_cert=str(there)), "needs both"),
        (dict(client_cert=str(there), client_key=str(there)), "they are not a pair in PEM form"),
        (dict(client_cert=str(there), client_key=missing), f"client key {missing} doesn't exist"),
    ):
        with pytest.raises(client.EtcdError, match=told):
            client.Client(["https://127.0.0.1:1"], **files)


@pytest.mark.parametrize(
    "status, data, kind, told",
    [
        (
            503,
            b'{"code":14,"message":"etcdserver: no leader"}',
            client.EtcdUnavailableError,
            "no quorum",
        ),
        (404, b"404 page not found", client.EtcdUnreachableError, "is not an etcd 3.4 or newer"),
        (200, b"[]", client.EtcdUnreachableError, "is not an etcd 3.4 or newer"),
        (200, b'{"ok":true}', client.EtcdUnreachableError, "is not an etcd 3.4 or newer"),
        (200, b'{"header":[],"kvs":[{}]}', client.EtcdUnreachableError, "is not an etcd 3.4"),
        (200, b'{"header":{"revision":"7"}}', client.EtcdUnreachableError, "is not an etcd 3.4"),
        (
            400,
            b'{"code":3,"message":"etcdserver: user name is empty"}',
            client.EtcdError,
            "does not know users by their certificates",
        ),
        (
            400,
            b'{"code":3,"message":"etcdserver: too many operations in txn request"}',
            client.EtcdError,
            "too many operations",
        ),
    ],
)
def test_explains_answers(status, data, kind, told):
    with pytest.raises(kind, match=told):
        client._answer("https://h:1", "/v3/kv/range", status, data, True)


def test_a_write_that_timed_out_may_have_been_done():
    data = b'{"code":14,"message":"etcdserver: request timed out"}'
    with pytest.raises(client.EtcdUnavailableError):
        client._answer("https://h:1", "/v3/kv/range", 503, data, True)
    with pytest.raises(client.EtcdUncertainError):
        client._answer("https://h:1", "/v3/kv/txn", 503, data, False)


def parts(*blobs):
    """Return what the gateway's stream of a snapshot says for these parts of it."""
    return b"".join(
        json.dumps({"result": {"blob": base64.b64encode(blob).decode()}}).encode() + b"\n"
        for blob in blobs
    )


@pytest.fixture(name="snapshot")
def _snapshot():
    """Have a server give an answer to whoever asks for a snapshot, and return what is written."""
    answers = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200 if answers[0] else 503)
            self.send_header("Content-Length", str(len(answers[0])))
            self.end_headers()
            self.wfile.write(answers[0])

        def log_message(self, *dummy):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def ask(answer):
        answers[:] = [answer]
        target = io.BytesIO()
        client.Client([f"http://127.0.0.1:{server.server_port}"]).snapshot(target)
        return target.getvalue()

    yield ask
    server.shutdown()
    server.server_close()


DATA = b"pages of a database" * 100
SUM = hashlib.sha256(DATA).digest()


def test_a_snapshot_is_taken_as_it_comes(snapshot):
    assert snapshot(parts(DATA, SUM)) == DATA + SUM
    # the sum may lie across two parts
    assert snapshot(parts(DATA[:10], DATA[10:] + SUM[:5], SUM[5:20], SUM[20:])) == DATA + SUM


@pytest.mark.parametrize(
    "answer",
    [
        parts(DATA),
        parts(DATA[:-1], SUM),
        parts(DATA) + b'{"error": {"message": "etcdserver: no space"}}\n',
        parts(DATA, SUM)[:-30],
        b"404 page not found",
        b"[]",
        b"",
    ],
    ids=["no sum", "a byte is missing", "an error", "cut", "no gateway", "no part", "unavailable"],
)
def test_a_snapshot_that_is_not_whole_is_none(snapshot, answer):
    with pytest.raises(client.EtcdError, match="did not give all of its data"):
        snapshot(answer)
