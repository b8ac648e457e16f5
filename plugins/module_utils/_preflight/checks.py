# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host must have before anything is changed on it. Pure: observations in, sentences out."""

from __future__ import annotations

import ipaddress

from .._plan import changes

#: machine (uname -m) -> GOARCH of the architectures the collection supports
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

#: What the kernel must be able to make, by what needs it.
ALWAYS_NEEDED = ("bridge", "veth", "nftables", "br_netfilter")
NEEDED_BY_BACKEND = {"vxlan": ("vxlan",), "wireguard": ("wireguard",)}

#: executable -> the package that has it, where the names differ
PACKAGES = {"ip": "iproute2", "nft": "nftables", "libnftables.so.1": "nftables"}

KERNEL_REMEDY = {
    "br_netfilter": "flanneld does not start without it. Install the kernel's module package (Debian: linux-image, Ubuntu: linux-modules-extra) "
                    "and run 'modprobe br_netfilter'",
    "nftables": "isolation is enforced with it. Install the package nftables and a kernel with CONFIG_NF_TABLES_INET",
}


def problems(observed, plan, deployed=None, underlay_interface="", prune=False, conf_name="00-multinet.conf", docker_network=""):
    """Say everything that stands in the way of deploying plan on a host.

    observed: dict made by observe.observe(): python (list of int), machine (str), systemd (bool), executables
    ({name: path or None}), kernel ({feature: None or the error text}), links and addresses (lists as printed by
    'ip -j -d link' and 'ip -j addr'), routes (list of {dst, dev}), cni_confs (list of file names), busy_ports
    (the healthz ports of the plan that are taken), busy_udp_ports (its tunnels' ports that are taken).
    plan: as made by _plan.plan.plan(). deployed: the plan last applied on this host, or None.
    docker_network: name of the network that docker's own bridge is in, or "".
    Returns a list of sentences; an empty list means go.
    """
    found = []
    found += _platform(observed)
    found += _backends(observed, plan)
    found += _kernel(observed, plan)
    found += _underlay(observed, underlay_interface)
    found += _addresses(observed, plan, deployed, docker_network)
    found += _devices(observed, plan, deployed)
    found += _ports(observed, plan, deployed)
    found += _tunnel_ports(observed, plan, deployed)
    found += _cni(observed, plan, conf_name)
    found += _datastore(plan, deployed)
    if not prune:
        found += _undeclared(plan, deployed)
    return found


def warnings(observed, plan, deployed=None):
    """Say what does not stand in the way, but will be missed: a list of sentences."""
    found = []
    if observed["forward_policy"] == "drop":
        found.append(
            "iptables drops what it forwards on this host (policy of FORWARD; docker sets it), and with it traffic between pods of different hosts. "
            "Accept the networks there, as roles/isolation/README.md shows."
        )
    others = {link["ifname"]: _vxlan(link).get("port") for link in observed["links"] if _vxlan(link) and link["ifname"] not in _our_devices(deployed)}
    for network in plan["networks"]:
        for port in sorted(set(network["tunnel_ports"]) & set(others.values())):
            found.append(
                "Network '%s': UDP port %d is also that of %s, which the collection did not make. Both work, but the guard is in charge of the whole port: "
                "with isolation_node_addresses, hosts that are not among them reach neither. Another backend.port keeps the two apart." % (
                    network["name"], port, " and ".join(sorted(name for name in others if others[name] == port))))
    return found


def architecture(machine):
    """Return the GOARCH of machine (uname -m), or None where the collection does not support it."""
    return ARCHITECTURES.get(machine)


def stale_devices(observed, plan, deployed):
    """Return the devices (names) that networks of both plans had on this host and have no more: with another VNI, flanneld makes another one."""
    planned = {network["name"]: network["devices"] for network in plan["networks"]}
    there = {link["ifname"] for link in observed["links"]}
    return [
        device for network in (deployed or {}).get("networks", []) if network["name"] in planned
        for device in network["devices"] if device not in planned[network["name"]] and device in there
    ]


def footprint(network):
    """Say in one clause what a network put on a host: for messages about its removal."""
    parts = ["unit " + network["unit"], "bridge " + network["bridge"]]
    parts += ["device " + device for device in (network.get("device"), network.get("device_v6")) if device]
    parts.append("IPAM state " + network["ipam_dir"])
    if network["etcd_prefix"]:
        parts.append("etcd keys under " + network["etcd_prefix"])
    return ", ".join(parts)


def _platform(observed):
    if tuple(observed["python"][:2]) < (3, 9):
        version = ".".join(str(part) for part in observed["python"])
        yield "Python on this host is %s; the meta-plugin needs 3.9 or newer. Install one and set ansible_python_interpreter to it." % version
    if architecture(observed["machine"]) is None:
        yield "The architecture %s is not supported: use a host with %s." % (observed["machine"], " or ".join(sorted(ARCHITECTURES)))
    if not observed["systemd"]:
        yield "This host was not started by systemd (no /run/systemd/system): flanneld runs as a systemd unit. Use a host with systemd."
    for name, path in sorted(observed["executables"].items()):
        if path is None:
            yield "'%s' is not on this host. Install the package that has it (%s)." % (name, PACKAGES.get(name, name))


def _backends(observed, plan):
    for network in plan["networks"]:
        if network["backend"]["type"] == "udp" and architecture(observed["machine"]) != "amd64":
            yield "Network '%s': flanneld has no udp backend on %s. Declare {type: vxlan, vni: ..., port: %s}, which does the same." % (
                network["name"], observed["machine"], network["backend"]["port"])


def _kernel(observed, plan):
    needed = list(ALWAYS_NEEDED)
    for network in plan["networks"]:
        needed += [feature for feature in NEEDED_BY_BACKEND.get(network["backend"]["type"], ()) if feature not in needed]
    for feature in needed:
        error = observed["kernel"].get(feature)
        if error:
            remedy = KERNEL_REMEDY.get(feature, "Install the kernel's module package, or declare a backend that this kernel has")
            yield "The kernel of this host has no %s (%s): %s." % (feature, error, remedy)


def _underlay(observed, interface):
    if not interface:
        yield (
            "This host has no default route, so the underlay interface can't be derived: "
            "set multinet_underlay_interface to the interface that reaches the other nodes."
        )
        return
    link = next((link for link in observed["links"] if link["ifname"] == interface), None)
    if link is None:
        there = ", ".join(sorted(link["ifname"] for link in observed["links"] if link["ifname"] != "lo"))
        yield "multinet_underlay_interface is '%s', but this host has no such interface. It has: %s." % (interface, there)
        return
    if "UP" not in link.get("flags", []):
        yield "The underlay interface '%s' is down. Bring it up, or set multinet_underlay_interface to another one." % interface
    if not any(a["family"] == "inet" for a in _addresses_of(observed, interface)):
        yield "The underlay interface '%s' has no IPv4 address. Give it one, or set multinet_underlay_interface to another one." % interface


def _addresses(observed, plan, deployed, docker_network):
    for network in plan["networks"]:
        ours = _our_devices(deployed) | ({"docker0"} if network["name"] == docker_network else set())
        for key in ("cidr", "ipv6_cidr"):
            if not network.get(key):
                continue
            prefix = ipaddress.ip_network(network[key])
            for dev, other in _foreign_prefixes(observed, ours):
                if other.version == prefix.version and other.overlaps(prefix):
                    yield "Network '%s': %s %s overlaps %s, which this host has on %s. Choose a range that is free on every host." % (
                        network["name"], key, prefix, other, dev)


def _devices(observed, plan, deployed):
    ours = _our_devices(deployed)
    for network in plan["networks"]:
        backend, taken = network["backend"], "this host already has one that the collection did not make"
        for link in observed["links"]:
            device = link["ifname"]
            if device in ours:
                continue
            if device == network["bridge"]:
                yield "Network '%s' needs the device %s, but %s. Remove it (ip link delete %s), or rename the network." % (
                    network["name"], device, taken, device)
            elif device in network["devices"]:
                yield (
                    "Network '%s' needs the device %s, but %s, as kube-flannel does. Choose another %s; or, if no other flannel runs here any more, "
                    "remove it (ip link delete %s)." % (network["name"], device, taken, "backend.vni" if "vni" in backend else "backend", device)
                )
            elif backend["type"] == "vxlan" and _vxlan(link) and (_vxlan(link).get("id"), _vxlan(link).get("port")) == (backend["vni"], backend["port"]):
                yield "Network '%s': VNI %d with port %d is taken on this host by %s. Choose another backend.vni." % (
                    network["name"], backend["vni"], backend["port"], device)


def _vxlan(link):
    """What 'ip -j -d link' says of a VXLAN device, {} of any other."""
    info = link.get("linkinfo", {})
    return info.get("info_data", {}) if info.get("info_kind") == "vxlan" else {}


def _ports(observed, plan, deployed):
    ours = {network["healthz_port"] for network in (deployed or {}).get("networks", [])}
    for network in plan["networks"]:
        if network["healthz_port"] in observed["busy_ports"] and network["healthz_port"] not in ours:
            yield (
                "Network '%s': TCP port 127.0.0.1:%d, where its flanneld would answer health checks, is taken. "
                "Set healthz_port of the network to a free one." % (network["name"], network["healthz_port"])
            )


def _tunnel_ports(observed, plan, deployed):
    """VXLAN devices of one kind share a port, for the kernel tells them apart by VNI; nothing else does."""
    ours = {port for network in (deployed or {}).get("networks", []) for port in network["tunnel_ports"]}
    for network in plan["networks"]:
        for port in network["tunnel_ports"]:
            if port in ours or port not in observed["busy_udp_ports"]:
                continue
            holders = {link["ifname"]: _vxlan(link) for link in observed["links"] if _vxlan(link).get("port") == port}
            backend = network["backend"]
            alike = all(not data.get("external") and bool(data.get("gbp")) == backend.get("gbp", False) for data in holders.values())
            if backend["type"] == "vxlan" and holders and alike:
                continue
            yield "Network '%s': UDP port %d of its tunnel is taken on this host%s. %s." % (
                network["name"], port, " by " + ", ".join(sorted(holders)) if holders else "",
                "Set backend.port to a free one" if "port" in backend else "Stop what uses it, or choose another backend")


def _cni(observed, plan, conf_name):
    external = plan.get("external")
    foreign = sorted(name for name in observed["cni_confs"] if name != conf_name)
    if external and external["conf"] and external["conf"] not in foreign:
        yield "Network '%s' is another CNI's, and its configuration %s is not on this host, where there %s. Install that CNI first, or correct conf." % (
            external["name"], external["file"], "is " + ", ".join(foreign) if foreign else "is none")
    elif external and not external["conf"] and len(foreign) != 1:
        yield "Network '%s' is another CNI's, and %s on this host%s. %s." % (
            external["name"],
            "more than one CNI configuration is" if foreign else "no CNI configuration is",
            " (%s)" % ", ".join(foreign) if foreign else " in " + external["file"],
            "Write conf: with the name of the one that pods have had so far" if foreign else "Install that CNI first")
    for name in sorted(observed["cni_confs"]):
        if name < conf_name:
            yield "The CNI configuration '%s' sorts before '%s', so a container runtime would use it instead of ours. Rename or remove it." % (name, conf_name)


def _datastore(plan, deployed):
    planned = {network["name"]: network for network in plan["networks"]}
    for network in (deployed or {}).get("networks", []):
        # a prefix for annotations has a network whose leases are Node objects
        was, will = ("kubernetes" if one.get("annotation_prefix") else "etcd" for one in (network, planned.get(network["name"], network)))
        if was != will:
            yield (
                "Network '%s' is deployed here with multinet_datastore: %s. With %s this host would get another subnet, and its pods would lose the network: "
                "leave the variable as it was, or run the playbook reset first." % (network["name"], was, will)
            )


def _undeclared(plan, deployed):
    gone = changes.removed(deployed, plan)
    if gone:
        yield "Deployed here but no longer declared: %s. Declare it again, or run with multinet_prune=true, which removes it completely." % "; ".join(
            "network '%s' (%s)" % (network["name"], footprint(network)) for network in gone)


def _our_devices(deployed):
    return {device for network in (deployed or {}).get("networks", []) for device in network["devices"]}


def _addresses_of(observed, interface):
    for link in observed["addresses"]:
        if link["ifname"] == interface:
            return link.get("addr_info", [])
    return []


def _foreign_prefixes(observed, ours):
    """Yield (device, prefix) of every address and route of the host that is not on one of our devices."""
    seen = set()
    for link in observed["addresses"]:
        if link["ifname"] in ours or link["ifname"] == "lo":
            continue
        for info in link.get("addr_info", []):
            if info.get("scope") == "link":
                continue
            seen.add((link["ifname"], ipaddress.ip_interface("%s/%d" % (info["local"], info["prefixlen"])).network))
    for route in observed["routes"]:
        if route.get("dev") in ours or route.get("dst", "default") == "default":
            continue
        prefix = ipaddress.ip_network(route["dst"], strict=False)
        if not prefix.is_link_local and not prefix.is_multicast and prefix.prefixlen:
            seen.add((route.get("dev", "a route"), prefix))
    return sorted(seen, key=str)
