#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: pod_interfaces_info
short_description: Read from the kernel which interfaces the pods of a host have
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Finds every network namespace with a veth to a bridge of the plan, and returns its interfaces,
    addresses and routes. All of this is read from the kernel.
  - It relies neither on the container runtime nor on the program that attached the pods. It reads
    their state for the names of pods, and for interfaces that CNI gave them and that are gone. A
    pod that has lost all of them is found by it.
  - Kubernetes pods are named namespace/pod, from the files of containerd or CRI-O. The module does
    not use the API and runs nothing in a pod.
extends_documentation_fragment:
  - multinet.flannel.plan
  - multinet.flannel.cni_conf
  - multinet.flannel.attributes
  - multinet.flannel.attributes.info
options:
  host:
    description: The name of this host in the result.
    type: str
    required: true
  node_name:
    description: The name of this host's Node object in Kubernetes. By default the same as O(host).
    type: str
  mode:
    description:
      - How much to read. V(static) reads the configuration and the tables of the host and of each
        pod, and sends nothing. V(passive) and V(active) also read the leases from the data store.
      - V(passive) also reads the neighbour entries in pods. They are traces of other traffic, which
        replace a measurement.
    type: str
    choices: [static, passive, active]
    default: active
  state_dirs:
    description: Directories with JSON files about attachments. They give containers their names,
      and tell which interfaces CNI gave a pod that it does not have any more.
    type: list
    elements: path
    default: [/var/lib/cni/multinet, /var/lib/cni/multinet-runtime]
  runtime_dir:
    description: Where the listeners of M(multinet.flannel.isolation_probe) keep their files.
    type: path
    default: /run/multinet-verify
"""

EXAMPLES = r"""
- name: Read what the pods have
  multinet.flannel.pod_interfaces_info:
    plan: "{{ multinet_plan }}"
    host: "{{ inventory_hostname }}"
  register: found
"""

RETURN = r"""
host:
  description: The given name.
  returned: success
  type: str
node_name:
  description: The given name, or O(host).
  returned: success
  type: str
node:
  description: The host's underlay addresses and, for each network, its bridge, tunnel devices,
    lease and routes.
  returned: success
  type: dict
pods:
  description: >-
    Each attached network namespace with its label, the pod's namespace, name and uid in Kubernetes,
    its path, its interfaces (name, network, MAC, MTU, addresses, gateway), its routes, the
    interfaces of its default routes, its sysctls, and C(lost), the interfaces that CNI gave it and
    that are gone. With O(mode=passive) also C(neighbours).
  returned: success
  type: list
  elements: dict
host_pods:
  description: The Kubernetes pods that use the host's own network, with label, namespace, name and
    uid.
  returned: success
  type: list
  elements: dict
cni_since:
  description: Since when the host has networks. Empty without networks.
  returned: success
  type: str
  sample: "2026-01-31T10:00:00Z"
drift:
  description: C(deviations) is what is not as deployed on this host, as
    M(multinet.flannel.node_status_info) returns it. C(failed_to_look) says what could not be
    checked for it. C(strangers) are sentences about bridge ports that the collection did not
    attach. C(leftovers) are sentences about containers that no longer exist and were never
    detached. C(dropped) is the number of packets that the guard dropped, by reason.
  returned: success
  type: dict
ports_taken:
  description: The UDP ports of measurements that are running on this host.
  returned: success
  type: list
  elements: int
problems:
  description: What could not be checked, as sentences.
  returned: success
  type: list
  elements: str
"""

import os
import subprocess
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._drift import (
    commands,
    compare,
    guard,
    observe,
)
from ansible_collections.multinet.flannel.plugins.module_utils._meta import garbage
from ansible_collections.multinet.flannel.plugins.module_utils._names import ATTACHMENTS
from ansible_collections.multinet.flannel.plugins.module_utils._node import deployed, root
from ansible_collections.multinet.flannel.plugins.module_utils._observe import modes, runs_here
from ansible_collections.multinet.flannel.plugins.module_utils._observe.facts import gather

SHOWN = 3  # of containers, in a sentence


def drift(cni_conf: str, mode: str) -> dict[str, Any] | None:
    """Return what the host itself says of its networks, for the report: see RETURN; None where
    nothing is deployed. Raises DeployedError, ObserveError, OSError.
    """
    record = deployed.record()
    if record is None:
        return None
    seen = observe.look(record, cni_conf, ask=mode != modes.STATIC)
    plan = record["plan"]
    return {
        "deviations": [one.as_dict() for one in compare.deviations(plan, seen)],
        "failed_to_look": compare.not_compared(plan, seen),
        "strangers": list(compare.strangers(plan, seen)),
        "leftovers": leftovers(),
        "dropped": seen["guard"]["dropped"],
    }


def unguarded(plan: dict[str, Any]) -> list[str]:
    """Return a sentence if the guard of this host does not have the networks of the plan: where
    nothing is sent, only the comparison with what was deployed looks at it.
    """
    seen = guard.look(commands.run)
    devices = {name for network in plan["networks"] for name in network.get("devices", ())}
    why = seen["unreadable"]
    if not why and (seen["devices"] is None or seen["ports"] is None):
        why = "its tables (inet multinet, bridge multinet) are not in the kernel"
    elif not why and devices - set(seen["devices"]):
        why = f"it does not have {', '.join(sorted(devices - set(seen['devices'])))}"
    return [f"Nothing shows that the guard keeps the networks apart here: {why}."] * bool(why)


def since() -> str:
    """Return since when the host has networks, as the API writes times, "" where it has none: the
    directory is made by the first deployment, and never changes afterwards.
    """
    try:
        made = os.stat("/etc/cni/multinet").st_mtime
    except OSError:
        return ""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(made))


def leftovers() -> list[str]:
    """Return what other CNIs attached to containers that are gone, as a sentence."""
    left = sorted(f"{one['network']} of {one['container_id'][:12]}" for one in garbage.remembered())
    if not left:
        return []
    shown = ", ".join(left[:SHOWN]) + (", ..." if len(left) > SHOWN else "")
    return [
        f"another CNI attached containers that are gone, and nothing detached them ({shown}): they"
        " still hold addresses, and rules that may make ports of this host unreachable; run the"
        " playbook gc"
    ]


def main() -> None:
    """Look at this host."""
    module = AnsibleModule(
        argument_spec={
            "plan": {"type": "dict", "required": True},
            "host": {"type": "str", "required": True},
            "node_name": {"type": "str"},
            "mode": {"type": "str", "choices": list(modes.MODES), "default": modes.ACTIVE},
            "cni_conf": {"type": "path", "default": "/etc/cni/net.d/00-multinet.conf"},
            "state_dirs": {"type": "list", "elements": "path", "default": list(ATTACHMENTS)},
            "runtime_dir": {"type": "path", "default": "/run/multinet-verify"},
        },
        supports_check_mode=True,
    )
    refused = root.prepare()
    if refused:
        module.fail_json(msg=refused)
    module.get_bin_path("ip", required=True)
    try:
        found = gather(
            module.params["plan"],
            module.params["host"],
            module.params["state_dirs"],
            neighbours=module.params["mode"] == modes.PASSIVE,
        )
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        module.fail_json(msg=f"The network of this host could not be looked at: {error}.")
    own: dict[str, Any] | None = None
    failed: list[str] = []
    try:
        own = drift(module.params["cni_conf"], module.params["mode"])
    except (deployed.DeployedError, commands.ObserveError, OSError) as error:
        sentence = f"What is not as deployed on this host could not be looked at. {error}"
        # without its record, what was declared is what it was compared with
        lost = isinstance(error, deployed.DeployedError)
        (failed if lost else found["problems"]).append(sentence)
    sends = module.params["mode"] == modes.ACTIVE
    if own is None and not sends and not module.params["plan"].get("elsewhere"):
        found["problems"] += unguarded(module.params["plan"])
    module.exit_json(
        changed=False,
        node_name=module.params["node_name"] or module.params["host"],
        drift=own or {"deviations": [], "failed_to_look": failed},
        cni_since=since(),
        ports_taken=runs_here.taken(module.params["runtime_dir"]),
        **found,
    )


if __name__ == "__main__":
    main()
