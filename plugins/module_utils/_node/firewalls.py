# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What other firewalls of a host would do to a packet: firewalld, ufw, docker, iptables of both
kinds, anybody's nftables.

A packet of ours has to pass every chain that is hooked where it comes by; it is enough that one
drops it. The rules are followed as the kernel would. Where one asks for something that is not known
of the packet here (a mark, a set of ipset), the answer is UNKNOWN, unless it makes no difference.

look() reads; everything else is pure. Runs on hosts. nftables' JSON: libnftables-json(5).
"""

from __future__ import annotations

import ipaddress
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Union

ACCEPT, DROP, UNKNOWN = "accept", "drop", "unknown"
HOOKS = ("forward", "input", "output")
OURS = ("multinet",)
# Tables in which iptables-nft keeps its rules; its own text says more of them than nft's JSON
IPTABLES = ("filter", "mangle", "raw", "security")
LEGACY = {4: "/proc/net/ip_tables_names", 6: "/proc/net/ip6_tables_names"}
PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "ipv6-icmp": 58, "icmpv6": 58, "esp": 50, "ipip": 4}

Run = Callable[[Sequence[str]], str]  # returns what a command prints; may raise
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


class Packet(NamedTuple):
    """The first packet of a connection. hook: where it comes by (of HOOKS); iif, oif: device or "";
    protocol: its number; dport: 0 if it has none; state: conntrack's.
    """

    hook: str
    iif: str
    oif: str
    saddr: str
    daddr: str
    protocol: int = 17
    dport: int = 0
    state: str = "new"

    @property
    def version(self) -> int:
        """4 or 6."""
        return ipaddress.ip_address(self.saddr).version


class Table:
    """One table of somebody's."""

    def __init__(
        self,
        tool: str,
        family: str,
        name: str,
        chains: dict[str, list[list[dict[str, Any]]]] | None = None,
        hooks: dict[str, tuple[str, str]] | None = None,
        sets: dict[str, list[Any]] | None = None,
    ) -> None:
        """tool: who lists it (nft, iptables-nft, iptables-legacy); chains: {name: its rules, each a
        list of expressions in nft's JSON}; hooks: {name of a chain: (hook, policy)}; sets: {name:
        elements}.
        """
        self.tool, self.family, self.name = tool, family, name
        self.chains, self.hooks, self.sets = chains or {}, hooks or {}, sets or {}
        self._known: dict[tuple[str, Packet], str] = {}

    def outcome(self, chain: str, packet: Packet) -> str:
        """Return what a chain with a hook makes of a packet: ACCEPT, DROP or UNKNOWN."""
        key = chain, packet
        if key not in self._known:
            policy = self.hooks[chain][1]
            found = {policy if one == _END else one for one in _Walk(self, packet).of(chain)}
            self._known[key] = found.pop() if len(found) == 1 else UNKNOWN
        return self._known[key]

    def where(self, chain: str) -> str:
        """Return what a chain of this table is called, for people."""
        tool = "" if self.tool == "nft" else f" ({self.tool})"
        return f"table {self.family} {self.name}, chain {chain}{tool}"

    def owner(self) -> str:
        """Return whose it seems to be: firewalld, ufw, docker, iptables or nftables."""
        if self.name == "firewalld":
            return "firewalld"
        if any(chain.startswith(("ufw-", "ufw6-")) for chain in self.chains):
            return "ufw"
        if "DOCKER-USER" in self.chains:
            return "docker"
        return "nftables" if self.tool == "nft" else "iptables"


def outcomes(tables: Sequence[Table], packet: Packet) -> Iterator[tuple[Table, str, str]]:
    """Yield (table, chain, DROP or UNKNOWN) of each chain that does not just let a packet pass."""
    families = ("inet", "ip" if packet.version == 4 else "ip6")
    for table in tables:
        for chain, (hook, dummy) in table.hooks.items():
            if hook == packet.hook and table.family in families:
                outcome = table.outcome(chain, packet)
                if outcome != ACCEPT:
                    yield table, chain, outcome


# Following rules

_MAX_DEPTH = 16  # as the kernel's own limit of jumps
_FINAL = {"accept": ACCEPT, "drop": DROP, "reject": DROP, "queue": UNKNOWN}
_END, _RETURN = "end", "return"  # of a chain


class _Walk:
    """A packet's ways through a table."""

    def __init__(self, table: Table, packet: Packet) -> None:
        self._table, self._packet = table, packet
        self._known: dict[str, set[str]] = {}

    def of(self, chain: str, depth: int = 0) -> set[str]:
        """Return what a chain may make of the packet: more than one where a rule is not certain."""
        if chain not in self._known:
            self._known[chain] = self._follow(chain, depth)
        return self._known[chain]

    def _follow(self, chain: str, depth: int) -> set[str]:
        if depth > _MAX_DEPTH or chain not in self._table.chains:
            return {UNKNOWN}
        possible: set[str] = set()
        for rule in self._table.chains[chain]:
            sure, ways = self._rule(rule, depth)
            possible |= ways - {_END, _RETURN}
            if _RETURN in ways:
                possible.add(_END)
            if sure and ways and _END not in ways:
                return possible
        return possible | {_END}

    def _rule(self, rule: Sequence[dict[str, Any]], depth: int) -> tuple[bool, set[str]]:
        """Return whether it is sure that a rule is about the packet, and what it may make of it;
        nothing where it is about others, or decides nothing.
        """
        sure = True
        for expression in rule:
            ((kind, value),) = expression.items()
            if kind == "match":
                holds = _match(self._table, value, self._packet)
                if holds is False:
                    return False, set()
                sure = sure and holds is True
            elif kind == "vmap":
                holds, verdict = _vmap(self._table, value, self._packet)
                if holds is not False:
                    return sure and holds is True, self._ways(verdict, depth)
            elif kind in ("xt", "limit"):
                sure = False
            else:
                ways = self._ways(expression, depth)
                if ways:
                    return sure, ways
        return sure, set()

    def _ways(self, statement: dict[str, Any], depth: int) -> set[str]:
        ((kind, value),) = statement.items()
        if kind in _FINAL:
            return {_FINAL[kind]}
        if kind == "return":
            return {_RETURN}
        if kind in ("jump", "goto"):
            inside = self.of(value["target"], depth + 1)
            return {_RETURN if one == _END and kind == "goto" else one for one in inside}
        return set()  # counter, log, a mark, ...


def _match(table: Table, match: dict[str, Any], packet: Packet) -> bool | None:
    found = _left(match["left"], packet)
    if found is None:
        return None
    if found is _ABSENT:
        return False
    holds = _is_one_of(table, found, match["right"])
    if holds is None or match["op"] not in ("==", "in", "!="):
        return None
    return holds != (match["op"] == "!=")


def _vmap(table: Table, vmap: dict[str, Any], packet: Packet) -> tuple[bool | None, dict[str, Any]]:
    """Return whether a map of verdicts says anything of a packet, and what."""
    found = _left(vmap["key"], packet)
    data = vmap["data"]
    pairs = table.sets.get(data[1:]) if isinstance(data, str) else data.get("set")
    if found is None or pairs is None:
        return None, {"queue": None}  # anything
    for key, verdict in pairs:
        holds = found is not _ABSENT and _is_one_of(table, found, key)
        if holds is not False:
            return holds, verdict
    return False, {}


_ABSENT = object()  # a packet does not have that at all
_LOCAL = {"daddr": "input", "saddr": "output"}  # where an address is one of the host's
_META = {"iif": "iif", "iifname": "iif", "oif": "oif", "oifname": "oif"}


def _left(left: Any, packet: Packet) -> Any:
    """Return the value that a packet has for the left side of a match, None if it is not known."""
    if not isinstance(left, dict) or len(left) != 1:
        return None
    ((kind, value),) = left.items()
    if kind == "meta":
        key = value["key"]
        if key in _META:
            return getattr(packet, _META[key])
        others = {
            "l4proto": packet.protocol,
            "nfproto": f"ipv{packet.version}",
            "protocol": "ip" if packet.version == 4 else "ip6",
            "mark": 0,
        }
        return others.get(key)
    if kind == "ct":
        return {"state": packet.state, "status": 0, "mark": 0}.get(value["key"])
    if kind == "addrtype":  # ours, see _OPTIONS
        return "local" if packet.hook == _LOCAL[value] else "unicast"
    if kind == "fib":
        sides = [side for side in _LOCAL if side in value.get("flags", [])]
        if value.get("result") == "type" and sides:
            return "local" if packet.hook == _LOCAL[sides[0]] else "unicast"
        return True  # there is a way back to each of ours
    if kind == "&":
        one, mask = (_left(part, packet) if isinstance(part, dict) else part for part in value)
        return one & mask if isinstance(one, int) and isinstance(mask, int) else None
    return _payload(value, packet) if kind == "payload" else None


def _payload(value: dict[str, Any], packet: Packet) -> Any:
    protocol, field = value.get("protocol"), value.get("field")
    if protocol in ("ip", "ip6"):
        if (protocol == "ip") != (packet.version == 4):
            return _ABSENT
        if field in ("saddr", "daddr"):
            return ipaddress.ip_address(getattr(packet, field))
        return packet.protocol if field in ("protocol", "nexthdr") else None
    if protocol in ("tcp", "udp", "th") and field in ("dport", "sport"):
        if not packet.dport or PROTOCOLS.get(protocol, packet.protocol) != packet.protocol:
            return _ABSENT
        return packet.dport if field == "dport" else None
    if protocol in PROTOCOLS and PROTOCOLS[protocol] != packet.protocol:
        return _ABSENT
    return None


def _is_one_of(table: Table, found: Any, right: Any) -> bool | None:
    """Return whether what a packet has is what a rule names: a value, a prefix, a range, a set."""
    if isinstance(right, str) and right.startswith("@"):
        right = table.sets.get(right[1:])
        if right is None:
            return None
    if isinstance(right, dict) and "set" in right:
        right = right["set"]
    if isinstance(right, list):
        each = [_is_one_of(table, found, one) for one in right]
        return True if True in each else None if None in each else False
    if isinstance(right, dict) and "elem" in right:
        return _is_one_of(table, found, right["elem"]["val"])
    if isinstance(found, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
        return _has_address(found, right)
    if isinstance(found, int):
        return _has_number(found, right)
    if isinstance(right, str) and right.endswith("*"):
        return str(found).startswith(right[:-1])
    return found == right if isinstance(right, str) else None


def _has_address(found: Address, right: Any) -> bool | None:
    try:
        if isinstance(right, dict) and "prefix" in right:
            prefix = right["prefix"]
            return found in ipaddress.ip_network(f"{prefix['addr']}/{prefix['len']}", strict=False)
        if isinstance(right, dict) and "range" in right:
            low, high = (ipaddress.ip_address(one) for one in right["range"])
            return low.version == found.version and int(low) <= int(found) <= int(high)
        return found in ipaddress.ip_network(right, strict=False)
    except (TypeError, ValueError):
        return None


def _has_number(found: int, right: Any) -> bool | None:
    if isinstance(right, dict) and "range" in right:
        low, high = right["range"]
        return low <= found <= high if isinstance(low, int) and isinstance(high, int) else None
    right = PROTOCOLS.get(right, right) if isinstance(right, str) else right
    if isinstance(right, str):  # a name: of a service, of a flag that a new connection has not
        return False if found == 0 else None
    return found == right if isinstance(right, int) else None


# Reading


def look(run: Run) -> tuple[list[Table], list[str]]:
    """Return the tables of others on this host, and sentences about what was not looked at. Raises
    what run raises.

    run: returns what a command (argv) prints.
    """
    tables: list[Table] = []
    blind: list[str] = []
    listed = re.findall(r"^table (\S+) (\S+)", run(["nft", "list", "tables"]), re.MULTILINE)
    versions = {
        version
        for version, family in ((4, "ip"), (6, "ip6"))
        if shutil.which(_saver(version, "nft"))
        and any(one == family and name in IPTABLES for one, name in listed)
    }
    for family, name in listed:
        version = {"ip": 4, "ip6": 6}.get(family)
        as_text = version in versions and name in IPTABLES
        if family in ("inet", "ip", "ip6") and name not in OURS and not as_text:
            try:
                tables.append(of_nft(run(["nft", "-j", "list", "table", family, name])))
            except (ValueError, KeyError):  # nft 1.0 breaks off at some flags of tables
                blind.append(
                    f"What table {family} {name} drops was not looked at: nft does not print it"
                    " correctly."
                )
    for version in sorted(versions):
        tables += of_iptables(run([_saver(version, "nft")]), version, "iptables-nft")
    for version, path in LEGACY.items():
        saver = _saver(version, "legacy")
        if _has_legacy(path) and shutil.which(saver):
            tables += of_iptables(run([saver]), version, "iptables-legacy")
        elif _has_legacy(path):
            blind.append(
                f"What old iptables rules drop was not looked at: this host has no {saver}."
            )
    hooked = [
        table for table in tables if any(hook in HOOKS for hook, dummy in table.hooks.values())
    ]
    return hooked, blind


def _saver(version: int, kind: str) -> str:
    return f"ip{'6' if version == 6 else ''}tables-{kind}-save"


def _has_legacy(path: str) -> bool:
    try:
        with open(path, encoding="ascii") as names:
            return "filter" in names.read().split()
    except OSError:
        return False


def of_nft(text: str) -> Table:
    """Return a table as `nft -j list table` prints it."""
    table = Table("nft", "", "")
    for entry in json.loads(text)["nftables"]:
        ((kind, one),) = entry.items()
        if kind == "table":
            table.family, table.name = one["family"], one["name"]
        elif kind == "chain":
            table.chains[one["name"]] = []
            if one.get("type") == "filter":
                table.hooks[one["name"]] = (one["hook"], one.get("policy", ACCEPT))
        elif kind in ("set", "map"):
            table.sets[one["name"]] = one.get("elem", [])
        elif kind == "rule":
            table.chains[one["chain"]].append(
                [part for part in one.get("expr", []) if isinstance(part, dict)]
            )
    return table


def of_iptables(text: str, version: int, tool: str) -> list[Table]:
    """Return the tables that iptables-save prints (what of them is no NAT)."""
    tables: list[Table] = []
    family = "ip" if version == 4 else "ip6"
    for line in text.splitlines():
        if line.startswith("*"):
            tables.append(Table(tool, family, line[1:].strip()))
        elif line.startswith(":"):
            chain, policy = line[1:].split()[:2]
            tables[-1].chains[chain] = []
            if policy != "-":
                tables[-1].hooks[chain] = (chain.lower(), policy.lower())
        elif line.startswith("-A "):
            dummy, chain, *options = shlex.split(line)
            tables[-1].chains[chain].append(_expressions(options, family, tables[-1]))
    return [table for table in tables if table.name != "nat"]


def _names(text: str) -> Any:
    return {"set": [int(one) if one.isdigit() else one.lower() for one in text.split(",")]}


def _ports(text: str) -> Any:
    ranges = []
    for one in text.split(","):
        low, colon, high = one.partition(":")
        ranges.append({"range": [int(low or 0), int(high or 65535)]} if colon else int(low))
    return {"set": ranges}


# iptables' options -> (what they look at, in nft's JSON; how their value is read)
_OPTIONS: dict[str, tuple[Any, Callable[[str], Any]]] = {
    "-i": ({"meta": {"key": "iifname"}}, lambda text: text.replace("+", "*")),
    "-o": ({"meta": {"key": "oifname"}}, lambda text: text.replace("+", "*")),
    "-s": ("saddr", str),
    "-d": ("daddr", str),
    "-p": ({"meta": {"key": "l4proto"}}, lambda text: int(text) if text.isdigit() else text),
    "--dport": ({"payload": {"protocol": "th", "field": "dport"}}, _ports),
    "--dports": ({"payload": {"protocol": "th", "field": "dport"}}, _ports),
    "--ctstate": ({"ct": {"key": "state"}}, _names),
    "--state": ({"ct": {"key": "state"}}, _names),
    "--dst-type": ({"addrtype": "daddr"}, str.lower),
    "--src-type": ({"addrtype": "saddr"}, str.lower),
}
_NO_MATCH = ("-m", "--comment")  # with a word, and no condition


def _expressions(words: list[str], family: str, table: Table) -> list[dict[str, Any]]:
    """Return an iptables rule (what follows -A CHAIN) as expressions of nft's JSON."""
    found: list[dict[str, Any]] = []
    negated = False
    position = 0
    while position < len(words):
        word = words[position]
        value = words[position + 1] if position + 1 < len(words) else ""
        position += 2
        if word == "!":
            negated, position = True, position - 1
            continue
        if word in ("-j", "-g"):
            found.append(_target(value, "goto" if word == "-g" else "jump", table))
            break  # what follows are its own options
        if word in _OPTIONS:
            left, read = _OPTIONS[word]
            if isinstance(left, str):
                left = {"payload": {"protocol": family, "field": left}}
            op = "!=" if negated else "=="
            found.append({"match": {"op": op, "left": left, "right": read(value)}})
        elif word == "--mark":
            # nothing has marked a packet of ours
            number, dummy, mask = value.partition("/")
            holds = int(number, 0) & int(mask or "0xffffffff", 0) == 0
            right = 0 if holds != negated else 1
            match = {"op": "==", "left": {"meta": {"key": "mark"}}, "right": right}
            found.append({"match": match})
        elif word not in _NO_MATCH:
            found.append({"xt": word})  # one of many: not known
            position -= 0 if value and not value.startswith("-") else 1
        negated = False
    return found


def _target(name: str, kind: str, table: Table) -> dict[str, Any]:
    if name in ("ACCEPT", "DROP", "REJECT", "RETURN", "QUEUE"):
        return {name.lower(): None}
    # LOG, MARK and their like decide nothing
    return {kind: {"target": name}} if name in table.chains else {"counter": None}
