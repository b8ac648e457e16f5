# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict: what was promised, what every sender and every receiver saw, and what follows.

Pure; the clock is passed in.

A cell is
- reached: the receiver has the token on the right interface, and its answer came back where one was
  asked for;
- one-way: the receiver has the token, but the sender never saw an answer (a sender alone would call
  it isolated);
- wrong-peer: somebody else has the token, or answered;
- blocked-proven: the sender sent, the receiver was listening before and after, and nothing came;
- inconclusive: anything else. Never as planned.
"""

from __future__ import annotations

from . import cells, checks, kinds, leaks, sender

SCHEMA = "multinet.flannel/report/1"
REACHED, ONE_WAY, WRONG_PEER, BLOCKED, INCONCLUSIVE = (
    "reached",
    "one-way",
    "wrong-peer",
    "blocked-proven",
    "inconclusive",
)
LOOK_AT_RECEIVER = (6, 12)  # classes whose guard is on the receiving host
ANSWERED_KINDS = ("unicast", "full", "forced", "natural", "host", "service", "port")
NO_ROUTE = ("Network is unreachable", "No route to host")


def evaluate(
    plan,
    facts,
    shares,
    expected_hosts,
    per_host=0,
    require_pods=True,
    measured=None,
    cluster=None,
    cluster_after=None,
    problem="",
):
    """Return the report (dict, see docs/report.md).

    facts: what pod_interfaces_info returned, one per host that was reached. shares: {host:
    {"listen", "send", "collect"}}, parts may be missing.
    expected_hosts: names of the hosts that should have been measured. per_host: the sampling used.
    require_pods: a network without pods is inconclusive.
    measured: {"run", "started", "finished", ...} copied into the report. cluster, cluster_after:
    what cluster.view() returned before and after the measurement, None without Kubernetes; problem:
    why it could not be asked. The share of cells.OUTSIDE has "send" alone.
    """
    known = _Evidence(plan, facts, shares, per_host, cluster)
    judged = [
        known.judge(cell)
        for cell in cells.cells(plan, facts, per_host, cluster=cluster, outside=known.outside)
        if known.in_reach(cell)
    ]
    judged += known.unplanned(judged)
    v4 = [cell for cell in judged if cell["family"] == "4"]
    leaky = {_way(cell) for cell in v4 if cell["outcome"] == "leak"}
    guarded = {_way(cell) for cell in v4 if cell["expected"] == "blocked"} - leaky
    small = {
        (cell["family"], cell["from"], cell["to"])
        for cell in judged
        if cell["kind"] == "unicast" and cell["outcome"] == "as planned"
    }
    for cell in judged:
        _classify(cell, guarded, small)
    static, compared = checks.violations(plan, facts, cluster_after)
    gaps = _gaps(plan, facts, shares, expected_hosts, require_pods, known) + _unseen(
        plan, facts, cluster, cluster_after
    )
    findings = _group(judged) + [
        dict(row, outcome="deviation", cells=0, hosts=[row["host"]]) for row in static
    ]
    counts = {
        outcome: sum(cell["outcome"] == outcome for cell in judged)
        for outcome in ("as planned", "leak", "broken", "inconclusive")
    }
    counts["deviations"] = len(static)
    unshown = _notes(plan, judged)
    notes = unshown + known.out_of_reach() + _redirected(judged, cluster)
    notes += (
        [f"Services, published ports and network-status were left out. {problem}"]
        if problem
        else []
    )
    verdict = _overall(counts, gaps)
    return {
        "schema": SCHEMA,
        "verdict": verdict,
        "headline": _headline(verdict, counts, gaps, unshown, judged, facts),
        "measured": measured or {},
        "counts": counts,
        "networks": [_network(network) for network in plan["networks"] + _external(plan)],
        "blocked": [list(pair) for pair in plan["blocked"]],
        "hosts": _hosts(expected_hosts, facts, shares),
        "pods": _pods(facts),
        "findings": findings,
        "gaps": gaps,
        "notes": notes,
        "matrix": {"networks": _network_matrix(plan, judged), "pods": _pod_matrix(judged)},
        "coverage": _coverage(judged, compared, per_host),
        "cells": judged,
    }


class _Evidence:
    """What was seen, by cell and by listener."""

    def __init__(self, plan, facts, shares, per_host, cluster=None):
        self.plan, self.shares = plan, shares
        self.outside = (
            bool((shares.get(cells.OUTSIDE) or {}).get("send"))
            and not shares[cells.OUTSIDE]["send"]["skipped"]
        )
        self.ends = {end["id"]: end for end in cells.endpoints(facts)}
        self.receipts, self.untrusted = {}, {}
        for host, share in shares.items():
            for receipt in (share.get("collect") or {}).get("receipts", []):
                self.receipts.setdefault(receipt["cell"], []).append(receipt)
        self.gone = {
            pod for share in shares.values() for pod in (share.get("collect") or {}).get("gone", [])
        }
        for end in self.ends.values():
            control = end["id"] if end["external"] else f"{end['host']}/@{end['network']}"
            family = "6" if end["external"] and not end["addresses"]["4"] else "4"
            self.untrusted[end["id"]] = self._doubt(
                end["host"], end["pod"], end["interface"], control, family
            )
        for node in cells.node_addresses(facts):
            self.untrusted[node["id"] + node["family"]] = self._doubt(
                node["host"], node["host"], "", node["id"], node["family"]
            )
        senders = {fact["host"] for fact in facts} | ({cells.OUTSIDE} if self.outside else set())
        self.mute = {
            host: self._mute(
                host, list(cells.cells(plan, facts, per_host, host, cluster, host == cells.OUTSIDE))
            )
            for host in senders
        }

    def _doubt(self, host, listener, interface, control, family):
        """Return why silence of a listener proves nothing ("" if it does)."""
        collected = self.shares.get(host, {}).get("collect")
        if not collected:
            return f"the listeners of {host} were not collected"
        if not collected["alive"]:
            return f"the listener of {host} had ended before the measurement was over"
        for when in ("begin", "end"):
            heard = self.receipts.get("|".join(("control-" + when, family, control)), [])
            if not any(
                (receipt["at"], receipt["interface"]) == (listener, interface) for receipt in heard
            ):
                return (
                    f"{' '.join(filter(None, (listener, interface)))} did not hear its control at"
                    f" the {when}"
                )
        if collected["drops"].get(listener):
            return f"{listener} lost {collected['drops'][listener]} frames for want of room"
        return ""

    def in_reach(self, cell):
        """False for what was sent from outside to a host that cannot be reached from there at all."""
        return (
            cell["kind"] != "outside"
            or "|".join(("control-outside", cell["family"], cell["to_host"])) in self.receipts
        )

    def out_of_reach(self):
        """Return the sentences on what was not tried from outside."""
        sent = (self.shares.get(cells.OUTSIDE) or {}).get("send")
        if not sent:
            return []
        if sent["skipped"]:
            return [sent["skipped"]]
        heard = {
            name.split("|")[2] for name in self.receipts if name.startswith("control-outside|")
        }
        missed = sorted({end["host"] for end in self.ends.values()} - heard)
        return [
            f"Nothing from the controller arrives at {host}, so nobody outside tried its tunnels."
            for host in missed
        ]

    def _mute(self, host, wanted):
        """Return why what host sent proves nothing ("" if it does); wanted: the cells it should
        have sent.
        """
        share = self.shares.get(host, {})
        sent = share.get("send")
        if not sent:
            return f"{host} sent nothing"
        if sent["digest"] != sender.digest(wanted):
            return f"{host} sent another list of tokens than the one expected"
        before, after = (
            (share.get(part) or {}).get("table_fulls") for part in ("listen", "collect")
        )
        if before is not None and after is not None and after > before:
            return (
                f"the neighbour table of {host} overflowed {after - before} times"
                " (net.ipv4.neigh.default.gc_thresh3)"
            )
        return ""

    def judge(self, cell):
        """Return the cell with "verdict", "reason", "outcome", "evidence"."""
        sent = self.shares.get(cell["from_host"], {}).get("send") or {}
        heard = self.receipts.get(
            cell["id"] if cell["kind"] != "l2" else "|".join(("l2", cell["family"], cell["from"])),
            [],
        )
        there = [receipt for receipt in heard if self._is_at(receipt, cell)]
        elsewhere = [
            receipt
            for receipt in heard
            if receipt not in there and not self._passing(receipt, cell)
        ]
        answers = sent.get("answers", {}).get(cell["id"], [])
        error = sent.get("errors", {}).get(cell["id"], "")
        verdict, reason = self._verdict(cell, there, elsewhere, answers, error)
        went = self._went(cell)
        if went and (
            verdict in (BLOCKED, INCONCLUSIVE)
            or (cell["expected"] == "reached" and verdict != REACHED)
        ):  # what must not arrive and did is a leak
            verdict, reason = INCONCLUSIVE, f"{went} went away while it was measured"
        sources = sorted({receipt["source"] for receipt in there})
        outcome = "as planned"
        if verdict == INCONCLUSIVE:
            outcome = "inconclusive"
        elif cell["expected"] == "blocked" and verdict != BLOCKED:
            outcome = "leak"
        elif cell["expected"] == "reached":
            rewritten = (
                [source for source in sources if source not in self._true_sources(cell)]
                if cell["kind"] in ("unicast", "full", "natural")
                else []
            )
            if rewritten:
                outcome, reason = (
                    "broken",
                    f"the receiver saw the source {', '.join(rewritten)} instead of the pod's own",
                )
            elif verdict != REACHED and not (
                verdict == ONE_WAY and cell["from_network"] != cell["to_network"]
            ):
                outcome = "broken"
        evidence = {
            "answers": answers,
            "sources": sources,
            "elsewhere": sorted(
                {f"{receipt['at']} {receipt['interface']}" for receipt in elsewhere}
            ),
        }
        return dict(cell, verdict=verdict, reason=reason, outcome=outcome, evidence=evidence)

    def _verdict(self, cell, there, elsewhere, answers, error):
        receiver = cell["to"].rsplit("/", 1)[0] if cell["kind"] != "node" else cell["to_host"]
        redirected = cell["kind"] in ("service", "port")
        imposters = sorted(
            {
                answer["by"]
                for answer in answers
                if answer["channel"] == "udp" and answer["by"] != receiver
            }
        )
        if imposters:
            return WRONG_PEER, f"answered by {', '.join(imposters)}"
        if answers and (
            there or cell["kind"] in ("node", "arp") or (redirected and not cell["variant"]["ends"])
        ):
            return (
                REACHED,
                f"answered ({', '.join(sorted({answer['channel'] for answer in answers}))})",
            )
        if (
            there
            and cell["expected"] == "reached"
            and not self.shares.get(cell["from_host"], {}).get("send")
        ):
            return INCONCLUSIVE, f"{cell['from_host']} gave no account of the answers"
        if there:
            if cell["kind"] in ANSWERED_KINDS + ("node",) and not (
                cell["kind"] in ("unicast", "full") and cell["variant"].get("mac")
            ):
                return ONE_WAY, "the token arrived, no answer came back"
            return REACHED, "the token arrived"
        if elsewhere:
            return (
                WRONG_PEER,
                f"the token arrived at {elsewhere[0]['at']} {elsewhere[0]['interface']}",
            )
        if answers and not redirected:
            return INCONCLUSIVE, "answered, but the receiver did not note the token"
        mute = self.mute.get(cell["from_host"], f"{cell['from_host']} sent nothing")
        if mute:
            return INCONCLUSIVE, mute
        if error in NO_ROUTE and (cell["kind"] == "natural" or cell["expected"] == "reached"):
            return BLOCKED, f"the pod has no route there ({error})"
        if error:
            return (
                BLOCKED if cell["expected"] == "reached" else INCONCLUSIVE
            ), f"the sender could not send: {error}"
        listeners = (
            cell["variant"]["ends"]
            if redirected
            else [cell["to"] if cell["kind"] != "node" else cell["to"] + cell["family"]]
        )
        doubt = next(filter(None, (self.untrusted.get(listener, "") for listener in listeners)), "")
        if doubt:
            return INCONCLUSIVE, doubt
        if redirected and answers:  # by the host itself, or by whoever has that address outside
            return (
                WRONG_PEER if cell["expected"] == "reached" else BLOCKED
            ), "answered, but by no endpoint: none of them heard it"
        if not self._seen_sending(cell):
            return INCONCLUSIVE, "the sender's host never saw such a frame leave the pod"
        return BLOCKED, "sent, listened for, and not heard"

    def _went(self, cell):
        """Return the pod of the cell that was stopped during the measurement, "" if none was."""
        pods = [
            end.rsplit("/", 1)[0]
            for end in [cell["from"], cell["to"]] + cell["variant"].get("ends", [])
        ]
        pods.append(f"{cell['from_host']}/{cell['variant'].get('via')}")
        return next((pod for pod in pods if pod in self.gone), "")

    def _seen_sending(self, cell):
        """True if the sender's host saw frames of this kind (of any, for those that carry the token
        in another shape) come out of the sender's interface.
        """
        witnessed = (self.shares[cell["from_host"]].get("collect") or {}).get("witnessed", {})
        if cell["kind"] == "outside":
            return True  # its control arrived, see in_reach()
        if cell["kind"] in ("inject", "arp"):
            return any(name.endswith("|" + cell["from"]) for name in witnessed)
        return witnessed.get(f"{cell['kind']}|{cell['from']}", 0) > 0

    def _is_at(self, receipt, cell):
        if cell["kind"] == "node":
            return receipt["at"] == cell["to_host"] and receipt["address"] == cell["address"]
        if cell["kind"] in ("service", "port"):  # any endpoint, also one that came meanwhile
            end = self.ends.get(f"{receipt['at']}/{receipt['interface']}")
            return end is not None and end["network"] == cell["to_network"]
        return f"{receipt['at']}/{receipt['interface']}" == cell["to"]

    def _passing(self, receipt, cell):
        """True for receipts that say nothing about this cell: a broadcast has many, and a relay's
        first hop is on the sender's own network.
        """
        if cell["kind"] == "l2":
            return True
        end = self.ends.get(f"{receipt['at']}/{receipt['interface']}")
        return (
            cell["kind"] == "relay" and end is not None and end["network"] == cell["from_network"]
        )

    def _true_sources(self, cell):
        if cell["source"]:
            return [cell["source"]]
        pod = cell["from"].rsplit("/", 1)[0]
        return [
            end["addresses"][cell["family"]]
            for end in self.ends.values()
            if end["pod"] == pod and end["network"] == cell["to_network"]
        ] or [end["addresses"][cell["family"]] for end in self.ends.values() if end["pod"] == pod]

    def unplanned(self, judged):
        """Return a cell for every broadcast that was heard where no cell expected a listener: on
        another host.
        """
        planned = {
            (cell["family"], cell["from"], cell["to"]) for cell in judged if cell["kind"] == "l2"
        }
        found = []
        for name, receipts in sorted(self.receipts.items()):
            words = name.split("|")
            for receipt in receipts if words[0] == "l2" else ():
                at = self.ends.get(f"{receipt['at']}/{receipt['interface']}")
                origin = self.ends.get(words[2])
                if (
                    not at
                    or not origin
                    or (at["pod"] == origin["pod"] and at["network"] == origin["network"])
                    or (words[1], words[2], at["id"]) in planned
                ):
                    continue
                found.append(
                    {
                        "id": f"{name}|{at['id']}",
                        "kind": "l2",
                        "family": words[1],
                        "from": words[2],
                        "to": at["id"],
                        "from_network": origin["network"],
                        "to_network": at["network"],
                        "from_host": origin["host"],
                        "to_host": at["host"],
                        "expected": "blocked",
                        "source": None,
                        "address": None,
                        "variant": {},
                        "verdict": REACHED,
                        "reason": "a broadcast arrived",
                        "outcome": "leak",
                        "evidence": {
                            "answers": [],
                            "sources": [receipt["source"]],
                            "elsewhere": [],
                        },
                    }
                )
        return found


def _way(cell):
    return (
        "forward" if cell["kind"] in ("forced", "spoofed", "natural") else cell["kind"],
        cell["from_host"],
        cell["from_network"],
        cell["to_network"],
    )


def _classify(cell, guarded, small):
    """Add "class" (None if as planned) and "class_name" to a cell.

    guarded: the ways that leak nothing over IPv4; small: the paths that small packets take.
    """
    number = None
    if cell["outcome"] == "leak":
        same_host = cell["from_host"] == cell["to_host"]
        ipv6_alone = cell["family"] == "6" and _way(cell) in guarded
        number = kinds.leak_of(kinds.KINDS[cell["kind"]], same_host, ipv6_alone).number
    elif cell["outcome"] == "broken":
        number = 0
        if cell["kind"] in ("service", "port", "host"):
            number = 26
        elif cell["verdict"] == WRONG_PEER:
            number = 20
        elif "instead of the pod's own" in cell["reason"]:
            number = 4
        elif cell["kind"] == "full" and (cell["family"], cell["from"], cell["to"]) in small:
            number = 21
    elif cell["outcome"] == "inconclusive":
        number = 24
    cell["class"] = number
    cell["class_name"] = leaks.CLASSES[number].name if number is not None else ""


def _group(judged):
    """Return one finding per class of the cells that are not as planned, the worst first; what is
    broken or open is told apart further.
    """
    groups = {}
    for cell in judged:
        apart = {
            "as planned": None,
            "leak": "",
            "broken": cell["to_network"],
            "inconclusive": cell["reason"],
        }[cell["outcome"]]
        if apart is not None:
            groups.setdefault((cell["outcome"], cell["class"], apart), []).append(cell)
    findings = []
    order = {"leak": 0, "broken": 1, "inconclusive": 2}
    for key in sorted(groups, key=lambda item: (order[item[0]], -len(groups[item]), item)):
        outcome, number, members = key[0], key[1], groups[key]
        look = sorted(
            {
                cell["to_host"] if number in LOOK_AT_RECEIVER else cell["from_host"]
                for cell in members
            }
        )
        pairs = [(cell["from_network"], cell["to_network"]) for cell in members]
        source, target = pairs[0] if len(set(pairs)) == 1 else ("one network", "another")
        finding = {
            "outcome": outcome,
            "class": number,
            "class_name": leaks.CLASSES[number].name,
            "hosts": look,
            "pairs": [
                {"from": pair[0], "to": pair[1], "cells": pairs.count(pair)}
                for pair in sorted(set(pairs))
            ],
            "cells": len(members),
            "kinds": sorted({cell["kind"] for cell in members}),
            "families": sorted({cell["family"] for cell in members}),
            "one_way": sum(cell["verdict"] == ONE_WAY for cell in members),
            "example": members[0]["id"],
            "reason": members[0]["reason"],
            "source_rewritten": sum(
                1
                for cell in members
                if cell["kind"] in ("forced", "unicast", "full")
                and set(cell["evidence"]["sources"]) - {cell["source"]}
            ),
            "repair": leaks.repair(
                leaks.CLASSES[number],
                ", ".join(look),
                source,
                target,
                all(cell["kind"] == "spoofed" for cell in members),
            ),
        }
        findings.append(dict(finding, sentence=_sentence(finding, source, target, members[0])))
    return findings


def _sentence(finding, source, target, first):
    text = "%d measurements (%s) from %s to %s %s" % (
        finding["cells"],
        ", ".join(finding["kinds"]),
        source,
        target,
        {
            "leak": "arrived although they must not",
            "broken": "did not arrive as they must",
            "inconclusive": "prove nothing",
        }[finding["outcome"]],
    )
    if finding["one_way"]:
        text += f", {finding['one_way']} of them one-way: unseen by the sender"
    if finding["source_rewritten"]:
        text += f", {finding['source_rewritten']} with another source than was sent (masquerade)"
    return f"{text}. Such as {first['from']} to {first['to']}: {first['reason']}."


def _gaps(plan, facts, shares, expected_hosts, require_pods, known):
    """Return sentences on what the measurement does not cover; any of them makes it inconclusive."""
    seen = {fact["host"] for fact in facts}
    gaps = [f"Host {host} was not reached." for host in sorted(set(expected_hosts) - seen)]
    for fact in facts:
        gaps += [f"{fact['host']}: {problem}" for problem in fact["problems"]]
    for host in sorted(seen):
        share = shares.get(host, {})
        gaps += [
            f"{host} took no part in the {part} phase."
            for part in ("listen", "send", "collect")
            if not share.get(part)
        ]
        gaps += list((share.get("listen") or {}).get("problems", []))
    present = {end["network"] for end in known.ends.values()}
    if not present:
        gaps.append("No pod is attached to any network, so nothing could be measured.")
    elif require_pods:
        gaps += [
            f"No pod is attached to network {network['name']}, so its isolation was not measured."
            for network in plan["networks"]
            if network["name"] not in present
        ]
    return gaps


def _unseen(plan, facts, cluster, after):
    """Return a sentence for each pod that the API says runs, before and after the measurement, on a
    host where it was not found attached to anything.
    """
    if (
        not cluster
        or not after
        or not any(network["attach"] == "all" for network in plan["networks"])
    ):
        return []
    found = {pod["uid"] for fact in facts for pod in fact["pods"]}
    before = {one["uid"] for one in cluster["pods"] if one["running"]}
    hosts = {fact.get("node_name", fact["host"]): fact["host"] for fact in facts}
    return [
        f"Pod {one['label']} runs on {hosts[one['node']]}, as the API says, but is attached to no"
        " network of the plan. If it is older than the networks, delete it so that it is made"
        " anew."
        for one in after["pods"]
        if one["running"]
        and not one["host_network"]
        and one["node"] in hosts
        and one["uid"] in before
        and one["uid"] not in found
    ]


def _redirected(judged, cluster):
    """Return the sentences on Services and published ports that were not tried."""
    if not cluster:
        return []
    names = {kind: {item["name"] for item in cluster[kind + "s"]} for kind in ("service", "port")}
    tried = {
        kind: {cell["to"].split("/", 1)[1] for cell in judged if cell["kind"] == kind}
        for kind in names
    }
    left = {kind: sorted(names[kind] - tried[kind]) for kind in names}
    return [
        f"Not tried, as nothing is promised of them or their endpoints are not known here: {what}"
        f" {', '.join(left[kind][:5] + ['...'] * (len(left[kind]) > 5))}."
        for kind, what in (("service", "Service"), ("port", "published port"))
        if left[kind]
    ]


def _notes(plan, judged):
    """Return sentences on what no pod could show; they do not change the verdict, but limit what it
    says.
    """
    inside = {cell["to_network"] for cell in judged if cell["kind"] == "unicast"}
    across = {
        cell["to_network"]
        for cell in judged
        if cell["kind"] == "unicast" and cell["from_host"] != cell["to_host"]
    }
    between = {
        (cell["from_network"], cell["to_network"])
        for cell in judged
        if cell["kind"] in ("forced", "natural")
    }
    notes = []
    for network in [network["name"] for network in plan["networks"]]:
        if network not in inside:
            notes.append(f"Network {network} has no two pods, so nothing was measured inside it.")
        elif network not in across:
            notes.append(
                f"All pods of network {network} are on one host, so it was not measured across"
                " hosts."
            )
    notes += [
        "No pod on {} has another on {} to reach for: only the hosts' own addresses were tried.".format(
            *tuple(pair)
        )
        for pair in plan["blocked"]
        if tuple(pair) not in between
    ]
    return notes


def _overall(counts, gaps):
    if counts["leak"]:
        return "leaks"
    if counts["broken"] or counts["deviations"]:
        return "broken"
    return "inconclusive" if counts["inconclusive"] or gaps else "as_planned"


def _headline(verdict, counts, gaps, notes, judged, facts):
    pods = sum(len(fact["pods"]) for fact in facts)
    if verdict == "leaks":
        return (
            f"The networks are not isolated: {counts['leak']} of {len(judged)} measurements arrived"
            " where they must not."
        )
    if verdict == "broken":
        return (
            f"No leak was seen, but {counts['broken']} measurements failed and"
            f" {counts['deviations']} facts are not as planned."
        )
    if verdict == "inconclusive":
        return (
            f"Not proven: {counts['inconclusive']} of {len(judged)} measurements say nothing, and"
            f" there are {len(gaps)} gaps."
        )
    return (
        f"{pods} pods on {len(facts)} hosts, {len(judged)} measurements: each network is connected"
        " inside and isolated from the"
        f" others{', as far as there are pods to show it' if notes else ''}."
    )


def _external(plan):
    """Return the network of another CNI as a list of one, if anything is kept apart from it."""
    external = plan.get("external")
    if not external or not any(external["name"] in pair for pair in plan["blocked"]):
        return []
    return [
        dict(external, default=True, external=True, bridge=None, backend={"type": "another CNI"})
    ]


def _network(network):
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


def _hosts(expected_hosts, facts, shares):
    known = {fact["host"]: fact for fact in facts}
    return [
        {
            "name": host,
            "reached": host in known,
            "pods": len(known[host]["pods"]) if host in known else 0,
            "node": known[host]["node"] if host in known else None,
            "host_pods": (
                [pod["label"] for pod in known[host].get("host_pods", [])] if host in known else []
            ),
            "seconds": (shares.get(host, {}).get("send") or {}).get("seconds"),
            "sent": (shares.get(host, {}).get("send") or {}).get("sent"),
        }
        for host in sorted(set(expected_hosts) | set(known))
    ]


def _pods(facts):
    return [
        dict(pod, id=f"{fact['host']}/{pod['label']}", host=fact["host"])
        for fact in facts
        for pod in fact["pods"]
    ]


ORDER = ("leak", "broken", "inconclusive", "reached", "blocked")


def _states(judged, key):
    """Return {key(cell): {"state": the worst of ORDER, "cells", "leak", "broken", "inconclusive"}}."""
    table = {}
    for cell in judged:
        entry = table.setdefault(
            key(cell), {"state": "blocked", "cells": 0, "leak": 0, "broken": 0, "inconclusive": 0}
        )
        entry["cells"] += 1
        state = cell["outcome"] if cell["outcome"] != "as planned" else cell["expected"]
        if state in entry:
            entry[state] += 1
        entry["state"] = min(entry["state"], state, key=ORDER.index)
    return table


def _network_matrix(plan, judged):
    """Return rows [{"from", "to", "state", counts...}] for every ordered pair of networks; state
    "unmeasured" without a cell.
    """
    table = _states(judged, lambda cell: (cell["from_network"], cell["to_network"]))
    names = [network["name"] for network in plan["networks"] + _external(plan)]
    empty = {"state": "unmeasured", "cells": 0, "leak": 0, "broken": 0, "inconclusive": 0}
    return [
        dict(table.get((source, target), empty), **{"from": source, "to": target})
        for source in names
        for target in names
    ]


def _pod_matrix(judged):
    """Return the same by pair of pod interfaces; node addresses are columns of their own
    ("host/@network").
    """
    table = _states(
        judged,
        lambda cell: (
            cell["from"],
            cell["to"] if cell["kind"] != "node" else cell["to"].rsplit("/", 1)[0],
        ),
    )
    return [
        dict(entry, **{"from": pair[0], "to": pair[1]}) for pair, entry in sorted(table.items())
    ]


def _coverage(judged, compared, per_host):
    rows = []
    for kind in kinds.KINDS:
        mine = [cell for cell in judged if cell["kind"] == kind]
        if not mine and not kinds.KINDS[kind].everywhere:
            continue
        rows.append(
            {
                "kind": kind,
                "planned": len(mine),
                "measured": sum(cell["outcome"] != "inconclusive" for cell in mine),
                "expected_reached": sum(cell["expected"] == "reached" for cell in mine),
                "expected_blocked": sum(cell["expected"] == "blocked" for cell in mine),
                "as_planned": sum(cell["outcome"] == "as planned" for cell in mine),
            }
        )
    return {
        "planned": len(judged),
        "measured": sum(cell["outcome"] != "inconclusive" for cell in judged),
        "inconclusive": sum(cell["outcome"] == "inconclusive" for cell in judged),
        "facts_compared": compared,
        "receivers_per_host": per_host or "all",
        "kinds": rows,
    }
