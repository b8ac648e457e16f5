# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each cell's verdict, from what its sender and all receivers saw.

Pure, on the controller. A cell is
- reached: the receiver has the token on the right interface, and its answer came back where one was
  asked for;
- one-way: the receiver has the token, but the sender never saw an answer (a sender alone would call
  it isolated);
- wrong-peer: somebody else has the token, or answered;
- blocked-proven: the sender sent, the receiver was listening before and after, and nothing came;
- inconclusive: anything else. Never as planned.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from . import kinds, ways_out
from .cells import Cell, token_name, wants_answer
from .ends import End
from .evidence import Evidence
from .sender import TOO_LATE

REACHED, ONE_WAY, WRONG_PEER = "reached", "one-way", "wrong-peer"
BLOCKED, INCONCLUSIVE = "blocked-proven", "inconclusive"

# A cell's outcome: its verdict compared with the plan, or that it has none.
AS_PLANNED, LEAK, BROKEN = "as planned", "leak", "broken"
OUTCOMES = (AS_PLANNED, LEAK, BROKEN, INCONCLUSIVE)

NO_ROUTE = ("Network is unreachable", "No route to host")
IN_PART = " arrived, "  # by some protocols
REFUSED = "Operation not permitted"  # by netfilter where it was sent, which is the pod's own
REWRITTEN = "instead of the pod's own"  # in the reason of a cell whose source was rewritten


class Ruling(NamedTuple):
    """A verdict, and why."""

    verdict: str
    reason: str


class _Seen(NamedTuple):
    """What there is to say about one cell."""

    cell: Cell
    kind: kinds.Kind
    there: list[dict[str, Any]]  # receipts of its token by its receiver
    elsewhere: list[dict[str, Any]]  # and by others
    answers: list[dict[str, str]]
    error: str  # why the sender could not send
    evidence: Evidence

    @property
    def must_arrive(self) -> bool:
        return self.cell["expected"] == "reached"


def judge(cell: Cell, evidence: Evidence) -> Cell:
    """Return the cell with "verdict", "reason", "outcome", "evidence"."""
    kind = kinds.KINDS[cell["kind"]]
    sent = evidence.measurement.sent(cell["from_host"])
    answers = sent.get("answers", {}).get(cell["id"], [])
    error = sent.get("errors", {}).get(cell["id"], "")
    there, elsewhere = evidence.heard(cell)
    seen = _Seen(cell, kind, there, elsewhere, answers, error, evidence)
    verdict, reason = _rule(seen)
    stopped = evidence.stopped(cell)
    # What must not arrive and did is a leak, whoever has gone since.
    if stopped and (
        verdict in (BLOCKED, INCONCLUSIVE) or (seen.must_arrive and verdict != REACHED)
    ):
        verdict, reason = INCONCLUSIVE, f"{stopped} went away while it was measured"
    sources = sorted({receipt["source"] for receipt in there})
    outcome = AS_PLANNED
    by = evidence.handed_on.get(token_name(cell), "") if there else ""
    if verdict == INCONCLUSIVE:
        outcome = INCONCLUSIVE
    elif not seen.must_arrive:
        outcome = AS_PLANNED if verdict == BLOCKED else LEAK
        reason += _handed_on(token_name(cell), evidence) * bool(there)
    else:
        rewritten = _other_sources(cell, there, evidence) if kind.keeps_source else set()
        # Into a network that it may reach, a pod needs no way back; out of all, it does.
        one_way_is_enough = cell["from_network"] != cell["to_network"] and kind is not kinds.OUT
        if rewritten and kind is kinds.OUT:
            outcome, reason = BROKEN, _not_as_node(seen, rewritten, verdict, reason)
        elif rewritten:
            outcome = BROKEN
            reason = f"the receiver saw the source {', '.join(sorted(rewritten))} {REWRITTEN}"
        elif verdict != REACHED and not (verdict == ONE_WAY and one_way_is_enough):
            outcome = BROKEN
        changed = evidence.never_left(cell) if kind is kinds.OUT and outcome == BROKEN else ""
        if changed:  # by the pod, which is no affair of the host
            outcome, verdict, reason = INCONCLUSIVE, INCONCLUSIVE, changed
    too_big, told = evidence.said_too_big(cell) if outcome == BROKEN else ("", "")
    reason += f"; {told}" * bool(told)
    return dict(
        cell,
        verdict=verdict,
        reason=reason,
        outcome=outcome,
        evidence={
            "answers": answers,
            "sources": sources,
            "elsewhere": sorted({_place(receipt) for receipt in elsewhere}),
            "handed_on": by,
            "miswired": evidence.miswired(cell),
            "too_big": too_big,
        },
    )


def _other_sources(cell: Cell, there: list[dict[str, Any]], evidence: Evidence) -> set[str]:
    """Return the sources that a cell's token was heard with and that are not its sender's.

    A Service that leads a pod back to itself has to be in another's name, and kube-proxy may be
    told to do so with all.
    """
    heard = {receipt["source"] for receipt in there}
    if cell["kind"] == kinds.SERVICE.name:
        if evidence.measurement.hides_all:
            return set()
        pod = cell["from"].rsplit("/", 1)[0]
        heard = {one["source"] for one in there if one["at"] != pod}
    return heard - set(evidence.true_sources(cell))


def _not_as_node(seen: _Seen, sources: set[str], verdict: str, reason: str) -> str:
    """Return what was wrong with a way out by which a token came in another name than the node's,
    and with what did not come.
    """
    others = {one["protocol"] for one in seen.there if one["source"] in sources}
    own = ", ".join(map(str, seen.evidence.true_sources(seen.cell)))
    text = (
        f"{_named(others)} left with another source than the node's: {seen.cell['to_host']} saw"
        f" {', '.join(sorted(sources))} instead of the node's {own}"
    )
    return f"{text}; {reason}" if verdict == BLOCKED else text


def _named(found: Collection[str]) -> str:
    return ways_out.named(one for one in kinds.OUT.protocols if one in found)


def _handed_on(token: str, evidence: Evidence) -> str:
    by = evidence.handed_on.get(token)
    return f"; {by} handed it on" if by else ""


def _place(receipt: dict[str, Any]) -> str:
    return f"{receipt['at']} {receipt['interface']}"


def _rule(seen: _Seen) -> Ruling:
    """What was heard stands, whatever may be doubted; then silence has to be worth something: the
    sender sent, the listener listened, nobody unknown answered, and the frame left the pod.
    """
    return (
        _sent_otherwise(seen)
        or _by_a_way_out(seen)
        or _heard(seen)
        or _not_sent(seen)
        or _not_listened_for(seen)
        or _answered_by_no_endpoint(seen)
        or _never_left(seen)
        or Ruling(BLOCKED, _kept_back(seen) or "sent, listened for, and not heard")
    )


def _by_a_way_out(seen: _Seen) -> Ruling | None:
    """Some of what a pod sent out of the networks came to the other node: what its own host sends
    there tells what else must have, and what must be answered.
    """
    if seen.kind is not kinds.OUT or not seen.there or _strangers(seen):
        return None
    host = seen.cell["from_host"]
    way = seen.evidence.way_out(seen.cell)
    if way.missing:
        return _not_sent(seen) or Ruling(BLOCKED, _kept_back(seen))
    if not seen.evidence.measurement.sent(host):
        return Ruling(INCONCLUSIVE, f"{host} did not report the answers")
    name = ways_out.control_name(seen.cell)
    limited = {one for one in way.answerable if (name, one) in seen.evidence.limited}
    silent = way.answerable - way.answered - limited
    if silent:
        return Ruling(ONE_WAY, f"the token arrived, no answer came back by {_named(silent)}")
    return Ruling(REACHED, f"arrived by {_named(way.came)}")


def _kept_back(seen: _Seen) -> str:
    """Return what did not get out of the networks, although the pod's host reaches the other node,
    or got there and no further; "" of any other cell.
    """
    if seen.kind is not kinds.OUT:
        return ""
    way, cell = seen.evidence.way_out(seen.cell), seen.cell
    arrived = [one for one in way.measured if one not in way.missing]
    lost = [one for one in way.missing if one not in way.came]
    refused = [one for one in way.missing if one in way.came]
    does = f"what {cell['from_host']} itself sends to {cell['to_host']} does"
    texts = [f"{_named(lost)} did not get out: {does}"] if lost else []
    if refused:
        came = f"{_named(refused)} came to {cell['to_host']}, and no program there got it"
        texts.append(came if lost else f"{came}: {does}")
    return "; ".join(texts) + (f", and the pod's {_named(arrived)}, too" if arrived else "")


def _sent_otherwise(seen: _Seen) -> Ruling | None:
    """The pod changed what must not arrive, and what came of that is no affair of the host: it
    arrived elsewhere, or by the pod's own way into the receiver's network.
    """
    if seen.must_arrive or not (seen.answers or seen.there or seen.elsewhere):
        return None
    why = seen.evidence.never_left(seen.cell)
    by_host = (seen.there or seen.answers) and not _strangers(seen)
    if not why or (by_host and not seen.evidence.is_on(seen.cell)):
        return None
    return Ruling(INCONCLUSIVE, why)


def _heard(seen: _Seen) -> Ruling | None:
    """Somebody has the token, or has answered."""
    cell, kind, answers = seen.cell, seen.kind, seen.answers
    if not (answers or seen.there or seen.elsewhere):
        return None
    strangers = _strangers(seen)
    if strangers:
        return Ruling(WRONG_PEER, f"answered by {', '.join(strangers)}")
    if seen.must_arrive and (seen.there or seen.elsewhere):
        ruling = _arrived_in_part(seen)
        if ruling:
            return ruling
    by_a_host = kind.receiver == kinds.ENDPOINT and not cell["variant"]["ends"]
    channels = sorted({answer["channel"] for answer in answers})
    # Of what must arrive, the listener's own answer; a filter of the pod may keep back the kernel's
    answered = "udp" in channels or not seen.must_arrive or "udp" not in kind.protocols
    if answers and answered and (seen.there or kind.answer_suffices or by_a_host):
        return Ruling(REACHED, kind.arrives or f"answered ({', '.join(channels)})")
    if seen.there:
        if seen.must_arrive and not seen.evidence.measurement.sent(cell["from_host"]):
            return Ruling(INCONCLUSIVE, f"{cell['from_host']} did not report the answers")
        some = _some(seen)
        if wants_answer(cell):
            return Ruling(ONE_WAY, f"the token arrived{some}, no answer came back")
        return Ruling(REACHED, kind.arrives or f"the token arrived{some}")
    if seen.elsewhere:
        return Ruling(WRONG_PEER, f"the token arrived at {_place(seen.elsewhere[0])}")
    if kind.receiver != kinds.ENDPOINT:
        return Ruling(INCONCLUSIVE, "answered, but the receiver did not note the token")
    return None


def _some(seen: _Seen) -> str:
    """Return by which protocols a token arrived, "" if by all that it was sent by."""
    arrived = {receipt["protocol"] for receipt in seen.there}
    return "" if arrived >= set(seen.kind.protocols) else f" ({', '.join(sorted(arrived))})"


def _strangers(seen: _Seen) -> list[str]:
    """Return who answered in the receiver's place."""
    cell = seen.cell
    node = seen.kind.receiver == kinds.NODE
    receiver = cell["to_host"] if node else cell["to"].rsplit("/", 1)[0]
    found = {answer["by"] for answer in seen.answers if answer["channel"] == "udp"} - {receiver}
    for answer in seen.answers:
        end = seen.evidence.by_mac.get(answer["by"]) if answer["channel"] == "arp" else None
        if end and end["pod"] != receiver:
            found.add(end["id"])
    return sorted(found)


def _arrived_in_part(seen: _Seen) -> Ruling | None:
    """A token that must arrive did so by some protocols only, or was delivered and never seen."""
    inside = {receipt["protocol"] for receipt in seen.there if receipt["inside"]}
    given = {receipt["protocol"] for receipt in seen.there} - inside
    if given and inside < set(seen.kind.protocols):
        told = ", ".join(sorted(given))
        return Ruling(BLOCKED, f"its host delivered it ({told}), and the pod never saw it")
    missing = [protocol for protocol in seen.kind.protocols if protocol not in inside]
    if not inside or not missing:
        return None
    return Ruling(BLOCKED, f"{', '.join(sorted(inside))}{IN_PART}{', '.join(missing)} did not")


def _not_sent(seen: _Seen) -> Ruling | None:
    """The sender's account is none, or it says that the kernel refused."""
    host = seen.cell["from_host"]
    mute = seen.evidence.mute.get(host, f"{host} sent nothing")
    if mute:
        return Ruling(INCONCLUSIVE, mute)
    routed = seen.must_arrive or seen.kind.carrier == kinds.ORDINARY
    if seen.error == TOO_LATE:
        return Ruling(INCONCLUSIVE, f"{TOO_LATE} it was sent")
    if seen.error in NO_ROUTE and routed:
        return Ruling(BLOCKED, f"the pod has no route there ({seen.error})")
    if seen.error:
        verdict = BLOCKED if seen.must_arrive else INCONCLUSIVE
        by = " by a filter in the pod" * (seen.error == REFUSED and seen.kind is not kinds.HOST)
        return Ruling(verdict, f"the sender could not send: {seen.error}{by}")
    return None


def _not_listened_for(seen: _Seen) -> Ruling | None:
    doubt = seen.evidence.doubt_of(seen.cell)
    return Ruling(INCONCLUSIVE, doubt) if doubt else None


def _answered_by_no_endpoint(seen: _Seen) -> Ruling | None:
    """By the host itself, or by whoever has a Service's address outside."""
    if not seen.answers or seen.kind.receiver != kinds.ENDPOINT:
        return None
    verdict = WRONG_PEER if seen.must_arrive else BLOCKED
    return Ruling(verdict, "answered, but not by an endpoint: no endpoint heard it")


def _never_left(seen: _Seen) -> Ruling | None:
    why = seen.evidence.never_left(seen.cell)
    return Ruling(INCONCLUSIVE, why) if why else None


def unplanned(judged: Iterable[Cell], evidence: Evidence) -> list[Cell]:
    """Return a cell for every token that was heard where no cell expected a listener: a broadcast
    on another host, and a copy in another network of what must arrive in its own.
    """
    planned = {
        (cell["family"], cell["from"], cell["to"])
        for cell in judged
        if cell["kind"] == kinds.L2.name
    }
    found = [
        _leaked((kinds.L2.name, family), origin, at, receipt, evidence)
        for family, origin, at, receipt in evidence.strays()
        if (family, origin["id"], at["id"]) not in planned
    ]
    for cell, at, receipt in evidence.copies():
        origin = evidence.ends.get(cell["from"])
        if origin:
            way = (cell["kind"], cell["family"])
            copy = _leaked(way, origin, at, receipt, evidence)
            reason = f"a copy arrived of a packet for {cell['to']}"
            told = {"source": cell["source"], "variant": {"copy_of": cell["to"]}, "reason": reason}
            found.append(dict(copy, **told))
    return found


def _leaked(
    way: tuple[str, str], origin: End, at: End, receipt: dict[str, Any], evidence: Evidence
) -> Cell:
    """Return the cell of a token that nobody expected at an end. way: kind and family."""
    return {
        "id": f"{receipt['cell']}|{at['id']}",
        "kind": way[0],
        "family": way[1],
        "from": origin["id"],
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
        "reason": "a broadcast arrived" + _handed_on(receipt["cell"], evidence),
        "outcome": LEAK,
        "evidence": {
            "answers": [],
            "sources": [receipt["source"]],
            "elsewhere": [],
            "handed_on": evidence.handed_on.get(receipt["cell"], ""),
            "miswired": evidence.miswired({"from": origin["id"], "to": at["id"]}),
            "too_big": "",
        },
    }
