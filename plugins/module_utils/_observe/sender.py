# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sender of a measurement: one host's share of the tokens, sent from inside each namespace, and
the answers that come back.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import random
import socket
import time

from . import cells, frames, netns
from .agent import PACKET_OUTGOING, packet_socket

SO_BINDTODEVICE = 25
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_PROBE = 10, 23, 3
SYN_TOKEN = 128  # bytes: more than the options of any SYN, see frames.requests_filter()
BURST, PAUSE = 50, 0.004  # at most about 10,000 tokens a second: no queue of a kernel overflows


def digest(wanted):
    """Return the fingerprint (str) of a list of cells, by which sender and verdict know that they
    mean the same.
    """
    return hashlib.sha256("\n".join(cell["id"] for cell in wanted).encode("ascii")).hexdigest()


def send(run, port, plan, facts, host, per_host=0, rounds=3, wait=0.5, cluster=None):
    """Send host's share of the tokens between all hosts of facts (list), and note the answers.

    cluster: see cells.cells().

    What must not arrive is sent twice; what must is sent until it is answered, at most rounds
    times; wait: seconds for answers after each round. Returns {"cells": int, "digest": str, "sent":
    int, "errors": {cell id: why nothing could be sent}, "answers": {cell id: [{"by", "channel"}]},
    "seconds": float}.
    """
    started = time.monotonic()
    wanted = list(cells.cells(plan, facts, per_host, only_from=host, cluster=cluster))
    ends = {end["id"]: end for end in cells.endpoints(facts) + [cells.host_end(host)]}
    seats, errors = {}, {}
    for end in ends.values():
        if end["host"] == host and end["netns"] not in seats:
            with contextlib.suppress(
                OSError
            ):  # a namespace that went away: its cells get an error below
                seats[end["netns"]] = _Seat(run, port, end["netns"], end["inode"])
    sent = 0
    broadcast = set()
    for turn in range(max(2, rounds)):
        again = [
            cell
            for cell in wanted
            if (turn < 2 if cell["expected"] == "blocked" else not _answered(cell, ends, seats))
        ]
        for cell in again:
            end = ends[cell["from"]]
            seat = seats.get(end["netns"])
            if seat is None:
                errors[cell["id"]] = "the sender's namespace could not be entered"
                continue
            if cell["kind"] == "l2" and (turn, cell["from"], cell["family"]) in broadcast:
                continue  # one is enough for all who may hear it
            try:
                seat.send(cell, end)
                if cell["kind"] == "l2":
                    broadcast.add((turn, cell["from"], cell["family"]))
                errors.pop(cell["id"], None)
            except OSError as error:
                errors[cell["id"]] = error.strerror or str(error)
            sent += 1
            if sent % BURST == 0:
                time.sleep(PAUSE)
                seat.hear()
        until = time.monotonic() + wait if again else 0
        while time.monotonic() < until:
            for seat in seats.values():
                seat.hear()
            time.sleep(0.02)
    answers = {}
    for seat in seats.values():
        answers.update(seat.answers)
        seat.close()
    return {
        "cells": len(wanted),
        "digest": digest(wanted),
        "sent": sent,
        "errors": errors,
        "answers": answers,
        "seconds": round(time.monotonic() - started, 3),
    }


def _answered(cell, ends, seats):
    seat = seats.get(ends[cell["from"]]["netns"])
    return seat is not None and cell["id"] in seat.answers


class _Seat:
    """The sockets of one namespace."""

    def __init__(self, run, port, path, inode):
        self.run, self.port, self.path, self.inode = run, port, path, inode
        self.answers, self.sockets = {}, {}
        self.expected_tcp, self.expected_arp = {}, {}
        # A new source port each run: no flow of an earlier measurement lives on in connection
        # tracking.
        self.source_port = random.randrange(20000, 30000)
        self.ports = collections.defaultdict(int)
        with netns.inside(path, inode):
            self.listening = packet_socket(frames.answers_filter(port))

    def close(self):
        self.listening.close()
        for sock in self.sockets.values():
            sock.close()

    def send(self, cell, end):
        """Send the cell's token from the interface end; raises OSError if the kernel refuses."""
        kind, address, source, mac = cell["kind"], cell["address"], cell["source"], end.get("mac")
        # Where another CNI's gateway is, only the pod's own route tells.
        if (
            kind in ("unicast", "full", "natural", "host") and not cell["variant"].get("mac")
        ) or end["external"]:
            self._datagram(cell, end)
            return
        wants_answer = kind in ("forced", "node")
        name = cell["id"] if kind != "l2" else "|".join(("l2", cell["family"], cell["from"]))
        token = frames.token(self.run, name, source, wants_answer, self._full(cell, end))
        raw = self._socket(("raw", end["interface"]))
        if kind == "l2":
            if cell["family"] == "4":
                packet, target = (
                    frames.udp(
                        end["addresses"]["4"] or "0.0.0.0",
                        "255.255.255.255",
                        self.source_port,
                        self.port,
                        token,
                    ),
                    frames.BROADCAST,
                )
            else:
                packet, target = (
                    frames.udp(
                        frames.link_local(mac), "ff02::1", self.source_port, self.port, token
                    ),
                    frames.ALL_NODES,
                )
            raw.send(frames.ethernet(mac, target, packet))
            return
        if kind == "arp":
            self.expected_arp[(end["interface"], address)] = cell["id"]
            raw.send(frames.arp_request(mac, source, address))
            return
        target = cell["variant"].get("mac") or end["gateway_mac"]
        if not target:
            raise OSError(0, "the network has no bridge on this host, so no gateway to send to")
        if kind == "inject":
            variant = cell["variant"]
            inner = frames.udp(variant["inner_source"], address, self.source_port, self.port, token)
            message = frames.vxlan(
                variant["vni"], frames.ethernet("02:00:00:00:00:01", variant["device_mac"], inner)
            )
            raw.send(
                frames.ethernet(
                    mac,
                    target,
                    frames.udp(
                        source, variant["outer_address"], self.source_port, variant["port"], message
                    ),
                )
            )
            return
        if kind in ("service", "port"):
            syn = frames.syn(
                source,
                address,
                self._tcp_port(cell, end),
                cell["variant"]["port"],
                token.ljust(SYN_TOKEN, b"\0"),
            )
            raw.send(frames.ethernet(mac, target, syn))
            return
        raw.send(
            frames.ethernet(
                mac, target, frames.udp(source, address, self.source_port, self.port, token)
            )
        )
        if kind == "node":
            raw.send(
                frames.ethernet(
                    mac, target, frames.echo(source, address, self.source_port, 1, token)
                )
            )
            raw.send(
                frames.ethernet(
                    mac, target, frames.syn(source, address, self._tcp_port(cell, end), self.port)
                )
            )

    def _tcp_port(self, cell, end):
        """Return a source port by which the answer to a SYN of this cell will be known."""
        self.ports[cell["address"]] += 1
        port = self.source_port + 1 + self.ports[cell["address"]] % 10000
        self.expected_tcp[(end["interface"], cell["address"], port)] = cell["id"]
        return port

    def _full(self, cell, end):
        return end["mtu"] - (48 if cell["family"] == "6" else 28) if cell["kind"] == "full" else 0

    def _datagram(self, cell, end):
        pinned = cell["kind"] not in ("natural", "host")
        sock = self._socket(
            ("pinned", end["interface"], cell["source"]) if pinned else ("natural", cell["family"])
        )
        sock.sendto(
            frames.token(self.run, cell["id"], cell["source"], True, self._full(cell, end)),
            (cell["address"], self.port),
        )

    def _socket(self, key):
        """Return the socket for key, opened in the namespace on first use."""
        if key not in self.sockets:
            with netns.inside(self.path, self.inode):
                if key[0] == "raw":
                    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                    sock.bind((key[1], 0))
                else:
                    sixth = key[1] == "6" if key[0] == "natural" else ":" in key[2]
                    sock = socket.socket(
                        socket.AF_INET6 if sixth else socket.AF_INET, socket.SOCK_DGRAM
                    )
                    if key[0] == "pinned":
                        # Address and device: one alone leaves by the wrong interface, or makes the
                        # kernel invent an on-link route.
                        sock.setsockopt(
                            socket.SOL_SOCKET, SO_BINDTODEVICE, key[1].encode("ascii") + b"\0"
                        )
                        sock.bind((key[2], 0))
                        if sixth:
                            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE)
                        else:
                            sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE)
            self.sockets[key] = sock
        return self.sockets[key]

    def hear(self):
        """Note the answers that have come."""
        while True:
            try:
                frame, (interface, dummy, kind, *dummy2) = self.listening.recvfrom(2048)
            except OSError:
                return
            said = frames.parse(frame) if kind != PACKET_OUTGOING else None
            if said is None:
                continue
            if said["kind"] == "udp":
                token = frames.read_token(said["payload"], self.run)
                if token and token["type"] == "=":
                    self._note(token["cell"], token["name"], "udp")
            elif said["kind"] == "echo-reply":
                token = frames.read_token(said["payload"], self.run)
                if token:
                    self._note(token["cell"], said["src"], "icmp")
            elif said["kind"] == "tcp":
                self._note(
                    self.expected_tcp.get((interface, said["src"], said["dport"])),
                    said["src"],
                    "tcp",
                )
            elif said["kind"] == "arp-reply":
                self._note(self.expected_arp.get((interface, said["src"])), said["mac"], "arp")

    def _note(self, cell, by, channel):
        if cell and {"by": by, "channel": channel} not in self.answers.setdefault(cell, []):
            self.answers[cell].append({"by": by, "channel": channel})


def send_from_outside(run, port, plan, facts, cluster=None):
    """Send what a host that is no node may try, from here, which needs no privileges; and one
    datagram to each host's own listener, to see what can be reached.

    Returns what send() does, without answers; "skipped" says why nothing was sent, if here is a
    node.
    """
    wanted = list(cells.cells(plan, facts, only_from=cells.OUTSIDE, cluster=cluster, outside=True))
    result = {
        "cells": len(wanted),
        "digest": digest(wanted),
        "sent": 0,
        "errors": {},
        "answers": {},
        "seconds": 0.0,
        "skipped": "",
    }
    nodes = {address for fact in facts for address in fact["node"]["underlay"].values() if address}
    for again in range(2):
        for cell in wanted:
            variant = cell["variant"]
            name = frames.token(run, cell["id"], None, False)
            inner = frames.udp(variant["inner_source"], cell["address"], port, port, name)
            message = frames.vxlan(
                variant["vni"], frames.ethernet("02:00:00:00:00:01", variant["device_mac"], inner)
            )
            try:
                with socket.socket(
                    socket.AF_INET6 if cell["family"] == "6" else socket.AF_INET, socket.SOCK_DGRAM
                ) as sock:
                    sock.connect((variant["outer_address"], variant["port"]))
                    if sock.getsockname()[0] in nodes:
                        return dict(
                            result,
                            skipped=(
                                "The controller is a node itself, so that no one outside tried the"
                                " tunnels."
                            ),
                        )
                    sock.send(message)
                    control = "|".join(("control-outside", cell["family"], cell["to_host"]))
                    sock.sendto(
                        frames.token(run, control, None, False), (variant["outer_address"], port)
                    )
                result["sent"] += 1
            except OSError as error:
                result["errors"][cell["id"]] = error.strerror or str(error)
    return result
