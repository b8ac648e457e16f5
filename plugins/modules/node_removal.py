#!/usr/bin/python
# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_removal
short_description: Remove networks, and everything else that the collection created, from a host
version_added: 0.1.0
description:
  - Removes networks from a host completely. First it removes the CNI configuration, so that no new
    container gets the network, then the attachments of running containers, then the daemon with its
    devices and files.
  - It skips what does not exist, so another run completes an interrupted removal. The host's own
    record of the deployment is not changed.
  - Before it removes networks, it records in C(/etc/multinet) how to find their leases in etcd.
author:
  - multinet.flannel authors (@multinet-flannel)
extends_documentation_fragment:
  - multinet.flannel.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Lists what is removed, in order.
options:
  networks:
    description: The networks to remove, from the plan of their deployment.
    type: list
    elements: dict
    default: []
  all_deployed:
    description: Also remove all networks that are in the host's own record of the deployment. The
        paths in the record are used instead of O(cni_conf) and O(cni_bin_dir), if it has them
        (records of older versions do not).
    type: bool
    default: false
  cni_conf:
    description: The host's own CNI configuration. These networks are removed from its delegates
      first.
    type: path
    default: /etc/cni/net.d/00-multinet.conf
  cni_bin_dir:
    description: Directory of the CNI plugins, with which running containers are detached.
    type: path
    default: /opt/cni/bin
  keepers:
    description: Units that could create or remove devices of the networks. They are stopped and
      disabled together with the networks' daemons, before the devices are removed.
    type: list
    elements: str
    default: []
  former:
    description: What to remove because the declaration of a network changed, as
      M(multinet.flannel.node_preflight) returns it. O(all_deployed) adds what an interrupted run
      left.
    type: list
    elements: dict
    default: []
  units:
    description: Units to stop and disable after the networks are gone.
    type: list
    elements: str
    default: []
  nft_tables:
    description: nftables tables of the families inet and bridge to delete after the units are
      stopped.
    type: list
    elements: str
    default: []
  paths:
    description: Files and directories to remove at the end. A V(*) stands for any part of a name.
    type: list
    elements: path
    default: []
  executables:
    description: Executables to remove. Those that the collection did not install stay, and RV(kept)
      says why. Three things are restored even if they are not in the list. These are executables
      that the meta-plugin replaced, a configuration of Multus that has that of this collection as
      its delegate, and the files that M(multinet.flannel.node_takeover) kept. The daemons that
      node_takeover stopped are started again.
    type: list
    elements: path
  empty_directories:
    description: Directories to remove only if they are empty, because others may use them, too.
      O(all_deployed) adds those that did not exist on the host before the first deployment.
    type: list
    elements: path
    default: []
"""

EXAMPLES = r"""
- name: Remove the networks that are no longer declared
  multinet.flannel.node_removal:
    networks: "{{ __preflight_host.removed }}"
"""

RETURN = r"""
networks:
  description: The networks that were (in check mode, would be) removed, from the plan of their
    deployment.
  returned: success
  type: list
  elements: dict
pods:
  description: The running pods (namespace/name) that lost (in check mode, would lose) interfaces.
    They run without these interfaces until somebody deletes them.
  returned: success
  type: list
  elements: str
  sample: [default/web-0]
leases:
  description: How to find the host's leases of each network in etcd. Keys are names of networks.
  returned: success
  type: dict
  contains:
    subnets:
      description: The subnets that this host had in the network.
      type: list
      elements: str
    public:
      description: Addresses of the host. The lease has one of them as public IP.
      type: list
      elements: str
    mac:
      description: The MAC of its tunnel device. Null without one.
      type: str
  sample:
    red: {subnets: [10.3.7.0/24], public: [192.0.2.7], mac: "82:00:00:00:00:01"}
host:
  description: The identity of the machine, as M(multinet.flannel.node_executables) returns it.
  returned: success
  type: dict
etcd:
  description: How the networks' daemons reach etcd, from their settings. Without daemons, how the
    host reaches its own etcd member.
  returned: success
  type: dict
  contains:
    endpoints:
      description: URLs.
      type: list
      elements: str
    tls:
      description: Whether they use certificates.
      type: bool
kept:
  description: Executables and configurations of Multus that stay, with the reason, one sentence
    each.
  returned: success
  type: list
  elements: str
removed:
  description: What was (in check mode, would be) removed, in order.
  returned: always
  type: list
  elements: str
  sample: ["unit flanneld@red.service", "device mn-red"]
"""

import functools
import os
from typing import Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.multinet.flannel.plugins.module_utils._attach import (
    detachment,
    pod_news,
    to_multus,
)
from ansible_collections.multinet.flannel.plugins.module_utils._cni.files import listed
from ansible_collections.multinet.flannel.plugins.module_utils._node import (
    adopted,
    deployed,
    executables,
    files,
    host_removal,
    identity,
    lock,
    multus,
    network_removal,
    removal,
    root,
    written,
)
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError
from ansible_collections.multinet.flannel.plugins.module_utils._observe import behind
from ansible_collections.multinet.flannel.plugins.module_utils._runtime import cri


def deployment_record() -> deployed.Record:
    """Return this host's record, {} without one; raise DeployedError where it is lost."""
    record = deployed.read() or deployed.Record()
    lost = [] if record else deployed.networks_here()
    if lost:  # or their daemons and devices would stay, without anybody who knows them
        raise deployed.DeployedError(
            f"{deployed.is_lost(lost)}. {deployed.ANEW}, and then run this playbook again."
        )
    return record


class Removal(NamedTuple):
    """What is to go from this host, and what there is to say about it."""

    steps: list[removal.Step]
    networks: list[dict[str, Any]]  # that go, as they were planned
    pods: list[str]  # that run on without them
    kept: list[str]  # a sentence for what stays
    leases: dict[str, Any]
    news: pod_news.PodNews


def look(module: AnsibleModule) -> Removal:
    """Return what the options mean on this host. Nothing is changed.

    Raises ArtifactError, RemovalError, DeployedError, OSError, ValueError.
    """
    record = deployment_record() if module.params["all_deployed"] else deployed.Record()
    # where this host has them: the inventory may be another one
    there = {key: record[key] for key in ("cni_conf", "cni_bin_dir") if key in record}
    params = {**module.params, **there}
    networks = list(params["networks"])
    named = {network["name"] for network in networks}
    networks += [
        network
        for network in record.get("plan", {}).get("networks", [])
        if network["name"] not in named
    ]
    host = removal.Host(module.run_command)
    leases = network_removal.held(host, networks)
    going: list[str] = []
    kept: list[str] = []
    launchers: list[str] = []
    half_written: list[str] = []
    if params["executables"] is not None:
        launchers = sorted({*params["executables"], *executables.launchers()})
        going, kept = host_removal.sort_executables(launchers)
        conf_dir = os.path.dirname(params["cni_conf"])
        kept += multus.stays(multus.look(conf_dir, ""), multus.kept(conf_dir))
        kept += adopted.by_hand()
        confs = [os.path.join(conf_dir, name) for name in listed(conf_dir)]
        written = {*launchers, *executables.installed_sums()}
        written.update(files.original(path) for path in [*launchers, *confs])
        half_written = removal.leftovers(sorted(written))
    given_back = adopted.kept_files()
    paths = params["paths"] + going
    if module.params["cni_conf"] in paths:
        paths = [*paths, params["cni_conf"]]
    sandboxes = cri.sandboxes() if networks else []
    pods = detachment.pod_names(sandboxes)
    news = pod_news.PodNews(sandboxes)
    losing = detachment.pods_on([network["cni_name"] for network in networks], pods)
    asked = dict(
        params,
        networks=networks,
        former=params["former"] + record.get("former", []),
        paths=[path for path in paths if path not in given_back] + half_written,
        empty_directories=params["empty_directories"] + record.get("directories", []),
        launchers=launchers,
    )
    means = host_removal.Means(
        functools.partial(
            detachment.detach_steps, bin_dir=params["cni_bin_dir"], pods=pods, tell=news.lost
        ),
        to_multus.steps,
        functools.partial(behind.ends, module.run_command),
    )
    steps = host_removal.steps(host, asked, means)
    return Removal(steps, networks, losing, kept, leases, news)


def act(found: Removal, done: list[str]) -> None:
    """Take the steps, and add what each removed to `done`.

    Raises ArtifactError, RemovalError, LockError, OSError, ValueError.
    """
    with lock.by_run():
        if found.networks:
            network_removal.remember(found.leases)
        for step in found.steps:
            step.act()
            done.append(step.what)
        written.forget()


def main() -> None:
    module = AnsibleModule(
        argument_spec=dict(
            networks=dict(type="list", elements="dict", default=[]),
            all_deployed=dict(type="bool", default=False),
            cni_conf=dict(type="path", default="/etc/cni/net.d/00-multinet.conf"),
            cni_bin_dir=dict(type="path", default="/opt/cni/bin"),
            keepers=dict(type="list", elements="str", default=[]),
            former=dict(type="list", elements="dict", default=[]),
            units=dict(type="list", elements="str", default=[]),
            nft_tables=dict(type="list", elements="str", default=[]),
            paths=dict(type="list", elements="path", default=[]),
            executables=dict(type="list", elements="path"),
            empty_directories=dict(type="list", elements="path", default=[]),
        ),
        supports_check_mode=True,
    )
    refused = root.prepare()
    if refused:
        module.fail_json(msg=refused, removed=[])
    done: list[str] = []
    try:
        found = look(module)
        # before the steps, which may remove what it is read from
        who, etcd = identity.look(), network_removal.data_store(found.networks)
        if found.steps and not module.check_mode:
            act(found, done)
    except (
        ArtifactError,
        removal.RemovalError,
        lock.LockError,
        deployed.DeployedError,
        OSError,
        ValueError,
    ) as error:
        module.fail_json(msg=removal.interrupted(error, "Removed", done), removed=done)
    for sentence in found.news.problems:
        module.warn(sentence)
    removed = [step.what for step in found.steps]
    module.exit_json(
        changed=bool(removed),
        removed=removed,
        kept=found.kept,
        networks=found.networks,
        pods=found.pods,
        leases=found.leases,
        etcd=etcd,
        host=who,
        diff=dict(before="".join(what + "\n" for what in removed), after=""),
    )


if __name__ == "__main__":
    main()
