# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts made of network namespaces, with pods on several networks each: what verification is shown
in its tests.

    underlay 192.168.9.0/24, fd09::/64 ── h1 .1, h2 .2, ...
    network number n of the plan on host h: bridge .1 and tunnel device .0 of the h-th subnet of its
    range, pods from .10 on

A host is entered by this process (setns), so the product's own functions run "on" it. Needs root.
"""

from __future__ import annotations

import copy
import functools
import ipaddress
import itertools
import json
import multiprocessing
import os
import subprocess
import time

from ansible_collections.multinet.flannel.plugins.module_utils._isolation import ports
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.nodes import LEASES
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.ruleset import ruleset
from ansible_collections.multinet.flannel.plugins.module_utils._observe import (
    agent,
    cells,
    ends,
    facts,
    frames,
    netns,
    sender,
    verdict,
)
from ansible_collections.multinet.flannel.plugins.module_utils._observe.evidence import Measurement
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from declaration import BLUE, RED
from guard_sets import filled

PORT = 47470
PLAN = plan([dict(BLUE, ipv6_cidr="fd00:1::/48"), dict(RED, ipv6_cidr="fd00:3::/48")])
BOTH = ["blue", "red"]
FORK = multiprocessing.get_context("fork")
LABS = itertools.count(1)
MTU = 1430  # VXLAN over IPv6 takes 70 bytes
POD_SYSCTLS = {
    "net/ipv4/conf/all/arp_ignore": 1,
    "net/ipv4/conf/all/arp_announce": 2,
    "net/ipv4/ip_forward": 0,
    "net/ipv4/conf/all/accept_redirects": 0,  # which a change of the former sets
    "net/ipv6/conf/all/forwarding": 0,
}


def run(*command, text=""):
    """Run a command and return what it printed; raises RuntimeError with its error output."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout


class ObserveLab:
    """Use as a context manager; everything is gone afterwards.

    plan: of the product. pods: {"h1": {"web": ["blue", "red"]}, ...}. place: a directory (Path) for
    subnet files and run directories.
    """

    def __init__(self, plan, pods, place):
        self.plan, self.pods, self.place = plan, pods, place
        self.hosts = sorted(pods)
        self.tag = f"mnobs{os.getpid()}-{next(LABS)}-"
        self.count = 0

    def ns(self, name):
        return self.tag + name

    def path(self, name):
        return "/run/netns/" + self.ns(name)

    def names(self):
        return (
            ["switch"]
            + self.hosts
            + [f"{host}-{pod}" for host in self.hosts for pod in self.pods[host]]
        )

    def plan_of(self, host):
        """The plan as the host sees it: here all hosts share one file system, so subnet files are
        told apart by directory.
        """
        plan = copy.deepcopy(self.plan)
        for network in plan["networks"]:
            network["subnet_file"] = str(self.place / host / (network["name"] + ".env"))
        return plan

    # --- building ---

    def __enter__(self):
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        for name in self.names():
            subprocess.run(["ip", "netns", "del", self.ns(name)], capture_output=True, check=False)

    def ip(self, name, lines):
        run("ip", "-n", self.ns(name), "-batch", "-", text="\n".join(lines) + "\n")

    def subnet(self, cidr, host):
        parent = ipaddress.ip_network(cidr)
        length = 24 if parent.version == 4 else 64
        number = self.hosts.index(host) + 1
        return ipaddress.ip_network(
            (int(parent.network_address) + (number << (parent.max_prefixlen - length)), length)
        )

    def ranges(self, network):
        return [cidr for cidr in (network["cidr"], network["ipv6_cidr"]) if cidr]

    def underlay(self, host, version=4):
        return f"{'192.168.9.' if version == 4 else 'fd09::'}{self.hosts.index(host) + 1}"

    def mac(self, network, host, version=4):
        names = [item["name"] for item in self.plan["networks"]]
        number = names.index(network["name"])
        return f"02:00:{version:02x}:00:{number:02x}:{self.hosts.index(host) + 1:02x}"

    def pod_mac(self, network, host, number):
        mac = self.mac(network, host)
        return f"{mac[:9]}{number:02x}{mac[11:]}"

    def sysctl(self, name, path, value):
        with (
            netns.inside(self.path(name)),
            open("/proc/sys/" + path, "w", encoding="ascii") as file,
        ):
            file.write(str(value))

    def _build(self):
        for name in self.names():
            run("ip", "netns", "add", self.ns(name))
            self.sysctl(name, "net/ipv6/conf/default/accept_dad", 0)
            self.ip(name, ["link set lo up"])
        self.ip("switch", ["link add br0 type bridge", "link set br0 up"])
        for host in self.hosts:
            run(
                "ip",
                "link",
                "add",
                "eth0",
                "netns",
                self.ns(host),
                "type",
                "veth",
                "peer",
                "name",
                host,
                "netns",
                self.ns("switch"),
            )
            self.ip("switch", [f"link set {host} master br0", f"link set {host} up"])
            self.ip(
                host,
                [
                    "link set eth0 up",
                    f"addr add {self.underlay(host)}/24 dev eth0",
                    f"addr add {self.underlay(host, 6)}/64 dev eth0 nodad",
                ],
            )
            self.sysctl(host, "net/ipv4/ip_forward", 1)
            self.sysctl(host, "net/ipv6/conf/all/forwarding", 1)
        for host in self.hosts:
            (self.place / host).mkdir(parents=True, exist_ok=True)
            for network in self.plan["networks"]:
                self._build_network(network, host)
            for number, (pod, networks) in enumerate(self.pods[host].items()):
                self._build_pod(host, pod, networks, number + 10)

    def _build_network(self, network, host):
        # With a MAC of its own, as the bridge plugin does it: else that of its lowest port, and
        # another when that one leaves, which pods do not learn at once.
        mac = self.mac(network, host, 0)
        lines = [
            f"link add {network['bridge']} address {mac} mtu {MTU} type bridge",
            f"link set {network['bridge']} up",
        ]
        lease = [f"FLANNEL_MTU={MTU}"]
        others = [other for other in self.hosts if other != host]
        for cidr in self.ranges(network):
            subnet = self.subnet(cidr, host)
            version, width = subnet.version, subnet.max_prefixlen
            key = "FLANNEL_SUBNET" if version == 4 else "FLANNEL_IPV6_SUBNET"
            lease.append(f"{key}={subnet[1]}/{subnet.prefixlen}")
            device = network["device"] if version == 4 else network["device_v6"]
            backend = network["backend"]
            lines += [
                f"addr add {subnet[1]}/{subnet.prefixlen} dev {network['bridge']}"
                + (" nodad" if version == 6 else ""),
                (
                    f"link add {device} address {self.mac(network, host, version)} mtu {MTU} type"
                    f" vxlan id {backend['vni']} dstport {backend['port']} local"
                    f" {self.underlay(host, version)} nolearning"
                ),
                f"link set {device} up",
                f"addr add {subnet[0]}/{width} dev {device}" + (" nodad" if version == 6 else ""),
            ]
            for other in others:
                there = self.subnet(cidr, other)
                lines += [
                    (
                        f"neigh add {there[0]} lladdr {self.mac(network, other, version)} dev"
                        f" {device} nud permanent"
                    ),
                    f"route add {there} via {there[0]} dev {device} onlink",
                ]
        self.ip(host, lines)
        for cidr in self.ranges(network):
            version = ipaddress.ip_network(cidr).version
            for other in others:
                run(
                    "bridge",
                    "-n",
                    self.ns(host),
                    "fdb",
                    "add",
                    self.mac(network, other, version),
                    "dev",
                    network["device"] if version == 4 else network["device_v6"],
                    "dst",
                    self.underlay(other, version),
                )
        (self.place / host / (network["name"] + ".env")).write_text("\n".join(lease) + "\n")

    def _build_pod(self, host, pod, networks, number):
        name = f"{host}-{pod}"
        for key, value in POD_SYSCTLS.items():
            self.sysctl(name, key, value)
        state = self.place / host / "state" / f"{pod}.json"  # as who attaches it by CNI leaves it
        state.parent.mkdir(exist_ok=True)
        results = []
        for index, network in enumerate(self.plan["networks"]):
            if network["name"] not in networks:
                continue
            # as the plugin bridge names the host's end
            interface, peer = network["interface"], f"veth{index:04x}{number:04d}"
            devices = [{"name": network["bridge"]}, {"name": peer}]
            mac = self.pod_mac(network, host, number)
            devices += [{"name": interface, "sandbox": self.path(name), "mac": mac}]
            subnets = [self.subnet(cidr, host) for cidr in self.ranges(network)]
            given = [{"address": f"{one[number]}/{one.prefixlen}"} for one in subnets]
            results.append({"result": {"interfaces": devices, "ips": given}})
            run(
                "ip",
                "link",
                "add",
                interface,
                "address",
                mac,
                "mtu",
                str(MTU),
                "netns",
                self.ns(name),
                "type",
                "veth",
                "peer",
                "name",
                peer,
                "mtu",
                str(MTU),
                "netns",
                self.ns(host),
            )
            self.ip(host, [f"link set {peer} master {network['bridge']}", f"link set {peer} up"])
            lines = [f"link set {interface} up"]
            for cidr in self.ranges(network):
                subnet = self.subnet(cidr, host)
                lines.append(
                    f"addr add {subnet[number]}/{subnet.prefixlen} dev {interface}"
                    + (" nodad" if subnet.version == 6 else "")
                )
                lines.append(f"route add {cidr} via {subnet[1]} dev {interface}")
                if network["default"]:
                    lines.append(f"route add default via {subnet[1]} dev {interface}")
            for path in facts.BELIEVES:
                self.sysctl(name, "net/" + path.format(interface), 0)
            self.ip(name, lines)
        said = {"netns": self.path(name), "containerID": f"of-{name}", "delegates": results}
        state.write_text(json.dumps(said))

    def nft(self, host, text):
        run("ip", "netns", "exec", self.ns(host), "nft", "-f", "-", text=text)

    def guard(self, *hosts):
        """Load what the guard does, and nothing else, on these hosts, or on all: its tables by the
        defaults, with the nodes and the ports of pods in them.
        """
        tables = ruleset(self.plan, LEASES, underlay_interface="eth0") + ports.table(self.plan)
        for host in hosts or self.hosts:
            attached = sorted((self.place / host / "state").glob("*.json"))
            self.nft(host, "flush ruleset\n" + tables + self.on(host, filled, tables, attached))

    # --- measuring ---

    def facts(self, host):
        return self.on(host, self._look, host, None)

    def measure(self, hosts=None, between=None, sample=cells.ALL, listening=None):
        """Do what the role does: facts, listen, send, collect, verdict.

        listening: called when all hosts listen, between: after all have sent. Returns the report.
        """
        self.count += 1
        token = frames.Run(f"run{os.getpid()}x{self.count}", os.urandom(16))
        hosts, shares = hosts or self.hosts, {}
        self.seconds = {}
        begun = time.monotonic()
        looked = self.at_once(self._look, dict.fromkeys(hosts))
        known = [looked[host] for host in hosts]
        self.seconds["facts"] = round(time.monotonic() - begun, 2)
        for phase in ("listen", "send", "collect"):
            begun = time.monotonic()
            share = functools.partial(self._share, phase, token, known, sample)
            done = self.at_once(share, dict(zip(hosts, known)))
            for host in hosts:
                shares.setdefault(host, {})[phase] = done[host]
            self.seconds[phase] = round(time.monotonic() - begun, 2)
            if phase == "listen" and listening:
                listening()
            if phase == "send" and between:
                between(token.name)
        return verdict.evaluate(Measurement(self.plan, known, shares, self.hosts, sample))

    def _look(self, host, dummy):
        state = [str(self.place / host / "state")]
        return facts.gather(self.plan_of(host), host, state)

    def _share(self, phase, token, known, sample, host, mine):
        directory = str(self.place / host)
        if phase == "listen":
            return agent.start(token, PORT, mine, directory, 600, ends.tunnel_ports(known))
        if phase == "send":
            more = {"sample": sample, "wait": 0.3, "late": 2.0, "runtime_dir": directory}
            return sender.send(sender.Task(token, PORT, self.plan, known, host, **more))
        return agent.collect(token, PORT, mine, directory)

    def at_once(self, function, items):
        """Return {host: function(host, item)} of {host: item}, on all hosts at the same time."""
        running = {}
        for host, item in items.items():
            receive, give = FORK.Pipe(duplex=False)
            process = FORK.Process(target=self._give, args=(give, host, function, item))
            process.start()
            running[host] = receive, process
            give.close()
        done = {}
        for host, (receive, process) in running.items():
            done[host] = receive.recv()
            process.join()
            if isinstance(done[host], BaseException):
                raise done[host]
        return done

    def _give(self, give, host, function, item):
        try:
            give.send(self.on(host, function, host, item))
        except Exception as error:  # whatever it is, the test is to see it
            give.send(error)

    def on(self, host, function, *arguments):
        with netns.inside(self.path(host)):
            return function(*arguments)
