# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The subnet files of a host, which flanneld writes when it has got a lease."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .._node import subnet_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class SubnetError(Exception):
    """A network that got no subnet on this host. The message says which."""


def wait_for_subnets(
    cidrs: Mapping[str, str],
    timeout: int,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until each network has its subnet on this host; raise SubnetError.

    cidrs: {path of the file that a flanneld writes: range of its network}. timeout: seconds for
    all of them together.
    """
    deadline = clock() + timeout
    while True:
        waiting = [
            path
            for path, cidr in cidrs.items()
            if subnet_file.read(path).get("FLANNEL_NETWORK") != cidr
        ]
        if not waiting:
            return
        if clock() > deadline:
            raise SubnetError(
                "\n".join(
                    f"{path} was not written in {timeout} s: no flanneld of this network got a"
                    " lease on this host. See its pod (kubectl get pods -A -o wide)."
                    for path in waiting
                )
            )
        sleep(0.2)
