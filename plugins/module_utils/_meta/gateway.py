# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which network has the default route of a pod, one of each family: the one that the pod says (NPWG
1.3, 4.1.2.1.9), else the first that has one, the master before all others.

What every pod needs of the default network stays with it: the ranges of Services, which DNS and
the API are in. The others lose theirs: two would share the pod's traffic (a route of the same
metric is taken for one more way). Results are changed in the same way, so that CHECK finds what is
there.
"""

from __future__ import annotations

from .._cni import errors, netlink, version
from .._cni import result as results

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .._cni.rtnetlink import Route
    from .state import Attached


def settle(
    netns: str,
    attached: Sequence[tuple[Attached, list[str] | None]],
    services: Sequence[str] = (),
    before: dict[object, Route] | None = None,
) -> None:
    """Change the default routes in the kernel and in the results; raise Error.

    attached: the networks, the master first, with the gateways that the pod says for them (empty:
    those that its plugins gave it; None: it says nothing). services: ranges that are reached by
    the master, whoever has the default route. before: the default routes there were before the
    networks behind the master were attached; None where their plugins tell all that they make.
    """
    master = attached[0][0]
    has = {}
    for one, _given in attached:
        has[one] = results.default_families(one.final_result)
        if one is master or before is not None:
            has[one] |= _in_kernel(netns, one, before or {})
    asked, gateways = next(
        ((one, given) for one, given in attached if given is not None), (None, [])
    )
    moved: set[str] = set()
    if asked and not gateways:
        gateways = results.default_gateways(asked.final_result)
        moved = has[asked]  # also one without a gateway, or that is not told
    wanted = {_family(gateway) for gateway in gateways}
    moved = moved | wanted
    if services and asked and asked is not master:
        of_master = [cidr for cidr in services if _family(cidr) in moved]
        routes = netlink.route_as_by_default(netns, master.interface, of_master, before)
        master.result = _with_routes(master.final_result, routes)
    owners = dict.fromkeys(moved, asked.interface) if asked else {}
    taken = set(moved)
    for one, _given in attached:
        gone = (has[one] & taken) - moved if one is asked else (has[one] & taken) | moved
        _change(netns, one, gone, [])
        owners.update(dict.fromkeys(has[one] - taken, one.interface))
        taken |= has[one]
    if asked and gateways:
        _change(netns, asked, wanted, gateways)
    if before is not None:
        netlink.keep_default_routes(netns, owners, before, wanted)


def _in_kernel(netns: str, attached: Attached, before: dict[object, Route]) -> set[str]:
    """The families of which a network has a default route, also where its plugin makes one and
    tells none, as Calico's does; or had one before, which another plugin has replaced.
    """
    try:
        return netlink.default_families(netns, attached.interface, before)
    except errors.Error as error:
        if error.code != errors.UNKNOWN_CONTAINER:
            raise
        return set()


def _change(netns: str, attached: Attached, families: set[str], gateways: list[str]) -> None:
    if not families:
        return
    try:
        if gateways:
            netlink.set_default_routes(netns, attached.interface, gateways)
        else:
            netlink.remove_default_routes(netns, attached.interface, families)
    except errors.Error as error:
        # a plugin that made no interface made no route either
        if gateways or error.code != errors.UNKNOWN_CONTAINER:
            raise
    attached.result = with_gateways(attached.final_result, families, gateways)


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


def _with_routes(result: dict[str, Any], routes: list[dict[str, str]]) -> dict[str, Any]:
    """Return a result (of any version) with more routes."""
    if version.at_least(result["cniVersion"], "0.3.0"):
        return dict(result, routes=[*(result.get("routes") or []), *routes])
    changed = dict(result)
    for key in ("ip4", "ip6"):
        own = [route for route in routes if _family(route["dst"]) == key[2]]
        if result.get(key) and own:
            former = result[key].get("routes") or []
            changed[key] = dict(result[key], routes=[*former, *own])
    return changed


def _routes(
    routes: list[dict[str, Any]] | None, families: set[str], gateways: list[str]
) -> list[dict[str, Any]]:
    kept = [one for one in routes or [] if results.default_family(one["dst"]) not in families]
    return kept + [
        {"dst": "::/0" if _family(gateway) == "6" else "0.0.0.0/0", "gw": gateway}
        for gateway in gateways
    ]


def _family(address: str) -> str:
    return "6" if ":" in address else "4"
