# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talk to the kernel about links, addresses and routes: rtnetlink(7).

A request is data, a Message: what is asked, and its body. The functions here that are named after
what they ask make them; Channel.ask() sends them. What the numbers mean is in the kernel's
include/uapi/linux: netlink.h, rtnetlink.h, if_link.h, if_addr.h, veth.h, neighbour.h.
"""

from __future__ import annotations

from .quick_os import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket as _socket
    from struct import Struct
    from typing import Union

    # {number of the attribute: its value, or the attributes in it}
    Attributes = dict[int, Union[bytes, "Attributes"]]
    # What is asked (type, flags), and the body.
    Message = tuple[int, int, bytes]
else:
    import _socket  # `socket` takes longer to import than all of this takes
    from _struct import Struct

AF_UNSPEC, AF_BRIDGE, AF_INET, AF_INET6 = 0, 7, _socket.AF_INET, _socket.AF_INET6
FAMILIES = {"4": AF_INET, "6": AF_INET6}
UP = 1  # of a link's flags
OPERATIONAL = 6  # of a link's operstate
TENTATIVE, DUPLICATE = 0x40, 0x08  # of an address's flags
MAIN_TABLE, BOOT, STATIC, UNICAST = 254, 3, 4, 1

_PROMISCUOUS = 0x100
_LINK_NEW, _LINK_DELETE, _LINK_GET, _LINK_SET = 16, 17, 18, 19
_ADDRESS_NEW, _ADDRESS_DELETE, _ADDRESS_GET = 20, 21, 22
_ROUTE_NEW, _ROUTE_DELETE, _ROUTE_GET = 24, 25, 26
_NEIGHBOUR_GET, _NEIGHBOUR_TABLE_GET = 30, 66
_ERROR, _DONE = 2, 3
_REQUEST, _ACKNOWLEDGE, _EXCLUSIVE, _DUMP, _CREATE = 1, 4, 0x200, 0x300, 0x400
_NESTED, _KIND_OF_ATTRIBUTE = 0x8000, 0x3FFF
# of a link
_MAC, _NAME, _MTU, _MASTER, _BRIDGE_PORT, _STATE, _INFO, _NAMESPACE = 1, 3, 4, 10, 12, 16, 18, 28
_PARENT, _QUEUE, _OTHER_NAMESPACE, _OTHER_NAME = 5, 13, 37, 53
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_PORT_HAIRPIN, _PORT_ISOLATED = 4, 33
# of an address, and of a route
_ADDRESS, _LOCAL, _BROADCAST = 1, 2, 4
_DESTINATION, _OIF, _GATEWAY, _PRIORITY, _MULTIPATH, _CACHE_INFO, _TABLE = 1, 4, 5, 6, 9, 12, 15
_ON_LINK = 4  # of a route's flags
# of a neighbour table, and the place of table_fulls among its counters
_COUNTERS, _FULLS = 7, 10

_HEADER = Struct("=IHHII")
_LINK = Struct("=BxHiII")
_IFADDR = Struct("=BBBBi")
_ROUTE = Struct("=BBBBBBBBI")
_HOP = Struct("=HBBI")
_ATTRIBUTE = Struct("=HH")
_NUMBER = Struct("=I")
_NONE = _NUMBER.pack(0)
_ERROR_NUMBER = Struct("=i")
_TABLE_HEAD = Struct("=Bxxx")
_NEIGHBOUR_SIZE, _NEIGHBOUR_ADDRESS = 12, 1
_COUNTER = Struct("=Q")
_SECONDS = 10
# The kernel writes at most 32 KiB at once; memory of 128 KiB and more is mapped anew each time.
_ANSWER_SIZE = 1 << 16
_NAME_SIZE = 16  # with the NUL behind it

# All entries of the forwarding tables of bridges and tunnels.
FORWARDING_ENTRIES = (
    _NEIGHBOUR_GET,
    _REQUEST | _DUMP,
    bytes((AF_BRIDGE,)).ljust(_NEIGHBOUR_SIZE, b"\0"),
)


class Link:
    """A network interface. mac: as text; kind: of a virtual one ("bridge", "veth"), else empty;
    leads_elsewhere: whether its other end is in another network namespace; master, parent: indices
    of the bridge (or the like) that it is in, and of what it is made on; 0 where there is none.
    """

    def __init__(self, body: bytes) -> None:
        _family, _type, self.index, self.flags, _change = _LINK.unpack_from(body)
        found = read_attributes(body[_LINK.size :])
        self.mac = ":".join(f"{byte:02x}" for byte in found.get(_MAC, b""))
        self.state = found.get(_STATE, b"\0")[0]
        self.leads_elsewhere = _OTHER_NAMESPACE in found
        self.master = _NUMBER.unpack(found.get(_MASTER, _NONE))[0]
        self.parent = 0 if self.leads_elsewhere else _NUMBER.unpack(found.get(_PARENT, _NONE))[0]
        info = read_attributes(found.get(_INFO, b""))
        self.kind = info.get(_INFO_KIND, b"").rstrip(b"\0").decode()


class Address:
    """An address of an interface. index: the interface's; packed: 4 or 16 bytes."""

    def __init__(self, body: bytes) -> None:
        self.family, self.length, self.flags, _scope, self.index = _IFADDR.unpack_from(body)
        found = read_attributes(body[_IFADDR.size :])
        self.packed = found.get(_LOCAL) or found.get(_ADDRESS) or b""


class Route:
    """A route. body: by which it can be deleted; index: of the interface, 0 where there is none;
    gateway: 4 or 16 bytes, empty where there is none; key: what tells it from other routes to the
    same destination.
    """

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.family, self.length, table, self.kind = body[0], body[1], body[4], body[7]
        found = read_attributes(body[_ROUTE.size :])
        self.table = _NUMBER.unpack(found[_TABLE])[0] if _TABLE in found else table
        self.index = _NUMBER.unpack(found[_OIF])[0] if _OIF in found else 0
        self.gateway = found.get(_GATEWAY, b"")
        self.key = self.family, self.index, self.gateway, found.get(_PRIORITY, b"")


class Channel:
    """The kernel's ear in the network namespace that it is made in, wherever its maker goes then;
    use it in a with block. Raises OSError.
    """

    def __init__(self) -> None:
        kind = _socket.SOCK_RAW | _socket.SOCK_CLOEXEC
        self._socket = _socket.socket(_socket.AF_NETLINK, kind, _socket.NETLINK_ROUTE)
        self._socket.settimeout(_SECONDS)

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *dummy: object) -> None:
        self._socket.close()

    def ask(self, message: Message) -> list[bytes]:
        """Send a request and return the bodies of the answers; raise OSError, the kernel's or that
        of a kernel that does not answer.
        """
        kind, flags, body = message
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
        bodies: list[bytes] = []
        while not _take(self._socket.recv(_ANSWER_SIZE), bodies):
            pass
        return bodies

    def link(self, name: str) -> Link | None:
        """Return a link by its name, None when there is none; raise OSError."""
        try:
            return Link(self.ask(link(name))[0])
        except OSError as error:
            if error.errno == 19:  # ENODEV
                return None
            raise

    def link_at(self, index: int) -> Link | None:
        """Return a link by its index, None when there is none; raise OSError."""
        try:
            return Link(self.ask((_LINK_GET, _REQUEST | _ACKNOWLEDGE, _link({}, index)))[0])
        except OSError as error:
            if error.errno == 19:
                return None
            raise

    def links(self) -> list[Link]:
        """Return all links; raise OSError."""
        return [Link(body) for body in self.ask((_LINK_GET, _REQUEST | _DUMP, _link({})))]

    def addresses(self, family: int = AF_UNSPEC) -> list[Address]:
        """Return the addresses of a family, or of all; raise OSError."""
        dump = (_ADDRESS_GET, _REQUEST | _DUMP, _IFADDR.pack(family, 0, 0, 0, 0))
        return [Address(body) for body in self.ask(dump)]

    def routes(self, family: int) -> list[Route]:
        """Return the routes of a family, of all tables; of one with several ways, each of them for
        IPv6, where they are routes of their own. Raises OSError.
        """
        dump = (_ROUTE_GET, _REQUEST | _DUMP, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0))
        return [Route(way) for body in self.ask(dump) for way in _ways(body)]

    def default_routes(self) -> dict[object, Route]:
        """Return {key: route} of the default routes of both families that pods' packets take: those
        of the main table; raise OSError.
        """
        return {
            one.key: one
            for family in FAMILIES.values()
            for one in self.routes(family)
            if one.length == 0 and one.table == MAIN_TABLE and one.kind == UNICAST
        }

    def full_neighbour_tables(self) -> int:
        """Return how often the kernel, which has one table for all namespaces, found its IPv4 or
        IPv6 neighbour table full; raise OSError.
        """
        dump = (_NEIGHBOUR_TABLE_GET, _REQUEST | _DUMP, _TABLE_HEAD.pack(AF_UNSPEC))
        # by family: a table with the settings of many devices is told, and begun anew, in parts
        counters = {
            body[: _TABLE_HEAD.size]: counted
            for body in self.ask(dump)
            for counted in [read_attributes(body[_TABLE_HEAD.size :]).get(_COUNTERS)]
            if counted
        }
        return sum(
            _COUNTER.unpack_from(one, _FULLS * _COUNTER.size)[0] for one in counters.values()
        )


# links


def link(name: str) -> Message:
    """name: an alternative one may be longer than 15 bytes."""
    written = _text(name)
    kind = _NAME if len(written) <= _NAME_SIZE else _OTHER_NAME
    return _LINK_GET, _REQUEST | _ACKNOWLEDGE, _link({kind: written})


def new_bridge(name: str, mtu: int) -> Message:
    """mtu: 0 for the kernel's own choice, as in all of these."""
    asked = _named(name, mtu)
    asked[_INFO] = {_INFO_KIND: _text("bridge"), _INFO_DATA: b""}
    return _new(_link(asked))


def new_veth(name: str, mtu: int, mac: bytes, peer: str, namespace: int) -> Message:
    """mac: empty for one by chance; peer: the name of the other end, which has no queue; namespace:
    a descriptor of the network namespace that it goes to.
    """
    there: Attributes = {_QUEUE: _NUMBER.pack(0), _NAMESPACE: _NUMBER.pack(namespace)}
    other = _link({**_named(peer, mtu), **there})
    asked: Attributes = {
        **_named(name, mtu),
        **({_MAC: mac} if mac else {}),
        _INFO: {_INFO_KIND: _text("veth"), _INFO_DATA: {_VETH_PEER: other}},
    }
    return _new(_link(asked))


def delete_link(index: int) -> Message:
    return _LINK_DELETE, _REQUEST | _ACKNOWLEDGE, _link({}, index)


def set_up(index: int) -> Message:
    return _set(_link({}, index, UP))


def set_promiscuous(index: int) -> Message:
    return _set(_link({}, index, _PROMISCUOUS))


def set_master(index: int, master: int) -> Message:
    return _set(_link({_MASTER: _NUMBER.pack(master)}, index))


def set_mac(index: int, mac: str) -> Message:
    return _set(_link({_MAC: bytes.fromhex(mac.replace(":", ""))}, index))


def set_bridge_port(index: int, *, hairpin: bool, isolated: bool) -> Message:
    port: Attributes = {_PORT_HAIRPIN: bytes((hairpin,)), _PORT_ISOLATED: bytes((isolated,))}
    return _set(_link({_BRIDGE_PORT | _NESTED: port}, index, family=AF_BRIDGE))


# addresses and routes


def new_address(index: int, packed: bytes, length: int) -> Message:
    """packed: 4 or 16 bytes."""
    asked: Attributes = {_LOCAL: packed, _ADDRESS: packed}
    if len(packed) == 4 and length < 31:
        number = int.from_bytes(packed, "big") | (1 << (32 - length)) - 1
        asked[_BROADCAST] = number.to_bytes(4, "big")
    return _new(
        _IFADDR.pack(family_of(packed), length, 0, 0, index) + attributes(asked), _ADDRESS_NEW
    )


def delete_address(index: int, packed: bytes, length: int) -> Message:
    asked: Attributes = {_LOCAL: packed, _ADDRESS: packed}
    body = _IFADDR.pack(family_of(packed), length, 0, 0, index) + attributes(asked)
    return _ADDRESS_DELETE, _REQUEST | _ACKNOWLEDGE, body


def new_route(
    index: int, family: int, to: bytes, length: int, gateway: bytes, *, protocol: int = BOOT
) -> Message:
    """to, gateway: 4 or 16 bytes; an empty gateway: none. For IPv6 one may be there already, and
    gets a second hop then.
    """
    head = _ROUTE.pack(family, length, 0, 0, MAIN_TABLE, protocol, 0, UNICAST, 0)
    asked: Attributes = {_DESTINATION: to, _OIF: _NUMBER.pack(index)}
    if gateway:
        asked[_GATEWAY] = gateway
    return _ROUTE_NEW, _REQUEST | _ACKNOWLEDGE | _CREATE, head + attributes(asked)


def exclusive(message: Message) -> Message:
    """Return a request that fails where what it makes is there already."""
    return message[0], message[1] | _EXCLUSIVE, message[2]


def destination(route: Route) -> bytes:
    """Return the 4 or 16 bytes that a route leads to, none for the default route."""
    return read_attributes(route.body[_ROUTE.size :]).get(_DESTINATION, b"")


def forwarded_to(body: bytes) -> bytes:
    """Return the 4 or 16 bytes of the host that an entry leads to, none where it leads to none."""
    return read_attributes(body[_NEIGHBOUR_SIZE:]).get(_NEIGHBOUR_ADDRESS, b"")


def delete_route(route: Route) -> Message:
    return _ROUTE_DELETE, _REQUEST | _ACKNOWLEDGE, route.body


# how it is written


def same_route(route: Route) -> Message:
    """Make a route as it was."""
    head = list(_ROUTE.unpack_from(route.body))
    head[-1] &= _ON_LINK  # the others say how its interface was
    asked: Attributes = {**read_attributes(route.body[_ROUTE.size :])}
    asked.pop(_CACHE_INFO, None)
    return _ROUTE_NEW, _REQUEST | _ACKNOWLEDGE | _CREATE, _ROUTE.pack(*head) + attributes(asked)


def _ways(body: bytes) -> list[bytes]:
    """Return the bodies of an IPv6 route's ways, by which each can be deleted."""
    found: Attributes = {**read_attributes(body[_ROUTE.size :])}
    several = found.pop(_MULTIPATH, b"") if body[0] == AF_INET6 else b""
    bodies = []
    while isinstance(several, bytes) and len(several) >= _HOP.size:
        size, _flags, _weight, index = _HOP.unpack_from(several)
        own = read_attributes(several[_HOP.size : size])
        way: Attributes = {**found, _OIF: _NUMBER.pack(index), **own}
        bodies.append(body[: _ROUTE.size] + attributes(way))
        several = several[max(size, _HOP.size) + 3 & ~3 :]
    return bodies or [body]


def attributes(values: Attributes) -> bytes:
    """Return attributes as the kernel reads them; one that is nested is a dict."""
    written = b""
    for kind, value in values.items():
        plain = attributes(value) if isinstance(value, dict) else value
        written += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(plain), kind) + plain
        written += b"\0" * (-len(plain) % 4)
    return written


def read_attributes(data: bytes) -> dict[int, bytes]:
    """Return {number: value} of what the kernel wrote; of a nested one the value is its bytes."""
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(data)
        if size < _ATTRIBUTE.size:
            break
        found[kind & _KIND_OF_ATTRIBUTE] = data[_ATTRIBUTE.size : size]
        data = data[(size + 3) & ~3 :]
    return found


def _take(data: bytes, bodies: list[bytes]) -> bool:
    """Add the messages in data to bodies; return whether they were the last; raise OSError for the
    kernel's error.
    """
    while len(data) >= _HEADER.size:
        size, kind = _HEADER.unpack_from(data)[:2]
        body = data[_HEADER.size : size]
        if kind == _ERROR:
            number = -_ERROR_NUMBER.unpack_from(body)[0]
            if number:
                raise OSError(number, os.strerror(number))
            return True
        if kind == _DONE:
            return True
        bodies.append(body)
        data = data[(size + 3) & ~3 :]
    return False


def _new(body: bytes, kind: int = _LINK_NEW) -> Message:
    return kind, _REQUEST | _ACKNOWLEDGE | _CREATE | _EXCLUSIVE, body


def _set(body: bytes) -> Message:
    return _LINK_SET, _REQUEST | _ACKNOWLEDGE, body


def _link(values: Attributes, index: int = 0, flags: int = 0, family: int = AF_UNSPEC) -> bytes:
    return _LINK.pack(family, 0, index, flags, flags) + attributes(values)


def _named(name: str, mtu: int) -> Attributes:
    named: Attributes = {_NAME: _text(name)}
    if mtu:
        named[_MTU] = _NUMBER.pack(mtu)
    return named


def _text(text: str) -> bytes:
    return text.encode() + b"\0"


def family_of(packed: bytes) -> int:
    """Return the family of an address of 4 or 16 bytes."""
    return AF_INET if len(packed) == 4 else AF_INET6
