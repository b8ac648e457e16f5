# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sender of a measurement: one host's share of the tokens, sent from inside each namespace, and
the answers that come back.

Runs on hosts, standard library alone; send_from_outside() on the controller.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import hashlib
import itertools
import os
import random
import socket
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

from . import agent, frames, kinds, netns, runs_here, ways_out
from .agent import packet_socket
from .cells import ALL, Cell, Sample, cells, token_name, wants_answer
from .ends import OUTSIDE, End, Facts, end_id, endpoints, host_end
from .witness import Ledger

SO_BINDTODEVICE, SO_BINDTOIFINDEX = 25, 62
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_PROBE = 10, 23, 3
IP_MTU, IPV6_MTU = 14, 24
SMALLER = 8  # bytes that an error takes off the MTU of a way that nobody uses
SMALLEST = {"4": 576, "6": 1280}  # MTUs
SYN_TOKEN = 128  # bytes: more than the options of any SYN, see frames.requests_filter()
MUCH = 0.05  # of the cells of a way: half of losses.SHARE
BURST = 100  # datagrams between two looks at the clock and at the answers
TOO_LATE = "the measurement's deadline came before"
CONTROLS = "controls"  # instead of a path: the seat of ways_out.controls()
INNER_MAC = "02:00:00:00:00:01"  # of the frame in a forged VXLAN message: anybody's


class Task(NamedTuple):
    """What one host, or the controller, is to send."""

    run: frames.Run
    port: int  # UDP port of the tokens
    plan: dict[str, Any]
    facts: Sequence[Facts]  # of all hosts that take part
    host: str  # the name of this one, or OUTSIDE
    cluster: dict[str, Any] | None = None  # see cells.cells()
    sample: Sample = ALL
    rounds: int = 3  # how often what must arrive is sent until it is answered
    wait: float = 0.5  # seconds for answers after each round
    late: float = 5.0  # seconds without a further answer after which no more are waited for
    runtime_dir: str = ""  # where the listener keeps its files
    rate: int = 20_000  # datagrams a second at most: no queue of a kernel overflows

    def share(self) -> list[Cell]:
        """Return this sender's share of the cells."""
        return list(
            cells(
                self.plan,
                self.facts,
                sample=self.sample,
                only_from=self.host,
                cluster=self.cluster,
                outside=self.host == OUTSIDE,
            )
        )


def digest(wanted: Iterable[Cell]) -> str:
    """Return the fingerprint of a list of cells, by which sender and verdict know that they mean
    the same.
    """
    return hashlib.sha256("\n".join(cell["id"] for cell in wanted).encode("ascii")).hexdigest()


def send(task: Task) -> dict[str, Any]:
    """Send a host's share of the tokens, and note the answers.

    What must not arrive, or is not answered, is sent twice, but what a neighbour has noted once;
    all else until it is answered, at most task.rounds times, and a way on which much was lost once
    more as a whole; nothing after the deadline of the listener.

    Returns {"cells": int, "digest": str, "sent": int, "errors": {cell id: why nothing could be
    sent}, "answers": {cell id, or one of ways_out.controls(): [{"by", "channel"}]}, "noted": number
    of tokens whose frames the witness is to compare, "again": {cell id: how often more than once it
    was sent, of those that ask for an answer}, "seconds": float}.
    """
    started = time.monotonic()
    wanted = task.share()
    sending = _Sending(task, wanted)
    sending.try_ways_out()
    for turn in range(max(2, task.rounds)):
        due = sending.due(turn)
        for cell in due:
            sending.send(cell, turn)
        if time.monotonic() > sending.until:
            break
        if due:
            sending.hear_for(task.wait)
        if not turn:
            sending.try_ways_out()
    sending.hear_late()
    answers = sending.close()
    return {
        "cells": len(wanted),
        "digest": digest(wanted),
        "sent": sending.sent,
        "errors": sending.errors,
        "answers": answers,
        "noted": len(sending.ledger.tokens),
        "again": sending.repeated,
        "seconds": round(time.monotonic() - started, 3),
    }


class _Sending:
    """What a host has sent so far, and what came back."""

    def __init__(self, task: Task, wanted: list[Cell]) -> None:
        """wanted: the host's share."""
        self.task, self.wanted = task, wanted
        self.until = runs_here.deadline_of(task.runtime_dir, task.run.name) - task.wait
        self.pace = _Pace(task.rate)
        self.ledger = Ledger()
        self.ends = {end["id"]: end for end in [*endpoints(task.facts), host_end(task.host)]}
        senders = {cell["from"] for cell in wanted}
        self.seats = _seats(task, self.ends.values(), senders, self.ledger)
        self.controls = ways_out.controls(wanted)
        if self.controls:
            here = next(fact for fact in task.facts if fact["host"] == task.host)
            own = list(filter(None, here["node"]["underlay"].values()))
            self.seats[CONTROLS] = _Seat(task, [host_end(task.host)], self.ledger, own)
        self.sent = 0
        self.errors: dict[str, str] = {}  # by cell id
        self.repeated: dict[str, int] = {}  # how often more than once, by id of cells that ask
        self.broadcast: set[tuple[int, str]] = set()  # turns and tokens

    def due(self, turn: int) -> list[Cell]:
        """Return what is to be sent in a turn: see send()."""
        noted = _noted_here(self.task) if turn == 1 else {}
        asked = [cell for cell in self.wanted if _is_asked(cell)]
        silent = [cell for cell in asked if not self.is_answered(cell)]
        due = {cell["id"] for cell in silent}
        lossy = _lossy_ways(asked, silent) if turn == 1 else ()
        return [
            cell
            for cell in self.wanted
            if (
                cell["id"] in due or _way(cell) in lossy
                if _is_asked(cell)
                else turn < 2 and not _is_noted(cell, noted)
            )
        ]

    def try_ways_out(self) -> None:
        """Let the host itself send where its pods' ways out lead, see ways_out."""
        end = host_end(self.task.host)
        for cell in self.controls:
            # its own firewall may refuse one, and then nothing is known about that protocol
            with contextlib.suppress(OSError):
                self.seats[CONTROLS].send(cell, end)
            self.sent += 1

    def is_answered(self, cell: Cell) -> bool:
        """True if an answer has come by each protocol."""
        return len(self._channels(cell)) >= len(kinds.protocols(cell["kind"]))

    def _channels(self, cell: Cell) -> set[str]:
        seat = self.seats.get(self.ends[cell["from"]]["netns"])
        return seat.channels(cell["id"]) if seat else set()

    def _has_all_answers(self, cell: Cell) -> bool:
        """The same, but of a way out by each protocol by which the host itself has one."""
        if cell["kind"] != kinds.OUT.name:
            return self.is_answered(cell)
        own = self.seats[CONTROLS].channels(ways_out.control_name(cell))
        return self._channels(cell) >= {"udp"} | own

    def send(self, cell: Cell, turn: int) -> None:
        """Send the token of a cell, or note why that cannot be."""
        end, name = self.ends[cell["from"]], cell["id"]
        seat = self.seats.get(end["netns"])
        if self.pace.now > self.until:
            if not turn:
                self.errors[name] = TOO_LATE
            return
        if seat is None:
            self.errors[name] = "the sender's namespace could not be entered"
            return
        if (turn, token_name(cell)) in self.broadcast:
            return  # one is enough for all who may hear it
        try:
            seat.send(cell, end)
            if cell["kind"] == kinds.L2.name:
                self.broadcast.add((turn, token_name(cell)))
            self.errors.pop(name, None)
            if turn and _is_asked(cell):
                self.repeated[name] = self.repeated.get(name, 0) + 1
        except OSError as error:
            self.errors[name] = error.strerror or str(error)
        self.sent += 1
        if self.pace.sent(len(kinds.protocols(cell["kind"]))):
            seat.hear()

    def hear_for(self, seconds: float) -> None:
        """Note the answers that come in so many seconds."""
        patience = time.monotonic() + seconds
        while time.monotonic() < patience:
            self._hear()
            time.sleep(0.02)

    def hear_late(self) -> None:
        """Wait for answers of slow or busy hosts, as long as some come and some are due."""
        due = [cell for cell in self.wanted if _is_asked(cell) and cell["id"] not in self.errors]
        last = time.monotonic()
        while due and time.monotonic() < min(self.until, last + self.task.late):
            self._hear()
            left = [cell for cell in due if not self._has_all_answers(cell)]
            if len(left) < len(due):
                due, last = left, time.monotonic()
            time.sleep(0.1)

    def _hear(self) -> None:
        for seat in self.seats.values():
            seat.hear()

    def close(self) -> dict[str, list[dict[str, str]]]:
        """Tell the witness what was sent, close all sockets, and return the answers."""
        answers: dict[str, list[dict[str, str]]] = {}
        for seat in self.seats.values():
            self.errors.update(seat.look_at_ways())
            answers.update(seat.answers)
        agent.close(itertools.chain.from_iterable(seat.opened() for seat in self.seats.values()))
        with contextlib.suppress(OSError):  # no listener: nothing will be believed
            self.ledger.save(runs_here.directory(self.task.runtime_dir, self.task.run.name))
        return answers


class _Pace:
    """Holds a sender to so many datagrams a second."""

    def __init__(self, rate: int) -> None:
        self.rate, self.count, self.next = rate, 0, BURST
        self.started = self.now = time.monotonic()

    def sent(self, datagrams: int) -> bool:
        """Count datagrams; return True after each burst, when the sender has waited for its
        turn.
        """
        self.count += datagrams
        if self.count < self.next:
            return False
        self.next = self.count + BURST
        self.now = time.monotonic()
        # what was lost by waiting for the processor is not caught up with
        self.started = max(self.started, self.now - (self.count + BURST) / self.rate)
        time.sleep(max(0.0, self.started + self.count / self.rate - self.now))
        self.now = time.monotonic()
        return True


def _seats(
    task: Task, ends: Iterable[End], senders: Collection[str], ledger: Ledger
) -> dict[str, _Seat]:
    """Return {path: the sockets of that namespace} of those of the host's ends that send and are
    still there; the cells of one that has gone get an error.
    """
    seats: dict[str, _Seat] = {}
    mine = [end for end in ends if end["host"] == task.host]
    for path in {end["netns"]: None for end in mine if end["id"] in senders}:
        there = [end for end in mine if end["netns"] == path]
        with contextlib.suppress(OSError):
            seats[path] = _Seat(task, there, ledger)
    return seats


def _noted_here(task: Task) -> dict[str, set[str]]:
    """Return {token: the protocols by which it arrived} of what this host's pods have noted."""
    found: dict[str, set[str]] = collections.defaultdict(set)
    for receipt in agent.read_receipts(runs_here.directory(task.runtime_dir, task.run.name)):
        if receipt["inside"]:
            at = end_id(receipt["at"], receipt["interface"])
            found[f"{receipt['cell']} {at}"].add(receipt["protocol"])
    return found


def _is_noted(cell: Cell, noted: dict[str, set[str]]) -> bool:
    """True if a token that must arrive at a neighbour, and asks for no answer, did."""
    if cell["expected"] != "reached" or not cell["variant"].get("mac"):
        return False
    arrived = noted.get(f"{token_name(cell)} {cell['to']}", set())
    return arrived >= set(kinds.protocols(cell["kind"]))


def _way(cell: Cell) -> tuple[str, str]:
    """Return where a cell of this host leads: the host and the network, see losses.Way."""
    return cell["to_host"], cell["to_network"]


def _lossy_ways(asked: Iterable[Cell], silent: Iterable[Cell]) -> set[tuple[str, str]]:
    """Return the ways on which much of what was asked is without answer. What one moment lost, such
    as a queue that was full, is a small share of two looks at the way.
    """
    number = collections.Counter(map(_way, asked))
    lost = collections.Counter(map(_way, silent))
    return {way for way, count in lost.items() if count >= MUCH * number[way]}


def is_compared(cell: Cell) -> bool:
    """True if the witness is to compare the frames of a cell with what was sent."""
    return bool(cell["expected"] == "blocked" or cell["kind"] == kinds.OUT.name)


def _is_asked(cell: Cell) -> bool:
    """True if a cell's token must arrive and be answered."""
    return bool(cell["expected"] == "reached" and wants_answer(cell))


class _Seat:
    """The sockets of one namespace, and the answers they have heard."""

    def __init__(
        self, task: Task, ends: Sequence[End], ledger: Ledger, addresses: Collection[str] = ()
    ) -> None:
        """ends: all that are in the namespace. addresses: to which answers come that it is to hear
        where ends have no peers, none: to all.
        """
        self.run, self.port, self.ends, self.ledger = task.run, task.port, ends, ledger
        self.path, self.inode = ends[0]["netns"], ends[0]["inode"]
        self.answers: dict[str, list[dict[str, str]]] = {}  # by cell id
        self.asked: set[str] = set()  # ids of cells; what passes a host is not for the host
        self.sockets: dict[tuple[Any, ...], socket.socket] = {}
        self.expected_tcp: dict[tuple[str, int], str] = {}  # by source and own port
        self.expected_arp: dict[tuple[str, str], str] = {}  # by interface and address
        self.ways: dict[str, tuple[str, int]] = {}  # by cell id: an address, and the MTU of its way
        # A new source port each run: no flow of an earlier measurement lives on in connection
        # tracking. And a sequence number that only who has seen the SYN can acknowledge.
        self.source_port = random.randrange(20000, 30000)
        self.sequence = random.SystemRandom().randrange(1 << 32)
        self.ports: dict[str, int] = {}  # of TCP, by cell
        self.used: dict[str, int] = collections.defaultdict(int)  # how many, by address
        # What is sent twice, bit for bit: the frames of a cell, and the socket of each
        self.frames: dict[str, list[tuple[socket.socket, bytes]]] = {}
        self.built: list[tuple[socket.socket, bytes]] = []  # those of the cell that is being sent
        # What the host delivers is heard at its own end, where the pod can forge nothing, and
        # where what goes out goes into the pod
        program = frames.answers_filter(task.port)
        self.listening = [
            (packet_socket(frames.outgoing(program), end["peer"]), end["interface"])
            for end in ends
            if end["peer"]
        ]
        if not self.listening:
            programs = [frames.to_address(one, program) for one in addresses] or [program]
            with netns.inside(self.path, self.inode):
                self.listening = [
                    (packet_socket(frames.incoming(one), outgoing=False), "") for one in programs
                ]

    def opened(self) -> list[socket.socket]:
        """Return every socket."""
        return [*(sock for sock, dummy in self.listening), *self.sockets.values()]

    def send(self, cell: Cell, end: End) -> None:
        """Send the cell's token from the interface end; raises OSError if the kernel refuses."""
        self.asked.add(cell["id"])
        if cell["id"] in self.frames:
            for sock, frame in self.frames[cell["id"]]:
                sock.send(frame)
            return
        carrier = kinds.KINDS[cell["kind"]].carrier
        if end["external"]:
            carrier = kinds.PINNED  # where another CNI's gateway is, only the pod's route tells
        elif cell["variant"].get("mac") and carrier == kinds.PINNED:
            carrier = kinds.GATEWAY
        self.built = []
        CARRY[carrier](self, cell, end)
        if self.built:
            self.frames[cell["id"]] = self.built

    def packets(self, cell: Cell, end: End) -> None:
        """Send by ordinary sockets, or ones pinned to the interface and its address."""
        pinned = kinds.KINDS[cell["kind"]].carrier != kinds.ORDINARY
        sock = self._socket(
            ("pinned", end["index"], cell["source"]) if pinned else ("natural", cell["family"])
        )
        goal = (cell["address"], self.port)
        if cell["expected"] == "blocked":
            self._expect_packets(cell, end if pinned else None)
        token = self._token(cell, end)
        if len(kinds.protocols(cell["kind"])) == 1:
            sock.sendto(token, goal)
            return
        source = cell["source"] or self._source_of(sock, goal)
        raw = self._socket(("ip", cell["family"], end["index"] if pinned else 0))
        packets = [packet for dummy, packet in self._tcp_and_icmp(cell, source, token)]
        refused = None
        # a firewall here may refuse one of them alone
        for out, data, to in [(sock, token, goal), *((raw, one, (goal[0], 0)) for one in packets)]:
            try:
                out.sendto(data, to)
            except OSError as error:
                refused = refused or error
        if refused:
            raise refused

    def _source_of(self, sock: socket.socket, goal: tuple[str, int]) -> str:
        """Return the address from which an ordinary socket sends there."""
        with netns.inside(self.path, self.inode), socket.socket(sock.family, sock.type) as asking:
            asking.connect(goal)
            return str(asking.getsockname()[0])

    def _expect_packets(self, cell: Cell, by: End | None) -> None:
        """Tell the witness of packets whose first hop the pod's kernel finds: by one of the ends
        of the pod.
        """
        ends = [by] if by else [end for end in self.ends if end["peer"]]
        firsts = {end["id"]: None if end["external"] else end["gateway_mac"] for end in ends if end}
        for protocol in kinds.protocols(cell["kind"]):
            self.ledger.packet(token_name(cell), cell["address"], protocol, firsts)

    def _tcp_and_icmp(self, cell: Cell, source: str, token: bytes) -> list[tuple[str, bytes]]:
        """Return [(protocol, packet)] of a cell's SYN and echo request."""
        address = cell["address"]
        port = self._tcp_port(cell)
        syn = frames.syn(
            source, address, port, self.port, token.ljust(SYN_TOKEN, b"\0"), self.sequence
        )
        return [("tcp", syn), ("icmp", frames.echo(source, address, self.source_port, 1, token))]

    def by_frame(self, cell: Cell, end: End) -> None:
        """Send a datagram, an echo request and a SYN in frames of our own."""
        token = self._token(cell, end)
        source_port = cell["variant"].get("sport", self.source_port)
        udp = frames.udp(cell["source"], cell["address"], source_port, self.port, token)
        self._by_gateway(cell, end, "udp", udp)
        if len(kinds.protocols(cell["kind"])) > 1:
            if cell["expected"] == "reached" and cell["family"] == "4":
                self._introduce(cell, end)
            for protocol, packet in self._tcp_and_icmp(cell, cell["source"], token):
                self._by_gateway(cell, end, protocol, packet)

    def _introduce(self, cell: Cell, end: End) -> None:
        """Let a neighbour know the sender's MAC, whose kernel answers SYN and echo request: else it
        asks all on the bridge, once for each pair.
        """
        mac = cell["variant"].get("mac")
        if mac:
            asked = frames.arp_request(end["mac"], cell["source"], cell["address"], mac)
            self._emit(cell, end, "arp", asked)

    def broadcast(self, cell: Cell, end: End) -> None:
        """Send a datagram to all on the bridge."""
        if cell["family"] == "4":
            source, address, target = (
                end["addresses"]["4"] or "0.0.0.0",
                "255.255.255.255",
                frames.BROADCAST,
            )
        else:
            source, address, target = frames.link_local(end["mac"]), "ff02::1", frames.ALL_NODES
        packet = frames.udp(source, address, self.source_port, self.port, self._token(cell, end))
        self._emit(cell, end, "udp", frames.ethernet(end["mac"], target, packet))

    def who_has(self, cell: Cell, end: End) -> None:
        """Send an ARP request."""
        self.expected_arp[(end["interface"], cell["address"])] = cell["id"]
        asked = frames.arp_request(end["mac"], cell["source"], cell["address"])
        self._emit(cell, end, "arp", asked)

    def advertisement(self, cell: Cell, end: End) -> None:
        """Send a router advertisement."""
        packet = frames.router_advertisement(end["mac"], self._token(cell, end))
        frame = frames.ethernet(end["mac"], frames.ALL_NODES, packet)
        self._emit(cell, end, "advertisement", frame)

    def gratuitous(self, cell: Cell, end: End) -> None:
        """Send an ARP request that says that a neighbour's address is this interface's."""
        to, token = cell["variant"]["mac"], self._token(cell, end)
        frame = frames.gratuitous_arp(end["mac"], to, cell["address"], token)
        self._emit(cell, end, "claim", frame)

    def too_big(self, cell: Cell, end: End) -> None:
        """Send an error to the gateway, about the way from this host to an address."""
        about = cell["address"]
        if cell["id"] not in self.ways:
            self.ways[cell["id"]] = about, _mtu_of_way(about)
        smaller = self.ways[cell["id"]][1] - SMALLER
        if smaller < SMALLEST[cell["family"]]:
            raise OSError(0, f"the way to {about} has an MTU that cannot be lowered any more")
        quoted = cell["variant"]["quoted"], about
        gateway = cell["variant"]["gateway"]
        packet = frames.too_big(cell["source"], gateway, quoted, smaller, self._token(cell, end))
        self._by_gateway(cell, end, "icmp", packet)

    def look_at_ways(self) -> dict[str, str]:
        """Note what this host believed of the errors that were sent; return {cell id: why not} of
        those that cannot be looked at any more.
        """
        lost = {}
        for name, (about, before) in self.ways.items():
            try:
                if _mtu_of_way(about) < before:
                    self._note(name, name.split("|")[3].split("/")[0], "mtu")
            except OSError as error:
                lost[name] = f"the way to {about} is gone: {error.strerror}"
        return lost

    def tunnel(self, cell: Cell, end: End) -> None:
        """Send a VXLAN message as a node would."""
        message = _vxlan(cell, self.source_port, self.port, self._token(cell, end))
        variant = cell["variant"]
        outer = (cell["source"], variant["outer_address"], self.source_port, variant["port"])
        self._by_gateway(cell, end, "udp", frames.udp(*outer, message))

    def syn(self, cell: Cell, end: End) -> None:
        """Send a SYN that carries the token."""
        packet = frames.syn(
            cell["source"],
            cell["address"],
            self._tcp_port(cell),
            cell["variant"]["port"],
            self._token(cell, end, False).ljust(SYN_TOKEN, b"\0"),
            self.sequence,
        )
        self._by_gateway(cell, end, "tcp", packet)

    def _token(self, cell: Cell, end: End, answer: bool | None = None) -> bytes:
        answer = wants_answer(cell) if answer is None else answer
        return frames.token(self.run, token_name(cell), cell["source"], answer, _filling(cell, end))

    def _by_gateway(self, cell: Cell, end: End, protocol: str, packet: bytes) -> None:
        target = cell["variant"].get("mac") or end["gateway_mac"]
        if not target:
            raise OSError(0, "the network has no bridge on this host, so no gateway to send to")
        self._emit(cell, end, protocol, frames.ethernet(end["mac"], target, packet))

    def _emit(self, cell: Cell, end: End, protocol: str, frame: bytes) -> None:
        """Send a frame; the witness may have to compare it."""
        tagged = cell["variant"].get("way") == "tagged"
        if is_compared(cell) or cell["kind"] == kinds.L2.name:
            self.ledger.frame(token_name(cell), end["id"], protocol, frame, tagged)
        if tagged:
            frame = frames.tagged(frame)
        sock = self._socket(("raw", end["index"]))
        sock.send(frame)
        self.built.append((sock, frame))

    def _tcp_port(self, cell: Cell) -> int:
        """Return the source port by which the answer to a SYN of this cell will be known."""
        name, address = cell["id"], cell["address"]
        if name not in self.ports:
            self.used[address] += 1
            self.ports[name] = self.source_port + 1 + self.used[address] % 10000
            self.expected_tcp[(address, self.ports[name])] = name
        return self.ports[name]

    def _socket(self, key: tuple[Any, ...]) -> socket.socket:
        """Return the socket for key, opened in the namespace on first use."""
        if key not in self.sockets:
            with netns.inside(self.path, self.inode):
                if key[0] == "raw":
                    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                    agent.bind(sock, key[1])
                elif key[0] == "ip":
                    sock = _raw_ip_socket(key[1], key[2])
                elif key[0] == "natural":
                    sock = socket.socket(_address_family(key[1]), socket.SOCK_DGRAM)
                else:
                    sock = _pinned_socket(index=key[1], address=key[2])
            self.sockets[key] = sock
        return self.sockets[key]

    def hear(self) -> None:
        """Note the answers that have come."""
        for sock, interface in self.listening:
            while True:
                try:
                    frame = sock.recv(2048)
                except OSError:
                    break
                self._hear(frame, interface)

    def _hear(self, frame: bytes, interface: str) -> None:
        said = frames.parse(frame)
        if said is None:
            return
        if said.kind == "udp":
            token = frames.read_token(said.payload, self.run)
            if token and token["type"] == "=":
                self._note(token["cell"], token["name"], "udp")
        elif said.kind == "echo-reply":
            token = frames.read_token(said.payload, self.run)
            if token and token["type"] != "=":
                self._note(token["cell"], said.src, "icmp")
        elif said.kind == "tcp":
            # One that acknowledges our SYN, with or without what was in it (RFC 9293 3.10.7)
            if (said.ack - self.sequence - 1) & 0xFFFFFFFF <= SYN_TOKEN + 1024:
                self._note(self.expected_tcp.get((said.src, said.dport)), said.src, "tcp")
        elif said.kind == "arp-reply":
            self._note(self.expected_arp.get((interface, said.src)), said.mac, "arp")

    def _note(self, cell: str | None, by: str, channel: str) -> None:
        if cell is None or cell not in self.asked:
            return
        if {"by": by, "channel": channel} not in self.answers.setdefault(cell, []):
            self.answers[cell].append({"by": by, "channel": channel})

    def channels(self, cell: str) -> set[str]:
        """Return by what a cell was answered."""
        return {answer["channel"] for answer in self.answers.get(cell, ())}


CARRY: dict[str, Callable[[_Seat, Cell, End], None]] = {
    kinds.PINNED: _Seat.packets,
    kinds.ORDINARY: _Seat.packets,
    kinds.GATEWAY: _Seat.by_frame,
    kinds.BROADCAST: _Seat.broadcast,
    kinds.WHO_HAS: _Seat.who_has,
    kinds.TUNNEL: _Seat.tunnel,
    kinds.SYN: _Seat.syn,
    kinds.ADVERTISEMENT: _Seat.advertisement,
    kinds.GRATUITOUS: _Seat.gratuitous,
    kinds.TOO_BIG: _Seat.too_big,
}


def _filling(cell: Cell, end: End) -> int:
    """Return the size of a token that fills the MTU, 0 for one of any size."""
    if cell["kind"] != kinds.FULL.name:
        return 0
    return end["mtu"] - (48 if cell["family"] == "6" else 28)


def _vxlan(cell: Cell, sport: int, dport: int, token: bytes) -> bytes:
    """Return the VXLAN message that would bring a datagram with the token to the cell's pod."""
    variant = cell["variant"]
    inner = frames.udp(variant["inner_source"], cell["address"], sport, dport, token)
    return frames.vxlan(variant["vni"], frames.ethernet(INNER_MAC, variant["device_mac"], inner))


def _mtu_of_way(address: str) -> int:
    """Return what this host sends to an address at most; nothing is sent."""
    sixth = ":" in address
    with socket.socket(_address_family("6" if sixth else "4"), socket.SOCK_DGRAM) as sock:
        sock.connect((address, 9))
        return sock.getsockopt(*((socket.IPPROTO_IPV6, IPV6_MTU) if sixth else (0, IP_MTU)))


def _address_family(family: str) -> socket.AddressFamily:
    return socket.AF_INET6 if family == "6" else socket.AF_INET


def _pinned_socket(index: int, address: str) -> socket.socket:
    """Return a UDP socket that uses this interface and address, and never fragments.

    Both, as one alone leaves by the wrong interface, or makes the kernel invent an on-link route.
    """
    sixth = ":" in address
    sock = socket.socket(_address_family("6" if sixth else "4"), socket.SOCK_DGRAM)
    _use(sock, index)
    sock.bind((address, 0))
    if sixth:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE)
    return sock


def _use(sock: socket.socket, index: int) -> None:
    """Have a socket send by an interface, whatever its pod calls it now."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX, index)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:  # before Linux 5.1
            raise
        name = os.fsencode(socket.if_indextoname(index))
        sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, name + b"\0")


def _raw_ip_socket(family: str, index: int) -> socket.socket:
    """Return a socket for whole packets, that finds their way as any other does; by the interface
    of this index if it is not 0.
    """
    sock = socket.socket(_address_family(family), socket.SOCK_RAW, socket.IPPROTO_RAW)
    if index:
        _use(sock, index)
    return sock


def send_from_outside(task: Task) -> dict[str, Any]:
    """Send what a host that is no node may try, from here, which needs no privileges; and one
    datagram to each host's own listener, to see what can be reached.

    Returns what send() does, without answers; "skipped" says why nothing was sent, if here is a
    node.
    """
    task = task._replace(host=OUTSIDE)
    wanted = task.share()
    nodes = {node for fact in task.facts for node in fact["node"]["underlay"].values() if node}
    errors: dict[str, str] = {}
    sent, skipped = 0, ""
    for cell in wanted * 2:
        outer_address, port = cell["variant"]["outer_address"], cell["variant"]["port"]
        control = "|".join(("control-outside", cell["family"], cell["to_host"]))
        token, control_token = (
            frames.token(task.run, name, None, False) for name in (cell["id"], control)
        )
        try:
            with socket.socket(_address_family(cell["family"]), socket.SOCK_DGRAM) as sock:
                sock.connect((outer_address, port))
                if sock.getsockname()[0] in nodes:
                    skipped = (
                        "The controller is a node itself, so the tunnels were not tried from"
                        " outside."
                    )
                    break
                sock.send(_vxlan(cell, task.port, task.port, token))
                sock.sendto(control_token, (outer_address, task.port))
            sent += 1
        except OSError as error:
            errors[cell["id"]] = error.strerror or str(error)
    return {
        "cells": len(wanted),
        "digest": digest(wanted),
        "sent": sent,
        "errors": errors,
        "answers": {},
        "noted": 0,
        "seconds": 0.0,
        "skipped": skipped,
    }
