# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the ADD of upstream's bridge makes: a bridge, a pair of interfaces, addresses and routes.

The order is upstream's, containernetworking/plugins 1.9.1 (plugins/main/bridge, pkg/ipam, pkg/ip).
"""

from __future__ import annotations

import time
from _socket import AF_INET, AF_INET6, inet_ntop, inet_pton  # as in flannel_plugin.py

from .._cni import conf, files, netns, rtnetlink, version
from .._cni import result as results
from .._cni.quick_os import os
from . import flannel_plugin
from .bridge_plugin import mac_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._cni.invoke import Outcome
    from .in_process import Call

    Prefix = tuple[bytes, int]  # an address of 4 or 16 bytes, and a length

_DEFAULT_BRIDGE = "cni0"
_SETTLE_SECONDS = 5.0
# Upstream looks after 0, 50, 550, 1550 and 2550 ms.
_PORT_SECONDS = 2.55
_MAC_WAS_SET = b"3"  # NET_ADDR_SET of include/uapi/linux/netdevice.h
_FIRST_PAUSE, _LONGEST_PAUSE = 0.0005, 0.05


def add(call: Call, ipam: str) -> Outcome:
    """Do a bridge plugin's ADD; ipam: the executable of the plugin that has the address, empty
    where there is none. Raises OSError; nothing is left then.
    """
    with rtnetlink.Channel() as host:
        bridge = _made_bridge(host, call.conf)
        with netns.inside(call.netns):
            pod = rtnetlink.Channel()
        with pod:
            return _Port(call, host, bridge, pod, ipam).add()


def _made_bridge(host: rtnetlink.Channel, raw: dict[str, Any]) -> rtnetlink.Link:
    """The bridge, made where there is none, and up."""
    name = raw.get("bridge", _DEFAULT_BRIDGE)
    bridge = host.link(name)
    if bridge is None:
        try:
            host.ask(rtnetlink.new_bridge(name, raw.get("mtu") or 0))
        except FileExistsError:
            pass  # by another pod's ADD
        bridge = host.link(name)
    if bridge is None or bridge.kind != "bridge":
        raise OSError(f"{name} is not a bridge")
    if raw.get("promiscMode"):
        host.ask(rtnetlink.set_promiscuous(bridge.index))
    _try_sysctl(f"ipv6/conf/{name}/accept_ra", "0")  # its routes are ours
    if not bridge.flags & rtnetlink.UP:
        host.ask(rtnetlink.set_up(bridge.index))
    return bridge


class _Port:
    """A pod's port. host, pod: the kernel in the two network namespaces; ipam: as in add()."""

    def __init__(
        self,
        call: Call,
        host: rtnetlink.Channel,
        bridge: rtnetlink.Link,
        pod: rtnetlink.Channel,
        ipam: str,
    ) -> None:
        self.call = call
        self.conf = call.conf
        self.host = host
        self.bridge = bridge
        self.pod = pod
        self.ipam = ipam
        self.is_gateway = bool(self.conf.get("isGateway") or self.conf.get("isDefaultGateway"))

    def add(self) -> Outcome:
        name = "veth" + os.urandom(4).hex()
        has_address = False
        try:
            inner = self._pair(name)
            self._connect(name)
            latest: dict[str, Any] = {"cniVersion": version.LATEST, "ips": [], "routes": []}
            if self.ipam:
                done = self.call.run(self.ipam, self.call.stdin)
                if done[0]:
                    return done
                has_address = True
                latest = results.to_latest(results.decode(done[1], self.conf["cniVersion"]))
                self._give(inner, latest)
            elif not self.conf.get("disableContainerInterface"):
                self.pod.ask(rtnetlink.set_up(inner.index))
            outer = self._carrying(name)
        except BaseException:
            self._take_back(name, has_address)
            raise
        bridge = _found(self.host, self._bridge_name)
        latest["interfaces"] = [
            {"name": self._bridge_name, "mac": bridge.mac},
            {"name": name, "mac": outer.mac},
            {"name": self.call.interface, "mac": inner.mac, "sandbox": self.call.netns},
        ]
        given = {key: value for key, value in latest.items() if value}  # as Go prints it
        answer = results.convert(given, self.conf["cniVersion"])
        return 0, conf.encode(answer).encode(), b""

    @property
    def _bridge_name(self) -> str:
        return str(self.conf.get("bridge", _DEFAULT_BRIDGE))

    def _pair(self, name: str) -> rtnetlink.Link:
        """Make the two interfaces; return the pod's. name: of the host's."""
        mac = mac_of(self.conf.get("runtimeConfig") or {}) or b""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.pod.ask(
                rtnetlink.new_veth(self.call.interface, self.conf.get("mtu") or 0, mac, name, own)
            )
        finally:
            os.close(own)
        return _found(self.pod, self.call.interface)

    def _connect(self, name: str) -> None:
        outer = _found(self.host, name)
        self.host.ask(rtnetlink.set_up(outer.index))
        _try_sysctl(f"ipv6/conf/{name}/accept_ra", "0")
        self.host.ask(rtnetlink.set_master(outer.index, self.bridge.index))
        self.host.ask(
            rtnetlink.set_bridge_port(
                outer.index,
                hairpin=bool(self.conf.get("hairpinMode")),
                isolated=bool(self.conf.get("portIsolation")),
            )
        )

    def _give(self, inner: rtnetlink.Link, latest: dict[str, Any]) -> None:
        """Give addresses and routes to the pod, and gateways to the bridge, by the latest form of
        what IPAM said, which gets what is added here.
        """
        if not latest["ips"]:
            raise OSError("the IPAM plugin returned no address")
        prefixes = [_read_prefix(item["address"]) for item in latest["ips"]]
        for item, (packed, length) in zip(latest["ips"], prefixes):
            item["interface"] = 2
            if self.is_gateway and not item.get("gateway"):
                item["gateway"] = _text(_first(packed, length))
        if self.conf.get("isDefaultGateway"):
            _add_default_routes(latest, [len(packed) for packed, _length in prefixes])
        self._set_sysctls(any(len(packed) == 16 for packed, _length in prefixes))
        for packed, length in prefixes:
            self.pod.ask(rtnetlink.new_address(inner.index, packed, length))
        self.pod.ask(rtnetlink.set_up(inner.index))
        gateways = [_read(item["gateway"]) for item in latest["ips"] if item.get("gateway")]
        hops = {len(gateway): gateway for gateway in reversed(gateways)}  # of each family the first
        if 16 in hops:
            self._settle(inner)
        for route in latest["routes"]:
            if not set(route) <= {"dst", "gw"}:
                raise OSError("a route has more than dst and gw")
            to, length = _read_prefix(route["dst"])
            hop = _read(route["gw"]) if route.get("gw") else hops.get(len(to), b"")
            family = rtnetlink.family_of(to)
            self.pod.ask(rtnetlink.new_route(inner.index, family, to, length, hop))
        if self.is_gateway:
            for item, (_packed, length) in zip(latest["ips"], prefixes):
                self._ensure_gateway(_read(item["gateway"]), length)
            for size in {len(packed): None for packed, _length in prefixes}:
                _forward(size)

    def _set_sysctls(self, has_ipv6: bool) -> None:
        name = self.call.interface
        with netns.inside(self.call.netns):
            if self.conf.get("enabledad"):
                _try_sysctl(f"ipv6/conf/{name}/enhanced_dad", "1")
            _try_sysctl(f"ipv6/conf/{name}/accept_dad", "1" if self.conf.get("enabledad") else "0")
            _try_sysctl(f"ipv4/conf/{name}/arp_notify", "1")
            if has_ipv6:
                for one in ("lo", name):
                    if _sysctl(f"ipv6/conf/{one}/disable_ipv6") != b"0":
                        _set_sysctl(f"ipv6/conf/{one}/disable_ipv6", "0")
                _set_sysctl(f"ipv6/conf/{name}/keep_addr_on_down", "1")

    def _settle(self, inner: rtnetlink.Link) -> None:
        """Wait until nobody else has the pod's IPv6 addresses."""

        def settled() -> bool:
            own = [one for one in self.pod.addresses(AF_INET6) if one.index == inner.index]
            if any(one.flags & rtnetlink.DUPLICATE for one in own):
                raise OSError("another one has the address")
            return not any(one.flags & rtnetlink.TENTATIVE for one in own)

        if not _wait(settled, _SETTLE_SECONDS):
            link = _found(self.pod, self.call.interface)
            if link.state == rtnetlink.OPERATIONAL:
                raise OSError("addresses are still tentative")

    def _ensure_gateway(self, packed: bytes, length: int) -> None:
        family = rtnetlink.family_of(packed)
        index = self.bridge.index
        for one in self.host.addresses(family):
            if one.index != index:
                continue
            if (one.packed, one.length) == (packed, length):
                if _is_by_chance(self._bridge_name):
                    self._keep_mac()
                return
            if family == AF_INET or _overlap((one.packed, one.length), (packed, length)):
                if not self.conf.get("forceAddress"):
                    raise OSError(f"{self._bridge_name} has another address")
                self.host.ask(rtnetlink.delete_address(index, one.packed, one.length))
        try:
            self.host.ask(rtnetlink.new_address(index, packed, length))
        except FileExistsError:
            pass  # by another pod's ADD
        self._keep_mac()

    def _keep_mac(self) -> None:
        """Set, the bridge's MAC stays; otherwise it would be the lowest one of the ports', which
        come and go, and pods know it.
        """
        mac = _found(self.host, self._bridge_name).mac
        self.host.ask(rtnetlink.set_mac(self.bridge.index, mac))

    def _carrying(self, name: str) -> rtnetlink.Link:
        """The host's end, once the bridge takes its packets."""
        found: list[rtnetlink.Link] = []

        def is_up() -> bool:
            found[:] = [_found(self.host, name)]
            return found[0].state == rtnetlink.OPERATIONAL

        if not self.conf.get("disableContainerInterface") and not _wait(is_up, _PORT_SECONDS):
            raise OSError("the bridge's port does not come up")
        return found[0] if found else _found(self.host, name)

    def _take_back(self, name: str, has_address: bool) -> None:
        if has_address:
            self.call.run(self.ipam, self.call.stdin, "DEL")
        try:
            outer = self.host.link(name)  # a pod may have put another in the place of its own
            if outer:
                self.host.ask(rtnetlink.delete_link(outer.index))
        except OSError:
            pass  # gone with the pod


def _is_by_chance(bridge: str) -> bool:
    """Whether a bridge's MAC is a port's, as an ADD that failed may have left it."""
    try:
        kind = files.read(f"/sys/class/net/{bridge}/addr_assign_type") or _MAC_WAS_SET
    except OSError:
        return False
    return kind.strip() != _MAC_WAS_SET


def _found(kernel: rtnetlink.Channel, name: str) -> rtnetlink.Link:
    link = kernel.link(name)
    if link is None:
        raise OSError(f"{name} has gone")
    return link


def _add_default_routes(latest: dict[str, Any], sizes: list[int]) -> None:
    """Of each family one by the first address's gateway, where there is none with a gateway."""
    for size, to in ((4, "0.0.0.0/0"), (16, "::/0")):
        if size in sizes and not any(
            route["dst"] == to and route.get("gw") for route in latest["routes"]
        ):
            gateway = latest["ips"][sizes.index(size)]["gateway"]
            latest["routes"].append({"dst": to, "gw": gateway})


def _wait(is_so: Callable[[], bool], seconds: float) -> bool:
    deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE
    while not is_so():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
    return True


def _forward(size: int) -> None:
    place = "ipv4/ip_forward" if size == 4 else "ipv6/conf/all/forwarding"
    if _sysctl(place) != b"1":
        _set_sysctl(place, "1")


def _sysctl(place: str) -> bytes:
    with open(f"/proc/sys/net/{place}", "rb", buffering=0) as file:
        return file.read().strip()


def _set_sysctl(place: str, value: str) -> None:
    with open(f"/proc/sys/net/{place}", "wb", buffering=0) as file:
        file.write(value.encode())


def _try_sysctl(place: str, value: str) -> None:
    try:
        _set_sysctl(place, value)
    except OSError:
        pass  # a kernel without it; upstream does not mind either


def _read(address: str) -> bytes:
    """The bytes of an address; raise OSError for what is none."""
    return inet_pton(AF_INET6 if ":" in address else AF_INET, address)


def _read_prefix(text: str) -> Prefix:
    found = flannel_plugin.prefix(text)
    if found is None:
        raise OSError(f"{text} is not an address with a length")
    return _read(found[0]), int(found[1])


def _text(packed: bytes) -> str:
    return inet_ntop(rtnetlink.family_of(packed), packed)


def _first(packed: bytes, length: int) -> bytes:
    """The first address of the network."""
    bits = len(packed) * 8 - length
    return ((int.from_bytes(packed, "big") >> bits << bits) + 1).to_bytes(len(packed), "big")


def _overlap(one: Prefix, other: Prefix) -> bool:
    bits = len(one[0]) * 8 - min(one[1], other[1])
    return int.from_bytes(one[0], "big") >> bits == int.from_bytes(other[0], "big") >> bits
