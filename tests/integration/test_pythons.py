# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The meta-plugin stands on private modules of Python, for their time to import: what that promises
holds on every Python at hand, and on those to come. The keeper runs on every Python at hand, too.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import pathlib
import ssl
import subprocess
import sys
import threading

import pytest
from ansible_collections.multinet.flannel.plugins.lookup import library_files
from ansible_collections.multinet.flannel.plugins.module_utils._cni import quick_json
from ansible_collections.multinet.flannel.plugins.module_utils._kube_client import https
from etcd_server import Authority
from pythons import FOUND, https_of
from waiting import PATIENCE

TLS = """
import json, sys
sys.path.insert(0, sys.argv[1])
if sys.argv[2] == "public":
    sys.version_info = (3, 99, 0)
import https
assert ("ssl" in sys.modules) == (sys.argv[2] == "public")
outcomes = []
for port, name, arguments in json.loads(sys.argv[3]):
    try:
        context = https.tls_context(**arguments)
        connection = https.Connection("127.0.0.1", port, 100, context=context, tls_name=name)
        outcomes.append(connection.request("GET", "/", {"Host": "x"}, b"", 100)[1].decode())
    except OSError as error:
        outcomes.append(type(error).__name__)
print(json.dumps(outcomes))
"""
JSON = """
import sys
sys.path.insert(0, sys.argv[1])
import quick_json
hooks = dict(parse_float=float, parse_int=int, parse_constant=str)
assert quick_json.loads('{"a": [1, 2.5, "x", {}]}', **hooks) == {"a": [1, 2.5, "x", {}]}
assert quick_json.dumps("x") == '"x"'
assert "json" not in sys.modules
"""
KEEPER = """
import os, socket, sys, time
sys.path.insert(0, sys.argv[1])
from multinet._drift import endpoint, keeper
path = sys.argv[1] + "/socket"
endpoint.Endpoint(lambda: b"x 1\\n" * 100000, print).start([endpoint.Address(path, "root")])
with socket.socket(socket.AF_UNIX) as client:
    while client.connect_ex(path):
        time.sleep(0.01)
    client.send(b"GET /metrics HTTP/1.1\\r\\n\\r\\n")
    assert client.makefile().read().count("x 1") == 100000
keeper.Keeper(lambda: None, print, print).round()
"""


class Hello(http.server.BaseHTTPRequestHandler):
    """Answers every GET with two bytes."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"hi")

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


@contextlib.contextmanager
def listening(authority, name, version=None, **properties):
    """Yield the port of a server with a certificate of the authority; version: the newest TLS that
    it speaks.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(name, **properties))
    if version:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        server.handle_error = lambda *dummy: None  # a client that goes
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


@pytest.fixture(name="servers", scope="module")
def _servers(tmp_path_factory):
    """Yield (the authority, ports of servers: one as it should be, one whose certificate is out of
    date, one of former times).
    """
    authority = Authority(tmp_path_factory.mktemp("pki"))
    with (
        listening(authority, "server") as good,
        listening(authority, "late", days=-1) as late,
        listening(authority, "old", ssl.TLSVersion.TLSv1_1) as old,
    ):
        yield authority, good, late, old


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1")
@pytest.mark.parametrize("way", ["direct", "public"])
@pytest.mark.parametrize("python", FOUND)
def test_only_the_right_certificate_is_accepted(servers, python, way, tmp_path):
    authority, good, late, old = servers
    other = Authority(tmp_path / "other")
    ours = {"ca_file": str(authority.ca_crt)}
    attempts = [
        (good, "127.0.0.1", ours),
        (good, "127.0.0.1", {"ca_data": authority.ca_crt.read_text()}),
        (good, "another.example", {"insecure": True}),
        (late, "another.example", {"insecure": True}),
        (good, "another.example", ours),
        (good, "127.0.0.1", {"ca_file": str(other.ca_crt)}),
        (good, "127.0.0.1", {}),
        (late, "127.0.0.1", ours),
        (old, "127.0.0.1", ours),
        (old, "127.0.0.1", {"insecure": True}),
    ]
    done = subprocess.run(
        [
            FOUND[python],
            "-IS",
            "-c",
            TLS,
            str(pathlib.Path(https.__file__).parent),
            way,
            json.dumps(attempts),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert (
        json.loads(done.stdout) == ["hi"] * 4 + ["SSLCertVerificationError"] * 4 + ["SSLError"] * 2
    )


def test_where_the_private_module_is_another_one(monkeypatch):
    empty = type(ssl)("_ssl")
    assert https_of(monkeypatch, sys.version_info).ssl is not ssl
    assert https_of(monkeypatch, sys.version_info, _ssl=empty).ssl is ssl
    assert https_of(monkeypatch).ssl is ssl


@pytest.mark.parametrize("python", FOUND)
def test_json_is_read_and_written_without_its_module(python):
    subprocess.run(
        [FOUND[python], "-IS", "-c", JSON, str(pathlib.Path(quick_json.__file__).parent)],
        check=True,
    )


@pytest.mark.parametrize("python", FOUND.values(), ids=FOUND)
def test_the_keeper_looks_and_answers(tmp_path, python):
    for file in library_files.library(["keeper"], str(tmp_path)):
        path = pathlib.Path(file["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["content"], encoding="utf-8")
    command = [python, "-IS", "-c", KEEPER, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert not done.returncode, done.stderr
