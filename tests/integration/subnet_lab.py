# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts made of network namespaces around a real API server: each has a subnet server and
upstream's flanneld for every network of a plan.

192.0.2.1    the API server (its namespace holds the switch)
192.0.2.11   host 1, node "node-1", and so on
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import subprocess
import sys

from ansible_collections.multinet.flannel.plugins.filter.planned_files import subnet_server_config
from ansible_collections.multinet.flannel.plugins.module_utils import _ports
from ansible_collections.multinet.flannel.plugins.module_utils._cni import netns
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import objects
from ansible_collections.multinet.flannel.plugins.module_utils._plan.render import (
    flanneld_environment,
)
from waiting import PATIENCE, wait_for

TREE = next(path for path in sys.path if path.endswith("/tree"))
PROGRAM = """
import os, sys
sys.path.insert(0, %r)
from ansible_collections.multinet.flannel.plugins.module_utils._subnets import main, upstream
upstream.SILENCE = float(os.environ.get("MULTINET_TEST_SILENCE", upstream.SILENCE))
sys.exit(main.main(sys.argv[1:]))
"""
API = "192.0.2.1"
PORT = _ports.SUBNET_SERVER
INSTALLED = "5a17" * 16  # what the unit says of the code


def run(*command, check=True):
    """Return what a command prints."""
    return subprocess.run(
        [str(word) for word in command], check=check, capture_output=True, text=True
    ).stdout


class Lab:
    """A switch in the API server's namespace, and hosts on it."""

    def __init__(self, api, plan, directory, upstream_bin):
        self.api = api
        self.plan = plan
        self.directory = directory
        self.upstream_bin = upstream_bin
        self.hosts = {}
        if api.request("GET", "/api/v1/namespaces/" + objects.NODES)[0] == 404:
            api.set_up()
        if subprocess.run(
            ["ip", "-n", api.name, "link", "show", "switch"], check=False, capture_output=True
        ).returncode:
            run("ip", "-n", api.name, "link", "add", "switch", "type", "bridge")
            run("ip", "-n", api.name, "address", "add", API + "/24", "dev", "switch")
            run("ip", "-n", api.name, "link", "set", "switch", "up")

    def __enter__(self):
        return self

    def __exit__(self, *dummy):
        for host in self.hosts.values():
            host.close()
        if self.api.server.poll() is not None:
            self.api.start()
        for node in self.api.ok("GET", "/api/v1/nodes")["items"]:
            self.api.request("DELETE", "/api/v1/nodes/" + node["metadata"]["name"])

    def host(self, number, *pod_cidrs):
        """Make a host whose node has podCIDRs; nothing runs on it yet."""
        host = Host(self, number)
        host.register(*pod_cidrs)
        return host

    def node(self, name, pod_cidrs, annotations=None, address=None):
        """Register a node as the API has it after the kubelet and the controller manager; a host
        need not exist.
        """
        spec = {"podCIDR": pod_cidrs[0], "podCIDRs": list(pod_cidrs)} if pod_cidrs else {}
        self.api.ok(
            "POST",
            "/api/v1/nodes",
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "annotations": annotations or {}},
                "spec": spec,
            },
        )
        if address:
            status = {"status": {"addresses": [{"type": "InternalIP", "address": address}]}}
            self.api.ok(
                "PATCH", f"/api/v1/nodes/{name}/status", status, "application/merge-patch+json"
            )


class Host:
    """One host. number: int."""

    def __init__(self, lab, number):
        self.lab = lab
        self.name = f"node-{number}"
        self.ns = f"{lab.api.name}-h{number}"
        self.address = f"192.0.2.{10 + number}"
        self.directory = lab.directory / self.name
        self.directory.mkdir(exist_ok=True)
        self.processes = {}
        self.wire = wire = f"w{number}"
        lab.hosts[number] = self
        run("ip", "netns", "add", self.ns)
        self.ip("link set lo up")
        self.ip(f"link add eth0 type veth peer name {wire} netns {lab.api.name}")
        self.ip(f"address add {self.address}/24 dev eth0")
        self.ip(f"address add 2001:db8::{10 + number}/64 dev eth0 nodad")
        self.ip("link set eth0 up")
        self.ip(f"route add default via {API}")
        self.ip("-6 route add default via 2001:db8::1")
        run("ip", "-n", lab.api.name, "link", "set", wire, "master", "switch", "up")
        self.networks = [
            dict(
                network,
                subnet_file=str(self.directory / (network["name"] + ".env")),
                net_config_file=str(self.directory / (network["name"] + ".json")),
                ipam_dir=str(self.directory / "ipam" / network["name"]),
            )
            for network in lab.plan["networks"]
        ]
        self.token = self.directory / "token"
        self.write_token()
        lab.api.kubeconfig(
            self.directory / "kubeconfig", {"tokenFile": str(self.token)}, f"https://{API}:6443"
        )

    def ip(self, words, check=True):
        """Return what `ip` with these words prints on the host."""
        return run("ip", "-n", self.ns, *words.split(), check=check)

    def write_token(self):
        """Get a token for the subnet server."""
        self.token.write_text(self.lab.api.token(self.name), encoding="ascii")

    def register(self, *pod_cidrs):
        """Register its node."""
        self.lab.node(self.name, pod_cidrs, address=self.address)

    def start(self, name, command, environment=None):
        """Run a program on the host until stop(name) or the end."""
        with open(self.directory / (name + ".log"), "ab") as log:
            self.processes[name] = subprocess.Popen(
                [shutil.which("ip"), "netns", "exec", self.ns, *map(str, command)],
                stdout=log,
                stderr=log,
                env=dict(os.environ, **(environment or {})),
            )

    def stop(self, name):
        """End a program."""
        process = self.processes.pop(name)
        process.terminate()
        process.wait(PATIENCE)

    def log(self, name):
        """Return what a program printed."""
        return (self.directory / (name + ".log")).read_text(encoding="utf-8")

    def config(self, **changes):
        """Return the subnet server's configuration."""
        settings = {
            "node_name": self.name,
            "kubeconfig": str(self.directory / "kubeconfig"),
            "port": PORT,
            "remote": None,
        }
        return dict(
            subnet_server_config(dict(self.lab.plan, networks=self.networks), settings), **changes
        )

    def start_server(self, **changes):
        """Run the subnet server and wait until it knows the nodes."""
        (self.directory / "subnets.json").write_text(
            json.dumps(self.config(**changes)), encoding="utf-8"
        )
        self.start("subnets", self.program(), {"MULTINET_INSTALLED_SHA256": INSTALLED})
        wait_for(lambda: self.get("/readyz")[0] == 200, self.processes["subnets"])

    def program(self, *options):
        """Return the command of the subnet server."""
        return [
            sys.executable,
            "-c",
            PROGRAM % TREE,
            *options,
            str(self.directory / "subnets.json"),
        ]

    def start_flanneld(self, name):
        """Run the flanneld of a network as its unit does: by its environment alone, and again
        whenever it ends.
        """
        network = next(network for network in self.networks if network["name"] == name)
        text = flanneld_environment(
            network,
            {
                "subnet_server": f"http://127.0.0.1:{PORT}",
                "node_name": self.name,
                "interface": "eth0",
            },
        )
        with open(network["net_config_file"], "w", encoding="utf-8") as file:
            json.dump(network["flannel_config"], file)
        loop = (
            f"trap 'kill $!; wait; exit' TERM; while :; do {self.lab.upstream_bin / 'flanneld'} &"
            " wait $!; /bin/sleep 1; done"
        )
        self.start(
            "flanneld-" + name,
            ["/bin/bash", "-c", loop],
            dict(line.split("=", 1) for line in text.splitlines()),
        )

    def start_all(self):
        """Run the subnet server and every flanneld."""
        self.start_server()
        for network in self.networks:
            self.start_flanneld(network["name"])

    def close(self):
        for name in list(self.processes):
            self.stop(name)
        for pid in run("ip", "netns", "pids", self.ns).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), 9)
        # the kernel takes its time with a namespace that is gone, and the next test wants the name
        run("ip", "-n", self.lab.api.name, "link", "delete", self.wire, check=False)
        run("ip", "netns", "del", self.ns, check=False)

    # --- what is so

    def request(self, method, path, body=None, content_type="application/json", timeout=PATIENCE):
        """Return (status, answer) of the subnet server, asked on its host."""
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=timeout)
        try:
            with netns.inside("/run/netns/" + self.ns):
                connection.connect()
            connection.request(
                method,
                path,
                None if body is None else json.dumps(body),
                {"Content-Type": content_type},
            )
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        return response.status, json.loads(text) if text[:1] in b"{[" else text.decode()

    def get(self, path, **keys):
        """Like request(), (0, sentence) where nobody listens."""
        try:
            return self.request("GET", path, **keys)
        except OSError as error:
            return 0, str(error)

    def metric(self, name):
        """Return a metric by its name and labels as written (0 when it is not there)."""
        status, text = self.request("GET", "/metrics")
        assert status == 200, text
        match = re.search(f"^{re.escape(name)} (.*)$", text, re.MULTILINE)
        return float(match.group(1)) if match else 0

    def subnet(self, name):
        """Return the subnets (list) that flanneld wrote for the CNI plugin, with the bridge's
        addresses.
        """
        path = self.directory / (name + ".env")
        values = (
            dict(line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines())
            if path.exists()
            else {}
        )
        return [values[key] for key in ("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET") if key in values]

    def routes(self, device, version=4):
        """Return the ranges (set) that the host reaches through a device, link-local ones and its
        own apart.
        """
        found = json.loads(self.ip(f"-{version} -j route show dev {device}", check=False) or "[]")
        return {route["dst"] for route in found if "gateway" in route}

    def entries(self, device):
        """Return the addresses (set) of the nodes that a tunnel device sends to."""
        found = json.loads(
            run("bridge", "-n", self.ns, "-j", "fdb", "show", "dev", device, check=False) or "[]"
        )
        return {entry["dst"] for entry in found if "dst" in entry}
