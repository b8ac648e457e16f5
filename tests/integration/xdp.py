# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put a program (XDP) on a device that sends all that it brings out of another one.

xdp.py DEVICE OTHER
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import struct
import sys

BPF = 321 if platform.machine().startswith("x86") else 280  # number of the system call
LOAD, OF_XDP = 5, 6  # include/uapi/linux/bpf.h
SETLINK, REQUEST_AND_ACK = 19, 5
NESTED, XDP, XDP_FD, XDP_FLAGS, GENERIC = 0x8000, 43, 1, 3, 2  # include/uapi/linux/if_link.h


def load(target):
    """Return the descriptor of `return bpf_redirect(target, 0)`."""
    lines = [(0xB7, 1, target), (0xB7, 2, 0), (0x85, 0, 23), (0x95, 0, 0)]
    code = b"".join(
        struct.pack("<BBhi", code, register, 0, value) for code, register, value in lines
    )
    program, license_ = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    places = ctypes.addressof(program), ctypes.addressof(license_)
    what = ctypes.create_string_buffer(struct.pack("<IIQQ", OF_XDP, len(lines), *places), 128)
    found = ctypes.CDLL(None, use_errno=True).syscall(BPF, LOAD, what, len(what))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found


def attribute(kind, data):
    return struct.pack("<HH", 4 + len(data), kind) + data


def attach(device, program):
    inside = attribute(XDP_FD, struct.pack("<i", program))
    inside += attribute(XDP_FLAGS, struct.pack("<I", GENERIC))
    message = struct.pack("<BxHiII", 0, 0, device, 0, 0) + attribute(XDP | NESTED, inside)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as sock:
        head = struct.pack("<IHHII", 16 + len(message), SETLINK, REQUEST_AND_ACK, 1, 0)
        sock.send(head + message)
        error = struct.unpack_from("<i", sock.recv(4096), 16)[0]
    if error:
        raise OSError(-error, os.strerror(-error))


attach(socket.if_nametoindex(sys.argv[1]), load(socket.if_nametoindex(sys.argv[2])))
