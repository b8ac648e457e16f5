# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each cause for which a Kubernetes API does nothing for us, made for real: whoever asks it says it
in one sentence, with the remedy.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import pathlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from ansible_collections.multinet.flannel.plugins.module_utils._drift import datastore
from ansible_collections.multinet.flannel.plugins.module_utils._kube_client import client as kube
from ansible_collections.multinet.flannel.plugins.module_utils._kube_client import kubeconfig, probe
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import admin
from ansible_collections.multinet.flannel.plugins.module_utils._preflight import observe
from ansible_collections.multinet.flannel.plugins.module_utils._subnets import upstream
from etcd_server import Authority, free_port
from waiting import PATIENCE

RIGHT = 'cannot list resource "nodes" in API group "" at the cluster scope'
HOSTS = ("a host's plugin", "status", "the subnet server")


def ask_as_a_plugin(path: pathlib.Path) -> str:
    client = kube.Client(kubeconfig.load(str(path)), probe.SECONDS)
    with pytest.raises(kube.ApiError) as raised:
        client.get("/api/v1/nodes")
    return raised.value.msg


def ask_as_status(path: pathlib.Path) -> str:
    return probe.problem(str(path))


def ask_as_the_subnet_server(path: pathlib.Path) -> str:
    with pytest.raises(upstream.UnavailableError) as raised:
        upstream.Upstream(str(path), frozenset()).list_nodes()
    return str(raised.value)


def ask_as_an_administrator(path: pathlib.Path) -> str:
    with pytest.raises(admin.AdminError) as raised:
        admin.Admin(str(path)).items("/api/v1/nodes")
    return str(raised.value)


ASK: dict[str, Callable[[pathlib.Path], str]] = {
    "a host's plugin": ask_as_a_plugin,
    "status": ask_as_status,
    "the subnet server": ask_as_the_subnet_server,
    "the controller": ask_as_an_administrator,
}


def wait_for_answers(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(probe, "SECONDS", seconds)
    monkeypatch.setattr(upstream, "_TIMEOUT", seconds)
    monkeypatch.setattr(admin, "_TIMEOUT", (seconds, seconds))


@pytest.fixture(name="patient", autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who answers is waited for."""
    wait_for_answers(monkeypatch, PATIENCE)


@pytest.fixture(scope="module", name="authority")
def _authority(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return Authority(tmp_path_factory.mktemp("pki"))


@contextlib.contextmanager
def api(
    files: tuple[Any, Any], status: int = 200, message: str = "", page: bytes = b""
) -> Iterator[str]:
    """Run a server that gives one answer to all; yield its URL. page: instead of an API's."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = page or json.dumps({"kind": "Status", "message": message}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *dummy: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def written(directory: pathlib.Path, url: str, ca: object) -> pathlib.Path:
    """Write a kubeconfig; return its path."""
    path = directory / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority": str(ca)}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(config))
    return path


@contextlib.contextmanager
def filtered() -> Iterator[str]:
    """Yield the URL of a port to which packets go and from which none comes: the kernel drops what
    asks for a connection while a listener has no room for one.
    """
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for dummy in range(3):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("who", ASK)
def test_nobody_answers(
    who: str, tmp_path: pathlib.Path, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_for_answers(monkeypatch, 0.5)

    def said(url: str) -> str:
        sentence = ASK[who](written(tmp_path, url, authority.ca_crt))
        assert sentence.startswith(f"The Kubernetes API {url} does not answer"), sentence
        return sentence

    refused = said(f"https://127.0.0.1:{free_port()}")
    assert refused.endswith(
        "does not answer: connection refused. Start it, or correct the address in the kubeconfig."
    )
    assert "this host cannot resolve its name. Correct the name" in said(
        "https://nowhere.invalid:6443"
    )
    with filtered() as url:
        assert said(url).endswith(
            "does not answer in time. A firewall drops the packets, no host has that address, or"
            " the API hangs. Start the API, or correct the address."
        )


@pytest.mark.parametrize("who", ASK)
def test_a_certificate_is_not_accepted(who: str, tmp_path: pathlib.Path, authority: Any) -> None:
    other = tmp_path / "other"
    other.mkdir()
    ended = {"begins": -9, "days": -2}
    for ca, changes, told in (
        (
            Authority(other).ca_crt,
            {},
            "Give the authority that signed it; it may be the certificate of a proxy.",
        ),
        (authority.ca_crt, ended, "it has expired. Renew it, or set the clock of this host."),
        (authority.ca_crt, {"addresses": ("192.0.2.1",)}, "it does not name that address. Use"),
    ):
        with api(authority.issue("server", **changes)) as url:
            sentence = ASK[who](written(tmp_path, url, ca))
        assert f"certificate of the Kubernetes API {url} is not accepted: " in sentence, sentence
        assert told in sentence, sentence


@pytest.mark.parametrize("who", ASK)
def test_it_refuses(who: str, tmp_path: pathlib.Path, authority: Any) -> None:
    for status, message, told in (
        (401, "Unauthorized", "does not know us: the token or certificate is wrong or has expired"),
        (
            403,
            f'nodes is forbidden: User "system:anonymous" {RIGHT}',
            "does not know us: the token",
        ),
        (403, f'nodes is forbidden: User "bob" {RIGHT}', "does not let bob list nodes at the clus"),
    ):
        with api(authority.issue("server"), status, message) as url:
            sentence = ASK[who](written(tmp_path, url, authority.ca_crt))
        assert sentence.startswith(f"The Kubernetes API {url} {told}"), sentence
        assert f"(HTTP {status})" in sentence, sentence
        remedy = "Run the playbook site" if who in HOSTS else "set multinet_kubeconfig to that of"
        assert remedy in sentence, sentence


class SubnetServer(http.server.BaseHTTPRequestHandler):
    """Knows the leases, and follows the API no more."""

    WHY = f"The Kubernetes API https://192.0.2.10:6443 does not let bob {RIGHT}."
    VERSION = "new"

    def do_GET(self) -> None:
        known = {"/v1/blue/leases": (200, '{"snapshot": []}'), "/apiz": (503, self.WHY)}
        status, text = known.get(self.path, (404, "none"))
        if self.path == "/apiz" and self.VERSION == "old":
            status, text = 404, "There is no network 'apiz' here; there are blue."
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode() + b"\n")

    def log_message(self, *dummy: object) -> None:
        pass


HALF = "secret-half"


@pytest.mark.parametrize("who", HOSTS)
@pytest.mark.parametrize(
    ("place", "told"),
    [
        ({"token": f"x\n{HALF}"}, "is not a single word of ASCII"),
        ({"token": f"x{HALF}\u00e9"}, "is not a single word of ASCII"),
        ({"tokenFile": "token"}, "/token is not a single word of ASCII"),
        ({"server": "https://api..example:6443"}, "https://api..example:6443 "),
        ({"server": f"https://{'a' * 64}.example:6443"}, "example:6443 "),
        ({"server": "https://[::1"}, "https://[::1 "),
        ({"tls-server-name": "api..example"}, "'api..example' "),
        ({"proxy-url": "http://proxy..example:3128"}, "proxy"),
        ({"proxy-url": "http://proxy.example:99999"}, "proxy"),
        ({"proxy-url": "http://[::1"}, "proxy"),
    ],
    ids=str,
)
def test_a_kubeconfig_of_which_no_request_can_be_made(
    who: str, place: dict[str, str], told: str, tmp_path: pathlib.Path, authority: Any
) -> None:
    (tmp_path / "token").write_text(f"x\n{HALF}\n", encoding="utf-8")
    with api(authority.issue("server")) as url:
        path = written(tmp_path, url, authority.ca_crt)
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        (user if "token" in str(place) else cluster).update(place)
        if "tokenFile" in place:
            del user["token"]
        path.write_text(json.dumps(config), encoding="utf-8")
        sentence = ASK[who](path)
    assert told in sentence and HALF not in sentence


@pytest.mark.parametrize("who", ASK)
@pytest.mark.parametrize("page", [b"<html>Log in</html>", b"[]"])
def test_somebody_else_answers(
    who: str, page: bytes, tmp_path: pathlib.Path, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "SECONDS", 1.0)
    with api(authority.issue("server"), page=page) as url:
        assert url in ASK[who](written(tmp_path, url, authority.ca_crt))


@pytest.mark.parametrize("version", ["new", "old"])
def test_status_says_that_leases_may_be_old(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(SubnetServer, "VERSION", version)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SubnetServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/blue"
    plan = {"datastore": "kubernetes", "networks": [{"name": "blue"}]}
    try:
        found = datastore.read(plan, {"blue": {"FLANNELD_KUBE_API_URL": url}}, {"blue": {}})
    finally:
        server.shutdown()
        server.server_close()
    assert found["leases"] == {"blue": []}
    why = SubnetServer.WHY if version == "new" else ""
    assert (found["leases_problem"], found["leases_wrong"]) == (why, bool(why))


def test_status_has_nothing_to_say_of_an_api_that_answers(
    tmp_path: pathlib.Path, authority: Any
) -> None:
    with api(authority.issue("server")) as url:
        assert probe.problem(str(written(tmp_path, url, authority.ca_crt))) == ""
    assert "cannot be read" in probe.problem(str(tmp_path / "none"))


def test_a_host_says_before_anything_is_changed_that_it_does_not_reach_the_api() -> None:
    assert observe.api_problem("", seconds=0.5) == ""
    with socket.create_server(("127.0.0.1", 0)) as there:
        # somebody listens, and is no API
        assert observe.api_problem(f"https://127.0.0.1:{there.getsockname()[1]}", seconds=0.5)
    with filtered() as url:
        assert "A firewall drops the packets" in observe.api_problem(url, seconds=0.5)
    assert "connection refused" in observe.api_problem(
        f"https://127.0.0.1:{free_port()}", seconds=2.0
    )
