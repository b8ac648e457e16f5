# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What waits to be told to a deck, and what becomes of it. Real HTTP, real playbooks:
tests/integration/test_progress.py.
"""

from __future__ import annotations

import io
import itertools
import json

from ansible_collections.multinet.flannel.plugins.plugin_utils._compass import deck


def telling(host, message, state="INSTALLING"):
    return {"host": host, "state": state, "message": message}


def mailbox(*tellings, end=True):
    box = deck.Mailbox()
    lines = [json.dumps(one) for one in [*tellings, *([{"end": True}] if end else [])]]
    box.read(io.StringIO("\n".join(lines)))
    return box


def all_of(box):
    told = []
    assert deck.send(box, told.append) == ""
    return [(one["host"], one["message"]) for one in told]


def test_only_the_newest_of_a_host_waits_and_the_last_said_is_last():
    box = mailbox(telling("a", "1"), telling("b", "1"), telling("a", "2"), telling("a", "3"))
    assert all_of(box) == [("b", "1"), ("a", "3")]


def test_without_an_end_all_that_were_told_died():
    box = mailbox(telling("a", "1"), telling("b", "done", "SUCCESSFUL"), end=False)
    died = deck.DIED["message"]
    assert all_of(box) == [("a", died), ("b", died)]


def test_half_a_line_is_left_out():
    box = deck.Mailbox()
    box.read(io.StringIO(json.dumps(telling("a", "1")) + '\n{"host": "a", "sta'))
    assert all_of(box) == [("a", deck.DIED["message"])]


def test_the_end_is_told_once():
    box = mailbox(telling("a", "1"))
    box.end(died=True)
    assert all_of(box) == [("a", "1")]


def test_a_host_that_is_refused_holds_up_no_other():
    told, refused = [], iter([True, True])

    def tell(one):
        if one["host"] == "a" and next(refused, False):
            raise deck.DeckError("no")
        told.append(one["host"])

    assert deck.send(mailbox(telling("a", "1"), telling("b", "1")), tell, pause=0) == ""
    assert told == ["b", "a"]


def test_what_the_deck_does_not_take_is_given_up_and_told():
    def tell(one):
        raise deck.DeckError("The deck answers 500.")

    clock = itertools.count()
    box = mailbox(telling("a", "1"))
    assert deck.send(box, tell, last=5, pause=0, now=lambda: next(clock)) == "The deck answers 500."
