# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sysctls of pods that run and that others attached: those that the networks' plugin tuning
gives to new pods, and those that they had.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from .._cni import conf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager


class End(NamedTuple):
    """A pod's end of a veth whose other end is a port of a bridge."""

    port: str  # the host's end
    bridge: str
    interface: str  # the pod's end
    inside: Callable[[], AbstractContextManager[None]]  # enters its namespace; raises OSError


def of_network(network: Mapping[str, Any]) -> dict[str, str]:
    """Return the sysctls that a network of a plan gives its pods: {name, with IFNAME: value}."""
    return {
        key: value
        for plugin in network["cni_conflist"]["plugins"]
        if plugin["type"] == "tuning"
        for key, value in plugin["sysctl"].items()
    }


def different(end: End, settings: Mapping[str, str]) -> dict[str, str]:
    """Return {path below /proc/sys: value now} of what is not as in settings (of_network());
    nothing of a pod that has gone, nor of what its kernel has not.
    """
    wanted = {conf.sysctl_path(key, end.interface): value for key, value in settings.items()}
    found = {}
    try:
        with end.inside():
            for path, value in wanted.items():
                now = _read(path)
                if now not in (None, value):
                    found[path] = str(now)
    except OSError:
        return {}
    return found


def give(end: End, settings: Mapping[str, str]) -> None:
    """Have the pod's sysctls be as in settings (of_network())."""
    give_back(end, {conf.sysctl_path(key, end.interface): value for key, value in settings.items()})


def give_back(end: End, values: Mapping[str, str]) -> None:
    """Have the pod's sysctls be as in values, of different(). Raises OSError for one that cannot be
    written.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(end.inside())
        except OSError:
            return  # the pod has gone
        for path in conf.sysctls_in_order(values):
            if _read(path) not in (None, values[path]):
                with open("/proc/sys/" + path, "w", encoding="ascii") as file:
                    file.write(values[path])


def _read(path: str) -> str | None:
    try:
        with open("/proc/sys/" + path, encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        return None
