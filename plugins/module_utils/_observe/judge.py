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

from collections.abc import Iterable
from typing import Any, NamedTuple

from . import kinds
from .cells import Cell, wants_answer
from .evidence import Evidence

REACHED, ONE_WAY, WRONG_PEER = "reached", "one-way", "wrong-peer"
BLOCKED, INCONCLUSIVE = "blocked-proven", "inconclusive"

# A cell's outcome: its verdict compared with the plan, or that it has none.
AS_PLANNED, LEAK, BROKEN = "as planned", "leak", "broken"
OUTCOMES = (AS_PLANNED, LEAK, BROKEN, INCONCLUSIVE)

NO_ROUTE = ("Network is unreachable", "No route to host")
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
    if verdict == INCONCLUSIVE:
        outcome = INCONCLUSIVE
    elif not seen.must_arrive:
        outcome = AS_PLANNED if verdict == BLOCKED else LEAK
    else:
        rewritten = set(sources) - set(evidence.true_sources(cell)) if kind.keeps_source else set()
        # Into a network that it may reach, a pod needs no way back.
        one_way_is_enough = cell["from_network"] != cell["to_network"]
        if rewritten:
            outcome = BROKEN
            reason = f"the receiver saw the source {', '.join(sorted(rewritten))} {REWRITTEN}"
        elif verdict != REACHED and not (verdict == ONE_WAY and one_way_is_enough):
            outcome = BROKEN
    return dict(
        cell,
        verdict=verdict,
        reason=reason,
        outcome=outcome,
        evidence={
            "answers": answers,
            "sources": sources,
            "elsewhere": sorted({_place(receipt) for receipt in elsewhere}),
        },
    )


def _place(receipt: dict[str, Any]) -> str:
    return f"{receipt['at']} {receipt['interface']}"


def _rule(seen: _Seen) -> Ruling:
    """What was heard stands, whatever may be doubted; then silence has to be worth something: the
    sender sent, the listener listened, nobody unknown answered, and the frame left the pod.
    """
    return (
        _heard(seen)
        or _not_sent(seen)
        or _not_listened_for(seen)
        or _answered_by_no_endpoint(seen)
        or _never_left(seen)
        or Ruling(BLOCKED, "sent, listened for, and not heard")
    )


def _heard(seen: _Seen) -> Ruling | None:
    """Somebody has the token, or has answered."""
    cell, kind, answers = seen.cell, seen.kind, seen.answers
    if not (answers or seen.there or seen.elsewhere):
        return None
    receiver = cell["to_host"] if kind.receiver == kinds.NODE else cell["to"].rsplit("/", 1)[0]
    said_by = {answer["by"] for answer in answers if answer["channel"] == "udp"}
    if said_by - {receiver}:
        return Ruling(WRONG_PEER, f"answered by {', '.join(sorted(said_by - {receiver}))}")
    by_a_host = kind.receiver == kinds.ENDPOINT and not cell["variant"]["ends"]
    if answers and (seen.there or kind.answer_suffices or by_a_host):
        channels = sorted({answer["channel"] for answer in answers})
        return Ruling(REACHED, f"answered ({', '.join(channels)})")
    if seen.there:
        if seen.must_arrive and not seen.evidence.measurement.sent(cell["from_host"]):
            return Ruling(INCONCLUSIVE, f"{cell['from_host']} gave no account of the answers")
        if wants_answer(cell):
            return Ruling(ONE_WAY, "the token arrived, no answer came back")
        return Ruling(REACHED, "the token arrived")
    if seen.elsewhere:
        return Ruling(WRONG_PEER, f"the token arrived at {_place(seen.elsewhere[0])}")
    if kind.receiver != kinds.ENDPOINT:
        return Ruling(INCONCLUSIVE, "answered, but the receiver did not note the token")
    return None


def _not_sent(seen: _Seen) -> Ruling | None:
    """The sender's account is none, or it says that the kernel refused."""
    host = seen.cell["from_host"]
    mute = seen.evidence.mute.get(host, f"{host} sent nothing")
    if mute:
        return Ruling(INCONCLUSIVE, mute)
    routed = seen.must_arrive or seen.kind.carrier == kinds.ORDINARY
    if seen.error in NO_ROUTE and routed:
        return Ruling(BLOCKED, f"the pod has no route there ({seen.error})")
    if seen.error:
        verdict = BLOCKED if seen.must_arrive else INCONCLUSIVE
        return Ruling(verdict, f"the sender could not send: {seen.error}")
    return None


def _not_listened_for(seen: _Seen) -> Ruling | None:
    doubt = seen.evidence.doubt_of(seen.cell)
    return Ruling(INCONCLUSIVE, doubt) if doubt else None


def _answered_by_no_endpoint(seen: _Seen) -> Ruling | None:
    """By the host itself, or by whoever has a Service's address outside."""
    if not seen.answers or seen.kind.receiver != kinds.ENDPOINT:
        return None
    verdict = WRONG_PEER if seen.must_arrive else BLOCKED
    return Ruling(verdict, "answered, but by no endpoint: none of them heard it")


def _never_left(seen: _Seen) -> Ruling | None:
    if seen.evidence.left(seen.cell):
        return None
    return Ruling(INCONCLUSIVE, "the sender's host never saw such a frame leave the pod")


def unplanned(judged: Iterable[Cell], evidence: Evidence) -> list[Cell]:
    """Return a cell for every broadcast that was heard where no cell expected a listener: on
    another host.
    """
    planned = {
        (cell["family"], cell["from"], cell["to"])
        for cell in judged
        if cell["kind"] == kinds.L2.name
    }
    return [
        {
            "id": f"{receipt['cell']}|{at['id']}",
            "kind": kinds.L2.name,
            "family": family,
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
            "reason": "a broadcast arrived",
            "outcome": LEAK,
            "evidence": {"answers": [], "sources": [receipt["source"]], "elsewhere": []},
        }
        for family, origin, at, receipt in evidence.strays()
        if (family, origin["id"], at["id"]) not in planned
    ]
