# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a sender does not send again, and how long it listens."""

from __future__ import annotations

import collections
import json
import math
import time

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import (
    frames,
    runs_here,
    sender,
)

from .world import load, receipt

NAME = "unicast|4|h1/a/eth0|h1/b/eth0"


def cell(**more):
    known = {"id": NAME, "kind": "unicast", "to": "h1/b/eth0", "expected": "reached"}
    return {**known, "variant": {"mac": "02:00:00:00:00:01"}, **more}


@pytest.mark.parametrize(
    ("arrived", "more", "is_noted"),
    [
        (("udp", "tcp", "icmp"), {}, True),
        (("udp", "tcp"), {}, False),
        (("udp", "tcp", "icmp"), {"expected": "blocked"}, False),
        (("udp", "tcp", "icmp"), {"variant": {}}, False),  # who asks for an answer waits for it
        (("udp", "tcp", "icmp"), {"to": "h1/c/eth0"}, False),
    ],
)
def test_what_a_neighbour_has_noted(arrived, more, is_noted, tmp_path):
    plan, facts = load()
    run = frames.Run("run1", b"key")
    place = tmp_path / f"probe-{run.name}"
    place.mkdir()
    noted = [receipt(NAME, "h1/b", "eth0", "10.1.1.10", protocol=one) for one in arrived]
    lost = dict(receipt(NAME, "h1/b", "eth0", "10.1.1.10", protocol="icmp"), inside=False)
    lines = [json.dumps(one) + "\n" for one in [*noted, lost]]
    (place / "receipts").write_text("".join(lines))
    assert runs_here.directory(str(tmp_path), run.name) == str(place)
    task = sender.Task(run, 47470, plan, facts, "h1", runtime_dir=str(tmp_path))
    assert sender._is_noted(cell(**more), sender._noted_here(task)) is is_noted


def test_late_answers_are_waited_for_as_long_as_some_come(monkeypatch):
    """Those of an emulated arm64 host came seconds after the last round."""
    task = sender.Task(frames.Run("run1", b"key"), 0, {}, [], "h1", late=600)
    by = {"from": "h1/a/eth0", "variant": {}}
    wanted = [cell(id=str(number), **by) for number in range(5)]
    looked: collections.Counter[str] = collections.Counter()

    def is_answered(one):
        looked[one["id"]] += 1
        return looked[one["id"]] > int(one["id"])

    def hear_late(task, answered, until=math.inf):
        sending = sender._Sending(task, wanted)
        monkeypatch.setattr(sending, "is_answered", answered)
        sending.until = min(sending.until, until)
        sending.hear_late()

    hear_late(task, is_answered)
    assert looked == {"0": 1, "1": 2, "2": 3, "3": 4, "4": 5}
    looked.clear()
    hear_late(task._replace(late=0.2), lambda one: False)  # has an end
    hear_late(task, is_answered, time.monotonic())
    assert not looked


@pytest.mark.parametrize(("silent", "again"), [(0, 0), (1, 1), (2, 30), (30, 30)])
def test_a_way_that_lost_much_is_measured_once_more(silent, again, monkeypatch):
    """A node that had just booted lost 6 of 60 packets, in one moment."""
    ways = [("h2", "blue"), ("h2", "red"), ("h3", "blue")]
    wanted = [
        cell(
            **{"id": f"{number} {way}", "from": "h1/a/eth0", "variant": {}},
            to_host=way[0],
            to_network=way[1],
        )
        for way in ways
        for number in range(30)
    ]
    lost = {one["id"] for one in wanted[:silent]}
    task = sender.Task(frames.Run("run1", b"key"), 0, {}, [], "h1")
    sending = sender._Sending(task, wanted)
    monkeypatch.setattr(sending, "is_answered", lambda one: one["id"] not in lost)
    assert sending.due(1) == wanted[:again]
    assert sending.due(2) == wanted[:silent]


class Namespace:
    """A _Seat without sockets: what is answered of cells that were sent from there."""

    def __init__(self, answers):
        self.answers = answers

    def channels(self, name):
        return set(self.answers.get(name, ()))


@pytest.mark.parametrize(
    ("own", "heard", "is_waited_for"),
    [
        (["udp", "tcp", "icmp"], ["udp", "tcp", "icmp"], False),
        (["udp", "tcp", "icmp"], ["udp", "icmp"], True),
        (["udp"], ["udp"], False),  # a firewall lets nothing else in
        ([], ["udp"], False),
        ([], ["tcp"], True),
    ],
)
def test_of_a_way_out_no_answers_are_waited_for_that_the_host_has_not(own, heard, is_waited_for):
    task = sender.Task(frames.Run("run1", b"key"), 0, {}, [], "h1")
    ends = {"from_host": "h1", "to_host": "h2", "family": "4", "from": "h1/a/eth0", "variant": {}}
    way = cell(id="out|4|h1/a/eth0|h2/@host/underlay", kind="out", **ends)
    sending = sender._Sending(task, [])
    sending.ends["h1/a/eth0"] = {"netns": "pod"}
    sending.seats["pod"] = Namespace({way["id"]: heard})
    sending.seats[sender.CONTROLS] = Namespace({"control-out|4|h1|h2": own})
    assert sending._has_all_answers(way) is not is_waited_for
    # while it still sends, it sends once more what is not answered by all
    assert sending.is_answered(way) is (len(heard) == 3)


class Refusing:
    """A socket by which a firewall of the host lets nothing out that has one of these words."""

    def __init__(self, *words):
        self.words, self.sent = words, []

    def sendto(self, data, goal):
        if any(word in data for word in self.words):
            raise PermissionError(1, "Operation not permitted")
        self.sent.append(data)


def test_what_is_refused_by_one_protocol_is_sent_by_the_others(monkeypatch):
    """A host that lets no datagram out said nothing about its ways out by TCP and ICMP."""
    sock = Refusing(b"datagram", b"syn")
    seat = sender._Seat.__new__(sender._Seat)
    seat.port = 47470
    monkeypatch.setattr(seat, "_socket", lambda key: sock, raising=False)
    monkeypatch.setattr(seat, "_token", lambda *of: b"datagram", raising=False)
    monkeypatch.setattr(seat, "_source_of", lambda *of: "192.168.9.1", raising=False)
    both = [("tcp", b"syn"), ("icmp", b"echo")]
    monkeypatch.setattr(seat, "_tcp_and_icmp", lambda *of: both, raising=False)
    host = cell(kind="host", family="4", source=None, address="192.168.9.2", variant={})
    with pytest.raises(PermissionError):
        seat.packets(host, {"index": 0})
    assert sock.sent == [b"echo"]


def test_an_answer_to_somebody_else_that_passes_is_none():
    seat = sender._Seat.__new__(sender._Seat)
    seat.asked, seat.answers = {"mine"}, {}
    for name in ("mine", "mine", "another pod's", None):
        seat._note(name, "h2", "udp")
    assert seat.answers == {"mine": [{"by": "h2", "channel": "udp"}]}
    assert seat.channels("mine") == {"udp"} and not seat.channels("another pod's")
