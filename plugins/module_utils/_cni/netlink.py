# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The default routes and the addresses of a network namespace, and routes beside the default one,
by rtnetlink; nothing is started for it.
"""

from __future__ import annotations

import socket

from . import errors, netns, rtnetlink


def remove_default_routes(path: str, interface: str, families: set[str]) -> None:
    """Remove the default routes of an interface in the network namespace at path; families: of "4"
    and "6". Raises Error (code 5 or 8).
    """
    with netns.inside(path), rtnetlink.Channel() as kernel:
        _remove(kernel, interface, families)


def default_families(
    path: str, interface: str, before: dict[object, rtnetlink.Route] | None = None
) -> set[str]:
    """Return the families ("4", "6") of which an interface in the network namespace at path has a
    default route, or had one before (routes of rtnetlink's default_routes()); raise Error (code 3,
    5 or 8).
    """
    with netns.inside(path), rtnetlink.Channel() as kernel:
        index = _index(interface)
        try:
            routes = [*kernel.default_routes().values(), *(before or {}).values()]
        except OSError as error:
            what = f"The default routes of {interface} cannot be read."
            raise errors.io_failure(what, error) from None
    families = {route.family for route in routes if route.index == index}
    return {name for name, family in rtnetlink.FAMILIES.items() if family in families}


def set_default_routes(path: str, interface: str, gateways: list[str]) -> None:
    """Make an interface's default routes, one for each of the gateways (addresses) and in place of
    its former one of that family; raise Error (code 5 or 8).
    """
    with netns.inside(path), rtnetlink.Channel() as kernel:
        _remove(kernel, interface, {_family(gateway) for gateway in gateways})
        for gateway in gateways:
            family = rtnetlink.FAMILIES[_family(gateway)]
            packed = socket.inet_pton(family, gateway)
            route = rtnetlink.new_route(
                _index(interface), family, bytes(len(packed)), 0, packed, protocol=rtnetlink.STATIC
            )
            try:
                kernel.ask(rtnetlink.exclusive(route))
            except OSError as error:
                what = f"The default route by {gateway} on {interface} cannot be made."
                raise errors.io_failure(what, error) from None


def keep_default_routes(
    path: str, owners: dict[str, str], before: dict[object, rtnetlink.Route], made_anew: set[str]
) -> None:
    """Leave an interface the default route of a family alone, and give it back what it had of it.

    owners: {family: its interface}; before: what there was once, of rtnetlink's default_routes():
    of other interfaces that stays, too; made_anew: families of which it is to have another one than
    before. Raises Error (code 5 or 8).
    """
    with netns.inside(path), rtnetlink.Channel() as kernel:
        for name, interface in owners.items():
            try:
                family, index = rtnetlink.FAMILIES[name], _index(interface)
            except errors.Error:
                continue  # told by a plugin that made no interface
            try:
                now = kernel.default_routes()
                for key, route in now.items():
                    if route.family == family and route.index != index and key not in before:
                        kernel.ask(rtnetlink.delete_route(route))
                for key, route in before.items() if name not in made_anew else ():
                    if route.family == family and route.index == index and key not in now:
                        kernel.ask(rtnetlink.same_route(route))
            except OSError as error:
                what = f"The default route cannot be left to {interface} alone."
                raise errors.io_failure(what, error) from None


def route_as_by_default(
    path: str,
    interface: str,
    ranges: list[str],
    before: dict[object, rtnetlink.Route] | None = None,
) -> list[dict[str, str]]:
    """Make a route to each of the ranges by the gateway of the interface's default route of that
    family, in the network namespace at path; return them as a result has them. Where there is no
    such gateway, also not before (routes of rtnetlink's default_routes()), none is made. Raises
    Error (code 5 or 8).
    """
    made = []
    with netns.inside(path), rtnetlink.Channel() as kernel:
        index = _index(interface)
        for cidr in ranges:
            to, _slash, length = cidr.partition("/")
            family = rtnetlink.FAMILIES[_family(to)]
            try:
                gateway = next(
                    one.gateway
                    for one in [*kernel.routes(family), *(before or {}).values()]
                    if one.family == family and _is_default_route_of(index, one) and one.gateway
                )
            except StopIteration:
                continue
            packed = socket.inet_pton(family, to)
            route = rtnetlink.new_route(
                index, family, packed, int(length), gateway, protocol=rtnetlink.STATIC
            )
            try:
                kernel.ask(route)
            except OSError as error:
                raise errors.io_failure(
                    f"The route to {cidr} on {interface} cannot be made.", error
                ) from None
            made.append({"dst": cidr, "gw": socket.inet_ntop(family, gateway)})
    return made


def addresses(path: str, interface: str | None = None) -> set[str]:
    """Return the addresses (without prefix length) in the network namespace at path, those of one
    interface or all; raise Error.
    """
    with netns.inside(path), rtnetlink.Channel() as kernel:
        index = interface and _index(interface)
        try:
            found = kernel.addresses()
        except OSError as error:
            raise errors.io_failure(f"The addresses in {path} cannot be read.", error) from None
    return {
        socket.inet_ntop(one.family, one.packed)
        for one in found
        if one.packed and one.family in rtnetlink.FAMILIES.values() and index in (None, one.index)
    }


def canonical(address: str) -> str | None:
    """Return an address (str, with or without a prefix length) as addresses() spells it; None when
    it is none.
    """
    plain = address.partition("/")[0]
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_ntop(family, socket.inet_pton(family, plain))
        except OSError:
            continue
    return None


def _remove(kernel: rtnetlink.Channel, interface: str, families: set[str]) -> None:
    index = _index(interface)
    for name in sorted(families):
        try:
            routes = kernel.routes(rtnetlink.FAMILIES[name])
        except OSError as error:
            what = f"The default routes of {interface} cannot be read."
            raise errors.io_failure(what, error) from None
        for route in routes:
            if _is_default_route_of(index, route):
                try:
                    kernel.ask(rtnetlink.delete_route(route))
                except OSError as error:
                    what = f"The default route of {interface} cannot be removed."
                    raise errors.io_failure(what, error) from None


def _is_default_route_of(index: int, route: rtnetlink.Route) -> bool:
    is_plain = route.kind == rtnetlink.UNICAST and route.table == rtnetlink.MAIN_TABLE
    return is_plain and route.length == 0 and route.index == index


def _index(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        raise errors.Error(
            errors.UNKNOWN_CONTAINER, f"There is no interface {interface} in the network namespace."
        ) from None


def _family(address: str) -> str:
    return "6" if ":" in address else "4"
