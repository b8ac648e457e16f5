# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command starts, as the kernel tells it: nothing is traced or slowed down.

By the proc connector, Documentation/driver-api/connector.rst in the kernel's sources.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time

_NETLINK_CONNECTOR, _CN_IDX_PROC, _CN_VAL_PROC = 11, 1, 1
_LISTEN = 1
_FORK, _EXEC, _EXIT = 0x1, 0x2, 0x80000000  # include/uapi/linux/cn_proc.h
_SO_RCVBUFFORCE = 33


class Census:
    """Open one before the network namespace is changed: the kernel tells the first one only.

    Raises OSError without the right to listen.
    """

    def __init__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_CONNECTOR)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 23)

    def __enter__(self):
        self.socket.bind((0, _CN_IDX_PROC))
        # nlmsghdr (NLMSG_DONE), cn_msg, and the one operation that is asked for
        self.socket.send(
            struct.pack("=IHHII", 40, 3, 0, 0, os.getpid())
            + struct.pack("=IIIIHHI", _CN_IDX_PROC, _CN_VAL_PROC, 0, 0, 4, 0, _LISTEN)
        )
        return self

    def __exit__(self, *exc):
        self.socket.close()  # nobody listens any more, so the kernel no longer tells

    def follow(self, start):
        """Call start() -> pid and return what that process and its descendants were.

        A list, in the order of their start, of {"name": of the last executable, "peak": KiB, its
        resident memory at most}, one for each process that executed something. (Go programs try
        out pidfds by a child that does nothing; it is none.)
        """
        self._events(0)
        main = start()
        known = {main: {"name": _name(main), "peak": 0}}
        everyone = [known[main]]
        while main in known:
            for kind, parent, child in self._events(0.0005):
                if kind == _FORK and parent in known and child not in known:
                    known[child] = {"name": "", "peak": 0}
                elif kind == _EXEC and child in known:
                    if not any(known[child] is one for one in everyone):
                        everyone.append(known[child])
                    known[child].update(name=_name(child), peak=0)
                elif kind == _EXIT:
                    known.pop(child, None)
            for pid, process in known.items():
                process["peak"] = max(process["peak"], _peak(pid))
        return everyone

    def _events(self, seconds):
        """Return the (kind, process, child) that came; process and child are the same in others
        than forks.
        """
        events = []
        end = time.monotonic() + seconds
        while True:
            left = max(end - time.monotonic(), 0) if not events else 0
            if not select.select([self.socket], [], [], left)[0]:
                return events
            message = self.socket.recv(4096)
            kind, _cpu, _time = struct.unpack_from("=IIQ", message, 36)
            body = message[52:]
            if kind == _FORK:
                _pid, parent, _child, child = struct.unpack_from("=IIII", body)
                if parent != child:
                    events.append((kind, parent, child))
            elif kind in (_EXEC, _EXIT):
                pid, process = struct.unpack_from("=II", body)
                if pid == process:  # of a process' threads, the first one's is the process' own
                    events.append((kind, process, process))


def _peak(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            return next((int(line.split()[1]) for line in status if line.startswith("VmHWM")), 0)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _name(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
            return comm.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
