# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a daemon tells systemd of itself, see sd_notify(3)."""

from __future__ import annotations

import socket
from collections.abc import Mapping


def ready(environ: Mapping[str, str]) -> None:
    """Tell systemd, if it is there, that we serve (sd_notify)."""
    place = environ.get("NOTIFY_SOCKET")
    if place:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.connect("\0" + place[1:] if place[0] == "@" else place)
            notify.send(b"READY=1")
