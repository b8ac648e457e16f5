# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The classes of leak that two plain hosts can show, and what opens and closes each there."""

from __future__ import annotations

from openings import (
    BY_HAND,
    FILE,
    GUARD,
    KEPT,
    NO_BRIDGE_OTHER,
    NO_OTHER,
    RELOAD,
    SITE,
    Opening,
    dropping,
    rules,
)

FIREWALLS = "Look at what other firewalls do with it"
FILTER = "something drops a part of what goes into blue"
# Masquerade keeps what it chose for a pod's port until the kernel forgets the connection: half a
# minute after its last packet at the earliest, and then when somebody looks.
FORGET = "sleep 31; cat /proc/net/nf_conntrack >/dev/null"
POD = "ip netns exec a "
# The tunnel of the other host, as flanneld has it; and what floods it with broadcasts.
PEER = "$(bridge fdb show dev flannel.2 | grep -o 'dst [^ ]*' | head -1)"
ALL = "00:00:00:00:00:00"
OWN_TUNNEL = f"bridge fdb append {ALL} dev flannel.2 {PEER}; ip link set flannel.2 master mn-red"
OWN_TUNNEL_UNDO = f"ip link set flannel.2 nomaster; bridge fdb del {ALL} dev flannel.2 {PEER}"
OTHER_TUNNEL = (
    "ip link add leak0 type vxlan id 99 dstport 4999 nolearning; bridge fdb append"
    f" {ALL} dev leak0 {PEER}; ip link set leak0 master mn-red up"
)
OPENINGS = [
    Opening(
        0,
        "a route to the other host's subnet is gone",
        "ip route show dev flannel.2 | grep via | head -1 > /run/leak;"
        " ip route del $(cat /run/leak) dev flannel.2",
        SITE,
        "broken",
        ("there is no route to 10.3.", "restart the daemon: run the playbook site"),
    ),
    Opening(
        0,
        "every flanneld of the host is dead",
        "systemctl stop flanneld@blue flanneld@red",
        SITE,
        "deviation",  # what it has made stays
        ("flanneld@red.service is inactive (dead)", "start it: run the playbook site"),
    ),
    Opening(
        0,
        "etcd is dead",
        "",
        "",
        "deviation",
        ("etcd at https://", "connection refused. Start etcd there", "repair the data store"),
        there="systemctl stop multinet-etcd",
        there_undo="systemctl start multinet-etcd",
    ),
    Opening(
        0,
        "another firewall drops TCP between the pods of a network, across hosts",
        dropping("forward", "iifname mn-blue oifname flannel.1 meta l4proto tcp"),
        NO_OTHER,
        "broken",
        ("icmp, udp arrived, tcp did not", FILTER),
    ),
    Opening(
        0,
        "another firewall drops TCP between the pods of a network, on their bridge",
        dropping("forward", "ip protocol tcp", family="bridge"),
        NO_BRIDGE_OTHER,
        "broken",
        ("icmp, udp arrived, tcp did not", FILTER),
    ),
    Opening(
        1,
        "the guard lets TCP through",
        rules(("forward", 'iifname "mn-blue" oifname "mn-red" meta l4proto tcp accept')),
        SITE,
        "leak",
        ("(forced)", "arrived (tcp)", *BY_HAND),
    ),
    Opening(
        1,
        "the guard lets the bridges' traffic through",
        rules(("forward", 'iifname "mn-blue" oifname "mn-red" accept')),
        GUARD,
        "leak",
        ("(forced)", *BY_HAND),
        also=(15,),
    ),
    Opening(
        1,
        "a rule stands ahead of the guard's others, and shadows them for a protocol",
        rules(("guard", "meta l4proto 253 accept")),
        GUARD,
        "deviation",  # no measurement uses it
        BY_HAND,
    ),
    Opening(
        1,
        "two rules of the guard are in another order",
        f"cp -p {FILE} {KEPT}; sed -i"
        f" '/chain to_tunnel {{/ {{ n; N; s/\\(.*\\)\\n\\(.*\\)/\\2\\n\\1/ }}' {FILE}; {RELOAD}",
        SITE,
        "deviation",
        BY_HAND,
    ),
    Opening(
        14,
        "a port of a bridge that the guard does not know, for it hangs",
        "systemctl kill -s STOP multinet-isolation; ip link add leak0 type veth peer name leak1;"
        " ip link set leak0 master mn-blue up",
        "ip link del leak0; systemctl kill -s CONT multinet-isolation",
        "deviation",
        ("the guard does not know the port leak0", "run systemctl kill -s CONT"),
        also=(28,),  # nobody has set what it does with frames to bridges
    ),
    Opening(
        2,
        "the guard lets a bridge's traffic into the other's tunnel, and at its end any source",
        rules(("forward", 'iifname "mn-blue" oifname { "flannel.2", "flannel-v6.2" } accept')),
        SITE,
        "leak",
        ("(forced)", *BY_HAND),
        also=(6, 15),
        # which takes from a tunnel its own network's sources alone
        there=rules(("tunnel_of_red", "accept"), ("forward", 'iifname "flannel.2" accept')),
        there_undo=SITE,
    ),
    Opening(
        4,
        "somebody masquerades what goes through a tunnel",
        "nft add table ip other; nft add chain ip other post '{ type nat hook postrouting priority"
        " 50; }'; nft add rule ip other post oifname flannel.1 ip saddr 10.1.0.0/16 masquerade",
        "nft delete table ip other",
        "broken",
        ("the receiver saw the source", "find the rule that rewrites sources"),
    ),
    Opening(
        6,
        "the guard lets pods in at the other network's address of the node",
        rules(("input", 'iifname "mn-blue" ip daddr 10.3.0.0\\/16 accept')),
        GUARD,
        "leak",
        ("(node)", *BY_HAND),
    ),
    Opening(
        7,
        "a pod answers ARP for all its addresses",
        POD + "sysctl -qw net.ipv4.conf.all.arp_ignore=0",
        POD + "sysctl -qw net.ipv4.conf.all.arp_ignore=1",
        "deviation",  # its answer does not pass the port of the bridge
        ("arp_ignore is 0, expected 1", "arp_ignore must be 1"),
    ),
    Opening(
        9,
        "a pod forwards",
        POD + "sysctl -qw net.ipv4.ip_forward=1",
        # the kernel then believes redirects again
        POD + "sysctl -qw net.ipv4.ip_forward=0 net.ipv4.conf.all.accept_redirects=0",
        "deviation",
        ("net.ipv4.ip_forward is 1", "net.ipv4.ip_forward must be 0: set it there"),
    ),
    Opening(
        10,
        "a pod's route into red goes by blue",
        f"{POD}ip route show 10.3.0.0/16 > /run/leak;"
        f" {POD}ip route replace 10.3.0.0/16 via $({POD}ip route show default | cut -d' ' -f3)",
        f"{POD}ip route replace $(cat /run/leak)",
        "deviation",
        ("route to 10.3.0.0/16 is by eth0", "each network's ranges by its own interface"),
        also=(0,),
    ),
    Opening(
        12,
        "the guard lets pods speak to the tunnels",
        rules(
            *(
                (chain, 'iifname != "eth0" udp dport { 8472, 8286 } accept')
                for chain in ("forward", "input")
            )
        ),
        GUARD,
        "leak",
        ("(inject)", *BY_HAND),
    ),
    Opening(
        13,
        "the guard lets anybody speak to the tunnels",
        rules(("input", 'iifname "eth0" udp dport { 8472, 8286 } accept')),
        GUARD,
        "leak",
        ("(outside)", *BY_HAND),
    ),
    Opening(
        14,
        "a pod's interface is on the other bridge",
        "for one in $(ls /sys/class/net/mn-red/brif | head -1); do echo $one > /run/leak;"
        " ip link set $one master mn-blue; done",
        "ip link set $(cat /run/leak) master mn-red; bridge link set dev $(cat /run/leak)"
        " hairpin on",
        "leak",
        ("bridge of its peer is mn-blue, expected mn-red", "ip -d link show master"),
    ),
    Opening(
        14,
        "somebody hangs on a bridge, and is no port of it",
        "ip link add leak0 link mn-red type macvlan mode bridge; ip link set leak0 up",
        "ip link del leak0",
        "deviation",
        ("(macvlan, in any namespace)", "ip -all netns exec ip link show type macvlan"),
    ),
    Opening(
        15,
        "the guard lets IPv6 through",
        rules(("forward", 'iifname { "mn-blue", "mn-red" } meta nfproto ipv6 accept')),
        GUARD,
        "leak",
        ("(forced, inject)", *BY_HAND),
        also=(6, 12),
    ),
    Opening(
        16,
        "flannel's own tunnel devices are ports of their bridges, and flood",
        OWN_TUNNEL,
        OWN_TUNNEL_UNDO,
        "leak",
        ("a broadcast arrived", "ip -d link show master"),
        also=(14,),  # a port of a bridge that is no pod's
        there=OWN_TUNNEL,
        there_undo=OWN_TUNNEL_UNDO,
    ),
    Opening(
        16,
        "somebody's tunnel joins the bridges of two hosts, and floods",
        OTHER_TUNNEL,
        "ip link del leak0",
        "leak",
        ("a broadcast arrived", "ip -d link show master"),
        also=(14,),
        there=OTHER_TUNNEL,
        there_undo="ip link del leak0",
    ),
    Opening(
        20,
        "a pod has an address of nobody's subnet",
        POD + "ip addr add 10.99.0.9/24 dev net1",
        POD + "ip addr del 10.99.0.9/24 dev net1",
        "deviation",
        ("address is 10.99.0.9/24", "detach and attach the pod again"),
    ),
    Opening(
        21,
        "a pod's interface has another MTU",
        f"{POD}cat /sys/class/net/net1/mtu > /run/leak; {POD}ip link set net1 mtu 1300",
        f"{POD}ip link set net1 mtu $(cat /run/leak)",
        "broken",
        ("MTU is 1300, expected 1430", "compare the MTU of pod interface"),
    ),
    Opening(
        27,
        "nothing is masqueraded",
        f"cp -p {FILE} {KEPT}; sed -i '/counter masquerade/d' {FILE}; {RELOAD}",
        SITE,
        "broken",
        ("left with another source than the node's", *BY_HAND),
    ),
    Opening(
        27,
        "TCP alone is not masqueraded",
        rules(("as_host", "meta l4proto tcp accept")),
        GUARD,
        "broken",
        ("TCP left with another source than the node's", *BY_HAND),
    ),
    Opening(
        27,
        "another firewall drops TCP on its way out",
        dropping("forward", "iifname mn-blue oifname eth0 meta l4proto tcp"),
        NO_OTHER,
        "broken",
        ("TCP did not get out", FIREWALLS),
    ),
    Opening(
        27,
        "another firewall drops ICMP on its way out",
        dropping("forward", "iifname mn-blue oifname eth0 meta l4proto icmp"),
        NO_OTHER,
        "broken",
        ("ICMP did not get out", FIREWALLS),
    ),
    Opening(
        27,
        "what leaves is not answered",
        dropping(
            "prerouting", "iifname eth0 udp sport 47470-47485 udp dport != { 8472, 8286 }", -300
        ),
        NO_OTHER,
        "broken",
        ("no answer came back", FIREWALLS),
    ),
    Opening(
        28,
        "the guard lets pods be routers",
        rules(("prerouting", "icmpv6 type nd-router-advert accept"), family="bridge"),
        SITE,
        "leak",
        ("(router)", *BY_HAND),
    ),
    Opening(
        28,
        "the guard lets pods say by ARP what they like",
        rules(("prerouting", "ether type arp accept"), family="bridge"),
        GUARD,
        "leak",
        ("(claim)", *BY_HAND),
    ),
    Opening(
        29,
        "the guard lets frames with VLAN tags through",
        rules(
            *((chain, "ether type 0x8100 accept") for chain in ("prerouting", "forward")),
            family="bridge",
        ),
        GUARD,
        "leak",
        ("(neighbour)", *BY_HAND),
    ),
    Opening(
        30,
        "masquerade takes any port, also those of tunnels",
        f"cp -p {FILE} {KEPT}; sed -i 's/masquerade.* fully-random/masquerade/' {FILE}; {RELOAD};"
        f" {FORGET}",
        f"{GUARD}; {FORGET}",
        "leak",
        ("from a tunnel's port", *BY_HAND),
    ),
    Opening(
        31,
        "the guard lets pods tell the host of ways that are not theirs",
        rules(("icmp_to_host", "return")),
        GUARD,
        "leak",
        ("the node believed it", *BY_HAND),
    ),
    Opening(
        32,
        "what a tunnel brings is copied to a port of the other network",
        "tc qdisc add dev flannel.1 clsact; tc filter add dev flannel.1 ingress protocol all u32"
        " match u32 0 0 action mirred egress mirror dev $(ls /sys/class/net/mn-red/brif | head -1)",
        "tc qdisc del dev flannel.1 clsact",
        "leak",
        ("flannel.1: what passes here is sent to", "find what copies or redirects"),
    ),
]
NOT_TRIED = {
    11: "on_cluster.py",
    17: "on_cluster.py",
    22: "on_cluster.py",
    24: "it is no leak",
    26: "on_cluster.py",
    33: "on_cluster.py: two hosts do not tell whose it is",
}
