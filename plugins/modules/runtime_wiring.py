#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: runtime_wiring
short_description: Configure a host's container runtimes and kubelet for the meta-plugin
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Looks for containerd, CRI-O, kubelet and docker, and changes only the necessary settings in
    their files.
  - A kubelet before 1.24 gets its CNI options in C(/etc/default/kubelet) or
    C(/etc/sysconfig/kubelet). Docker gets a drop-in for its unit, so that its own bridge is in
    O(docker_network). Only with O(configure), the configuration of containerd is changed, and CRI-O
    gets a drop-in with the CNI directories and the name of the meta-plugin's network.
  - The former content of each file is kept in C(/etc/multinet/runtime.json). O(state=absent)
    restores it.
  - Running units are restarted if their files changed. A restart of docker restarts its containers.
extends_documentation_fragment:
  - multinet.flannel.cni.cni_bin_dir
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows the files before and after.
options:
  state:
    description: V(present) configures the meta-plugin, V(absent) restores the former configuration.
    type: str
    choices: [present, absent]
    default: present
  cni_conf_dir:
    description: Directory of the host's CNI configuration.
    type: path
    default: /etc/cni/net.d
  containerd_config:
    description: The configuration file of containerd.
    type: path
    default: /etc/containerd/config.toml
  configure:
    description: Whether to change the configuration of containerd and CRI-O if they have other CNI
      directories or use another CNI configuration.
    type: bool
    default: false
  docker_network:
    description: The network of the plan for docker's own bridge. The module reads C(name), C(cidr),
      C(unit) and C(subnet_file) of it.
    type: dict
"""

EXAMPLES = r"""
- name: Configure the container runtimes for the meta-plugin
  multinet.flannel.runtime_wiring:
    cni_conf_dir: /etc/cni/net.d
    cni_bin_dir: /opt/cni/bin

- name: Restore the former configuration
  multinet.flannel.runtime_wiring:
    state: absent
"""

RETURN = r"""
changed_files:
  description: The files that were (in check mode, would be) changed.
  returned: success
  type: list
  elements: str
  sample: [/etc/crio/crio.conf.d/90-multinet.conf]
restarted:
  description: The units that were (in check mode, would be) restarted, if they are running.
  returned: success
  type: list
  elements: str
  sample: [crio.service]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._node import root
from ansible_collections.multinet.flannel.plugins.module_utils._runtime import wiring


def main() -> None:
    """Have the container runtimes of this host use what is deployed, or what they used before."""
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["present", "absent"], default="present"),
            cni_conf_dir=dict(type="path", default="/etc/cni/net.d"),
            cni_bin_dir=dict(type="path", default="/opt/cni/bin"),
            containerd_config=dict(type="path", default="/etc/containerd/config.toml"),
            configure=dict(type="bool", default=False),
            docker_network=dict(type="dict"),
        ),
        supports_check_mode=True,
    )
    refused = root.prepare()
    if refused:
        module.fail_json(msg=refused)
    try:
        due = _due(module)
        diff = [
            dict(
                before_header=path,
                after_header=path,
                before=wiring.read(path) or "",
                after=text or "",
            )
            for path, text in sorted(due.changes.items())
        ]
        if due.is_any and not module.check_mode:
            wiring.Host(module.run_command).bring(due)
    except (wiring.WiringError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(due.changes or due.restarts),
        changed_files=sorted(due.changes),
        restarted=due.restarts,
        diff=diff,
    )


def _due(module: AnsibleModule) -> wiring.Due:
    """Return what is to be done, and warn of what CRI-O is about to do.

    Raises WiringError, OSError.
    """
    params = module.params
    if params["state"] == "absent":
        return wiring.due(None, None)
    observed = wiring.observe(module.run_command, params["containerd_config"])
    settings = wiring.Settings(
        params["cni_conf_dir"],
        params["cni_bin_dir"],
        params["containerd_config"],
        params["configure"],
        params["docker_network"],
    )
    former_pods = (
        wiring.crio_former_pods(params["cni_conf_dir"]) if observed["crio"] is not None else []
    )
    if former_pods:
        module.warn(
            "These pods were started with another CNI configuration, and CRI-O detaches them at its"
            " next start. Before that, delete these pods so that they are made again, or write"
            f' "disableGC": true into that configuration: {", ".join(former_pods)}.'
        )
    return wiring.due(observed, settings)


if __name__ == "__main__":
    main()
