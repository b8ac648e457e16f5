# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where each distribution of Kubernetes has what a CNI is concerned with."""

from __future__ import annotations

# Distribution -> paths: CNI configurations and executables, the configuration of containerd
DISTRIBUTIONS = {
    "kubeadm": {
        "cni_conf_dir": "/etc/cni/net.d",
        "cni_bin_dir": "/opt/cni/bin",
        "containerd_config": "/etc/containerd/config.toml",
    },
    # The directory of executables since the releases of October 2024 (1.28.15, 1.29.10, 1.30.6,
    # 1.31.2); before, it was data/current/bin.
    "k3s": {
        "cni_conf_dir": "/var/lib/rancher/k3s/agent/etc/cni/net.d",
        "cni_bin_dir": "/var/lib/rancher/k3s/data/cni",
        "containerd_config": "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
    },
    "rke2": {
        "cni_conf_dir": "/etc/cni/net.d",
        "cni_bin_dir": "/opt/cni/bin",
        "containerd_config": "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
    },
    "k0s": {
        "cni_conf_dir": "/etc/cni/net.d",
        "cni_bin_dir": "/opt/cni/bin",
        "containerd_config": "/etc/k0s/containerd.toml",
    },
    "microk8s": {
        "cni_conf_dir": "/var/snap/microk8s/current/args/cni-network",
        "cni_bin_dir": "/var/snap/microk8s/current/opt/cni/bin",
        "containerd_config": "/var/snap/microk8s/current/args/containerd.toml",
    },
}


def paths(distribution: str) -> dict[str, str]:
    """Return the paths of a distribution; raise ValueError with a sentence for an unknown one."""
    if distribution not in DISTRIBUTIONS:
        raise ValueError(
            f"multinet_kubernetes_distribution is {distribution!r}; write one of"
            f" {', '.join(DISTRIBUTIONS)}, or set multinet_cni_conf_dir and multinet_cni_bin_dir"
            " yourself."
        )
    return DISTRIBUTIONS[distribution]
