# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts, made of network namespaces on this kernel, with the devices and routes that flannel
would make for a plan.

    underlay 192.168.9.0/24, fd09::/64 ── h1 .1, h2 .2, outside .100 (no node; knows the way to no
    pod) each network of the plan on host h: bridge .1, tunnel device .0 and pod "h<h>-<network>"
    .10 of the h-th subnet of its range the first network has a second pod on h1, "h1-<network>-b"
    .11

All sockets are opened by this process inside the namespaces, so that hundreds of probes cost no
process. Needs root.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import json
import os
import select
import socket
import struct
import subprocess
import time
import typing as t
import uuid

from ansible_collections.multinet.flannel.plugins.module_utils._isolation.nodes import LEASES
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.ruleset import ruleset
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from declaration import BLUE, RED
from guard_sets import filled
from waiting import PATIENCE

PORT = 7000
SILENCE = 0.25  # seconds
HOSTS = (1, 2)
OUTSIDE = "outside"
# include/uapi/linux/{in,in6}.h: send from an address that is not ours
IP_TRANSPARENT, IPV6_TRANSPARENT = 19, 75
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


# Addresses that no declaration knows: there, only the devices tell the networks apart.
HAND_MADE_IPV6 = {"red": "fd00:3::/48"}
NETWORKS = ("blue", "red", "green")


def declared(**changes: dict) -> dict:
    """The plan of three networks; changes: network -> keys to set."""
    networks = [
        dict(BLUE, ipv6_cidr="fd00:1::/48"),
        RED,
        {
            "name": "green",
            "cidr": "10.5.0.0/16",
            "ipv6_cidr": "fd00:5::/48",
            "backend": {"type": "host-gw"},
        },
    ]
    return plan([dict(network, **changes.get(network["name"], {})) for network in networks])


class Receipt(t.NamedTuple):
    """A probe that arrived: where, from which source address as seen there, and whether the answer
    came back.
    """

    at: str
    source: str
    answered: bool


def run(*command: str, text: str = "") -> str:
    """Run a command and return what it printed; raises RuntimeError with its error output."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout


class Lab:
    """The hosts and pods. Use as a context manager; everything is gone afterwards.

    planned: a plan of the product. hand_made_ipv6: network -> IPv6 range (/48) that its bridges and
    pods get although the plan has none for it.
    """

    def __init__(self, planned: dict, hand_made_ipv6: dict | None = None) -> None:
        self.plan = planned
        self.networks = {network["name"]: network for network in planned["networks"]}
        self.ipv6 = dict(
            {
                name: network["ipv6_cidr"]
                for name, network in self.networks.items()
                if network["ipv6_cidr"]
            },
            **(hand_made_ipv6 or {}),
        )
        self.tag = f"mnlab{os.getpid()}-"
        self.pods = [f"h{host}-{name}" for host in HOSTS for name in self.networks] + [
            f"h1-{next(iter(self.networks))}-b"
        ]
        self.endpoints = ["h1", "h2", OUTSIDE] + self.pods
        self._guarded: dict[str, str] = {}  # host -> its rules
        self._listeners: dict = {}
        self._senders: dict = {}

    # --- addresses ---

    def subnet(self, name: str, host: int, version: int = 4) -> t.Any:
        """The host's subnet of a network: the second of the range on h1, the third on h2."""
        parent = ipaddress.ip_network(
            self.networks[name]["cidr"] if version == 4 else self.ipv6[name]
        )
        length = 24 if version == 4 else 64
        base = int(parent.network_address) + (host << (parent.max_prefixlen - length))
        return ipaddress.ip_network((base, length))

    def tunnel(self, name: str, host: int, version: int = 4) -> str:
        return str(self.subnet(name, host, version)[0])

    def gateway(self, name: str, host: int, version: int = 4) -> str:
        return str(self.subnet(name, host, version)[1])

    @staticmethod
    def parts(pod: str) -> tuple:
        """Host number, network and number in the subnet of a pod."""
        host, name, *second = pod.split("-")
        return int(host[1:]), name, 11 if second else 10

    def port(self, name: str, number: int) -> str:
        """What the host's end of a pod's interface is called, in the form of the plugin bridge."""
        return f"veth{list(self.networks).index(name):04x}{number:04x}"

    def pod_address(self, pod: str, version: int = 4) -> str:
        host, name, number = self.parts(pod)
        return str(self.subnet(name, host, version)[number])

    def link_local(self, endpoint: str, device: str, sender: str = "") -> str:
        """The device's own link-local address, with the scope that it has for the sender (default:
        for the endpoint itself).
        """
        with self.inside(endpoint), open("/proc/net/if_inet6", encoding="ascii") as handle:
            digits = next(
                fields[0]
                for fields in map(str.split, handle)
                if fields[-1] == device and fields[0].startswith("fe80")
            )
        with self.inside(sender or endpoint):
            scope = socket.if_nametoindex("eth0" if sender else device)
        return f"{ipaddress.IPv6Address(int(digits, 16))}%{scope}"

    def second_address(self, pod: str, name: str) -> str:
        """Address of a pod in a network that it is on besides its own."""
        return str(self.subnet(name, self.parts(pod)[0])[12])

    def underlay(self, host: int, version: int = 4) -> str:
        return f"192.168.9.{host}" if version == 4 else f"fd09::{host}"

    def mac(self, name: str, host: int, version: int = 4) -> str:
        """MAC of the tunnel device, which flannel publishes in its lease."""
        return f"02:00:00:{version:02x}:{list(self.networks).index(name):02x}:{host:02x}"

    # --- building ---

    def ns(self, endpoint: str) -> str:
        return self.tag + endpoint

    def __enter__(self) -> Lab:
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: t.Any) -> None:
        for sock in list(self._listeners) + list(self._senders):
            sock.close()
        for name in ["switch"] + self.endpoints:
            subprocess.run(["ip", "netns", "del", self.ns(name)], capture_output=True, check=False)

    def _ip(self, endpoint: str, commands: t.Sequence[str]) -> None:
        run("ip", "-n", self.ns(endpoint), "-batch", "-", text="\n".join(commands) + "\n")

    def _build(self) -> None:
        run(
            "ip",
            "-batch",
            "-",
            text="".join(f"netns add {self.ns(name)}\n" for name in ["switch"] + self.endpoints),
        )
        for endpoint in self.endpoints:
            # addresses are usable at once
            self.sysctl(endpoint, "ipv6/conf/default/accept_dad", "0")
        wires = []
        for name in ("h1", "h2", OUTSIDE):
            wires.append(
                f"link add eth0 netns {self.ns(name)} type veth peer name {name} netns"
                f" {self.ns('switch')}"
            )
        for pod in self.pods:
            host, name, number = self.parts(pod)
            wires.append(
                f"link add eth0 netns {self.ns(pod)} type veth peer name"
                f" {self.port(name, number)} netns {self.ns(f'h{host}')}"
            )
        run("ip", "-batch", "-", text="\n".join(wires) + "\n")
        self._ip(
            "switch",
            ["link add br0 type bridge", "link set br0 up"]
            + [
                line
                for name in ("h1", "h2", OUTSIDE)
                for line in (f"link set {name} master br0", f"link set {name} up")
            ],
        )
        for name, host in (("h1", 1), ("h2", 2), (OUTSIDE, 100)):
            self._ip(
                name,
                [
                    "link set lo up",
                    "link set eth0 up",
                    f"addr add {self.underlay(host)}/24 dev eth0",
                    f"addr add {self.underlay(host, 6)}/64 dev eth0 nodad",
                ],
            )
        for host in HOSTS:
            for path in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
                self.sysctl(f"h{host}", path, "1")
            for name in self.networks:
                self._build_network(name, host)
        for pod in self.pods:
            self._build_pod(pod)
        self.listen()

    def listen(self) -> None:
        """From now on every endpoint answers on PORT."""
        for endpoint in self.endpoints:
            with self.inside(endpoint):
                for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                    sock = socket.socket(family, socket.SOCK_DGRAM)
                    if family == socket.AF_INET6:
                        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    sock.bind((any_address, PORT))
                    self._listeners[sock] = endpoint

    def _build_network(self, name: str, host: int) -> None:
        """What the bridge plugin and flanneld make of a lease (flannel,
        pkg/backend/vxlan/vxlan_network.go, pkg/backend/route_network.go).
        """
        network, other = self.networks[name], 3 - host
        number = list(self.networks).index(name)
        # in the place of what this kernel may not have (WireGuard, IP in IP): VXLAN of that name
        backend = {"vni": 90 + number, "port": 4090 + number}
        backend.update(network["backend"] if network["backend"]["type"] == "vxlan" else {})
        versions = (4, 6) if name in self.ipv6 else (4,)
        bridge = network["bridge"]
        lines = [f"link add {bridge} type bridge", f"link set {bridge} up"]
        for number in (
            number
            for where, of, number in map(self.parts, self.pods)
            if (where, of) == (host, name)
        ):
            port = self.port(name, number)
            lines += [f"link set {port} master {bridge}", f"link set {port} up"]
        made = set()
        for version in versions:
            length = 24 if version == 4 else 64
            lines.append(
                f"addr add {self.gateway(name, host, version)}/{length} dev {bridge}"
                + (" nodad" if version == 6 else "")
            )
            there = self.subnet(name, other, version)
            device = (network["device_v6"] if version == 6 else None) or network["device"]
            if not device:
                lines.append(f"route add {there} via {self.underlay(other, version)} dev eth0")
                continue
            outer = 6 if device == network["device_v6"] else 4
            if device not in made:
                lines.append(
                    f"link add {device} address {self.mac(name, host, outer)} type vxlan id"
                    f" {backend['vni']} dstport {backend['port']} local"
                    f" {self.underlay(host, outer)} dev eth0 nolearning"
                )
                lines.append(f"link set {device} up")
                run("ip", "-n", self.ns(f"h{host}"), "-batch", "-", text="\n".join(lines) + "\n")
                lines = []
                run(
                    "bridge",
                    "-n",
                    self.ns(f"h{host}"),
                    "fdb",
                    "add",
                    self.mac(name, other, outer),
                    "dev",
                    device,
                    "dst",
                    self.underlay(other, outer),
                )
                made.add(device)
            peer = self.tunnel(name, other, version)
            lines.append(
                f"addr add {self.tunnel(name, host, version)}/{32 if version == 4 else 128} dev"
                f" {device}" + (" nodad" if version == 6 else "")
            )
            lines.append(
                f"neigh add {peer} lladdr {self.mac(name, other, outer)} dev {device} nud permanent"
            )
            lines.append(f"route add {there} via {peer} dev {device} onlink")
        self._ip(f"h{host}", lines)

    def _build_pod(self, pod: str) -> None:
        host, name, _number = self.parts(pod)
        lines = ["link set lo up", "link set eth0 up"]
        for version in (4, 6) if name in self.ipv6 else (4,):
            lines.append(
                f"addr add {self.pod_address(pod, version)}/{24 if version == 4 else 64} dev eth0"
                + (" nodad" if version == 6 else "")
            )
            lines.append(f"route add default via {self.gateway(name, host, version)}")
        self._ip(pod, lines)

    @contextlib.contextmanager
    def inside(self, endpoint: str) -> t.Iterator[None]:
        """Run the body in the endpoint's namespace; sockets opened there stay there."""
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = os.open("/run/netns/" + self.ns(endpoint), os.O_RDONLY)
        try:
            if _libc.setns(there, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            yield
        finally:
            _libc.setns(home, CLONE_NEWNET)
            os.close(there)
            os.close(home)

    def sysctl(self, endpoint: str, path: str, value: str) -> None:
        """path: below /proc/sys/net."""
        with self.inside(endpoint), open("/proc/sys/net/" + path, "w", encoding="ascii") as handle:
            handle.write(value)

    # --- rules ---

    def run(self, endpoint: str, *command: str, text: str = "") -> str:
        """Run a command in the endpoint's network namespace."""
        return run("ip", "netns", "exec", self.ns(endpoint), *command, text=text)

    def nft(self, text: str, hosts: t.Sequence[str] = ("h1", "h2")) -> None:
        for host in hosts:
            self.run(host, "nft", "-f", "-", text=text)

    def flannel_rules(self) -> None:
        """What flanneld with its defaults installs for every network (pkg/trafficmngr/iptables), on
        hosts where docker set FORWARD to DROP.
        """
        for host in HOSTS:
            nat = ["*nat", ":FLANNEL-POSTRTG - [0:0]", "-A POSTROUTING -j FLANNEL-POSTRTG"]
            forward = [
                "*filter",
                ":FORWARD DROP [0:0]",
                ":FLANNEL-FWD - [0:0]",
                "-A FORWARD -j FLANNEL-FWD",
            ]
            for network in self.networks.values():
                cidr = network["cidr"]
                nat += [
                    f"-A FLANNEL-POSTRTG -s {cidr} -d {cidr} -j RETURN",
                    f"-A FLANNEL-POSTRTG -s {cidr} ! -d 224.0.0.0/4 -j MASQUERADE --random-fully",
                ]
                forward += [
                    f"-A FLANNEL-FWD -s {cidr} -j ACCEPT",
                    f"-A FLANNEL-FWD -d {cidr} -j ACCEPT",
                ]
            self.run(
                f"h{host}",
                "iptables-nft-restore",
                text="\n".join(nat + ["COMMIT"] + forward + ["COMMIT", ""]),
            )

    def flush(self) -> None:
        self.nft("flush ruleset\n")
        self._guarded.clear()

    def guard(self, planned: dict | None = None, hosts: t.Sequence[str] = ("h1", "h2")) -> None:
        """What the collection keeps the networks apart with, by its defaults. planned: another plan
        of the same networks.
        """
        rules = ruleset(planned or self.plan, LEASES, underlay_interface="eth0")
        self._guarded.update(dict.fromkeys(hosts, rules))
        self.look_again()

    def look_again(self) -> None:
        """What the guards do when the kernel tells of devices and routes."""
        for host, rules in self._guarded.items():
            with self.inside(host):
                sets = filled(rules)
            self.nft(rules + sets, [host])

    # --- probes ---

    def send(
        self,
        sender: str,
        address: str,
        port: int = PORT,
        payload: bytes | None = None,
        forged: str = "",
        source_port: int = 0,
    ) -> str:
        """Send one UDP packet, and return the token in it.

        forged: a source address that the sender does not have. source_port: 0 is a new one.

        Raises OSError when the sender itself could not send: silence that follows would prove
        nothing.
        """
        token = uuid.uuid4().hex
        version = ipaddress.ip_address(address).version
        with self.inside(sender):
            sock = socket.socket(
                socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM
            )
        self._senders[sock] = token
        if forged:
            level, option = (
                (socket.IPPROTO_IP, IP_TRANSPARENT)
                if version == 4
                else (socket.IPPROTO_IPV6, IPV6_TRANSPARENT)
            )
            sock.setsockopt(level, option, 1)
            sock.bind(_socket_address(forged, source_port))
        elif source_port:
            sock.bind(_socket_address("0.0.0.0" if version == 4 else "::", source_port))
        sock.sendto(token.encode() if payload is None else payload, _socket_address(address, port))
        return token

    def inject(
        self, sender: str, address: str, victim: str, forged: str = "", source_port: int = 0
    ) -> str:
        """Speak VXLAN to a node's address, as if the victim's network had a packet for the victim.

        Returns the token inside.
        """
        token, message = self.vxlan(victim, ipaddress.ip_address(address).version)
        port = self.networks[self.parts(victim)[1]]["backend"]["port"]
        self.send(sender, address, port, message, forged, source_port)
        return token

    def vxlan(self, victim: str, outer: int = 4) -> tuple[str, bytes]:
        """Return a token, and the VXLAN message that brings it to a pod in its own network.

        outer: the IP version that it travels by.
        """
        number, name, _number = self.parts(victim)
        network = self.networks[name]
        token = uuid.uuid4().hex
        inner = udp_packet(self.tunnel(name, 3 - number), self.pod_address(victim), token.encode())
        ethernet = bytes.fromhex(
            self.mac(name, number, outer).replace(":", "") + "020000000099" + "0800"
        )
        head = struct.pack("!II", 0x08000000, network["backend"]["vni"] << 8)
        return token, head + ethernet + inner

    def frame(self, sender: str, mac: str, packet: bytes) -> None:
        """Put an IP packet on the sender's wire, to a MAC address of its bridge's network."""
        with self.inside(sender):
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
        with wire:
            wire.sendto(packet, ("eth0", kind, 0, 0, bytes.fromhex(mac.replace(":", ""))))

    def bridge_mac(self, name: str, host: int) -> str:
        """MAC of the gateway of a network's pods."""
        with self.inside(f"h{host}"):
            answer = run("ip", "-j", "link", "show", self.networks[name]["bridge"])
        return json.loads(answer)[0]["address"]

    def receipts(self, tokens: t.Iterable[str], least: int = 0, answers: int = 0) -> dict:
        """Token -> Receipt of those that arrived, until nothing came for SILENCE seconds.

        Every arrival is answered, once: a listener that hears another one's answer ends it.
        least, answers: so many have to arrive and be answered, however long a busy kernel takes.
        """
        missing, arrived, answered, heard = set(tokens), {}, set(), set()
        # the clock alone would not do: what came while this process had no processor counts too
        for sock in heard_from(
            [*self._listeners, *self._senders],
            lambda: len(arrived) >= least and len(answered) >= answers,
        ):
            try:
                data, source = sock.recvfrom(2048)
            except OSError:  # an ICMP error of an earlier probe
                continue
            token = data.decode("ascii", "replace")
            if sock in self._senders:
                answered.add(token)
            else:
                arrived[token] = (self._listeners[sock], source[0])
                missing.discard(token)
                if (token, sock) not in heard:
                    heard.add((token, sock))
                    with contextlib.suppress(OSError):
                        sock.sendto(data, source)
            if not missing and set(arrived) <= answered:
                break
        for sock in self._senders:
            sock.close()
        self._senders.clear()
        return {
            token: Receipt(at, source, token in answered) for token, (at, source) in arrived.items()
        }

    def probe(self, cells: t.Sequence[tuple], least: int = 0, answers: int = 0) -> dict:
        """cells: (sender, address) or (sender, address, forged source). least, answers: see
        receipts().

        Returns cell -> Receipt of those that arrived; one wait for all.
        """
        tokens = {
            self.send(cell[0], cell[1], forged=cell[2] if len(cell) > 2 else ""): cell
            for cell in cells
        }
        return {
            tokens[token]: receipt
            for token, receipt in self.receipts(tokens, least, answers).items()
            if token in tokens
        }


def heard_from(
    sockets: t.Sequence[socket.socket], enough: t.Callable[[], bool] = lambda: True
) -> t.Iterator[socket.socket]:
    """Yield each of the sockets that has something to be received, until nothing came for SILENCE
    seconds and it is enough(), or for PATIENCE.
    """
    end = time.monotonic() + PATIENCE
    while True:
        ready = select.select(sockets, [], [], SILENCE)[0]
        if not ready and (enough() or time.monotonic() > end):
            return
        yield from ready


def _socket_address(address: str, port: int) -> tuple:
    """What socket functions take; they would forget the scope that follows a %."""
    host, _percent, scope = address.partition("%")
    return (host, port, 0, int(scope or 0)) if ":" in host else (host, port)


def udp_packet(source: str, target: str, payload: bytes) -> bytes:
    """An IPv4 packet with a UDP datagram to PORT (RFC 791, RFC 768; no UDP checksum)."""
    udp = struct.pack("!HHHH", 40000, PORT, 8 + len(payload), 0) + payload
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x45,
        0,
        20 + len(udp),
        1,
        0,
        64,
        17,
        0,
        socket.inet_aton(source),
        socket.inet_aton(target),
    )
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return header[:10] + struct.pack("!H", checksum) + header[12:] + udp
