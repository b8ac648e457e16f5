# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small world as the kernel showed it (vectors/world.json), and a measurement of it in which
everything is as planned.
"""

from __future__ import annotations

import json
import pathlib

from ansible_collections.multinet.flannel.plugins.module_utils._observe import cells, sender

VECTORS = pathlib.Path(__file__).parent / "vectors"


def load():
    """Return (plan, facts) of vectors/world.json."""
    world = json.loads((VECTORS / "world.json").read_text(encoding="utf-8"))
    return world["plan"], world["facts"]


def receipt(cell, at, interface, source, address=None):
    return {
        "cell": cell,
        "at": at,
        "interface": interface,
        "source": source,
        "claimed": "-",
        "address": address,
        "time": 0,
        "count": 1,
    }


def perfect(plan, facts, cluster=None):
    """Return the shares {host: {"listen", "send", "collect"}} of a measurement in which all that
    must arrive does, and nothing else.
    """
    ends = {end["id"]: end for end in cells.endpoints(facts)}
    shares = {}
    for host in facts:
        wanted = list(cells.cells(plan, facts, only_from=host["host"], cluster=cluster))
        shares[host["host"]] = {
            "listen": {"problems": [], "table_fulls": None},
            "send": {
                "cells": len(wanted),
                "digest": sender.digest(wanted),
                "sent": len(wanted),
                "errors": {},
                "answers": {},
                "seconds": 1.0,
            },
            "collect": {
                "alive": True,
                "receipts": [],
                "drops": {},
                "table_fulls": None,
                "witnessed": {f"{cell['kind']}|{cell['from']}": 2 for cell in wanted},
            },
        }
    for end in ends.values():
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
    for node in cells.node_addresses(facts):
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
    for cell in cells.cells(plan, facts, cluster=cluster):
        if cell["kind"] in ("service", "port") and cell["expected"] == "reached":
            for end in cell["variant"]["ends"][:1]:
                arrive(shares, facts, dict(cell, to=end))
            shares[cell["from_host"]]["send"]["answers"][cell["id"]] = [
                {"by": cell["address"], "channel": "tcp"}
            ]
        elif cell["expected"] == "reached":
            arrive(shares, facts, cell)
            shares[cell["from_host"]]["send"]["answers"][cell["id"]] = (
                [{"by": ends[cell["to"]]["pod"], "channel": "udp"}] if cell["kind"] != "l2" else []
            )
    return shares


def arrive(shares, facts, cell, source=None):
    """Let the token of a cell be received where it was meant to be."""
    end = next(end for end in cells.endpoints(facts) if end["id"] == cell["to"])
    name = cell["id"] if cell["kind"] != "l2" else "|".join(("l2", cell["family"], cell["from"]))
    mine = [
        end["addresses"][cell["family"]]
        for end in cells.endpoints(facts)
        if end["id"] == cell["from"]
    ]
    source = source or cell["source"] or (mine + ["192.168.9.1"])[0]
    note(shares, end["host"], receipt(name, end["pod"], end["interface"], source, cell["address"]))


def note(shares, host, entry):
    shares[host]["collect"]["receipts"].append(entry)
