# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens at a port."""

from __future__ import annotations

import os
import pathlib
import socket

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import listeners

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout"
LINE = "   0: {} 00000000:0000 {} 00000000:00000000 00:00000000 00000000     0        0 {} 1"


def host(root: pathlib.Path) -> str:
    """Make /proc of a little-endian host with an etcd in a unit, and a socket of the kernel's."""
    net = root / "proc/net"
    net.mkdir(parents=True)
    tables = {
        "tcp": [
            ("0100007F:094B", "0A", "101"),
            ("0B0200C0:094C", "0A", "102"),
            ("0100007F:094B", "01", "103"),
            ("00000000:094C", "0A", "104"),  # never listed after a connection
        ],
        "tcp6": [("0000000000000000FFFF00000100007F:094B", "0A", "105")],
        "udp": [("00000000:2118", "07", "0")],
        "udp6": [("B80D0120000000000000000001000000:2118", "07", "106")],
    }
    for name, rows in tables.items():
        (net / name).write_text("\n".join([HEAD, *(LINE.format(*row) for row in rows)]) + "\n")
    for pid, comm, group, inodes in (
        (7, "etcd", "0::/machine.slice/x.scope/system.slice/multinet-etcd.service", (101, 102)),
        (8, "java", "1:cpu:/\n0::/user.slice/session-1.scope", (105, 106)),
        (9, "worker", "0::/", (105,)),
    ):
        process = root / f"proc/{pid}"
        (process / "fd").mkdir(parents=True)
        (process / "comm").write_text(comm + "\n")
        (process / "cgroup").write_text(group + "\n")
        for number, inode in enumerate(inodes):
            (process / f"fd/{number}").symlink_to(f"socket:[{inode}]")
    (root / "proc/10").mkdir()  # has ended meanwhile
    return f"{root}/"


def told(found: list[dict[str, object]]) -> list[tuple[object, ...]]:
    return [tuple(one[key] for key in ("address", "port", "process", "unit")) for one in found]


def test_sockets_and_who_has_them(tmp_path, monkeypatch):
    monkeypatch.setattr(listeners.sys, "byteorder", "little")
    root = host(tmp_path)
    assert told(listeners.look(tcp=[2379, 2380], root=root)) == [
        ("127.0.0.1", 2379, "etcd", "multinet-etcd.service"),
        ("192.0.2.11", 2380, "etcd", "multinet-etcd.service"),
        ("127.0.0.1", 2379, "java", ""),
    ]
    assert told(listeners.look(udp=[8472], root=root)) == [
        ("", 8472, "", ""),
        ("2001:db8::1", 8472, "java", ""),
    ]
    assert listeners.look(tcp=[2381], udp=[2379], root=root) == []


def test_a_real_socket():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (found,) = listeners.look(tcp=[port])
    assert (found["address"], found["pid"]) == ("127.0.0.1", os.getpid())
    assert set(found) == {"protocol", "address", "port", "process", "pid", "unit"}
    assert listeners.shown([found]).startswith(f"{found['process']} (process {os.getpid()}")


@pytest.mark.parametrize("alone", [0, 1])
def test_who_listens_at_all_addresses_of_ipv6_may_leave_those_of_ipv4_free(alone):
    with socket.socket(socket.AF_INET6) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, alone)
        server.bind(("::", 0))
        server.listen()
        port = server.getsockname()[1]
        found = listeners.look(tcp=[port])
    assert [one["address"] for one in found] == ["::" if alone else ""]
    assert bool(listeners.at(found, "tcp", port, "127.0.0.1")) is not bool(alone)
    assert listeners.at(found, "tcp", port, "192.0.2.1", "2001:db8::1")
    assert listeners.at(found, "tcp", port)


def test_who_is_in_the_way_of_an_address():
    def taken(address, *wanted):
        return bool(listeners.at([{"protocol": "tcp", "port": 1, "address": address}], *wanted))

    assert taken("", "tcp", 1, "192.0.2.1")
    assert taken("192.0.2.1", "tcp", 1, "127.0.0.1", "192.0.2.1")
    assert taken("192.0.2.1", "tcp", 1)
    assert not taken("127.0.0.1", "tcp", 1, "192.0.2.1")
    assert not taken("", "udp", 1) and not taken("", "tcp", 2)


def test_in_words():
    one = {"process": "etcd", "pid": 8, "unit": ""}
    assert listeners.shown([one, one, dict(one, pid=9, unit="x.service")]) == (
        "etcd (process 8) and etcd (process 9, x.service)"
    )
    assert listeners.shown([dict(one, process="")]) == ""
