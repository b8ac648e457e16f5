# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small world as the kernel showed it (vectors/world.json), and a measurement of it in which
everything is as planned.
"""

from __future__ import annotations

import copy
import json
import pathlib

from ansible_collections.multinet.flannel.plugins.module_utils._observe import (
    cells,
    ends,
    kinds,
    leaks,
    sender,
    verdict,
    ways_out,
)
from ansible_collections.multinet.flannel.plugins.module_utils._observe.evidence import Measurement

VECTORS = pathlib.Path(__file__).parent / "vectors"


def load():
    """Return (plan, facts) of vectors/world.json."""
    world = json.loads((VECTORS / "world.json").read_text(encoding="utf-8"))
    world["plan"]["networks"][0]["masquerade"] = True
    for host in world["facts"]:
        for pod in host["pods"]:
            # as facts.pod() has them
            pod.update({key: pod.get(key, "") for key in ("namespace", "name", "uid")})
            pod["recorded"] = True
            for index, interface in enumerate(pod["interfaces"], 2):
                interface.setdefault("external", False)
                interface.setdefault("index", index)
            pod["routes"] = {family: _routes(world["plan"], pod, family) for family in ("4", "6")}
    return world["plan"], world["facts"]


def crowd(hosts, pods):
    """Return (plan, facts) of so many hosts with so many pods each, all on both networks, IPv4
    alone, made after those of load().
    """
    plan, (first, *dummy) = load()
    for network in plan["networks"]:
        network.update(ipv6_cidr=None, device_v6=None, masquerade=False)
    names = [f"h{number:02d}" for number in range(1, hosts + 1)]
    facts = []
    for here, name in enumerate(names, 1):
        host = copy.deepcopy(first)
        host["host"] = name
        host["node"]["underlay"] = {"4": f"192.168.9.{here}", "6": None}
        for second, network in enumerate(plan["networks"]):
            part = plan["networks"][second]["cidr"].split(".")[1]
            side = host["node"]["networks"][network["name"]]
            subnets = [f"10.{part}.{other}" for other in range(1, hosts + 1)]
            own = subnets[here - 1]
            side["bridge"].update(addresses=[f"{own}.1/24"], mac=_mac(9, second, here, 0))
            side["device"].update(addresses=[f"{own}.0/32"], local=f"192.168.9.{here}")
            side["device_v6"] = None
            side["lease"] = {"FLANNEL_MTU": "1430", "FLANNEL_SUBNET": f"{own}.1/24"}
            side["routes"] = [
                {
                    "prefix": f"{subnet}.0/24",
                    "device": network["device"],
                    "gateway": f"{subnet}.0",
                    "dead": False,
                }
                for subnet in subnets
            ]
        host["pods"] = [
            _of_crowd(first["pods"][0], plan, here, number) for number in range(1, pods + 1)
        ]
        facts.append(host)
    return plan, facts


def _of_crowd(like, plan, here, number):
    """The pod with that number on the host with that number."""
    pod = copy.deepcopy(like)
    pod.update(label=f"p{number:03d}", netns=f"/run/netns/p{here}-{number}", inode=number)
    for second, interface in enumerate(pod["interfaces"]):
        own = f"10.{plan['networks'][second]['cidr'].split('.')[1]}.{here}"
        interface.update(
            addresses=[f"{own}.{number + 1}/24"],
            gateway={"4": f"{own}.1", "6": None},
            mac=_mac(1, second, here, number),
            peer=f"v{second}-{number}",
        )
    pod["default_routes"]["6"] = []
    pod["routes"] = {"4": _routes(plan, pod, "4"), "6": []}
    return pod


def _mac(*numbers):
    return ":".join(["02", "00", *(f"{number:02x}" for number in numbers)])


def _routes(plan, pod, family):
    """The routes that CNI gives a pod."""
    found = []
    for interface in pod["interfaces"]:
        network = next(one for one in plan["networks"] if one["name"] == interface["network"])
        cidr = network["cidr" if family == "4" else "ipv6_cidr"]
        gateway = interface["gateway"][family]
        found.append({"dst": cidr, "gateway": gateway, "dev": interface["name"]})
    return found


def evaluate(plan, facts, shares, hosts=("h1", "h2"), **more):
    """Return the report on a measurement of these hosts."""
    return verdict.evaluate(Measurement(plan, facts, shares, list(hosts), **more))


def classes(report):
    """Return the classes (set of leaks.Leak) of a report's findings."""
    return {leaks.CLASSES[finding["class"]] for finding in report["findings"]}


def receipt(cell, at, interface, source, address=None, protocol="udp"):
    return {
        "cell": cell,
        "at": at,
        "interface": interface,
        "protocol": protocol,
        "source": source,
        "address": address,
        "inside": True,
    }


def perfect(plan, facts, cluster=None, sample=cells.ALL):
    """Return the shares {host: {"listen", "send", "collect"}} of a measurement in which all that
    must arrive does, and nothing else.
    """
    by_id = {end["id"]: end for end in ends.endpoints(facts)}
    shares = {}
    for host in facts:
        more = {"cluster": cluster, "sample": sample}
        wanted = list(cells.cells(plan, facts, only_from=host["host"], **more))
        shares[host["host"]] = {
            "listen": {"problems": [], "table_fulls": None},
            "send": {
                "cells": len(wanted),
                "digest": sender.digest(wanted),
                "sent": len(wanted),
                "errors": {},
                "answers": {},
                "noted": len(wanted),
                "seconds": 1.0,
            },
            "collect": {
                "alive": True,
                "receipts": [],
                "drops": {},
                "table_fulls": None,
                "unwitnessed": {},
                "handed_on": {},
                "suspects": [],
                "witnessed": {f"{cell['kind']}|{cell['from']}": 2 for cell in wanted},
            },
        }
    for end in by_id.values():
        for when in ("begin", "end"):
            note(
                shares,
                end["host"],
                receipt(
                    f"control-{when}|4|{end['host']}/@{end['network']}",
                    end["pod"],
                    end["interface"],
                    "0.0.0.0",
                ),
            )
    for node in ends.node_addresses(facts):
        for when in ("begin", "end"):
            note(
                shares,
                node["host"],
                receipt(
                    "|".join(("control-" + when, node["family"], node["id"])),
                    node["host"],
                    "",
                    node["address"],
                    node["address"],
                ),
            )
    for cell in cells.cells(plan, facts, cluster=cluster, sample=sample):
        if cell["expected"] != "reached":
            continue
        answers = shares[cell["from_host"]]["send"]["answers"]
        if cell["kind"] == "out":
            there, own = cell["to_host"], cell["variant"]["name"]
            for name in (cell["id"], ways_out.control_name(cell)):
                for protocol in kinds.ALL_PROTOCOLS:
                    note(shares, there, receipt(name, there, "", own, cell["address"], protocol))
                answers[name] = [
                    {"by": there if protocol == "udp" else cell["address"], "channel": protocol}
                    for protocol in kinds.ALL_PROTOCOLS
                ]
        elif kinds.KINDS[cell["kind"]].receiver == kinds.ENDPOINT:
            for end in cell["variant"]["ends"][:1]:
                _arrive(shares, by_id, dict(cell, to=end))
            answers[cell["id"]] = [{"by": cell["address"], "channel": "tcp"}]
        else:
            _arrive(shares, by_id, cell)
            answers[cell["id"]] = [{"by": by_id[cell["to"]]["pod"], "channel": "udp"}]
            if cell["kind"] == "l2":
                answers[cell["id"]] = []
    return shares


def arrive(shares, facts, cell, source=None):
    """Let the token of a cell be received where it was meant to be."""
    _arrive(shares, {end["id"]: end for end in ends.endpoints(facts)}, cell, source)


def _arrive(shares, by_id, cell, source=None):
    end = by_id[cell["variant"].get("by", cell["to"])]
    origin = by_id.get(cell["from"])
    own = origin["addresses"][cell["family"]] if origin else "192.168.9.1"
    source = source or cell["source"] or own
    name = cells.token_name(cell)
    for protocol in kinds.protocols(cell["kind"]):
        place = (end["pod"], end["interface"])
        note(shares, end["host"], receipt(name, *place, source, cell["address"], protocol))


def note(shares, host, entry):
    shares[host]["collect"]["receipts"].append(entry)
