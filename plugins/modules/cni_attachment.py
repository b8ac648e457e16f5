#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cni_attachment
short_description: Attach a running container or a network namespace to the networks of its host
version_added: 0.1.0
description:
  - Calls the CNI plugins of the host for an existing network namespace, as a container runtime does
    when it starts a container.
  - The host records what was attached. So the call can be repeated, and detaching needs neither the
    namespace nor the network's configuration.
author: [multinet.flannel authors (@multinet-flannel)]
extends_documentation_fragment:
  - multinet.flannel.cni
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows the interfaces before and after.
options:
  netns:
    description: A network namespace, by its name (C(ip netns list)) or its absolute path.
    type: str
  pid:
    description: A process in the network namespace.
    type: int
  container:
    description: Name or id of a container of C(podman) or C(docker). Start it without a network
      (C(--network none)).
    type: str
  container_id:
    description: The container's id in CNI. By default that of O(container). Without a container, it
      is derived from the namespace's path, as C(cnitool) does.
    type: str
  networks:
    description:
      - Names of the networks. Each is a file C(<name>.conflist) in O(network_dir).
      - Networks that the target does not have yet are attached. Networks that it has but that are
        not listed stay; detach them with O(state=absent).
      - If empty, O(state=present) uses the host's own configuration. That is the first file by name
        in O(conf_dir).
      - If empty, O(state=absent) detaches everything that this module attached.
    type: list
    elements: str
    default: []
  interface:
    description:
      - Name of the first network's interface, by default V(eth0). The other networks get the next
        free names of V(net1), V(net2) and so on.
    type: str
  args:
    description: The content of C(CNI_ARGS) for the plugins.
    type: dict
    default: {}
  state:
    description: Whether the networks are attached or detached.
    type: str
    choices: [present, absent]
    default: present
  conf_dir:
    description: Directory of the host's CNI configuration.
    type: path
    default: /etc/cni/net.d
  network_dir:
    description: Directory of the networks' configurations.
    type: path
    default: /etc/cni/multinet/net.d
  cache_dir:
    description: Directory of the records of what was attached.
    type: path
    default: /var/lib/cni/multinet-runtime
  timeout:
    description: Seconds that the attachment of one network may take.
    type: int
    default: 180
"""

EXAMPLES = r"""
- name: Attach a container to all networks of the host, as a runtime would
  multinet.flannel.cni_attachment:
    container: web

- name: Attach a namespace to two networks, as eth0 and net1
  multinet.flannel.cni_attachment:
    netns: pod-a
    networks: [blue, red]

- name: Detach it from one of them
  multinet.flannel.cni_attachment:
    netns: pod-a
    networks: [red]
    state: absent

- name: Detach everything of a container that no longer exists
  multinet.flannel.cni_attachment:
    container: web
    state: absent
"""

RETURN = r"""
interfaces:
  description: The interfaces of the target after the call, oldest first. In check mode, those that
    it has now.
  type: list
  elements: dict
  returned: success
  contains:
    network:
      description: The network's name, without the prefix C(multinet-).
      type: str
      sample: blue
    name:
      description: The interface's name.
      type: str
      sample: eth0
    mac:
      description: The MAC of the interface, null if the interface no longer exists.
      type: str
      sample: 5a:0c:11:5e:2d:6f
    addresses:
      description: Addresses with their prefix lengths.
      type: list
      elements: str
      sample: [10.1.5.2/24]
    gateway:
      description: The first gateway of the network, or null.
      type: str
      sample: 10.1.5.1
    mtu:
      description: The MTU of the interface in bytes, null if the interface no longer exists.
      type: int
      sample: 1450
    routes:
      description: The routes that the plugins reported, each with C(dst) and, if it has one, C(gw).
      type: list
      elements: dict
      sample: [{dst: 10.1.0.0/16}]
result:
  description: The CNI result of each requested network, by the name of the network.
  type: dict
  returned: success
  sample:
    blue: {cniVersion: 0.4.0, ips: [{version: "4", address: 10.1.5.2/24, gateway: 10.1.5.1}]}
container_id:
  description: The container's id in CNI.
  type: str
  returned: success
  sample: cnitool-77383ca0a0715733ca6f
cni_error:
  description: The error of the plugin.
  type: dict
  returned: when a CNI operation failed
  sample: {code: 11, msg: "flanneld has no lease for the network multinet-blue yet.", details: ""}
plugins_stderr:
  description: The end of what the plugins wrote to standard error.
  type: str
  returned: when a CNI operation failed
"""

import contextlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._attach import attachment, states
from ansible_collections.multinet.flannel.plugins.module_utils._attach import target as targets
from ansible_collections.multinet.flannel.plugins.module_utils._cni import cache, conf, errors
from ansible_collections.multinet.flannel.plugins.module_utils._names import BY_CALLERS
from ansible_collections.multinet.flannel.plugins.module_utils._node import root

KINDS = ("netns", "pid", "container")
ARGUMENT_SPEC = {
    "netns": {"type": "str"},
    "pid": {"type": "int"},
    "container": {"type": "str"},
    "container_id": {"type": "str"},
    "networks": {"type": "list", "elements": "str", "default": []},
    "interface": {"type": "str"},
    "args": {"type": "dict", "default": {}},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "bin_dir": {"type": "path", "default": "/opt/cni/bin"},
    "conf_dir": {"type": "path", "default": "/etc/cni/net.d"},
    "network_dir": {"type": "path", "default": "/etc/cni/multinet/net.d"},
    "cache_dir": {"type": "path", "default": BY_CALLERS},
    "timeout": {"type": "int", "default": 180},
}


def inspector(module: AnsibleModule, said: list[str]) -> targets.Inspect:
    """Return the function that asks a container engine for a container; what an engine says instead
    of an answer is added to said.
    """

    def inspect(engine: str, name: str) -> str | None:
        executable = module.get_bin_path(engine)
        if executable is None:
            said.append(f"{engine} is not installed")
            return None
        status, out, err = module.run_command([executable, "inspect", "--type", "container", name])
        if status == 0:
            return out
        said.append(f"{engine}: {err.strip()}")
        return None

    return inspect


def act(
    module: AnsibleModule, attacher: attachment.Attacher, target: targets.Target, said: list[str]
) -> states.Done:
    """Do what is asked for; raise TargetError, Error. said: by container engines."""
    params = module.params
    asked = states.Asked(
        params["networks"],
        params["conf_dir"],
        params["network_dir"],
        params["interface"],
        module.check_mode,
    )
    if params["state"] == "absent":
        return states.absent(attacher, target, asked)
    if target.container_id is None:
        raise targets.TargetError(
            f"There is no container {params['container']} on this host: {'; '.join(said)}."
        )
    return states.present(attacher, target, asked, module.warn)


def interface_lines(entries: list[dict[str, Any]]) -> str:
    """Return entries as a diff shows them."""
    return "".join(f"{entry['ifName']}: {entry['network']}\n" for entry in entries)


def interfaces(
    attacher: attachment.Attacher, target: targets.Target, attached: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return what the target's attached entries gave it; nothing where its namespace is gone."""
    there = attached if target.netns else []
    return [item for entry in there for item in attacher.describe(target, entry)]


def main() -> None:
    """Attach a namespace to networks of this host, or detach it."""
    root.complete_path()
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        mutually_exclusive=[KINDS],
        required_one_of=[KINDS],
        supports_check_mode=True,
    )
    params = module.params
    if params["interface"] is not None and not conf.is_interface_name(params["interface"]):
        module.fail_json(
            msg=(
                f"The interface {params['interface']!r} cannot be an interface's name: write at"
                " most 15 characters, without spaces, '/' and ':'."
            )
        )
    kind = next(kind for kind in KINDS if params[kind] is not None)
    stderr: list[bytes] = []
    said: list[str] = []
    attacher = attachment.Attacher(
        [params["bin_dir"]],
        cache.Cache(params["cache_dir"]),
        args=";".join(f"{key}={value}" for key, value in sorted(params["args"].items())),
        timeout=params["timeout"],
        relay=stderr.append,
    )
    try:
        target = targets.find(
            kind, str(params[kind]), params["container_id"], inspector(module, said)
        )
        # a run that only looks writes nothing, so it takes no lock either; who only takes away does
        # so on a full disk, too
        alone = attacher.alone(target, needed=params["state"] == "present")
        with contextlib.nullcontext() if module.check_mode else alone:
            done = act(module, attacher, target, said)
        attached = [entry for entry in done.after if "config" in entry]
        module.exit_json(
            changed=bool(done.changed),
            container_id=target.container_id,
            interfaces=interfaces(attacher, target, attached),
            result={
                entry["network"]: entry["result"]
                for entry in attached
                if entry["networkName"] in done.asked
            },
            diff={"before": interface_lines(done.before), "after": interface_lines(done.after)},
        )
    except targets.TargetError as error:
        module.fail_json(msg=str(error))
    except errors.Error as error:
        what = "attachment" if params["state"] == "present" else "detachment"
        module.fail_json(
            msg=f"The {what} of {params[kind]} failed: {error}",
            cni_error={"code": error.code, "msg": error.msg, "details": error.details},
            plugins_stderr=b"".join(stderr).decode("utf-8", "replace")[-4000:],
        )


if __name__ == "__main__":
    main()
