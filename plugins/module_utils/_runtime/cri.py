# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pods of Kubernetes a host runs, by the OCI configurations its container runtime keeps: no
API, no socket, nothing run in a pod.
"""

from __future__ import annotations

import glob
import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# The sandbox of every pod has one. containerd also lies elsewhere in distributions that bring their
# own; CRI-O writes one even if it drops the infra container.
BUNDLES = (
    "/run/containerd/io.containerd.runtime.v2.task/k8s.io/*/config.json",
    "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/*/config.json",
    "/run/k0s/containerd/io.containerd.runtime.v2.task/k8s.io/*/config.json",
    "/var/snap/microk8s/common/run/containerd/io.containerd.runtime.v2.task/k8s.io/*/config.json",
    "/run/containers/storage/overlay-containers/*/userdata/config.json",
)
# (kind of container, name, namespace, uid, sandbox's id): annotations of containerd
# (pkg/cri/annotations), of CRI-O (pkg/annotations) and the kubelet.
CONTAINERD = tuple(
    "io.kubernetes.cri." + key
    for key in ("container-type", "sandbox-name", "sandbox-namespace", "sandbox-uid", "sandbox-id")
)
CRIO = (
    "io.kubernetes.cri-o.ContainerType",
    "io.kubernetes.cri-o.KubeName",
    "io.kubernetes.cri-o.Namespace",
    "io.kubernetes.pod.uid",
    "io.kubernetes.cri-o.SandboxID",
)


def sandbox(config: dict[str, Any]) -> dict[str, Any] | None:
    """Return {"namespace", "name", "uid", "container": id, "netns": path or "", "host_network":
    bool} of an OCI configuration; None if it is no sandbox.
    """
    said = config.get("annotations") or {}
    for kind, name, namespace, uid, container in (CONTAINERD, CRIO):
        if said.get(kind) == "sandbox" and said.get(name) and said.get(namespace):
            # CRI-O names the host's own network namespace, too
            shared = said.get("io.kubernetes.cri-o.HostNetwork") == "true"
            namespaces = (config.get("linux") or {}).get("namespaces") or []
            own = [one for one in namespaces if one.get("type") == "network" and not shared]
            return {
                "namespace": said[namespace],
                "name": said[name],
                "uid": said.get(uid, ""),
                "container": said.get(container, ""),
                "netns": (own[0].get("path") or "") if own else "",
                "host_network": not own,
            }
    return None


def sandboxes(patterns: Iterable[str] = BUNDLES) -> list[dict[str, Any]]:
    """Return what sandbox() says of every file that the globs match.

    Files that are torn or go meanwhile stay out.
    """
    found = []
    for pattern in patterns:
        for path in sorted(glob.glob(pattern)):
            try:
                with open(path, encoding="utf-8") as file:
                    one = sandbox(json.load(file))
            except (OSError, ValueError, AttributeError, TypeError):
                continue
            if one:
                found.append(one)
    return found


def label(one: dict[str, Any]) -> str:
    """Return what a sandbox is called in reports."""
    return f"{one['namespace']}/{one['name']}"
