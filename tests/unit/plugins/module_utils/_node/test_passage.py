# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lets a packet pass is said in the words of the firewall that drops it. What it would drop is
compared with the kernel in tests/integration/test_firewalls.py.
"""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import firewalls, passage
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from declaration import BLUE

NETWORK = plan([dict(BLUE, ipv6_cidr="fd00:1::/48")])["networks"][0]
PATH = passage.Path("flannel.1", "eth0", "10.1.5.2", "10.1.6.2", "198.18.0.1", "198.18.0.2")
PATH6 = passage.Path(
    "flannel-v6.1", "eth0", "fd00:1:0:1::2", "fd00:1:0:2::2", "fd00:9::1", "fd00:9::2"
)


def iptables(*chains, tool="iptables-nft", version=4):
    text = "*filter\n:FORWARD DROP\n:INPUT DROP\n" + "".join(f":{one} -\n" for one in chains)
    return firewalls.of_iptables(text + "COMMIT\n", version, tool)


def nft(name):
    return [
        firewalls.Table(
            "nft",
            "inet",
            name,
            {"f": [], "i": []},
            {"f": ("forward", "drop"), "i": ("input", "drop")},
            {},
        )
    ]


@pytest.mark.parametrize(
    "tables, forward, tunnel",
    [
        (
            iptables(),
            "iptables -I FORWARD -s 10.1.0.0/16 -j ACCEPT, and the same with -d",
            "iptables -I INPUT -p udp --dport 8472 -j ACCEPT",
        ),
        (
            iptables(tool="iptables-legacy"),
            "iptables-legacy -I FORWARD -s 10.1.0.0/16 -j ACCEPT",
            "iptables-legacy -I INPUT -p udp",
        ),
        (
            iptables("DOCKER-USER"),
            "iptables -I DOCKER-USER -s 10.1.0.0/16 -j ACCEPT",
            "iptables -I INPUT -p udp",
        ),
        (
            iptables("ufw-before-forward"),
            "ufw route allow from 10.1.0.0/16, and ufw route allow to 10.1.0.0/16",
            "ufw allow proto udp to any port 8472",
        ),
        (
            nft("firewalld"),
            "firewall-cmd --permanent --zone=trusted --add-source=10.1.0.0/16, then",
            "firewall-cmd --permanent --add-port=8472/udp, then",
        ),
        (
            nft("filter"),
            "nft insert rule inet filter f ip saddr 10.1.0.0/16 accept, and the same with daddr",
            "nft insert rule inet filter i udp dport 8472 accept",
        ),
    ],
)
def test_the_remedy_is_a_command(tables, forward, tunnel):
    pods, packets = passage.closed(NETWORK, PATH, tables, 4)
    assert forward in pods.remedy and tunnel in packets.remedy
    assert "what its pods send to other hosts" in pods.sentence
    assert "its tunnel's packets (UDP 8472) from other hosts" in packets.sentence


def test_ipv6_has_its_own_words():
    pods, dummy = passage.closed(NETWORK, PATH6, iptables(version=6), 6)
    assert "ip6tables -I FORWARD -s fd00:1::/48 -j ACCEPT" in pods.remedy
    assert list(passage.closed(NETWORK, PATH6, iptables(version=4), 6)) == []


def test_what_cannot_be_told_is_not_called_closed():
    (one,) = passage.closed(
        NETWORK,
        PATH,
        firewalls.of_iptables(
            "*filter\n:FORWARD DROP\n-A FORWARD -m set --match-set pods src -j ACCEPT\nCOMMIT\n",
            4,
            "iptables-nft",
        ),
        4,
    )
    assert not one.sure and one.sentence.startswith(
        "It is not known whether iptables drops what its pods send"
    )
    assert one.sentence.endswith("(iptables-nft)).")


def test_a_table_that_nft_cannot_print_is_said_and_hides_no_other(monkeypatch):
    monkeypatch.setattr(firewalls, "LEGACY", {})
    printed = {
        "broken": '{"nftables": [{"table": {"flags": "',
        "good": '{"nftables": [{"table": {"family": "inet", "name": "good"}}, {"chain": {"name":'
        ' "c", "type": "filter", "hook": "forward", "policy": "drop"}}]}',
    }

    def run(argv):
        if argv[1] == "list":
            return "table inet multinet\ntable inet broken\ntable inet good\n"
        return printed[argv[-1]]

    tables, blind = firewalls.look(run)
    assert [table.name for table in tables] == ["good"]
    assert blind == [
        "What table inet broken drops was not looked at: nft does not print it correctly."
    ]
