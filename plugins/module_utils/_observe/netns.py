# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find and enter network namespaces, for a process that may do so (root) and has one thread.

Runs on hosts, standard library alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import os
import socket
import struct
from collections.abc import Iterator

CLONE_NEWNET = 0x40000000
NAMED = ("/run/netns/*", "/var/run/docker/netns/*")
OF_PROCESSES = "/proc/[0-9]*/ns/net"

# rtnetlink, include/uapi/linux/{netlink,rtnetlink,net_namespace}.h
RTM_NEWNSID, RTM_GETNSID, NLM_F_REQUEST = 88, 90, 1
NETNSA_NSID, NETNSA_FD = 1, 3

_libc = ctypes.CDLL(None, use_errno=True)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


@contextlib.contextmanager
def inside(path: str | None, inode: int | None = None) -> Iterator[None]:
    """Run the body, and the executables that it starts, in the network namespace at path; None is
    the one we are in. Sockets opened there stay there.

    inode: the number that the namespace must have, if given: the path of a process may lead
    elsewhere by now. Raises OSError if it cannot be entered.
    """
    if path is None:
        yield
        return
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if inode is not None and os.fstat(there).st_ino != inode:
                raise OSError(
                    errno.ESTALE,
                    f"the pod has gone, and its path leads to another namespace: {path}",
                )
            _enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(home)


def candidates() -> dict[int, str]:
    """Return {inode: path} of every namespace that can be seen from here but our own; named ones
    win over a process's.
    """
    found: dict[int, str] = {}
    own = os.stat("/proc/self/ns/net").st_ino
    for pattern in (*NAMED, OF_PROCESSES):
        for path in sorted(glob.glob(pattern)):
            try:
                inode = os.stat(path).st_ino
            except OSError:
                continue  # the process has gone
            if inode != own:
                found.setdefault(inode, path)
    return found


def netnsid(path: str) -> int | None:
    """Return the number that links of the namespace we are in use as link-netnsid for the one at
    path, or None if it has none.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        attribute = struct.pack("=HHI", 8, NETNSA_FD, descriptor)
        body = struct.pack("=Bxxx", socket.AF_UNSPEC) + attribute
        header = struct.pack("=IHHII", 16 + len(body), RTM_GETNSID, NLM_F_REQUEST, 1, 0)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
            netlink.send(header + body)
            answer = netlink.recv(4096)
    finally:
        os.close(descriptor)
    if struct.unpack_from("=H", answer, 4)[0] != RTM_NEWNSID:
        return None  # not a network namespace
    offset, total = 20, struct.unpack_from("=I", answer, 0)[0]
    while offset + 4 <= total:
        length, kind = struct.unpack_from("=HH", answer, offset)
        if kind == NETNSA_NSID:
            number = struct.unpack_from("=i", answer, offset + 4)[0]
            return None if number < 0 else number
        offset += max(4, (length + 3) & ~3)
    return None
