# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods with three networks, made and deleted in waves on a real cluster of three nodes: each has
its interfaces, and nothing of any is left.

Each wave is made while the one before is deleted. Makes the cluster and removes it. Needs root and
`make test-programs`.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import conformance

STATUS = "k8s.v1.cni.cncf.io/network-status"
INTERFACES = ["eth0", "net1", "net2"]

# What a node keeps for its pods: what the meta-plugin, IPAM and the runtime noted, devices, and the
# ports of the bridges' table.
KEPT = r"""
find /var/lib/cni -type f ! -name 'last_reserved*' ! -name lock 2>/dev/null
ip -o link | grep -oE 'veth[^:@]*'
ls /run/netns 2>/dev/null
nft list table bridge multinet 2>/dev/null | grep -oE 'veth[0-9a-f]+'
true
"""


def pod(name: str) -> dict[str, object]:
    """Return a pod that is Ready once it has the interfaces of three networks."""
    see = 'test "$(ls /sys/class/net | grep -E \'^(eth|net)\' | xargs)" = "' + " ".join(INTERFACES)
    container = {
        "name": "pod",
        "image": "localhost/pod:test",
        "startupProbe": {
            "exec": {"command": ["sh", "-c", see + '"']},
            "periodSeconds": 1,
            "failureThreshold": 5,
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"wave": name.rpartition("-")[0]},
            "annotations": {"k8s.v1.cni.cncf.io/networks": "green"},
        },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "restartPolicy": "Never",
            "containers": [container],
        },
    }


def lacking(pods: list[dict]) -> list[str]:
    """Return a sentence for each pod (as the API has it) whose status does not name its
    interfaces.
    """
    found = []
    for one in pods:
        text = one["metadata"].get("annotations", {}).get(STATUS, "[]")
        has = [entry.get("interface") for entry in json.loads(text)]
        if has != INTERFACES:
            found.append(f"{one['metadata']['name']} has {has} instead of {INTERFACES}")
    return found


def kept() -> dict[str, list[str]]:
    """Return {node: what it keeps for pods}."""
    return {
        node: sorted(
            subprocess.run(
                ["podman", "exec", "-i", node, "sh"],
                input=KEPT,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            ).stdout.split()
        )
        for node in conformance.NODES
    }


def kubectl(cluster: conformance.Cluster, *words: str, stdin: str = "") -> str:
    """Return what kubectl prints; raises CalledProcessError."""
    return subprocess.run(
        ["kubectl", *words],
        env=cluster.environment,
        input=stdin,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def churn(cluster: conformance.Cluster, waves: int, pods: int) -> list[str]:
    """Make and delete so many waves of so many pods; return a sentence for each thing that is
    wrong.
    """
    before, wrong = kept(), []
    for wave in range(waves):
        begin = time.monotonic()
        items = [pod(f"wave{wave}-{number}") for number in range(pods)]
        made = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        kubectl(cluster, "apply", "-f", "-", stdin=made)
        label = f"--selector=wave=wave{wave}"
        kubectl(cluster, "wait", "--for=condition=Ready", "pod", label, "--timeout=300s")
        ready = time.monotonic() - begin
        wrong += lacking(json.loads(kubectl(cluster, "get", "pod", label, "-o", "json"))["items"])
        kubectl(cluster, "delete", "pod", label, "--wait=false")
        print(f"wave {wave + 1} of {waves}: Ready after {ready:.1f} s", flush=True)
    kubectl(cluster, "wait", "--for=delete", "pod", "--all", "--timeout=300s")
    # the runtime forgets a container a moment after the API does
    for dummy in range(60):
        after = kept()
        if after == before:
            break
        time.sleep(1)
    for node, has in after.items():
        more = sorted(set(has) - set(before[node]))
        if more:
            wrong.append(f"{node} keeps {', '.join(more)}")
    return wrong


def main() -> int:
    """See --help. Return 1 when anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--waves", type=int, default=5, help="how many (default 5)")
    parser.add_argument("--pods", type=int, default=40, help="of each wave (default 40)")
    parser.add_argument("--configuration", default="api", help="as conformance.py has them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="multinet-churn-", dir="/var/tmp") as directory:
        cluster = conformance.Cluster(options.configuration, pathlib.Path(directory))
        cluster.remove()  # of a run that was killed
        try:
            cluster.create()
            wrong = churn(cluster, options.waves, options.pods)
            if cluster.verify() == "red":
                wrong.append("verify is red")
        finally:
            cluster.remove()
    total = options.waves * options.pods
    print("\n".join(wrong) or f"{total} pods: each had its interfaces, and nothing is left.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
