#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: isolation_probe
short_description: Measure on one host which networks reach each other
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Run it three times on all hosts with the linear strategy. So all hosts listen before the first
    one sends, and all have sent before the first one collects.
  - C(listen) starts one process with sockets in every attached namespace of the host. The process
    exits at a deadline.
  - C(send) sends tokens from inside each namespace to every pod of every host, as an application
    would and as an attacker would.
  - C(collect) stops the listener and returns what it received.
  - C(outside) runs once on the controller, between C(listen) and C(collect). It sends to the
    tunnels from a host that is not a node. It needs no privileges.
  - M(multinet.flannel.isolation_report) derives the verdict.
extends_documentation_fragment:
  - multinet.flannel.plan
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
    details: Measures nothing in check mode. RV(measured) is then false.
  diff_mode:
    support: none
options:
  phase:
    description: Which part of the measurement to run.
    type: str
    choices: [listen, send, outside, collect]
    required: true
  run:
    description: A name for this measurement, of letters and digits. It is the same on all hosts and
      in all phases, and new for each measurement.
    type: str
    required: true
  key:
    description: A random secret. It is the same on all hosts and in all phases, and new for each
      measurement. The tokens are signed with it, so pods cannot forge them.
    type: str
    required: true
  host:
    description: The name of this host, as given to M(multinet.flannel.pod_interfaces_info).
    type: str
    required: true
  facts:
    description: What M(multinet.flannel.pod_interfaces_info) returned on all hosts of the
      measurement, including this one, as a list or as JSON text.
    type: json
    required: true
  cluster:
    description: What M(multinet.flannel.cluster_info) returned as C(published) before the
      measurement. Leave it out without Kubernetes.
    type: dict
  port:
    description: The first of 16 UDP ports. O(run) selects one of them, and if another measurement
      has it according to O(facts), the next that is free on all hosts. They must be free in the
      pods and on the hosts.
    type: int
    default: 47470
  deadline:
    description: Seconds after the start of C(listen). Then this host sends nothing more, and the
      listener exits.
    type: int
    default: 300
  wait:
    description: Seconds to wait for answers after each round of sending.
    type: float
    default: 0.5
  receivers_per_host:
    description: Maximum number of receiving pods of each host and network, for each sender. V(0)
      for all. The report contains it.
    type: int
    default: 0
  pairs:
    description: Maximum number of ordered pairs of pod interfaces. If there are more, each sender
      tests its share of them, spread over all hosts and networks. V(0) for all.
      O(receivers_per_host) is applied first.
    type: int
    default: 0
  rate:
    description: Maximum number of datagrams that a host sends in a second.
    type: int
    default: 20000
  runtime_dir:
    description: Where the listener keeps its files.
    type: path
    default: /run/multinet-verify
notes:
  - Needs root, except for O(phase=outside). Never reports a change, because it stops everything
    that it starts.
"""

EXAMPLES = r"""
- name: Listen
  multinet.flannel.isolation_probe:
    phase: listen
    run: a1b2c3d4
    key: "{{ lookup('ansible.builtin.password', '/dev/null', length=32, seed=inventory_file) }}"
    plan: "{{ multinet_plan }}"
    host: "{{ inventory_hostname }}"
    facts: "{{ ansible_play_hosts | map('extract', hostvars, 'found') }}"
"""

RETURN = r"""
host:
  description: The given name.
  returned: success
  type: str
phase:
  description: The given phase.
  returned: success
  type: str
measured:
  description: False in check mode.
  returned: success
  type: bool
share:
  description: The result of this phase, for M(multinet.flannel.isolation_report). Empty in check
    mode.
  returned: success
  type: dict
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils import _ports
from ansible_collections.multinet.flannel.plugins.module_utils._node import root
from ansible_collections.multinet.flannel.plugins.module_utils._observe import (
    agent,
    cells,
    ends,
    frames,
    runs_here,
    sender,
)


def main() -> None:
    root.complete_path()
    module = AnsibleModule(
        argument_spec={
            "phase": {
                "type": "str",
                "choices": ["listen", "send", "outside", "collect"],
                "required": True,
            },
            "run": {"type": "str", "required": True},
            "key": {"type": "str", "required": True, "no_log": True},
            "plan": {"type": "dict", "required": True},
            "host": {"type": "str", "required": True},
            "facts": {"type": "json", "required": True},
            "cluster": {"type": "dict"},
            "port": {"type": "int", "default": _ports.PROBE},
            "deadline": {"type": "int", "default": 300},
            "wait": {"type": "float", "default": 0.5},
            "receivers_per_host": {"type": "int", "default": 0},
            "pairs": {"type": "int", "default": 0},
            "rate": {"type": "int", "default": 20000},
            "runtime_dir": {"type": "path", "default": "/run/multinet-verify"},
        },
        supports_check_mode=True,
    )
    given = module.params
    result = {
        "changed": False,
        "host": given["host"],
        "phase": given["phase"],
        "measured": not module.check_mode,
        "share": {},
    }
    if module.check_mode:
        module.exit_json(**result)
    facts = _facts(module)
    try:
        result["share"] = _share(given, facts)
    except (OSError, runs_here.TakenError) as error:
        module.fail_json(msg=f"The {given['phase']} phase failed on {given['host']}: {error}")
    if given["phase"] == "outside":
        result.update(host=ends.OUTSIDE, phase="send")
    module.exit_json(**result)


def _facts(module: AnsibleModule) -> list[dict[str, Any]]:
    """Return the facts of all hosts; end with a sentence where an option is wrong."""
    given = module.params
    if not given["run"].isalnum():
        module.fail_json(msg=f"run is {given['run']!r}; write letters and digits only.")
    facts = _listed(module, given["facts"])
    if not all(facts):
        module.fail_json(
            msg=(
                "Not every host of the play was looked at, but all hosts are measured together."
                " Remove `serial` from the play, and set strategy: linear."
            )
        )
    if given["phase"] != "outside" and not _of(given["host"], facts):
        module.fail_json(
            msg=(
                f"facts holds nothing about {given['host']}; give what pod_interfaces_info returned"
                " on this host, too."
            )
        )
    if given["rate"] < 1:
        module.fail_json(
            msg=f"rate is {given['rate']}; write the number of datagrams per second, 1 or more."
        )
    return facts


def _listed(module: AnsibleModule, text: str) -> list[dict[str, Any]]:
    """Return what the JSON text of `facts` says; end where it is no list of mappings."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        module.fail_json(
            msg="facts is not a list of results of pod_interfaces_info; give that list."
        )
    return found


def _of(host: str, facts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a host's own facts, {} without any."""
    return next((one for one in facts if one.get("host") == host), {})


def _share(given: dict[str, Any], facts: list[dict[str, Any]]) -> dict[str, Any]:
    """Do one phase of a measurement, and return what it found; raise OSError, TakenError."""
    run = frames.Run(given["run"], given["key"].encode("utf-8"))
    port = ends.port_of(given["port"], given["run"], facts)
    mine, runtime_dir = _of(given["host"], facts), given["runtime_dir"]
    if given["phase"] == "listen":
        tunnels = ends.tunnel_ports(facts)
        return agent.start(run, port, mine, runtime_dir, given["deadline"], tunnels)
    if given["phase"] == "collect":
        return agent.collect(run, port, mine, runtime_dir)
    task = sender.Task(
        run=run,
        port=port,
        plan=given["plan"],
        facts=facts,
        host=given["host"],
        cluster=given["cluster"],
        sample=cells.Sample(given["receivers_per_host"], given["pairs"]),
        rate=given["rate"],
        wait=given["wait"],
        runtime_dir=runtime_dir,
    )
    return sender.send(task) if given["phase"] == "send" else sender.send_from_outside(task)


if __name__ == "__main__":
    main()
