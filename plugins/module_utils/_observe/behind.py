# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pods are behind the ports of bridges, whoever attached them. Runs on hosts."""

from __future__ import annotations

import contextlib
import functools
import json
import socket
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from .._node.pod_settings import End
from . import facts, netns

if TYPE_CHECKING:
    from collections.abc import Callable

    # calls a command, returns its exit status, stdout and stderr, as AnsibleModule.run_command
    Run = Callable[[list[str]], tuple[int, str, str]]


def ends(run: Run, bridges: Collection[str]) -> Iterator[End]:
    """Yield the pods' ends of what is on bridges of this host; a pod that goes meanwhile has none.

    run: calls a command. Raises OSError.
    """
    if not bridges:
        return
    command = ["ip", "-j", "-d", "addr"]
    code, out, err = run(command)
    if code:
        raise OSError(f"'{' '.join(command)}' failed: {(err or out).strip()}")
    links = [link for link in json.loads(out or "[]") if link]
    networks = [{"name": bridge, "bridge": bridge} for bridge in bridges]
    ports, dummy = facts.bridge_ports({"networks": networks}, links)
    for inode, path in netns.candidates().items() if ports else ():
        with contextlib.suppress(OSError):
            number = netns.netnsid(path)
            inside = functools.partial(netns.inside, path, inode)
            for port in ports:
                if port["netnsid"] == number:
                    with inside():
                        interface = socket.if_indextoname(port["peer"])
                    yield End(port["interface"], port["bridge"], interface, inside)
