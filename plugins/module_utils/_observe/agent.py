# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The listener of a measurement: one process a host, with sockets in every attached namespace and
in the host's own.

It notes every token of its run that arrives, answers those that ask for it by the pod's own routes,
and ends itself at a deadline. A packet socket sees what is delivered to a pod's interface before
the pod's own filters; the host's own listener is an ordinary UDP socket, because there the guard of
the host decides what arrives.

Runs on hosts, standard library alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import glob
import json
import os
import selectors
import shutil
import signal
import socket
import struct
import time
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

from .._cni import files
from . import frames, netns
from .ends import Facts, endpoints, node_addresses

ETH_P_ALL = 3
PACKET_OTHERHOST, PACKET_OUTGOING = 3, 4
SO_ATTACH_FILTER, SO_RCVBUFFORCE = 26, 33
SOL_PACKET, PACKET_STATISTICS = 263, 6
IP_PKTINFO = 8
RECEIVE_BUFFER = 8 << 20
SNAP = 1024  # bytes of a frame that are looked at: the token is within


_Handler = Callable[[socket.socket, str], Any]  # reads one message; the name is the listener's


class AgentError(Exception):
    """The listener cannot be started or asked; the text says why and what to do."""


def packet_socket(program: bytes, interface: str | None = None) -> socket.socket:
    """Return a non-blocking packet socket of the current namespace, on all interfaces or one,
    behind a BPF program (bytes).
    """
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    code = ctypes.create_string_buffer(program)
    sock.setsockopt(
        socket.SOL_SOCKET,
        SO_ATTACH_FILTER,
        struct.pack("HL", len(program) // 8, ctypes.addressof(code)),
    )
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    sock.setblocking(False)
    if interface:
        sock.bind((interface, ETH_P_ALL))
    else:
        _bind_all(sock)
    return sock


def _bind_all(sock: socket.socket) -> None:
    """Bind a packet socket to every interface (index 0), which Python's own bind cannot say."""
    address = struct.pack("=HHiHBB8x", socket.AF_PACKET, socket.htons(ETH_P_ALL), 0, 0, 0, 0)
    if ctypes.CDLL(None, use_errno=True).bind(sock.fileno(), address, len(address)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"bind to all interfaces: {os.strerror(number)}")


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
    not say (not the first namespace).
    """
    total = None
    for path in glob.glob("/proc/net/stat/arp_cache") + glob.glob("/proc/net/stat/ndisc_cache"):
        with contextlib.suppress(OSError, ValueError):
            with open(path, encoding="ascii") as file:
                lines = [line.split() for line in file]
            column = lines[0].index("table_fulls")
            total = (total or 0) + sum(int(line[column], 16) for line in lines[1:])
    return total


def directory(runtime_dir: str, run: str) -> str:
    """Return where the listener of a measurement keeps its files."""
    return os.path.join(runtime_dir, "probe-" + run)


class Listener:
    """The sockets of one host's listener and what they have heard."""

    def __init__(self, run: str, port: int, facts: Facts) -> None:
        self.run, self.host, self.stopped = run, facts["host"], False
        self.sockets: list[tuple[socket.socket, str]] = []
        self.problems: list[str] = []
        self.heard: dict[tuple[str, ...], dict[str, Any]] = {}  # receipts, see read_receipts()
        self.witnessed: dict[str, int] = {}
        self.watch = selectors.DefaultSelector()
        requests = frames.requests_filter(port)
        for pod in facts["pods"]:
            name = f"{self.host}/{pod['label']}"
            try:
                with netns.inside(pod["netns"], pod["inode"]):
                    self._add(packet_socket(requests), self._on_packet, name)
                    self._answering(port, name, self._answer)
            except OSError as error:
                self.problems.append(
                    f"{name}: no listener in its namespace {pod['netns']}: {error}."
                )
        self._answering(port, self.host, self._on_host_token)
        # At the pods' host-side ends every frame a pod sends is seen, before any filter of the
        # host, br_netfilter's included.
        self.peers = {interface["peer"] for pod in facts["pods"] for interface in pod["interfaces"]}
        self._add(packet_socket(requests), self._on_sent, self.host)

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
            for key, dummy in self.watch.select(timeout=0.2):
                handler, name = key.data
                for dummy in range(256):
                    try:
                        handler(key.fileobj, name)
                    except OSError:
                        # nothing more, or an interface went away, whose control will be missing
                        break
            new = [receipt for receipt in self.heard.values() if not receipt["written"]]
            for receipt in new:
                receipt["written"] = True
                receipts.write(
                    json.dumps({key: receipt[key] for key in receipt if key != "written"}) + "\n"
                )
            if new:
                receipts.flush()

    def stop(self, *dummy: Any) -> None:
        """Let serve() return; also a handler of signals."""
        self.stopped = True

    def _note(
        self, token: dict[str, str], at: str, interface: str, source: str, address: str | None
    ) -> None:
        receipt = self.heard.setdefault(
            (token["cell"], at, interface, source),
            {
                "cell": token["cell"],
                "at": at,
                "interface": interface,
                "source": source,
                "claimed": token["name"],
                "address": address,
                "time": round(time.time(), 3),
                "count": 0,
                "written": False,
            },
        )
        receipt["count"] += 1

    def _on_packet(self, sock: socket.socket, name: str) -> None:
        frame, (interface, dummy, kind, *dummy) = sock.recvfrom(SNAP)
        said = frames.parse(frame) if kind not in (PACKET_OTHERHOST, PACKET_OUTGOING) else None
        if said:
            token = frames.read_token(said.get("payload", b""), self.run)
            if token and token["type"] != "=":
                self._note(token, name, interface, said["src"], said["dst"])

    def _on_sent(self, sock: socket.socket, dummy: str) -> None:
        frame, (interface, dummy, kind, *dummy) = sock.recvfrom(SNAP)
        said = frames.parse(frame) if kind != PACKET_OUTGOING and interface in self.peers else None
        token = said and frames.read_token(said.get("payload", b""), self.run)
        if token:
            kind, dummy, origin = token["cell"].split("|")[:3]
            self.witnessed[f"{kind}|{origin}"] = self.witnessed.get(f"{kind}|{origin}", 0) + 1

    def _on_host_token(self, sock: socket.socket, name: str) -> None:
        token, asked, asker = self._answer(sock, name)
        if token and token["type"] != "=":
            self._note(token, name, "", asker, asked)

    def _answer(
        self, sock: socket.socket, name: str
    ) -> tuple[dict[str, str] | None, str | None, str]:
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
        return token, asked, asker[0].split("%")[0]

    def close(self) -> None:
        """Close every socket."""
        for sock, dummy in self.sockets:
            sock.close()

    def summary(self) -> dict[str, Any]:
        """Return what is known only at the end: {"witnessed", "drops": {name: frames lost for want
        of room}}.
        """
        drops: dict[str, int] = {}
        for sock, name in self.sockets:
            if sock.family == socket.AF_PACKET:
                lost = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
                drops[name] = drops.get(name, 0) + lost
        return {
            "witnessed": self.witnessed,
            "drops": {name: lost for name, lost in drops.items() if lost},
        }


def start(run: str, port: int, facts: Facts, runtime_dir: str, deadline: float) -> dict[str, Any]:
    """Start the listener of this host and prove that it hears; it ends itself after deadline
    seconds.

    Returns {"problems": [sentences], "table_fulls": int or None}. Raises AgentError if another
    measurement runs here.
    """
    refuse_second(runtime_dir)
    place = directory(runtime_dir, run)
    os.makedirs(place, mode=0o700)
    lock = os.open(os.path.join(place, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    listener = Listener(run, port, facts)
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
        files.write(os.path.join(place, "summary"), json.dumps(listener.summary()))
        status = 0
    finally:
        os.close(lock)
        os._exit(status)


def running(place: str) -> int | None:
    """Return the pid of the live listener of the directory place, None if it has ended."""
    try:
        with open(os.path.join(place, "lock"), encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
    except BlockingIOError:
        pass
    except OSError:
        return None
    try:
        with open(os.path.join(place, "pid"), encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def refuse_second(runtime_dir: str) -> None:
    """Remove what ended measurements left under runtime_dir; raise AgentError if one is still
    running.
    """
    for place in glob.glob(os.path.join(runtime_dir, "probe-*")):
        pid = running(place)
        if pid is not None:
            raise AgentError(
                f"Another measurement is running on this host (process {pid}, {place}). Let it end"
                " (it does so by itself), or stop that process."
            )
        shutil.rmtree(place, ignore_errors=True)


def control(run: str, port: int, facts: Facts, when: str) -> None:
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


def _wait_for_controls(place: str, facts: Facts, when: str, patience: float = 5.0) -> None:
    """Wait until every listener has its control, at most patience seconds."""
    waiting = {(end["pod"], end["interface"]) for end in endpoints([facts])} | {
        (facts["host"], node["id"]) for node in node_addresses([facts])
    }
    until = time.monotonic() + patience
    while waiting and time.monotonic() < until:
        time.sleep(0.05)
        for receipt in read_receipts(place):
            if receipt["cell"].startswith("control-" + when):
                waiting.discard(
                    (receipt["at"], receipt["interface"] or receipt["cell"].split("|")[2])
                )


def read_receipts(place: str) -> list[dict[str, Any]]:
    """Return the receipts noted so far: [{"cell", "at", "interface", "source", "claimed",
    "address", "time", "count"}].
    """
    found = []
    with (
        contextlib.suppress(OSError),
        open(os.path.join(place, "receipts"), encoding="ascii") as file,
    ):
        for line in file:
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
    return found


def collect(run: str, port: int, facts: Facts, runtime_dir: str) -> dict[str, Any]:
    """Prove once more that the listener hears, stop it, and return what it heard.

    {"alive": bool, "receipts": [...], "witnessed": {"kind|sender": frames the host saw}, "drops":
    {listener: frames lost}, "table_fulls": int or None, "gone": pods that are no longer there}
    """
    place = directory(runtime_dir, run)
    pid = running(place)
    if pid:
        control(run, port, facts, "end")
        _wait_for_controls(place, facts, "end")
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + 5
        while running(place) is not None and time.monotonic() < until:
            time.sleep(0.02)
    result = {
        "alive": bool(pid),
        "receipts": read_receipts(place),
        "witnessed": {},
        "drops": {},
        "table_fulls": table_fulls(),
        "gone": [f"{facts['host']}/{pod['label']}" for pod in facts["pods"] if has_gone(pod)],
    }
    with (
        contextlib.suppress(OSError, ValueError),
        open(os.path.join(place, "summary"), encoding="ascii") as file,
    ):
        result.update(json.load(file))
    shutil.rmtree(place, ignore_errors=True)
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
