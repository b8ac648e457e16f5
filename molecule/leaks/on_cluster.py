# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The classes of leak that a cluster of three nodes shows and two plain hosts do not, and what
opens and closes each on a node. All nodes have kubectl.
"""

from __future__ import annotations

from openings import BY_HAND, NO_OTHER, SITE, Opening, dropping, rules

# The node's pod of the DaemonSet, and its namespace, which has a file for each of them.
MINE = "--field-selector=spec.nodeName=$(hostname)"
EVERY = f"pod -l app=every {MINE}"
ADDRESS = f"$(kubectl get {EVERY} -o 'jsonpath={{.items[0].status.podIP}}')"
IN_POD = (
    f"address={ADDRESS}; for one in $(ls /run/netns); do if ip -n $one -o addr show eth0 | grep -q"
    ' " $address/"; then pod=$one; fi; done; ip -n $pod '
)
# As a finding asks for: another pod in its place.
AGAIN = (
    f"kubectl delete {EVERY}; until kubectl wait {EVERY} --for=condition=Ready --timeout=20s; do"
    " sleep 0.3; done"
)
STATUS = "k8s.v1.cni.cncf.io/network-status"
# A Service that leads pods to that of their own node, which is on the same bridge.
NEAR = (
    "kubectl -n apps expose deployment web --name near --port 80 --target-port 8000"
    ' --overrides \'{"spec": {"internalTrafficPolicy": "Local"}}\'; until iptables -t nat -S |'
    " grep -q apps/near; do sleep 0.2; done; "
)
NO_KEEPER = "systemctl stop multinet-keeper; "  # which would close it at once
REDIRECTED = rules(("forward", 'iifname "mn-red" oifname "mn-blue" ct status dnat accept'))
NO_HOST_PORT = "iptables -t nat -F CNI-HOSTPORT-DNAT"
HOST_PORT = ("answered, but not by an endpoint", "a pod's hostPort is portmap's", "delete pod")
LOST = ("packets lost on the way from {host} to", "rules (nft list ruleset")
TWICE = (
    "nft add table ip other; nft add chain ip other raw '{ type filter hook prerouting priority"
    f" -300; }}'; address={ADDRESS}; nft add rule ip other raw iifname flannel.1 ip daddr $address"
    " dup to $address device mn-blue"
)
OPENINGS = [
    Opening(
        11,
        "flanneld is given another port than the network's",
        "sed -i 's/8286/9999/' /etc/flannel/red.json; systemctl restart flanneld@red",
        SITE,
        "deviation",
        ("UDP port is 9999, expected 8286", "run the playbook site"),
        also=(0, 12, 13),  # no node speaks to that port, and no guard knows it
    ),
    Opening(
        17,
        "the guard lets through what was redirected",
        REDIRECTED,
        SITE,
        "leak",
        # kube-proxy chooses by chance whether a Service's endpoint is on this node
        ("port", "from red to blue", *BY_HAND),
    ),
    Opening(
        22,
        "an interface of a pod is gone",
        IN_POD + "link del net1",
        AGAIN,
        "deviation",
        ("net1: interface that CNI gave it is missing", "kubectl delete pod"),
    ),
    Opening(
        22,
        "somebody changed what network-status says",
        f"kubectl annotate --overwrite {EVERY}"
        f' {STATUS}=\'[{{"name": "blue", "interface": "eth0", "ips": ["10.244.9.9"]}}]\'',
        AGAIN,
        "deviation",
        ("network-status says addresses 10.244.9.9, and the pod has", "kubectl delete pod"),
    ),
    Opening(
        22,
        "network-status is gone",
        f"kubectl annotate {EVERY} {STATUS}-",
        AGAIN,
        "deviation",
        ("it has no annotation network-status", "kubectl delete pod"),
    ),
    Opening(
        26,
        "kube-proxy is dead, and its rules are gone",
        "systemctl stop kube-proxy; iptables -t nat -F KUBE-SERVICES",
        "systemctl start kube-proxy;"
        " until iptables -t nat -S KUBE-SERVICES | grep -q apps/web; do sleep 0.2; done",
        "broken",
        ("to @service/", "kube-proxy must run, and have rules for the Service"),
    ),
    Opening(
        26,
        "another firewall drops what goes to Services",
        dropping("prerouting", "ip daddr 10.96.0.0/16", -300),
        NO_OTHER,
        "broken",
        ("(service)", "NetworkPolicies and other firewalls on {host} may also drop it"),
    ),
    Opening(26, "a published port leads nowhere", NO_HOST_PORT, AGAIN, "broken", HOST_PORT),
    Opening(
        26,
        "firewalls no longer see what bridges pass on",
        NEAR + NO_KEEPER + "sysctl -qw net.bridge.bridge-nf-call-iptables=0",
        SITE,
        "broken",
        ("bridge-nf-call-iptables is not 1", "gets no answer from a Service", "set it back"),
        there_undo="kubectl -n apps delete service near",
    ),
    Opening(
        26,
        "another firewall drops what the node sends to pods by TCP",
        dropping("output", "oifname mn-blue meta l4proto tcp"),
        NO_OTHER,
        "broken",
        ("icmp, udp arrived, tcp did not", "what drops in output what the node sends"),
    ),
    Opening(
        33,
        "every third packet to other nodes is dropped",
        dropping("forward", "oifname flannel.1 numgen inc mod 3 0"),
        NO_OTHER,
        "deviation",
        LOST,
        also=(0, 21, 26),  # what was lost each time it was sent again
    ),
    Opening(
        33,
        "every fourth packet of a tunnel is dropped on its way in",
        dropping("prerouting", "iifname eth0 udp dport 8472 numgen inc mod 4 0", -300),
        NO_OTHER,
        "deviation",
        ("packets lost on the way from {other} to {host}", LOST[1]),
        also=(0, 21, 26),
    ),
    Opening(
        33,
        "packets for a pod come twice",
        TWICE,
        NO_OTHER,
        "deviation",
        ("packets that came again on the way from {other} to {host}", "dup, TEE"),
    ),
    # two at a time, on two nodes
    Opening(
        17,
        "the guard lets through what was redirected; on another node, a published port leads"
        " nowhere",
        REDIRECTED,
        SITE,
        "leak",
        ("from red to blue", *BY_HAND),
        there=NO_HOST_PORT,
        there_undo=AGAIN,
        second=26,
        second_says=HOST_PORT,
    ),
    Opening(
        33,
        "packets for a pod come twice; on another node, an interface of a pod is gone",
        TWICE,
        NO_OTHER,
        "deviation",
        ("packets that came again on the way from", "dup, TEE"),
        there=IN_POD + "link del net1",
        there_undo=AGAIN,
        second=22,
        second_says=("net1: interface that CNI gave it is missing", "kubectl delete pod"),
    ),
]
NOT_TRIED = {24: "it is no leak"}
