# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The listener of a measurement: one process a host, with sockets in every attached namespace and
in the host's own.

It notes every token of its run that arrives, answers those that ask for it by the pod's own routes,
and ends itself at a deadline. A packet socket sees what is delivered to a pod's interface before
the pod's own filters. The host's own listeners are ordinary sockets (UDP, and raw ones of TCP and
ICMP), because there the guard of the host decides what arrives. What passes the host's ends of the
pods' veths is witness.py's.

Runs on hosts, standard library alone.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any, NoReturn, TextIO

from .._cni import files, rtnetlink
from . import frames, netns, runs_here, ways_out
from .ends import Facts, end_id, endpoints, node_addresses
from .witness import PACKET_AUXDATA, Ledger, Witness

ETH_P_ALL = 3
SO_ATTACH_FILTER, SO_RCVBUFFORCE = 26, 33
SOL_PACKET, PACKET_STATISTICS = 263, 6
PACKET_IGNORE_OUTGOING = 23  # Linux 4.20
SO_MEMINFO = 55  # nine numbers, the last is what was dropped
IP_PKTINFO = 8
RECEIVE_BUFFER = 8 << 20
SNAP = 2048  # bytes of a frame that are looked at: the token is within
# Nobody but a pod that sends a token again, by other names, comes near these.
SOURCES = 4  # of one token at one interface
CLOSING = 32  # sockets at a time
AFTER = 60  # seconds for which what was heard is kept, if nobody collects it
RECEIPTS = 500_000  # of one listener; more are counted as lost
CONTROL_SECONDS = 5.0  # for which a phase waits until all listeners have had a control
PAUSE = 0.01  # seconds between two looks at all sockets: what has come is read in one go


_libc = ctypes.CDLL(None, use_errno=True)
_ADDRESS = struct.Struct("=HHi12x")  # struct sockaddr_ll: family, protocol, interface, ...

_Handler = Callable[[socket.socket, str], Any]  # reads one message; the name is the listener's


def packet_socket(
    program: bytes, interface: str | None = None, outgoing: bool = True
) -> socket.socket:
    """Return a non-blocking packet socket of the current namespace, on all interfaces or one,
    behind a BPF program (bytes). outgoing: whether that is to see what goes out.
    """
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    _attach_filter(sock, program)
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    if not outgoing:
        with contextlib.suppress(OSError):  # it costs the kernel a copy, whatever the program says
            sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    sock.setblocking(False)
    if interface:
        sock.bind((interface, ETH_P_ALL))
    else:
        bind(sock, 0, ETH_P_ALL)
    return sock


def close(sockets: Iterable[socket.socket]) -> None:
    """Close sockets, at the same time: for each packet socket the kernel waits until no processor
    looks at it any more, which takes it 5 to 20 ms.
    """
    with concurrent.futures.ThreadPoolExecutor(CLOSING) as pool:
        list(pool.map(socket.socket.close, sockets))


def _attach_filter(sock: socket.socket, program: bytes) -> None:
    code = ctypes.create_string_buffer(program)
    filled = struct.pack("HL", len(program) // 8, ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filled)


def raw_socket(family: int, protocol: int, port: int) -> socket.socket:
    """Return a non-blocking socket of the current namespace that hears what of a protocol is for
    the tokens and for the host itself, behind its filters.
    """
    sock = socket.socket(family, socket.SOCK_RAW, protocol)
    _attach_filter(sock, frames.local_filter(family == socket.AF_INET6, protocol, port))
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    sock.setblocking(False)
    return sock


def bind(sock: socket.socket, index: int, protocol: int = 0) -> None:
    """Bind a packet socket to an interface, 0 is every one. Python's own bind wants a name that is
    text, which a pod need not give.
    """
    address = _ADDRESS.pack(socket.AF_PACKET, socket.htons(protocol), index)
    if _libc.bind(sock.fileno(), address, len(address)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"bind to interface {index}: {os.strerror(number)}")


def receive(sock: socket.socket) -> tuple[bytes, int]:
    """Return a frame and the index of the interface by which it came; see bind()."""
    frame, address = (ctypes.create_string_buffer(size) for size in (SNAP, _ADDRESS.size))
    size = ctypes.c_uint32(_ADDRESS.size)
    length = _libc.recvfrom(sock.fileno(), frame, SNAP, 0, address, ctypes.byref(size))
    if length < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return frame.raw[:length], _ADDRESS.unpack(address)[2]


def answering_socket(family: int, port: int) -> socket.socket:
    """Return a non-blocking UDP socket of the current namespace on port that learns which address
    was asked.
    """
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    sock.setblocking(False)
    sock.bind(("", port))
    return sock


def table_fulls() -> int | None:
    """Return how often the kernel found its IPv4 and IPv6 neighbour tables full, None where it does
    not say.
    """
    with contextlib.suppress(OSError), rtnetlink.Channel() as kernel:
        return kernel.full_neighbour_tables()
    return None


class Listener:
    """The sockets of one host's listener and what they have heard."""

    def __init__(
        self, run: frames.Run, port: int, facts: Facts, tunnels: Collection[int] = ()
    ) -> None:
        """tunnels: the UDP ports of all tunnels, see ends.tunnel_ports()."""
        self.run, self.host, self.stopped = run, facts["host"], False
        self.sockets: list[tuple[socket.socket, str]] = []
        self.problems: list[str] = []
        # Receipts, see read_receipts(), by token, listener, interface and protocol, and by source
        self.heard: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
        self.new: list[dict[str, Any]] = []
        self.receipts: dict[str, int] = {}  # number, by listener
        self.lost: dict[str, int] = {}  # by listener
        # How often a token that asks for an answer came again, by the key of its receipts
        self.again: collections.Counter[tuple[str, str, str, str]] = collections.Counter()
        # What came to the host by a way out, ahead of its filters: by source, as those it heard
        self.came: dict[tuple[str, str, str, str], dict[str, dict[str, Any]]] = {}
        # What the host delivered to a pod, which need not say so
        self.delivered: dict[tuple[str, str, str, str], dict[str, Any]] = {}
        # What facts call the interfaces of pods, by index and the pod's listener
        self.interfaces: dict[tuple[str, int], str] = {}
        self.watch = selectors.DefaultSelector()
        self.witness = Witness(run, port, facts)
        requests = frames.incoming(frames.requests_filter([port]))
        for pod in facts["pods"]:
            name = f"{self.host}/{pod['label']}"
            for interface in pod["interfaces"]:
                self.interfaces[name, interface["index"]] = interface["name"]
            try:
                with netns.inside(pod["netns"], pod["inode"]):
                    self._add(packet_socket(requests, outgoing=False), self._on_packet, name)
                    self._answering(port, name, self._answer)
            except OSError as error:
                self.problems.append(
                    f"{name}: no listener in its namespace {pod['netns']}: {error}."
                )
        self._answering(port, self.host, self._on_host_token)
        for family, protocol in (
            (socket.AF_INET, frames.TCP),
            (socket.AF_INET, frames.ICMP),
            (socket.AF_INET6, frames.TCP),
            (socket.AF_INET6, frames.ICMPV6),
        ):
            try:
                self._add(raw_socket(family, protocol, port), self._on_host_packet, self.host)
            except OSError as error:
                if family == socket.AF_INET:
                    self.problems.append(f"{self.host}: no listener for {protocol}: {error}.")
        for address in filter(None, facts["node"]["underlay"].values()):
            coming = frames.incoming(frames.to_address(address, frames.requests_filter([port])))
            with contextlib.suppress(OSError):  # then only what its filters let in is known
                sock = packet_socket(coming, outgoing=False)
                self._add(sock, self._on_way_out, f"{self.host}/@underlay")
        seen = frames.requests_filter({port, *tunnels}, witness=True)
        for peer, end in self.witness.ends.items():
            try:
                self._add(packet_socket(seen, peer), self._on_peer, peer)
            except OSError as error:
                self.problems.append(f"{end['id']}: no witness at its host's end {peer}: {error}.")

    def _answering(self, port: int, name: str, handler: _Handler) -> None:
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                self._add(answering_socket(family, port), handler, name)
            except OSError as error:
                if family == socket.AF_INET:
                    self.problems.append(f"{name}: nothing can answer on UDP port {port}: {error}.")

    def _add(self, sock: socket.socket, handler: _Handler, name: str) -> None:
        self.sockets.append((sock, name))
        self.watch.register(sock, selectors.EVENT_READ, (handler, name))

    def serve(self, until: float, receipts: TextIO) -> None:
        """Note and answer until the clock (time.monotonic) says until or stop() was called; new
        receipts go to the file receipts.
        """
        while time.monotonic() < until and not self.stopped:
            ready = self.watch.select(timeout=0.2)
            time.sleep(PAUSE)
            for key, dummy in ready:
                handler, name = key.data
                for dummy in range(256):
                    try:
                        handler(key.fileobj, name)
                    except OSError:
                        # nothing more, or an interface went away, whose control will be missing
                        break
            if self.new:
                receipts.writelines(json.dumps(receipt) + "\n" for receipt in self.new)
                receipts.flush()
                self.new = []

    def stop(self, *dummy: Any) -> None:
        """Let serve() return; also a handler of signals."""
        self.stopped = True

    def _note(
        self, key: tuple[str, str, str, str], source: str, address: str | None, port: int = 0
    ) -> None:
        """key: the token, the listener, the interface and the protocol. port: the sender's, 0 if
        nobody asks for it.
        """
        sources = self.heard.setdefault(key, {})
        if source in sources:
            return
        if len(sources) >= SOURCES or self.receipts.get(key[1], 0) >= RECEIPTS:
            self.lost[key[1]] = self.lost.get(key[1], 0) + 1
            return
        self.receipts[key[1]] = self.receipts.get(key[1], 0) + 1
        sources[source] = _receipt(key, source, address, True)
        if port:
            sources[source]["port"] = port
        self.new.append(sources[source])

    def _on_packet(self, sock: socket.socket, name: str) -> None:
        frame, index = receive(sock)
        interface = self.interfaces.get((name, index), f"number {index}")
        said = frames.parse(frame)
        token = frames.read_token(said.payload, self.run) if said else None
        if said and token and token["type"] != "=":
            key = (token["cell"], name, interface, said.kind)
            if token["type"] == "?" and key in self.heard:
                self.again[key] += 1
            self._note(key, said.src, said.dst)

    def _on_peer(self, sock: socket.socket, peer: str) -> None:
        found = self.witness.look(sock, peer)
        if found:
            token, said, copy = found
            end = self.witness.ends[peer]
            key = (token["cell"], end["pod"], end["interface"], said.kind)
            if key not in self.delivered:
                receipt = _receipt(key, said.src, said.dst, False)
                self.delivered[key] = dict(receipt, copy=True) if copy else receipt

    def _on_host_token(self, sock: socket.socket, name: str) -> None:
        token, asked, asker = self._answer(sock, name)
        if token and token["type"] != "=":
            self._note((token["cell"], name, "", "udp"), asker[0].split("%")[0], asked, asker[1])

    def _on_host_packet(self, sock: socket.socket, name: str) -> None:
        """Of TCP and ICMP: IPv4 with its header, IPv6 without (RFC 3542 section 3)."""
        packet, control, dummy, asker = sock.recvmsg(SNAP, 256)
        asked = None
        if sock.family == socket.AF_INET6:
            for level, kind, data in control:
                if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                    asked = data[:16]
            if asked is None:
                return
            source = socket.inet_pton(socket.AF_INET6, asker[0].split("%")[0])
            packet = struct.pack("!IHBB", 6 << 28, len(packet), sock.proto, 64) + (
                source + asked + packet
            )
        said = frames.parse(bytes(12) + frames.ethernet("", "", packet))
        token = frames.read_token(said.payload, self.run) if said else None
        if said and token and token["type"] != "=":
            self._note((token["cell"], name, "", said.kind), said.src, said.dst)

    def _on_way_out(self, sock: socket.socket, dummy: str) -> None:
        said = frames.parse(sock.recv(SNAP))
        token = frames.read_token(said.payload, self.run) if said else None
        if said and token and token["type"] != "=" and ways_out.is_of_one(token["cell"]):
            key = (token["cell"], self.host, "", said.kind)
            sources = self.came.setdefault(key, {})
            if len(sources) < SOURCES:
                sources.setdefault(said.src, _receipt(key, said.src, said.dst, False))

    def _answer(
        self, sock: socket.socket, name: str
    ) -> tuple[dict[str, str] | None, str | None, tuple[Any, ...]]:
        payload, control, dummy, asker = sock.recvmsg(SNAP, 256)
        token, asked = frames.read_token(payload, self.run), None
        for level, kind, data in control:
            if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
                asked = socket.inet_ntoa(data[8:12])
                pktinfo = (level, kind, struct.pack("=I4s4s", 0, data[8:12], bytes(4)))
            elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                asked = socket.inet_ntop(socket.AF_INET6, data[:16])
                pktinfo = (level, kind, data[:16] + bytes(4))
        if token and token["type"] == "?" and asked:
            with contextlib.suppress(OSError):  # no route back: the sender will miss the answer
                sock.sendmsg([frames.answer(self.run, token["cell"], name)], [pktinfo], 0, asker)
        return token, asked, asker

    def close(self) -> None:
        """Close every socket."""
        close(sock for sock, dummy in self.sockets)

    def summary(self, sent: Ledger | None) -> dict[str, Any]:
        """Return what is known only at the end: what the witness says (see Witness.account()),
        "drops": {name: frames lost for want of room}, "again": {"token protocol": how often it came
        again to where it was for} and "delivered", receipts of what a pod was given and did not
        see, and of what came to the host by a way out and did not get through its filters.

        sent: what this host has sent, None if that is not known.
        """
        drops = dict(self.lost)
        for sock, name in self.sockets:
            if sock.family == socket.AF_PACKET:
                lost = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
            else:
                lost = struct.unpack("9I", sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))[8]
            drops[name] = drops.get(name, 0) + lost
        return {
            **self.witness.account(sent),
            "drops": {self._name(name): lost for name, lost in drops.items() if lost},
            "again": {
                f"{token} {protocol}": count
                for (token, at, interface, protocol), count in self.again.items()
                if token.split("|")[3:4] == [end_id(at, interface)]
            },
            "delivered": [
                *(receipt for key, receipt in self.delivered.items() if key not in self.heard),
                *(
                    receipt
                    for key, sources in self.came.items()
                    for source, receipt in sources.items()
                    if source not in self.heard.get(key, ())
                ),
            ],
        }

    def _name(self, listener: str) -> str:
        """Return the pod of a host's end, any other listener as it is."""
        end = self.witness.ends.get(listener)
        return end["id"] if end else listener


def _receipt(
    key: tuple[str, ...], source: str, address: str | None, inside: bool
) -> dict[str, Any]:
    """key: the token, the listener, the interface and the protocol."""
    names = ("cell", "at", "interface", "protocol")
    return {**dict(zip(names, key)), "source": source, "address": address, "inside": inside}


def start(
    run: frames.Run,
    port: int,
    facts: Facts,
    runtime_dir: str,
    deadline: float,
    tunnels: Collection[int] = (),
) -> dict[str, Any]:
    """Start the listener of this host and prove that it hears; it ends itself after deadline
    seconds.

    tunnels: the UDP ports of all tunnels, see ends.tunnel_ports().

    Returns {"problems": [sentences], "table_fulls": int or None}. Raises runs_here.TakenError, see
    runs_here.take().
    """
    place = runs_here.directory(runtime_dir, run.name)
    lock = runs_here.take(place, port)
    runs_here.note(place, "until", time.monotonic() + deadline)
    listener = Listener(run, port, facts, tunnels)
    fulls = table_fulls()
    child = os.fork()
    if child == 0:
        _become_agent(listener, place, lock, deadline)
    os.waitpid(child, 0)
    os.close(lock)
    listener.close()
    with open(os.path.join(place, "receipts"), "a", encoding="ascii"):
        pass
    control(run, port, facts, "begin")
    _wait_for_controls(place, facts, "begin")
    return {"problems": listener.problems, "table_fulls": fulls}


def _become_agent(listener: Listener, place: str, lock: int, deadline: float) -> NoReturn:
    """Leave the module's session and serve. Never returns."""
    status = 1
    try:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.chdir("/")
        signal.signal(signal.SIGTERM, listener.stop)
        with open(os.path.join(place, "pid"), "w", encoding="ascii") as file:
            file.write(f"{os.getpid()}\n")
        with open(os.path.join(place, "receipts"), "a", encoding="ascii") as receipts:
            listener.serve(time.monotonic() + deadline, receipts)
        sent = None
        with contextlib.suppress(OSError, ValueError):  # not sent: nothing is believed
            sent = Ledger.load(place)
        files.write(os.path.join(place, "summary"), json.dumps(listener.summary(sent)))
        status = 0
        if not listener.stopped:
            # Nobody has collected it in time. What was heard is kept for who comes late.
            listener.close()
            os.close(lock)
            lock = os.open(os.devnull, os.O_RDONLY)
            time.sleep(min(deadline, AFTER))
            runs_here.remove(place)
    finally:
        os.close(lock)
        os._exit(status)


def control(run: frames.Run, port: int, facts: Facts, when: str) -> None:
    """Send the controls: one broadcast a bridge, which every listener on it must hear, and a
    datagram to each of the host's own addresses and to each interface of a pod that another CNI
    owns.

    when: "begin" or "end".
    """
    host = facts["host"]
    for network, side in facts["node"]["networks"].items():
        bridge = side["bridge"]
        if bridge:
            name = "|".join(("control-" + when, "4", f"{host}/@{network}"))
            packet = frames.udp(
                "0.0.0.0", "255.255.255.255", port + 1, port, frames.token(run, name, None, False)
            )
            # That of a bridge that is down stays missing, and says so.
            with (
                contextlib.suppress(OSError),
                socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock,
            ):
                sock.bind((bridge["name"], 0))
                sock.send(frames.ethernet(bridge["mac"], frames.BROADCAST, packet))
    targets = [
        (node["family"], node["id"], node["address"]) for node in node_addresses([facts])
    ] + [
        (family, end["id"], address)
        for end in endpoints([facts])
        if end["external"]
        for family, address in end["addresses"].items()
        if address
    ]
    for family, place, address in targets:
        name = "|".join(("control-" + when, family, place))
        domain = socket.AF_INET6 if family == "6" else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(domain, socket.SOCK_DGRAM) as sock:
            sock.sendto(frames.token(run, name, address, False), (address, port))


def _wait_for_controls(place: str, facts: Facts, when: str) -> None:
    """Wait until every listener has its control, at most CONTROL_SECONDS."""
    waiting = {(end["pod"], end["interface"]) for end in endpoints([facts])} | {
        (facts["host"], node["id"]) for node in node_addresses([facts])
    }
    until, offset = time.monotonic() + CONTROL_SECONDS, 0
    while waiting and time.monotonic() < until:
        time.sleep(0.05)
        receipts, offset = _receipts_after(place, offset, "control-" + when)
        for receipt in receipts:
            waiting.discard((receipt["at"], receipt["interface"] or receipt["cell"].split("|")[2]))


def read_receipts(place: str) -> list[dict[str, Any]]:
    """Return the receipts noted so far: [{"cell" (the token), "at", "interface", "protocol"
    ("udp"|"tcp"|"icmp"|...), "source", "address", "inside": whether the receiver itself saw it}],
    of datagrams to the host itself also "port", from which.
    """
    return _receipts_after(place, 0)[0]


def _receipts_after(place: str, offset: int, begin: str = "") -> tuple[list[dict[str, Any]], int]:
    """Return the receipts noted after so many bytes of the tokens that begin so, and how many bytes
    there are with all.
    """
    try:
        with open(os.path.join(place, "receipts"), "rb") as file:
            file.seek(offset)
            noted = file.read()
    except OSError:
        return [], offset
    whole = noted[: noted.rfind(b"\n") + 1]  # the listener may be writing the next
    found = []
    for line in whole.decode("ascii").splitlines():
        if f'"cell": "{begin}' in line:
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
    return found, offset + len(whole)


def collect(run: frames.Run, port: int, facts: Facts, runtime_dir: str) -> dict[str, Any]:
    """Prove once more that the listener hears, stop it, and return what it heard.

    {"alive": bool, "receipts": [...], "witnessed", "unwitnessed", "handed_on", "too_big",
    "suspects" (see Witness.account()), "drops": {listener: frames lost}, "again": see
    Listener.summary(),
    "table_fulls": int or None, "gone": pods that are no longer there}
    """
    place = runs_here.directory(runtime_dir, run.name)
    pid = runs_here.running(place)
    if pid:
        control(run, port, facts, "end")
        _wait_for_controls(place, facts, "end")
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + 5
        while runs_here.running(place) is not None and time.monotonic() < until:
            time.sleep(0.02)
    result: dict[str, Any] = {
        "alive": bool(pid),
        "receipts": [],
        "witnessed": {},
        "unwitnessed": None,
        "handed_on": {},
        "too_big": {},
        "suspects": [],
        "drops": {},
        "again": {},
        "delivered": [],
        "table_fulls": table_fulls(),
        "gone": [f"{facts['host']}/{pod['label']}" for pod in facts["pods"] if has_gone(pod)],
    }
    with (
        contextlib.suppress(OSError, ValueError),
        open(os.path.join(place, "summary"), encoding="ascii") as file,
    ):
        result.update(json.load(file))
    result["receipts"] = [*read_receipts(place), *result.pop("delivered")]
    runs_here.remove(place)
    return result


def has_gone(pod: dict[str, Any]) -> bool:
    """True if a pod's namespace, or one of the veths that led to it, is no longer there."""
    try:
        for interface in pod["interfaces"]:
            if interface["peer"]:
                socket.if_nametoindex(interface["peer"])
        return os.stat(pod["netns"]).st_ino != pod["inode"]
    except OSError:
        return True
