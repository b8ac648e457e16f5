# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the keeper publishes: the text, what is in it, and who can ask for it."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import grp
import os
import shutil
import socket
import stat

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._drift import (
    compare,
    endpoint,
    keeper,
    metrics,
)
from drift_host import HOST, PLAN
from exposition import parse
from waiting import PATIENCE


def published(seen, plan=PLAN, counts=None):
    """Return {(name, labels): value} of what is published of a host."""
    samples = metrics.of_host(compare.compared(plan, seen), counts or metrics.Counts(), 1000.25)
    return parse(metrics.exposition(samples))


def test_what_is_published_of_a_host():
    seen = copy.deepcopy(HOST)
    seen["links"]["flannel.1"]["up"] = False
    seen["guard"]["dropped"]["blue: to a device of another network"] = 7
    counts = metrics.Counts()
    counts.repairs.update({"": 2, "red": 1})
    counts.failed_repairs.update({"blue": 3})
    assert published(seen, counts=counts) == {
        "multinet_last_look_timestamp_seconds": 1000.25,
        "multinet_host_up": 1,
        "multinet_data_store_up": 1,
        'multinet_network_up{network="blue"}': 0,
        'multinet_network_up{network="red"}': 1,
        'multinet_deviations{kind="device",network="blue"}': 1,
        'multinet_repairs_total{network=""}': 2,
        'multinet_repairs_total{network="blue"}': 0,
        'multinet_repairs_total{network="red"}': 1,
        'multinet_repair_failures_total{network=""}': 0,
        'multinet_repair_failures_total{network="blue"}': 3,
        'multinet_repair_failures_total{network="red"}': 0,
        'multinet_leases{network="blue"}': 3,
        'multinet_leases{network="red"}': 3,
        'multinet_lease_end_timestamp_seconds{network="blue"}': 83800,
        'multinet_lease_end_timestamp_seconds{network="red"}': 87000,
        'multinet_addresses_used{family="ipv4",network="blue"}': 2,
        'multinet_addresses_free{family="ipv4",network="blue"}': 251,
        'multinet_addresses_used{family="ipv4",network="red"}': 2,
        'multinet_addresses_free{family="ipv4",network="red"}': 251,
        'multinet_guard_state{state="owned"}': 1,
        'multinet_guard_state{state="watched"}': 0,
        'multinet_guard_state{state="stopped"}': 0,
        'multinet_guard_state{state="missing"}': 0,
        'multinet_guard_state{state="unreadable"}': 0,
        "multinet_guard_restored_total": 4,
        'multinet_guard_dropped_packets_total{network="",reason="a pod to a tunnel"}': 3,
        'multinet_guard_dropped_packets_total{network="blue",'
        'reason="to a device of another network"}': 7,
    }


def test_a_network_of_two_families_has_two_numbers_of_addresses():
    seen = copy.deepcopy(HOST)
    seen["subnet_files"]["blue"]["FLANNEL_IPV6_SUBNET"] = "fd00:1::1/64"
    seen["allocated"]["blue"] = {"4": 2, "6": 5}
    found = published(seen)
    assert found['multinet_addresses_used{family="ipv6",network="blue"}'] == 5
    assert found['multinet_addresses_free{family="ipv6",network="blue"}'] == pytest.approx(2**64)
    assert found['multinet_addresses_used{family="ipv4",network="blue"}'] == 2


def test_what_was_not_looked_at_has_no_number():
    seen = copy.deepcopy(HOST)
    seen.update(
        leases={"blue": None, "red": None},
        lease_seconds={},
        leases_problem="etcd does not answer.",
        leases_wrong=True,
    )
    seen["guard"].update(devices=None, held="")
    seen["tokens"] = {"meta-plugin": {"end": None, "wrong": "no token", "remedy": "site"}}
    seen["subnet_files"]["blue"] = {}
    found = published(seen)
    assert found["multinet_data_store_up"] == 0 and found["multinet_host_up"] == 0
    assert found['multinet_guard_state{state="missing"}'] == 1
    assert not [
        name
        for name in found
        if any(what in name for what in ("lease", "token_end"))
        or ("addresses" in name and 'network="blue"' in name)
    ]


@pytest.mark.parametrize(
    ("state", "guard"),
    [
        ("watched", {"held": "watched"}),
        ("stopped", {"held": ""}),
        ("missing", {"held": "", "devices": None}),
        ("unreadable", {"devices": None, "unreadable": "nft cannot be run"}),
    ],
)
def test_the_guard_is_in_one_state(state, guard):
    seen = copy.deepcopy(HOST)
    seen["guard"].update(guard)
    found = published(seen)
    of_guard = [name for name in found if "guard_state" in name and found[name]]
    assert of_guard == [f'multinet_guard_state{{state="{state}"}}']


def test_a_table_that_cannot_be_read_is_a_deviation():
    seen = copy.deepcopy(HOST)
    seen["guard"].update(devices=None, unreadable="nft cannot be run")
    found = published(seen)
    assert found['multinet_deviations{kind="guard",network=""}'] == 1


def test_drops_towards_another_cnis_network_are_its_own():
    external = {"name": "cluster", "cidr": "10.244.0.0/16", "ipv6_cidr": ""}
    plan = dict(PLAN, external={**external, "conf": None, "file": "/etc/cni/net.d"})
    seen = copy.deepcopy(HOST)
    seen["guard"]["dropped"] = {"cluster: to an address of another network": 1}
    assert (
        'multinet_guard_dropped_packets_total{network="cluster",'
        'reason="to an address of another network"}'
    ) in published(seen, plan)


def test_all_families_are_published_by_a_keeper_that_runs():
    counts, seen = metrics.Counts(), copy.deepcopy(HOST)
    seen["links"]["flannel.1"]["up"] = False
    seen["tokens"] = {"meta-plugin": {"end": 1700000000, "wrong": "", "remedy": ""}}
    samples = [*metrics.of_keeper(counts, "1.2.3", (1.5, 2**24))]
    samples += metrics.of_host(compare.compared(PLAN, seen), counts, 1.0)
    assert {one.name for one in samples} == set(metrics.FAMILIES)
    found = parse(metrics.exposition(samples))
    assert found["multinet_keeper_up"] == 1
    assert found['multinet_token_end_timestamp_seconds{program="meta-plugin"}'] == 1700000000
    assert found['multinet_build_info{version="1.2.3"}'] == 1


@pytest.mark.parametrize("text", ["a \\ b", 'say "no"', "two\nlines", "é ☃", "\\n", ""])
def test_a_label_is_read_as_it_was_written(text):
    sample = metrics.Sample("multinet_build_info", {"version": text}, 1)
    lines = metrics.exposition([sample])
    assert lines.count("\n") == 3
    assert parse(lines, unescape=True) == {f'multinet_build_info{{version="{text}"}}': 1}


def test_a_family_is_named_as_its_type_says():
    for name, (kind, text) in metrics.FAMILIES.items():
        assert name.endswith("_total") == (kind == "counter")
        assert text and "\n" not in text and "\\" not in text


def test_a_keeper_that_ended_says_only_that(tmp_path):
    path = tmp_path / "multinet.prom"
    publisher = keeper.Publisher("1.2.3", str(path))
    publisher.publish(metrics.Counts(), compare.compared(PLAN, HOST))
    assert "multinet_network_up" in parse(path.read_text(encoding="utf-8")).__str__()
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.read_bytes() == publisher.text
    publisher.stop()
    assert parse(path.read_text(encoding="utf-8")) == {
        "multinet_keeper_up": 0,
        'multinet_build_info{version="1.2.3"}': 1,
    }
    assert os.listdir(tmp_path) == ["multinet.prom"]  # nothing half written is left


def test_a_directory_that_is_gone_is_made_again(tmp_path):
    said, path = [], tmp_path / "multinet" / "metrics" / "multinet.prom"
    publisher = keeper.Publisher("1.2.3", str(path), said.append)
    for dummy in range(2):
        publisher.publish(metrics.Counts(), None)
        assert path.read_bytes() == publisher.text
        shutil.rmtree(tmp_path / "multinet")
    assert not said


def test_a_file_that_cannot_be_written_ends_no_keeper():
    """/dev/null stands for a full disk: nothing can be made in it."""
    said = []
    publisher = keeper.Publisher("1.2.3", "/dev/null/multinet.prom", said.append)
    for dummy in range(2):
        publisher.publish(metrics.Counts(), None)
    assert said == ["The metrics could not be written to /dev/null/multinet.prom: Not a directory."]
    assert b"multinet_keeper_up 1" in publisher.text


def test_of_a_host_that_could_not_be_looked_at_nothing_is_said(tmp_path):
    publisher = keeper.Publisher("1.2.3", str(tmp_path / "multinet.prom"))
    publisher.publish(metrics.Counts(), None)
    found = parse(publisher.text.decode())
    assert found["multinet_keeper_up"] == 1
    assert not any(name.startswith("multinet_network_up") for name in found)


GROUP = grp.getgrgid(os.getgid()).gr_name
TEXT = b"multinet_keeper_up 1\n" * 50000  # more than a socket's buffers take


@contextlib.contextmanager
def served(where, say=lambda sentence: None):
    """Serve TEXT while a coroutine asks: run(ask) runs it and returns what it returns."""

    def run(ask):
        async def main():
            serving = asyncio.ensure_future(endpoint.Endpoint(lambda: TEXT, say).serve(where))
            await asyncio.sleep(0)
            try:
                return await asyncio.wait_for(ask(), PATIENCE)
            finally:
                serving.cancel()

        return asyncio.run(main())

    yield run


async def fetch(path, request=b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"):
    """Return (status line, headers, body) of what a socket's server answers."""
    while not os.path.exists(path):
        await asyncio.sleep(0)
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(request)
        answer = await reader.read()
    finally:
        writer.close()
    head, dummy, body = answer.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    return first, dict(line.split(": ", 1) for line in rest), body


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "metrics.sock")


def test_who_asks_gets_all_of_it(path):
    with served([endpoint.Address(path=path, group=GROUP)]) as run:

        async def ask():
            return await fetch(path), stat.S_IMODE(os.stat(path).st_mode)

        (status, headers, body), mode = run(ask)
    assert status == "HTTP/1.1 200 OK" and body == TEXT
    assert headers["Content-Length"] == str(len(TEXT))
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert mode == 0o660


@pytest.mark.parametrize(
    "request_, status, length",
    [
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", "200", 0),
        (b"GET /metrics?name=a HTTP/1.0\r\n\r\n", "200", len(TEXT)),
        (b"GET / HTTP/1.1\r\n\r\n", "404", 25),
        (b"GET /../etc/passwd HTTP/1.1\r\n\r\n", "404", 25),
        (b"POST /metrics HTTP/1.1\r\n\r\n", "405", 18),
        (b"rubbish\r\n\r\n", "", 0),
        (b"GET /metrics\r\n\r\n", "", 0),
        (b"\0" * 100000, "", 0),
    ],
)
def test_what_is_answered(path, request_, status, length):
    with served([endpoint.Address(path=path, group=GROUP)]) as run:

        async def ask():
            try:
                found = await fetch(path, request_)
            except ConnectionError:
                found = ("", {}, b"")
            return found, await fetch(path)

        found, later = run(ask)
    assert status in found[0] and len(found[2]) == length
    assert later[2] == TEXT


def test_who_asks_slowly_or_does_not_listen_keeps_nobody_out(path, monkeypatch):
    monkeypatch.setattr(endpoint, "SECONDS", 0.2)
    with served([endpoint.Address(path=path, group=GROUP)]) as run:

        async def ask():
            while not os.path.exists(path):
                await asyncio.sleep(0)
            hostile = [socket.socket(socket.AF_UNIX) for dummy in range(40)]
            for number, one in enumerate(hostile):
                one.setblocking(False)
                with contextlib.suppress(OSError):
                    one.connect(path)
                    # half of them never ask, half never read
                    one.send(b"GET /metrics HTTP/1.1\r\n" + b"\r\n" * (number % 2))
            while True:
                with contextlib.suppress(ConnectionError):
                    found = await fetch(path)
                    if found[2]:
                        break
                await asyncio.sleep(0.02)
            for one in hostile:
                one.close()
            return found[2]

        assert run(ask) == TEXT


def test_an_address_that_cannot_be_served_is_told_once_and_the_other_is_served(path, monkeypatch):
    monkeypatch.setattr(endpoint, "AGAIN", 0.001)
    said = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        addresses = [
            endpoint.Address(port=port),
            endpoint.Address(path=path, group=GROUP),
            endpoint.Address(path=path + "2", group="no such group"),
            endpoint.Address(port=70000),
        ]
        with served(addresses, said.append) as run:
            assert run(lambda: fetch(path))[2] == TEXT
    assert len(said) == 3
    assert any(f"127.0.0.1:{port}" in one and "in use" in one for one in said)
    assert any("no such group" in one for one in said)


def test_a_port_is_served_on_loopback_alone():
    with endpoint.Address(port=0, path="").listen() as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_the_socket_of_the_keeper_before_is_replaced(path):
    address = endpoint.Address(path=path, group=GROUP)
    with address.listen(), address.listen() as listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        listener.setblocking(False)
        listener.accept()[0].close()
