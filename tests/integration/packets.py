# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames and packets as hostile pods make them, right or wrong, as bytes."""

from __future__ import annotations

import ipaddress
import struct
import uuid


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def packed(address):
    return ipaddress.ip_address(address).packed


def ethernet(target, source, kind, payload, *tags):
    """A frame; tags: (ethertype, VLAN id) ahead of its kind."""
    tagged = b"".join(struct.pack("!HH", *tag) for tag in tags)
    return mac(target) + mac(source) + tagged + struct.pack("!H", kind) + payload


def arp(operation, sender, target):
    """sender, target: (MAC, address)."""
    head = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation)
    return head + b"".join(mac(one) + packed(address) for one, address in (sender, target))


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def with_checksum(message):
    """An ICMP message with its checksum, which is 0 in what is given."""
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def ipv4(source, target, protocol, payload, *, options=b"", ttl=64, fragment=0):
    """options: a multiple of 4 bytes. fragment: flags and offset as the header has them."""
    words, length = 5 + len(options) // 4, 20 + len(options) + len(payload)
    head = struct.pack("!BBHHHBBH", 0x40 | words, 0, length, 7, fragment, ttl, protocol, 0)
    head += packed(source) + packed(target) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(source, target, protocol, payload, hops=255):
    head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops)
    return head + packed(source) + packed(target) + payload


def udp(sport, dport):
    return struct.pack("!HHHH", sport, dport, 24, 0) + uuid.uuid4().bytes


def icmpv6(source, target, kind, body):
    """A message with its checksum; body: what follows it."""
    pseudo = packed(source) + packed(target) + struct.pack("!II", 4 + len(body), 58)
    total = checksum(pseudo + struct.pack("!BBH", kind, 0, 0) + body)
    return struct.pack("!BBH", kind, 0, total) + body


def advertisement(source, target, about, link):
    """A neighbour advertisement with the flags solicited and override."""
    body = struct.pack("!I", 0x60000000) + packed(about) + b"\2\1" + mac(link)
    return ipv6(source, target, 58, icmpv6(source, target, 136, body))


def router_advertisement(source, target="ff02::1"):
    """One that makes its sender the default router for half an hour."""
    body = struct.pack("!BBHII", 64, 0, 1800, 0, 0)
    return icmpv6(source, target, 134, body)
