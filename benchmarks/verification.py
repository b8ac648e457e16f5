# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long verify takes with many pods, compared with one `ping` for each ordered pair, started in
the sender's namespace. cyclonus and NVIDIA's network operator do the same by `kubectl exec`, which
is slower.

There are two hosts with the guard and pods on two networks each, in network namespaces. Needs root;
benchmarks/README.md says how to repeat it.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import itertools
import json
import os
import pathlib
import random
import statistics
import subprocess
import tempfile
import time

import checkout  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.multinet.flannel.plugins.module_utils._observe import cells, ends
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from declaration import BLUE, RED
from observe_lab import ObserveLab

PLAN = plan([BLUE, RED])
# All pods of both hosts are neighbours in one kernel here; who runs so many has to raise it, too.
NEIGHBOURS = pathlib.Path("/proc/sys/net/ipv4/neigh/default/gc_thresh3")
ROOM = 16_384
PAIRS = 26_000  # roles/verify/defaults/main.yml
PROTOCOLS = 3  # of ours for each pair: UDP, TCP, ICMP; a ping is one


def ping(path, interface, address):
    """Return whether an address answered within a second. By the interface: a pod that is on both
    networks would go by its other one.
    """
    command = ["nsenter", f"--net={path}", "ping", "-c", "1", "-W", "1", "-I", interface, address]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def one_exec_each(lab, seen, number, workers):
    """Return (pairs a second, wrong ones) of so many pairs, half of them to be blocked."""
    known = ends.endpoints(seen)
    pairs = [
        (
            one["network"] == other["network"],
            one["netns"],
            one["interface"],
            other["addresses"]["4"],
        )
        for one, other in itertools.permutations(known, 2)
        if one["pod"] != other["pod"]
    ]
    chance = random.Random(1)
    tried = [
        pair
        for reached in (True, False)
        for pair in chance.sample([pair for pair in pairs if pair[0] is reached], number // 2)
    ]
    chance.shuffle(tried)
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        answered = list(pool.map(lambda pair: ping(*pair[1:]), tried))
    seconds = time.monotonic() - begun
    wrong = sum(answer != pair[0] for answer, pair in zip(answered, tried))
    return len(tried) / seconds, wrong


@contextlib.contextmanager
def room_for_neighbours():
    """Have the kernel hold the neighbours of all pods, until the end of the with block."""
    before = NEIGHBOURS.read_text()
    NEIGHBOURS.write_text(str(max(ROOM, int(before))))
    try:
        yield
    finally:
        NEIGHBOURS.write_text(before)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=40, help="pods on each of the two hosts")
    parser.add_argument("--runs", type=int, default=5, help="runs of verify (default 5)")
    parser.add_argument(
        "--sequential", type=int, default=40, help="pairs that are pinged one after the other"
    )
    parser.add_argument(
        "--parallel", type=int, default=400, help="pairs that are pinged, 16 at a time"
    )
    parser.add_argument("--json", type=pathlib.Path, help="write all values to this file")
    given = parser.parse_args()
    pods = {f"p{number:03d}": ["blue", "red"] for number in range(given.pods)}
    runs, others = [], {}
    with (
        room_for_neighbours(),
        tempfile.TemporaryDirectory() as place,
        ObserveLab(PLAN, {"h1": pods, "h2": pods}, pathlib.Path(place)) as lab,
    ):
        lab.guard()
        for number in range(1, given.runs + 1):
            load = os.getloadavg()[0]
            begun = time.monotonic()
            report = lab.measure(sample=cells.Sample(pairs=PAIRS))
            runs.append(
                {
                    "seconds": round(time.monotonic() - begun, 2),
                    **lab.seconds,
                    "verdict": report["verdict"],
                    "counts": report["counts"],
                    "pairs": report["coverage"]["pairs"],
                    "cells": len(report["cells"]),
                    "reasons": [one["sentence"] for one in report["findings"]] + report["gaps"],
                    "load": round(load, 1),
                }
            )
            print(f"run {number}: {json.dumps(runs[-1])}", flush=True)
        seen = [lab.facts(host) for host in lab.hosts]
        for name, number, workers in (
            ("one after the other", given.sequential, 1),
            ("16 at a time", given.parallel, 16),
        ):
            if number:
                others[name], wrong = one_exec_each(lab, seen, number, workers)
                print(f"{name}: {others[name]:.1f} pairs per second, {wrong} wrong", flush=True)
    pairs = runs[0]["pairs"]["tried"]
    seconds = statistics.median(run["seconds"] for run in runs)
    false = sum(run["verdict"] != "as_planned" for run in runs)
    print(
        f"\n| {2 * given.pods} pods on 2 networks | pairs per second | verify is faster by | if"
        " each protocol counts |\n| --- | --- | --- | --- |"
    )
    print(
        f"| verify, {pairs} pairs in {seconds:.1f} s (median of {len(runs)}, {false} false"
        f" verdicts) | {pairs / seconds:.0f} | | |"
    )
    for name, rate in others.items():
        ratio = pairs / seconds / rate
        print(f"| ping, {name} | {rate:.1f} | {ratio:.0f} x | {PROTOCOLS * ratio:.0f} x |")
    if given.json:
        given.json.write_text(json.dumps({"runs": runs, "others": others}, indent=1))


if __name__ == "__main__":
    main()
