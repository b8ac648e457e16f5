# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CHECK: what ADD left is still there."""

from __future__ import annotations

import time

from .._cni import errors, runtime, version
from .._cni import result as results
from .._cni.quick_os import os
from .._names import NO_EXECUTABLE
from . import conf
from . import state as states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._cni.skel import Request
    from .plugin import Plugin

# Devices with one of these are left to a program of the pod, and are no interface of the kernel.
# sriov-cni lists one all the same, and its own CHECK looks at nothing.
_USERSPACE_DRIVERS = ("vfio-pci", "uio_pci_generic", "igb_uio")
PCI_DEVICES = "/sys/bus/pci/devices"


def check(plugin: Plugin, request: Request) -> None:
    """Every interface of the state is there with its addresses, and the master's plugins agree;
    raise Error.
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
        when_missing=NO_EXECUTABLE,
    )
    for attached in state.attached:
        try:
            is_master = attached is state.attached[0]
            _check(plugin, request, cni, attached, present, is_master=is_master)
        except errors.Error as error:
            raise error.within(attached.place) from None
    plugin.tell_guard(store, state)


def _check(
    plugin: Plugin,
    request: Request,
    cni: runtime.Runtime,
    attached: states.Attached,
    present: set[str],
    *,
    is_master: bool,
) -> None:
    if attached.result is None:
        raise errors.Error(errors.UNKNOWN_CONTAINER, "Its ADD never ended.")
    latest = results.to_latest(attached.result)
    for interface in _interfaces(attached, latest):
        if interface not in present:
            raise errors.Error(
                errors.UNKNOWN_CONTAINER, f"The interface {interface} is not in {request.netns}."
            )
        _check_addresses(plugin, request, latest, interface)
    attachment = attached.attachment(cni, request.container_id, request.netns)
    try:
        cni.check(attached.network, attachment, attached.result)
    except errors.Error as error:
        # The CHECK of some plugins fails for what their ADD has made (macvlan with sbr, bridge with
        # an empty `ipam`), which nobody saw under Multus: it asks the master's alone.
        if is_master:
            raise
        plugin.logger(request)(
            "error",
            f"{attached.place}: a plugin's CHECK failed, and its interfaces and addresses are"
            f" there, so it passes: {error}",
        )


def _interfaces(attached: states.Attached, latest: dict[str, Any]) -> list[str]:
    """The container's interfaces as the result lists them, which plugins may have renamed (sriov's
    `if0name`) or not made; before CNI 0.3.0 results had no list.
    """
    if not version.at_least(attached.final_result["cniVersion"], "0.3.0"):
        return [attached.interface]
    if _is_left_to_a_program(attached):
        return []
    return [
        item["name"]
        for item in latest["interfaces"]
        if item.get("sandbox") and not item.get("socketPath")  # vhost-user
    ]


def _is_left_to_a_program(attached: states.Attached) -> bool:
    for one in attached.network.plugins:
        device = one.get("deviceID")
        try:
            driver = os.readlink(f"{PCI_DEVICES}/{device}/driver") if device else ""
        except OSError:
            continue
        if os.path.basename(driver) in _USERSPACE_DRIVERS:
            return True
    return False


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
            f"The interface does not have the address {', '.join(missing)} any more.",
        )


def _is_of(item: dict[str, Any], interfaces: list[dict[str, Any]], name: str) -> bool:
    """Say whether an address of a result is said to be on the sandbox's interface of this name."""
    index = item.get("interface")
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(interfaces):
        return False
    return interfaces[index]["name"] == name and bool(interfaces[index].get("sandbox"))
