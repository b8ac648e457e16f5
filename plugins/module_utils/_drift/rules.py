# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of policy routing (ip rule) that come before the table main, which flanneld's routes are
in: whether they take a network's packets away from it. look() reads, the rest is pure.

Runs on hosts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .._ranges import Range, is_within

# What a rule asks of a packet that is known of a network's packets. Of what else it may ask (a
# mark, a port, a user) nothing is known, so such a rule is passed over.
_KNOWN = {"priority", "src", "srclen", "dst", "dstlen", "iif", "protocol"}
_KNOWN |= {"action", "table", "goto", "suppress_prefixlen", "iif_detached"}
_DISCARDS = ("blackhole", "unreachable", "prohibit")

Rule = dict[str, Any]  # of `ip -j rule`, "routes": those of its table, of `ip -j route`


class Flow(NamedTuple):
    """Packets of a network on their way through this host, between ranges of one family."""

    source: Range
    target: Range
    device: str  # that they come in by; "lo" for the host's own
    way: Callable[[dict[str, Any]], bool] = lambda route: True  # whether a route is the right one


def look(listed: Callable[[str, str], list[Any]]) -> dict[str, list[Rule]]:
    """Return {"4", "6": the rules before the table main that may concern a network's packets, each
    with its table's routes}.

    listed: returns what `ip -j FAMILY route show table TABLE`, or without a table `ip -j FAMILY
    rule`, lists.
    """
    found: dict[str, list[Rule]] = {}
    for family in ("4", "6"):
        found[family] = []
        for rule in listed(family, ""):
            if set(rule) <= _KNOWN and rule.get("table") not in ("local", "default"):
                table = "" if _leads_on(rule) else rule.get("table", "")
                routes = listed(family, str(table)) if table else []
                found[family].append(dict(rule, routes=routes))
        while found[family] and _leads_on(found[family][-1]):
            found[family].pop()  # nothing comes after it
    return found


def detours(rules: dict[str, list[Rule]], flow: Flow) -> Iterator[str]:
    """Yield what takes packets of a flow away from flanneld's routes, in words."""
    for rule in rules[str(flow.target.version)]:
        covers = _matches(rule, flow, is_within)
        if not covers and not _matches(rule, flow, lambda one, other: one.overlaps(other)):
            continue
        if covers and _leads_on(rule):
            return
        if rule.get("action") in _DISCARDS:
            yield _words(rule)
        for route in _taken(rule["routes"], flow):
            where = f"by {route['dev']}" if route.get("dev") else "nowhere"
            yield f"{_words(rule)}, in which {route['dst']} leads {where}"


def _taken(routes: list[dict[str, Any]], flow: Flow) -> Iterator[dict[str, Any]]:
    """Yield the routes of a table that lead packets of a flow elsewhere: the narrowest counts."""
    ranges = [(_range(route.get("dst"), None, flow.target), route) for route in routes]
    for there, route in sorted(ranges, key=lambda one: one[0].prefixlen, reverse=True):
        if not there.overlaps(flow.target):
            continue
        if route.get("type") != "throw" and not flow.way(route):
            yield route
        if is_within(flow.target, there):
            return


def _leads_on(rule: Rule) -> bool:
    """Whether the table main comes next, or one that has flanneld's routes as well."""
    return rule.get("table") == "main" or "goto" in rule


def _matches(rule: Rule, flow: Flow, compare: Callable[[Any, Any], bool]) -> bool:
    return (
        rule.get("iif") in (None, flow.device)
        and compare(flow.source, _range(rule.get("src"), rule.get("srclen"), flow.source))
        and compare(flow.target, _range(rule.get("dst"), rule.get("dstlen"), flow.target))
    )


def _range(address: str | None, length: int | None, like: Range) -> Range:
    """Return what a rule or a route says of addresses, the whole of a family where it says
    nothing.
    """
    if address in (None, "all", "default"):
        return ipaddress.ip_network("::/0" if like.version == 6 else "0.0.0.0/0")
    return ipaddress.ip_network(f"{address}/{length}" if length is not None else str(address))


def _words(rule: Rule) -> str:
    """Return a rule as `ip rule` prints it."""
    words = [f"{rule['priority']}:"]
    for word, key in (("from", "src"), ("to", "dst")):
        if word == "from" or rule.get(key):
            length = rule.get(f"{key}len")
            words.append(f"{word} {rule.get(key, 'all')}" + (f"/{length}" if length else ""))
    words += [f"iif {rule['iif']}"] if rule.get("iif") else []
    return " ".join([*words, rule.get("action") or f"lookup {rule.get('table')}"])
