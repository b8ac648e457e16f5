# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host must have before anything is changed on it. Pure: observations in, sentences out."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _architectures
from .._names import DOCKER_BRIDGE
from .._node import links, listeners, passage
from .._plan import changes
from .._plan.schema import BACKENDS, IPV6_MIN_MTU
from .._ranges import Range, is_within
from .packages import package

if TYPE_CHECKING:
    from collections.abc import Iterator

    Facts = dict[str, Any]  # a plan, a network of it, or what observe.observe() returns

# What the kernel must be able to make for any network; backends have theirs in their table
ALWAYS_NEEDED = (
    "bridge",
    "veth",
    "nftables",
    "nftables for bridges",
    "connection tracking in nftables",
    "look-ups of routes in nftables",
    "br_netfilter",
)
NEEDED_WITH_IPV6 = ("neighbour advertisements in nftables",)
MASQUERADE, LIMITS = "masquerade in nftables", "limits in nftables"
# whose kernels have these modules in a package of their own
_MODULES = "(Debian: linux-image, Ubuntu: linux-modules-extra)"

KERNEL_REMEDY = {
    "br_netfilter": (
        "flanneld does not start without it. Install the kernel's module package (Debian:"
        " linux-image, Ubuntu: linux-modules-extra) and run 'modprobe br_netfilter'"
    ),
    "nftables": (
        "the guard, which isolates networks, needs it. Install the package nftables and a kernel"
        " with CONFIG_NF_TABLES_INET"
    ),
    "nftables for bridges": (
        "the guard needs it to stop pods that send with other addresses than their own. Install a"
        " kernel with CONFIG_NF_TABLES_BRIDGE"
    ),
    "connection tracking in nftables": (
        "the guard needs it to let answers pass, and to keep tunnels out of it. Install a kernel"
        f" with CONFIG_NFT_CT {_MODULES}"
    ),
    "look-ups of routes in nftables": (
        "the guard needs it to know the host's own addresses. Install a kernel with"
        f" CONFIG_NFT_FIB_INET {_MODULES}"
    ),
    MASQUERADE: (
        "the guard needs it for networks that are masqueraded. Install a kernel with"
        f" CONFIG_NFT_MASQ {_MODULES}, or write masquerade: false for all networks"
    ),
    LIMITS: (
        "the guard needs it to keep other users of the host from filling the subnet server's port."
        f" Install a kernel with CONFIG_NFT_LIMIT {_MODULES}, or write multinet_datastore: etcd"
    ),
    "neighbour advertisements in nftables": (
        "the guard needs it to stop pods that send with other IPv6 addresses than their own."
        " Install nftables 1.0 or later, or declare no ipv6_cidr"
    ),
}


# Length of the widest range of private addresses (fc00::/7): no network is wider
_PRIVATE = 7
SUBNET_SERVER, KEEPER = "multinet-subnets.service", "multinet-keeper.service"
UNITS = {SUBNET_SERVER: "the subnet server", KEEPER: "the keeper"}


class Port(NamedTuple):
    """A TCP port that a unit of ours needs besides those of the plan."""

    unit: str  # a key of UNITS
    port: int
    address: str
    setting: str  # by which a user chooses another one


class Judgement(NamedTuple):
    """What is said of one part of a host, a sentence each."""

    problems: list[str]
    warnings: list[str]


class Deployment(NamedTuple):
    """What is going to be deployed on the host, and how."""

    plan: Facts
    deployed: Facts | None = None  # the plan last applied on this host
    underlay_interface: str = ""
    prune: bool = False  # whether networks that are no longer declared are removed
    conf_name: str = "00-multinet.conf"  # of the meta-plugin's CNI configuration
    docker_network: str = ""  # name of the network that docker's own bridge is in
    cni_conf_dir: str = "/etc/cni/net.d"
    cni_bin_dir: str = "/opt/cni/bin"
    ports: Sequence[Port] = ()


def problems(observed: Facts, deployment: Deployment) -> list[str]:
    """Return what stands in the way of a deployment on a host, as sentences; none means go.

    observed: dict made by observe.observe(): python (list of int), machine (str), distribution
    (what packages.ids() returns), systemd (bool), executables ({name: path or None}), kernel
    ({feature: None or the error text}), links and addresses (lists as printed by 'ip -j -d link'
    and 'ip -j addr'), routes (list of {dst, dev}), firewalls (list of firewalls.Table: others'
    rules), ipv6_off (why no device gets IPv6, or ""), read_only (directories that cannot be written
    to), cni_confs (list of file names), busy_ports (the healthz ports of the plan that are taken),
    busy_udp_ports (its tunnels' ports that are taken), listeners (what listens at these and at the
    deployment's own ports, as listeners.look() returns it), pods (namespace/name of those that have
    networks which are no longer declared).
    """
    plan, deployed = deployment.plan, deployment.deployed
    found: list[str] = []
    found += _platform(observed)
    found += _backends(observed, plan)
    found += _kernel(observed, plan)
    found += _read_only(observed, deployment)
    found += _underlay(observed, deployment.underlay_interface)
    found += _ipv6(observed, plan, deployment.underlay_interface)
    found += _addresses(observed, deployment)
    found += _devices(observed, plan, deployed)
    found += _ports(observed, plan, deployed)
    found += _own_ports(observed, deployment.ports)
    found += _tunnel_ports(observed, plan, deployed)
    found += _cni(observed, plan, deployment.conf_name)
    found += _datastore(plan, deployed)
    if not deployment.prune:
        found += _undeclared(observed, plan, deployed)
    return found


def warnings(
    observed: Facts, plan: Facts, deployed: Facts | None = None, underlay_interface: str = ""
) -> list[str]:
    """Return what does not stand in the way, but will be missed, as sentences."""
    found = list(_closed(observed, plan, underlay_interface))
    others = {
        link["ifname"]: _vxlan(link).get("port")
        for link in observed["links"]
        if _vxlan(link) and link["ifname"] not in _our_devices(deployed)
    }
    for network in plan["networks"]:
        for port in sorted(set(network["tunnel_ports"]) & set(others.values())):
            found.append(
                f"Network '{network['name']}': UDP port {port} is also used by"
                f" {' and '.join(sorted(name for name in others if others[name] == port))}, which"
                " the collection did not make. Both work, but the guard filters the whole port:"
                " hosts that are not in isolation_node_addresses reach neither of them. Set another"
                " backend.port to keep the two apart."
            )
    ours = {port for network in plan["networks"] for port in network["tunnel_ports"]}
    for link in observed["links"]:
        kind, port = _tunnel(link)
        if port and port not in ours and link["ifname"] not in _our_devices(deployed):
            found.append(
                f"{link['ifname']} is a tunnel ({kind}, UDP port {port}) that the collection did"
                " not make. The guard closes its port for pods of the networks. If pods need that"
                " port, give the tunnel another one."
            )
    return found


def _closed(observed: Facts, plan: Facts, underlay: str) -> Iterator[str]:
    """Yield what other firewalls would drop, of a packet to any other host."""
    if not observed["firewalls"]:
        return
    addresses = [ipaddress.ip_address(a["local"]) for a in _addresses_of(observed, underlay)]
    for network in plan["networks"]:
        for version, cidr, device in (
            (4, network["cidr"], network["device"]),
            (6, network["ipv6_cidr"], network["device_v6"]),
        ):
            if not cidr:
                continue
            host = next((one for one in addresses if one.version == version), None)
            pods = ipaddress.ip_network(cidr)
            path = passage.Path(
                way=device or underlay,
                underlay=underlay,
                pod=str(pods[2]),
                other_pod=str(pods[-2]),
                host=str(host or ""),
                other_host=str(host + 1) if host else "",
            )
            for one in passage.closed(network, path, observed["firewalls"], version):
                if one.sure:
                    yield f"Network '{network['name']}': {one.sentence}; {one.remedy}."


def footprint(network: Facts) -> str:
    """Say in one clause what a network put on a host: for messages about its removal."""
    parts = ["unit " + network["unit"], "bridge " + network["bridge"]]
    parts += [
        "device " + device for device in (network.get("device"), network.get("device_v6")) if device
    ]
    parts.append("IPAM state " + network["ipam_dir"])
    if network["etcd_prefix"]:
        parts.append("etcd keys under " + network["etcd_prefix"])
    return ", ".join(parts)


def _platform(observed: Facts) -> Iterator[str]:
    if tuple(observed["python"][:2]) < (3, 9):
        version = ".".join(str(part) for part in observed["python"])
        yield (
            f"Python on this host is {version}; the meta-plugin needs 3.9 or newer. Install a newer"
            " Python and set ansible_python_interpreter to its path."
        )
    if observed["machine"] not in _architectures.SUPPORTED:
        *most, last = sorted(_architectures.SUPPORTED)
        yield (
            f"The architecture {observed['machine']} is not supported: use a host with"
            f" {', '.join(most)} or {last}."
        )
    if not observed["systemd"]:
        yield (
            "This host was not started by systemd (no /run/systemd/system): flanneld runs as a"
            " systemd unit. Use a host with systemd."
        )
    for name, path in sorted(observed["executables"].items()):
        if path is None:
            yield (
                f"'{name}' is not on this host. Install the package that has it"
                f" ({package(name, observed['distribution'])})."
            )


def _backends(observed: Facts, plan: Facts) -> Iterator[str]:
    go_name = _architectures.SUPPORTED.get(observed["machine"])
    for network in plan["networks"]:
        backend = network["backend"]["type"]
        if BACKENDS[backend].architectures and go_name not in BACKENDS[backend].architectures:
            yield (
                f"Network '{network['name']}': flanneld has no {backend} backend on"
                f" {observed['machine']}. Declare {{type: vxlan, vni: ..., port:"
                f" {network['backend']['port']}}}, which does the same."
            )


def _kernel(observed: Facts, plan: Facts) -> Iterator[str]:
    links = [BACKENDS[network["backend"]["type"]].link.split() for network in plan["networks"]]
    needed = [*ALWAYS_NEEDED, *(link[0] for link in links if link)]
    if any(network["ipv6_cidr"] for network in plan["networks"]):
        needed += NEEDED_WITH_IPV6
    needed += [MASQUERADE] * any(network.get("masquerade") for network in plan["networks"])
    needed += [LIMITS] * (plan.get("datastore") == "kubernetes")
    for feature in dict.fromkeys(needed):
        error = observed["kernel"].get(feature)
        if error:
            remedy = KERNEL_REMEDY.get(
                feature,
                "Install the kernel's module package, or declare a backend that this kernel has",
            )
            yield f"The kernel of this host has no {feature} ({error}): {remedy}."


def _underlay(observed: Facts, interface: str) -> Iterator[str]:
    if not interface:
        yield (
            "This host has no default route, so the collection cannot find the underlay interface:"
            " set multinet_underlay_interface to the interface that reaches the other nodes."
        )
        return
    link = next((link for link in observed["links"] if link["ifname"] == interface), None)
    if link is None:
        there = ", ".join(
            sorted(link["ifname"] for link in observed["links"] if link["ifname"] != "lo")
        )
        yield (
            f"multinet_underlay_interface is '{interface}', but this host has no such interface. It"
            f" has: {there}."
        )
        return
    if "UP" not in link.get("flags", []):
        yield (
            f"The underlay interface '{interface}' is down. Bring it up, or set"
            " multinet_underlay_interface to another one."
        )
    if not any(a["family"] == "inet" for a in _addresses_of(observed, interface)):
        yield (
            f"The underlay interface '{interface}' has no IPv4 address. Give it one, or set"
            " multinet_underlay_interface to another one."
        )


def _read_only(observed: Facts, deployment: Deployment) -> Iterator[str]:
    settings = {
        deployment.cni_bin_dir: "multinet_cni_bin_dir",
        deployment.cni_conf_dir: "multinet_cni_conf_dir",
    }
    for directory, setting in settings.items():
        if not directory.startswith("/"):
            yield f"{setting} is '{directory}', which is no absolute path. Write it from / on."
    fixed = []
    for directory in observed["read_only"]:
        if directory in settings:
            yield (
                f"{settings[directory]} is {directory}, which is read-only on this host. Set"
                f" {settings[directory]} to a directory that is not, and configure the container"
                " runtime to use the same directory."
            )
        else:
            fixed.append(directory)
    if fixed:
        yield (
            f"The collection must write to {', '.join(fixed)}, but the file system there is"
            " read-only on this host. Mount a writable file system over it, for example an overlay."
        )


def _ipv6(observed: Facts, plan: Facts, interface: str) -> Iterator[str]:
    names = [network["name"] for network in plan["networks"] if network.get("ipv6_cidr")]
    if not names:
        return
    have = f"Network '{names[0]}' has ipv6_cidr"
    if observed["ipv6_off"]:
        yield (
            f"{have}, but IPv6 is switched off on this host: {observed['ipv6_off']}. Switch it on,"
            " or leave ipv6_cidr out."
        )
    elif any(link["ifname"] == interface for link in observed["links"]) and not any(
        address["family"] == "inet6" and address.get("scope") != "link"
        for address in _addresses_of(observed, interface)
    ):
        yield (
            f"{have}, but the underlay interface '{interface}' has no IPv6 address, which the"
            " tunnels need. Give it one, or leave ipv6_cidr out."
        )
    mtus = [one["mtu"] for one in observed["links"] if one["ifname"] == interface and "mtu" in one]
    for network in plan["networks"]:
        taken = network.get("mtu_overhead", 0)  # none in a plan of before
        if mtus and network.get("ipv6_cidr") and mtus[0] - taken < IPV6_MIN_MTU:
            yield (
                f"Network '{network['name']}': IPv6 needs packets of {IPV6_MIN_MTU} bytes, but the"
                f" underlay interface '{interface}' has an MTU of {mtus[0]}, and the tunnel takes"
                f" {taken} of it. Give the interface an MTU of {IPV6_MIN_MTU + taken} or more, or"
                " leave ipv6_cidr out."
            )


def _addresses(observed: Facts, deployment: Deployment) -> Iterator[str]:
    bridges = {
        link["ifname"]
        for link in observed["links"]
        if (link.get("linkinfo") or {}).get("info_kind") == "bridge"
    }
    for network in deployment.plan["networks"]:
        ours = _our_devices(deployment.deployed) | _tuns(observed, deployment.deployed)
        leased = _leased(deployment.deployed)
        if network["name"] == deployment.docker_network:
            ours |= {DOCKER_BRIDGE}
        for key in ("cidr", "ipv6_cidr"):
            if not network.get(key):
                continue
            prefix = ipaddress.ip_network(network[key])
            for dev, other in _foreign_prefixes(observed, ours, leased):
                if other.version == prefix.version and other.overlaps(prefix):
                    or_else = _or_else(dev, network["bridge"], observed, ours)
                    yield (
                        f"Network '{network['name']}': {key} {prefix} overlaps {other}, which this"
                        f" host has on interface {dev}. Choose a range that is free on every"
                        f" host{or_else * (dev in bridges)}."
                    )


def _or_else(dev: str, bridge: str, observed: Facts, ours: set[str]) -> str:
    """Say what else may be done about a bridge in a network's range."""
    if bridge in ours and all(link["ifname"] != bridge for link in observed["links"]):
        return f"; or, if it is {bridge}, give it its name back ({links.name_back(dev, bridge)})"
    return f"; or, if no other CNI uses this bridge any more, remove it (ip link delete {dev})"


def _devices(observed: Facts, plan: Facts, deployed: Facts | None) -> Iterator[str]:
    ours = _our_devices(deployed)
    for network in plan["networks"]:
        backend = network["backend"]
        taken = "this host already has one that the collection did not make"
        for link in observed["links"]:
            device = link["ifname"]
            if device in ours:
                continue
            if device == network["bridge"]:
                yield (
                    f"Network '{network['name']}' needs the device {device}, but {taken}. Remove it"
                    f" (ip link delete {device}), or rename the network."
                )
            elif device in network["devices"]:
                other = "backend.vni" if "vni" in backend else "backend"
                yield (
                    f"Network '{network['name']}' needs the device {device}, but {taken}, as"
                    f" kube-flannel does. Choose another {other}; or, if no other flannel"
                    f" runs here any more, remove it (ip link delete {device})."
                )
            elif (
                backend["type"] == "vxlan"
                and _vxlan(link)
                and (_vxlan(link).get("id"), _vxlan(link).get("port"))
                == (backend["vni"], backend["port"])
            ):
                yield (
                    f"Network '{network['name']}': VNI {backend['vni']} with port {backend['port']}"
                    f" is already used on this host by {device}. Choose another backend.vni."
                )


def _tunnel(link: Facts) -> tuple[str, int]:
    """Return the kind of a link and the port that its packets come in at, 0 for no UDP tunnel."""
    info = link.get("linkinfo", {})
    kind = info.get("info_kind", "")
    port = info.get("info_data", {}).get("port", 0) if kind in links.UDP_TUNNELS else 0
    return kind, port if isinstance(port, int) else 0


def _vxlan(link: Facts) -> Facts:
    """What 'ip -j -d link' says of a VXLAN device, {} of any other."""
    info = link.get("linkinfo", {})
    return info.get("info_data", {}) if info.get("info_kind") == "vxlan" else {}


def _ports(observed: Facts, plan: Facts, deployed: Facts | None) -> Iterator[str]:
    ours = {network["healthz_port"] for network in (deployed or {}).get("networks", [])}
    for network in plan["networks"]:
        if (
            network["healthz_port"] in observed["busy_ports"]
            and network["healthz_port"] not in ours
        ):
            yield (
                f"Network '{network['name']}': TCP port 127.0.0.1:{network['healthz_port']}, which"
                " its flanneld needs for health checks, is already in use on this host"
                f"{_by(observed, 'tcp', network['healthz_port'], '127.0.0.1')}. Set healthz_port of"
                " the network to a free port."
            )


def _own_ports(observed: Facts, ports: Sequence[Port]) -> Iterator[str]:
    for one in ports:
        # beside a program at an address of its own, nobody can listen at all of them
        addresses = [] if one.address in ("", "0.0.0.0", "::") else [one.address]
        theirs = [
            holder
            for holder in listeners.at(observed["listeners"], "tcp", one.port, *addresses)
            if holder["unit"] != one.unit
        ]
        if theirs:
            yield (
                f"TCP port {one.address}:{one.port}, which {UNITS[one.unit]} needs, is already in"
                f" use on this host by {listeners.shown(theirs) or 'another program'}. Set"
                f" {one.setting} to a free port, or stop that program."
            )


def _by(observed: Facts, protocol: str, port: int, *addresses: str) -> str:
    """Say who has a port, as the end of a sentence; "" where nobody knows."""
    by = listeners.shown(listeners.at(observed["listeners"], protocol, port, *addresses))
    return " by " + by if by else ""


def _tunnel_ports(observed: Facts, plan: Facts, deployed: Facts | None) -> Iterator[str]:
    """VXLAN devices of one kind share a port, for the kernel tells them apart by VNI; nothing else
    does.
    """
    ours = {
        port for network in (deployed or {}).get("networks", []) for port in network["tunnel_ports"]
    }
    for network in plan["networks"]:
        for port in network["tunnel_ports"]:
            if port in ours or port not in observed["busy_udp_ports"]:
                continue
            holders = {
                link["ifname"]: _vxlan(link)
                for link in observed["links"]
                if _vxlan(link).get("port") == port
            }
            backend = network["backend"]
            alike = all(
                not data.get("external") and bool(data.get("gbp")) == backend.get("gbp", False)
                for data in holders.values()
            )
            if backend["type"] == "vxlan" and holders and alike:
                continue
            by = f" by {', '.join(sorted(holders))}" if holders else _by(observed, "udp", port)
            remedy = (
                "Set backend.port to a free port"
                if "port" in backend
                else "Stop the program that uses it, or choose another backend"
            )
            yield (
                f"Network '{network['name']}': UDP port {port} of its tunnel is already in use on"
                f" this host{by}. {remedy}."
            )


def _cni(observed: Facts, plan: Facts, conf_name: str) -> Iterator[str]:
    external = plan.get("external")
    foreign = sorted(name for name in observed["cni_confs"] if name != conf_name)
    if external and external["conf"] and external["conf"] not in foreign:
        yield (
            f"Network '{external['name']}' belongs to another CNI, but its configuration"
            f" {external['file']} is not on this host (found: {', '.join(foreign) or 'none'})."
            " Install that CNI first, or correct conf."
        )
    elif external and not external["conf"] and len(foreign) != 1:
        found = (
            f"more than one CNI configuration is on this host ({', '.join(foreign)}). Write the"
            " name of the file that pods have used so far into conf"
            if foreign
            else f"no CNI configuration is on this host in {external['file']}. Install that CNI"
            " first"
        )
        yield f"Network '{external['name']}' belongs to another CNI, but {found}."
    for name in sorted(observed["cni_confs"]):
        if name < conf_name:
            yield (
                f"The CNI configuration '{name}' sorts before '{conf_name}', so a container runtime"
                " would use it instead of the collection's. Rename or remove it."
            )


def _datastore(plan: Facts, deployed: Facts | None) -> Iterator[str]:
    planned = {network["name"]: network for network in plan["networks"]}
    for network in (deployed or {}).get("networks", []):
        # a prefix for annotations has a network whose leases are Node objects
        was, will = (
            "kubernetes" if one.get("annotation_prefix") else "etcd"
            for one in (network, planned.get(network["name"], network))
        )
        if was != will:
            yield (
                f"Network '{network['name']}' is deployed here with multinet_datastore: {was}. With"
                f" {will} this host would get another subnet, and its pods would lose the network."
                f" Set the variable back to {was}, or run the playbook reset first."
            )


def _undeclared(observed: Facts, plan: Facts, deployed: Facts | None) -> Iterator[str]:
    gone = changes.removed(deployed, plan)
    if gone:
        named = "; ".join(f"network '{network['name']}' ({footprint(network)})" for network in gone)
        yield (
            f"Deployed on this host but no longer declared: {named}. Declare it again, or remove it"
            f" completely with multinet_prune=true.{_losing(observed.get('pods'))}"
        )


def _losing(pods: list[str] | None) -> str:
    """Say which pods a removal takes interfaces from; "" for none."""
    if not pods:
        return ""
    return (
        f" These pods run here, would lose it, and would still be Ready: {', '.join(pods)}. Drain"
        " the node first, or delete the pods afterwards."
    )


def _our_devices(deployed: Facts | None) -> set[str]:
    return {
        device for network in (deployed or {}).get("networks", []) for device in network["devices"]
    }


def _tuns(observed: Facts, deployed: Facts | None) -> set[str]:
    """Return the devices of the networks that are deployed here with flannel's backend udp: the
    kernel names them (flannel0, ...), so they are known by their addresses.
    """
    ranges = [
        ipaddress.ip_network(network["cidr"])
        for network in (deployed or {}).get("networks", [])
        if network["backend"]["type"] == "udp"
    ]
    found = set()
    for link in observed["links"]:
        if link.get("linkinfo", {}).get("info_kind") == "tun":
            addresses = [
                ipaddress.ip_network(one["local"])
                for one in _addresses_of(observed, link["ifname"])
                if one.get("scope") != "link"
            ]
            if addresses and all(
                any(is_within(address, one) for one in ranges) for address in addresses
            ):
                found.add(link["ifname"])
    return found


def _addresses_of(observed: Facts, interface: str) -> list[Facts]:
    for link in observed["addresses"]:
        if link["ifname"] == interface:
            return link.get("addr_info", [])
    return []


def _leased(deployed: Facts | None) -> list[tuple[Range, int]]:
    """Return (range, length of a lease in it) of the networks that are deployed here."""
    return [
        (ipaddress.ip_network(network[key]), network[length])
        for network in (deployed or {}).get("networks", [])
        for key, length in (("cidr", "subnet_len"), ("ipv6_cidr", "ipv6_subnet_len"))
        if network.get(key)
    ]


def _foreign_prefixes(
    observed: Facts, ours: set[str], leased: list[tuple[Range, int]]
) -> list[tuple[str, Range]]:
    """Return (device, prefix) of every address and route of the host that is not on one of our
    devices.

    leased: see _leased(). A route to such a lease is flanneld's own, by the underlay's device where
    the backend has none; or it leads elsewhere, and then it has drifted, and is put right.
    """
    seen: set[tuple[str, Range]] = set()
    for link in observed["addresses"]:
        if link["ifname"] in ours or link["ifname"] == "lo":
            continue
        for info in link.get("addr_info", []):
            if info.get("scope") == "link":
                continue
            address = ipaddress.ip_interface(f"{info['local']}/{info['prefixlen']}")
            seen.add((link["ifname"], address.network))
    for route in observed["routes"]:
        if route.get("dev") in ours or route.get("dst", "default") == "default":
            continue
        prefix = ipaddress.ip_network(route["dst"], strict=False)
        if any(is_within(prefix, one) and prefix.prefixlen == length for one, length in leased):
            continue
        if prefix.prefixlen < _PRIVATE:
            continue  # a default route in parts, as 0.0.0.0/1 and 128.0.0.0/1 of a VPN
        if not prefix.is_link_local and not prefix.is_multicast:
            seen.add((route.get("dev", "a route"), prefix))
    return sorted(seen, key=str)
