# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cost of the guard from pod to pod: throughput, round trips, and nanoseconds per packet.

Two hosts of network namespaces (tests/integration/lab.py) on this kernel. The different rules
run in turns, many times and in short slices, so other work on the machine affects all of them. A
ratio is the median of the rounds' ratios to the slice without rules. Needs root.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import json
import os
import pathlib
import random
import re
import socket
import statistics
import time

import checkout  # noqa: F401  # pylint: disable=unused-import
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.ports import table
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.ruleset import ruleset
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from guard_sets import GUARD as GUARD_PROGRAM
from guard_sets import filled
from lab import Lab

# By TRACKING, connection tracking alone: any masquerade, hostPort or Service switches it on.
NOTHING, TRACKING, FLANNEL = "nothing", "connection tracking", "flannel's rules"
HOOKS, NETWORKS, GUARD = "the guard's hooks", "guard of networks", "guard of networks and ports"
TRACKED = (
    "table inet t { chain c { type filter hook forward priority 0; ct state invalid drop; }; }"
)
PLACES = {"one host": ("h1-net1", "h1-net1-b"), "across hosts": ("h1-net1", "h2-net1")}
PORT = 5201
BLOCK = bytes(1 << 17)


def declaration(count):
    """Return the plan of so many networks."""
    return plan(
        [
            {
                "name": f"net{number}",
                "cidr": f"10.{number}.0.0/16",
                "default": number == 1,
                "healthz_port": 20000 + number,
                "backend": {"type": "vxlan", "vni": number},
            }
            for number in range(1, count + 1)
        ]
    )


def ports(lab, planned, host, more):
    """Return the table of the ports of a host's bridges, filled as after an ADD of each pod, and of
    so many more pods of each network.
    """
    commands, attached = [table(planned)], []
    for pod in lab.pods:
        where, network, number = lab.parts(pod)
        if f"h{where}" != host:
            continue
        mac = json.loads(lab.run(pod, "ip", "-j", "link", "show", "eth0"))[0]["address"]
        bridge = lab.networks[network]["bridge"]
        attached.append((lab.port(network, number), bridge, mac, [lab.pod_address(pod)]))
    for network in planned["networks"]:
        first = int(ipaddress.ip_network(network["cidr"])[0x8000])
        for one in range(first, first + more):
            name, mac = f"p{one:08x}", "02:00:" + one.to_bytes(4, "big").hex(":")
            attached.append((name, network["bridge"], mac, [str(ipaddress.ip_address(one))]))
    for name, bridge, mac, addresses in attached:
        port = GUARD_PROGRAM.Port(name, bridge, mac, addresses, [])
        elements = port.elements()
        elements["ports"] = {f'"{port.name}" : goto given_{bridge}'}
        elements["bridged"] = {f'"{port.name}" : goto within_{bridge}'}
        for name, one in elements.items():
            commands += (
                [f"add element bridge multinet {name} {{ {', '.join(one)} }}"] if one else []
            )
    return "\n".join(commands) + "\n"


def hooks(text):
    """Return the tables of a text for nft with their hooks alone, and connection tracking: what any
    rules at these places cost at least.
    """
    tables = []
    for name, body in re.findall(r"^table (\w+ \w+) {$(.*?)^}$", text, re.DOTALL | re.MULTILINE):
        bases = re.findall(r"^\tchain (\w+) {\n\t+(type .* hook .*)$", body, re.MULTILINE)
        chains = "".join(f"chain {chain} {{ {base} }}\n" for chain, base in bases)
        tables.append(f"table {name} {{\n{chains}}}\n")
    return TRACKED + "\n" + "".join(tables)


def guard_with(lab, way, rules):
    """Put a way to guard in the place of the one before. rules: {way: {host: text for nft}}."""
    lab.flush()
    if way == FLANNEL:
        lab.flannel_rules()
    elif way != NOTHING:
        for host, text in rules[way].items():
            lab.nft(text, [host])


@contextlib.contextmanager
def forked(function, *arguments):
    """Run a function in a process of its own meanwhile; the value is a call that waits for it and
    returns (what it returned, seconds of processor).
    """
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException):
            value = function(*arguments)
            os.write(write, json.dumps([value, time.process_time()]).encode())
        os._exit(0)
    os.close(write)

    def result():
        with os.fdopen(read) as file:
            text = file.read()
        os.waitpid(pid, 0)
        return json.loads(text)

    yield result


def sockets(lab, sender, receiver, kind):
    """Return two sockets, the first of them connected to the second's address."""
    address = (lab.pod_address(receiver), PORT)
    with lab.inside(receiver):
        there = socket.socket(socket.AF_INET, kind)
    there.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    there.bind(address)
    if kind == socket.SOCK_STREAM:
        there.listen()
    with lab.inside(sender):
        here = socket.socket(socket.AF_INET, kind)
    here.connect(address)
    if kind == socket.SOCK_STREAM:
        listener, (there, dummy) = there, there.accept()
        listener.close()
    return here, there


def throughput(lab, sender, receiver, seconds):
    """Return (bytes per second, bytes per second of processor) of one TCP connection."""
    here, there = sockets(lab, sender, receiver, socket.SOCK_STREAM)

    def send():
        there.close()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            here.sendall(BLOCK)
        here.close()

    def receive():
        here.close()
        space, total, began = bytearray(1 << 18), 0, time.monotonic()
        while size := there.recv_into(space):
            total += size
        return total, time.monotonic() - began

    with forked(receive) as received, forked(send) as sent:
        here.close()
        there.close()
        (total, elapsed), busy = received()
        busy += sent()[1]
    return total / elapsed, total / busy


def round_trip(lab, sender, receiver, seconds):
    """Return round trips per second of small UDP packets, one at a time: the median of each."""
    here, there = sockets(lab, sender, receiver, socket.SOCK_DGRAM)
    there.settimeout(1)
    here.settimeout(1)

    def answer():
        with contextlib.suppress(OSError):
            while True:
                data, source = there.recvfrom(64)
                there.sendto(data, source)

    with forked(answer) as answered:
        there.close()
        taken = []
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.perf_counter()
            here.send(b"x" * 16)
            here.recv(64)
            taken.append(time.perf_counter() - began)
        here.close()
        answered()
    return (1 / statistics.median(taken),)


def packets(lab, sender, receiver, seconds):
    """Return UDP packets per second of processor that leave and arrive: the kernel does all that on
    the sender's account, up to the receiver's socket, which is full.
    """
    here, there = sockets(lab, sender, receiver, socket.SOCK_DGRAM)
    there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sent, began, until = 0, time.process_time(), time.monotonic() + seconds
    while time.monotonic() < until:
        for dummy in range(500):
            here.send(b"x" * 16)
        sent += 500
    busy = time.process_time() - began
    here.close()
    there.close()
    return (sent / busy,)


MEASURES = {"throughput": throughput, "round trips": round_trip, "packets": packets}


def measure(lab, rules, options):
    """Yield (place, measure, way, [values of each round])."""
    ways = [NOTHING, *([FLANNEL] if options.flannel else []), *rules]
    for place, (sender, receiver) in PLACES.items():
        for name in options.measures:
            found = {way: [] for way in ways}
            for dummy in range(options.rounds):
                for way in random.sample(ways, len(ways)):
                    guard_with(lab, way, rules)
                    found[way].append(MEASURES[name](lab, sender, receiver, options.seconds))
            for way in ways:
                yield place, name, way, found[way], found[NOTHING]


def main():
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=2)
    parser.add_argument("--ports", type=int, default=0, help="more pods on each network of a host")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a slice")
    parser.add_argument("--measures", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument(
        "--bridge-netfilter",
        action="store_true",
        help="pass bridged packets to iptables and nftables, as on Kubernetes nodes",
    )
    parser.add_argument("--flannel", action="store_true", help="also measure flannel's own rules")
    parser.add_argument("--rules", nargs="*", default=[], help="also measure these nft files")
    options = parser.parse_args()
    planned = declaration(options.networks)
    hosts = ("h1", "h2")
    with Lab(planned) as lab:
        nodes = [lab.underlay(host, version) for host in (1, 2) for version in (4, 6)]
        text, networks = ruleset(planned, nodes, underlay_interface="eth0"), {}
        for host in hosts:
            with lab.inside(host):
                networks[host] = text + filled(text)
        both = {host: networks[host] + ports(lab, planned, host, options.ports) for host in hosts}
        rules = {
            TRACKING: dict.fromkeys(hosts, TRACKED),
            HOOKS: {host: hooks(text) for host, text in both.items()},
            NETWORKS: networks,
            GUARD: both,
        }
        for path in options.rules:
            rules[path] = dict.fromkeys(hosts, pathlib.Path(path).read_text(encoding="utf-8"))
        for host in hosts:
            lab.sysctl(host, "bridge/bridge-nf-call-iptables", str(int(options.bridge_netfilter)))
        print(
            "| | measured | rules | median | ratio to no rules | more per packet |\n"
            + "| --- " * 6
            + "|"
        )
        for place, name, way, values, plain in measure(lab, rules, options):
            median = statistics.median(value[-1] for value in values)
            ratios = " / ".join(
                f"{statistics.median(a[at] / b[at] for a, b in zip(values, plain)):.3f}"
                for at in range(len(values[0]))
            )
            more = statistics.median(1e9 / a[-1] - 1e9 / b[-1] for a, b in zip(values, plain))
            shown = f"{more:.0f} ns" if name != "throughput" else ""
            print(f"| {place} | {name} | {way} | {median:.4g} | {ratios} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
