# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What upstream's bridge does: a pair of interfaces, one end in the pod, the other on a bridge; the
pod's gets addresses and routes, the bridge is their gateway.

A configuration with a key or a value that is not in _TAKEN is the executable's; so is each that
fails: what was done here is taken back before, and the error is upstream's own. bridge_port.py has
what ADD makes.
"""

from __future__ import annotations

from .._cni import conf, netns, rtnetlink, version
from .._cni.quick_os import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._cni.invoke import Outcome
    from .in_process import Call


def _is_flag(value: object) -> bool:
    return value is None or isinstance(value, bool)


def _is_off(value: object) -> bool:
    return value is None or value is False


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object, below: int = 1 << 31) -> bool:
    if isinstance(value, bool) or not isinstance(value, int):
        return value is None
    return 0 <= value < below


def _is_bridge(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and conf.is_interface_name(value)


def _is_mac_alone(value: object) -> bool:
    """What a runtimeConfig may be: all but `mac` is another plugin's affair."""
    if value is None:
        return True
    return isinstance(value, dict) and set(value) <= {"mac"} and mac_of(value) is not None


def _is_ipam(value: object) -> bool:
    return value is None or (isinstance(value, dict) and isinstance(value.get("type", ""), str))


# The keys that are done here, and what their values may be.
_TAKEN: dict[str, Callable[[object], bool]] = {
    "cniVersion": lambda value: value in version.ALL,
    "name": lambda value: isinstance(value, str) and conf.is_name(value),
    "type": _is_text,
    "bridge": _is_bridge,
    "isGateway": _is_flag,
    "isDefaultGateway": _is_flag,
    "forceAddress": _is_flag,
    "mtu": _is_number,
    "hairpinMode": _is_flag,
    "promiscMode": _is_flag,
    "portIsolation": _is_flag,
    "enabledad": _is_flag,
    "disableContainerInterface": _is_flag,
    "ipam": _is_ipam,
    "runtimeConfig": _is_mac_alone,
    "prevResult": lambda value: value is None or isinstance(value, dict),
    # those that are done only where they ask for nothing
    "ipMasq": _is_off,
    "macspoofchk": _is_off,
    "preserveDefaultVlan": _is_off,
    "vlan": lambda value: _is_number(value, below=1),
    "vlanTrunk": lambda value: value is None,
    "dns": lambda value: not value,
}


def is_taken(raw: dict[str, Any]) -> bool:
    """Say whether a configuration of the plugin is one that is done here."""
    return (
        all(key in _TAKEN and _TAKEN[key](value) for key, value in raw.items())
        and "cniVersion" in raw
        and "name" in raw
        and not (raw.get("hairpinMode") and raw.get("promiscMode"))
        and not (_ipam_type(raw) and raw.get("disableContainerInterface"))
    )


def _ipam_type(raw: dict[str, Any]) -> str:
    return str((raw.get("ipam") or {}).get("type", ""))


def mac_of(asked: dict[str, Any]) -> bytes | None:
    """The hardware address of a runtimeConfig, empty where it has none; None for what is none."""
    text = asked.get("mac", "")
    if not isinstance(text, str):
        return None
    parts = text.split(":") if text else []
    if parts and (len(parts) != 6 or not all(len(part) == 2 for part in parts)):
        return None
    try:
        return bytes(int(part, 16) for part in parts)
    except ValueError:
        return None


# What follows returns what the executable would, or None to have it asked.


def add(call: Call) -> Outcome | None:
    if not is_taken(call.conf) or not call.has_plain_args():
        return None
    from . import bridge_port  # a DEL does without

    kind = _ipam_type(call.conf)
    return bridge_port.add(call, call.find(kind) if kind else "")


def delete(call: Call) -> Outcome | None:
    if not is_taken(call.conf) or not call.has_plain_args():
        return None
    kind = _ipam_type(call.conf)
    ipam = call.find(kind) if kind else ""
    if call.netns and os.path.exists(call.netns):
        with netns.inside(call.netns), rtnetlink.Channel() as pod:
            link = pod.link(call.interface)
            if link:
                pod.ask(rtnetlink.delete_link(link.index))
    return call.run(ipam, call.stdin) if ipam else (0, b"", b"")


def status(call: Call) -> Outcome | None:
    if not is_taken(call.conf):
        return None
    kind = _ipam_type(call.conf)
    return call.run(call.find(kind), call.stdin) if kind else (0, b"", b"")


SERVED = {"ADD": add, "DEL": delete, "STATUS": status}
