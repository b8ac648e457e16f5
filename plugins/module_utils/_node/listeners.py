# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens at a port of this host: what /proc says of sockets and of the processes that have
them.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    Listener = dict[str, Any]

# states of a socket in /proc/net/tcp and udp (the kernel's include/net/tcp_states.h)
_LISTENS = {"tcp": "0A", "udp": "07"}
_UNIT = re.compile(r"([^/\n]+\.service)(?:/|$)", re.MULTILINE)


def look(tcp: Collection[int] = (), udp: Collection[int] = (), root: str = "/") -> list[Listener]:
    """Return the sockets that listen at these ports: [{protocol, address, port, process, pid,
    unit}].

    address: "" for all of the host's, "::" for all of IPv6. process: its name, "" where nobody here
    has the socket, as with the kernel's own; pid: 0 then. unit: the service of systemd that it
    belongs to, or "".
    root: where the host's files are; for tests.
    """
    found: list[Listener] = [
        dict(protocol=protocol, address=address, port=port, inode=inode, version=version)
        for protocol, ports in (("tcp", tcp), ("udp", udp))
        if ports
        for version in ("", "6")
        for address, port, inode in _sockets(f"{root}proc/net/{protocol}{version}", protocol)
        if port in ports
    ]
    owners = _owners({one["inode"] for one in found} - {"0"}, root)
    for one in found:
        # the kernel's table does not say whether it has IPv4, too
        if (one["protocol"], one.pop("version"), one["address"]) == ("tcp", "6", ""):
            one["address"] = "::" if is_free(one["port"]) else ""
        one.update(owners.get(one.pop("inode"), {"process": "", "pid": 0, "unit": ""}))
    return found


def at(
    listeners: Iterable[Mapping[str, Any]], protocol: str, port: int, *addresses: str
) -> list[Mapping[str, Any]]:
    """Return those that keep another one from listening at a port of any of these addresses; of
    none: of whatever address.
    """
    return [
        one
        for one in listeners
        if (one["protocol"], one["port"]) == (protocol, port)
        and (not addresses or any(_has(one["address"], address) for address in addresses))
    ]


def shown(listeners: Iterable[Mapping[str, Any]]) -> str:
    """Return who has the sockets, in words; "" where it is not known."""
    told = [
        f"{one['process']} (process {one['pid']}{', ' * bool(one['unit'])}{one['unit']})"
        for one in listeners
        if one["process"]
    ]
    return " and ".join(dict.fromkeys(told))


def _has(listening: str, address: str) -> bool:
    return listening in ("", address) or (listening == "::" and ":" in address)


def is_free(port: int) -> bool:
    """Whether somebody could listen at a TCP port of 127.0.0.1."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _sockets(path: str, protocol: str) -> Iterator[tuple[str, int, str]]:
    """Yield (address, port, inode) of a file of /proc/net."""
    try:
        with open(path, encoding="ascii") as stream:
            next(stream, "")
            for line in stream:
                fields = line.split()
                if fields[3] == _LISTENS[protocol]:
                    address, port = fields[1].split(":")
                    yield _address(address), int(port, 16), fields[9]
                elif protocol == "tcp":
                    return  # those that listen come first, and connections may be many
    except FileNotFoundError:
        return  # a kernel without IPv6


def _address(text: str) -> str:
    """Return an address of /proc/net: words of 32 bits, each in the machine's order of bytes."""
    words = bytes.fromhex(text)
    if sys.byteorder == "little":
        words = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    address = ipaddress.ip_address(words)
    address = getattr(address, "ipv4_mapped", None) or address
    return "" if address.is_unspecified else str(address)


def _owners(inodes: set[str], root: str) -> dict[str, Listener]:
    """Return inode of a socket -> {process, pid, unit} of the first process that has it."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[str, Listener] = {}
    for pid in sorted(int(name) for name in _names(f"{root}proc") if name.isdigit()):
        if not wanted:
            break
        process = f"{root}proc/{pid}"
        for link in _names(f"{process}/fd"):
            try:
                inode = wanted.pop(os.readlink(f"{process}/fd/{link}"), None)
            except OSError:
                continue
            if inode:
                found[inode] = {
                    "process": _text(f"{process}/comm") or "?",
                    "pid": pid,
                    "unit": (_UNIT.findall(_text(f"{process}/cgroup")) or [""])[-1],
                }
    return found


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []  # a process that has ended, or that is not ours to look at


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return ""
