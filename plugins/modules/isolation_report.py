#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: isolation_report
short_description: The verdict of a measurement, and its files
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Compares what every sender and every receiver saw with the plan, and writes C(report.html),
    C(report.json) and C(junit.xml).
  - Where O(report_dir) has a C(last.json), which the run before left, what changed since then is
    part of the report. C(last.json) becomes what C(report.json) is; it stays where a run is stopped
    half way.
  - Run it once, on the controller. It fails, after it has written everything, when anything is not
    as O(expect) says.
extends_documentation_fragment:
  - multinet.flannel.plan
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
    details: Writes nothing then, and does not fail on the verdict.
  diff_mode:
    support: none
options:
  facts:
    description: What M(multinet.flannel.pod_interfaces_info) returned, of every host that was
      reached.
    type: list
    elements: dict
    required: true
  shares:
    description: What M(multinet.flannel.isolation_probe) returned, of every host and phase, in any
      order.
    type: list
    elements: dict
    required: true
  hosts:
    description: The hosts that should have taken part. One that did not leaves the verdict
      inconclusive.
    type: list
    elements: str
    required: true
  report_dir:
    description: Where to write the files. The directory is made if it is missing.
    type: path
    required: true
  cluster:
    description: What M(multinet.flannel.cluster_info) returned before the measurement. Leave it out
      where there is no Kubernetes.
    type: dict
  cluster_after:
    description: What it returned after the measurement. Pods are compared with their annotation
      network-status in it.
    type: dict
  cluster_problem:
    description: Why the cluster could not be asked, for the report. Empty if it could, or where
      there is no Kubernetes.
    type: str
    default: ""
  expectations:
    description:
      - The site's own rules, each with C(that), an expression in JMESPath which is true where all
        is well, and C(message), a sentence for those who read that it is not.
      - Those that read nothing but C(plan) and C(report) are asked; one that does not hold makes
        the verdict V(broken), unless it is V(leaks).
      - They need the Python package C(jmespath) where the module runs.
    type: list
    elements: dict
    default: []
  run:
    description: The name of the measurement.
    type: str
    default: ""
  receivers_per_host:
    description: The sampling given to M(multinet.flannel.isolation_probe).
    type: int
    default: 0
  pairs:
    description: The same.
    type: int
    default: 0
  mode:
    description: What M(multinet.flannel.pod_interfaces_info) was given. But with V(active), nothing
      was sent, O(shares) is empty, and the report says so.
    type: str
    choices: [static, passive, active]
    default: active
  require_pods:
    description: Whether a network without any pod makes the verdict inconclusive.
    type: bool
    default: true
  expect:
    description: The verdict that is a success. Anything but V(as_planned) is for tests that show a
      leak.
    type: str
    choices: [as_planned, leaks, broken, inconclusive]
    default: as_planned
"""

EXAMPLES = r"""
- name: Report
  multinet.flannel.isolation_report:
    plan: "{{ multinet_plan }}"
    facts: "{{ facts_of_all_hosts }}"
    shares: "{{ shares_of_all_hosts }}"
    hosts: "{{ groups['multinet_nodes'] }}"
    report_dir: "{{ playbook_dir }}/report"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
verdict:
  description: One of as_planned, leaks, broken, inconclusive.
  returned: always
  type: str
text:
  description: The report for a terminal, as lines.
  returned: always
  type: list
  elements: str
counts:
  description: How many measurements were as planned, leak, broken, inconclusive, how many facts
    deviate, and how many of the site's own rules do not hold.
  returned: always
  type: dict
changes:
  description: What is not as it was in the last run (see docs/report.md), null without one.
  returned: always
  type: dict
classes:
  description: The leak classes found, as "number name".
  returned: always
  type: list
  elements: str
coverage:
  description: How many measurements were planned, measured and inconclusive, in all and by kind.
  returned: always
  type: dict
files:
  description: The paths written.
  returned: always
  type: list
  elements: str
"""

import json
import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._cni import files
from ansible_collections.multinet.flannel.plugins.module_utils._libraries import MissingLibraryError
from ansible_collections.multinet.flannel.plugins.module_utils._observe import (
    cells,
    changes,
    modes,
    page,
    report,
    verdict,
)
from ansible_collections.multinet.flannel.plugins.module_utils._observe.evidence import Measurement
from ansible_collections.multinet.flannel.plugins.module_utils._site import expectations

LAST = "last.json"  # the report of the last run: what changed since is told by it
FORMS = {"report.html": page.as_html, "report.json": report.as_json, "junit.xml": report.as_junit}
ARGUMENT_SPEC = {
    "plan": {"type": "dict", "required": True},
    "facts": {"type": "list", "elements": "dict", "required": True},
    "shares": {"type": "list", "elements": "dict", "required": True},
    "hosts": {"type": "list", "elements": "str", "required": True},
    "report_dir": {"type": "path", "required": True},
    "cluster": {"type": "dict"},
    "cluster_after": {"type": "dict"},
    "cluster_problem": {"type": "str", "default": ""},
    "expectations": {"type": "list", "elements": "dict", "default": []},
    "run": {"type": "str", "default": ""},
    "receivers_per_host": {"type": "int", "default": 0},
    "pairs": {"type": "int", "default": 0},
    "mode": {"type": "str", "choices": list(modes.MODES), "default": modes.ACTIVE},
    "require_pods": {"type": "bool", "default": True},
    "expect": {
        "type": "str",
        "choices": ["as_planned", "leaks", "broken", "inconclusive"],
        "default": "as_planned",
    },
}


def by_host(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return {host: {phase: share}} of what isolation_probe returned; results without a share
    (skipped, failed, check mode) stay out.
    """
    shares: dict[str, dict[str, Any]] = {}
    for result in results:
        if result.get("share"):
            shares.setdefault(result["host"], {})[result["phase"]] = result["share"]
    return shares


def since_last(found: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the report with what changed since the one at path, or with a note why that cannot be
    told; as it is if there is none.
    """
    try:
        with open(path, encoding="utf-8") as file:
            last = json.load(file)
        problem = changes.problem(last)
    except FileNotFoundError:
        return found
    except (OSError, ValueError) as error:
        problem = str(error)
    if problem:
        note = f"What changed since the last run is not known: {path}: {problem}."
        return dict(found, notes=[*found["notes"], note])
    return dict(found, changes=changes.changes(last, found))


def measured(given: dict[str, Any]) -> dict[str, Any]:
    """Return the report of what the options hold, but for the site's rules and the last run."""
    there = [item for item in given["facts"] if "node" in item]
    return verdict.evaluate(
        Measurement(
            plan=given["plan"],
            facts=sorted(there, key=lambda item: item["host"]),
            shares=by_host(given["shares"]),
            hosts=given["hosts"],
            sample=cells.Sample(given["receivers_per_host"], given["pairs"]),
            require_pods=given["require_pods"],
            about={
                "run": given["run"],
                "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            },
            cluster=given["cluster"],
            cluster_after=given["cluster_after"],
            cluster_problem=given["cluster_problem"],
            mode=given["mode"],
        )
    )


def with_rules(
    found: dict[str, Any], declared: list[dict[str, str]], plan: dict[str, Any]
) -> dict[str, Any]:
    """Return the report with the site's own rules judged by it.

    Raises ValueError for rules that are wrong, MissingLibraryError.
    """
    judged = []
    if declared:
        wrong = expectations.problems(declared)
        if wrong:
            raise ValueError(" ".join(wrong))
        documents = {"plan": plan, "report": json.loads(json.dumps(found))}
        judged = expectations.judged(declared, documents)
    return verdict.with_expectations(found, judged)


def write(found: dict[str, Any], directory: str) -> None:
    """Write the report in all its forms, and for the next run; raise OSError."""
    os.makedirs(directory, exist_ok=True)
    written = {name: render(found) for name, render in FORMS.items()}
    written[LAST] = written["report.json"]
    for name, text in written.items():
        files.write(os.path.join(directory, name), text, 0o644)


def main() -> None:
    """Judge the measurement, and write the report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    given = module.params
    directory = given["report_dir"]
    found = measured(given)
    try:
        found = with_rules(found, given["expectations"], given["plan"])
    except (ValueError, MissingLibraryError) as error:
        module.fail_json(msg=str(error))
    found = since_last(found, os.path.join(directory, LAST))
    if not module.check_mode:
        try:
            write(found, directory)
        except OSError as error:
            module.fail_json(
                msg=(
                    f"The report could not be written to {directory}: {error}. Set"
                    " multinet_report_dir to a directory that can be written."
                )
            )
    numbered = {(finding["class"], finding["class_name"]) for finding in found["findings"]}
    classes = [f"{number} {name}" for number, name in sorted(numbered)]
    paths = [os.path.join(directory, name) for name in FORMS]
    result = {
        "changed": False,
        "verdict": found["verdict"],
        "text": report.as_text(found),
        "counts": found["counts"],
        "changes": found["changes"],
        "classes": classes,
        "coverage": found["coverage"],
        "files": [] if module.check_mode else paths,
    }
    if found["verdict"] != given["expect"] and not module.check_mode:
        named = f" Classes: {', '.join(classes)}." if classes else ""
        module.fail_json(
            msg=(
                f"The verdict is {found['verdict']}, expected {given['expect']}."
                f" {found['headline']}{named} See {paths[0]}."
            ),
            **result,
        )
    module.exit_json(msg=found["headline"], **result)


if __name__ == "__main__":
    main()
