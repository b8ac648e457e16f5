# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a declaration may contain: the options, the keys of a network, and flannel's backends with
theirs. What is checked, filled in and documented of them follows from these tables.

The standard library alone: changes.py reads the tables on hosts too.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from .._names import IN_PROCESS
from .._ports import ETCD_CLIENT, ETCD_PEER, PROBE, SUBNET_SERVER, SUBNET_SERVER_REMOTE

# Lists of plugins exist since 0.3.0, whose own result format was broken; 0.3.1 corrected it.
CNI_VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")

MAX_NAME = 12  # "mn-" + name is a device name, and Linux allows 15 characters
NAME = re.compile("[a-z]([a-z0-9-]*[a-z0-9])?")
MAX_INTERFACE = 15  # IFNAMSIZ - 1
MAX_VLAN = 4094  # 802.1Q
# TCP ports on the nodes that are somebody's already, and whose.
OTHERS_PORTS = {
    ETCD_CLIENT: "etcd",
    ETCD_PEER: "etcd",
    SUBNET_SERVER: "the subnet server",
    SUBNET_SERVER_REMOTE: "the subnet server",
    PROBE: "the verification",
}
IPV6_MIN_MTU = 1280  # RFC 8200, section 5
NODE_CIDR_MASK_SIZES = {4: 24, 6: 64}  # kube-controller-manager's defaults
MAX_CLUSTER_BITS = 16  # it refuses ranges of more than 2^16 subnets


class Family(NamedTuple):
    """One IP family of a network: the keys that it is declared with, and flannel's own rule for
    nodes' subnets (flannel, pkg/subnet/config.go).
    """

    version: int
    cidr: str
    subnet_len: str
    usual: int  # length of a node's subnet when none is given
    longest: int  # and at most
    smallest: int  # network: the longest prefix that still holds four subnets


FAMILIES = (
    Family(4, "cidr", "subnet_len", 24, 30, 28),
    Family(6, "ipv6_cidr", "ipv6_subnet_len", 64, 126, 124),
)


# The options

_PATH = "(/[A-Za-z0-9._-]+)+"


class Option(NamedTuple):
    """What a declaration is checked against, or the plan derived with."""

    kind: str  # decides the check (options.py) and Ansible's type (argument_spec.py)
    default: Any
    about: tuple[str, ...]  # sentences of the documentation, in Ansible's markup
    choices: tuple[str, ...] = ()
    pattern: str = ""  # regular expression that a text matches as a whole
    write: str = ""  # what a sentence tells to write instead


OPTIONS = {
    "underlay_cidrs": Option(
        "ranges",
        [],
        ("Ranges of the interfaces that carry the tunnels. No network may overlap them.",),
    ),
    "service_cidrs": Option(
        "ranges", [], ("Ranges of services (Kubernetes) that no network may overlap.",)
    ),
    "forbidden_cidrs": Option("ranges", [], ("Other ranges that no network may overlap.",)),
    "architectures": Option(
        "architectures",
        None,
        (
            "Architectures of the nodes, as Go names them, such as V(amd64) and V(arm64).",
            "The C(udp) backend is refused if one of them is not V(amd64).",
        ),
    ),
    "etcd_prefix": Option(
        "text",
        "/coreos.com/network",
        ("Prefix of flannel's keys: those of network C(blue) begin with it and C(/blue).",),
        pattern=_PATH,
        write="a path such as /coreos.com/network",
    ),
    "cni_version": Option(
        "choice",
        "0.4.0",  # every flannel plugin in use speaks it
        ("CNI version of the configuration of each network.",),
        choices=CNI_VERSIONS,
    ),
    "conf_cni_version": Option(
        "choice", "1.0.0", ("CNI version of the configuration of the host.",), choices=CNI_VERSIONS
    ),
    "meta_plugin": Option(
        "text",
        "multinet",
        (
            "File name of the meta-plugin in the directory of the CNI plugins, the C(type) of the"
            " host's own configuration.",
        ),
        pattern="[A-Za-z0-9_-][A-Za-z0-9_.-]*",
        write="the file name of the meta-plugin, for example multinet",
    ),
    "in_process": Option(
        "choices",
        list(IN_PROCESS),
        (
            "CNI plugins whose work the meta-plugin does itself, without starting their"
            " executables.",
        ),
        choices=IN_PROCESS,
    ),
    "log_level": Option(
        "choice",
        "",
        ("What the meta-plugin logs of each request; by default nothing.",),
        choices=("", "error", "verbose", "debug"),
    ),
    "log_file": Option(
        "text",
        "",
        (
            "The file of that log on each host. By default it goes to standard error, which the"
            " container runtime logs.",
        ),
        pattern=f"({_PATH})?",
        write="the path of a file, such as /var/log/multinet.log",
    ),
    "node_count": Option(
        "count", None, ("Number of nodes. A network that has fewer subnets is refused.",)
    ),
    "cni_conf_dir": Option(
        "path",
        "/etc/cni/net.d",
        (
            "Where the container runtime looks for CNI configurations; the one of a network with"
            " C(default=external) is looked for there.",
        ),
        pattern=_PATH,
        write="the path of a directory, such as /etc/cni/net.d",
    ),
    "docker_network": Option(
        "text",
        "",
        ("Name of the network that docker's own bridge is in. By default, it is in none.",),
        pattern="[a-z0-9-]*",
        write="the name of a network, or leave it out",
    ),
    "datastore": Option(
        "choice", "etcd", ("Where leases come from.",), choices=("etcd", "kubernetes")
    ),
    "kubernetes": Option(
        "boolean",
        None,
        (
            "Whether the nodes are Kubernetes nodes, whose pods ask for networks by annotation.",
            "By default V(true) if C(datastore) is V(kubernetes).",
        ),
    ),
    "nad_namespaces": Option(
        "namespaces",
        ["default"],
        ("Namespaces whose pods may ask for the networks, unless a network has C(namespaces).",),
    ),
    "cluster_cidrs": Option(
        "cluster",
        [],
        ("The ranges from which Kubernetes assigns podCIDRs, at most one of each family.",),
    ),
    "node_cidr_mask_sizes": Option(
        "lengths",
        [],
        (
            "The prefix length of podCIDRs, one for each of C(cluster_cidrs). The default is 24 for"
            " IPv4 and 64 for IPv6.",
        ),
    ),
}


# The keys of a network

# What a change of the key means for the pods and nodes that use the network.
REATTACH = "pods that are attached keep their old addresses until they are attached again"
_RELEASE = (
    "every node's lease has the old form: each node takes a new one when flanneld restarts, and "
    + REATTACH
)
_OUTSIDE = "a node whose lease lies outside takes a new one when flanneld restarts, and " + REATTACH
TUNNEL = (
    "until all nodes have the new value, nodes with the old one and nodes with the new one cannot"
    " reach each other through this network"
)


class Key(NamedTuple):
    """One key that a user may write in a network or in its backend.

    What is `boolean`, `integer`, `string`, or has choices is checked by these fields alone
    (values.py).
    """

    kind: str
    about: str = ""  # its rule, in Markdown; of a backend's keys the backend's own says it
    default: Any = None
    required: bool = False
    low: int = 0  # of an integer; of a string the least length
    high: int = 0
    choices: tuple[str, ...] = ()
    pattern: str = ""  # regular expression that a string matches as a whole
    why: str = ""  # what a number is, or what a string must be
    write: str = ""  # what a sentence tells to write instead of another choice
    flannel: str = ""  # flannel's own name for a backend's key
    secret: bool = False  # no sentence shows it
    change: str = ""  # what a change means for the pods and nodes that use the network


NETWORK_KEYS = {
    "name": Key(
        "string",
        "Lower-case letters, digits and hyphens, beginning with a letter, at most 12 characters."
        " Not `config` or a name that begins with `subnets`: those are flannel's keys in etcd.",
        required=True,
    ),
    "cidr": Key(
        "IPv4 range",
        "A range of `/28` or larger, with host bits zero. It may not overlap another network, the"
        " underlay, `multinet_service_cidrs` or `multinet_forbidden_cidrs`.",
        required=True,
        change=_RELEASE,
    ),
    "ipv6_cidr": Key(
        "IPv6 range",
        "None by default. The same rules, but `/124` or larger. Needs a backend that carries IPv6.",
        change=_RELEASE,
    ),
    "default": Key(
        "boolean",
        "`true` for exactly one network: it is `eth0` and the default route of every pod."
        " `external`: see below.",
        default=False,
        change="pods that are attached keep their old default route until they are attached again",
    ),
    "attach": Key(
        "string",
        "`all`: every pod has an interface in it. `request`: only pods that ask for it. By default"
        " `all` for the default network, `request` for the others.",
        choices=("all", "request"),
        write="all (every pod) or request (pods that ask for it)",
    ),
    "namespaces": Key(
        "list of names, or label selector",
        "Kubernetes namespaces whose pods may ask for it: a list of names, or a label selector"
        " (`{matchLabels: {team: a}}`, `matchExpressions`; `{}` selects all). By default"
        " `multinet_nad_namespaces`. Not with `attach: all`, which is for every pod.",
    ),
    "interface": Key(
        "device name",
        "Name of the interface in pods, at most 15 characters. By default `eth0` for the default"
        " network, and `net1`, `net2`, ... for the others in the order of the list, so add new"
        " networks at the end, or name their interfaces. A network with `attach: all` and `net1`"
        " shifts the networks that pods ask for by annotation to `net2` and on; a name such as"
        " `red0` shifts none.",
        change="pods that are attached keep the old name until they are attached again",
    ),
    "subnet_len": Key(
        "prefix length",
        "Prefix length of the subnet that each node leases: at least 2 longer than that of `cidr`,"
        " at most 30. By default 24, or 2 longer than `cidr` if that is smaller than `/22`."
        " flannel does not use the first subnet, so a `/22` with `/24` serves 3 nodes. A network"
        " with fewer subnets than nodes is refused. (Leases from the Kubernetes API: see below.)",
        change=_RELEASE,
    ),
    "ipv6_subnet_len": Key(
        "prefix length", "The same for `ipv6_cidr`: by default 64, at most 126.", change=_RELEASE
    ),
    "subnet_min": Key(
        "IPv4 address",
        "The first address of the first subnet that nodes may lease. By default flannel's: the"
        " second subnet.",
        change=_OUTSIDE,
    ),
    "subnet_max": Key(
        "IPv4 address",
        "The first address of the last subnet that nodes may lease. By default the last subnet.",
        change=_OUTSIDE,
    ),
    "backend": Key("mapping", "See below.", required=True),
    "masquerade": Key(
        "boolean",
        "Whether pods reach the outside world with the node's address as source. By default only"
        " on the default network.",
    ),
    "isolate": Key(
        "boolean",
        "Whether it is kept apart from other networks. Two networks are kept apart if at least one"
        " of them has `true`.",
        default=True,
    ),
    "allow_to": Key(
        "list of names",
        "Networks to which its pods may open connections. Pods attached from then on get the"
        " routes. The other direction stays closed unless the other network allows it.",
        default=[],
    ),
    "spoofing": Key(
        "string",
        "`blocked`: a pod can send only with the MAC and the addresses that it was given."
        " `allowed`: with any address of the network, for keepalived and virtual machines in pods.",
        default="blocked",
        choices=("blocked", "allowed"),
        write="blocked (only its own addresses) or allowed (any address of the network)",
    ),
    "host_ports": Key(
        "string",
        "`spec`: a port of a node leads to a pod only by `hostPort` in the pod's spec, which Pod"
        " Security and the scheduler see. `request`: also by `portMappings` in its annotation,"
        " whatever port it names. Only the default network has ports of nodes.",
        default="spec",
        choices=("spec", "request"),
        write="spec (only those of a pod's spec) or request (also those of its annotation)",
    ),
    "delegate": Key(
        "mapping",
        "More keys for the CNI plugin bridge, for example `{promiscMode: true}`. Not `name`,"
        " `ipam`, `type`, `bridge`, `ipMasq`, `isGateway`, `isDefaultGateway`, which follow from"
        " the declaration.",
        default={},
        change="pods that are attached keep what they have until they are attached again",
    ),
    "healthz_port": Key(
        "integer",
        "TCP port of flanneld's health check on 127.0.0.1. By default a number from 20000 to"
        " 29999 that depends on the name; if two networks would have the same one, the later gets"
        " the next.",
        low=1024,
        high=65535,
        why="a TCP port on 127.0.0.1",
    ),
}

# What `default` says in the entry of a CNI that is on the nodes already and stays the pods' first
# network, and the keys of such an entry.
EXTERNAL = "external"
EXTERNAL_KEYS = {
    "name": Key("string", "Its name in reports.", required=True),
    "default": Key(
        "`external`",
        "At most one entry has it, and then no network has `default: true`.",
        required=True,
    ),
    "cidr": Key(
        "IPv4 range",
        "The range of its pods. The networks may not overlap it and are kept apart from it. Without"
        " it, that CNI's pods are not known and not kept apart.",
    ),
    "ipv6_cidr": Key("IPv6 range", "The same."),
    "conf": Key(
        "file name",
        "Its configuration file in `multinet_cni_conf_dir`. By default the first file there that is"
        " not the collection's; preflight refuses a host that has several.",
    ),
}
OWN_CONF = "00-multinet.conf"

# Keys of the bridge plugin that follow from the declaration; the reason says what to write instead.
DELEGATE_REFUSED = {
    "name": "flannel names the delegate after the network; remove it",
    "ipam": "flannel hands out the addresses of the node's lease; remove it",
    "type": "every network is a bridge; remove it",
    "bridge": "the bridge is always called mn-<network>; remove it",
    "ipMasq": "write masquerade: true or false in the network itself",
    "isDefaultGateway": "write default: true in the network that gives pods their default route",
    "isGateway": "the bridge is the gateway to the other hosts; remove it",
}


# The backends


class Backend(NamedTuple):
    """One flannel backend: its keys, and what it needs on a host (flannel,
    Documentation/backends.md and pkg/backend).
    """

    keys: dict[str, Key]
    about: str  # its rule, in Markdown
    overhead: int  # bytes that encapsulation takes from the MTU
    ipv6: bool = False  # carries IPv6 pod networks
    ipv6_mtu: int | None = None  # `mtu` of a network with IPv6, where flannel's own is wrong
    architectures: tuple[str, ...] = ()  # the only ones that flannel has it on; empty: all
    link: str = ""  # kind of link that the kernel must know, with what `ip link add` needs
    starts_programs: bool = False  # flanneld runs another program, found in its PATH
    single: str = ""  # why only one network of a host can use it; empty: any number can
    device: str | None = None  # host device, formatted with the backend's keys
    device_v6: str | None = None
    routes: str = ""  # to what flanneld makes routes: each other host's "subnet", or the "range"
    ports: tuple[str, ...] = ()  # keys that hold UDP ports the host listens on
    fixed_ports: tuple[int, ...] = ()  # UDP ports that cannot be chosen
    protocols: tuple[int, ...] = ()  # IP protocol numbers of the tunnel, where it is not UDP


def _port(flannel: str, default: int, change: str = "") -> Key:
    return Key(
        "integer",
        flannel=flannel,
        default=default,
        low=1,
        high=65535,
        why="a UDP port",
        change=change,
    )


_MTU = Key(
    "integer",
    flannel="MTU",
    low=576,
    high=65535,
    why="the MTU of the underlay; flannel subtracts its own overhead",
    change="pods that are attached keep the old MTU until they are attached again",
)
_DIRECT_ROUTING = Key("boolean", flannel="DirectRouting", default=False)

BACKENDS = {
    "vxlan": Backend(
        keys={
            "vni": Key(
                "integer",
                flannel="VNI",
                required=True,
                low=1,
                high=9999,
                why=(
                    "it is part of the device names flannel.<vni> and flannel-v6.<vni>, which have"
                    " at most 15 characters, and leases store it in 16 bits"
                ),
                change=TUNNEL,
            ),
            "port": _port("Port", 8472, TUNNEL),
            "mtu": _MTU,
            "gbp": Key("boolean", flannel="GBP", default=False, change=TUNNEL),
            "learning": Key("boolean", flannel="Learning", default=False),
            "direct_routing": _DIRECT_ROUTING,
        },
        about=(
            "`vni` is from 1 to 9999 and different in each network: it names the device"
            " `flannel.<vni>`. Networks may share a port, since the kernel tells them apart by"
            " VNI; with `gbp`, only if all of them have it."
        ),
        overhead=50,
        ipv6=True,
        # flannel takes 50 bytes off for a tunnel over IPv6 too, which needs 70: an Ethernet's 1500
        # less the 20 that it forgets.
        ipv6_mtu=1480,
        link="vxlan id 1 dstport 4789",
        device="flannel.{vni}",
        device_v6="flannel-v6.{vni}",
        routes="subnet",
        ports=("port",),
    ),
    "host-gw": Backend(
        keys={}, about="All nodes must be on one link.", overhead=0, ipv6=True, routes="subnet"
    ),
    "wireguard": Backend(
        keys={
            "port": _port("ListenPort", 51820, TUNNEL),
            "port_v6": _port("ListenPortV6", 51821),
            "mtu": _MTU,
            "mode": Key(
                "string",
                flannel="Mode",
                default="separate",
                choices=("separate", "auto", "ipv4", "ipv6"),
            ),
            "persistent_keepalive_interval": Key(
                "integer",
                flannel="PersistentKeepaliveInterval",
                default=0,
                high=65535,
                why="seconds, 0 is off",
            ),
            "psk": Key(
                "string",
                flannel="PSK",
                pattern="[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=",  # 32 bytes in base64
                why=(
                    "not a WireGuard key; write one made by wg genpsk, which has 44 characters of"
                    " base64"
                ),
                secret=True,
                change=TUNNEL,
            ),
        },
        about="For one network only. `wg genpsk` makes a `psk`.",
        overhead=80,
        ipv6=True,
        link="wireguard",
        single="its device is always called flannel-wg",
        device="flannel-wg",
        device_v6="flannel-wg-v6",
        routes="range",
        ports=("port",),
    ),
    "udp": Backend(
        keys={"port": _port("Port", 8285, TUNNEL)},
        about=(
            "For amd64 only, with a port of its own. With nodes of other architectures write"
            " `vxlan` with the same port."
        ),
        overhead=28,
        architectures=("amd64",),
        routes="range",
        ports=("port",),
    ),
    "ipip": Backend(
        keys={"direct_routing": _DIRECT_ROUTING},
        about="For one network only.",
        overhead=20,
        single="its device is always called flannel.ipip",
        device="flannel.ipip",
        routes="subnet",
        protocols=(4,),
    ),
    "ipsec": Backend(
        keys={
            "psk": Key(
                "string",
                flannel="PSK",
                required=True,
                low=96,  # flannel, pkg/backend/ipsec/ipsec.go
                why="a secret of 96 characters or more",
                secret=True,
                change=TUNNEL,
            ),
            "udp_encap": Key("boolean", flannel="UDPEncap", default=False),
            "esp_proposal": Key("string", flannel="ESPProposal"),
        },
        about=(
            "For one network only. `psk` has 96 characters or more. It takes the UDP ports 500 and"
            " 4500."
        ),
        overhead=77,
        starts_programs=True,  # charon
        single="its IKE daemon always listens on the same socket",
        fixed_ports=(500, 4500),
        protocols=(50,),
    ),
    "alloc": Backend(
        keys={}, about="Leases subnets, without traffic between nodes.", overhead=0, ipv6=True
    ),
}
IPSEC_UDP_ENCAP_OVERHEAD = 8


def leads_over_underlay(backend: dict[str, Any]) -> bool:
    """Whether routes to other hosts' subnets may lead over the underlay's own device.

    backend: that of a network of a plan.
    """
    kind = BACKENDS[backend["type"]]
    return kind.routes == "subnet" and (not kind.device or bool(backend.get("direct_routing")))


# Backends of flannel that this collection does not run, with the reason.
BACKENDS_REFUSED = {
    "extension": (
        "runs commands of your own, and the collection cannot isolate or remove the devices that"
        " they make"
    ),
    "tencent-vpc": "needs the API of a cloud provider",
    "gce": "was removed from flannel",
    "aws-vpc": "was removed from flannel",
    "ali-vpc": "was removed from flannel",
}
