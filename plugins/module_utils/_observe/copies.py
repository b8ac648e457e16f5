# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What rules of nftables send of a network's packets to somebody else: `dup` (TEE of iptables) and
`fwd`. Such a rule is in one of the families ip, ip6 and inet, for packets that the host routes, or
in netdev, for what passes a device.

Pure. Runs on hosts, standard library alone.
"""

from __future__ import annotations

import contextlib
import fnmatch
import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from .._ranges import Range

SENDS = re.compile(
    r'\b(dup|fwd) (?:ip6? )?to "?([^"\s]+)"?(?: device "?([^"\s]+))?|xt target "?(TEE)\b'
)
_TABLE = re.compile(r"^table (\S+) (\S+) \{")
_PART = re.compile(r"^\t(chain|set|map) (\S+) \{")
_HOOK = re.compile(r"hook (\S+)(?: devices? (?:= )?(\{[^}]*\}|\S+))? priority")
_ELEMENTS = re.compile(r"elements = (\{[^}]*\})")
_CALL = re.compile(r'\b(?:jump|goto) "?([^"\s,}]+)')
_VALUE = r'(!= )?(\{[^}]*\}|@\S+|"[^"]*"|\S+)'
_DEVICES = re.compile(rf"\b[io]if(?:name)? (?:vmap )?{_VALUE}")
_ADDRESSES = re.compile(rf"\bip6? [sd]addr {_VALUE}")
_OF_ELSE = re.compile(r"\bmark\b|\bmap\b|@")  # whose packets, the rule alone does not say
_ROUTED = ("prerouting", "forward", "postrouting", "ingress")
_NO_TARGETS = ("ip", "ip6", "meta", "iif", "oif")  # the first word of a map
_DEPTH = 8  # chains that call each other


class Network(NamedTuple):
    """What rules may call a network by."""

    devices: Sequence[str]  # those that packets are routed by, the bridge first
    ranges: Collection[Range]


class _Chain(NamedTuple):
    family: str
    hook: str  # "" of one that others call
    devices: list[str]  # of netdev
    rules: list[str]


def sent(listing: str, networks: Collection[Network]) -> Iterator[tuple[str, str, str]]:
    """Yield (device, where to, how) of each rule of netdev that sends packets on, whatever the
    device, and of each rule of other families that sends those of a network out of it.

    listing: `nft list ruleset`.
    """
    chains, sets = _parsed(listing)
    for (table, name), chain in chains.items():
        for rule in chain.rules:
            found = SENDS.search(rule)
            if not found:
                continue
            how, target, by = found[1] or found[4], found[2] or "", found[3] or ""
            for base, condition in _reached(chains, (table, name), rule[: found.start()], _DEPTH):
                if base.devices:
                    for device in base.devices:
                        yield device, target, f"a rule of {base.family} ({how})"
                    continue
                for one in re.findall(r"@(\S+)", condition):
                    condition = condition.replace(f"@{one}", sets.get((table, one), f"@{one}"))
                for device, network in _meant(base, condition, networks):
                    if not _stays(network, target, by):
                        where = "another host" if target in ("", *_NO_TARGETS) else target
                        yield device, where, f"a rule of {base.family} ({how})"


def _parsed(listing: str) -> tuple[dict[tuple[str, str], _Chain], dict[tuple[str, str], str]]:
    """Return the chains and the elements of sets, by table and name."""
    chains: dict[tuple[str, str], _Chain] = {}
    sets: dict[tuple[str, str], str] = {}
    family = table = part = ""
    here = ("", "")
    for line in listing.splitlines():
        began, inside = _TABLE.match(line), _PART.match(line)
        if began:
            family, table = began[1], f"{began[1]} {began[2]}"
        elif inside:
            part, here = inside[1], (table, inside[2])
            if part == "chain":
                chains[here] = _Chain(family, "", [], [])
        elif part != "chain":
            sets[here] = sets.get(here, "") + line
        elif _HOOK.search(line):
            hook = _HOOK.search(line)
            devices = _values(hook[2] or "") if hook else []
            chains[here] = chains[here]._replace(hook=hook[1] if hook else "", devices=devices)
        else:
            chains[here].rules.append(line.strip())
    found = {place: _ELEMENTS.search(text) for place, text in sets.items()}
    return chains, {place: one[1] for place, one in found.items() if one}


def _values(text: str) -> list[str]:
    """Return the values of one, or of a set in braces."""
    return [one.strip().strip('"') for one in text.strip("{} ").split(",") if one.strip()]


def _reached(
    chains: Mapping[tuple[str, str], _Chain], place: tuple[str, str], condition: str, depth: int
) -> Iterator[tuple[_Chain, str]]:
    """Yield (chain with a hook, all conditions on the way) by which packets get to a rule."""
    chain = chains[place]
    if chain.hook:
        yield chain, condition
        return
    table, name = place
    for other, caller in chains.items() if depth else ():
        for rule in caller.rules if other[0] == table else ():
            if name in _CALL.findall(rule):
                before = f"{_only(rule, name)} {condition}"
                yield from _reached(chains, other, before, depth - 1)


def _only(rule: str, name: str) -> str:
    """Return a rule with those values alone that lead to a chain, where a map says which."""

    def kept(found: re.Match[str]) -> str:
        pairs = [one.split(" : ") for one in found[1].split(",")]
        return f"{{{', '.join(one[0] for one in pairs if name in _CALL.findall(one[-1]))}}}"

    return re.sub(r"vmap \{([^}]*)\}", kept, rule)


def _meant(
    base: _Chain, condition: str, networks: Collection[Network]
) -> Iterator[tuple[str, Network]]:
    """Yield (device, network) of those whose packets meet a condition."""
    devices, addresses = _DEVICES.findall(condition), _ADDRESSES.findall(condition)
    for network in networks:
        if devices:
            named = [one for one in network.devices if all(_is_one(one, *few) for few in devices)]
            # or what comes by one of them, and leaves by another's
            said = [few for few in devices if not few[0]]
            named += [one for one in network.devices if any(_is_one(one, *few) for few in said)]
        elif addresses:
            within = any(not no and _overlap(text, network.ranges) for no, text in addresses)
            named = [*network.devices[:within]]
        else:
            whole = base.hook in _ROUTED and not _OF_ELSE.search(condition)
            named = [*network.devices[:whole]]
        for device in named[:1]:
            yield device, network


def _is_one(device: str, negated: str, text: str) -> bool:
    return any(fnmatch.fnmatchcase(device, one) for one in _values(text)) != bool(negated)


def _overlap(text: str, ranges: Collection[Range]) -> bool:
    for one in _values(text):
        first, dummy, last = one.partition("-")
        parts: list[Range] = []
        with contextlib.suppress(ValueError, TypeError):  # the name of a set, or of a map
            if last:
                ends = ipaddress.ip_address(first), ipaddress.ip_address(last)
                parts += ipaddress.summarize_address_range(*ends)
            else:
                parts.append(ipaddress.ip_network(first, strict=False))
        if any(
            part.version == mine.version and part.overlaps(mine)
            for part in parts
            for mine in ranges
        ):
            return True
    return False


def _stays(network: Network, target: str, by: str) -> bool:
    """True if what is sent to an address, by a device, does not leave the network."""
    return by in network.devices or (not by and _overlap(target, network.ranges))
