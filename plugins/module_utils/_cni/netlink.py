# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The default routes and the addresses of a network namespace, by netlink (rtnetlink(7)); nothing
is started for it.
"""

from __future__ import annotations

import os
import socket
import struct

from . import errors, netns

_ROUTE_NEW, _ROUTE_DELETE, _ROUTE_GET, _ADDRESS_GET = 24, 25, 26, 22
_ERROR, _DONE = 2, 3
_REQUEST, _ACKNOWLEDGE, _DUMP, _CREATE, _EXCLUSIVE = 1, 4, 0x300, 0x400, 0x200
_OIF, _GATEWAY, _TABLE = 4, 5, 15
_ADDRESS, _LOCAL = 1, 2
_MAIN, _PROTOCOL_STATIC, _UNIVERSE, _UNICAST = 254, 4, 0, 1
_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_IFADDR = struct.Struct("=BBBBi")
_ATTRIBUTE = struct.Struct("=HH")
_FAMILIES = {"4": socket.AF_INET, "6": socket.AF_INET6}


def remove_default_routes(path: str, interface: str, families: set[str]) -> None:
    """Remove the default routes of an interface in the network namespace at path; families: of "4"
    and "6". Raises Error (code 5 or 8).
    """
    with netns.inside(path):
        _remove(interface, families)


def set_default_routes(path: str, interface: str, gateways: list[str]) -> None:
    """Make an interface's default routes, one for each of the gateways (addresses) and in place of
    its former one of that family; raise Error (code 5 or 8).
    """
    with netns.inside(path):
        _remove(interface, {_family(gateway) for gateway in gateways})
        for gateway in gateways:
            family = _FAMILIES[_family(gateway)]
            route = _ROUTE.pack(family, 0, 0, 0, _MAIN, _PROTOCOL_STATIC, _UNIVERSE, _UNICAST, 0)
            route += _attribute(_GATEWAY, socket.inet_pton(family, gateway))
            route += _attribute(_OIF, struct.pack("=I", _index(interface)))
            _talk(
                _ROUTE_NEW,
                _REQUEST | _ACKNOWLEDGE | _CREATE | _EXCLUSIVE,
                route,
                f"The default route by {gateway} on {interface} cannot be made.",
            )


def addresses(path: str, interface: str | None = None) -> set[str]:
    """Return the addresses (without prefix length) in the network namespace at path, those of one
    interface or all; raise Error.
    """
    with netns.inside(path):
        index = interface and _index(interface)
        found = set()
        what = f"The addresses in {path} cannot be read."
        for body in _talk(_ADDRESS_GET, _REQUEST | _DUMP, _IFADDR.pack(0, 0, 0, 0, 0), what):
            family, _length, _flags, _scope, place = _IFADDR.unpack_from(body)
            attributes = _attributes(body[_IFADDR.size :])
            raw = attributes.get(_LOCAL) or attributes.get(_ADDRESS)
            if raw and family in (socket.AF_INET, socket.AF_INET6) and index in (None, place):
                found.add(socket.inet_ntop(family, raw))
        return found


def canonical(address: str) -> str | None:
    """Return an address (str, with or without a prefix length) as addresses() spells it; None when
    it is none.
    """
    plain = address.partition("/")[0]
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_ntop(family, socket.inet_pton(family, plain))
        except OSError:
            continue
    return None


def _remove(interface: str, families: set[str]) -> None:
    index = _index(interface)
    for name in sorted(families):
        family = _FAMILIES[name]
        what = f"The default routes of {interface} cannot be read."
        request = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        for body in _talk(_ROUTE_GET, _REQUEST | _DUMP, request, what):
            if _is_default_route_of(index, body):
                _talk(
                    _ROUTE_DELETE,
                    _REQUEST | _ACKNOWLEDGE,
                    body,
                    f"The default route of {interface} cannot be removed.",
                )


def _is_default_route_of(index: int, body: bytes) -> bool:
    length, kind = body[1], body[7]
    attributes = _attributes(body[_ROUTE.size :])
    table = struct.unpack("=I", attributes[_TABLE])[0] if _TABLE in attributes else body[4]
    on_interface = attributes.get(_OIF) == struct.pack("=I", index)
    return length == 0 and kind == _UNICAST and table == _MAIN and on_interface


def _talk(kind: int, flags: int, body: bytes, what: str) -> list[bytes]:
    """Send one request and return the bodies of the answers; raise Error, its message is what."""
    kind_of_socket = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind_of_socket, socket.NETLINK_ROUTE) as channel:
        channel.settimeout(10)
        try:
            channel.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
            bodies: list[bytes] = []
            while True:
                if _take(channel.recv(1 << 18), bodies):
                    return bodies
        except OSError as error:
            raise errors.Error(errors.IO_FAILURE, what, error.strerror or str(error)) from None


def _take(data: bytes, bodies: list[bytes]) -> bool:
    """Add the messages in data to bodies; return whether they were the last; raise OSError for the
    kernel's error.
    """
    while len(data) >= _HEADER.size:
        size, kind = _HEADER.unpack_from(data)[:2]
        body = data[_HEADER.size : size]
        if kind == _ERROR:
            number = struct.unpack_from("=i", body)[0]
            if number:
                raise OSError(-number, os.strerror(-number))
            return True
        if kind == _DONE:
            return True
        bodies.append(body)
        data = data[(size + 3) & ~3 :]
    return False


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(data)
        if size < _ATTRIBUTE.size:
            break
        found[kind] = data[_ATTRIBUTE.size : size]
        data = data[(size + 3) & ~3 :]
    return found


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _index(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        raise errors.Error(
            errors.UNKNOWN_CONTAINER, f"There is no interface {interface} in the network namespace."
        ) from None


def _family(address: str) -> str:
    return "6" if ":" in address else "4"
