# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify networks that others deployed, as docs/verify_elsewhere.md says it, and compare the report
with what is expected. Says both, and fails if they differ.

Usage: elsewhere.py DIRECTORY STEP DECLARATION REPORT-DIRECTORY

DIRECTORY has an inventory.yml that knows nothing of this collection, the declaration, and
expected.json: {step: what found() returns, or a part of it}.
"""

from __future__ import annotations

import collections
import json
import pathlib
import re
import subprocess
import sys

# Words of what only this collection deploys, which no remedy may ask for
OURS = ("flanneld@", "inet multinet", "multinet-", "the guard")
EXIT = {"as_planned": 0}  # any other verdict: 2


def found(report):
    """Return of a report what a reader goes by: {"verdict", "pods", "leaks": {class: [measurements,
    kinds, hosts]}, "broken": the same of what does not arrive, "facts": {what: number of pods and
    hosts that have it otherwise}, "gaps": number, "notes": number}.
    """
    cells = {outcome: {} for outcome in ("leak", "broken", "inconclusive")}
    facts = collections.Counter()
    for one in report["findings"]:
        if one["outcome"] == "deviation":
            facts[f"{one['class']} {one['what']}"] += 1
        else:
            said = [one["cells"], " ".join(one["kinds"]), " ".join(one["hosts"])]
            cells[one["outcome"]].setdefault(str(one["class"]), said)
    return {
        "verdict": report["verdict"],
        "pods": sorted(re.sub("-[a-z0-9]{5}$", "-*", pod["id"]) for pod in report["pods"]),
        "leaks": cells["leak"],
        "broken": cells["broken"],
        "inconclusive": cells["inconclusive"],
        "facts": dict(sorted(facts.items())),
        "gaps": len(report["gaps"]),
        "notes": [re.sub("veth[0-9a-f]+", "veth*", note) for note in report["notes"]],
    }


def without_remedy(report):
    """Return sentences on findings that do not say where to do what."""
    return [
        f"no remedy: {one['sentence']} -> {one['repair']}"
        for one in report["findings"]
        if not (one["repair"] and one["hosts"] and one["commands"])
        or not all(host in one["repair"] for host in one["hosts"])
        or any(word in one["repair"] for word in OURS)
    ]


def main():
    source, step, declaration, place = pathlib.Path(sys.argv[1]), *sys.argv[2:]
    # what a user would type
    command = ["ansible-playbook", "-i", source / "inventory.yml", "-e", f"@{source / declaration}"]
    command += ["-e", f"multinet_report_dir={place}", "multinet.flannel.verify"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads(pathlib.Path(place, "report.json").read_text(encoding="utf-8"))
    saw = found(report)
    wanted = json.loads((source / "expected.json").read_text(encoding="utf-8")).get(step)
    wrong = [
        f"{key}: {saw[key]!r}, expected {value!r}"
        for key, value in (wanted or {}).items()
        if saw[key] != value
    ]
    wrong += without_remedy(report)
    if done.returncode != EXIT.get(report["verdict"], 2):
        wrong.append(f"exit status {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    if "changed=0" not in done.stdout or "changed=1" in done.stdout:
        wrong.append(f"something was changed: {done.stdout[-500:]}")
    print(json.dumps({"headline": report["headline"], **saw}, indent=1))
    print(*[one["sentence"] + " -> " + one["repair"] for one in report["findings"]], sep="\n")
    print(*report["gaps"], sep="\n")
    if wrong or wanted is None:
        sys.exit("\n".join(wrong) or f"expected.json has no step {step}")


if __name__ == "__main__":
    main()
