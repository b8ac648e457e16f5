#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: runtime_wiring
short_description: Have a host's container runtimes and kubelet use the meta-plugin
version_added: 0.1.0
author:
  - multinet.flannel authors (@multinet-flannel)
description:
  - Looks for containerd, CRI-O, a kubelet and docker, and changes of their files what has to be,
    and nothing else.
  - A kubelet before 1.24 gets its options about CNI in C(/etc/default/kubelet) or
    C(/etc/sysconfig/kubelet). Docker gets a drop-in of its unit that puts its own bridge into a
    network. Only when O(configure) is set, the configuration of containerd is changed, and CRI-O
    gets a drop-in with the directories of CNI and with the name of the meta-plugin's network.
  - What a file was before is remembered in C(/etc/multinet/runtime.json) and comes back with
    O(state=absent).
  - Units are restarted when what they read has changed and they are running. Restarting docker
    restarts its containers.
extends_documentation_fragment:
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows the files before and after.
options:
  state:
    description: Whether the runtimes use the meta-plugin, or what they used before.
    type: str
    choices: [present, absent]
    default: present
  cni_conf_dir:
    description: Where the CNI configuration of the host is.
    type: path
    default: /etc/cni/net.d
  cni_bin_dir:
    description: Where the executables of CNI are.
    type: path
    default: /opt/cni/bin
  containerd_config:
    description: The configuration of containerd.
    type: path
    default: /etc/containerd/config.toml
  configure:
    description: Whether the configuration of containerd and CRI-O may be changed where their
      directories are others, or they use other CNI configurations.
    type: bool
    default: false
  docker_network:
    description: The network, as in the plan, that docker's own bridge is to be in. Of it, C(name),
      C(cidr), C(unit) and C(subnet_file) are read.
    type: dict
"""

EXAMPLES = r"""
- name: Have the container runtimes use the meta-plugin
  multinet.flannel.runtime_wiring:
    cni_conf_dir: /etc/cni/net.d
    cni_bin_dir: /opt/cni/bin

- name: Put everything back
  multinet.flannel.runtime_wiring:
    state: absent
"""

RETURN = r"""
changed_files:
  description: The files that were (in check mode would be) changed.
  returned: success
  type: list
  elements: str
  sample: [/etc/crio/crio.conf.d/90-multinet.conf]
restarted:
  description: The units that were (in check mode would be) restarted if they are running.
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
