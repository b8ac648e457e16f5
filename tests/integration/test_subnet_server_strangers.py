# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What other users of a host can do to its subnet server: nothing but read health and metrics. And
in its place: nothing.

The server is the real one, on loopback, with nobody behind it; strangers are real processes.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import subprocess
import sys
import threading
import types

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.nodes import TRUSTED
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.ruleset import ruleset
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from ansible_collections.multinet.flannel.plugins.module_utils._ports import SUBNET_SERVER
from ansible_collections.multinet.flannel.plugins.module_utils._subnets import metrics, peer, server
from declaration import BLUE, RED
from waiting import PATIENCE, wait_for

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

# how many of many connections are there at once
OPENS = """
held = [socket.socket() for number in range(900)]
for one in held:
    one.setblocking(False)
    one.connect_ex(("127.0.0.1", {port}))
print(sum(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\\1" for one in held))
"""

READ_OWN = """
one = http.client.HTTPConnection("127.0.0.1", {port}, timeout=5)
one.request("GET", "/red/own")
print(one.getresponse().status)
"""

# listens where the subnet server would, if that were running
IMPOSTOR = """
listener = socket.create_server(("127.0.0.1", {port}))
print(flush=True)
while True:
    one = listener.accept()[0]
    one.recv(1000)
    one.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{{}}")
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
    """A running server; its attributes `port`, `paths`, `errors` and `server`."""
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
            port=running.server_address[1],
            paths=running.node_api.paths,
            errors=errors,
            server=running,
        )
    finally:
        running.shutdown()
        running.server_close()


def stranger(program, port, where=()):
    """Start a program as another user; its first line of output says that it is so far. where: the
    command that leads to another network namespace.
    """
    return subprocess.Popen(
        [*where, sys.executable, "-c", NOBODY + program.format(port=port)],
        stdout=subprocess.PIPE,
        text=True,
    )


def ask(port, path="/red/own", headers=None):
    """Return the status that this user (root) is answered."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as one:
        one.request("GET", path, headers=headers or {})
        return one.getresponse().status


def test_a_look_reads_no_table_of_connections(served, monkeypatch):
    """Another user can make that long: with 18,000 connections, each look took 60 ms."""
    monkeypatch.setattr(peer, "owner_in_table", None)
    assert ask(served.port) == 200


LOOPBACK, MAPPED = "127.0.0.1", "::ffff:127.0.0.1"


@pytest.mark.parametrize(
    ("listens", "connects"),
    [(LOOPBACK, LOOPBACK), ("::1", "::1"), (MAPPED, MAPPED), (MAPPED, LOOPBACK)],
)
def test_the_user_behind_a_connection(monkeypatch, listens, connects):
    def family(address):
        return socket.AF_INET6 if ":" in address else socket.AF_INET

    in_table = peer.owner_in_table
    monkeypatch.setattr(peer, "owner_in_table", None)  # nothing here has the table read
    both = ":" in listens
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(
            socket.create_server((listens, 0), family=family(listens), dualstack_ipv6=both)
        )
        client = opened.enter_context(socket.socket(family(connects)))
        os.fchown(client.fileno(), 65534, 65534)
        client.connect((connects, listener.getsockname()[1]))
        accepted = opened.enter_context(listener.accept()[0])
        ends = accepted.getpeername()[:2], accepted.getsockname()[:2]
        assert peer.owner(*ends) == 65534
        # a socket that is bound to a device is no way out
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        assert peer.owner(*ends) == 65534
        assert in_table(*ends) == (65534 if listens == connects else None)
        client.close()  # its side waits now for the end of the other
        assert peer.owner(*ends) is None and in_table(*ends) is None
        accepted.close()
        assert peer.owner(*ends) is None and in_table(*ends) is None


def test_who_listens_at_a_clients_port_is_not_the_client():
    with socket.create_server((LOOPBACK, 0)) as one, socket.create_server((LOOPBACK, 0)) as other:
        assert peer.owner(one.getsockname(), other.getsockname()) is None


def test_a_kernel_that_cannot_be_asked_has_a_table(served, monkeypatch):
    monkeypatch.setattr(peer, "_NETLINK_SOCK_DIAG", 31)  # there is no such family
    assert ask(served.port) == 200
    with stranger(READ_OWN, served.port) as process:
        assert process.communicate(timeout=PATIENCE)[0] == "403\n"


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
        ("PATCH /red/x HTTP/1.1\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
        ("PATCH /red/x HTTP/1.1\r\nX : x\r\nContent-Length: 4\r\n\r\nabcd", 400),
        ("PATCH /red/x HTTP/1.1\r\nContent-Length: 4\r\n\r\nabc", 400),
        ("GET http://[/x HTTP/1.1\r\n\r\n", 400),
        ("GET /" + "x" * 70000 + " HTTP/1.1\r\n\r\n", 414),
        ("GET /red/x HTTP/1.1\r\nX: " + "x" * 70000 + "\r\n\r\n", 431),
        ("GET /red/x HTTP/1.1\r\n" + "X: x\r\n" * 200 + "\r\n", 431),
    ],
)
def test_what_is_no_request_is_refused_with_a_sentence(served, head, status):
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as one:
        answers = one.makefile("rb")
        one.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        while answers.readline() != b"ok\n":
            pass
        one.sendall(head.encode("latin-1"))
        one.shutdown(socket.SHUT_WR)
        answer = answers.readline().decode()
    assert answer.split()[1:2] == [str(status)], answer
    assert (served.paths, served.errors) == ([], [])
    assert ask(served.port) == 200


def test_greetings_that_fail_leave_nothing_behind(served, monkeypatch):
    monkeypatch.setattr(served.server, "tls", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    before = threading.active_count()
    for dummy in range(2 * server.CONNECTIONS):
        with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as one:
            one.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                one.recv(1000)
    wait_for(lambda: threading.active_count() <= before)


def test_a_thread_that_cannot_be_started_costs_no_connection(served, monkeypatch):
    def refused(dummy):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        for dummy in range(server.CONNECTIONS):
            with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as one:
                one.recv(1)
    assert ask(served.port) == 200


@contextlib.contextmanager
def listening(process):
    """Wait until a program says that it is so far, and kill it afterwards."""
    with process:
        try:
            process.stdout.readline()
            yield
        finally:
            process.kill()


@pytest.fixture(name="inside")
def _inside():
    """The command that leads to a network namespace with loopback alone."""
    name = f"mnimpostor{os.getpid()}"
    inside = ["ip", "netns", "exec", name]
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        yield inside
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def guard(inside):
    """Load the rules of the guard."""
    rules = ruleset(plan([BLUE, RED]), TRUSTED, subnet_server_port=SUBNET_SERVER)
    subprocess.run([*inside, "nft", "-f", "-"], input=rules, text=True, check=True)


def test_another_user_gives_flanneld_no_leases_in_the_servers_place(inside):
    question = f"http://127.0.0.1:{SUBNET_SERVER}/red/api/v1/nodes"
    program = f"import urllib.request as u; print(u.urlopen({question!r}, timeout=1).read())"
    own = "import socket\n" + IMPOSTOR.format(port=SUBNET_SERVER)

    def asked():
        command = [*inside, sys.executable, "-c", program]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        return done.stdout.strip()

    with listening(stranger(IMPOSTOR, SUBNET_SERVER, inside)):
        assert asked() == "b'{}'"
        guard(inside)
        assert asked() == ""
    command = [*inside, sys.executable, "-c", own]
    with listening(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)):
        assert asked() == "b'{}'"


def test_another_user_opens_few_connections_a_second(inside):
    """More than the server accepts would fill its queue, and flanneld would wait for seconds."""
    listens = f"import socket; one = socket.create_server(('127.0.0.1', {SUBNET_SERVER}),"
    listens += " backlog=4000); print(flush=True); one.accept(); input()"

    def opened(process):
        with process:
            return int(process.communicate(timeout=PATIENCE)[0])

    def as_root(program):
        command = [*inside, sys.executable, "-c", program.format(port=SUBNET_SERVER)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    with listening(as_root(listens)):
        assert opened(stranger(OPENS, SUBNET_SERVER, inside)) > 450
        guard(inside)
        assert opened(stranger(OPENS, SUBNET_SERVER, inside)) < 450
        assert opened(as_root("import socket\n" + OPENS)) > 450
