# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a measurement does not cover: gaps, which keep it from being as planned, and notes, which
limit what it says.

Pure, on the controller.
"""

from __future__ import annotations

import collections
from collections.abc import Collection, Sequence
from typing import Any

from .._plan import pairs as of_plan
from . import kinds, modes
from .cells import FURTHER, Cell, is_in_all_ways, is_sampled
from .ends import endpoints, pairs_of
from .evidence import Evidence, Measurement
from .facts import RENAMED
from .judge import AS_PLANNED, INCONCLUSIVE

NAMES_SHOWN = 5
# Of each pair that is tried, one of these is sent
_OF_PAIRS = (kinds.UNICAST.name, kinds.FORCED.name, kinds.NATURAL.name)
# What was not sent if there were too few pods for it
_TAKES = {
    kinds.NEIGHBOUR.name: "Whether a neighbour reaches a pod by its address in another network,"
    " with and without a VLAN tag: this needs two pods on one host and network, one of which is"
    " also on another network.",
    kinds.ROUTER.name: "Whether a pod can be a router for its neighbours: this needs two pods on"
    " one host and network.",
    kinds.CLAIM.name: "Whether a pod can take a neighbour's address: this needs two pods"
    " on one host, on a network that does not allow spoofing. The collection must have attached one"
    " of them.",
    kinds.SHADOW.name: "Whether masquerade gives a pod the port of a tunnel: this needs two hosts,"
    " and tunnels that have ports.",
    kinds.MTU.name: "Whether a pod can lower the MTU of the way into another network: this"
    " needs pods of two isolated networks on one host.",
}


def gaps(measurement: Measurement, evidence: Evidence, judged: Sequence[Cell] = ()) -> list[str]:
    """Return sentences on what was to be measured and was not, and on who was in the way."""
    plan, facts = measurement.plan, measurement.facts
    seen = {fact["host"] for fact in facts}
    found = [f"Host {host} was not reached." for host in sorted(set(measurement.hosts) - seen)]
    for fact in facts:
        found += [f"{fact['host']}: {problem}" for problem in fact["problems"]]
    for host in sorted(seen) if measurement.mode == modes.ACTIVE else ():
        share = measurement.share(host)
        found += [
            f"{host} took no part in the {part} phase."
            for part in ("listen", "send", "collect")
            if not share.get(part)
        ]
        found += list((share.get("listen") or {}).get("problems", []))
    present = {end["network"] for end in evidence.ends.values()}
    if measurement.mode != modes.ACTIVE:
        return found
    if not present:
        found.append(
            "No pod is attached to any network, so nothing could be measured. Start pods first"
            + (
                ", or correct the bridges in verify_networks."
                if plan.get("elsewhere")
                else "; delete pods that are older than the networks, so that they are made again."
            )
        )
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
            f"{len(unknown)} tokens arrived that nobody should have sent, for example"
            f" {unknown[0]!r}."
        )
    return found + [
        f"Pod {label} runs on {host}, according to the API, and is younger than the networks there,"
        " but is attached to no network of the plan. Look at its events, and at the CNI"
        f" configuration that the container runtime of {host} reads."
        for label, host, is_old in _unseen_pods(measurement)
        if not is_old
    ]


def former_pods(measurement: Measurement) -> list[str]:
    """Return the sentences on pods that are older than the networks, and so have none."""
    by_host: dict[str, list[str]] = {}
    for label, host, is_old in _unseen_pods(measurement):
        if is_old:
            by_host.setdefault(host, []).append(label)
    return [
        f"On {host}, these pods are older than the networks and have none of them:"
        f" {', '.join(labels[:NAMES_SHOWN] + ['...'] * (len(labels) > NAMES_SHOWN))}. Delete them,"
        " so that they are made again."
        for host, labels in sorted(by_host.items())
    ]


def renamed(measurement: Measurement) -> list[str]:
    """Return the sentences on interfaces that pods call otherwise than CNI did."""
    return [
        f"{fact['host']}/{pod['label']} calls its interface {one['expected']}, which CNI gave it,"
        f" {one['observed']}: who asks for it by its name, such as CNI's CHECK, does not find it."
        for fact in measurement.facts
        for pod in fact["pods"]
        for one in pod.get("renamed", [])
        if one["what"] == RENAMED
    ]


def without_bridge(measurement: Measurement) -> list[str]:
    """Return the sentences on bridges that hosts do not have, where others deployed the networks:
    CNI makes one with the first pod, or it has another name there.
    """
    if not measurement.plan.get("elsewhere"):
        return []
    return [
        f"Host {fact['host']} has no bridge {network['bridge']}, so no pods of network"
        f" {network['name']} were looked for there. If it has some, correct bridge of network"
        f" {network['name']} in verify_networks: it is the same on all hosts."
        for network in measurement.plan["networks"]
        for fact in measurement.facts
        if not fact["node"]["networks"][network["name"]]["bridge"]
    ]


def _unseen_pods(measurement: Measurement) -> list[tuple[str, str, bool]]:
    """Return (label, host, whether it was started before the host had networks) of each pod that
    the API says runs, before and after the measurement, on a host where it was not found attached
    to anything.
    """
    before, after, facts = measurement.cluster, measurement.cluster_after, measurement.facts
    if not before or not after:
        return []
    if not any(network["attach"] == "all" for network in measurement.plan["networks"]):
        return []
    found = {pod["uid"] for fact in facts for pod in fact["pods"]}
    ran = {pod["uid"] for pod in before["pods"] if pod["running"]}
    hosts = {fact.get("node_name", fact["host"]): fact for fact in facts}
    return [
        (
            pod["label"],
            hosts[pod["node"]]["host"],
            # both by the clock of that node
            bool(pod.get("started")) and pod["started"] < hosts[pod["node"]].get("cni_since", ""),
        )
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
            notes.append(
                f"Network {name} has fewer than two pods, so nothing was measured inside it."
            )
        elif name not in across:
            notes.append(
                f"All pods of network {name} are on one host, so it was not measured across hosts."
            )
    return notes + [
        f"No pod on {source} has a pod on {target} that it could reach, so only the hosts' own"
        " addresses were tried."
        for source, target in of_plan.blocked(plan)
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
                "Not tried, because nothing is promised of them or their endpoints are not known"
                f" here: {what} {', '.join(shown)}."
            )
    return notes


def not_measured(measurement: Measurement, judged: Sequence[Cell]) -> list[str]:
    """Return sentences on what this run says nothing about."""
    plan, tried = measurement.plan, {cell["kind"] for cell in judged}
    if measurement.mode != modes.ACTIVE:
        return list(modes.NOT_MEASURED[measurement.mode])
    found = [
        "Other protocols than UDP, TCP (a SYN) and ICMP, such as SCTP, GRE and ESP.",
        "Other ports than those of the run and, of Services and published ports, their own: a"
        " filter or a routing rule (ip rule) for one port alone is not seen.",
        "Packet sizes other than small packets and, only over UDP, full packets.",
        "How long packets take: an answer to the last of three tries counts, too.",
        "Routing rules (ip rule) inside pods, and what programs (eBPF) on the way do with other"
        " packets than these; those attached by TCX or netkit, rules of iptables-legacy (TEE), and"
        " VLAN and ipvlan devices that are on top of a bridge or tunnel from another namespace than"
        " the host's were not looked for.",
        *_not_of_the_guard(plan, tried),
        "Connections that were open before, and leaks that are shorter than the measurement.",
        "What the hosts' own processes, and pods in the hosts' network, forward for others.",
    ]
    if any(
        len({one["network"] for one in pod["interfaces"] if one["network"]}) > 1
        for fact in measurement.facts
        for pod in fact["pods"]
    ):
        found.append(
            "What programs in pods on several networks, such as a proxy, pass from one network to"
            " another: only the kernel's forwarding is prevented."
        )
    others = [one["name"] for one in plan["networks"] if one["backend"]["type"] != "vxlan"]
    if others:
        found.append(
            f"Whether a pod can put packets into the tunnels of {', '.join(others)}: only those of"
            " vxlan are tried."
        )
    sampled = sentence_of(pairs_tried(measurement, judged))
    if sampled:
        found.append(f"All pairs of pods in all ways. {sampled}")
    if not measurement.outside_sent():
        found.append("Whether a host that is not a node can put packets into a tunnel.")
    masqueraded = [one["name"] for one in plan["networks"] if one.get("masquerade")]
    if masqueraded and kinds.OUT.name not in tried:
        found.append(f"The way out of {', '.join(masqueraded)}: this needs two hosts.")
    elif masqueraded:
        found.append(
            f"The way out of {', '.join(masqueraded)} to anything but another node, and whether a"
            " connection by TCP works there: a SYN is sent, and its answer heard."
        )
    return found + _services(measurement, judged)


def _services(measurement: Measurement, judged: Sequence[Cell]) -> list[str]:
    """Return the sentence on why no Service showed whose address its endpoints see."""
    if measurement.cluster is None:
        return []
    shown = any(
        cell["kind"] == kinds.SERVICE.name
        and cell["expected"] == "reached"
        and set(cell["variant"]["ends"]) - {cell["from"]}
        for cell in judged
    )
    default = measurement.plan["default_network"]
    if measurement.hides_all:
        why = "kube-proxy is configured to hide all of them (masqueradeAll)"
    elif not default:
        why = "the pods' first network is not one of these"
    elif not shown:
        why = f"none that was tried leads from one pod of {default} to another"
    else:
        return []
    return [f"Whether Services show the pods' own addresses: {why}."]


def _not_of_the_guard(plan: dict[str, Any], tried: Collection[str]) -> list[str]:
    """Return sentences on what only the guard promises. tried: the kinds that were sent."""
    if plan.get("elsewhere"):
        return [
            "Frames with VLAN tags, router advertisements, redirects, what a pod sends under"
            " another MAC or address within its own network, and what it tells a node about ways:"
            " nothing is promised where the guard is not deployed."
        ]
    return [
        "Nested VLAN tags, redirects, DHCP, and neighbour discovery (IPv6) under another MAC or"
        " address within a pod's own network.",
        *(
            text
            for kind, text in _TAKES.items()
            if kind not in tried
            and (
                kind != kinds.SHADOW.name or any(one.get("masquerade") for one in plan["networks"])
            )
        ),
    ]


def pairs_tried(measurement: Measurement, judged: Sequence[Cell]) -> dict[str, Any]:
    """Return how many of the ordered pairs of pod interfaces, and of ways between the networks of
    two hosts, were measured, see docs/report.md.
    """
    ends = [end for end in endpoints(measurement.facts) if not end["external"]]
    groups = {(end["host"], end["network"]) for end in ends}
    of_end = {end["id"] for end in ends}
    tried = {
        (cell["from"], cell["to"]): (
            (cell["from_host"], cell["from_network"]),
            (cell["to_host"], cell["to_network"]),
        )
        for cell in judged
        if cell["kind"] in _OF_PAIRS
        and cell["outcome"] != INCONCLUSIVE
        and cell["from"] in of_end
        and cell["to"] in of_end
    }
    senders = collections.Counter(to for dummy, to in tried)
    receivers = collections.Counter(source for source, dummy in tried)
    return {
        "sampled": measurement.mode == modes.ACTIVE and is_sampled(ends, measurement.sample),
        "in_all_ways": is_in_all_ways(ends, measurement.sample),
        "possible": pairs_of(ends),
        "tried": len(tried),
        "interfaces": len(ends),
        "fewest_senders": min((senders[name] for name in of_end), default=0),
        "fewest_receivers": min((receivers[name] for name in of_end), default=0),
        "ways_possible": len(groups) ** 2,
        "ways_tried": len(set(tried.values())),
    }


def sentence_of(pairs: dict[str, Any]) -> str:
    """Return what a sample covers, see pairs_tried(), "" if there was none."""
    further = ", ".join(kind.name for kind in FURTHER)
    in_one_way = (
        f"Each of these pairs was tried by unicast or forced, some of them also by {further}."
    )
    if not pairs["tried"]:
        return "Nothing was sent, or nothing could be measured."
    if not pairs["sampled"]:
        every = f"Every one of {pairs['possible']} ordered pairs of interfaces was measured. "
        return "" if pairs["in_all_ways"] else every + in_one_way
    share = 100 * pairs["tried"] / pairs["possible"] if pairs["possible"] else 0
    return (
        f"Sampled: {pairs['tried']} of {pairs['possible']} ordered pairs of interfaces"
        f" ({share:.1f} %), {pairs['ways_tried']} of {pairs['ways_possible']} ways from a network"
        f" on a host to a network on a host. Each of the {pairs['interfaces']} interfaces tried at"
        f" least {pairs['fewest_receivers']} others, and was tried by at least"
        f" {pairs['fewest_senders']}."
    ) + ("" if pairs["in_all_ways"] else f" {in_one_way}")


def coverage(
    judged: Sequence[Cell], facts_compared: int, measurement: Measurement
) -> dict[str, Any]:
    """Return how much was planned and measured, in all and by kind, see docs/report.md."""
    pairs = pairs_tried(measurement, judged)
    most: dict[tuple[str, str, str], set[str]] = {}
    for cell in judged if pairs["sampled"] else ():
        if cell["kind"] in _OF_PAIRS:
            key = (cell["from"], cell["to_host"], cell["to_network"])
            most.setdefault(key, set()).add(cell["to"])
    by_kind: dict[str, list[Cell]] = {name: [] for name in kinds.KINDS}
    for cell in judged:
        by_kind[cell["kind"]].append(cell)
    open_cells = sum(cell["outcome"] == INCONCLUSIVE for cell in judged)
    return {
        "planned": len(judged),
        "measured": len(judged) - open_cells,
        "inconclusive": open_cells,
        "facts_compared": facts_compared,
        "receivers_per_host": max(map(len, most.values()), default=1)
        if pairs["sampled"]
        else "all",
        "pairs": pairs,
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
