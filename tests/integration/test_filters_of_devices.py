# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tc and nft do on devices is found wherever it hangs, and is told where it was not looked at:
real programs in a network namespace.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import (
    bypasses,
    facts,
    netns,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

NAME = f"mnfilters{os.getpid()}"
PATH = f"/run/netns/{NAME}"
MIRROR = "protocol all u32 match u32 0 0 action mirred egress mirror dev mn-red"
PLAN = {
    "networks": [
        {"name": "blue", "bridge": "mn-blue", "device": "flannel.1"},
        {"name": "red", "bridge": "mn-red", "device": "flannel.2"},
    ]
}


@pytest.fixture(name="host")
def _host():
    """Call it with commands that make something in a namespace with bridges, ports and a NIC."""
    subprocess.run(["ip", "netns", "add", NAME], check=True)

    def run(*lines):
        for line in lines:
            subprocess.run(["ip", "netns", "exec", NAME, *line.split()], check=True)

    for index, bridge in enumerate(("mn-blue", "mn-red")):
        run(
            f"ip link add {bridge} type bridge",
            f"ip link add v{index} type veth peer name p{index}",
            f"ip link set v{index} master {bridge} up",
        )
    run("ip link add eth0 type veth peer name e")
    yield run
    subprocess.run(["ip", "netns", "del", NAME], check=True)


def look():
    with netns.inside(PATH, os.stat(PATH).st_ino):
        return bypasses.look()


def found():
    seen = look()
    assert list(seen.unseen) == []
    listed = subprocess.run(
        ["ip", "-n", NAME, "-j", "-d", "addr"], check=True, capture_output=True
    ).stdout
    return [
        (one["interface"], one["observed"])
        for one in bypasses.found(PLAN, json.loads(listed), seen)
    ]


@pytest.mark.parametrize(
    "lines",
    [
        ["qdisc add dev {} clsact", "filter add dev {} ingress"],
        ["qdisc add dev {} clsact", "filter add dev {} egress"],
        ["qdisc add dev {} ingress", "filter add dev {} parent ffff:"],
        ["qdisc add dev {} root handle 1: htb", "filter add dev {} parent 1:"],
        [
            "qdisc add dev {} root handle 1: htb",
            "class add dev {} parent 1: classid 1:7 htb rate 1mbit",
            "filter add dev {} parent 1:7",
        ],
        [
            "qdisc add dev {} root handle 1: htb",
            "class add dev {} parent 1: classid 1:7 htb rate 1mbit",
            "qdisc add dev {} parent 1:7 handle 2: htb",
            "filter add dev {} parent 2:",
        ],
        ["qdisc add dev {} ingress_block 22 ingress", "filter add block 22"],
        ["qdisc add dev {} egress_block 23 clsact", "filter add block 23"],
    ],
)
@pytest.mark.parametrize("device, place", [("v0", "v0"), ("eth0", "mn-red")])
def test_a_filter_is_found_wherever_it_hangs(host, lines, device, place):
    *make, last = [f"tc {line.format(device)}" for line in lines]
    host(*make, f"{last} {MIRROR}")
    assert found() == [(place, "sent to mn-red by a tc filter (mirror)")]


def test_a_device_that_goes_meanwhile_shifts_no_answer(host):
    host("tc qdisc add dev v0 clsact", f"tc filter add dev v0 ingress {MIRROR}")
    asked = ["filter show dev gone ingress", "filter show dev v0 egress"]
    asked += ["filter show dev gone egress", "filter show dev v0 ingress"]
    with netns.inside(PATH, os.stat(PATH).st_ino):
        assert {question for question, dummy in bypasses._batch(asked)} == {asked[-1]}


def test_devices_that_come_and_go(host):
    """While pods do, that is no failure."""
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            host(
                "ip link add w type veth peer name x", "tc qdisc add dev w clsact", "ip link del w"
            )

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for dummy in range(20):
            assert list(look().unseen) == []
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    ("program", "fake", "said"),
    [
        ("tc", None, "What filters of tc do was not looked at: tc cannot be run: No such file"),
        ("tc", "echo no >&2; exit 2", "'tc -j qdisc show' failed: no (package iproute2, of Fedora"),
        ("tc", "echo '{'", "What filters of tc do was not looked at: "),
        (
            "tc",
            'case "$*" in *qdisc*) exec REAL "$@";; *) echo no >&2; exit 1;; esac',
            "'tc -batch' has 0 answers to 2 questions",
        ),
        ("nft", None, "What rules of nftables send elsewhere was not looked at: nft cannot be run"),
        ("nft", "exit 1", "'nft -t list ruleset' failed: "),
    ],
)
def test_what_was_not_looked_at_is_told(host, monkeypatch, tmp_path, program, fake, said):
    host("tc qdisc add dev v0 clsact")
    for one in {"ip", "tc", "nft", "sh"} - {program}:
        (tmp_path / one).symlink_to(shutil.which(one))
    if fake:
        file = tmp_path / program
        file.write_text(f"#!/bin/sh\n{fake.replace('REAL', shutil.which(program))}\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with netns.inside(PATH, os.stat(PATH).st_ino):
        (sentence,) = facts.gather({"networks": []}, "h1", [], [])["problems"]
    assert said in sentence
