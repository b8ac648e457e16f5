# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways in which two overlay networks on Linux hosts turn out not to be isolated, or one not
connected. The only place where their numbers are written: everything else says `leaks.MTU`, and
scripts/docs.py makes docs/report.md's table of this one.

Pure, standard library: hosts and the controller read it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Leak(NamedTuple):
    """One class. Which probes show it is said where they are defined, see kinds.py."""

    number: int  # as in report.json; never given to another
    name: str
    closed_by: str  # what keeps it from happening
    repair: str  # what to look at: {host} is where, {source} and {target} are the networks
    shown_by: str = ""  # what shows it beside the probes for it: facts (checks.py), or a failure
    at_receiver: bool = False  # what closes it is on the receiving host
    elsewhere: str = ""  # the repair where nothing of ours is deployed, if it is another


# Why it leaks where nothing of ours is deployed
_ROUTED = (
    "On {host}, nothing keeps {source} and {target} apart: flannel isolates no networks, and the"
    " host's kernel routes between their devices (net.ipv4.ip_forward is 1). Let the role isolation"
    " do it, or "
)

NO_PATH = Leak(
    0,
    "no path inside a network",
    closed_by="flanneld: a lease, its tunnel device, a route to every other host",
    repair="On {host}, look at flanneld@{target} (systemctl status), its device and the routes over"
    " it; then at the receiving host.",
    elsewhere="On {host}, look at the flanneld of {target}, its device and the routes over it; then"
    " at the receiving host, and at other firewalls (FORWARD).",
    shown_by="a probe that must arrive and does not; leases, tunnel devices, routes, interfaces",
)
HOST_FORWARDING = Leak(
    1,
    "host forwarding between bridges",
    closed_by="the guard in forward, from device to device",
    repair="On {host}, the guard must drop what comes from a device of {source} and leaves by one"
    " of {target}: nft list table inet multinet; systemctl status multinet-isolation.",
    elsewhere=_ROUTED + "drop in forward what comes from a device of {source} and leaves by one of"
    " {target}.",
)
FOREIGN_TUNNEL = Leak(
    2,
    "forwarding into a foreign tunnel device, across hosts",
    closed_by="the guard in forward, from bridge to tunnel device",
    repair="On {host}, the guard must drop what comes from the bridge of {source} and leaves by the"
    " tunnel device of {target}, not only bridge to bridge: nft list table inet multinet;"
    " systemctl status multinet-isolation.",
    elsewhere=_ROUTED + "drop in forward what comes from the bridge of {source} and leaves by the"
    " tunnel device of {target}, not only bridge to bridge.",
)
MASQUERADE = Leak(
    4,
    "masquerade hides the source",
    closed_by="`--ip-masq=false` for flanneld, `ipMasq: false` in each delegate",
    repair="On {host}, find the rule that rewrites sources inside declared networks (nft list"
    " ruleset; iptables -t nat -S POSTROUTING): flanneld needs --ip-masq=false and each bridge"
    " delegate ipMasq: false.",
    shown_by="inside a network, another source than the pod's own",
)
NODE_ADDRESSES = Leak(
    6,
    "node addresses of the other network",
    closed_by="the guard in input, from device to foreign addresses",
    repair="On {host}, the guard must drop in its input chain what comes from a device of {source}"
    " for addresses of {target}.",
    elsewhere="On {host}, nothing keeps pods of {source} from the node's own addresses in {target}:"
    " a host takes what comes to any of its addresses, by whatever device. Drop in input what comes"
    " from a device of {source} for addresses of {target}.",
)
ARP = Leak(
    7,
    "ARP answers for another interface's address",
    closed_by="`arp_ignore` 1, `arp_announce` 2, `proxy_arp` and `proxy_ndp` 0 in each pod",
    repair="In the pods on {host}, net.ipv4.conf.all.arp_ignore must be 1 and arp_announce 2,"
    " proxy_arp and proxy_ndp 0 (the tuning plugin of each delegate). Where the host itself"
    " answers, net.ipv4.conf.*.proxy_arp of its bridges must be 0.",
    shown_by="the pod's sysctls, `proxy_arp` of the bridges",
)
POD_FORWARDS = Leak(
    9,
    "a pod on several networks forwards between them",
    closed_by="forwarding off in each pod",
    repair="In that pod on {host}, net.ipv4.ip_forward and net.ipv6.conf.all.forwarding must be 0;"
    " see also br_netfilter.",
    shown_by="the pod's sysctls",
)
WRONG_ROUTE = Leak(
    10,
    "route or default gateway on the wrong interface",
    closed_by="`isDefaultGateway` only for the default network's delegate",
    repair="Look at the routes in that pod on {host}: each network's ranges by its own interface"
    " and gateway; only the default network's delegate may have isDefaultGateway.",
    shown_by="the pod's routes",
)
WRONG_VNI = Leak(
    11,
    "VNI or port shared or swapped",
    closed_by="the plan, which gives each VNI to one network",
    repair="On {host}, the tunnel device of {target} must have the declared VNI and port: ip -d"
    " link; restart flanneld@{target} after repairing the key in etcd.",
    elsewhere="On {host}, the tunnel device of {target} must have the declared VNI and port: ip -d"
    " link shows it.",
    shown_by="the tunnel devices",
)
INJECTION = Leak(
    12,
    "tunnel injection from a pod",
    closed_by="the guard in input and forward: nothing from a pod to a tunnel port",
    repair="On {host}, the guard must drop what pods send to tunnel ports (UDP), in input and"
    " forward, for every address of a node.",
    elsewhere="On {host}, a pod can put frames into the tunnel of another network: VXLAN"
    " authenticates no sender. Drop what comes from a bridge to the UDP ports of tunnels, in input"
    " and in forward, for every address of a node.",
)
INJECTION_FROM_OUTSIDE = Leak(
    13,
    "tunnel injection from outside",
    closed_by="the guard in input: tunnel ports accept only the nodes",
    repair="On {host}, the guard must let only the nodes speak to tunnel ports: it knows them by"
    " flanneld's leases or isolation_node_addresses; nft list table inet multinet.",
    at_receiver=True,
    elsewhere="On {host}, anybody can put frames into a tunnel: VXLAN authenticates no sender."
    " Accept packets to the UDP ports of tunnels only from the nodes.",
)
SHARED_BRIDGE = Leak(
    14,
    "shared bridge or miswired interface",
    closed_by="a bridge for each network, with only the veths of its pods on it",
    repair="On {host}, ip -d link show master <bridge> shows the ports of a bridge, which are to be"
    " veths of its pods; ip link show type macvlan, also in namespaces (ip -all netns exec ip link"
    " show type macvlan), what is on top of one; tc filter show and nft list ruleset netdev what"
    " sends on from one to another.",
    shown_by="the ports of each bridge, the peers of each pod's interfaces",
)
IPV6 = Leak(
    15,
    "IPv6 is not guarded",
    closed_by="one table for both families (`inet`)",
    repair="On {host}, the guard must hold for IPv6 as for IPv4 (nftables family inet).",
    elsewhere="On {host}, what keeps the networks apart over IPv4 must do so over IPv6, too"
    " (ip6tables, or nftables' family inet).",
    shown_by="any probe over IPv6 that arrives, while the same over IPv4 does not",
)
BROADCAST = Leak(
    16,
    "broadcast crosses hosts",
    closed_by="tunnel devices that know each peer and flood nothing",
    repair="On {host}, look for what carries broadcasts from a bridge to another host: a port of it"
    " that is no veth of a pod, such as a tunnel device (ip -d link show master <bridge>), with an"
    " entry that floods (bridge fdb show | grep 00:00:00:00:00:00) or backend.learning.",
)
REDIRECTED = Leak(
    17,
    "a Service or a published port leads into another network",
    closed_by="the guard, which looks at packets after they were redirected",
    repair="On {host}, the guard must look at packets after they were redirected (nft list table"
    " inet multinet), in forward and, for IPVS, in output.",
)
DUPLICATE = Leak(
    20,
    "overlapping or duplicate addresses",
    closed_by="a lease for each host, and one store of addresses for each network",
    repair="On {host}, compare the leases (etcdctl get --prefix) and /var/lib/cni/networks; detach"
    " and attach the pod again.",
    elsewhere="On {host}, compare the hosts' leases and what gave the pods their addresses (of"
    " host-local: /var/lib/cni/networks); make the pod again.",
    shown_by="an answer from somebody else; addresses and MACs",
)
MTU = Leak(
    21,
    "MTU",
    closed_by="an MTU that leaves room for the tunnel, as flanneld leased it",
    repair="On {host}, compare the MTU of pod interface, bridge and tunnel device with the path"
    " between the hosts.",
    shown_by="`full` does not arrive where `unicast` does; the MTU of each interface",
)
MISSING_INTERFACE = Leak(
    22,
    "interfaces that are not there, or not as the API says",
    closed_by="the meta-plugin: no pod starts with an interface missing",
    repair="On {host}, have the pod attached again: kubectl delete pod, and its controller makes"
    " another (without Kubernetes: detach and attach). So it also gets a network that is younger"
    " than the pod. If it does not start, its events say why (kubectl describe pod).",
    shown_by="interfaces, the record of their attachment, and the annotation network-status",
)
NOT_MEASURED = Leak(
    24,
    "not measured",
    closed_by="measuring again",
    repair="Remove the reason that the finding gives, and run the measurement again.",
    shown_by="a measurement that proves nothing; the finding gives the reason",
)
NODE_TO_POD = Leak(
    26,
    "Services, published ports, or the way from node to pod",
    closed_by="kube-proxy, portmap, and `bridge-nf-call-iptables` 1",
    # kinds.py has what each kind of probe needs
    repair="NetworkPolicies and other firewalls on {host} may also drop it (nft list ruleset;"
    " iptables-save), or inet multinet; net.bridge.bridge-nf-call-iptables must be 1.",
    shown_by="`service`, `port` or `host` that must arrive and does not; `service` from another"
    " source than the pod's own; `bridge-nf-call-iptables`",
)

NO_WAY_OUT = Leak(
    27,
    "no way out",
    closed_by="the guard's masquerade of networks with `masquerade: true`",
    repair="On {host}, what pods of {source} send out of the networks must leave with the node's"
    " address: nft list chain inet multinet leaving, and as_host. Look at what other firewalls do"
    " with it in forward and postrouting, too (nft list ruleset; iptables-save).",
    shown_by="`out` that does not arrive by a protocol by which the host itself reaches that node,"
    " is not answered, or has another source than the node",
)

SPEAKS_FOR_OTHERS = Leak(
    28,
    "a pod speaks for others of its own network",
    closed_by="the guard's bridge table: a port sends with what CNI gave it, never as a router",
    repair="On {host}, the guard must hold each port to the MAC and the addresses that CNI gave it:"
    " nft list table bridge multinet; systemctl status multinet-isolation.",
    shown_by="`group_fwd_mask` of the ports",
)
BY_A_NEIGHBOUR = Leak(
    29,
    "a neighbour in one network reaches a pod's address in another",
    closed_by="the guard's bridge table: no VLAN tags, no addresses of other networks",
    repair="On {host}, the guard must drop what comes from a port of {source} with a VLAN tag, or"
    " for an address of {target}: nft list table bridge multinet.",
)
PORT_SHADOW = Leak(
    30,
    "a pod gets a tunnel's port of the node (port shadow)",
    closed_by="the guard's masquerade, which chooses among ports that nobody listens on",
    repair="On {host}, masquerade gave a pod of {source} a port that a tunnel listens on, and with"
    " it that tunnel's packets: nft list chain inet multinet as_host; look for other rules that"
    " masquerade, too.",
)
LOWERED_MTU = Leak(
    31,
    "a pod lowers the MTU of a way that is not its network's",
    closed_by="the guard in input: ICMP errors only about the pod's own network",
    repair="On {host}, the guard must drop ICMP errors of pods of {source} about the path to"
    " {target} (fragmentation needed, packet too big): nft list chain inet multinet icmp_to_host."
    " The kernel forgets a lowered MTU after ten minutes, or by ip route flush cache.",
)
COPIED = Leak(
    32,
    "packets are copied into another network",
    closed_by="nothing on ports, bridges and tunnel devices copies or redirects packets",
    repair="On {host}, find what copies or redirects packets of {source} where no guard looks: tc"
    " filter show dev DEVICE ingress (and egress), nft list ruleset (dup, fwd), ip -d link (xdp),"
    " of bridges, their ports and tunnel devices.",
    shown_by="a probe inside a network that is delivered in another one, too; filters and programs"
    " of tc, rules of nftables (`dup`, `fwd`), XDP on bridges, their ports and tunnel devices",
    at_receiver=True,
)
LOSSY = Leak(
    33,
    "packets get lost on the way, or arrive twice",
    closed_by="an underlay and hosts that deliver each packet once",
    repair="On {host}, and between the hosts, look for what drops or repeats some packets: rules"
    " (nft list ruleset; iptables-save: limit, numgen, statistic, dup, TEE), queues (tc -s qdisc),"
    " errors of an interface (ip -s link), links that are full.",
    shown_by="inside a network: how often a token was sent, and how often it arrived",
)

CLASSES = {leak.number: leak for leak in list(vars().values()) if isinstance(leak, Leak)}

# Sources forged by the pod are a matter of the same guard, seen from another side.
FORGED_SOURCE = (
    " The pod forged a source address of {target}: a guard by source prefix alone does not see it;"
    " guard by device as well."
)

# A way by which some protocols arrive leads there.
_FILTERED = (
    "On {host}, something drops a part of what goes into {target}, and it is neither a route nor a"
    " device: nft list ruleset (all families, also bridge) and iptables-save show it; then look at"
    " the receiving host, and in the pods."
)

# Of a Service by which an endpoint sees another source than the pod's
HIDDEN = (
    "On {host}, kube-proxy does not know the range or the bridge of {source}, or is started with"
    " --masquerade-all (docs/kubernetes.md, The range of eth0)."
)


def repair(
    leak: Leak,
    host: str,
    source: str = "",
    target: str = "",
    *,
    forged: bool = False,
    in_part: bool = False,
    elsewhere: bool = False,
    first: Iterable[str] = (),
) -> str:
    """Return what to do about a leak on host, from network source to network target.

    forged: whether all that leaked had a forged source address. in_part: whether some protocols
    arrived in all cases. elsewhere: whether nothing of ours is deployed there. first: what to do
    before all else, with the same places to fill in.
    """
    if in_part and leak is NO_PATH:
        leak = leak._replace(repair=_FILTERED, elsewhere="")
    text = ((elsewhere and leak.elsewhere) or leak.repair) + (FORGED_SOURCE if forged else "")
    text = " ".join([*first, text])
    return (
        text.replace("{host}", host)
        .replace("{source}", source or "one network")
        .replace("{target}", target or "another")
    )
