# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor time that a run costs the controller, for 1, 2 and more hosts that are already
deployed, compared with a playbook of the same number of pings (documentation:
benchmarks/README.md).
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import resource
import subprocess
import tempfile
import time
from typing import Any, NamedTuple

_RECAP = re.compile(
    r"^(\S+) +: ok=(\d+) +changed=(\d+) .*failed=(\d+) +skipped=(\d+)", re.MULTILINE
)


class Cost(NamedTuple):
    """What one run of ansible-playbook took."""

    seconds: float  # by the clock
    cpu: float  # user and system seconds of the controller's processes
    done: int  # tasks of the last host
    skipped: int


def run(inventory: str, playbook: str, hosts: list[str]) -> Cost:
    """Run a playbook on some hosts. Raises RuntimeError when it failed or changed anything."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        ["ansible-playbook", "-i", inventory, playbook, "--limit", ",".join(hosts)],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    recap = {match[1]: match for match in _RECAP.finditer(done.stdout)}
    if done.returncode or any(int(recap[host][3]) for host in hosts):
        raise RuntimeError(f"{playbook} failed, or changed something:\n{done.stdout[-3000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    last = recap[hosts[-1]]
    return Cost(seconds, cpu, int(last[2]), int(last[5]))


def pings(directory: str, tasks: int) -> str:
    """Return a playbook that does nothing but so many pings."""
    task = {"ansible.builtin.ping": {}}
    path = pathlib.Path(directory, "pings.yml")
    play: dict[str, Any] = {"hosts": "all", "gather_facts": False, "tasks": [task] * tasks}
    path.write_text(json.dumps([play]), encoding="utf-8")
    return str(path)


def main() -> None:
    """Print a line for each number of hosts, and what a further host costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inventory", required=True, help="deployed hosts, that of etcd first")
    parser.add_argument("--hosts", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--playbook", default="multinet.flannel.site")
    parser.add_argument(
        "--pings", type=int, default=11, help="the number of round trips of the playbook"
    )
    options = parser.parse_args()
    listed = subprocess.run(
        ["ansible", "-i", options.inventory, "multinet_nodes", "--list-hosts"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = [line.strip() for line in listed.stdout.splitlines()[1:]]
    with tempfile.TemporaryDirectory() as directory:
        peer = pings(directory, options.pings)
        costs = {
            playbook: [run(options.inventory, playbook, names[:number]) for number in options.hosts]
            for playbook in (options.playbook, peer)
        }
    print(
        "| hosts | CPU s | s | tasks of the last host: done, skipped | CPU s of the same number of"
        " pings |"
    )
    print("| --- | --- | --- | --- | --- |")
    for number, ours, theirs in zip(options.hosts, costs[options.playbook], costs[peer]):
        print(
            f"| {number} | {ours.cpu:.1f} | {ours.seconds:.0f} | {ours.done}, {ours.skipped}"
            f" | {theirs.cpu:.1f} |"
        )
    further = [
        (found[-1].cpu - found[0].cpu) / max(options.hosts[-1] - options.hosts[0], 1)
        for found in costs.values()
    ]
    print(f"a further host: {further[0]:.2f} CPU s, {further[1]:.2f} for the same number of pings")


if __name__ == "__main__":
    main()
