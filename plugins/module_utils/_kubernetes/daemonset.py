# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""flanneld as pods: one DaemonSet per network, with upstream's image. Pure.

One per network, so that a network is added, changed and removed without the others' daemons being
restarted.
"""

from __future__ import annotations

import base64
import hashlib
import json

from .objects import NETWORK_LABEL, labelled

PKI_DIR = "/etc/multinet/pki"
SECRET = "multinet-etcd-client"
#: Annotation of a pod: what it was made of.
SUM = "multinet.flannel/sum"


def name(network):
    """Return the name (str) of a network's DaemonSet and of its ConfigMap."""
    return "multinet-flannel-" + network["name"]


def objects(plan, environments, settings):
    """Return the objects (list of dict) that run flanneld in pods.

    plan: as _plan.plan.plan() makes it. environments: {network: environment of its flanneld (dict
    of str)}. settings: {namespace, image,
    node_names: the nodes that carry the networks (list of str), pki: {file name: content} of etcd's
    client certificates, or {}}.
    """
    made = []
    namespace, pki = settings["namespace"], settings["pki"]
    if pki:
        data = {file: base64.b64encode(content.encode()).decode() for file, content in pki.items()}
        made.append(
            labelled(
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": SECRET},
                    "type": "Opaque",
                    "data": data,
                },
                None,
                namespace,
            )
        )
    for network in plan["networks"]:
        if network["net_config_file"]:
            file = network["net_config_file"].rpartition("/")[2]
            data = {file: json.dumps(network["flannel_config"], indent=2, sort_keys=True) + "\n"}
            made.append(
                labelled(
                    {
                        "apiVersion": "v1",
                        "kind": "ConfigMap",
                        "metadata": {"name": name(network)},
                        "data": data,
                    },
                    network["name"],
                    namespace,
                )
            )
        made.append(
            labelled(
                _daemon_set(network, environments[network["name"]], settings),
                network["name"],
                namespace,
            )
        )
    return made


def _daemon_set(network, environment, settings):
    labels = {"app.kubernetes.io/name": "flannel", NETWORK_LABEL: network["name"]}
    volumes = [_host_path("run", "/run/flannel")]
    mounts = [{"name": "run", "mountPath": "/run/flannel"}]
    if network["net_config_file"]:
        volumes.append({"name": "config", "configMap": {"name": name(network)}})
        mounts.append(
            {
                "name": "config",
                "mountPath": network["net_config_file"].rpartition("/")[0],
                "readOnly": True,
            }
        )
    if any(value.startswith(PKI_DIR) for value in environment.values()):
        volumes.append({"name": "pki", "secret": {"secretName": SECRET, "defaultMode": 0o400}})
        mounts.append({"name": "pki", "mountPath": PKI_DIR, "readOnly": True})
    probe = {"httpGet": {"host": "127.0.0.1", "port": network["healthz_port"], "path": "/healthz"}}
    container = {
        "name": "flanneld",
        "image": settings["image"],
        "command": ["/opt/bin/flanneld"],
        "env": (
            [_field("HOST_IP", "status.hostIP"), _field("NODE_NAME", "spec.nodeName")]
            + [
                {"name": key, "value": value}
                for key, value in sorted(environment.items())
                if key != "NODE_NAME"
            ]
        ),
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
        },
        "resources": {"requests": {"cpu": "20m", "memory": "50Mi"}},
        "readinessProbe": dict(probe, periodSeconds=5),
        "livenessProbe": dict(probe, periodSeconds=20, failureThreshold=6),
        "volumeMounts": mounts,
    }
    # by the name of the node alone: a node that is not in the inventory has no guard, and so gets
    # no network
    terms = [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
        for node in sorted(settings["node_names"])
    ]
    pod = {
        "hostNetwork": True,
        "priorityClassName": "system-node-critical",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 5,
        "tolerations": [{"operator": "Exists"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
            }
        },
        "containers": [container],
        "volumes": volumes,
    }
    # flanneld reads its certificates once, so other ones are another pod
    made_of = json.dumps([pod, settings["pki"]], sort_keys=True)
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name(network)},
        "spec": {
            "selector": {"matchLabels": labels},
            # the old daemon ends before the new one begins, for they share a port; what the kernel
            # has of the network stays meanwhile
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "100%", "maxSurge": 0},
            },
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {SUM: hashlib.sha256(made_of.encode()).hexdigest()},
                },
                "spec": pod,
            },
        },
    }


def _host_path(volume, path):
    return {"name": volume, "hostPath": {"path": path, "type": "DirectoryOrCreate"}}


def _field(variable, path):
    return {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": path}}}
