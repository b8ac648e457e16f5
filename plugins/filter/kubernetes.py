# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Kubernetes cluster and its nodes get, from the plan.

Most filters are a name for one pure function of module_utils/_kubernetes.
"""

from __future__ import annotations

import pathlib

import yaml
from ansible.parsing.yaml import dumper
from ansible_collections.multinet.flannel.plugins.filter import flanneld
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import (
    checks,
    daemonset,
    node,
    objects,
)
from ansible_collections.multinet.flannel.plugins.module_utils._node import units


def kubernetes_objects(plan, settings):
    """Return objects.objects(plan, settings), and with settings["daemonset"] what runs flanneld in
    pods. Raises AnsibleFilterError.

    settings["daemonset"]: {image, node_names, flanneld: the settings of filter flanneld_units,
    pki_dir: directory of etcd's client certificates on the controller, or ""}, or null.
    """
    made = objects.objects(plan, settings)
    pods = settings.get("daemonset")
    if pods:
        # the kubelet fills in what is each node's own
        environments = flanneld.flanneld_units(
            plan, dict(pods["flanneld"], public_ip="$(HOST_IP)", node_name="$(NODE_NAME)")
        )
        made += daemonset.objects(
            plan,
            {
                network["name"]: units.parse_environment(unit["environment"])
                for network, unit in zip(plan["networks"], environments)
            },
            {
                "namespace": settings["namespace"],
                "image": pods["image"],
                "node_names": pods["node_names"],
                "pki": _certificates(pods["pki_dir"]),
            },
        )
    return made


def _certificates(directory):
    """Return {file name: content} of the client certificates in a directory; nothing while they are
    not made.
    """
    if not directory:
        return {}
    files = [
        pathlib.Path(directory).expanduser() / file
        for file in ("ca.crt", "client.crt", "client.key")
    ]
    return (
        {file.name: file.read_text(encoding="ascii") for file in files}
        if all(file.exists() for file in files)
        else {}
    )


def kubernetes_manifest(made):
    """Return objects (list of dict) as one YAML text; a Secret does not belong into a file, so
    there is a comment on how to make it.
    """
    texts = [
        (
            f"# {objects.label(item)}: make it from the files in multinet_pki_dir:\n# kubectl -n"
            f" {item['metadata']['namespace']} create secret generic {item['metadata']['name']}"
            " --from-file=ca.crt --from-file=client.crt --from-file=client.key\n"
            if item["kind"] == "Secret"
            else yaml.dump(item, Dumper=dumper.AnsibleDumper, sort_keys=False, width=160)
        )
        for item in made
    ]
    return "".join("---\n" + text for text in texts)


class FilterModule:
    """The filters of this file."""

    def filters(self):
        """Return the filters by name."""
        return {
            "kubernetes_objects": kubernetes_objects,
            "kubernetes_manifest": kubernetes_manifest,
            "kubernetes_node_names": lambda hostvars, hosts: [
                hostvars[host].get("multinet_node_name", host) for host in hosts
            ],
            "kubernetes_accounts": objects.accounts,
            "kubernetes_node_files": node.files,
            "kubernetes_cluster_problems": checks.cluster_problems,
            "kubernetes_node_problems": checks.node_problems,
        }
