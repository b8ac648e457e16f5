# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which addresses a network that users defined may have: none that are somebody else's, since its
plugins make the host's routes lead to them.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton  # as in annotations.py

from .._cni import errors, rtnetlink
from .._cni import result as results
from . import tenancy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Optional

    from .conf import Delegate, MetaConf

    # Bits of an address, the address, and the length.
    Prefix = tuple[int, int, int]
    # As it is written, what it says, and whether an interface gets it.
    Found = tuple[str, Optional[Prefix], bool]

# Keys of IPAM plugins, in small letters; those that interfaces get are said to be so.
_KEYS = {
    **dict.fromkeys(("address", "addresses", "ips"), True),
    **dict.fromkeys(("subnet", "gateway", "rangestart", "rangeend"), False),
    **dict.fromkeys(("range", "range_start", "range_end"), False),
}
# Behind these, pods are on the wire themselves: the host has no route to them.
_ON_THE_WIRE = {
    *("macvlan", "ipvlan", "vlan", "host-device", "sriov", "ib-sriov", "accelerated-bridge"),
    *("ovs", "bond", "ipoib", "rdma", "dummy", "tap"),
}
# The plugin bridge, and what KubeVirt calls it. With none of the keys, a bridge has no address on
# the host.
_BRIDGES = {"bridge", "cnv-bridge"}
_OF_A_GATEWAY = {"isgateway", "isdefaultgateway", "ipmasq"}
_OF_PODS = {"veth", "tun", "dummy"}  # ports of bridges that no node is behind
_MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96
_LINK_LOCAL = 128, 0xFE80 << 112, 10


class Others:
    """What is not for a definition to have."""

    def __init__(self, delegate: Delegate, configuration: MetaConf) -> None:
        self._delegate = delegate
        listed = [(f"the network {one['network']}", one) for one in configuration.namespaces]
        self._ranges = [
            (f"{owner} has {text}", prefix)
            for owner, texts in (
                *((owner, one.get("ranges", ())) for owner, one in listed),
                ("the Services' range", configuration.service_ranges),
            )
            for text in texts
            for prefix in (_prefix(text),)
            if prefix
        ]
        self._here: list[tuple[Prefix, bool]] = []
        self._nodes: set[Prefix] = set()
        self._reaching_nodes: list[Prefix] = []

    def check(self, asked: object, ips: Iterable[str]) -> None:
        """Raise Error for what the definition says; asked, ips: what the pod's annotation hands to
        its plugins.
        """
        told = ((text, _prefix(text), True) for text in ips)
        self._look()  # before an ADD leaves something there
        self._check([*_written([self._delegate.raw, asked]), *told])

    def check_result(self, result: dict[str, Any]) -> None:
        """Raise Error for what a result (with cniVersion) tells."""
        found: list[Found] = []
        for item in results.to_latest(result)["ips"]:
            found.append((item["address"], _prefix(item["address"]), True))
            if item.get("gateway"):
                # on the host, it has the length of the address
                text = f"{item['gateway']}/{item['address'].rpartition('/')[2]}"
                found.append((str(item["gateway"]), _prefix(text), False))
        self._check(found)

    def _look(self) -> None:
        bridges = list(_bridges(self._delegate))
        found = surroundings(bridges, [one for _owner, one in self._ranges])
        self._here, self._nodes, self._reaching_nodes = found

    def _check(self, found: list[Found]) -> None:
        for text, prefix, is_address in found:
            whose = self._whose(prefix, is_address) if prefix else None
            if whose:
                raise errors.Error(
                    errors.INVALID_CONFIGURATION,
                    f"The network {self._delegate.name} has {text}, which is somebody else's:"
                    f" {whose}.",
                    "Give it addresses of its own.",
                )

    def _whose(self, prefix: Prefix, is_address: bool) -> str | None:
        for owner, other in self._ranges:
            if _overlap(prefix, other):
                return owner
        has_routes = any(map(_has_routes, _addressed(self._delegate)))
        own = self._reaching_nodes
        for other, is_own in self._here:
            if is_address and prefix[:2] == other[:2]:
                return "the host has it"
            if has_routes and not is_own and other[2] < other[0] and _overlap(prefix, other):
                return f"an interface of the host has {_text(other)}"
        for node in self._nodes:
            is_the_node = prefix[:2] == node[:2] and (is_address or has_routes)
            is_elsewhere = has_routes and not any(_overlap(one, node) for one in own)
            if is_the_node or (is_elsewhere and _overlap(prefix, node)):
                return f"a node has {_text(node)}"
        return None


def surroundings(
    bridges: list[tuple[str, str]], ranges: list[Prefix]
) -> tuple[list[tuple[Prefix, bool]], set[Prefix], list[Prefix]]:
    """Return the addresses of the host's interfaces with their lengths, each with whether it is one
    of these bridges' or of the device beside its name; those of the nodes that flanneld has made
    ways to, in the forwarding table of a tunnel or by a route into one of the ranges; and those of
    the bridges behind which nodes may be. Raises OSError.
    """
    here, reaching = [], []
    with rtnetlink.Channel() as host:
        own = set()
        wired = {link.master for link in host.links() if link.kind not in _OF_PODS}
        for bridge, gateway in bridges:
            links = [tenancy.link(host, name) for name in (bridge, gateway)]
            if links[0] and links[0].kind == "bridge":
                own |= {link.index for link in links if link}
        for address in host.addresses():
            one = _packed(address.packed, address.length)
            if not _overlap(one, _LINK_LOCAL):
                here.append((one, address.index in own))
                if address.index in own & wired:
                    reaching.append(one)
        found = [rtnetlink.forwarded_to(body) for body in host.ask(rtnetlink.FORWARDING_ENTRIES)]
        for family in rtnetlink.FAMILIES.values():
            for route in host.routes(family):
                target = _packed(rtnetlink.destination(route)) if route.gateway else None
                if target and any(_overlap(target, one) for one in ranges):
                    found.append(route.gateway)
        nodes = {_packed(packed) for packed in found if packed}
    return here, nodes, reaching


def _written(value: object) -> Iterator[Found]:
    """What is written under the keys of IPAM plugins, however deep."""
    if isinstance(value, list):
        for one in value:
            yield from _written(one)
    elif isinstance(value, dict):
        yield from _gateways(_small(value))
        for key, inner in value.items():
            is_address = _KEYS.get(key.casefold())
            if is_address is not None:
                for text in inner if isinstance(inner, list) else [inner]:
                    if isinstance(text, str):
                        for part in text.split("-"):  # whereabouts: from-to/length
                            yield text, _prefix(part), is_address
            yield from _written(inner)


def _gateways(keys: dict[str, Any]) -> Iterator[Found]:
    """Gateways with the length that they have on the host, which is that of what is beside them."""
    for beside in (keys.get("subnet"), keys.get("address")):
        if isinstance(keys.get("gateway"), str) and isinstance(beside, str):
            text = f"{keys['gateway']}/{beside.rpartition('/')[2]}"
            yield text, _prefix(text), False


def _small(keys: dict[str, Any]) -> dict[str, Any]:
    """Keys in small letters, as Go reads them: in any case, the last one counts, null is none."""
    return {key.casefold(): value for key, value in keys.items() if value is not None}


def _addressed(delegate: Delegate) -> Iterator[dict[str, Any]]:
    """The plugins that give addresses, their keys in small letters; that behind flannel, which has
    a gateway.
    """
    for plugin in delegate.network.plugins:
        small = _small(plugin)
        if plugin["type"] == "flannel":
            behind = plugin.get("delegate")
            behind = behind if isinstance(behind, dict) else {}
            kind = str(behind.get("type", "bridge"))
            yield {"isgateway": True} | _small(behind) | {"type": kind}
        elif any(value for key, value in plugin.items() if key.casefold() == "ipam"):
            yield small | {"type": plugin["type"]}


def _has_routes(plugin: dict[str, Any]) -> bool:
    """Whether the host gets a route to what a plugin (keys in small letters) gives addresses."""
    if plugin["type"] in _BRIDGES:
        return any(plugin.get(key) for key in _OF_A_GATEWAY)
    return plugin["type"] not in _ON_THE_WIRE


def _bridges(delegate: Delegate) -> Iterator[tuple[str, str]]:
    """The names of the definition's bridges, each with that of the device which is the gateway;
    none where a plugin of another kind gives addresses, too.
    """
    plugins = list(_addressed(delegate))
    if all(plugin["type"] in _BRIDGES for plugin in plugins):
        for plugin in plugins:
            name = str(plugin.get("bridge") or tenancy.BRIDGE)
            yield name, f"{name}.{plugin['vlan']}" if plugin.get("vlan") else name


def _prefix(text: str) -> Prefix | None:
    """Return what an address with or without length is, None for another text. With a length that
    Go and this may read differently it is all addresses.
    """
    plain, slash, written = text.strip().partition("/")
    for family in (AF_INET, AF_INET6):
        try:
            packed = inet_pton(family, plain)
        except (OSError, ValueError):
            continue
        bits = len(packed) * 8
        if slash and not (written.isascii() and written.isdigit() and len(written) < 1000):
            return bits, 0, 0
        length = int(written) if slash else bits
        if packed.startswith(_MAPPED) and bits == 128:  # Go takes it for IPv4
            packed, bits, length = packed[12:], 32, length - 96
        return _packed(packed, length) if 0 <= length <= bits else (bits, 0, 0)
    return None


def _packed(packed: bytes, length: int | None = None) -> Prefix:
    bits = len(packed) * 8
    return bits, int.from_bytes(packed, "big"), bits if length is None else length


def _overlap(one: Prefix, other: Prefix) -> bool:
    shift = one[0] - min(one[2], other[2])
    return one[0] == other[0] and one[1] >> shift == other[1] >> shift


def _text(prefix: Prefix) -> str:
    bits, number, length = prefix
    packed = (number >> bits - length << bits - length).to_bytes(bits // 8, "big")
    text = inet_ntop(AF_INET if bits == 32 else AF_INET6, packed)
    return text if length == bits else f"{text}/{length}"
