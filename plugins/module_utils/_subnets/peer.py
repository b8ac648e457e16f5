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
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

# Linux: include/net/tcp_states.h, include/uapi/linux/{netlink,sock_diag,inet_diag}.h
_ESTABLISHED = 1
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 4, 20, 1
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
# inet_diag_req_v2: family, protocol, extensions, states; then inet_diag_sockid: the ports and
# addresses of the socket and of its peer, its device, and a cookie
_QUESTION = struct.Struct("=BBBxI2s2s16s16sI8s")
_ANSWER = struct.Struct("=xBxx48x12xII")  # inet_diag_msg: state, user, inode
_ANY_COOKIE = b"\xff" * 8
_LOOPBACK = 1  # its index in every network namespace: a socket may be bound to it, too

_NODE_USER = "system:node:"  # what Kubernetes puts before the name of a node in its certificate


class Peer(NamedTuple):
    """served: whether more than health and metrics is served to it; node: the node whose leases it
    may change; name: by which it has its share of the connections.
    """

    served: bool
    node: str
    name: str


def of_process(connection: socket.socket, own_node: str) -> Peer:
    """Return the Peer behind a connection on loopback. own_node: name of this host's node.

    The order matters: when this end is still established after the look, nobody had closed the
    other one, so the socket that was found is its and not that of a later connection with its port.
    """
    client, server = connection.getpeername()[:2], connection.getsockname()[:2]
    user = owner(client, server)
    served = user == os.geteuid() and is_established(connection)
    return Peer(served, own_node, f"user {user}")


def is_established(connection: socket.socket) -> bool:
    """Say whether neither end of a TCP connection was closed."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED


def of_certificate(certificate: Mapping[str, Any]) -> Peer:
    """Return the Peer that has shown a certificate (ssl.SSLSocket.getpeercert)."""
    names = dict(pair for entry in certificate["subject"] for pair in entry)
    common = names.get("commonName", "")
    node = common[len(_NODE_USER) :] if common.startswith(_NODE_USER) else common
    return Peer(True, node, f"node {node}")


def owner(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """Return the user id behind a TCP connection on this host, None when it is gone: what is left
    of one that is closed stays for a minute, without an inode, and says user 0 whoever it was.

    client, server: its ends, of which the second one's listener is still there: a kernel that
    cannot be asked (without CONFIG_INET_TCP_DIAG) answers as if there were nothing.
    """
    found = _ask(client, server)
    if found is None and _ask(server, (server[0], 0)) is None:
        return owner_in_table(client, server)
    state, user, inode = found or (0, 0, 0)
    return user if state == _ESTABLISHED and inode else None


def _ask(own: tuple[str, int], peer: tuple[str, int]) -> tuple[int, int, int] | None:
    """Return (state, user, inode) of the socket that has these ends, or else of one that listens
    there; None where there is none. The time does not depend on how many others there are.
    """
    family = socket.AF_INET6 if ":" in own[0] else socket.AF_INET
    ports = [struct.pack(">H", end[1]) for end in (own, peer)]
    addresses = [socket.inet_pton(family, end[0]) for end in (own, peer)]
    question = _QUESTION.pack(
        family, socket.IPPROTO_TCP, 0, 0, *ports, *addresses, _LOOPBACK, _ANY_COOKIE
    )
    header = _HEADER.pack(_HEADER.size + len(question), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
            kernel.sendto(header + question, (0, 0))
            # it is there when the question was sent
            answer = kernel.recv(4096, socket.MSG_DONTWAIT)
    except OSError:
        return None
    if _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
        return None
    return _ANSWER.unpack_from(answer, _HEADER.size)


def owner_in_table(
    client: tuple[str, int], server: tuple[str, int], table: str = "/proc/self/net/"
) -> int | None:
    """The same as owner(), by a look at all connections there are.

    table: the directory with the kernel's tables tcp and tcp6.
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
