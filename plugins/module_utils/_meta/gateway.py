# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which network has the default route, where a pod says so (NPWG 1.3, 4.1.2.1.9).

One network may ask for it. The others lose theirs as soon as they are attached; the one that asks
keeps what its plugins made, or gets the gateways it names. Results are changed in the same way, so
that CHECK finds what is there.
"""

from __future__ import annotations

from .._cni import errors, netlink, version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .state import Attached

_DEFAULTS = {"0.0.0.0/0": "4", "::/0": "6"}


def apply(netns: str, attached: Attached, gateways: list[str] | None) -> None:
    """Change the default routes of what was just attached, in the kernel and in its result; raise
    Error.

    gateways: addresses, empty to keep what is there, None for a network that did not ask while
    another one did.
    """
    if gateways == []:
        return
    families = {"4", "6"} if gateways is None else {_family(gateway) for gateway in gateways}
    try:
        if gateways is None:
            netlink.remove_default_routes(netns, attached.interface, families)
        else:
            netlink.set_default_routes(netns, attached.interface, gateways)
    except errors.Error as error:
        # a plugin that made no interface made no route either
        if gateways is not None or error.code != errors.UNKNOWN_CONTAINER:
            raise
    attached.result = with_gateways(attached.final_result, families, gateways or [])


def with_gateways(
    result: dict[str, Any], families: set[str], gateways: list[str]
) -> dict[str, Any]:
    """Return a result (of any version) without the default routes of some families ("4", "6"), and
    with those by gateways.
    """
    changed = dict(result)
    if not version.at_least(result["cniVersion"], "0.3.0"):
        for key in ("ip4", "ip6"):
            if result.get(key) and key[2] in families:
                mine = [gateway for gateway in gateways if _family(gateway) == key[2]]
                routes = _routes(result[key].get("routes"), families, mine)
                changed[key] = dict(result[key], routes=routes)
        return changed
    changed["routes"] = _routes(result.get("routes"), families, gateways)
    return changed


def _routes(
    routes: list[dict[str, Any]] | None, families: set[str], gateways: list[str]
) -> list[dict[str, Any]]:
    kept = [route for route in routes or [] if _DEFAULTS.get(route["dst"]) not in families]
    return kept + [
        {"dst": "::/0" if _family(gateway) == "6" else "0.0.0.0/0", "gw": gateway}
        for gateway in gateways
    ]


def _family(address: str) -> str:
    return "6" if ":" in address else "4"
