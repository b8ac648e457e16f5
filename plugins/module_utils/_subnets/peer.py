# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is at the other end of a connection, and what that peer may do.

On loopback it is a process of this host, known by its user: only the user that the server runs as
is served, for whoever could write a node's annotations could draw its traffic. (A token would be
no other way: flanneld's client sends none without TLS.) Beyond the host it is who its certificate
says.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple

_ESTABLISHED = 1  # TCP_ESTABLISHED (Linux, include/net/tcp_states.h)
_NODE_USER = "system:node:"  # what Kubernetes puts before the name of a node in its certificate


class Peer(NamedTuple):
    """served: whether more than health and metrics is served to it; node: the node whose leases it
    may change.
    """

    served: bool
    node: str


def of_process(connection: socket.socket, own_node: str) -> Peer:
    """Return the Peer behind a connection on loopback. own_node: name of this host's node.

    The order matters: when this end is still established after the look, nobody had closed the
    other one, so the row that was found is its and not that of a later connection with its port.
    """
    client, server = connection.getpeername()[:2], connection.getsockname()[:2]
    user = owner(client, server)
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    return Peer(user == os.geteuid() and info[0] == _ESTABLISHED, own_node)


def of_certificate(certificate: Mapping[str, Any]) -> Peer:
    """Return the Peer that has shown a certificate (ssl.SSLSocket.getpeercert)."""
    names = dict(pair for entry in certificate["subject"] for pair in entry)
    common = names.get("commonName", "")
    return Peer(True, common[len(_NODE_USER) :] if common.startswith(_NODE_USER) else common)


def owner(
    client: tuple[str, int], server: tuple[str, int], table: str = "/proc/self/net/"
) -> int | None:
    """Return the user id behind a TCP connection on this host, None when it is gone: a row of one
    that is closed stays for a minute, without an inode, and says user 0 whoever it was.

    client, server: its ends; table: the directory with the kernel's tables tcp and tcp6.
    """
    ends = [_table_form(client), _table_form(server)]
    with open(table + ("tcp6" if ":" in client[0] else "tcp"), encoding="ascii") as file:
        for line in file:
            fields = line.split()
            if fields[1:3] == ends:
                is_held = int(fields[3], 16) == _ESTABLISHED and fields[9] != "0"
                return int(fields[7]) if is_held else None
    return None


def _table_form(end: tuple[str, int]) -> str:
    """Return an address and port as the kernel's tables have them."""
    packed = ipaddress.ip_address(end[0]).packed
    # the kernel prints words in its own byte order
    words = [packed[i : i + 4][::-1] for i in range(0, len(packed), 4)]
    return f"{b''.join(words).hex().upper()}:{end[1]:04X}"
