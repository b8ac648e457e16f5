# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""flanneld as pods: one DaemonSet per network, with upstream's image. Pure; runs on the controller.

One per network, so that a network is added, changed and removed without the others' daemons being
restarted.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from .._plan import secrets
from . import guards
from .objects import NETWORK_LABEL, Item, labelled

PKI_DIR = "/etc/multinet/pki"
SECRET = "multinet-etcd-client"
# The guard's file of a network (roles/isolation/files/isolation.py).
GUARDED = "/run/multinet-isolation/guarded"
# Annotation of a pod: what it was made of.
SUM = "multinet.flannel/sum"
CONTAINER = "flanneld"


def name(network: Mapping[str, Any]) -> str:
    """Return the name of a network's DaemonSet and of its ConfigMap."""
    return "multinet-flannel-" + network["name"]


def objects(
    plan: Mapping[str, Any],
    environments: Mapping[str, Mapping[str, str]],
    settings: Mapping[str, Any],
) -> list[Item]:
    """Return the objects that run flanneld in pods.

    plan: as _plan.plan.plan() makes it. environments: {network: environment of its flanneld}.
    settings: {namespace, image, max_unavailable: on how many nodes flanneld is replaced at a time
    (int, or a percentage as text), pki: {file name: content} of etcd's client certificates, or {}}.
    """
    namespace, pki = settings["namespace"], settings["pki"]
    made = [labelled(_secret(SECRET), None, namespace)] if pki else []
    for network in plan["networks"]:
        parts = [_config(network)] if network["net_config_file"] else []
        parts.append(_daemon_set(network, environments[network["name"]], settings))
        made += [labelled(part, network["name"], namespace) for part in parts]
    return made


def sample(plan: Mapping[str, Any], namespace: str, image: str) -> Item:
    """Return a pod as the DaemonSet of a plan's first network makes them."""
    settings = {"image": image, "max_unavailable": 1, "pki": {}}
    made = _daemon_set(plan["networks"][0], {}, settings)
    template = made["spec"]["template"]
    metadata = dict(template["metadata"], generateName=made["metadata"]["name"] + "-")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": dict(metadata, namespace=namespace),
        "spec": template["spec"],
    }


def contents(plan: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return what is in the Secrets that objects() makes without it: {namespace/name: {file name:
    content}}.

    settings: those of objects(), and secrets: as _plan.secrets.secrets() returns them.
    """
    found = {SECRET: dict(settings["pki"])} if settings["pki"] else {}
    for network in plan["networks"]:
        if network["net_config_file"] and secrets.has_any(network):
            config = secrets.unmasked(network, settings["secrets"])
            found[name(network)] = {_file(network): _text(config)}
    return {f"{settings['namespace']}/{secret}": files for secret, files in found.items()}


def with_contents(item: Item, known: Mapping[str, Mapping[str, str]]) -> Item:
    """Return a Secret with what is in it. known: as contents() returns it; raises KeyError."""
    files = known[f"{item['metadata']['namespace']}/{item['metadata']['name']}"]
    data = {file: base64.b64encode(text.encode()).decode() for file, text in files.items()}
    return {**item, "data": data}


def _secret(called: str) -> Item:
    """Return a Secret, without what is in it."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": called}, "type": "Opaque"}


def _config(network: Mapping[str, Any]) -> Item:
    """Return what has flannel's configuration of a network, where no etcd has it."""
    if secrets.has_any(network):
        return _secret(name(network))
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name(network)},
        "data": {_file(network): _text(network["flannel_config"])},
    }


def _file(network: Mapping[str, Any]) -> str:
    return str(network["net_config_file"].rpartition("/")[2])


def _text(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=2, sort_keys=True) + "\n"


def _daemon_set(
    network: Mapping[str, Any], environment: Mapping[str, str], settings: Mapping[str, Any]
) -> Item:
    labels = {"app.kubernetes.io/name": "flannel", NETWORK_LABEL: network["name"]}
    pod = _pod(network, environment, settings["image"])
    # flanneld reads its certificates once, so other ones are another pod
    made_of = json.dumps([pod, settings["pki"]], sort_keys=True)
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name(network)},
        "spec": {
            "selector": {"matchLabels": labels},
            # The old daemon ends before the new one begins, for they share a port; what the kernel
            # has of the network stays meanwhile. One that does not run stops the update there.
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": settings["max_unavailable"], "maxSurge": 0},
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


def _pod(network: Mapping[str, Any], environment: Mapping[str, str], image: str) -> Item:
    """Return the spec of a network's pods."""
    volumes, mounts = _volumes(network, environment)
    return {
        "hostNetwork": True,
        "priorityClassName": "system-node-critical",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 5,
        "tolerations": [{"operator": "Exists"}],
        # the same whichever nodes there are: for one that joins, no other's pod is replaced
        "nodeSelector": guards.selector(network["name"]),
        "containers": [_container(network, environment, image, mounts)],
        "volumes": volumes,
    }


def _container(
    network: Mapping[str, Any], environment: Mapping[str, str], image: str, mounts: list[Item]
) -> Item:
    probe = {"httpGet": {"host": "127.0.0.1", "port": network["healthz_port"], "path": "/healthz"}}
    return {
        "name": CONTAINER,
        "image": image,
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
        # the pod's status shows why it ended
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {"requests": {"cpu": "20m", "memory": "50Mi"}},
        "readinessProbe": dict(probe, periodSeconds=5),
        "livenessProbe": dict(probe, periodSeconds=20, failureThreshold=6),
        "volumeMounts": mounts,
    }


def _volumes(
    network: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[list[Item], list[Item]]:
    """Return the volumes of a network's pods, and where flanneld has them."""
    # no network without its guard: where there is no such file, the kubelet does not start the pod
    volumes = [
        _host_path("run", "/run/flannel"),
        _host_path("guarded", f"{GUARDED}/{network['name']}", "File"),
    ]
    mounts: list[Item] = [
        {"name": "run", "mountPath": "/run/flannel"},
        {"name": "guarded", "mountPath": "/run/guarded", "readOnly": True},
    ]
    if network["net_config_file"]:
        volumes.append(
            {"name": "config", "secret": {"secretName": name(network), "defaultMode": 0o400}}
            if secrets.has_any(network)
            else {"name": "config", "configMap": {"name": name(network)}}
        )
        directory = network["net_config_file"].rpartition("/")[0]
        mounts.append({"name": "config", "mountPath": directory, "readOnly": True})
    if any(value.startswith(PKI_DIR) for value in environment.values()):
        volumes.append({"name": "pki", "secret": {"secretName": SECRET, "defaultMode": 0o400}})
        mounts.append({"name": "pki", "mountPath": PKI_DIR, "readOnly": True})
    return volumes, mounts


def _host_path(volume: str, path: str, kind: str = "DirectoryOrCreate") -> Item:
    return {"name": volume, "hostPath": {"path": path, "type": kind}}


def _field(variable: str, path: str) -> Item:
    return {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": path}}}
