# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames against what other programs and the documents say, and the filters against frames."""

from __future__ import annotations

import random
import socket
import struct

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import frames

RUN = frames.Run("run1", b"key")
A, B = "02:00:00:00:00:01", "02:00:00:00:00:02"


def test_checksum_of_rfc_1071():
    assert frames.checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF & ~0xDDF2


def test_ipv4_header_of_a_textbook_example():
    packet = frames.ip("192.168.0.1", "192.168.0.199", 17, bytes(95))
    assert (
        frames.checksum(packet[:20]) == 0
        and packet[6:8] == b"\x40\x00"
        and struct.unpack_from("!H", packet, 2)[0] == 115
    )


@pytest.mark.parametrize("src, dst", [("10.1.1.2", "10.3.1.2"), ("fd00:1::2", "fd00:3::2")])
def test_what_is_built_is_read_back(src, dst):
    said = frames.parse(frames.ethernet(A, B, frames.udp(src, dst, 1000, 2000, b"hello")))
    assert (said.kind, said.src, said.dst) == ("udp", src, dst)
    assert (said.sport, said.dport, said.payload) == (1000, 2000, b"hello")
    said = frames.parse(frames.ethernet(A, B, frames.syn(src, dst, 1000, 2000)))
    assert (said.kind, said.flags, said.ack, said.payload) == ("tcp", frames.SYN, 0, b"")


def test_link_local_of_rfc_4291():
    assert frames.link_local("34:56:78:9a:bc:de") == "fe80::3656:78ff:fe9a:bcde"


def test_vxlan_header_of_rfc_7348():
    assert frames.vxlan(0x123456, b"x") == bytes.fromhex("0800000012345600") + b"x"


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"short",
        bytes(14),
        bytes(12) + b"\x08\x00" + b"\x45",
        bytes(12) + b"\x86\xdd" + bytes(10),
        bytes(12) + b"\x08\x06",
    ],
)
def test_cut_frames_are_nothing(frame):
    assert frames.parse(frame) is None


def test_tokens():
    payload = frames.token(RUN, "forced|4|h1/a/eth0|h2/b/net1", "10.1.1.2", True, 1000)
    assert len(payload) == 1000
    assert frames.read_token(payload, RUN) == {
        "type": "?",
        "cell": "forced|4|h1/a/eth0|h2/b/net1",
        "name": "10.1.1.2",
    }
    assert frames.read_token(payload, frames.Run("run2", b"key")) is None
    assert frames.read_token(frames.answer(RUN, "c", "h1/a"), RUN) == {
        "type": "=",
        "cell": "c",
        "name": "h1/a",
    }
    assert frames.read_token(b"\xff" * 40, RUN) is None


def run_filter(program, frame, packet_type=0):
    """What the kernel would do, by the definition of classic BPF (bpf(4)): the number of bytes
    passed, 0 for none.
    """
    lines = [struct.unpack_from("HBBI", program, at) for at in range(0, len(program), 8)]
    at, accumulator, index = 0, 0, 0
    while True:
        code, true, false, operand = lines[at]
        at += 1
        try:
            if code == 0x28:
                accumulator = struct.unpack_from("!H", frame, operand)[0]
            elif code == 0x20:
                accumulator = struct.unpack_from("!I", frame, operand)[0]
            elif code == 0x48:
                accumulator = struct.unpack_from("!H", frame, operand + index)[0]
            elif code == 0x30 and operand == 0xFFFFF004:  # SKF_AD_OFF + SKF_AD_PKTTYPE
                accumulator = packet_type
            elif code == 0x30:
                accumulator = frame[operand]
            elif code == 0x80:
                accumulator = len(frame)
            elif code == 0xB1:
                index = (frame[operand] & 0xF) * 4
            elif code == 0x50:
                accumulator = frame[operand + index]
            elif code == 0x54:
                accumulator &= operand
            elif code in (0x15, 0x25, 0x35, 0x45):
                at += (
                    true
                    if {
                        0x15: accumulator == operand,
                        0x25: accumulator > operand,
                        0x35: accumulator >= operand,
                        0x45: accumulator & operand,
                    }[code]
                    else false
                )
            elif code == 0x06:
                return operand
            else:
                raise ValueError(code)
        except (struct.error, IndexError):
            return 0


UDP_TO = [
    frames.ethernet(A, B, frames.udp(*ends, 9, 7000, b""))
    for ends in (("10.1.1.2", "10.3.1.2"), ("fd00::1", "fd00::2"))
]
UDP_FROM = [
    frames.ethernet(A, B, frames.udp(*ends, 7000, 9, b""))
    for ends in (("10.1.1.2", "10.3.1.2"), ("fd00::1", "fd00::2"))
]
TCP_ASKS = [
    frames.ethernet(A, B, frames.syn(*ends, 7000, 9))
    for ends in (("10.1.1.2", "10.3.1.2"), ("fd00::1", "fd00::2"))
]
TCP_FROM = [
    frame[:at] + bytes([flags]) + frame[at + 1 :]
    for frame, at in zip(TCP_ASKS, (14 + 20 + 13, 54 + 13))
    for flags in (frames.SYN | frames.ACK, frames.RST | frames.ACK)
]
SYN_TOKEN = [
    frames.ethernet(A, B, frames.syn(*ends, 9, 80, bytes(128)))
    for ends in (("10.1.1.2", "10.3.1.2"), ("fd00::1", "fd00::2"))
]
TCP_DATA = [
    frame[:at] + b"\x10" + frame[at + 1 :] for frame, at in zip(SYN_TOKEN, (14 + 20 + 13, 54 + 13))
]
ECHO = [
    frames.ethernet(A, B, frames.echo(*ends, 1, 1, b""))
    for ends in (("10.1.1.2", "10.3.1.2"), ("fd00::1", "fd00::2"))
]
REPLY = [
    frame[:offset] + bytes([kind]) + frame[offset + 1 :]
    for frame, offset, kind in ((ECHO[0], 34, 0), (ECHO[1], 54, 129))
]
ARP = [frames.arp_request(A, "10.1.1.2", "10.3.1.2")]
ARP_ANSWER = [ARP[0][:21] + b"\2" + ARP[0][22:]]
OF_PODS = [  # what only the host's end of a pod's interface is to hear
    frames.gratuitous_arp(A, B, "10.1.1.3", b"hello"),
    frames.ethernet(A, B, frames.router_advertisement(A, b"hello")),
    *(
        frames.ethernet(A, B, frames.too_big(*ends, quoted, 1300, b"hello"))
        for ends, quoted in (
            (("10.1.1.2", "10.1.1.1"), ("10.3.1.1", "10.3.1.9")),
            (("fd00:1::2", "fd00:1::1"), ("fd00:3::1", "fd00:3::9")),
        )
    ),
]


def test_what_pods_say_of_others_is_read_back():
    said = [frames.parse(frame) for frame in OF_PODS]
    assert [one.kind for one in said] == ["claim", "advertisement", "icmp", "icmp"]
    assert [one.payload.rstrip(b"\0") for one in said] == [b"hello"] * 4
    # what a kernel says of a packet that was too big for it, whose token nobody got
    for error in OF_PODS[2:]:
        at = 14 + 20 + 8 if error[12:14] == b"\x08\0" else 14 + 40 + 8
        carried = at + (9 if at == 42 else 6)
        about = frames.parse(error[:carried] + bytes([frames.UDP]) + error[carried + 1 :])
        assert (about.kind, about.mtu) == ("too-big", 1300)
        assert about.payload.rstrip(b"\0") == b"hello"
    tag = frames.tagged(OF_PODS[0])
    assert tag[12:16] == b"\x81\0\0\0" and tag[:12] + tag[16:] == OF_PODS[0]


def test_sums_of_what_a_kernel_would_check():
    advertised, error, error6 = (frame[14:] for frame in OF_PODS[1:])
    assert advertised[7] == 255, "neighbours believe no other hop limit"
    assert struct.unpack_from("!H", advertised, 46)[0] == 0, "a lifetime of 0 changes nothing"
    for packet in (advertised, error6):
        pseudo = packet[8:40] + struct.pack("!IxxxB", len(packet) - 40, frames.ICMPV6)
        assert frames.checksum(pseudo + packet[40:]) == 0
    assert frames.checksum(error[20:]) == 0


def test_filters():
    requests, answers = frames.requests_filter([7000]), frames.answers_filter(7000)
    assert all(run_filter(requests, frame) for frame in UDP_TO + SYN_TOKEN + ECHO)
    others = UDP_FROM + TCP_ASKS + TCP_FROM + TCP_DATA + REPLY
    assert not any(run_filter(requests, frame) for frame in others + ARP + OF_PODS)
    assert all(run_filter(answers, frame) for frame in UDP_FROM + TCP_FROM + REPLY + ARP_ANSWER)
    assert not any(
        run_filter(answers, frame) for frame in UDP_TO + TCP_ASKS + TCP_DATA + ECHO + ARP
    )
    for ports in ({*range(9000, 9040), 7000}, {*range(9000, 9200), 7000}):
        witness = frames.requests_filter(ports, witness=True)
        assert all(
            run_filter(witness, frame) for frame in UDP_TO + SYN_TOKEN + ECHO + ARP + OF_PODS
        )
        assert not any(run_filter(witness, frame) for frame in others)
        # of what a bridge floods to all its ports
        assert not any(run_filter(witness, frame, frames.OUTGOING) for frame in ARP + ARP_ANSWER)
        claim = frames.gratuitous_arp(A, B, "10.1.1.3", frames.token(RUN, "c", None, False))
        assert run_filter(witness, claim, frames.OUTGOING)
    assert socket.htons(1)  # the programs are in host order, the frames in network order


def test_filters_by_the_way_that_a_packet_goes():
    """Types: 0 for this host, 1 broadcast, 2 multicast, 3 for somebody else, 4 outgoing."""
    program, (frame, *dummy) = frames.requests_filter([7000]), UDP_TO
    passed = [bool(run_filter(frames.incoming(program), frame, kind)) for kind in range(5)]
    assert passed == [True, True, True, False, False]
    passed = [bool(run_filter(frames.outgoing(program), frame, kind)) for kind in range(5)]
    assert passed == [False, False, False, False, True]
    for both in (frames.incoming(program), frames.outgoing(program)):
        assert not any(run_filter(both, UDP_FROM[0], kind) for kind in range(5))


@pytest.mark.parametrize("address", ["10.3.1.2", "fd00::2"])
def test_a_filter_by_the_address_that_a_packet_is_for(address):
    own = frames.to_address(address, frames.requests_filter([7000]))
    for frame in UDP_TO + SYN_TOKEN + ECHO:
        for_it = frames.parse(frame).dst == address
        assert bool(run_filter(own, frame)) == for_it
        assert bool(run_filter(frames.incoming(own), frame)) == for_it
        assert not run_filter(frames.incoming(own), frame, frames.OUTGOING)
    near = address.replace("2", "3")
    assert not any(
        run_filter(frames.to_address(one, frames.requests_filter([7000])), frame)
        for one in (near, address.replace("10", "11").replace("fd00", "fd01"))
        for frame in UDP_TO
    )
    assert not any(run_filter(own, frame) for frame in UDP_FROM + ARP)


def test_filters_of_a_hosts_raw_sockets():
    for ipv6, frame in ((False, SYN_TOKEN[0]), (True, SYN_TOKEN[1])):
        there = frame[54:] if ipv6 else frame[14:]
        assert run_filter(frames.local_filter(ipv6, frames.TCP, 80), there)
        assert not run_filter(frames.local_filter(ipv6, frames.TCP, 81), there)
    for protocol, offset, frame, reply in (
        (frames.ICMP, 14, ECHO[0], REPLY[0]),
        (frames.ICMPV6, 54, ECHO[1], REPLY[1]),
    ):
        program = frames.local_filter(protocol == frames.ICMPV6, protocol, 7000)
        assert run_filter(program, frame[offset:]) and not run_filter(program, reply[offset:])


def test_no_token_is_believed_but_of_this_runs_key():
    payload = frames.token(RUN, "forced|4|h1/a/eth0|h2/b/net1", "10.1.1.2", True)
    assert frames.read_token(payload, frames.Run("run1", b"another key")) is None
    for at in range(len(payload) - 1):
        changed = payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :]
        assert frames.read_token(changed, RUN) is None, at
    for other in (b"", b"multinet2", b"multinet2 \xff\xfe\n", payload[:-10], payload[9:]):
        assert frames.read_token(other, RUN) is None


def test_nothing_that_arrives_is_more_than_nothing():
    """Whatever the bytes, there is no exception, and no token."""
    made = random.Random(7)
    whole = [*UDP_TO, *SYN_TOKEN, *ECHO, *REPLY, *ARP]
    for dummy in range(5000):
        frame = bytearray(made.choice(whole))
        for dummy in range(made.randrange(1, 6)):
            frame[made.randrange(len(frame))] = made.getrandbits(8)
        frame = bytes(frame[: made.randrange(len(frame) + 1)])
        said = frames.parse(frame)
        if said:
            said = frames.inner(said, 7000)
            assert frames.read_token(said.payload, RUN) is None
        frames.difference(whole[0][:54], frame[:54])
        frames.misfit(frame[:54], len(frame), "10.3.1.2", None)


@pytest.mark.parametrize("src, dst", [("10.1.1.2", "10.3.1.2"), ("fd00:1::2", "fd00:3::2")])
def test_what_an_ordinary_socket_sent_fits_or_not(src, dst):
    frame = frames.ethernet(A, B, frames.udp(src, dst, 1000, 2000, b"hello"))
    head, length = frame[:54], len(frame)
    assert frames.misfit(head, length, dst, B) == ""
    assert "destination MAC" in frames.misfit(head, length, dst, A)
    assert "destination" in frames.misfit(head, length, src, B)
    assert "IP length" in frames.misfit(head, length + 1, dst, B)
    place = 22 if ":" not in dst else 21
    low = head[:place] + b"\x01" + head[place + 1 :]
    assert frames.misfit(low, length, dst, B).startswith("TTL 1")
    name = "TTL" if ":" not in dst else "hop limit"
    assert frames.difference(head, low) == f"{name} 1 instead of 64"
