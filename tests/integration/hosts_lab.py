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
import pathlib

from lab import HOSTS, OUTSIDE, Lab, declared, run

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

    def _build(self) -> None:
        for number in HOSTS:
            machine = self.machines[number - 1]
            pid = run("podman", "inspect", "--format", "{{.State.Pid}}", machine).strip()
            run("ip", "netns", "attach", self.ns(f"h{number}"), pid)
            for pod in self.pods:
                if self.parts(pod)[0] == number:
                    # a namespace that has a name on the host gets another one here
                    place = pathlib.Path("/run/netns") / self.ns(pod)
                    place.touch()
                    its = f"/proc/{pid}/root/run/netns/{pod.split('-', 1)[1]}"
                    run("mount", "--bind", its, str(place))
        run("ip", "netns", "add", self.ns(OUTSIDE))
        self.listen()

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

    def guard(self):
        for number in HOSTS:
            self.on(f"h{number}", "systemctl", "start", GUARD)
            assert "multinet" in self.on(f"h{number}", "nft", "list", "tables")
