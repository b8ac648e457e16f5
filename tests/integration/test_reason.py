# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each cause for which a flanneld would get no lease, made for real: one sentence names it, with
the remedy, before the daemon is started.
"""

from __future__ import annotations

import contextlib
import datetime
import http.server
import json
import os
import shlex
import ssl
import subprocess
import sys
import threading

import pytest
import waiting
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.client import Client
from ansible_collections.multinet.flannel.plugins.module_utils._flanneld import data_store
from etcd_server import Authority, free_port, running_etcd

PREFIX = "/coreos.com/network/blue"
PATIENT = pytest.mark.usefixtures("impatient")


@pytest.fixture(name="impatient")
def _impatient(monkeypatch):
    monkeypatch.setattr(data_store, "PATIENCE", 0.5)


@pytest.fixture(name="patient", autouse=True)
def _patient(monkeypatch):
    """Who answers is waited for."""
    monkeypatch.setattr(data_store, "TIMEOUT", waiting.PATIENCE)


@pytest.fixture(scope="module", name="authority")
def _authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module", name="client")
def _client(authority):
    """The files of a client that the etcd of this module accepts."""
    return (authority.ca_crt, *authority.issue("client", addresses=(), usages=("client",)))


@pytest.fixture(name="etcd")
def _etcd(upstream_bin, authority, tmp_path):
    """Run an etcd with a certificate of its own (days, begins, addresses), and options."""
    with contextlib.ExitStack() as stack:

        def start(name="server", options=(), **certificate):
            tls = (authority.ca_crt, *authority.issue(name, **certificate))
            return stack.enter_context(running_etcd(upstream_bin / "etcd", tmp_path, tls, options))

        yield start


def environment(url, files=None, prefix=PREFIX):
    """What render.flanneld_environment() gives a flanneld, as far as it is asked here."""
    found = {"FLANNELD_ETCD_ENDPOINTS": url, "FLANNELD_ETCD_PREFIX": prefix}
    if files:
        names = ("CAFILE", "CERTFILE", "KEYFILE")
        found |= {f"FLANNELD_ETCD_{name}": str(path) for name, path in zip(names, files)}
    return found


def said(url, files=None):
    """Return what is said of a flanneld's etcd, without the unit's name; "" for nothing."""
    found = data_store.problems({"flanneld@blue.service": environment(url, files)})
    assert len(found) < 2
    return found[0].removeprefix("flanneld@blue.service: ") if found else ""


def configure(url, files):
    Client([url], *map(str, files)).put(PREFIX + "/config", '{"Network": "10.1.0.0/16"}')


def test_nothing_is_said_of_an_etcd_that_answers(etcd, client, monkeypatch):
    url = etcd()
    configure(url, client)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert said(url, client) == ""
    # as flanneld does, it goes on where the first endpoint is dead
    assert said(f"https://127.0.0.1:{free_port()},{url}", client) == ""


def test_units_are_asked_for_by_the_files_that_they_read(etcd, client, tmp_path):
    told = environment(f"https://127.0.0.1:{free_port()}", client)
    text = "".join(f"{name}={value}\n" for name, value in told.items())
    (tmp_path / "blue.env").write_text("# Ansible managed\n" + text, encoding="utf-8")
    names = ("flanneld@blue.service", "flanneld@gone.service", "multinet-isolation.service", "")
    found = data_store.environments(names, str(tmp_path))
    assert found == {"flanneld@blue.service": told}
    assert "connection refused" in "".join(data_store.problems(found))


def test_a_network_without_configuration_is_named_and_asked_for_once(etcd, client):
    url = etcd()
    configure(url, client)
    units = {
        "flanneld@blue.service": environment(url, client),
        "flanneld@red.service": environment(url, client, "/coreos.com/network/red"),
    }
    (sentence,) = data_store.problems(units)
    assert sentence.startswith(
        "flanneld@blue.service, flanneld@red.service: "
        f"The etcd at {url} has no /coreos.com/network/red/config,"
    )
    assert "Run the playbook site" in sentence


def test_nobody_listens(client):
    url = f"https://127.0.0.1:{free_port()}"
    sentence = f"etcd at {url} can't be reached: connection refused. Start etcd there or"
    assert said(url, client).startswith(sentence)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(
    "rule, reason",
    [
        ("drop", "can't be reached: no answer in time. A firewall drops the packets"),
        ("reject with icmp type host-prohibited", "The host is down, or a route is missing, or a"),
    ],
)
def test_a_firewall_between(rule, reason):
    """In a network namespace of its own, where etcd's port is filtered."""
    code = (
        "from ansible_collections.multinet.flannel.plugins.module_utils._flanneld import"
        " data_store; data_store.TIMEOUT = 1.0;"
        f" print(data_store.problems({{'x': {environment('http://127.0.0.1:2379')!r}}}))"
    )
    table = "table inet f { chain i { type filter hook input priority 0; tcp dport 2379 %s; }; }"
    script = (
        f"ip link set lo up; nft {shlex.quote(table % rule)};"
        f" exec {sys.executable} -c {shlex.quote(code)}"
    )
    done = subprocess.run(
        ["unshare", "--net", "sh", "-ec", script],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert reason in done.stdout, done.stdout + done.stderr


class Answerer(http.server.BaseHTTPRequestHandler):
    """Says the same to everybody."""

    status, kind, text, clock = 200, "text/html", b"<html>", None

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status)
        self.send_header("Content-Type", self.kind)
        self.send_header("Content-Length", str(len(self.text)))
        self.end_headers()
        self.wfile.write(self.text)

    do_GET = do_POST  # noqa: N815 - http.server wants that name

    def date_time_string(self, timestamp=None):
        return self.clock or super().date_time_string(timestamp)

    def log_message(self, *dummy):
        pass


@contextlib.contextmanager
def answering(tls=None, **says):
    """Run a server that is no etcd; yield its URL. says: attributes of Answerer."""
    server = http.server.HTTPServer(("127.0.0.1", 0), type("One", (Answerer,), says))
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("status", [200, 407, 403])
def test_a_proxy_answers(status):
    with answering(status=status) as url:
        assert (
            f"What answers at {url} is not an etcd 3.4 or newer but a proxy or a web server (HTTP"
            f" status {status}" in said(url)
        )


def test_something_else_answers():
    with answering(kind="application/json", text=b"[]") as url:
        assert "Correct the endpoint or upgrade etcd." in said(url)


def test_a_certificate_that_has_ended(etcd, client):
    sentence = said(etcd(days=-3), client)
    day = f"{datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=3):%Y-%m-%d}"
    assert "isn't valid at this time: it ended at " + day in sentence and "Renew it" in sentence


def test_a_certificate_that_has_not_begun(etcd, client):
    sentence = said(etcd(begins=2), client)
    assert "isn't valid at this time: it begins at" in sentence and "Set the clock" in sentence


def test_the_clocks_differ(authority, client):
    """The server's clock is five days ahead, where its certificate is valid."""
    then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=5)
    clock = then.strftime("%a, %d %b %Y %H:%M:%S GMT")
    with answering(authority.issue("ahead", begins=4), clock=clock) as url:
        sentence = said(url, client)
    assert f"etcd's {then:%Y-%m-%d %H:%M} UTC. Set the clock of this host" in sentence


def test_a_certificate_of_somebody_else(etcd, client, tmp_path):
    other = Authority(tmp_path / "other", "Example Proxy")
    with answering(other.issue("server")) as url:
        sentence = said(url, client)
    assert "isn't signed by the given CA: it is signed by 'Example Proxy'." in sentence


def test_a_certificate_for_another_address(etcd, client):
    assert "does not name that address. Use" in said(etcd(addresses=("192.0.2.1",)), client)


def test_client_certificates_that_are_refused(etcd, client, authority, tmp_path):
    url = etcd()
    other = Authority(tmp_path / "other", "another").issue("client")
    assert "it is signed by 'another'. Give one" in said(url, (client[0], *other))
    ended = said(url, (client[0], *authority.issue("late", days=-1)))
    assert "late.crt: it ended at" in ended and "Renew it" in ended
    early = said(url, (client[0], *authority.issue("early", begins=1)))
    assert "Set the clock" in early
    gone = said(url, (client[0], tmp_path / "gone.crt", tmp_path / "gone.key"))
    assert f"{tmp_path}/gone.crt doesn't exist. Put it there" in gone


def test_a_full_database(etcd, client):
    url = etcd(options=["--quota-backend-bytes=1048576"])
    configure(url, client)
    one = Client([url], *map(str, client))
    with pytest.raises(Exception, match="its database is full"):
        for number in range(40):
            one.put(f"/much/{number}", "x" * 100_000)
    sentence = said(url, client)
    assert "accepts no writes: its database is full (alarm NOSPACE)" in sentence
    assert "etcdctl alarm disarm" in sentence


def test_authentication(etcd, client, upstream_bin):
    url = etcd()
    configure(url, client)
    control = [str(upstream_bin / "etcdctl"), "--endpoints", url]
    control += ["--dial-timeout=100s", "--command-timeout=100s"]
    for option, path in zip(("cacert", "cert", "key"), client):
        control += [f"--{option}", str(path)]
    for command in (
        ["user", "add", "root", "--new-user-password", "x"],
        ["user", "grant-role", "root", "root"],
        ["auth", "enable"],
    ):
        subprocess.run([*control, *command], check=True, capture_output=True)
    assert "its authentication is on" in said(url, client)


@PATIENT
def test_no_leader(etcd, client, monkeypatch):
    monkeypatch.setattr(data_store, "TIMEOUT", 1.0)
    url = etcd()
    configure(url, client)
    Client([url], *map(str, client), timeout=waiting.PATIENCE).member_add(
        f"http://127.0.0.1:{free_port()}"
    )
    assert any(word in said(url, client) for word in ("no quorum", "no answer in time"))


# Leases from the Kubernetes API: what the subnet server says


def asked_of_subnet_server(url):
    told = {"FLANNELD_KUBE_API_URL": url + "/blue", "NODE_NAME": "node-1"}
    found = data_store.problems({"flanneld@blue.service": told})
    return "".join(found)


@PATIENT
def test_a_subnet_server_that_does_not_run():
    sentence = asked_of_subnet_server(f"http://127.0.0.1:{free_port()}")
    assert "does not answer" in sentence and "journalctl -u multinet-subnets" in sentence


@PATIENT
@pytest.mark.parametrize(
    "status, message, sentence",
    [
        (503, "The nodes are not known yet. Because.", "The nodes are not known yet. Because."),
        (404, "The cluster has no node node-1.", "has no node node-1. Let its kubelet register"),
        (403, "Only the node x of this host is served here.", "Only the node x"),
    ],
)
def test_a_subnet_server_that_says_why(status, message, sentence):
    text = json.dumps({"kind": "Status", "message": message}).encode()
    with answering(status=status, kind="application/json", text=text) as url:
        assert sentence in asked_of_subnet_server(url)


def test_nothing_is_said_of_a_subnet_server_that_answers():
    with answering(kind="application/json", text=b'{"kind": "Node"}') as url:
        assert asked_of_subnet_server(url) == ""
