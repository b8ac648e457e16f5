# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others have put on the devices of the networks that passes the guard by, or keeps a port
from its neighbours: filters of tc and chains of netdev that copy or redirect, programs (XDP),
devices on top of a bridge, settings of a port.

look() reads, found() is pure. Runs on hosts, standard library alone.
"""

from __future__ import annotations

import glob
import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .._node.links import Link, json_lists
from . import leaks

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
_HOOK = re.compile(r"hook (?:ingress|egress) device(?:s = \{)? ([^}]*?)\}? priority")
_CONF = "/proc/sys/net/ipv4/conf"
_SENT = re.compile(r'\b(dup|fwd) (?:ip6? )?to "?([^"\s]+)')


class Seen(NamedTuple):
    """What was read of a host; of what its program is not there for, None."""

    filters: list[dict[str, Any]] | None  # `tc -j filter show` of devices that have any, and "dev"
    netdev: str | None  # `nft list ruleset netdev`
    sniffers: list[int]  # index of the device of each packet socket
    proxies: list[str]  # devices that answer ARP for whatever the host has a way to


def look() -> Seen:
    """Return what is on this host."""
    netdev = _run(["nft", "list", "ruleset", "netdev"])
    return Seen(_filters(), netdev, _packet_sockets(), _proxies())


def _filters() -> list[dict[str, Any]] | None:
    queues = _run(["tc", "-j", "qdisc", "show"])
    if queues is None:
        return None
    devices = sorted(
        {one["dev"] for one in json.loads(queues or "[]") if one["kind"] in ("clsact", "ingress")}
    )
    asked = [f"filter show dev {one} {way}" for one in devices for way in ("ingress", "egress")]
    answers = _run(["tc", "-force", "-j", "-batch", "-"], "\n".join(asked) + "\n") if asked else ""
    return list(_with_devices(asked, answers or ""))


def _with_devices(asked: list[str], answers: str) -> Iterator[dict[str, Any]]:
    """Yield the filters that were answered, with the device they were asked for."""
    for line, listed in zip(asked, json_lists(answers)):
        for one in listed:
            yield dict(one, dev=line.split()[3])


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


def _run(command: list[str], text: str = "") -> str | None:
    """Return what a command prints, None if it is not there or fails."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 or text else None


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

    for device, target, how in _redirected(seen, by_name):
        place = device if device in ours else target
        if place in ours:
            what = "what passes here" if device in ours else f"what passes {device}"
            note(place, what, "let pass", f"sent to {target} by {how}", leaks.COPIED)
    for device in ours:
        link = by_name[device]
        if "xdp" in link:
            note(device, "program that sees packets first (XDP)", "none", "there", leaks.COPIED)
        if link.get("linkinfo", {}).get("info_kind") == "bridge":
            # each makes the bridge take all frames, as do each tcpdump and promiscMode
            above = link.get("promiscuity", 0) - ("PROMISC" in link.get("flags", []))
            above -= seen.sniffers.count(link["ifindex"])
            if above > 0:
                what = "number of devices on top of it (macvlan, in any namespace)"
                note(device, what, "0", str(above), leaks.SHARED_BRIDGE)
            if {device, "all"} & set(seen.proxies):
                note(device, "proxy_arp", "0", "1: the host answers for all", leaks.ARP)
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


def _redirected(seen: Seen, by_name: dict[str, Link]) -> Iterator[tuple[str, str, str]]:
    """Yield (device, where to, how) of what copies or redirects. To an ifb, which gives everything
    back, is how the plugin bandwidth limits what comes in.
    """
    for one in seen.filters or ():
        for action in one.get("options", {}).get("actions", []):
            target = action.get("to_dev", "")
            kind = by_name.get(target, {}).get("linkinfo", {}).get("info_kind")
            if action.get("kind") == "mirred" and kind != "ifb":
                yield one["dev"], target, f"a tc filter ({action.get('mirred_action')})"
    devices: list[str] = []
    for line in (seen.netdev or "").splitlines():
        hook = _HOOK.search(line)
        if hook:
            devices = [name.strip().strip('"') for name in hook[1].split(",")]
        for how, target in _SENT.findall(line):
            for device in devices:
                yield device, target, f"a rule of netdev ({how})"
