# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell the guard of the host (roles/isolation) what CNI gave a port: it sends with nothing else.

The guard reads it in the file that remembers the attachment. Where a host has no guard, or one that
knows no ports, nobody is told: in an upgrade, the next guard listens before it reads the files.
"""

from __future__ import annotations

import time

from .._cni import errors, files
from .._cni.quick_os import os

RULES = "/etc/multinet/isolation.nft"
SOCKET = "/run/multinet-isolation/ports.sock"
STATE = "/run/multinet-isolation/state.json"  # while a guard runs
_TABLE = b"\ntable bridge multinet {\n"
# A guard that takes over from another one is away for a quarter of a second.
_SECONDS = 5.0


def told(
    file: str,
    *,
    rules: str = RULES,
    address: str = SOCKET,
    state: str = STATE,
    seconds: float = _SECONDS,
) -> bool:
    """Have the guard look at the file of an attachment, which may be gone; return whether there is
    a guard that knows ports. Raises Error (code 11) where it does not do it within some seconds.
    """
    tables = files.read(rules)
    # a guard whose file is gone still holds the tables
    if not os.path.lexists(address) if tables is None else _TABLE not in tables:
        return False
    import _socket  # `socket` takes longer to import than all of this takes

    deadline = time.monotonic() + seconds
    while True:
        channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
        try:
            channel.settimeout(max(deadline - time.monotonic(), 0.01))
            channel.connect(address)
            channel.send(file.encode())
            answer = channel.recv(4096)
            if answer:
                break
            why = "it ended"
        except FileNotFoundError as error:
            if files.read(state) is not None:
                return False  # one that runs, and has no such socket
            why = error.strerror or str(error)
        except OSError as error:
            why = error.strerror or str(error)
        finally:
            channel.close()
        if time.monotonic() >= deadline:
            raise errors.Error(
                errors.TRY_AGAIN_LATER,
                "The guard of this host does not answer, so nothing would stop the pod from using"
                " other addresses than its own.",
                f"{address}: {why}; look at: systemctl status multinet-isolation",
            )
        time.sleep(0.05)
    if answer != b"\n":
        raise errors.Error(
            errors.TRY_AGAIN_LATER,
            "The guard of this host cannot stop the pod from using other addresses than its own.",
            answer.decode("utf-8", "replace"),
        )
    return True
