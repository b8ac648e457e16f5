# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long pods with 1, 2 and 3 networks take to start on a real cluster: with the meta-plugin,
with Multus thin, and with flannel alone, which has only the first network.

All three are runtime classes of the same node, so they run in turns on one kubelet, one
containerd and one API server, with the same networks, definitions and token. The cluster is created
and removed.
Needs root and `make test-programs`; benchmarks/README.md says how to repeat it.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import kubernetes

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONTROL_PLANE, NODE = "mn-pods-1", "mn-pods-2"
OURS, MULTUS, ALONE = "multinet", "Multus thin", "flannel alone"
# the runtime class of each; ours is what pods get that name none
CLASSES = {OURS: None, MULTUS: "multus", ALONE: "alone"}
STATUS = "k8s.v1.cni.cncf.io/network-status"

# Multus gets the collection's own configuration under its own name; its account may write a pod's
# status by PUT, as it does.
ON_NODE = r"""
set -e
cp /opt/test-mirror/multus/*/*/multus /opt/cni/bin/
mkdir -p /etc/cni/multus-only.d /etc/cni/alone.d
sed 's/"type": *"multinet"/"type": "multus"/' /etc/cni/net.d/00-multinet.conf \
    >/etc/cni/multus-only.d/00-multus.conf
grep -q '"type": "multus"' /etc/cni/multus-only.d/00-multus.conf
cp /etc/cni/multinet/net.d/net0.conflist /etc/cni/alone.d/
cat >>/etc/containerd/config.toml <<'TOML'
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.multus]
    runtime_type = "io.containerd.runc.v2"
    cni_conf_dir = "/etc/cni/multus-only.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.alone]
    runtime_type = "io.containerd.runc.v2"
    cni_conf_dir = "/etc/cni/alone.d"
TOML
systemctl restart containerd
"""
ON_CLUSTER = r"""
set -e
for name in multus alone; do
    kubectl apply -f - <<RUNTIME_CLASS
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: $name}
handler: $name
RUNTIME_CLASS
done
kubectl create clusterrole multus --verb=update --resource=pods/status
kubectl create clusterrolebinding multus --clusterrole=multus \
    --group=system:serviceaccounts:multinet-nodes
"""


def on_host(host, script):
    """Run a shell script on a host of the cluster; raises CalledProcessError."""
    subprocess.run(
        ["podman", "exec", "-i", host, "sh"], input=script, text=True, check=True, stdout=sys.stderr
    )


def playbook(name):
    """Run a playbook of the collection or of the scenarios with the cluster's inventory; its output
    goes to stderr.
    """
    inventory = [
        "-i",
        ROOT / "molecule/shared/inventory",
        "-i",
        ROOT / "benchmarks/pod_start_hosts.yml",
    ]
    subprocess.run(["ansible-playbook", *inventory, name], check=True, stdout=sys.stderr)


def pod(name, contender, number):
    """Return a pod (dict) with so many networks."""
    spec = {
        "nodeName": NODE,
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "pod", "image": "localhost/pod:test", "imagePullPolicy": "Never"}],
    }
    if CLASSES[contender]:
        spec["runtimeClassName"] = CLASSES[contender]
    asked = (
        {"k8s.v1.cni.cncf.io/networks": ", ".join(f"net{one}" for one in range(1, number))}
        if number > 1
        else {}
    )
    return {"metadata": {"name": name, "annotations": asked}, "spec": spec}


class Cluster:
    """The API of the cluster, with what the kubelet counts."""

    def __init__(self, kubeconfig):
        kubernetes.config.load_kube_config(str(kubeconfig))
        self.api = kubernetes.client.CoreV1Api()

    def start(self, pods):
        """Create pods (list of dict) at once; return the seconds until all of them are Ready."""
        version = self.api.list_namespaced_pod("default").metadata.resource_version
        begin = time.perf_counter()
        for one in pods:
            self.api.create_namespaced_pod("default", one)
        self._until(
            version,
            {one["metadata"]["name"] for one in pods},
            lambda event: any(
                condition.type == "Ready" and condition.status == "True"
                for condition in event["object"].status.conditions or []
            ),
        )
        return time.perf_counter() - begin

    def end(self, pods):
        """Delete pods and wait until they are gone."""
        found = self.api.list_namespaced_pod("default")
        for one in pods:
            self.api.delete_namespaced_pod(one["metadata"]["name"], "default")
        self._until(
            found.metadata.resource_version,
            {one["metadata"]["name"] for one in pods},
            lambda event: event["type"] == "DELETED",
        )

    def _until(self, version, names, done):
        watch = kubernetes.watch.Watch()
        for event in watch.stream(
            self.api.list_namespaced_pod, "default", resource_version=version, timeout_seconds=90
        ):
            if done(event):
                names.discard(event["object"].metadata.name)
            if not names:
                watch.stop()
                return
        raise RuntimeError(f"Pods are not there after 90 seconds: {', '.join(sorted(names))}")

    def sandboxes(self):
        """Return (number, seconds) of all sandboxes that the kubelet has had made."""
        metrics = self.api.connect_get_node_proxy_with_path(NODE, "metrics")
        # kubelet_run_podsandbox_duration_seconds would tell the handlers apart, but its clock stops
        # when it starts (Kubernetes 1.34)
        name = "kubelet_runtime_operations_duration_seconds"
        found = [
            re.search(rf'^{name}_{one}{{operation_type="run_podsandbox"}} (\S+)', metrics, re.M)
            for one in ("count", "sum")
        ]
        return tuple(float(one.group(1)) if one else 0.0 for one in found)

    def measure(self, contender, number, count):
        """Start and end so many pods at once; return (seconds until Ready, mean seconds of a
        sandbox, number of sandboxes that failed and were tried again).

        Raises RuntimeError when a pod has other networks.
        """
        pods = [pod(f"pod-{one}", contender, number) for one in range(count)]
        before = self.sandboxes()
        ready = self.start(pods)
        made, seconds = (new - old for new, old in zip(self.sandboxes(), before))
        for one in self.api.list_namespaced_pod("default").items:
            has = (
                1
                if contender == ALONE
                else len(json.loads((one.metadata.annotations or {}).get(STATUS, "[]")))
            )
            if has != number:
                raise RuntimeError(f"{contender}: {has} networks instead of {number}")
        self.end(pods)
        return ready, seconds / made, made - count


def measure(cluster, networks, counts, rounds):
    """Return {(pods at once, networks, contender): [what Cluster.measure returns, of each round]};
    the contenders take turns, in another order each round.
    """
    values = {}
    # The first round is not counted: bridges, byte code, files in the page cache.
    for turn in range(-1, rounds):
        for count in counts:
            for number in networks:
                contenders = [OURS, MULTUS] + [ALONE] * (number == 1)
                shift = turn % len(contenders)
                for contender in contenders[shift:] + contenders[:shift]:
                    value = cluster.measure(contender, number, count)
                    if turn >= 0:
                        values.setdefault((count, number, contender), []).append(value)
        print(f"round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
    return values


def table(values):
    """Return the lines of the table in docs/benchmarks.md."""
    lines = [
        (
            "| pods at once | networks | Ready after, s: ours, Multus, flannel alone | sandbox, ms:"
            " ours, Multus, flannel alone | ours / Multus: Ready, sandbox | sandboxes that failed |"
        ),
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for count, number in dict.fromkeys(key[:2] for key in values):
        rows = [values.get((count, number, contender), []) for contender in CLASSES]

        ready = _medians(rows, 0, ".2f")
        sandbox = _medians(rows, 1, ".0f", 1000)
        ratios = [
            statistics.median(a[part] / b[part] for a, b in zip(rows[0], rows[1]))
            for part in (0, 1)
        ]
        failed = ", ".join(f"{sum(one[2] for one in row)}" if row else "-" for row in rows)
        both = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        lines.append(f"| {count} | {number} | {ready} | {sandbox} | {both} | {failed} |")
    return lines


def _medians(rows, part, form, scale=1):
    """The medians of a part of each row's values, "-" for a row without any."""
    return ", ".join(
        format(scale * statistics.median(one[part] for one in row), form) if row else "-"
        for row in rows
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--networks",
        type=int,
        nargs="+",
        default=[1, 2, 3],
        choices=[1, 2, 3],
        help="numbers of networks (default 1 2 3)",
    )
    parser.add_argument(
        "--pods",
        type=int,
        nargs="+",
        default=[1, 10],
        help="how many pods are started at once (default 1 10)",
    )
    parser.add_argument("--rounds", type=int, default=10, help="measured rounds (default 10)")
    parser.add_argument("--json", type=pathlib.Path, help="write all values to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="multinet-pods-", dir="/var/tmp") as directory:
        os.environ["MOLECULE_EPHEMERAL_DIRECTORY"] = directory  # where the hosts' files go
        try:
            playbook(ROOT / "molecule/shared/kubernetes/create.yml")
            playbook("multinet.flannel.site")
            on_host(NODE, ON_NODE)
            on_host(CONTROL_PLANE, ON_CLUSTER)
            values = measure(
                Cluster(pathlib.Path(directory) / "kubernetes/admin.conf"),
                options.networks,
                options.pods,
                options.rounds,
            )
        finally:
            playbook(ROOT / "molecule/default/destroy.yml")
    print("\n".join(table(values)))
    if options.json:
        keys = ("pods", "networks", "contender")
        options.json.write_text(
            json.dumps([dict(zip(keys, key), values=value) for key, value in values.items()])
            + "\n",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
