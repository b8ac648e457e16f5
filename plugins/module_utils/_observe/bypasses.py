# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others have put on the devices of the networks that passes the guard by, or keeps a port
from its neighbours: filters of tc and rules of nftables that copy or redirect, programs (XDP, tc),
devices on top of a bridge or a tunnel, settings of a port.

look() reads, found() is pure. Runs on hosts, standard library alone.
"""

from __future__ import annotations

import glob
import ipaddress
import json
import re
import socket
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from .._node.links import UDP_TUNNELS, Link, json_lists
from . import copies, leaks

# What the bridge plugin leaves as the kernel has it, by bridge(8)'s name of it
PORT_SETTINGS = {
    "isolated": False,
    "locked": False,
    "learning": True,
    "flood": True,
    "bcast_flood": True,
    "mcast_flood": True,
    "neigh_suppress": False,
    "proxy_arp": False,
}
_CONF = "/proc/sys/net/ipv4/conf"
# Kinds of devices on top of others that do not show in the lower one's promiscuity
_ON_TOP = ("ipvlan", "ipvtap", "vlan")
# How programs are called that CNIs of many clusters hang on any device (Cilium, Calico)
_OF_CNI = re.compile(r"cil_|bpf_(?:host|lxc|netdev|network|overlay)\b|cali")

# Kinds of queues of which each class may have filters of its own
_WITH_CLASSES = ("cbq", "hfsc", "htb")
_TO_INSTALL = "iproute2, of Fedora and RHEL iproute-tc"


class Seen(NamedTuple):
    """What was read of a host; of what its program did not answer, None."""

    filters: list[dict[str, Any]] | None  # `tc -j filter show` of devices that have any, and "dev"
    rules: str | None  # `nft list ruleset`, without the elements of sets where nothing is sent on
    sniffers: list[int]  # index of the device of each packet socket
    proxies: list[str]  # devices that answer ARP for whatever the host has a way to
    unseen: Sequence[str] = ()  # sentences about what was not looked at


class _SilentError(Exception):
    """A program is not there, or does not answer what it was asked."""


def look() -> Seen:
    """Return what is on this host."""
    unseen = []
    filters, rules = None, None
    try:
        filters = _filters()
    except (_SilentError, ValueError, LookupError) as error:
        unseen.append(f"What filters of tc do was not looked at: {error} (package {_TO_INSTALL}).")
    try:
        rules = _run(["nft", "-t", "list", "ruleset"])
        if copies.SENDS.search(rules):
            rules = _run(["nft", "list", "ruleset"])
    except _SilentError as error:
        unseen.append(
            f"What rules of nftables send elsewhere was not looked at: {error} (package nftables)."
        )
    return Seen(filters, rules, _packet_sockets(), _proxies(), unseen)


def _filters() -> list[dict[str, Any]]:
    queues = json.loads(_run(["tc", "-j", "qdisc", "show"]) or "[]")
    return [dict(one, dev=question.split()[3]) for question, one in _batch(_questions(queues))]


def _questions(queues: Sequence[dict[str, Any]]) -> list[str]:
    """Return what to ask tc for all filters: of each device's queue, also those below it, of their
    classes, and of what comes in and goes out. A shared block answers where it is used.
    """
    places = []
    for one in queues:
        device, kind, handle = one["dev"], one["kind"], one["handle"]
        if kind in ("clsact", "ingress"):
            places += [(device, "ingress"), (device, "egress")]
        elif one.get("root"):
            places += [(device, "")] * (kind != "noqueue")
        elif handle != "0:":
            places.append((device, f"parent {handle}"))
    for device in {one["dev"] for one in queues if one["kind"] in _WITH_CLASSES}:
        places += [(device, f"parent {one}") for one in _classes(device)]
    return [f"filter show dev {device} {place}".strip() for device, place in places]


def _classes(device: str) -> list[str]:
    """Of classes, tc prints text, whatever it is asked for."""
    try:
        listed = _run(["tc", "class", "show", "dev", device])
    except _SilentError:
        if _is_there(device):
            raise
        return []  # it has gone meanwhile
    return re.findall(r"^class \S+ (\S+)", listed, re.MULTILINE)


def _batch(asked: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (question, what is listed) for all that tc answers; nothing of a device that has gone
    meanwhile.
    """
    if not asked:
        return
    command = ["tc", "-force", "-j", "-batch", "-"]
    done = subprocess.run(
        command, input="\n".join(asked) + "\n", capture_output=True, text=True, check=False
    )
    failed = set(map(int, re.findall(r"^Command failed -:(\d+)", done.stderr, re.MULTILINE)))
    answered = []
    for number, question in enumerate(asked, 1):
        if number not in failed:
            answered.append(question)
        elif _is_there(question.split()[3]):
            raise _SilentError(f"'tc {question}' failed: {done.stderr.strip()}")
    listed = list(json_lists(done.stdout))
    if len(listed) != len(answered):
        raise _SilentError(f"'tc -batch' has {len(listed)} answers to {len(answered)} questions")
    for question, answer in zip(answered, listed):
        for one in answer:
            yield question, one


def _is_there(device: str) -> bool:
    try:
        return bool(socket.if_nametoindex(device))
    except OSError:
        return False


def _packet_sockets() -> list[int]:
    try:
        with open("/proc/thread-self/net/packet", encoding="ascii") as file:
            return [int(line.split()[4]) for line in file.readlines()[1:]]
    except (OSError, ValueError, IndexError):
        return []


def _proxies() -> list[str]:
    return [path.split("/")[6] for path in glob.glob(f"{_CONF}/*/proxy_arp") if _is_on(path)]


def _is_on(path: str) -> bool:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip() != "0"
    except OSError:
        return False


def _run(command: list[str]) -> str:
    """Return what a command prints; raise _SilentError."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise _SilentError(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        raise _SilentError(f"'{' '.join(command)}' failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def found(plan: dict[str, Any], links: Iterable[Link], seen: Seen) -> list[dict[str, Any]]:
    """Return [{"interface", "network", "what", "expected", "observed", "class"}] of all that passes
    the guard by. links: the host's (`ip -j -d addr`).
    """
    by_name = {link["ifname"]: link for link in links}
    ours = _ours(plan, by_name)
    rows: list[dict[str, Any]] = []

    def note(device: str, what: str, expected: str, observed: str, leak: leaks.Leak) -> None:
        said = {"what": what, "expected": expected, "observed": observed, "class": leak.number}
        row = {"interface": device, "network": ours[device], **said}
        if row not in rows:
            rows.append(row)

    for device, target, how in _redirected(plan, seen, by_name):
        place = device if device in ours else target
        if place in ours:
            what = "what passes here" if device in ours else f"what passes {device}"
            note(place, what, "let pass", f"sent to {target} by {how}", leaks.COPIED)
    for device in ours:
        link = by_name[device]
        if "xdp" in link:
            note(device, "program that sees packets first (XDP)", "none", "there", leaks.COPIED)
        for what, expected, observed in _on_top(link, seen, by_name):
            note(device, what, expected, observed, leaks.SHARED_BRIDGE)
        if _kind(link) == "bridge" and {device, "all"} & set(seen.proxies):
            note(device, "proxy_arp", "0", "1: the host answers for all", leaks.ARP)
        if any(one["dev"] == device and _is_program(one) for one in seen.filters or ()):
            note(device, "program that sees packets (tc)", "none", "there", leaks.COPIED)
        settings = link.get("linkinfo", {}).get("info_slave_data", {})
        for key, wanted in PORT_SETTINGS.items():
            if link.get("master") in ours and settings.get(key, wanted) != wanted:
                what = f"{key} of the port on {link['master']}"
                note(device, what, _on(wanted), _on(not wanted), leaks.NO_PATH)
    return rows


def _on(value: bool) -> str:
    return "on" if value else "off"


def _ours(plan: dict[str, Any], by_name: dict[str, Link]) -> dict[str, str]:
    """Return {device: network} of bridges, their ports and tunnel devices that are there."""
    found: dict[str, str] = {}
    for network in plan["networks"]:
        devices = [network["bridge"], network.get("device"), network.get("device_v6")]
        devices += [name for name, link in by_name.items() if link.get("master") == devices[0]]
        found.update({name: network["name"] for name in devices if name in by_name})
    return found


def _kind(link: Link) -> str | None:
    kind: str | None = link.get("linkinfo", {}).get("info_kind")
    return kind


def _on_top(link: Link, seen: Seen, by_name: dict[str, Link]) -> Iterator[tuple[str, str, str]]:
    """Yield (what, expected, observed) of devices on top of a bridge or a tunnel device."""
    if _kind(link) != "bridge" and (_kind(link) not in UDP_TUNNELS or "master" in link):
        return
    # each makes it take all frames, as do each tcpdump and promiscMode
    above = link.get("promiscuity", 0) - ("PROMISC" in link.get("flags", []))
    above -= seen.sniffers.count(link["ifindex"])
    if above > 0:
        yield "number of devices on top of it (macvlan, in any namespace)", "0", str(above)
    for name, other in by_name.items():
        if other.get("link") == link["ifname"] and _kind(other) in _ON_TOP:
            yield "device on top of it", "none", f"{name} ({_kind(other)})"


def _is_program(one: dict[str, Any]) -> bool:
    """True of a filter of tc that is a program, or runs one, but of those that CNIs bring."""
    options = one.get("options", {})
    programs = [options] if one.get("kind") == "bpf" and options else []
    programs += [action for action in options.get("actions", []) if action.get("kind") == "bpf"]
    return any(not _OF_CNI.match(program.get("bpf_name", "")) for program in programs)


def _networks(plan: dict[str, Any], by_name: dict[str, Link]) -> list[copies.Network]:
    """Return what rules may call the networks by, of devices those that are there."""
    return [
        copies.Network(
            [
                name
                for name in (network["bridge"], network.get("device"), network.get("device_v6"))
                if name in by_name
            ],
            [
                ipaddress.ip_network(cidr)
                for cidr in (network.get("cidr"), network.get("ipv6_cidr"))
                if cidr
            ],
        )
        for network in plan["networks"]
    ]


def _redirected(
    plan: dict[str, Any], seen: Seen, by_name: dict[str, Link]
) -> Iterator[tuple[str, str, str]]:
    """Yield (device, where to, how) of what copies or redirects. To an ifb, which gives everything
    back, is how the plugin bandwidth limits what comes in.
    """
    for one in seen.filters or ():
        for action in one.get("options", {}).get("actions", []):
            target = action.get("to_dev", "")
            kind = _kind(by_name.get(target, {}))
            if action.get("kind") == "mirred" and kind != "ifb":
                yield one["dev"], target, f"a tc filter ({action.get('mirred_action')})"
    yield from copies.sent(seen.rules or "", _networks(plan, by_name))
