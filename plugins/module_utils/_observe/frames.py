# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build and read the few kinds of frame a measurement needs. Pure: bytes in, bytes out.

Standard library alone: hosts send and read them, and so does a controller from outside.
"""

from __future__ import annotations

import functools
import hmac
import ipaddress
import socket
import struct
from collections.abc import Collection
from typing import Any, NamedTuple

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
_IPV6 = IPV6.to_bytes(2, "big")
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
BROADCAST, ALL_NODES = "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01"
SYN, RST, ACK = 0x02, 0x04, 0x10
MAGIC = "multinet2"
_MAGIC = MAGIC.encode("ascii")
SEAL = 8  # bytes of a token's HMAC
LOWEST_TTL = 32  # of a packet that an ordinary socket sends: the kernel's own is 64
VXLAN_HEADER = 8
VLAN = 0x8100
ARP_LENGTH = 42  # bytes of a frame
SHORTEST = 60  # bytes of a frame on a wire
TCP_HEADER = 20
TOO_BIG = {ICMP: (3, 4), ICMPV6: (2, 0)}  # type and code
ROUTER = 134  # type of ICMPv6
EXPERIMENT = 253  # an option of neighbour discovery


class Run(NamedTuple):
    """A measurement: its name, which every token shows, and the key of its tokens, which hosts and
    the controller know and no pod does.
    """

    name: str
    key: bytes


@functools.lru_cache(maxsize=4096)
def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def mac_bytes(mac: str) -> bytes:
    """Return the 6 bytes of "aa:bb:cc:dd:ee:ff"."""
    return bytes.fromhex(mac.replace(":", ""))


def mac_text(raw: bytes) -> str:
    """Return "aa:bb:cc:dd:ee:ff" of 6 bytes."""
    return ":".join(f"{byte:02x}" for byte in raw)


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of data."""
    if len(data) % 2:
        data += b"\0"
    # The sum of 16-bit words with end-around carry is the remainder by 2^16 - 1, as 2^16 leaves 1
    number = int.from_bytes(data, "big")
    return 0xFFFF - ((number - 1) % 0xFFFF + 1 if number else 0)


def _transport_sum(src: str, dst: str, protocol: int, segment: bytes) -> int:
    pseudo = _packed(src) + _packed(dst)
    return checksum(pseudo + struct.pack("!IxxxB", len(segment), protocol) + segment)


def ip(src: str, dst: str, protocol: int, payload: bytes, hops: int = 64) -> bytes:
    """Return an IPv4 or IPv6 packet (by the family of dst) with a hop limit of hops and, for IPv4,
    DF set.
    """
    source, target = _packed(src), _packed(dst)
    if len(target) == 16:
        header = struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops)
        return header + source + target + payload
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0x4000, hops, protocol, 0, source, target
    )
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def udp(src: str, dst: str, sport: int, dport: int, payload: bytes) -> bytes:
    """Return an IP packet with a UDP datagram."""
    segment = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    value = _transport_sum(src, dst, UDP, segment) or 0xFFFF
    return ip(src, dst, UDP, segment[:6] + struct.pack("!H", value) + payload)


def echo(src: str, dst: str, identifier: int, sequence: int, payload: bytes) -> bytes:
    """Return an IP packet with an ICMP or ICMPv6 echo request."""
    kind = 128 if ":" in dst else 8
    return _icmp(src, dst, struct.pack("!BBHHH", kind, 0, 0, identifier, sequence) + payload)


def _icmp(src: str, dst: str, message: bytes, hops: int = 64) -> bytes:
    """Return the packet with a message whose checksum is 0."""
    protocol = ICMPV6 if ":" in dst else ICMP
    value = _transport_sum(src, dst, protocol, message) if protocol == ICMPV6 else checksum(message)
    return ip(src, dst, protocol, message[:2] + struct.pack("!H", value) + message[4:], hops)


def too_big(src: str, dst: str, quoted: tuple[str, str], mtu: int, payload: bytes) -> bytes:
    """Return an IP packet that says that another one, an answer to a ping with this payload from
    quoted[0] to quoted[1], did not fit: it may have mtu bytes (RFC 792, RFC 4443 section 3.2).
    """
    sixth = ":" in dst
    reply = struct.pack("!BBHI", 129 if sixth else 0, 0, 0, 0) + payload
    inside = ip(*quoted, ICMPV6 if sixth else ICMP, reply)
    kind, code = TOO_BIG[ICMPV6 if sixth else ICMP]
    return _icmp(src, dst, struct.pack("!BBHI", kind, code, 0, mtu) + inside)


def router_advertisement(mac: str, payload: bytes) -> bytes:
    """Return an IP packet from a MAC's link-local address to all nodes that says: a router, for no
    time (RFC 4861 section 4.2). The payload is in an option that nobody knows (RFC 4727 section
    5.3), so that whoever hears it changes nothing.
    """
    units = (2 + len(payload) + 7) // 8
    option = struct.pack("!BB", EXPERIMENT, units) + payload.ljust(units * 8 - 2, b"\0")
    message = struct.pack("!BBHBBHII", ROUTER, 0, 0, 0, 0, 0, 0, 0) + option
    return _icmp(link_local(mac), "ff02::1", message, 255)


def syn(
    src: str, dst: str, sport: int, dport: int, payload: bytes = b"", sequence: int = 1
) -> bytes:
    """Return an IP packet with a TCP SYN.

    A payload reaches the receiver's interface, but no application: without TCP Fast Open the kernel
    drops it.
    """
    segment = (
        struct.pack("!HHIIBBHHH", sport, dport, sequence, 0, 5 << 4, SYN, 1024, 0, 0) + payload
    )
    value = _transport_sum(src, dst, TCP, segment)
    return ip(src, dst, TCP, segment[:16] + struct.pack("!H", value) + segment[18:])


def ethernet(src_mac: str, dst_mac: str, packet: bytes) -> bytes:
    """Return the Ethernet frame that carries an IP packet."""
    kind = IPV6 if packet[0] >> 4 == 6 else IPV4
    return mac_bytes(dst_mac) + mac_bytes(src_mac) + struct.pack("!H", kind) + packet


def arp_request(src_mac: str, src: str, dst: str, to: str = BROADCAST) -> bytes:
    """Return an Ethernet frame to a MAC or all: who has dst, tell src."""
    body = (
        struct.pack("!HHBBH", 1, IPV4, 6, 4, 1)
        + mac_bytes(src_mac)
        + socket.inet_aton(src)
        + bytes(6)
        + socket.inet_aton(dst)
    )
    return mac_bytes(to) + mac_bytes(src_mac) + struct.pack("!H", ARP) + body


def gratuitous_arp(src_mac: str, dst_mac: str, address: str, payload: bytes) -> bytes:
    """Return an Ethernet frame that says that an address is src_mac's (RFC 5227 section 3); the
    payload is behind it, where nobody looks.
    """
    return arp_request(src_mac, address, address, dst_mac) + payload


def tagged(frame: bytes) -> bytes:
    """Return the frame with an IEEE 802.1Q tag, VID 0: a priority, and no VLAN."""
    return frame[:12] + struct.pack("!HH", VLAN, 0) + frame[12:]


def vxlan(vni: int, frame: bytes) -> bytes:
    """Return the VXLAN message (RFC 7348 section 5) that carries an Ethernet frame."""
    return struct.pack("!II", 0x08 << 24, vni << 8) + frame


def link_local(mac: str) -> str:
    """Return the modified EUI-64 link-local address (RFC 4291 appendix A) of a MAC."""
    raw = mac_bytes(mac)
    return str(
        ipaddress.IPv6Address(
            b"\xfe\x80" + bytes(6) + bytes([raw[0] ^ 2]) + raw[1:3] + b"\xff\xfe" + raw[3:]
        )
    )


# By protocol and type
ECHO = {
    (ICMP, 8): "icmp",
    (ICMPV6, 128): "icmp",
    (ICMP, 0): "echo-reply",
    (ICMPV6, 129): "echo-reply",
}


class Said(NamedTuple):
    """What a frame says. Most of it nobody asks for, so that it is read when somebody does."""

    # "udp"|"tcp"|"icmp" (an echo request, or an error that quotes an answer to one)|"echo-reply"
    # |"too-big" (such an error about anything else)|"arp-reply"|"claim" (gratuitous ARP)
    # |"advertisement" (a router's)
    kind: str
    frame: bytes
    source: int  # where in the frame its addresses are
    target: int
    transport: int  # where the header of UDP, TCP or ICMP is
    content: int  # where the payload begins

    @property
    def src(self) -> str:
        """The address of the sender."""
        return self._address(self.source)

    @property
    def dst(self) -> str:
        """The address that it is for."""
        return self._address(self.target)

    def _address(self, at: int) -> str:
        size = 16 if self.frame[12:14] == _IPV6 else 4
        return _address_text(self.frame[at : at + size])

    @property
    def payload(self) -> bytes:
        """What it carries, nothing if it is an answer of ARP."""
        return self.frame[self.content :]

    @property
    def mac(self) -> str:
        """The MAC of which an answer of ARP speaks."""
        return mac_text(self.frame[22:28])

    @property
    def sport(self) -> int:
        """The port of the sender."""
        return int.from_bytes(self.frame[self.transport : self.transport + 2], "big")

    @property
    def dport(self) -> int:
        """The port that it is for."""
        return int.from_bytes(self.frame[self.transport + 2 : self.transport + 4], "big")

    @property
    def mtu(self) -> int:
        """What an error that says "too big" would let pass, in bytes (RFC 1191, RFC 4443)."""
        size = 4 if self.frame[12:14] == _IPV6 else 2
        return int.from_bytes(self.frame[self.transport + 8 - size : self.transport + 8], "big")

    @property
    def flags(self) -> int:
        """Those of TCP."""
        return self.frame[self.transport + 13]

    @property
    def ack(self) -> int:
        """The number that TCP acknowledges."""
        return int.from_bytes(self.frame[self.transport + 8 : self.transport + 12], "big")


@functools.lru_cache(maxsize=4096)
def _address_text(raw: bytes) -> str:
    return str(ipaddress.ip_address(raw))


def parse(frame: bytes) -> Said | None:
    """Return what a frame says, None of one that says nothing of what a measurement sends. Cut
    frames and fragments give None.
    """
    try:
        kind = frame[12] << 8 | frame[13]
        if kind == ARP:
            return _parse_arp(frame)
        if kind == IPV4:
            if (frame[20] << 8 | frame[21]) & 0x3FFF:
                return None
            protocol, source, target, at = frame[23], 26, 30, 14 + (frame[14] & 0x0F) * 4
        elif kind == IPV6:
            protocol, source, target, at = frame[20], 22, 38, 54
        else:
            return None
        found = _parse_transport(frame, protocol, at)
    except IndexError:
        return None
    if not found or found[1] > len(frame):
        return None
    return Said(found[0], frame, source, target, at, found[1])


def _parse_arp(frame: bytes) -> Said | None:
    if len(frame) < ARP_LENGTH:
        return None
    if frame[20:22] == b"\0\2":
        return Said("arp-reply", frame, 28, 38, 0, len(frame))
    return Said("claim", frame, 28, 38, 0, ARP_LENGTH) if frame[28:32] == frame[38:42] else None


def _parse_transport(frame: bytes, protocol: int, at: int) -> tuple[str, int] | None:
    """Return the kind of a packet and where its payload begins; raises IndexError of a cut one."""
    if protocol == UDP:
        return "udp", at + 8
    if protocol == TCP:
        size = (frame[at + 12] >> 4) * 4
        return ("tcp", at + size) if size >= TCP_HEADER else None
    kind = ECHO.get((protocol, frame[at]))
    if kind:
        return kind, at + 8
    if (frame[at], frame[at + 1]) == TOO_BIG.get(protocol):
        # headers: of the error, of the packet that it quotes, and of the answer in that
        carried, inner = (at + 17, at + 28) if protocol == ICMP else (at + 14, at + 48)
        is_ours = (protocol, "echo-reply") == (frame[carried], ECHO.get((protocol, frame[inner])))
        return "icmp" if is_ours else "too-big", inner + 8
    if (protocol, frame[at], frame[at + 16]) == (ICMPV6, ROUTER, EXPERIMENT):
        return "advertisement", at + 18
    return None


# Classic BPF, include/uapi/linux/bpf_common.h
LOAD_WORD, LOAD_HALF, LOAD_BYTE = 0x20, 0x28, 0x30
LOAD_HALF_INDEXED, LOAD_BYTE_INDEXED = 0x48, 0x50
LOAD_LENGTH, LOAD_HEADER_LENGTH = 0x80, 0xB1
EQUAL, GREATER, AT_LEAST, ANY_BIT, AND, LEAVE = 0x15, 0x25, 0x35, 0x45, 0x54, 0x06
MANY = 48  # ports; more are a range
# Types of packets, include/uapi/linux/if_packet.h: those up to this one are for this interface
MULTICAST, OUTGOING = 2, 4
TYPE_PLACE = 0xFFFFF004  # SKF_AD_OFF + SKF_AD_PKTTYPE
_PACKET_TYPE = struct.pack("HBBI", LOAD_BYTE, 0, 0, TYPE_PLACE)
_DROPPED = struct.pack("HBBI", LEAVE, 0, 0, 0)


# (name, code, operand, next if true, next if false)
_Line = tuple[str, int, int, str, str]


def requests_filter(ports: Collection[int], witness: bool = False) -> bytes:
    """Return the classic BPF program (bytes of struct sock_filter) that passes UDP to these ports,
    TCP SYNs with a payload and echo requests, over IPv4 and IPv6. witness: and ARP (if it goes out,
    only with a token), errors of ICMP and router advertisements.
    """
    more = TOO_BIG[ICMP][0], TOO_BIG[ICMPV6][0], ROUTER
    # A packet that is longer than headers with all their options has a payload.
    return _filter(
        ports,
        2,
        # a bridge floods each question to all of its ports
        arp=[
            ("arp", LOAD_BYTE, TYPE_PLACE, "", ""),
            ("", EQUAL, OUTGOING, "", "accept"),
            ("", LOAD_LENGTH, 0, "", ""),
            ("", GREATER, SHORTEST, "accept", "drop"),
        ]
        if witness
        else [("arp", LEAVE, 0, "", "")],
        tcp=[
            ("tcp", LOAD_HALF, 16, "", ""),
            ("", GREATER, 120, "", "drop"),
            ("", LOAD_HEADER_LENGTH, 14, "", ""),
            ("", LOAD_BYTE_INDEXED, 14 + 13, "", ""),
        ],
        tcp6=[
            ("tcp6", LOAD_HALF, 18, "", ""),
            ("", GREATER, 60, "", "drop"),
            ("", LOAD_BYTE, 54 + 13, "", ""),
        ],
        flags=[("", AND, SYN | ACK, "", ""), ("", EQUAL, SYN, "accept", "drop")],
        icmp=(8, *more[:1]) if witness else (8,),
        icmp6=(128, *more[1:]) if witness else (128,),
    )


def answers_filter(port: int) -> bytes:
    """Return the classic BPF program that passes UDP from port, TCP with ACK and SYN or RST, echo
    replies and answers of ARP.
    """
    return _filter(
        [port],
        0,
        arp=[("arp", LOAD_HALF, 20, "", ""), ("", EQUAL, 2, "accept", "drop")],
        tcp=[("tcp", LOAD_HEADER_LENGTH, 14, "", ""), ("", LOAD_BYTE_INDEXED, 14 + 13, "", "")],
        tcp6=[("tcp6", LOAD_BYTE, 54 + 13, "", "")],
        flags=[("", ANY_BIT, ACK, "", "drop"), ("", ANY_BIT, SYN | RST, "accept", "drop")],
        icmp=(0,),
        icmp6=(129,),
    )


def incoming(program: bytes) -> bytes:
    """Return a program that passes of these frames those that are for this interface: not those
    that go out, nor those for somebody else.
    """
    return _PACKET_TYPE + struct.pack("HBBI", GREATER, 0, 1, MULTICAST) + _DROPPED + program


def outgoing(program: bytes) -> bytes:
    """Return a program that passes of these frames those that go out of this interface."""
    return _PACKET_TYPE + struct.pack("HBBI", EQUAL, 1, 0, OUTGOING) + _DROPPED + program


def to_address(address: str, program: bytes) -> bytes:
    """Return a program that passes of these frames those whose packet is for an address."""
    kind, place = (IPV6, 38) if ":" in address else (IPV4, 30)
    words = struct.unpack(f"!{len(_packed(address)) // 4}I", _packed(address))
    found = struct.pack("HBBI", LOAD_HALF, 0, 0, 12)
    found += struct.pack("HBBI", EQUAL, 0, 2 * len(words), kind)
    for number, word in enumerate(words):
        left = 2 * (len(words) - 1 - number)  # lines before the one that drops
        found += struct.pack("HBBI", LOAD_WORD, 0, 0, place + 4 * number)
        found += struct.pack("HBBI", EQUAL, 0 if left else 1, left, word)
    return found + _DROPPED + program


def local_filter(ipv6: bool, protocol: int, port: int) -> bytes:
    """Return the classic BPF program of a raw socket of TCP or ICMP: what is to port, or an echo
    request. IPv4 packets have their header there, IPv6 ones have none.
    """
    wanted = port if protocol == TCP else {ICMP: 8, ICMPV6: 128}[protocol]
    load = LOAD_HALF if protocol == TCP else LOAD_BYTE
    place = 2 if protocol == TCP else 0
    begin: list[_Line] = [("", load, place, "", "")]
    if not ipv6:
        indexed = LOAD_HALF_INDEXED if protocol == TCP else LOAD_BYTE_INDEXED
        begin = [("", LOAD_HEADER_LENGTH, 0, "", ""), ("", indexed, place, "", "")]
    return _program([*begin, ("", EQUAL, wanted, "accept", "drop"), *_END])


def _filter(
    ports: Collection[int],
    port_offset: int,
    *,
    arp: list[_Line],
    tcp: list[_Line],
    tcp6: list[_Line],
    flags: list[_Line],
    icmp: tuple[int, ...],
    icmp6: tuple[int, ...],
) -> bytes:
    """Return a program (bytes). port_offset is within the transport header.

    arp: the lines that judge it. tcp, tcp6: the lines that load the flags of a TCP header; flags:
    the lines that judge them. icmp, icmp6: the types that pass.
    """
    any_port: list[_Line] = [("", EQUAL, port, "accept", "") for port in sorted(ports)]
    any_port.append(("", LEAVE, 0, "", ""))
    if len(ports) > MANY:  # a jump goes 255 lines at most
        any_port = [("", AT_LEAST, min(ports), "", "drop"), ("", GREATER, max(ports), "drop", "")]
        any_port.append(("", LEAVE, 0x40000, "", ""))
    lines: list[_Line] = [
        ("", LOAD_HALF, 12, "", ""),
        ("", EQUAL, ARP, "arp", ""),
        ("", EQUAL, IPV6, "ipv6", ""),
        ("", EQUAL, IPV4, "", "drop"),
        ("", LOAD_BYTE, 23, "", ""),
        ("", EQUAL, ICMP, "icmp", ""),
        ("", EQUAL, TCP, "tcp", ""),
        ("", EQUAL, UDP, "", "drop"),
        ("", LOAD_HEADER_LENGTH, 14, "", ""),
        ("", LOAD_HALF_INDEXED, 14 + port_offset, "", ""),
        *any_port,
        ("icmp", LOAD_HEADER_LENGTH, 14, "", ""),
        ("", LOAD_BYTE_INDEXED, 14, "", ""),
        *(("", EQUAL, kind, "accept", "") for kind in icmp),
        ("", LEAVE, 0, "", ""),
        ("ipv6", LOAD_BYTE, 20, "", ""),
        ("", EQUAL, ICMPV6, "icmp6", ""),
        ("", EQUAL, TCP, "tcp6", ""),
        ("", EQUAL, UDP, "", "drop"),
        ("", LOAD_HALF, 54 + port_offset, "", ""),
        *any_port,
        ("icmp6", LOAD_BYTE, 54, "", ""),
        *(("", EQUAL, kind, "accept", "") for kind in icmp6),
        ("", LEAVE, 0, "", ""),
    ]
    return _program(lines + arp + tcp + flags + tcp6 + flags + _END)


_END: list[_Line] = [("accept", LEAVE, 0x40000, "", ""), ("drop", LEAVE, 0, "", "")]


def _program(lines: list[_Line]) -> bytes:
    place = {line[0]: number for number, line in enumerate(lines)}
    program = b""
    for number, (dummy, code, operand, true, false) in enumerate(lines):
        jumps = [place[name] - number - 1 if name else 0 for name in (true, false)]
        program += struct.pack("HBBI", code, jumps[0], jumps[1], operand)
    return program


def _sealed(run: Run, words: tuple[str, ...]) -> bytes:
    said = " ".join((MAGIC, run.name, *words)).encode("ascii")
    return said + b" " + hmac.digest(run.key, said, "sha256")[:SEAL].hex().encode("ascii") + b"\n"


def token(run: Run, cell: str, claimed: str | None, answer: bool, size: int = 0) -> bytes:
    """Return the payload (bytes, padded to size) that says: measurement, cell id, claimed source,
    and whether an answer is wanted. It ends in an HMAC, so that no pod can make another.
    """
    return _sealed(run, ("?" if answer else "!", cell, claimed or "-")).ljust(size, b"\0")


def answer(run: Run, cell: str, responder: str) -> bytes:
    """Return the payload of the answer to a token."""
    return _sealed(run, ("=", cell, responder))


def read_token(payload: bytes, run: Run) -> dict[str, str] | None:
    """Return {"type": "?"|"!"|"=", "cell", "name" (claimed source or responder)} of this run's
    tokens and answers, None of anything else, whatever the bytes. Not to be changed.
    """
    if not payload.startswith(_MAGIC):
        return None
    return _read_token(payload.partition(b"\n")[0], run)


@functools.lru_cache(maxsize=4096)  # the same token comes by several protocols and listeners
def _read_token(line: bytes, run: Run) -> dict[str, str] | None:
    said, dummy, seal = line.rpartition(b" ")
    if not hmac.compare_digest(
        hmac.digest(run.key, said, "sha256")[:SEAL].hex().encode("ascii"), seal
    ):
        return None
    words = said.decode("ascii").split(" ")
    if len(words) != 5 or words[1] != run.name:
        return None
    return {"type": words[2], "cell": words[3], "name": words[4]}


def inner(said: Said, port: int) -> Said:
    """Return what the frame within a VXLAN message says, of anything else than that itself.

    port: the tokens' own, whose messages carry no frame.
    """
    if said.kind == "udp" and said.dport != port:
        return parse(said.payload[VXLAN_HEADER:]) or said
    return said


_FIELDS: list[tuple[str, int, int, int, Any]] = [  # name, EtherType (0: any), from, to, as text
    ("destination MAC", 0, 0, 6, mac_text),
    ("source MAC", 0, 6, 12, mac_text),
    ("EtherType", 0, 12, 14, bytes.hex),
    ("IP header", IPV4, 14, 15, bytes.hex),
    ("IP length", IPV4, 16, 18, lambda raw: str(int.from_bytes(raw, "big"))),
    ("fragment field", IPV4, 20, 22, bytes.hex),
    ("TTL", IPV4, 22, 23, lambda raw: str(raw[0])),
    ("protocol", IPV4, 23, 24, lambda raw: str(raw[0])),
    ("source", IPV4, 26, 30, socket.inet_ntoa),
    ("destination", IPV4, 30, 34, socket.inet_ntoa),
    ("IP length", IPV6, 18, 20, lambda raw: str(int.from_bytes(raw, "big"))),
    ("next header", IPV6, 20, 21, lambda raw: str(raw[0])),
    ("hop limit", IPV6, 21, 22, lambda raw: str(raw[0])),
    ("source", IPV6, 22, 38, lambda raw: str(ipaddress.IPv6Address(raw))),
    ("destination", IPV6, 38, 54, lambda raw: str(ipaddress.IPv6Address(raw))),
]
HEAD = 54  # bytes of a frame that difference() and misfit() look at


def difference(sent: bytes, seen: bytes) -> str:
    """Return what a frame had and what it was sent with, such as "TTL 1 instead of 64".

    sent, seen: the first HEAD bytes of each.
    """
    kind = struct.unpack_from("!H", sent, 12)[0]
    for name, of, start, end, text in _FIELDS:
        if of in (0, kind) and sent[start:end] != seen[start:end] and len(seen) >= end:
            return f"{name} {text(seen[start:end])} instead of {text(sent[start:end])}"
    return "another content"


def misfit(head: bytes, length: int, address: str, mac: str | None) -> str:
    """Return why a packet that an ordinary socket sent cannot arrive, "" if it can.

    head: the first HEAD bytes of its frame, which had length bytes. address: where it must go. mac:
    of the first hop, None if that is not known.
    """
    try:
        kind = struct.unpack_from("!H", head, 12)[0]
        if mac and mac_text(head[:6]) != mac:
            return f"destination MAC {mac_text(head[:6])} instead of the gateway's {mac}"
        if kind == IPV4:
            target, ttl = socket.inet_ntoa(head[30:34]), head[22]
            whole = 14 + struct.unpack_from("!H", head, 16)[0]
            fragment = struct.unpack_from("!H", head, 20)[0] & 0x3FFF
            sound = head[14] == 0x45 and not fragment and checksum(head[14:34]) == 0
        elif kind == IPV6:
            target, ttl = str(ipaddress.IPv6Address(head[38:54])), head[21]
            whole = 54 + struct.unpack_from("!H", head, 18)[0]
            sound = head[20] in (TCP, UDP, ICMPV6)
        else:
            return f"EtherType {kind:04x}"
    except (struct.error, IndexError, OSError, ValueError):
        return "no whole header"
    if target != address:
        return f"destination {target} instead of {address}"
    if ttl < LOWEST_TTL:
        return f"TTL {ttl}"
    if whole != length:
        return f"IP length {whole - 14} in a frame of {length} bytes"
    return "" if sound else "a header that no router takes"
