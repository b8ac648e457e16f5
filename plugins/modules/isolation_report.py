#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: isolation_report
short_description: Derive the verdict of a measurement, and write its reports
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Compares the results of all senders and receivers with the plan, and writes C(report.html),
    C(report.json) and C(junit.xml).
  - If O(report_dir) has a file C(last.json) from the last run, the report also says what changed
    since then. At the end, C(last.json) becomes a copy of C(report.json). If a run is interrupted,
    C(last.json) stays.
  - Run it once, on the controller. It writes all files first, and then fails if the verdict is not
    O(expect).
extends_documentation_fragment:
  - multinet.flannel.plan
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
    details: In check mode it writes nothing and does not fail because of the verdict.
  diff_mode:
    support: none
options:
  facts:
    description: What M(multinet.flannel.pod_interfaces_info) returned on every host that was
      reached.
    type: list
    elements: dict
    required: true
  shares:
    description: What M(multinet.flannel.isolation_probe) returned on every host and in every phase,
      in any order.
    type: list
    elements: dict
    required: true
  hosts:
    description: The hosts of the measurement. If one of them is missing, the verdict is
      inconclusive.
    type: list
    elements: str
    required: true
  report_dir:
    description: Where to write the files. The directory is created if it does not exist.
    type: path
    required: true
  cluster:
    description: What M(multinet.flannel.cluster_info) returned before the measurement. Leave it out
      without Kubernetes.
    type: dict
  cluster_after:
    description: What it returned after the measurement. Pods are compared with the annotation
      network-status in it.
    type: dict
  cluster_problem:
    description: Why the cluster could not be read, for the report. Empty if it could be read, or
      without Kubernetes.
    type: str
    default: ""
  expectations:
    description:
      - The site's own rules. Each has C(that), a JMESPath expression that is true if all is well,
        and C(message), a sentence to show if it is not.
      - Rules that read only C(plan) and C(report) are evaluated. If one does not hold, the verdict
        is V(broken), unless it is V(leaks).
      - They need the Python package C(jmespath) on the host that runs the module.
    type: list
    elements: dict
    default: []
  run:
    description: The name of the measurement.
    type: str
    default: ""
  receivers_per_host:
    description: As given to M(multinet.flannel.isolation_probe).
    type: int
    default: 0
  pairs:
    description: As given to M(multinet.flannel.isolation_probe).
    type: int
    default: 0
  mode:
    description: As given to M(multinet.flannel.pod_interfaces_info). Except with V(active), nothing
      was sent and O(shares) is empty, and the report says so.
    type: str
    choices: [static, passive, active]
    default: active
  require_pods:
    description: Whether the verdict is inconclusive if a network has no pod.
    type: bool
    default: true
  expect:
    description: The verdict with which the module succeeds. Other values than V(as_planned) are for
      tests that show a leak.
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
  returned: success, and if the verdict is not O(expect)
  type: str
text:
  description: The report as lines of text for a terminal.
  returned: success, and if the verdict is not O(expect)
  type: list
  elements: str
counts:
  description: The numbers of measurements that were as planned, leak, broken and inconclusive, of
    facts that deviate, and of the site's own rules that do not hold.
  returned: success, and if the verdict is not O(expect)
  type: dict
changes:
  description: What changed since the last run (see docs/report.md). Null without a last run.
  returned: success, and if the verdict is not O(expect)
  type: dict
classes:
  description: The leak classes found, as "number name".
  returned: success, and if the verdict is not O(expect)
  type: list
  elements: str
coverage:
  description: The numbers of planned, measured and inconclusive measurements, in total and by kind.
  returned: success, and if the verdict is not O(expect)
  type: dict
files:
  description: The paths of the files that were written.
  returned: success, and if the verdict is not O(expect)
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
        if not problem:
            return dict(found, changes=changes.changes(last, found))
    except FileNotFoundError:
        return found
    except (OSError, ValueError) as error:
        problem = str(error)
    note = f"What changed since the last run is not known: {path}: {problem}."
    return dict(found, notes=[*found["notes"], note])


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
