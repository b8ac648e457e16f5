# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What other users of a host can do to its subnet server: nothing but read health and metrics.

The server is the real one, on loopback, with nobody behind it; strangers are real processes.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import threading
import types

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._subnets import metrics, server
from waiting import PATIENCE

if os.geteuid() != 0:
    pytest.skip("needs root to be other users", allow_module_level=True)

# from here on it is another user's; what it imports may be root's alone
NOBODY = """
import encodings.idna, http.client, os, socket, time
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
"""
# One request that changes something; the connection is closed before anybody can have looked whose
# it was, which leaves a row of user 0 in the kernel's table for a minute.
CLOSED_EARLY = """
for number in range(60):
    one = socket.create_connection(("127.0.0.1", {port}))
    head = b"PATCH /red/nobody/%d HTTP/1.1\\r\\nContent-Length: 2\\r\\n\\r\\n" % number
    one.sendall(head + b"{{}}")
    one.close()
"""
SLOW = """
held = [socket.create_connection(("127.0.0.1", {port})) for number in range(8)]
print(flush=True)
for character in "GET /healthz HTTP/1.1\\r\\nX: " + "x" * 1000:
    for one in held:
        try:
            one.sendall(character.encode())
        except OSError:
            pass
    time.sleep(0.1)
"""

PATIENT = """
status = 0
for number in range(1000):
    try:
        one = http.client.HTTPConnection("127.0.0.1", {port}, timeout=5)
        one.request("GET", "/healthz")
        status = one.getresponse().status
        break
    except OSError:
        time.sleep(0.1)
print(status)
"""


class Served:
    """In the place of the node API: what came as far as that."""

    def __init__(self):
        self.paths = []

    def serve(self, exchange):
        """Remember a request."""
        self.paths.append(exchange.path)
        exchange.reply(200, {})


@pytest.fixture(name="served")
def _served(monkeypatch):
    """A running server; its attributes `port`, `paths` and `errors`."""
    app = types.SimpleNamespace(
        config=types.SimpleNamespace(node_name="node-1", networks={}),
        metrics=metrics.Metrics(),
        snapshot=lambda seconds: None,
    )
    running = server.Server(("127.0.0.1", 0), app)
    running.node_api = Served()
    errors = []
    monkeypatch.setattr(running, "handle_error", lambda *dummy: errors.append(sys.exc_info()[1]))
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield types.SimpleNamespace(
            port=running.server_address[1], paths=running.node_api.paths, errors=errors
        )
    finally:
        running.shutdown()
        running.server_close()


def stranger(program, port):
    """Start a program as another user; its first line of output says that it is so far."""
    return subprocess.Popen(
        [sys.executable, "-c", NOBODY + program.format(port=port)],
        stdout=subprocess.PIPE,
        text=True,
    )


def ask(port, path="/red/own", headers=None):
    """Return the status that this user (root) is answered."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as one:
        one.request("GET", path, headers=headers or {})
        return one.getresponse().status


def test_a_connection_that_is_closed_early_is_nobodys(served):
    with stranger(CLOSED_EARLY, served.port) as process:
        assert process.wait(PATIENCE) == 0
    assert ask(served.port) == 200  # after all that came before it
    assert served.paths == ["/red/own"]


def test_slow_connections_of_strangers_end(served, monkeypatch):
    monkeypatch.setattr(server, "STRANGERS_SECONDS", 0.5)
    with stranger(SLOW, served.port) as process:
        process.stdout.readline()
        assert ask(served.port) == 200
        with stranger(PATIENT, served.port) as other:
            assert other.communicate(timeout=PATIENCE)[0] == "200\n"
        process.kill()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("PATCH /red/x HTTP/1.1\r\nContent-Length: ²\r\n\r\n", 400),
        ("PATCH /red/x HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        ("PATCH /red/x HTTP/1.1\r\nContent-Length: " + "9" * 5000 + "\r\n\r\n", 400),
        ("PATCH /red/x HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        ("PATCH /red/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("GET http://[/x HTTP/1.1\r\n\r\n", 400),
        ("GET /" + "x" * 70000 + " HTTP/1.1\r\n\r\n", 414),
        ("GET /red/x HTTP/1.1\r\nX: " + "x" * 70000 + "\r\n\r\n", 431),
        ("GET /red/x HTTP/1.1\r\n" + "X: x\r\n" * 200 + "\r\n", 431),
    ],
)
def test_what_is_no_request_is_refused_with_a_sentence(served, head, status):
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as one:
        one.sendall(head.encode("latin-1"))
        answer = one.makefile("rb").readline().decode()
    assert answer.split()[1:2] == [str(status)], answer
    assert (served.paths, served.errors) == ([], [])
    assert ask(served.port) == 200
