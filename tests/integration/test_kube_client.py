# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API client against a server that misbehaves on purpose, over real TLS with certificates made
for the test.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import pathlib
import socket
import ssl
import subprocess
import threading
import time

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import errors
from ansible_collections.multinet.flannel.plugins.module_utils._kube_client import client as kube
from ansible_collections.multinet.flannel.plugins.module_utils._kube_client import kubeconfig
from etcd_server import free_port
from pythons import https_of
from waiting import PATIENCE


def make_certificates(directory):
    """Write ca.crt, server.{crt,key} (for 127.0.0.1 and kubernetes), client.{crt,key} and
    other-ca.crt.
    """

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, cwd=directory, capture_output=True)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for authority in ("ca", "other-ca"):
        openssl(
            "req",
            "-x509",
            *new_key,
            "-days",
            "2",
            "-subj",
            "/CN=" + authority,
            "-keyout",
            authority + ".key",
            "-out",
            authority + ".crt",
        )
    for name, extra in (
        ("server", "subjectAltName=IP:127.0.0.1,DNS:kubernetes"),
        ("client", "extendedKeyUsage=clientAuth"),
    ):
        (directory / "extra").write_text(extra, encoding="utf-8")
        openssl(
            "req",
            *new_key,
            "-subj",
            "/O=system:masters/CN=" + name,
            "-keyout",
            name + ".key",
            "-out",
            name + ".csr",
        )
        signer = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "extra")
        openssl("x509", "-req", "-days", "2", "-in", name + ".csr", *signer, "-out", name + ".crt")


class Server:
    """Answers each request by `answer`, a function of the handler; `seen` has (method, path, token,
    body).
    """

    def __init__(self, directory, client_certificates=False):
        self.seen = []
        self.answer = lambda handler: handler.reply(200, {"ok": True})
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.seen.append(
                    (self.command, self.path, self.headers.get("Authorization"), body.decode())
                )
                with contextlib.suppress(OSError):
                    outer.answer(self)

            do_GET = do_POST = do_PATCH = serve  # noqa: N815 - http.server asks for these names

            def reply(self, status, value):
                text = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "server.crt", directory / "server.key")
        if client_certificates:
            context.load_verify_locations(directory / "ca.crt")
            context.verify_mode = ssl.CERT_REQUIRED
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(name="pki", scope="module")
def _pki(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pki")
    make_certificates(directory)
    return directory


@pytest.fixture(name="server", params=["direct", "public"])
def _server(pki, request, monkeypatch):
    if request.param == "public":
        monkeypatch.setattr(kube, "https", https_of(monkeypatch))
    server = Server(pki)
    yield server
    server.close()


# Of a client that is given PATIENCE: it did not use it up.
AT_ONCE = 0.8 * PATIENCE


def client(server, pki, seconds=PATIENCE, **keys):
    access = kubeconfig.Access(
        keys.pop("url", server.url), **dict({"ca_file": str(pki / "ca.crt"), "token": "t"}, **keys)
    )
    return kube.Client(access, seconds)


def failure(one, path="/x"):
    begin = time.monotonic()
    with pytest.raises(errors.Error) as caught:
        one.get(path)
    return caught.value, time.monotonic() - begin


def test_requests_share_a_connection(server, pki):
    one = client(server, pki)
    assert one.get("/api/v1/x") == {"ok": True}
    assert one.patch("/p", {"a": 1}) == one.post("/q", {"b": 2}) == {"ok": True}
    assert server.seen == [
        ("GET", "/api/v1/x", "Bearer t", ""),
        ("PATCH", "/p", "Bearer t", '{"a": 1}'),
        ("POST", "/q", "Bearer t", '{"b": 2}'),
    ]
    one.close()


def test_a_server_below_a_path(server, pki):
    assert client(server, pki, url=server.url + "/k8s/clusters/c/").get("/api") == {"ok": True}
    assert server.seen[0][1] == "/k8s/clusters/c/api"


def test_what_is_not_there_is_none(server, pki):
    server.answer = lambda handler: handler.reply(404, {"kind": "Status"})
    assert client(server, pki).get("/x") is None


def test_a_connection_that_was_closed_meanwhile_is_made_again(server, pki):
    def once(handler):
        handler.reply(200, {"ok": True})
        handler.close_connection = True

    server.answer = once
    one = client(server, pki)
    assert one.get("/a") == one.get("/b") == {"ok": True}


@pytest.mark.parametrize("status", [429, 500, 503, 504])
def test_what_passes_is_tried_again(server, pki, status):
    server.answer = lambda handler: handler.reply(
        status if len(server.seen) < 3 else 200, {"message": "starting"}
    )
    assert client(server, pki).get("/x") == {"message": "starting"}
    assert len(server.seen) == 3


def test_what_does_not_pass_ends_in_time(server, pki):
    one = client(server, pki)

    def no(handler):
        if len(server.seen) == 2:
            one.limit(0)  # from now on its time is over
        handler.reply(503, b"not JSON at all")

    server.answer = no
    error, _dummy = failure(one)
    assert error.code == errors.TRY_AGAIN_LATER and "503" in error.details
    assert len(server.seen) == 2


def test_a_renewed_token_is_used_at_once(server, pki, tmp_path):
    (tmp_path / "token").write_text("old\n", encoding="utf-8")

    def rotating(handler):
        if server.seen[-1][2] == "Bearer new":
            handler.reply(200, {"ok": True})
        else:
            (tmp_path / "token").write_text("new\n", encoding="utf-8")
            handler.reply(401, {"message": "Unauthorized"})

    server.answer = rotating
    assert client(server, pki, token=None, token_file=str(tmp_path / "token")).get("/x") == {
        "ok": True
    }
    assert [token for dummy, dummy, token, dummy in server.seen] == ["Bearer old", "Bearer new"]


def test_an_expired_token_is_said(server, pki):
    server.answer = lambda handler: handler.reply(401, {"message": "Unauthorized"})
    error, _dummy = failure(client(server, pki))
    assert (error.code, error.status) == (errors.TRY_AGAIN_LATER, 401) and "expired" in error.msg
    assert len(server.seen) == 1


def test_what_is_not_allowed_is_said(server, pki):
    server.answer = lambda handler: handler.reply(403, {"message": 'pods is forbidden: User "x"'})
    error, _dummy = failure(client(server, pki))
    assert (
        (error.code, error.status) == (errors.INVALID_CONFIGURATION, 403)
        and "RBAC" in error.msg
        and 'User "x"' in error.details
    )
    assert len(server.seen) == 1


def test_a_token_file_that_is_gone(server, pki, tmp_path):
    error, _dummy = failure(client(server, pki, token=None, token_file=str(tmp_path / "none")))
    assert str(tmp_path / "none") in error.msg


def drip(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(10000):
        handler.wfile.write(b"X-%d: y\r\n" % number)
        handler.wfile.flush()
        time.sleep(0.2)


def hang(handler):
    time.sleep(3600)


@pytest.mark.parametrize("behaviour", [drip, hang])
def test_a_server_that_never_ends(server, pki, behaviour):
    server.answer = behaviour
    error, seconds = failure(client(server, pki, 1.0))
    assert error.code == errors.TRY_AGAIN_LATER
    assert seconds < AT_ONCE


@pytest.mark.parametrize(
    "behaviour",
    [
        lambda handler: handler.reply(200, b"{"),
        lambda handler: handler.reply(200, b"[]"),
        lambda handler: handler.connection.close(),
        lambda handler: handler.wfile.write(b"what?\r\n\r\n"),
        lambda handler: handler.reply(200, b"[%s]" % (b"1," * 5_000_000)),
    ],
)
def test_answers_that_are_none(server, pki, behaviour):
    server.answer = behaviour
    error, seconds = failure(client(server, pki, 1.0))
    assert error.code == errors.TRY_AGAIN_LATER
    assert seconds < AT_ONCE


def test_nobody_there(server, pki):
    url = f"https://127.0.0.1:{free_port()}"
    error, seconds = failure(client(server, pki, 0.6, url=url))
    assert error.code == errors.TRY_AGAIN_LATER
    assert error.msg == (
        f"The Kubernetes API {url} does not answer: connection refused. Start it, or correct the"
        " address in the kubeconfig."
    )
    assert seconds < AT_ONCE


def test_the_reason_is_in_the_sentence(server, pki):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        assert "does not answer in time" in failure(client(server, pki, 0.5, url=url))[0].msg
    named = failure(client(server, pki, 0.5, url="https://nowhere.invalid:6443"))[0].msg
    assert "this host cannot resolve its name" in named
    for keys, reason in (
        ({"ca_file": str(pki / "other-ca.crt")}, "Give the authority that signed it"),
        ({"tls_name": "another"}, "does not name that address"),
    ):
        assert reason in failure(client(server, pki, **keys))[0].msg
    one = client(server, pki)

    def page(handler):
        one.limit(0)  # its time is over with this answer
        handler.reply(200, b"<html>")

    server.answer = page
    assert "a proxy may have answered in its place" in failure(one)[0].msg


def test_whom_we_trust(server, pki):
    for keys in (
        {"ca_file": str(pki / "other-ca.crt")},
        {"ca_file": None},
        {"tls_name": "another"},
    ):
        error, seconds = failure(client(server, pki, **keys))
        assert error.code == errors.IO_FAILURE and "certificate" in error.msg.lower()
        assert seconds < AT_ONCE
    assert server.seen == []  # and no token was sent
    for keys in (
        {"tls_name": "kubernetes"},
        {"ca_file": None, "insecure": True},
        {"ca_file": None, "ca_data": (pki / "ca.crt").read_text(encoding="ascii")},
    ):
        assert client(server, pki, **keys).get("/x") == {"ok": True}
    error, _dummy = failure(client(server, pki, ca_file="/not/there"))
    assert error.code == errors.IO_FAILURE


@pytest.mark.usefixtures("server")
def test_client_certificates(pki):
    server = Server(pki, client_certificates=True)
    try:
        files = {"certificate": str(pki / "client.crt"), "key": str(pki / "client.key")}
        texts = {
            name: pathlib.Path(path).read_text(encoding="ascii") for name, path in files.items()
        }
        for keys in (files, texts, {"certificate": texts["certificate"] + texts["key"]}):
            assert client(server, pki, token=None, **keys).get("/x") == {"ok": True}
        assert server.seen[0][2] is None
        error, seconds = failure(client(server, pki, token=None))
        assert error.code == errors.IO_FAILURE and "refuses the client certificate" in error.msg
        assert seconds < AT_ONCE
    finally:
        server.close()


class Proxy(threading.Thread):
    """Serves one CONNECT and passes bytes on."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://user:secret@127.0.0.1:{self.listener.getsockname()[1]}"
        self.asked = b""
        self.start()

    def run(self):
        near = self.listener.accept()[0]
        while b"\r\n\r\n" not in self.asked:
            self.asked += near.recv(4096)
        _host, _dummy, port = self.asked.split()[1].decode().rpartition(":")
        far = socket.create_connection(("127.0.0.1", int(port)))
        near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for one, other in ((near, far), (far, near)):
            threading.Thread(target=self.pass_on, args=(one, other), daemon=True).start()

    @staticmethod
    def pass_on(one, other):
        with contextlib.suppress(OSError):
            while True:
                data = one.recv(65536)
                if not data:
                    return
                other.sendall(data)


def test_through_a_proxy(server, pki):
    proxy = Proxy()
    port = server.url.rpartition(":")[2]
    one = client(
        server, pki, url="https://api.invalid:" + port, tls_name="kubernetes", proxy=proxy.url
    )
    assert one.get("/x") == {"ok": True}
    assert (
        proxy.asked.startswith(b"CONNECT api.invalid:" + port.encode())
        and b"Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=" in proxy.asked
    )


def test_the_environments_proxy_is_none_of_ours(server, pki, monkeypatch):
    """The runtime that starts the meta-plugin has one for its images."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    url = server.url.replace("127.0.0.1", "127.1")  # no proxy is asked for 127.0.0.1 by anybody
    one = client(server, pki, url=url, tls_name="kubernetes")
    assert one.get("/x") == {"ok": True}
    access = kubeconfig.Access(url, ca_file=str(pki / "ca.crt"), token="t", tls_name="kubernetes")
    with contextlib.closing(kube.connect(access, 5)) as connection:
        connection.request("GET", "/x")
        assert connection.getresponse().status == 200


def test_a_proxy_that_is_not_served(server, pki):
    error, _dummy = failure(client(server, pki, proxy="socks5://p:1"))
    assert "socks5" in error.msg
