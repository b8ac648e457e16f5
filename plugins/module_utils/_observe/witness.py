# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The witness of a measurement: what passes the host's end of each pod's veth, where no pod can
change it any more, and before any filter of the host.

The silence of a receiver is worth something only if the frame came out of the pod as it was sent:
an owner of a pod (CAP_NET_ADMIN) can rewrite, redirect or drop what the verifier sends from inside.
So each frame that must not arrive is compared, bit by bit, with what was sent; what a kernel built
(an ordinary socket) by all that decides whether it can arrive. And only what the host delivers to a
pod counts as delivered, whatever the pod says.

Runs on hosts, standard library alone.
"""

from __future__ import annotations

import collections
import hashlib
import json
import os
import socket
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple

from .._cni import files
from . import frames, kinds
from .ends import End, Facts, endpoints

ARP = frames.ARP.to_bytes(2, "big")
PACKET_OUTGOING = 4
PACKET_AUXDATA, VLAN_VALID = 8, 1 << 4
SOL_PACKET = 263
SNAP = 2048  # bytes of a frame that are looked at: all of one that is compared
VARIANTS = 4  # of one token out of one interface; who makes more has something to hide
UNTOLD = 16384  # frames without a token (ARP) out of one interface
REMEMBERED = 200_000  # frames that are known again, as most are sent twice, bit for bit
NOISE = 1000  # datagrams that are no tokens, from one interface, that are worth a word
CHANGED = "changed it on its way"
SUSPECTS = 20  # sentences about them
# What stands for a protocol in the packets of either family
NUMBERS = {"udp": (frames.UDP,), "tcp": (frames.TCP,), "icmp": (frames.ICMP, frames.ICMPV6)}
NEVER_BLOCKED = (kinds.UNICAST.name, kinds.FULL.name, kinds.HOST.name)


class Left(NamedTuple):
    """A frame that came out of a pod."""

    head: bytes  # the first frames.HEAD bytes
    length: int
    tagged: bool  # with a VLAN tag, which the frame itself does not show

    def is_like(self, head: bytes) -> bool:
        """True if it is a packet of the same family and protocol as that of the frame head."""
        return self.head[12:14] == head[12:14] and self.protocol() == _protocol(head)

    def protocol(self) -> int:
        """Return the number of the packet's protocol, 0 if it is none."""
        return _protocol(self.head)


def _protocol(head: bytes) -> int:
    place = {frames.IPV4: 23, frames.IPV6: 20}.get(int.from_bytes(head[12:14], "big"), len(head))
    return head[place] if place < len(head) else 0


def digest_of(frame: bytes) -> bytes:
    """Return the fingerprint of a frame."""
    return hashlib.blake2b(frame, digest_size=8).digest()


class Ledger:
    """What a host has sent and must not arrive: what its witness should have seen.

    tokens: {token: {"from": interface's id, "tagged": whether with a VLAN tag, "raw": {protocol:
    [digest, first bytes], both as hex, without the tag}}} of frames, {token: {"protocols": [...],
    "address", "by": {id of an interface that it may leave by: MAC of the first hop or None}}} of
    what a kernel built.
    """

    def __init__(self, tokens: dict[str, dict[str, Any]] | None = None) -> None:
        self.tokens = tokens or {}

    def frame(
        self, name: str, origin: str, protocol: str, frame: bytes, tagged: bool = False
    ) -> None:
        """Note a frame that is sent as it is; tagged: but for the VLAN tag that it gets."""
        known = self.tokens.setdefault(name, {"from": origin, "tagged": tagged, "raw": {}})
        known["raw"][protocol] = [digest_of(frame).hex(), frame[: frames.HEAD].hex()]

    def packet(self, name: str, address: str, protocol: str, by: dict[str, str | None]) -> None:
        """Note a packet for which the kernel of the pod finds the way."""
        known = self.tokens.setdefault(name, {"protocols": [], "address": address, "by": by})
        if protocol not in known["protocols"]:
            known["protocols"].append(protocol)

    def save(self, place: str) -> None:
        """Write it for the witness, into the directory of the measurement."""
        files.write(os.path.join(place, "sent"), json.dumps(self.tokens))

    @classmethod
    def load(cls, place: str) -> Ledger:
        """Return what was sent; raises OSError or ValueError if nobody wrote it."""
        with open(os.path.join(place, "sent"), encoding="ascii") as file:
            return cls(json.load(file))


class Witness:
    """What has passed the host's ends."""

    def __init__(self, run: frames.Run, port: int, facts: Facts) -> None:
        self.run, self.port = run, port
        self.ends = {
            end["peer"]: end for end in endpoints([facts]) if end["peer"]
        }  # by the name of the host's end
        self.wired = {end["id"]: end["wired"] for end in self.ends.values()}
        # {(token, interface's id): {digest of the frame: Left}}; "" is the token of those with none
        self.left: dict[tuple[str, str], dict[bytes, Left]] = {}
        self.too_many: set[tuple[str, str]] = set()
        self.counts: collections.Counter[str] = collections.Counter()  # by "kind|interface's id"
        self.noise: collections.Counter[str] = collections.Counter()  # by interface's id
        self.handed_on: dict[str, str] = {}  # token: interface's id of the first who sent it again
        self.again: set[tuple[str, bool, int]] = set()  # ends, tags and hashes of what was noted
        # {token: {"by": address, "mtu": bytes}} of those of which its sender was told so
        self.too_big: dict[str, dict[str, Any]] = {}

    def look(
        self, sock: socket.socket, peer: str
    ) -> tuple[dict[str, str], frames.Said, bool] | None:
        """Read one frame of the host's end called peer.

        Returns (token, what the frame says, whether it is a copy of what was for another network)
        of a token that the host delivers to the pod, else None.
        """
        frame, control, dummy, address = sock.recvmsg(SNAP, 64)
        end = self.ends[peer]
        if address[2] == PACKET_OUTGOING:
            return self._delivered(end, frame)
        self._came_out(end, frame, _is_tagged(control))
        return None

    def _delivered(self, end: End, frame: bytes) -> tuple[dict[str, str], frames.Said, bool] | None:
        said = frames.parse(frame)
        token = frames.read_token(said.payload, self.run) if said else None
        if not said or not token or token["type"] == "=":
            return None
        mine = frame[0] & 1 or frames.mac_text(frame[:6]) == end["mac"]
        ways = token["cell"].split("|")[2:4]  # from, to
        if said.kind == "too-big":
            if ways[:1] == [end["id"]]:
                self.too_big.setdefault(token["cell"], {"by": said.src, "mtu": said.mtu})
            return None
        if mine or ways[1:] == [end["id"]]:
            return token, said, False
        # a bridge floods what is for whom it has not heard of
        flooded = any(self.wired.get(one) == end["wired"] for one in ways)
        return None if flooded else (token, said, True)

    def _came_out(self, end: End, frame: bytes, tagged: bool) -> None:
        """Note a frame that came out of a pod."""
        known = end["id"], tagged, hash(frame)
        if known in self.again:
            return
        said = frames.parse(frame)
        shown = frames.inner(said, self.port) if said else None
        token = frames.read_token(shown.payload, self.run) if shown else None
        if token and token["type"] != "=":
            if shown and shown.kind != "too-big":  # who quotes a token does not send it
                self._sent_by(end, token["cell"])
            self._note(token["cell"], end["id"], frame, tagged)
            if len(self.again) < REMEMBERED:
                self.again.add(known)
        elif frame[12:14] == ARP:
            self._note("", end["id"], frame, tagged)
        elif not token and shown and shown.kind in ("udp", "tcp") and shown.dport == self.port:
            self.noise[end["id"]] += 1

    def _sent_by(self, end: End, cell: str) -> None:
        """Count a token; one of another pod was handed on."""
        kind, dummy, origin = [*cell.split("|"), "", ""][:3]
        if origin == end["id"]:
            self.counts[f"{kind}|{origin}"] += 1
        elif origin.rsplit("/", 1)[0] != end["pod"] and len(self.handed_on) < UNTOLD:
            self.handed_on.setdefault(cell, end["id"])

    def _note(self, cell: str, end: str, frame: bytes, tagged: bool) -> None:
        if cell.split("|", 1)[0] in NEVER_BLOCKED:
            return
        seen = self.left.setdefault((cell, end), {})
        digest = digest_of(frame)
        if digest in seen:
            return
        if len(seen) >= (VARIANTS * 4 if cell else UNTOLD):
            self.too_many.add((cell, end))
            return
        seen[digest] = Left(frame[: frames.HEAD], len(frame), tagged)

    def account(self, sent: Ledger | None) -> dict[str, Any]:
        """Return what follows for what the host has sent, None if that is not known.

        {"witnessed": {"kind|sender": different frames of it that came out}, "unwitnessed": {token:
        why its silence proves nothing}, None if none is worth anything, "handed_on": {token:
        interface of another pod that sent it again}, "too_big": {token: {"by": address of who told
        its sender so, "mtu"}}, "suspects": sentences on pods that did what no pod does}
        """
        return {
            "witnessed": dict(self.counts),
            "unwitnessed": None
            if sent is None
            else {
                name: why
                for name, wanted in sent.tokens.items()
                for why in [self._doubt(name, wanted)]
                if why
            },
            "handed_on": self.handed_on,
            "too_big": self.too_big,
            "suspects": self._suspects(),
        }

    def _doubt(self, name: str, wanted: dict[str, Any]) -> str:
        """Return why the silence about a token proves nothing, "" if it does."""
        if "raw" not in wanted:
            return self._doubt_of_packets(name, wanted)
        own = wanted["from"]
        planned = {bytes.fromhex(digest) for digest, dummy in wanted["raw"].values()}
        for protocol, (digest, head) in wanted["raw"].items():
            where = "" if protocol == "arp" else name
            seen = self.left.get((where, own), {})
            exact = seen.get(bytes.fromhex(digest))
            if exact and exact.tagged == wanted["tagged"]:
                continue
            if exact:
                tag = "without its" if wanted["tagged"] else "with a"
                return f"its {protocol} left {own} {tag} VLAN tag"
            if (where, own) in self.too_many:
                return f"{own} sent it in more ways than needed"
            told = [
                frames.difference(bytes.fromhex(head), left.head)
                for key, left in seen.items()
                if where and key not in planned and left.is_like(bytes.fromhex(head))
            ]
            if told:
                return f"{own} {CHANGED}: its {protocol} had {sorted(told)[0]}"
            by = sorted(end for cell, end in self.left if cell == where and where and end != own)
            if by:
                return f"its {protocol} left by {by[0]} instead of {own}"
            return f"the sender's host never saw its {protocol} leave {own}"
        return ""

    def _doubt_of_packets(self, name: str, wanted: dict[str, Any]) -> str:
        """The same of what an ordinary socket sent: wanted["by"] are the interfaces it may leave
        by.
        """
        whys = []
        seen = [
            (end, left) for end in wanted["by"] for left in self.left.get((name, end), {}).values()
        ]
        for protocol in wanted["protocols"]:
            told = []
            for end, left in seen:
                if left.protocol() not in NUMBERS[protocol]:
                    continue
                why = frames.misfit(left.head, left.length, wanted["address"], wanted["by"][end])
                told.append("a VLAN tag" if left.tagged and not why else why)
            if not told:
                whys.append(f"the sender's host never saw its {protocol} leave the pod")
            elif all(told):
                whys.append(f"the pod {CHANGED}: its {protocol} had {sorted(told)[0]}")
        return whys[0] if whys else ""

    def _suspects(self) -> list[str]:
        by: dict[str, list[str]] = {}
        for token, end in self.handed_on.items():
            by.setdefault(end, []).append(token)
        found = [
            f"{end} sent {len(tokens)} tokens of other pods (such as {min(tokens)}): it forwards"
            " what they send, or pretends to."
            for end, tokens in sorted(by.items())
        ]
        found += [
            f"{end} sent {count} datagrams to the ports of this measurement that are not tokens of"
            " it."
            for end, count in sorted(self.noise.items())
            if count >= NOISE
        ]
        return found[:SUSPECTS] + (
            [f"{len(found) - SUSPECTS} more such sentences are left out."]
            if len(found) > SUSPECTS
            else []
        )


def _is_tagged(control: Iterable[tuple[int, int, bytes]]) -> bool:
    """True of the ancillary data (struct tpacket_auxdata) of a frame that had a VLAN tag."""
    for level, kind, data in control:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA) and len(data) >= 4:
            return bool(struct.unpack_from("=I", data)[0] & VLAN_VALID)
    return False
