# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases of several networks from one Kubernetes API: through the subnet server, and by plain
flanneld, one per network.

Real etcd, kube-apiserver and flanneld in network namespaces; all other nodes are objects at the
API, as large as a kubelet makes them. Plain flanneld can have one network per cluster only: each
runs in a namespace of its own, takes its node's podCIDR, and has the annotations of "its" network.
Needs root.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import pathlib
import re
import statistics
import sys
import tempfile
import time

import checkout  # noqa: F401  # pylint: disable=unused-import
import kube_api
import subnet_lab
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan

CLUSTER = "10.0.0.0/12"
OURS, PLAIN = "subnet server", "plain flanneld"
TICK = os.sysconf("SC_CLK_TCK")


def declaration(number):
    """Return the plan of so many networks; the first one has the cluster's own range."""
    return plan(
        [
            {
                "name": f"net{one}",
                "cidr": f"10.{16 * one}.0.0/12",
                "subnet_len": 25,
                "default": one == 0,
                "backend": {"type": "vxlan", "vni": one + 1},
            }
            for one in range(number)
        ],
        {"datastore": "kubernetes", "cluster_cidrs": [CLUSTER], "node_cidr_mask_sizes": [25]},
    )


def annotations(planned, index, generation):
    """Return what the flanneld of every network have written to a simulated node."""
    found = {}
    for one, network in enumerate(planned["networks"]):
        mac = f"02:{generation:02x}:{one:02x}:{index >> 8:02x}:{index & 255:02x}:00"
        values = {
            "backend-type": "vxlan",
            "backend-data": json.dumps({"VNI": one + 1, "VtepMAC": mac}, separators=(",", ":")),
            "kube-subnet-manager": "true",
            "public-ip": f"192.0.2.{100 + index % 100}",
        }
        found.update(
            (f"{network['annotation_prefix']}/{key}", value) for key, value in values.items()
        )
    return found


def status(beat):
    """Return a node's status as a kubelet writes it: conditions with the time of the last
    heartbeat, and 50 images.
    """
    conditions = [
        {
            "type": kind,
            "status": "False",
            "reason": "KubeletHas" + kind,
            "message": "kubelet has no such trouble",
            "lastHeartbeatTime": beat,
        }
        for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    ]
    images = [
        {
            "names": [
                f"registry.example.org/team/program-{one}@sha256:{one:064x}",
                f"registry.example.org/team/program-{one}:1.0",
            ],
            "sizeBytes": 10**8,
        }
        for one in range(50)
    ]
    return {
        "status": {
            "conditions": conditions,
            "images": images,
            "addresses": [{"type": "InternalIP", "address": "192.0.2.100"}],
        }
    }


def subnet(one, index):
    """The range of simulated node number index (below 8192) in network number one."""
    return f"10.{16 * one + (index >> 9)}.{index >> 1 & 255}.{128 * (index & 1)}/25"


class Run:
    """One contender in front of an API server that has the simulated nodes."""

    def __init__(self, lab, count, networks, contender):
        self.lab = lab
        self.count = count
        self.networks = networks
        self.contender = contender
        number = len(lab.hosts) + 1
        if contender == OURS:
            host = lab.host(number, subnet(0, 8000))
            self.watched = [(host, one, one) for one in range(networks)]
            self.hosts = [host]
        else:
            self.hosts = [lab.host(number + one, subnet(0, 8001 + one)) for one in range(networks)]
            # flanneld falls over a node without any annotation, which a kubelet does not leave
            for host in self.hosts:
                lab.api.ok(
                    "PATCH",
                    "/api/v1/nodes/" + host.name,
                    {"metadata": {"annotations": {"kubelet": "true"}}},
                    "application/merge-patch+json",
                )
            self.watched = [(host, one, 0) for one, host in enumerate(self.hosts)]

    def start(self):
        """Start everything at once."""
        if self.contender == OURS:
            host = self.hosts[0]
            (host.directory / "subnets.json").write_text(
                json.dumps(host.config()), encoding="utf-8"
            )
            host.start("subnets", host.program())
            # as systemd orders them
            subnet_lab.wait_for(lambda: host.get("/healthz")[0] == 200, 20, 0.02)
            for network in host.networks:
                host.start_flanneld(network["name"])
            return
        for one, host in enumerate(self.hosts):
            network = host.networks[one]
            config = dict(
                host.networks[0]["flannel_config"], Backend={"Type": "vxlan", "VNI": one + 1}
            )
            pathlib.Path(network["net_config_file"]).write_text(
                json.dumps(config), encoding="utf-8"
            )
            values = {
                "KUBE_SUBNET_MGR": "true",
                "KUBECONFIG_FILE": str(host.directory / "kubeconfig"),
                "NET_CONFIG_PATH": network["net_config_file"],
                "KUBE_ANNOTATION_PREFIX": network["annotation_prefix"],
                "SUBNET_FILE": network["subnet_file"],
                "IFACE": "eth0",
                "IP_MASQ": "false",
                "IPTABLES_FORWARD_RULES": "false",
                "SET_NODE_NETWORK_UNAVAILABLE": "false",
            }
            host.start(
                "flanneld",
                [self.lab.upstream_bin / "flanneld"],
                dict(
                    {"FLANNELD_" + key: value for key, value in values.items()}, NODE_NAME=host.name
                ),
            )

    def until(self, what, seconds=300):
        """Wait until what(routes of a network, number that its ranges have) is true for every
        network; return how long that took.
        """
        begin = time.monotonic()

        def there(host, one, ranges):
            return what(host.routes(f"flannel.{one + 1}"), ranges)

        for network in self.watched:
            # a look at thousands of routes is work, too
            every = max(0.02, self.count / 20000)
            subnet_lab.wait_for(functools.partial(there, *network), seconds, every)
        return time.monotonic() - begin

    def pids(self):
        """Return {pid: name} of the programs."""
        found = {}
        for host in self.hosts:
            for pid in subnet_lab.run("ip", "netns", "pids", host.ns).split():
                try:
                    words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if b"flanneld" in words[0]:
                    found[int(pid)] = "flanneld"
                elif b"python" in words[0]:
                    found[int(pid)] = "server"
        return found

    def usage(self):
        """Return {name: (CPU seconds, MiB resident)} of the programs, each kind together."""
        total = {}
        for pid, name in self.pids().items():
            fields = (
                pathlib.Path(f"/proc/{pid}/stat")
                .read_text(encoding="ascii")
                .rpartition(")")[2]
                .split()
            )
            memory_lines = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
            resident = int(re.search(r"VmRSS:\s+(\d+)", memory_lines).group(1))
            cpu, memory = total.get(name, (0.0, 0.0))
            total[name] = (
                cpu + (int(fields[11]) + int(fields[12])) / TICK,
                memory + resident / 1024,
            )
        return total

    def received(self):
        """Return the bytes that the hosts got over the wire."""
        links = (
            json.loads(subnet_lab.run("ip", "-n", host.ns, "-s", "-j", "link", "show", "eth0"))[0]
            for host in self.hosts
        )
        return sum(link["stats64"]["rx"]["bytes"] for link in links)

    def requests(self):
        """Return ({verb: requests about nodes that the API has answered}, watches of nodes that are
        open).
        """
        text = self.lab.api.request("GET", "/metrics")[1].decode()
        counts = {}
        for labels, value in re.findall(
            r"^apiserver_request_total\{([^}]*resource=\"nodes\"[^}]*)\} (\S+)$", text, re.MULTILINE
        ):
            verb = re.search(r'verb="(\w+)"', labels).group(1)
            counts[verb] = counts.get(verb, 0) + int(float(value))
        open_watches = re.search(
            r"^apiserver_longrunning_requests\{[^}]*resource=\"nodes\"[^}]*verb=\"WATCH\"[^}]*\}"
            r" (\S+)$",
            text,
            re.MULTILINE,
        )
        return counts, int(float(open_watches.group(1))) if open_watches else 0

    def stop(self):
        """End everything; the namespaces stay until the end of the lab."""
        for host in self.hosts:
            for name in list(host.processes):
                host.stop(name)
            self.lab.api.request("DELETE", "/api/v1/nodes/" + host.name)


def measure(lab, planned, count, seconds, contender):
    """Return what was seen (dict) of a contender with so many simulated nodes."""
    networks = len(planned["networks"])
    run = Run(lab, count, networks, contender)
    result = {"contender": contender, "nodes": count, "networks": networks}
    before, watches_before = run.requests()
    bytes_before = run.received()
    begin = time.monotonic()
    run.start()
    run.until(lambda routes, one: all(subnet(one, index) in routes for index in range(count)))
    result["start"] = time.monotonic() - begin
    result["bytes_start"] = run.received() - bytes_before
    time.sleep(2)
    after, watches = run.requests()
    result["open_watches"] = watches - watches_before
    result["requests_start"] = {
        verb: after.get(verb, 0) - before.get(verb, 0)
        for verb in after
        if after.get(verb, 0) != before.get(verb, 0)
    }

    gone, there = [], []
    for turn in range(5):
        lab.api.ok("DELETE", "/api/v1/nodes/sim-0")
        gone.append(run.until(lambda routes, one: subnet(one, 0) not in routes))
        lab.node("sim-0", [subnet(0, 0)], annotations(planned, 0, turn + 1))
        there.append(run.until(lambda routes, one: subnet(one, 0) in routes))
    result.update(gone=statistics.median(gone), there=statistics.median(there))

    usage, bytes_before = run.usage(), run.received()
    before, _watches = run.requests()
    begin, beats = time.monotonic(), 0
    while time.monotonic() - begin < seconds:
        lab.api.ok(
            "PATCH",
            f"/api/v1/nodes/sim-{beats % count}/status",
            status(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())),
            "application/merge-patch+json",
        )
        beats += 1
        time.sleep(max(0.0, begin + beats * seconds / count - time.monotonic()))
    elapsed = time.monotonic() - begin
    after, _watches = run.requests()
    result["beats_per_minute"] = beats * 60 / elapsed
    result["requests_per_minute"] = (
        (sum(after.values()) - sum(before.values()) - beats) * 60 / elapsed
    )
    result["bytes_per_beat"] = (run.received() - bytes_before) / beats
    now = run.usage()
    result["cpu_ms_per_minute"] = {
        name: 1000 * (now[name][0] - usage[name][0]) * 60 / elapsed for name in now
    }
    result["cpu_start"] = {name: usage[name][0] for name in now}
    result["memory"] = {name: now[name][1] for name in now}
    run.stop()
    return result


def table(results):
    """Print the results as Markdown."""
    print(
        "| nodes x networks | | all routes after start | a node removed, added | at the API:"
        " LIST at start, open watches, requests per minute | KiB received at start, per heartbeat"
        " of a node | CPU s until then: server, flanneld | CPU s per minute: server, flanneld |"
        " heartbeats per minute | MiB: server, flanneld |"
    )
    print("| --- " * 10 + "|")
    for one in results:
        cells = (
            f"{one['nodes']} x {one['networks']}",
            one["contender"],
            f"{one['start']:.1f} s",
            f"{one['gone']:.2f} s, {one['there']:.2f} s",
            f"{one['requests_start'].get('LIST', 0)}, {one['open_watches']},"
            f" {one['requests_per_minute']:.0f}",
            f"{one['bytes_start'] / 1024:.0f}, {one['bytes_per_beat'] / 1024:.1f}",
            _pair(one["cpu_start"], ".1f"),
            _pair(one["cpu_ms_per_minute"], ".2f", 1000.0),
            f"{one['beats_per_minute']:.0f}",
            _pair(one["memory"], ".0f"),
        )
        print("| " + " | ".join(cells) + " |")


def _pair(values, form, scale=1.0):
    """The server's and flanneld's value, in a row's cell."""
    return ", ".join(
        format(values[name] / scale, form) if name in values else "-"
        for name in ("server", "flanneld")
    )


def main():
    """See --help."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--bin",
        type=pathlib.Path,
        help=(
            "directory with etcd, kube-apiserver and flanneld (default: those of `make"
            " test-programs`)"
        ),
    )
    parser.add_argument("--nodes", type=int, nargs="+", default=[100], help="default 100")
    parser.add_argument("--networks", type=int, default=4, help="default 4")
    parser.add_argument(
        "--seconds",
        type=float,
        default=30.0,
        help="how long heartbeats are sent; each node sends one in this time",
    )
    parser.add_argument("--json", type=pathlib.Path, help="write all values to this file")
    options = parser.parse_args()
    planned, results = declaration(options.networks), []
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        directory = pathlib.Path(directory)
        if options.bin is None:
            options.bin = directory / "bin"
            options.bin.mkdir()
            for mirror in (os.environ["MULTINET_MIRROR"], os.environ["MULTINET_TEST_MIRROR"]):
                for program in pathlib.Path(mirror).glob("*/*/linux-*/*"):
                    if (
                        program.name in ("etcd", "kube-apiserver", "flanneld")
                        and not (options.bin / program.name).exists()
                    ):
                        (options.bin / program.name).symlink_to(program)
        (directory / "api").mkdir()
        api = kube_api.KubeApi(directory / "api", options.bin, [subnet_lab.API])
        try:
            (directory / "lab").mkdir()
            with subnet_lab.Lab(api, planned, directory / "lab", options.bin) as lab:
                made = 0
                for count in sorted(options.nodes):
                    for index in range(made, count):
                        lab.node(f"sim-{index}", [subnet(0, index)], annotations(planned, index, 0))
                        api.ok(
                            "PATCH",
                            f"/api/v1/nodes/sim-{index}/status",
                            status("2026-01-01T00:00:00Z"),
                            "application/merge-patch+json",
                        )
                    made = count
                    for contender in (PLAIN, OURS):
                        results.append(measure(lab, planned, count, options.seconds, contender))
                        print(json.dumps(results[-1]), file=sys.stderr)
        finally:
            api.close()
    table(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
