# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was sent more often than it came, and what came more often than it was sent."""

from __future__ import annotations

from ansible_collections.multinet.flannel.plugins.module_utils._observe import leaks, losses

from .world import classes, evaluate, load, perfect

UNICAST = "unicast|4|h1/a/eth0|h2/a/eth0"
FULL = "full|4|h1/a/eth0|h2/a/eth0"


def measured(sent=None, came=None):
    """The report on a measurement in which tokens were sent, or came, so often more than once."""
    plan, facts = load()
    shares = perfect(plan, facts)
    shares["h1"]["send"]["again"] = sent or {}
    shares["h2"]["collect"]["again"] = came or {}
    return evaluate(plan, facts, shares)


def test_what_was_sent_twice_and_came_twice_is_as_planned():
    came = {f"{UNICAST} {protocol}": 2 for protocol in ("udp", "tcp", "icmp")}
    report = measured({UNICAST: 2}, came)
    assert report["verdict"] == "as_planned" and not [n for n in report["notes"] if "sent" in n]


def test_what_was_sent_three_times_and_came_once_got_lost():
    report = measured({UNICAST: 2})
    assert report["verdict"] == "broken" and classes(report) == {leaks.LOSSY}
    (found,) = report["findings"]
    assert found["hosts"] == ["h1", "h2"]
    assert found["sentence"].startswith(
        "The packets lost on the way from h1 to h2 in blue are 6 of "
    )
    assert found["sentence"].endswith(", all between h1/a and h2/a, expected 0.")


def test_a_pod_that_all_losses_are_of_is_named():
    another = UNICAST.replace("h1/a", "h1/b")
    (found,) = measured({UNICAST: 2, another: 2})["findings"]
    assert found["sentence"].endswith(", all from or to h2/a, expected 0.")


def test_a_packet_or_two_are_a_note():
    report = measured({FULL: 2})
    assert report["verdict"] == "as_planned"
    (note,) = [one for one in report["notes"] if "got lost" in one]
    assert note.startswith("On the way from h1 to h2 in blue, 2 packets got lost; ")


def test_what_came_more_often_than_it_was_sent():
    report = measured(came={f"{UNICAST} {protocol}": 2 for protocol in ("udp", "tcp", "icmp")})
    (found,) = report["findings"]
    assert classes(report) == {leaks.LOSSY} and "came again" in found["sentence"]


def test_many_and_a_share():
    assert losses.Way("h1", "h2", "blue", 50, 5, 0).is_bad(5)
    assert not losses.Way("h1", "h2", "blue", 51, 5, 0).is_bad(5)
    assert not losses.Way("h1", "h2", "blue", 8, 4, 0).is_bad(4)
