# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict: what was promised, what every sender and every receiver saw, and what follows.

Pure, on the controller; the clock is passed in. A cell's verdict is in judge.py, the facts' in
checks.py, what follows from them in findings.py and coverage.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._plan import pairs
from . import causes, checks, coverage, findings, losses, matrix, modes
from .evidence import Evidence, Measurement
from .judge import BROKEN, INCONCLUSIVE, LEAK, OUTCOMES, judge, unplanned

SCHEMA = "multinet.flannel/report/1"


def evaluate(measurement: Measurement) -> dict[str, Any]:
    """Return the report, see docs/report.md."""
    plan, facts, cluster = measurement.plan, measurement.facts, measurement.cluster
    evidence = Evidence(measurement)
    judged = [judge(cell, evidence) for cell in evidence.cells if evidence.in_reach(cell)]
    judged += unplanned(judged, evidence)
    findings.classify(judged)
    deviations, compared = checks.deviations(plan, facts, measurement.cluster_after)
    lossy = losses.of_ways(judged, evidence)
    deviations += losses.deviations(lossy)
    counts = {outcome: sum(cell["outcome"] == outcome for cell in judged) for outcome in OUTCOMES}
    drift = causes.of_hosts(facts)
    elsewhere = plan.get("elsewhere", False)
    found = findings.of_cells(judged, drift, deviations, elsewhere=elsewhere)
    found += findings.of_facts(deviations, drift)
    of_drift = findings.of_drift(drift, found)
    # what proves nothing may do so because of what is broken
    found = sorted(found + of_drift, key=lambda one: one["outcome"] == INCONCLUSIVE)
    found = findings.with_commands(found, elsewhere)
    counts["deviations"] = len(deviations) + len(of_drift)
    counts["drift"] = len(drift)
    counts["expectations"] = 0
    gaps = coverage.gaps(measurement, evidence, judged)
    active = measurement.mode == modes.ACTIVE
    too_few_pods = coverage.too_few_pods(plan, judged) if active else []
    notes = too_few_pods + coverage.former_pods(measurement) + coverage.without_bridge(measurement)
    notes += coverage.renamed(measurement) + losses.notes(lossy)
    notes += evidence.out_of_reach() + coverage.untried(judged, cluster if active else None)
    if measurement.cluster_problem:
        notes.append(
            "Services, published ports and network-status were left out."
            f" {measurement.cluster_problem}"
        )
    if measurement.mode == modes.PASSIVE:
        notes += causes.dropped(facts)
    notes += causes.notes(drift, found) + causes.unseen(facts) + causes.told(facts)
    networks = [_network(network) for network in plan["networks"] + _external(plan)]
    names = [network["name"] for network in networks]
    report = {
        "schema": SCHEMA,
        "mode": measurement.mode,
        "verdict": _overall(counts, gaps),
        "headline": "",
        "measured": measurement.about or {},
        "changes": None,
        "counts": counts,
        "networks": networks,
        "blocked": pairs.blocked(plan),
        "hosts": _hosts(measurement),
        "pods": _pods(measurement),
        "expectations": [],
        "findings": found,
        "drift": drift,
        "gaps": gaps,
        "notes": notes,
        "not_measured": coverage.not_measured(measurement, judged),
        "matrix": {"networks": matrix.of_networks(names, judged), "pods": matrix.of_pods(judged)},
        "coverage": coverage.coverage(judged, compared, measurement),
        "cells": judged,
    }
    report["headline"] = _headline(report, limited=bool(too_few_pods))
    return report


def with_expectations(report: dict[str, Any], judged: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the report with the site's own rules in it; one that does not hold is broken.

    judged: as _site.expectations.judged() returns them, about this report.
    """
    failed = sum(not rule["holds"] for rule in judged)
    expected = dict(
        report, counts=dict(report["counts"], expectations=failed), expectations=list(judged)
    )
    if failed:
        expected["verdict"] = "leaks" if report["verdict"] == "leaks" else "broken"
        of_them = f"{failed} of the site's {len(judged)} rules"
        expected["headline"] += f" {of_them} {'does' if failed == 1 else 'do'} not hold."
    return expected


def _overall(counts: dict[str, int], gaps: Sequence[str]) -> str:
    if counts[LEAK]:
        return "leaks"
    if counts[BROKEN] or counts["deviations"]:
        return "broken"
    return "inconclusive" if counts[INCONCLUSIVE] or gaps else "as_planned"


def _headline(report: dict[str, Any], limited: bool) -> str:
    """limited: whether too few pods were there to show everything."""
    counts, cells = report["counts"], len(report["cells"])
    if report["verdict"] == "leaks":
        return (
            f"The networks are not isolated: {counts[LEAK]} of {cells} measurements arrived where"
            " they must not."
        )
    if report["verdict"] == "broken":
        wrong = [
            f"{count} {what}"
            for count, what in (
                (counts[BROKEN], "measurements failed"),
                (counts["deviations"], "facts are not as planned"),
            )
            if count
        ]
        first = "No leak was seen" if report["mode"] == modes.ACTIVE else "Nothing was sent"
        return f"{first}, but {' and '.join(wrong)}."
    if report["verdict"] == "inconclusive":
        return (
            f"Not proven: {counts[INCONCLUSIVE]} of {cells} measurements are inconclusive, and"
            f" there are {len(report['gaps'])} gaps."
        )
    hosts = sum(host["reached"] for host in report["hosts"])
    if report["mode"] != modes.ACTIVE:
        return (
            f"{len(report['pods'])} pods on {hosts} hosts: {report['coverage']['facts_compared']}"
            " facts are as declared. Nothing was sent, so this run does not prove that the networks"
            f" are isolated (verify_mode: {report['mode']}).{_drift(counts['drift'])}"
        )
    isolated = " and isolated from the others" if report["blocked"] else ""
    return (
        f"{len(report['pods'])} pods on {hosts} hosts, {cells} measurements: each network is"
        f" connected inside{isolated}{', as far as there are pods to show it' if limited else ''}."
        f"{'' if isolated else ' None had to be isolated from another.'}{_drift(counts['drift'])}"
    )


def _drift(count: int) -> str:
    if not count:
        return ""
    things = "1 thing on the hosts is" if count == 1 else f"{count} things on the hosts are"
    return f" But {things} not as deployed: see the notes."


def _external(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the network of another CNI as a list of one, if anything is kept apart from it."""
    external = plan.get("external")
    if not external or not any(external["name"] in pair for pair in pairs.blocked(plan)):
        return []
    backend = {"type": "another CNI"}
    return [dict(external, default=True, external=True, bridge=None, backend=backend)]


def _network(network: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": network["name"],
        "cidr": network["cidr"],
        "ipv6_cidr": network.get("ipv6_cidr"),
        "default": network["default"],
        "external": network.get("external", False),
        "bridge": network["bridge"],
        "device": network.get("device"),
        "backend": network["backend"],
    }


def _hosts(measurement: Measurement) -> list[dict[str, Any]]:
    known = {fact["host"]: fact for fact in measurement.facts}
    return [
        {
            "name": host,
            "reached": host in known,
            "pods": len(known[host]["pods"]) if host in known else 0,
            "node": known[host]["node"] if host in known else None,
            "host_pods": [pod["label"] for pod in known.get(host, {}).get("host_pods", [])],
            "seconds": measurement.sent(host).get("seconds"),
            "sent": measurement.sent(host).get("sent"),
        }
        for host in sorted({*measurement.hosts, *known})
    ]


def _pods(measurement: Measurement) -> list[dict[str, Any]]:
    return [
        dict(pod, id=f"{fact['host']}/{pod['label']}", host=fact["host"])
        for fact in measurement.facts
        for pod in fact["pods"]
    ]
