# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The meta-plugin's own TLS stands on Python's module in C: every Python at hand has to refuse whom the one for people refuses."""

from __future__ import annotations

import http.server
import json
import os
import pathlib
import ssl
import subprocess
import sys
import threading

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._meta import https
from etcd_server import Authority

PYTHONS = [sys.executable] + [
    str(path / "bin" / "python") for path in sorted(pathlib.Path(os.environ.get("PYENV_ROOT", "/nonexistent")).glob("versions/3.*"))
    if int(path.name.split(".")[1]) >= 9
]
PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
import https
outcomes = []
for name, arguments in json.loads(sys.argv[3]):
    try:
        connection = https.Connection("127.0.0.1", int(sys.argv[2]), 5, https.tls_context(**arguments), name)
        outcomes.append(connection.request("GET", "/", {"Host": "x"}, b"", 100)[1].decode())
    except OSError as error:
        outcomes.append(type(error).__name__)
print(json.dumps(outcomes))
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


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Yield (port, the authority that has signed the server's certificate for 127.0.0.1)."""
    authority = Authority(tmp_path_factory.mktemp("pki"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello) as listening:
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening.server_address[1], authority
        listening.shutdown()


@pytest.mark.parametrize("python", PYTHONS)
def test_only_the_right_certificate_is_accepted(server, python, tmp_path):
    port, authority = server
    other = Authority(tmp_path / "other")
    attempts = [
        ("127.0.0.1", {"ca_file": str(authority.ca_crt)}),
        ("127.0.0.1", {"ca_data": authority.ca_crt.read_text()}),
        ("another.example", {"ca_file": str(authority.ca_crt)}),
        ("127.0.0.1", {"ca_file": str(other.ca_crt)}),
        ("127.0.0.1", {}),
        ("another.example", {"insecure": True}),
    ]
    done = subprocess.run(
        [python, "-IS", "-c", PROGRAM, str(pathlib.Path(https.__file__).parent), str(port), json.dumps(attempts)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["hi", "hi", "SSLCertVerificationError", "SSLCertVerificationError", "SSLCertVerificationError", "hi"]
