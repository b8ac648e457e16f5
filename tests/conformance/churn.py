# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Create and delete pods with three networks in waves, on a real cluster of three nodes: each pod
has its interfaces, and nothing is left behind.

Each wave starts while the previous one is deleted, and one node reboots in the middle one. Then a
node with pods is deleted and registered again. The cluster is created and removed. Needs root and
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
REBOOTED = list(conformance.NODES)[-1]
REGISTERED = list(conformance.NODES)[1]  # again; the first one is the control plane

# What a node keeps for its pods: what the meta-plugin, IPAM and the runtime noted, devices, and the
# ports of the bridges' table.
KEPT = r"""
find /var/lib/cni -type f ! -name 'last_reserved*' ! -name lock 2>/dev/null
ip -o link | grep -oE 'veth[^:@]*'
ls /run/netns 2>/dev/null
nft list table bridge multinet 2>/dev/null | grep -oE 'veth[0-9a-f]+'
true
"""

# How many ways a node knows to the others: routes and neighbours, one for each lease. Not FDB
# entries: flanneld leaves that of the MAC which a node had before it booted, and it leads there.
WAYS = r"""
ip route | grep -c ' dev flannel'
ip neighbour show nud permanent | grep -c ' dev flannel'
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
            "restartPolicy": "Always",  # a node boots anew meanwhile
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


def unready(pods: list[dict]) -> list[str]:
    """Return a sentence for each pod (as the API has it) that is not Ready."""
    found = []
    for one in pods:
        status = one["status"]
        conditions = {each["type"]: each["status"] for each in status.get("conditions", [])}
        if conditions.get("Ready") == "True":
            continue
        states = [each.get("state") for each in status.get("containerStatuses", [])]
        node = one["spec"].get("nodeName")
        found.append(f"{one['metadata']['name']} on {node} is not Ready: {json.dumps(states)}")
    return found


def said(script: str) -> dict[str, list[str]]:
    """Return {node: words that a shell script prints there, sorted}."""
    return {
        node: sorted(
            subprocess.run(
                ["podman", "exec", "-i", node, "sh"],
                input=script,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            ).stdout.split()
        )
        for node in conformance.NODES
    }


def left(
    before: dict[str, dict[str, list[str]]], after: dict[str, dict[str, list[str]]]
) -> list[str]:
    """Return a sentence for each node that keeps anything, or knows more or fewer ways, by what
    the scripts said there before and after.
    """
    found = []
    for node, has in after[KEPT].items():
        more = sorted(set(has) - set(before[KEPT][node]))
        if more:
            found.append(f"{node} keeps {', '.join(more)}")
    for node, has in after[WAYS].items():
        if has != before[WAYS][node]:
            found.append(
                f"{node} has {' and '.join(has)} routes and neighbours,"
                f" and had {' and '.join(before[WAYS][node])}"
            )
    return found


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


def make(cluster: conformance.Cluster, wave: str, pods: int) -> list[str]:
    """Make the pods of a wave; return a sentence for each that is not as it must be."""
    items = [pod(f"{wave}-{number}") for number in range(pods)]
    made = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    kubectl(cluster, "apply", "-f", "-", stdin=made)
    label = f"--selector=wave={wave}"
    cluster.run(
        "kubectl", "wait", "--for=condition=Ready", "pod", label, "--timeout=300s", check=False
    )
    found = json.loads(kubectl(cluster, "get", "pod", label, "-o", "json"))["items"]
    return unready(found) + lacking(found)


def register_again(cluster: conformance.Cluster) -> None:
    """Delete a node on which pods run, wait until the cluster has taken them away, and have its
    kubelet register it again, as site finds it then.
    """
    kubectl(cluster, "delete", "node", REGISTERED)
    gone = ["--for=delete", "pod", f"--field-selector=spec.nodeName={REGISTERED}"]
    kubectl(cluster, "wait", *gone, "--timeout=300s")
    subprocess.run(["podman", "exec", REGISTERED, "systemctl", "restart", "kubelet"], check=True)
    kubectl(cluster, "wait", "--for=create", "node", REGISTERED, "--timeout=60s")
    kubectl(cluster, "wait", "--for=condition=Ready", "node", REGISTERED, "--timeout=60s")
    cluster.playbook("multinet.flannel.site")


def churn(cluster: conformance.Cluster, waves: int, pods: int) -> list[str]:
    """Make and delete so many waves of so many pods; return a sentence for each thing that is
    wrong.
    """
    before, wrong = {script: said(script) for script in (KEPT, WAYS)}, []
    for wave in range(waves):
        begin = time.monotonic()
        boots = wave == waves // 2
        boot = subprocess.Popen(
            ["podman", "restart", REBOOTED] if boots else ["true"], stdout=subprocess.DEVNULL
        )
        wrong += make(cluster, f"wave{wave}", pods)
        ready = time.monotonic() - begin
        kubectl(cluster, "delete", "pod", f"--selector=wave=wave{wave}", "--wait=false")
        beside = f", while {REBOOTED} booted" if boots else ""
        print(f"wave {wave + 1} of {waves}: Ready after {ready:.1f} s{beside}", flush=True)
        if boot.wait():
            wrong.append(f"podman restart {REBOOTED}: exit status {boot.returncode}")
    wrong += make(cluster, "last", pods)
    begin = time.monotonic()
    register_again(cluster)
    took = time.monotonic() - begin
    print(f"{REGISTERED} deleted and registered again: {took:.1f} s", flush=True)
    kubectl(cluster, "delete", "pod", "--all", "--timeout=300s")
    # the runtime forgets a container a moment after the API does
    for dummy in range(60):
        found = left(before, {script: said(script) for script in before})
        if not found:
            break
        time.sleep(1)
    return wrong + found


def main() -> int:
    """See --help. Return 1 when anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--waves", type=int, default=5, help="number of waves (default 5)")
    parser.add_argument("--pods", type=int, default=40, help="pods of each wave (default 40)")
    parser.add_argument(
        "configuration", nargs="?", default="api", help="one of conformance.py (default api)"
    )
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
    total = (options.waves + 1) * options.pods
    print("\n".join(wrong) or f"{total} pods: each had its interfaces, and nothing is left.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
