# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What other hosts can do to a subnet server that is reached from beyond its host: a node with a
certificate gets its answer meanwhile.

The server is the real one; hosts are addresses of loopback.
"""

from __future__ import annotations

import contextlib
import http.client
import pathlib
import shutil
import socket
import ssl
import threading
import types

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._subnets import (
    connection_limit,
    main,
    metrics,
    nodes,
    server,
    subnets,
)
from etcd_server import Authority
from waiting import PATIENCE, wait_for

NODE, ATTACKER = "127.0.0.1", "127.0.1.1"
RED = subnets.Network(
    {
        "name": "red",
        "annotation_prefix": "red.multinet.flannel",
        "cidr": "10.3.0.0/16",
        "subnet_len": 24,
        "flannel_config": {"Network": "10.3.0.0/16"},
    }
)


def raw_node(name, annotations):
    """Return node-<number> as the API has it."""
    number = name.partition("-")[2]
    return {
        "metadata": {"name": name, "resourceVersion": "2", "annotations": annotations},
        "spec": {"podCIDRs": [f"10.244.{number}.0/24"]},
        "status": {"addresses": [{"type": "InternalIP", "address": f"192.0.2.{number}"}]},
    }


@pytest.fixture(name="authority", scope="module")
def _authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(name="remote")
def _remote(authority, monkeypatch, tmp_path):
    """A running server; its attributes `port`, `connect`, `ask`, `kept` (its nodes), `counted` (its
    metrics), `said` (its log) and `certificate` (its file).
    """
    monkeypatch.setattr(server, "STRANGERS_SECONDS", 10 * PATIENCE)
    kept = nodes.Nodes()
    kept.replace([], "1")
    cluster = subnets.Cluster(["10.244.0.0/16"], [24])
    config = types.SimpleNamespace(networks={"red": RED}, cluster=cluster)
    api = types.SimpleNamespace(patch_own=lambda name, change: (200, raw_node(name, change)))
    counted, said = metrics.Metrics(), []
    shared = main.app.App(config, kept, api, counted, None)
    issued, key = authority.issue("server")
    certificate = pathlib.Path(shutil.copy(issued, tmp_path))
    files = str(certificate), str(key), str(authority.ca_crt)
    contexts = server.Contexts(*files, counted, said.append)
    running = server.Server(("0.0.0.0", 0), shared, contexts.now)
    port = running.server_address[1]
    threading.Thread(target=running.serve_forever, daemon=True).start()

    def connect(node):
        context = ssl.create_default_context(cafile=str(authority.ca_crt))
        context.load_cert_chain(*map(str, authority.issue(node)))
        return http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=PATIENCE, context=context, source_address=(NODE, 0)
        )

    def ask(node, method="GET", path="/v1/red/config", body=None):
        with contextlib.closing(connect(node)) as one:
            one.request(method, path, body)
            return one.getresponse().status

    try:
        yield types.SimpleNamespace(
            port=port,
            connect=connect,
            ask=ask,
            kept=kept,
            counted=counted,
            said=said,
            certificate=certificate,
        )
    finally:
        running.shutdown()
        running.server_close()


def is_ended(connection):
    """Say whether the server has ended a connection on which it has nothing to say."""
    connection.setblocking(False)
    try:
        return connection.recv(1000) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("addresses", [1, 250])
def test_who_shows_no_certificate_keeps_no_node_out(remote, addresses):
    """From one address, or from many."""
    with contextlib.ExitStack() as held:
        connections = [
            held.enter_context(
                socket.create_connection(
                    ("127.0.0.1", remote.port),
                    timeout=PATIENCE,
                    source_address=(f"127.0.1.{1 + number % addresses}", 0),
                )
            )
            for number in range(300)
        ]
        assert remote.ask("node-1") == 200
        assert not is_ended(connections[-1])
        assert is_ended(connections[0])


def test_a_node_that_has_begun_to_greet_loses_no_place_to_an_attacker(remote):
    with contextlib.ExitStack() as held:

        def connection(address):
            return held.enter_context(
                socket.create_connection(("127.0.0.1", remote.port), source_address=(address, 0))
            )

        node = connection(NODE)
        others = [connection(ATTACKER) for dummy in range(300)]
        wait_for(lambda: is_ended(others[0]))
        assert not is_ended(node)


def test_a_greeting_has_its_time(remote, monkeypatch):
    monkeypatch.setattr(server, "STRANGERS_SECONDS", 0.5)
    hello = ssl.MemoryBIO()
    context = ssl.create_default_context()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="node").do_handshake()
    rest = iter(hello.read())
    with socket.create_connection(("127.0.0.1", remote.port), timeout=PATIENCE) as one:
        wait_for(lambda: is_ended(one) or not one.send(bytes([next(rest)])), every=0.3)


def test_a_node_that_holds_all_connections_keeps_no_other_out(remote):
    with contextlib.ExitStack() as held:
        for dummy in range(server.CONNECTIONS + 10):
            one = held.enter_context(contextlib.closing(remote.connect("node-1")))
            one.request("GET", "/v1/red/config")
            assert one.getresponse().read()
        first = held.enter_context(contextlib.closing(remote.connect("node-2")))
        first.request("GET", "/v1/red/config")
        assert first.getresponse().read()
        assert remote.ask("node-3") == 200
        first.request("GET", "/v1/red/config")
        assert first.getresponse().status == 200


@pytest.mark.parametrize("path", ["/v1/?next=0", "/v1/red/leases?next=1"])
def test_a_client_that_waits_and_goes_takes_no_thread_along(remote, path):
    before = threading.active_count()
    one = remote.connect("node-1")
    one.request("GET", path)
    wait_for(lambda: threading.active_count() > before)
    one.close()
    wait_for(lambda: threading.active_count() <= before)


def test_a_connection_that_is_ended_takes_nothing_without_tls(authority):
    """Whoever is between a node and the server could put a request into the node's connection."""
    certificate, key = authority.issue("server")
    files = str(certificate), str(key), str(authority.ca_crt)
    context = server.Contexts(*files, metrics.Metrics(), print).now()
    ours, theirs = socket.socketpair()
    with theirs, context.wrap_socket(ours, server_side=True, do_handshake_on_connect=False) as one:
        limit = connection_limit.ConnectionLimit(1, displaces=True)
        limit.admit(one, "node-1")
        theirs.sendall(b"DELETE /v1/red/leases/10.3.0.0-24 HTTP/1.1\r\n\r\n")
        limit.end_older(-1)
        with pytest.raises(OSError):
            one.recv(1000)


@pytest.mark.parametrize("breaks", [pathlib.Path.unlink, lambda path: path.write_text("half a ce")])
def test_files_that_are_broken_by_a_rotation_are_said_and_the_former_ones_go_on(remote, breaks):
    name = "multinet_subnets_tls_reload_failures_total"
    assert f"{name} 0\n" in remote.counted.text()
    whole = remote.certificate.read_text()
    breaks(remote.certificate)
    wait_for(lambda: remote.ask("node-1") == 200 and remote.said, every=0.3)
    wait_for(
        lambda: remote.ask("node-1") == 200 and f"{name} 1\n" not in remote.counted.text(),
        every=0.3,
    )
    (sentence,) = remote.said
    assert str(remote.certificate) in sentence
    remote.certificate.write_text(whole)
    wait_for(lambda: remote.ask("node-1") == 200 and len(remote.said) > 1, every=0.3)
    assert "are used again" in remote.said[1]


def test_a_node_that_writes_the_address_of_another_takes_no_lease_from_it(remote):
    claims = {RED.prefix + "public-ip": "192.0.2.2"}
    both = raw_node("node-1", claims), raw_node("node-2", {})
    remote.kept.replace([subnets.Node(one, RED.known) for one in both], "2")
    for node, status in (("node-2", 200), ("node-3", 403)):
        assert remote.ask(node, "POST", "/v1/red/leases", '{"PublicIP": "192.0.2.2"}') == status
