# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab of lab.py on hosts that the collection was deployed on: real flanneld, a real guard, pods
that the meta-plugin attached. Needs root, and hosts that are containers of this machine, made by
molecule/attacks.
"""

from __future__ import annotations

import ipaddress
import json
import os
import pathlib
import time

import pytest
from lab import HOSTS, OUTSIDE, Lab, declared, run

# Hosts of molecule/attacks, two names; none: namespaces.
MACHINES = os.environ.get("ATTACKED_HOSTS", "").split()
on_hosts = pytest.mark.skipif(not MACHINES, reason="on hosts: make attacks")
GUARD = "multinet-isolation.service"


class HostsLab(Lab):
    """machines: the names of the two hosts. Whatever is done to them stays: they are for this."""

    def __init__(self, machines: list[str]) -> None:
        super().__init__(declared())
        self.machines = machines
        self._told: dict[str, dict] = {}  # a lab does not change
        self.tag = f"mnhosts{self.tag[len('mnlab') :]}"

    def on(self, host: str, *command: str) -> str:
        """Run a command on a host itself, as its root does."""
        return run("podman", "exec", self.machines[int(host[1:]) - 1], *command)

    def root(self, host: str) -> pathlib.Path:
        """Where the files of a host are on this machine."""
        machine = self.machines[int(host[1:]) - 1]
        pid = run("podman", "inspect", "--format", "{{.State.Pid}}", machine).strip()
        return pathlib.Path("/proc") / pid / "root"

    def _build(self) -> None:
        for number in HOSTS:
            root = self.root(f"h{number}")
            run("ip", "netns", "attach", self.ns(f"h{number}"), root.parent.name)
            for pod in self.pods:
                if self.parts(pod)[0] == number:
                    # a namespace that has a name on the host gets another one here
                    place = pathlib.Path("/run/netns") / self.ns(pod)
                    place.touch()
                    its = root / "run/netns" / pod.split("-", 1)[1]
                    run("mount", "--bind", str(its), str(place))
        self._build_outside()
        self.listen()

    def _build_outside(self) -> None:
        """A host on the hosts' network that is no node."""
        told = json.loads(run("podman", "inspect", self.machines[0]))[0]["NetworkSettings"]
        bridge = json.loads(run("podman", "network", "inspect", *told["Networks"]))[0]
        port, namespace = self.tag.rstrip("-"), self.ns(OUTSIDE)
        run("ip", "netns", "add", namespace)
        run("ip", "link", "add", port, "type", "veth", "peer", "eth0", "netns", namespace)
        run("ip", "link", "set", port, "master", bridge["network_interface"], "up")
        lines = ["link set eth0 up"]
        for version, length in ((4, 24), (6, 64)):
            network = ipaddress.ip_network(f"{self.underlay(1, version)}/{length}", strict=False)
            lines.append(f"addr add {network[100]}/{length} dev eth0" + " nodad" * (version == 6))
        self._ip(OUTSIDE, lines)

    def _links(self, endpoint: str) -> dict:
        """Name of a device -> what `ip` says of it."""
        if endpoint not in self._told:
            told = json.loads(run("ip", "-n", self.ns(endpoint), "-j", "-d", "addr"))
            self._told[endpoint] = {link["ifname"]: link for link in told}
        return self._told[endpoint]

    def _address(self, endpoint: str, device: str, version: int) -> str:
        return next(
            one["local"]
            for one in self._links(endpoint)[device]["addr_info"]
            if one["family"] == ("inet" if version == 4 else "inet6") and one["scope"] == "global"
        )

    def subnet(self, name, host, version=4):
        gateway = self._address(f"h{host}", self.networks[name]["bridge"], version)
        length = 24 if version == 4 else 64
        return ipaddress.ip_network(f"{gateway}/{length}", strict=False)

    def pod_address(self, pod, version=4):
        return self._address(pod, "eth0", version)

    def underlay(self, host, version=4):
        return self._address(f"h{host}", "eth0", version)

    def mac(self, name, host, version=4):
        network = self.networks[name]
        device = (network["device_v6"] if version == 6 else None) or network["device"]
        return self._links(f"h{host}")[device]["address"]

    def second_address(self, pod, name):
        assert name in self.networks
        return self._address(pod, "net1", 4)

    def flush(self):
        """No guard, and no rules of anybody."""
        for number in HOSTS:
            self.on(f"h{number}", "systemctl", "stop", GUARD)
            self.on(f"h{number}", "nft", "flush ruleset")
            tables = self.on(f"h{number}", "nft", "list", "tables")
            assert "multinet" not in tables, tables

    def look_again(self):
        """The guards do so by themselves within a second."""
        time.sleep(2)

    def guard(self, hosts=("h1", "h2")):
        for host in hosts:
            self.on(host, "systemctl", "start", GUARD)
            assert "multinet" in self.on(host, "nft", "list", "tables")
