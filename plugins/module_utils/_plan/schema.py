# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a declaration may contain: the keys of a network, of each flannel backend, and of the
options.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .._ports import ETCD_CLIENT, ETCD_PEER

NETWORK_KEYS = (
    "name",
    "cidr",
    "ipv6_cidr",
    "default",
    "attach",
    "interface",
    "subnet_len",
    "ipv6_subnet_len",
    "subnet_min",
    "subnet_max",
    "backend",
    "masquerade",
    "isolate",
    "allow_to",
    "delegate",
    "healthz_port",
)
ATTACH = ("all", "request")
# What `default` says in the entry of a CNI that is on the nodes already and stays the pods' first
# network, and the keys of such an entry.
EXTERNAL = "external"
EXTERNAL_KEYS = ("name", "default", "cidr", "ipv6_cidr", "conf")
OWN_CONF = "00-multinet.conf"

OPTION_DEFAULTS = {
    "service_cidrs": [],  # ranges of Kubernetes services
    "forbidden_cidrs": [],  # any other range the networks must leave alone
    "underlay_cidrs": [],  # ranges of the interfaces that carry the tunnels
    "architectures": None,  # GOARCH names of the nodes; null: not known
    "etcd_prefix": "/coreos.com/network",
    "cni_version": "0.4.0",  # of the delegates: every flannel plugin in use speaks it
    "conf_cni_version": "1.0.0",  # of the host's own configuration
    "node_count": None,  # how many nodes need a lease; null: not checked
    "meta_plugin": "multinet",  # its file name, the `type` of the host's own configuration
    "in_process": ["flannel", "tuning"],  # plugins whose work the meta-plugin does itself
    "cni_conf_dir": "/etc/cni/net.d",
    "kubernetes": (
        None
    ),  # the nodes are Kubernetes', whose pods ask for networks by annotation; null: with datastore kubernetes
    "datastore": "etcd",  # where leases come from, one of DATASTORES
    # the ranges that Kubernetes gives its nodes subnets of, at most one of each family
    "cluster_cidrs": [],
    # the length of those subnets, one for each range; empty: Kubernetes' defaults
    "node_cidr_mask_sizes": [],
}
# Lists of plugins exist since 0.3.0; 0.3.0 itself had a broken result format that 0.3.1 corrected.
CNI_VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")

IN_PROCESS = ("flannel", "tuning")
DATASTORES = ("etcd", "kubernetes")
NODE_CIDR_MASK_SIZES = {4: 24, 6: 64}  # kube-controller-manager's defaults
MAX_CLUSTER_BITS = 16  # it refuses ranges of more than 2^16 subnets

MAX_NAME = 12  # "mn-" + name is a device name, and Linux allows 15 characters
MAX_INTERFACE = 15  # IFNAMSIZ - 1
ETCD_PORTS = (ETCD_CLIENT, ETCD_PEER)


class Key(NamedTuple):
    """One key of a backend: flannel's own name for it, what it holds (`integer`, `boolean`,
    `string`), and its limits.
    """

    flannel: str
    kind: str
    default: Any = None
    low: int = 0
    high: int = 0
    required: bool = False
    choices: tuple = ()
    why: str = ""


class Backend(NamedTuple):
    """One flannel backend: its keys, and what it needs on a host (flannel,
    Documentation/backends.md and pkg/backend).
    """

    keys: dict
    overhead: int  # bytes that encapsulation takes from the MTU
    ipv6: bool = False  # carries IPv6 pod networks
    single: str = ""  # why only one network of a host can use it; empty: any number can
    device: str | None = None  # host device, formatted with the backend's keys
    device_v6: str | None = None
    ports: tuple = ()  # keys that hold UDP ports the host listens on
    fixed_ports: tuple = ()  # UDP ports that cannot be chosen
    protocols: tuple = ()  # IP protocol numbers of the tunnel, where it is not UDP


def _port(flannel: str, default: int) -> Key:
    return Key(flannel, "integer", default, 1, 65535, why="a UDP port")


_MTU = Key(
    "MTU",
    "integer",
    None,
    576,
    65535,
    why="the MTU of the underlay; flannel takes its own overhead off it",
)
_VNI = Key(
    "VNI",
    "integer",
    None,
    1,
    9999,
    required=True,
    why=(
        "it names the devices flannel.<vni> and flannel-v6.<vni>, which may have 15 characters, and"
        " leases keep it in 16 bits"
    ),
)
_DIRECT_ROUTING = Key("DirectRouting", "boolean", False)

BACKENDS = {
    "vxlan": Backend(
        keys={
            "vni": _VNI,
            "port": _port("Port", 8472),
            "mtu": _MTU,
            "gbp": Key("GBP", "boolean", False),
            "learning": Key("Learning", "boolean", False),
            "direct_routing": _DIRECT_ROUTING,
        },
        overhead=50,
        ipv6=True,
        device="flannel.{vni}",
        device_v6="flannel-v6.{vni}",
        ports=("port",),
    ),
    "host-gw": Backend(keys={}, overhead=0, ipv6=True),
    "wireguard": Backend(
        keys={
            "port": _port("ListenPort", 51820),
            "port_v6": _port("ListenPortV6", 51821),
            "mtu": _MTU,
            "psk": Key("PSK", "string"),
            "mode": Key("Mode", "string", "separate", choices=("separate", "auto", "ipv4", "ipv6")),
            "persistent_keepalive_interval": Key(
                "PersistentKeepaliveInterval", "integer", 0, 0, 65535, why="seconds, 0 is off"
            ),
        },
        overhead=80,
        ipv6=True,
        single="its device is always called flannel-wg",
        device="flannel-wg",
        device_v6="flannel-wg-v6",
        ports=("port",),
    ),
    "udp": Backend(keys={"port": _port("Port", 8285)}, overhead=28, ports=("port",)),
    "ipip": Backend(
        keys={"direct_routing": _DIRECT_ROUTING},
        overhead=20,
        single="its device is always called flannel.ipip",
        device="flannel.ipip",
        protocols=(4,),
    ),
    "ipsec": Backend(
        keys={
            "psk": Key("PSK", "string", required=True, why="a secret of 96 characters or more"),
            "udp_encap": Key("UDPEncap", "boolean", False),
            "esp_proposal": Key("ESPProposal", "string"),
        },
        overhead=77,
        single="its IKE daemon always listens on the same socket",
        fixed_ports=(500, 4500),
        protocols=(50,),
    ),
    "alloc": Backend(keys={}, overhead=0, ipv6=True),
}
# Backends of flannel that this collection does not run, with the reason.
BACKENDS_REFUSED = {
    "extension": "runs commands of your own, whose devices nobody here could isolate or remove",
    "tencent-vpc": "needs a cloud's own API",
    "gce": "was removed from flannel",
    "aws-vpc": "was removed from flannel",
    "ali-vpc": "was removed from flannel",
}
IPSEC_PSK_MIN = 96  # flannel, pkg/backend/ipsec/ipsec.go
IPSEC_UDP_ENCAP_OVERHEAD = 8
IPV6_MIN_MTU = 1280  # RFC 8200, section 5

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
