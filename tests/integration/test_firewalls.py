# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What other firewalls do, as firewalls.outcomes() says, against what the kernel really does: a
packet is sent through a namespace with each of these rulesets.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import firewalls, passage
from waiting import wait_for

NAME = f"mnfw{os.getpid()}"
POD, ROUTER, OTHER = f"{NAME}a", f"{NAME}r", f"{NAME}b"
SADDR, DADDR, WAY = "10.1.1.2", "10.1.2.2", "198.18.9.1"
SADDR6, DADDR6 = "fd00:1:0:1::2", "fd00:1:0:2::2"
LEGACY = shutil.which("iptables-legacy-restore")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

FORWARD = "table inet other { %s chain f { type filter hook forward priority 5; policy %s; %s; }; }"
# Ruleset (for nft, or for iptables-restore), and what becomes of IPv4 and of IPv6; None: not known
RULESETS = {
    "nothing": ("nft", "table inet other { }", "accept", "accept"),
    "policy drop": ("nft", FORWARD % ("", "drop", ""), "drop", "drop"),
    "reject at the end": (
        "nft",
        FORWARD % ("", "accept", "ct state established,related accept; reject"),
        "drop",
        "drop",
    ),
    "by device": ("nft", FORWARD % ("", "drop", 'iifname "mn-*" accept'), "accept", "accept"),
    "by two devices": (
        "nft",
        FORWARD % ("", "accept", 'iifname { "x", "mn-blue" } oifname != "y" drop'),
        "drop",
        "drop",
    ),
    "by range": ("nft", FORWARD % ("", "drop", "ip saddr 10.1.0.0/16 accept"), "accept", "drop"),
    "by other range": (
        "nft",
        FORWARD % ("", "accept", "ip daddr 10.1.3.0-10.1.4.255 drop; ip6 daddr fd00:1::/40 drop"),
        "accept",
        "drop",
    ),
    "by a set": (
        "nft",
        FORWARD
        % (
            "set s { type ipv4_addr; flags interval; elements = { 10.1.0.0/16 }; };",
            "drop",
            "ip saddr @s ip daddr @s accept",
        ),
        "accept",
        "drop",
    ),
    "by a map": (
        "nft",
        FORWARD
        % (
            "chain yes { accept; }; chain no { drop; };",
            "drop",
            'iifname vmap { "lo" : jump no, "mn-blue" : goto yes }',
        ),
        "accept",
        "accept",
    ),
    "goto comes back to the policy": (
        "nft",
        FORWARD % ("chain sub { iifname lo drop; };", "drop", "goto sub; accept"),
        "drop",
        "drop",
    ),
    "return goes on": (
        "nft",
        FORWARD % ("chain sub { ip saddr 10.1.0.0/16 return; drop; };", "drop", "jump sub; accept"),
        "accept",
        "drop",
    ),
    "another protocol": (
        "nft",
        FORWARD % ("", "accept", "tcp dport 1-65535 drop; meta l4proto { icmp, ipv6-icmp } drop"),
        "accept",
        "accept",
    ),
    "its port": (
        "nft",
        FORWARD % ("", "accept", "udp dport { 1, 33000-34000 } drop"),
        "drop",
        "drop",
    ),
    "a mark": ("nft", FORWARD % ("", "drop", "meta mark & 0xff == 0 accept"), "accept", "accept"),
    "a new connection": ("nft", FORWARD % ("", "drop", "ct state new accept"), "accept", "accept"),
    "a way back": (
        "nft",
        FORWARD % ("", "accept", "fib saddr . iif oif missing drop"),
        "accept",
        "accept",
    ),
    "to the host itself": (
        "nft",
        FORWARD % ("", "accept", "fib daddr type local drop"),
        "accept",
        "accept",
    ),
    "what is not known": ("nft", FORWARD % ("", "accept", "meta length 1-9000 drop"), None, None),
    "what is not known makes no difference": (
        "nft",
        FORWARD % ("", "drop", "meta length 1-9 drop; drop"),
        "drop",
        "drop",
    ),
    "iptables, policy": ("nft4", "*filter\n:FORWARD DROP\nCOMMIT\n", "drop", "accept"),
    "iptables, docker": (
        "nft4",
        "*filter\n:FORWARD DROP\n:DOCKER-USER -\n-A FORWARD -j DOCKER-USER\n"
        "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
        "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n-A DOCKER-USER -j RETURN\nCOMMIT\n",
        "drop",
        "accept",
    ),
    "iptables, docker, let through": (
        "nft4",
        "*filter\n:FORWARD DROP\n:DOCKER-USER -\n-A FORWARD -j DOCKER-USER\n"
        '-A DOCKER-USER -s 10.1.0.0/16 -m comment --comment "ours, -j DROP" -j ACCEPT\n'
        "-A DOCKER-USER -j RETURN\nCOMMIT\n",
        "accept",
        "accept",
    ),
    "iptables, ufw": (
        "nft4",
        "*filter\n:FORWARD DROP\n:ufw-before-forward -\n:ufw-logging -\n"
        "-A FORWARD -j ufw-before-forward\n-A FORWARD -j ufw-logging\n"
        "-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
        "-A ufw-before-forward -p icmp --icmp-type 8 -j ACCEPT\n"
        "-A ufw-logging -m limit --limit 3/min --limit-burst 10 -j LOG\nCOMMIT\n",
        "drop",
        "accept",
    ),
    "iptables, negated": (
        "nft4",
        "*filter\n:FORWARD ACCEPT\n-A FORWARD ! -i eth+ ! -d 10.9.0.0/16 -p udp -m udp"
        " --dport 33000:34000 -j REJECT\nCOMMIT\n",
        "drop",
        "accept",
    ),
    "iptables, a mark": (
        "nft4",
        "*filter\n:FORWARD DROP\n-A FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT\nCOMMIT\n",
        "drop",
        "accept",
    ),
    "iptables, not to the host": (
        "nft4",
        "*filter\n:FORWARD DROP\n-A FORWARD -m addrtype ! --dst-type LOCAL -j ACCEPT\nCOMMIT\n",
        "accept",
        "accept",
    ),
    "iptables, several ports": (
        "nft4",
        "*filter\n:FORWARD ACCEPT\n-A FORWARD -p udp -m multiport --dports 53,33400:33500"
        " -j DROP\nCOMMIT\n",
        "drop",
        "accept",
    ),
    "iptables-legacy, policy": ("legacy4", "*filter\n:FORWARD DROP\nCOMMIT\n", "drop", "accept"),
    "ip6tables-legacy, a rule": (
        "legacy6",
        "*filter\n:FORWARD ACCEPT\n-A FORWARD -s fd00:1::/48 -j DROP\nCOMMIT\n",
        "accept",
        "drop",
    ),
}
RESTORE = {
    "nft": "nft -f -",
    "nft4": "iptables-nft-restore",
    "legacy4": "iptables-legacy-restore",
    "legacy6": "ip6tables-legacy-restore",
}


def run(text, given=None):
    done = subprocess.run(
        text.split() if isinstance(text, str) else text,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (text, given, done.stderr)
    return done.stdout


def inside(space, text, given=None):
    words = text.split() if isinstance(text, str) else list(text)
    return run(["ip", "netns", "exec", space, *words], given)


@pytest.fixture(scope="module", name="way")
def _way():
    try:
        for space in (POD, ROUTER, OTHER):
            run(f"ip netns add {space}")
            inside(space, "ip link set lo up")
        for space, device, end in ((POD, "mn-blue", SADDR), (OTHER, "flannel.1", DADDR)):
            six = SADDR6 if space == POD else DADDR6
            run(f"ip link add {device} netns {ROUTER} type veth peer name eth0 netns {space}")
            gateway = ipaddress.ip_address(end) - 1
            gateway6 = ipaddress.ip_address(six) - 1
            inside(ROUTER, f"ip address add {gateway}/24 dev {device}")
            inside(ROUTER, f"ip address add {gateway6}/64 dev {device} nodad")
            inside(ROUTER, f"ip link set {device} up")
            inside(space, f"ip address add {end}/24 dev eth0")
            inside(space, f"ip address add {six}/64 dev eth0 nodad")
            inside(space, "ip link set eth0 up")
            inside(space, f"ip route add default via {gateway}")
            inside(space, f"ip -6 route add default via {gateway6}")
        inside(ROUTER, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        inside(
            OTHER,
            "nft -f -",
            "table inet seen { chain c { type filter hook input priority 0;"
            f" udp dport {passage.PORT} counter; }}; }}",
        )
        for name in ("ip", "ip6"):  # no packet waits for who has an address
            target = DADDR if name == "ip" else DADDR6
            inside(POD, f"ping -c 1 -W 60 {target}")
        with subprocess.Popen(["ip", "netns", "exec", ROUTER, "sleep", "600"]) as there:
            yield there.pid
            there.kill()
    finally:
        for space in (POD, ROUTER, OTHER):
            subprocess.run(["ip", "netns", "delete", space], check=False)


def arrived():
    return int(inside(OTHER, "nft list table inet seen").split("packets ")[1].split()[0])


@pytest.mark.parametrize("name", RULESETS)
def test_what_is_said_is_what_happens(way, name, monkeypatch):
    tool, rules, *expected = RULESETS[name]
    if tool.startswith("legacy") and not LEGACY:
        pytest.skip("needs iptables-legacy")
    for version, path in firewalls.LEGACY.items():
        there = path.replace("/proc/net", f"/proc/{way}/net")
        monkeypatch.setitem(firewalls.LEGACY, version, there)
    inside(ROUTER, RESTORE[tool], rules)
    try:
        tables, blind = firewalls.look(lambda argv: inside(ROUTER, argv))
        assert blind == []
        for version, saddr, daddr in ((4, SADDR, DADDR), (6, SADDR6, DADDR6)):
            packet = firewalls.Packet(
                "forward", "mn-blue", "flannel.1", saddr, daddr, dport=passage.PORT
            )
            found = [outcome for dummy, dummy, outcome in firewalls.outcomes(tables, packet)]
            wanted = expected[0 if version == 4 else 1]
            assert found == {"accept": [], "drop": ["drop"], None: ["unknown"]}[wanted]
            before = arrived()
            send = f"exec 3<>/dev/udp/{daddr}/{passage.PORT}; echo x >&3"
            inside(POD, ["bash", "-c", send])
            if wanted == "accept":
                wait_for(
                    lambda before=before: arrived() > before, why=lambda version=version: version
                )
            elif wanted:
                assert arrived() == before, version
    finally:
        if tool.startswith("legacy"):
            inside(ROUTER, RESTORE[tool], "*filter\n:FORWARD ACCEPT\nCOMMIT\n")
        else:
            inside(ROUTER, "nft flush ruleset")
