# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CHECK: what ADD left is still there."""

from __future__ import annotations

import time

from .._cni import errors, runtime
from .._cni import result as results
from . import conf
from . import state as states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._cni.skel import Request
    from .plugin import Plugin


def check(plugin: Plugin, request: Request) -> None:
    """Every interface of the state is there, and every delegate that knows CHECK agrees; raise
    Error.
    """
    store = states.Store(conf.state_directory(request.conf))
    state = store.read_or_put_aside(request.container_id, request.interface)
    if state is None:
        raise errors.Error(
            errors.UNKNOWN_CONTAINER,
            f"The container {request.container_id} is not attached by {request.interface}.",
        )
    present = plugin.interfaces(request.netns)
    cni = plugin.runtime(
        request,
        runtime.search_path(request.path, state.path),
        deadline=time.monotonic() + state.timeout,
        in_process=state.in_process,
    )
    for attached in state.attached:
        try:
            _check(plugin, request, cni, attached, present)
        except errors.Error as error:
            raise error.within(attached.place) from None


def _check(
    plugin: Plugin,
    request: Request,
    cni: runtime.Runtime,
    attached: states.Attached,
    present: set[str],
) -> None:
    if attached.result is None:
        raise errors.Error(errors.UNKNOWN_CONTAINER, "Its ADD never ended.")
    latest = results.to_latest(attached.result)
    interface = _real_name(latest["interfaces"], attached.interface)
    if interface not in present:
        raise errors.Error(
            errors.UNKNOWN_CONTAINER, f"The interface {interface} is not in {request.netns}."
        )
    _check_addresses(plugin, request, latest, interface)
    attachment = runtime.Attachment(
        request.container_id,
        request.netns,
        attached.interface,
        capability_args=attached.capability_args,
    )
    cni.check(attached.network, attachment, attached.result)


def _check_addresses(
    plugin: Plugin, request: Request, latest: dict[str, Any], interface: str
) -> None:
    """What plugins said is on the interface is there; many plugins (flannel is one) do not look
    themselves.
    """
    own = [
        item["address"] for item in latest["ips"] if _is_of(item, latest["interfaces"], interface)
    ]
    if not own:
        return
    from .._cni import netlink

    there = plugin.host_addresses(request.netns, interface)
    missing = [address for address in own if netlink.canonical(address) not in there]
    if missing:
        raise errors.Error(
            errors.UNKNOWN_CONTAINER,
            f"The interface has not the address {', '.join(missing)} any more.",
        )


def _real_name(interfaces: list[dict[str, Any]], name: str) -> str:
    """The name of a container's interface by its result: the one it was asked for, unless its
    plugin gave it another (sriov's `if0name`).
    """
    names = [item["name"] for item in interfaces if item.get("sandbox")]
    return names[0] if names and name not in names else name


def _is_of(item: dict[str, Any], interfaces: list[dict[str, Any]], name: str) -> bool:
    """Say whether an address of a result is said to be on the sandbox's interface of this name."""
    index = item.get("interface")
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(interfaces):
        return False
    return interfaces[index]["name"] == name and bool(interfaces[index].get("sandbox"))
