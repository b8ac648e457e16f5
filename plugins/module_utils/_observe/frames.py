# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build and read the few kinds of frame a measurement needs. Pure: bytes in, bytes out.

Standard library alone: hosts send and read them, and so does a controller from outside.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import Any

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
BROADCAST, ALL_NODES = "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01"
SYN, RST, ACK = 0x02, 0x04, 0x10
MAGIC = "multinet1"


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
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _transport_sum(src: str, dst: str, protocol: int, segment: bytes) -> int:
    pseudo = ipaddress.ip_address(src).packed + ipaddress.ip_address(dst).packed
    return checksum(pseudo + struct.pack("!IxxxB", len(segment), protocol) + segment)


def ip(src: str, dst: str, protocol: int, payload: bytes) -> bytes:
    """Return an IPv4 or IPv6 packet (by the family of dst) with a hop limit of 64 and, for IPv4, DF
    set.
    """
    source, target = ipaddress.ip_address(src).packed, ipaddress.ip_address(dst).packed
    if len(target) == 16:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + source + target + payload
    header = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, protocol, 0, source, target
    )
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def udp(src: str, dst: str, sport: int, dport: int, payload: bytes) -> bytes:
    """Return an IP packet with a UDP datagram."""
    segment = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    value = _transport_sum(src, dst, UDP, segment) or 0xFFFF
    return ip(src, dst, UDP, segment[:6] + struct.pack("!H", value) + payload)


def echo(src: str, dst: str, identifier: int, sequence: int, payload: bytes) -> bytes:
    """Return an IP packet with an ICMP or ICMPv6 echo request."""
    protocol, kind = (ICMPV6, 128) if ":" in dst else (ICMP, 8)
    message = struct.pack("!BBHHH", kind, 0, 0, identifier, sequence) + payload
    value = _transport_sum(src, dst, protocol, message) if protocol == ICMPV6 else checksum(message)
    return ip(src, dst, protocol, message[:2] + struct.pack("!H", value) + message[4:])


def syn(src: str, dst: str, sport: int, dport: int, payload: bytes = b"") -> bytes:
    """Return an IP packet with a TCP SYN.

    A payload reaches the receiver's interface, but no application: without TCP Fast Open the kernel
    drops it.
    """
    segment = struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 5 << 4, SYN, 1024, 0, 0) + payload
    value = _transport_sum(src, dst, TCP, segment)
    return ip(src, dst, TCP, segment[:16] + struct.pack("!H", value) + segment[18:])


def ethernet(src_mac: str, dst_mac: str, packet: bytes) -> bytes:
    """Return the Ethernet frame that carries an IP packet."""
    kind = IPV6 if packet[0] >> 4 == 6 else IPV4
    return mac_bytes(dst_mac) + mac_bytes(src_mac) + struct.pack("!H", kind) + packet


def arp_request(src_mac: str, src: str, dst: str) -> bytes:
    """Return a broadcast Ethernet frame: who has dst, tell src."""
    body = (
        struct.pack("!HHBBH", 1, IPV4, 6, 4, 1)
        + mac_bytes(src_mac)
        + socket.inet_aton(src)
        + bytes(6)
        + socket.inet_aton(dst)
    )
    return mac_bytes(BROADCAST) + mac_bytes(src_mac) + struct.pack("!H", ARP) + body


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


def parse(frame: bytes) -> dict[str, Any] | None:
    """Return what a frame says: {"kind": "udp"|"tcp"|"echo-reply"|"arp-reply", "src", "dst", ...},
    or None if it is none of these.

    udp: sport, dport, payload. tcp: sport, dport, flags, payload. echo-reply: payload. arp-reply:
    mac (of src). Cut frames and fragments give None.
    """
    try:
        kind = struct.unpack_from("!H", frame, 12)[0]
        if kind == ARP:
            operation = struct.unpack_from("!H", frame, 20)[0]
            if operation != 2:
                return None
            return {
                "kind": "arp-reply",
                "mac": mac_text(frame[22:28]),
                "src": socket.inet_ntoa(frame[28:32]),
                "dst": socket.inet_ntoa(frame[38:42]),
            }
        if kind == IPV4:
            if struct.unpack_from("!H", frame, 20)[0] & 0x3FFF:
                return None
            protocol, offset = frame[23], 14 + (frame[14] & 0x0F) * 4
            src, dst = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
        elif kind == IPV6:
            protocol, offset = frame[20], 54
            src, dst = (
                str(ipaddress.IPv6Address(bytes(frame[start : start + 16]))) for start in (22, 38)
            )
        else:
            return None
        if protocol in (UDP, TCP):
            sport, dport = struct.unpack_from("!HH", frame, offset)
            said = {"src": src, "dst": dst, "sport": sport, "dport": dport}
            if protocol == UDP:
                return dict(said, kind="udp", payload=bytes(frame[offset + 8 :]))
            return dict(
                said,
                kind="tcp",
                flags=frame[offset + 13],
                payload=bytes(frame[offset + (frame[offset + 12] >> 4) * 4 :]),
            )
        if (protocol, frame[offset]) in ((ICMP, 0), (ICMPV6, 129)):
            return {
                "kind": "echo-reply",
                "src": src,
                "dst": dst,
                "payload": bytes(frame[offset + 8 :]),
            }
        return None
    except (struct.error, IndexError, OSError, ValueError):
        return None


# Classic BPF, include/uapi/linux/bpf_common.h
LOAD_HALF, LOAD_BYTE, LOAD_HALF_INDEXED, LOAD_BYTE_INDEXED = 0x28, 0x30, 0x48, 0x50
LOAD_HEADER_LENGTH = 0xB1
EQUAL, GREATER, ANY_BIT, AND, LEAVE = 0x15, 0x25, 0x45, 0x54, 0x06


# (name, code, operand, next if true, next if false)
_Line = tuple[str, int, int, str, str]


def requests_filter(port: int) -> bytes:
    """Return the classic BPF program (bytes of struct sock_filter) that passes UDP to port and TCP
    SYNs with a payload, over IPv4 and IPv6.
    """
    # A packet that is longer than headers with all their options has a payload.
    return _filter(
        port,
        2,
        "drop",
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
    )


def answers_filter(port: int) -> bytes:
    """Return the classic BPF program that passes UDP from port, TCP with SYN or RST, ICMP, ICMPv6
    and ARP.
    """
    return _filter(
        port,
        0,
        "accept",
        tcp=[("tcp", LOAD_HEADER_LENGTH, 14, "", ""), ("", LOAD_BYTE_INDEXED, 14 + 13, "", "")],
        tcp6=[("tcp6", LOAD_BYTE, 54 + 13, "", "")],
        flags=[("", ANY_BIT, SYN | RST, "accept", "drop")],
    )


def _filter(
    port: int,
    port_offset: int,
    others: str,
    *,
    tcp: list[_Line],
    tcp6: list[_Line],
    flags: list[_Line],
) -> bytes:
    """Return a program (bytes). port_offset is within the transport header; others: what becomes of
    ICMP and ARP.

    tcp, tcp6: the lines that load the flags of a TCP header; flags: the lines that judge them.
    """
    lines: list[_Line] = [
        ("", LOAD_HALF, 12, "", ""),
        ("", EQUAL, ARP, others, ""),
        ("", EQUAL, IPV6, "ipv6", ""),
        ("", EQUAL, IPV4, "", "drop"),
        ("", LOAD_BYTE, 23, "", ""),
        ("", EQUAL, ICMP, others, ""),
        ("", EQUAL, TCP, "tcp", ""),
        ("", EQUAL, UDP, "", "drop"),
        ("", LOAD_HEADER_LENGTH, 14, "", ""),
        ("", LOAD_HALF_INDEXED, 14 + port_offset, "", ""),
        ("", EQUAL, port, "accept", "drop"),
        ("ipv6", LOAD_BYTE, 20, "", ""),
        ("", EQUAL, ICMPV6, others, ""),
        ("", EQUAL, TCP, "tcp6", ""),
        ("", EQUAL, UDP, "", "drop"),
        ("", LOAD_HALF, 54 + port_offset, "", ""),
        ("", EQUAL, port, "accept", "drop"),
    ]
    lines += tcp + flags + tcp6 + flags
    lines += [("accept", LEAVE, 0x40000, "", ""), ("drop", LEAVE, 0, "", "")]
    place = {line[0]: number for number, line in enumerate(lines)}
    program = b""
    for number, (dummy, code, operand, true, false) in enumerate(lines):
        jumps = [place[name] - number - 1 if name else 0 for name in (true, false)]
        program += struct.pack("HBBI", code, jumps[0], jumps[1], operand)
    return program


def token(run: str, cell: str, claimed: str | None, answer: bool, size: int = 0) -> bytes:
    """Return the payload (bytes, padded to size) that says: measurement run, cell id, claimed
    source, and whether an answer is wanted.
    """
    words = (MAGIC, run, "?" if answer else "!", cell, claimed or "-")
    return f"{' '.join(words)}\n".encode("ascii").ljust(size, b"\0")


def answer(run: str, cell: str, responder: str) -> bytes:
    """Return the payload of the answer to a token."""
    return (" ".join((MAGIC, run, "=", cell, responder)) + "\n").encode("ascii")


def read_token(payload: bytes, run: str) -> dict[str, str] | None:
    """Return {"type": "?"|"!"|"=", "cell", "name" (claimed source or responder)} of this run's
    tokens and answers, None of anything else.
    """
    if not payload.startswith(MAGIC.encode("ascii")):
        return None
    words = payload.split(b"\n", 1)[0].decode("ascii", "replace").split(" ")
    if len(words) != 5 or words[1] != run:
        return None
    return {"type": words[2], "cell": words[3], "name": words[4]}
