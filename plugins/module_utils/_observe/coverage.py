# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a measurement does not cover: gaps, which keep it from being as planned, and notes, which
limit what it says.

Pure, on the controller.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._plan import pairs
from . import kinds
from .cells import Cell
from .evidence import Evidence, Measurement
from .judge import AS_PLANNED, INCONCLUSIVE

NAMES_SHOWN = 5


def gaps(measurement: Measurement, evidence: Evidence, judged: Sequence[Cell] = ()) -> list[str]:
    """Return sentences on what was to be measured and was not, and on who was in the way."""
    plan, facts = measurement.plan, measurement.facts
    seen = {fact["host"] for fact in facts}
    found = [f"Host {host} was not reached." for host in sorted(set(measurement.hosts) - seen)]
    for fact in facts:
        found += [f"{fact['host']}: {problem}" for problem in fact["problems"]]
    for host in sorted(seen):
        share = measurement.share(host)
        found += [
            f"{host} took no part in the {part} phase."
            for part in ("listen", "send", "collect")
            if not share.get(part)
        ]
        found += list((share.get("listen") or {}).get("problems", []))
    present = {end["network"] for end in evidence.ends.values()}
    if not present:
        found.append("No pod is attached to any network, so nothing could be measured.")
    elif measurement.require_pods:
        found += [
            f"No pod is attached to network {network['name']}, so its isolation was not measured."
            for network in plan["networks"]
            if network["name"] not in present
        ]
    found += [f"Suspect: {sentence}" for sentence in evidence.suspects()]
    unknown = evidence.unknown(judged)
    if unknown:
        found.append(
            f"{len(unknown)} tokens arrived that nobody was to send, such as {unknown[0]!r}."
        )
    return found + _unseen_pods(measurement)


def _unseen_pods(measurement: Measurement) -> list[str]:
    """Return a sentence for each pod that the API says runs, before and after the measurement, on a
    host where it was not found attached to anything.
    """
    before, after, facts = measurement.cluster, measurement.cluster_after, measurement.facts
    if not before or not after:
        return []
    if not any(network["attach"] == "all" for network in measurement.plan["networks"]):
        return []
    found = {pod["uid"] for fact in facts for pod in fact["pods"]}
    ran = {pod["uid"] for pod in before["pods"] if pod["running"]}
    hosts = {fact.get("node_name", fact["host"]): fact["host"] for fact in facts}
    return [
        f"Pod {pod['label']} runs on {hosts[pod['node']]}, as the API says, but is attached to no"
        " network of the plan. If it is older than the networks, delete it so that it is made"
        " anew."
        for pod in after["pods"]
        if pod["running"]
        and not pod["host_network"]
        and pod["node"] in hosts
        and pod["uid"] in ran - found
    ]


def too_few_pods(plan: dict[str, Any], judged: Sequence[Cell]) -> list[str]:
    """Return sentences on what no pod could show."""
    inside = [cell for cell in judged if cell["kind"] == kinds.UNICAST.name]
    networks = {cell["to_network"] for cell in inside}
    across = {cell["to_network"] for cell in inside if cell["from_host"] != cell["to_host"]}
    between = {
        (cell["from_network"], cell["to_network"])
        for cell in judged
        if cell["kind"] in (kinds.FORCED.name, kinds.NATURAL.name)
    }
    notes = []
    for name in [network["name"] for network in plan["networks"]]:
        if name not in networks:
            notes.append(f"Network {name} has no two pods, so nothing was measured inside it.")
        elif name not in across:
            notes.append(
                f"All pods of network {name} are on one host, so it was not measured across hosts."
            )
    return notes + [
        f"No pod on {source} has another on {target} to reach for: only the hosts' own addresses"
        " were tried."
        for source, target in pairs.blocked(plan)
        if (source, target) not in between
    ]


def untried(judged: Sequence[Cell], cluster: dict[str, Any] | None) -> list[str]:
    """Return the sentences on Services and published ports that were not tried."""
    notes = []
    for kind, items, what in (
        (kinds.SERVICE, "services", "Service"),
        (kinds.PORT, "ports", "published port"),
    ):
        tried = {cell["to"].split("/", 1)[1] for cell in judged if cell["kind"] == kind.name}
        left = sorted({item["name"] for item in (cluster or {}).get(items, [])} - tried)
        if left:
            shown = left[:NAMES_SHOWN] + ["..."] * (len(left) > NAMES_SHOWN)
            notes.append(
                "Not tried, as nothing is promised of them or their endpoints are not known here:"
                f" {what} {', '.join(shown)}."
            )
    return notes


def not_measured(measurement: Measurement, judged: Sequence[Cell]) -> list[str]:
    """Return sentences on what this run says nothing about."""
    plan, tried = measurement.plan, {cell["kind"] for cell in judged}
    found = [
        "Other protocols than UDP, TCP (a SYN) and ICMP, such as SCTP, GRE and ESP.",
        "Frames with VLAN tags, router advertisements, redirects, and what a pod sends under"
        " another MAC or address within its own network.",
        "Connections that were open before, and leaks that are shorter than the measurement.",
        "What the hosts' own processes, and pods in the hosts' network, forward for others.",
    ]
    others = [one["name"] for one in plan["networks"] if one["backend"]["type"] != "vxlan"]
    if others:
        found.append(
            f"Whether a pod can put packets into the tunnels of {', '.join(others)}: only those of"
            " vxlan are tried."
        )
    if measurement.per_host:
        found.append(
            f"All pairs of pods: each sender tried {measurement.per_host} receivers of each host"
            " and network."
        )
    if not measurement.outside_sent():
        found.append("Whether a host that is no node can put packets into a tunnel.")
    masqueraded = [one["name"] for one in plan["networks"] if one.get("masquerade")]
    if masqueraded and kinds.OUT.name not in tried:
        found.append(f"The way out of {', '.join(masqueraded)}: it takes two hosts.")
    return found


def coverage(judged: Sequence[Cell], facts_compared: int, per_host: int) -> dict[str, Any]:
    """Return how much was planned and measured, in all and by kind, see docs/report.md."""
    by_kind: dict[str, list[Cell]] = {name: [] for name in kinds.KINDS}
    for cell in judged:
        by_kind[cell["kind"]].append(cell)
    open_cells = sum(cell["outcome"] == INCONCLUSIVE for cell in judged)
    return {
        "planned": len(judged),
        "measured": len(judged) - open_cells,
        "inconclusive": open_cells,
        "facts_compared": facts_compared,
        "receivers_per_host": per_host or "all",
        "kinds": [
            {
                "kind": name,
                "planned": len(mine),
                "measured": sum(cell["outcome"] != INCONCLUSIVE for cell in mine),
                "expected_reached": sum(cell["expected"] == "reached" for cell in mine),
                "expected_blocked": sum(cell["expected"] == "blocked" for cell in mine),
                "as_planned": sum(cell["outcome"] == AS_PLANNED for cell in mine),
            }
            for name, mine in by_kind.items()
            if mine or kinds.KINDS[name].everywhere
        ],
    }
