# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways in which two overlay networks on Linux hosts turn out not to be isolated, or one not
connected: a number, a name, and what to look at.
"""

from __future__ import annotations

# number: (name, repair). {host} is where to look, {source} and {target} are the networks.
CLASSES = {
    0: (
        "no path inside a network",
        (
            "On {host}, look at flanneld@{target} (systemctl status), its device and the routes"
            " over it; then at the receiving host."
        ),
    ),
    1: (
        "host forwarding between bridges",
        (
            "On {host}, the guard must drop what comes from a device of {source} and leaves by one"
            " of {target}: nft list table inet multinet; systemctl status multinet-isolation."
        ),
    ),
    2: (
        "forwarding into a foreign tunnel device, across hosts",
        (
            "On {host}, the guard must drop what comes from the bridge of {source} and leaves by"
            " the tunnel device of {target}, not only bridge to bridge: nft list table inet"
            " multinet; systemctl status multinet-isolation."
        ),
    ),
    4: (
        "masquerade hides the source",
        (
            "On {host}, find the rule that rewrites sources inside declared networks (nft list"
            " ruleset; iptables -t nat -S POSTROUTING): flanneld needs --ip-masq=false and each"
            " bridge delegate ipMasq: false."
        ),
    ),
    6: (
        "node addresses of the other network",
        (
            "On {host}, the guard must drop in its input chain what comes from a device of {source}"
            " for addresses of {target}."
        ),
    ),
    7: (
        "ARP answers for another interface's address",
        (
            "In the pods on {host}, net.ipv4.conf.all.arp_ignore must be 1 and arp_announce 2 (the"
            " tuning plugin of each delegate)."
        ),
    ),
    9: (
        "a pod on several networks forwards between them",
        (
            "In that pod on {host}, net.ipv4.ip_forward and net.ipv6.conf.all.forwarding must be 0;"
            " see also br_netfilter."
        ),
    ),
    10: (
        "route or default gateway on the wrong interface",
        (
            "Look at the routes in that pod on {host}; only the default network's delegate may have"
            " isDefaultGateway."
        ),
    ),
    11: (
        "VNI or port shared or swapped",
        (
            "On {host}, the tunnel device of {target} must have the declared VNI and port: ip -d"
            " link; restart flanneld@{target} after repairing the key in etcd."
        ),
    ),
    12: (
        "tunnel injection from a pod",
        (
            "On {host}, the guard must drop what pods send to tunnel ports (UDP), in input and"
            " forward, for every address of a node."
        ),
    ),
    13: (
        "tunnel injection from outside",
        (
            "On {host}, the guard must let only the nodes speak to tunnel ports: roles/isolation"
            " takes their addresses from the inventory; nft list table inet multinet."
        ),
    ),
    14: (
        "shared bridge or miswired interface",
        "On {host}, ip link show master <bridge> tells which interface is on the wrong bridge.",
    ),
    15: (
        "IPv6 is not guarded",
        "On {host}, the guard must hold for IPv6 as for IPv4 (nftables family inet).",
    ),
    16: (
        "broadcast crosses hosts",
        (
            "On {host}, look for flooding entries (bridge fdb show dev <tunnel device>) and"
            " backend.learning."
        ),
    ),
    17: (
        "a Service or a published port leads into another network",
        (
            "On {host}, the guard must look at packets after they were redirected (nft list table"
            " inet multinet), in forward and, for IPVS, in output."
        ),
    ),
    20: (
        "overlapping or duplicate addresses",
        (
            "On {host}, compare the leases (etcdctl get --prefix) and /var/lib/cni/networks; detach"
            " and attach the pod again."
        ),
    ),
    21: (
        "MTU",
        (
            "On {host}, compare the MTU of pod interface, bridge and tunnel device with the path"
            " between the hosts."
        ),
    ),
    22: (
        "interfaces that are not there, or not as the API says",
        (
            "On {host}, look at the events of the pod and at /var/lib/cni/multinet; a pod that is"
            " older than a network's declaration gets it when it is made anew."
        ),
    ),
    24: ("not measured", "Repeat the measurement once the reason given is gone."),
    26: (
        "Services, published ports, or the way from node to pod",
        (
            "On {host}, look at kube-proxy, portmap and any NetworkPolicy (nft list ruleset;"
            " iptables-save), at net.bridge.bridge-nf-call-iptables, which must be 1, and at what"
            " inet multinet dropped."
        ),
    ),
}
# Sources forged by the pod are a matter of the same guard, seen from another side.
SPOOF = (
    " The pod forged a source address of {target}: a guard by source prefix alone does not see it;"
    " guard by device as well."
)


def repair(number, host, source="", target="", spoofed=False):
    """Return what to do about class number (int), as a sentence."""
    text = CLASSES[number][1] + (SPOOF if spoofed else "")
    return (
        text.replace("{host}", host)
        .replace("{source}", source or "one network")
        .replace("{target}", target or "another")
    )


def of_leak(cell, v4_is_guarded):
    """Return the class number (int) of a cell that should be blocked and is not.

    v4_is_guarded: between the two networks, nothing leaks over IPv4.
    """
    kind, same_host = cell["kind"], cell["from_host"] == cell["to_host"]
    if kind == "l2":
        return 14 if same_host else 16
    if cell["family"] == "6" and v4_is_guarded and kind != "outside":
        return 15
    by_kind = {
        "node": 6,
        "arp": 7,
        "relay": 9,
        "inject": 12,
        "outside": 13,
        "service": 17,
        "port": 17,
    }
    return by_kind.get(kind, 1 if same_host else 2)
