# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host and every namespace attached to its networks really have, read from the kernel.

Nothing here asks the code or the state files that attached them, save for labels to call them by. A
pod of Kubernetes is called namespace/pod, after what the container runtime keeps of it.
"""

from __future__ import annotations

import glob
import ipaddress
import json
import os
import re
import subprocess
import time

from .._runtime import cri
from . import netns

POD_SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/arp_ignore",
    "net/ipv4/conf/all/arp_announce",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv6/conf/all/forwarding",
)
INTERFACE_SYSCTLS = ("arp_ignore", "arp_announce", "rp_filter", "forwarding")
HOST_SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/bridge/bridge-nf-call-iptables",
)
STATE_DIRS = ("/var/lib/cni/multinet", "/var/lib/cni/multinet-runtime")
LOOKS, PAUSE = (
    6,
    0.5,
)  # a pod that is being started or stopped is looked at again, at most so often, after so many seconds


def gather(plan, host, state_dirs=STATE_DIRS, bundles=cri.BUNDLES):
    """Return {"host", "node", "pods", "host_pods", "problems"} for this host, called host (str), in
    the terms of plan (dict, see the plan's own documentation).

    node: {"underlay": {"4": address or None, "6": ...}, "networks": {name: see network_side()},
    "sysctls": {...}, "strangers": [...]}.
    pods: see pod(). host_pods: pods of Kubernetes in the host's own network: [{"label",
    "namespace", "name", "uid"}].
    problems: sentences about what could not be looked at. bundles: globs of the container runtime's
    files, see cri.sandboxes(). Raises OSError or subprocess.SubprocessError if the host itself
    cannot be looked at.
    """
    pods, missing = {}, {}  # by link-netnsid
    for look in range(LOOKS):
        if look > 1:
            time.sleep(PAUSE)
        links = _ip("addr")
        ports, strangers = bridge_ports(plan, links)
        behind = {
            number: [port for port in ports if port["netnsid"] == number]
            for number in {port["netnsid"] for port in ports}
        }
        # Pods come and go: what was seen counts only while the same veths lead to it.
        pods = {
            number: found for number, found in pods.items() if found["ports"] == behind.get(number)
        }
        again = {
            number
            for number in behind
            if number not in pods or unsettled(pods[number]["pod"], sandboxes)
        }
        if look and not again:
            break
        found, missing = _look(plan, {number: behind[number] for number in again}, links)
        pods.update(found)
        sandboxes = cri.sandboxes(
            bundles
        )  # after the look: a pod that still has its name then is not being taken down
        names = labels(state_dirs, sandboxes)
        for seen in pods.values():
            call(seen["pod"], names.get(seen["pod"]["inode"], {}))
    routes = {"4": _ip("-4", "route"), "6": _ip("-6", "route")}
    node = {
        "underlay": underlay(links, routes),
        "networks": {
            network["name"]: network_side(network, links, routes) for network in plan["networks"]
        },
        "sysctls": _sysctls(HOST_SYSCTLS),
        "strangers": strangers,
    }
    problems = [
        f"{port['interface']} is attached to {port['bridge']}, but the namespace behind it"
        f" (link-netnsid {port['netnsid']}) was not found under /run/netns, /var/run/docker/netns"
        f" or /proc/*/ns/net.{missing.get(port['netnsid'], '')}"
        for port in ports
        if port["netnsid"] not in pods
    ]
    return {
        "host": host,
        "node": node,
        "pods": unique(
            sorted(
                (seen["pod"] for seen in pods.values()),
                key=lambda item: (item["label"], item["netns"]),
            )
        ),
        "host_pods": [
            {
                "label": cri.label(one),
                "namespace": one["namespace"],
                "name": one["name"],
                "uid": one["uid"],
            }
            for one in sorted(sandboxes, key=cri.label)
            if one["host_network"]
        ],
        "problems": problems,
    }


def _look(plan, behind, links):
    """Return ({link-netnsid: {"pod", "ports"}}, {link-netnsid: why not}) for behind: {link-netnsid:
    its ports}. links: the host's.
    """
    found, missing = {}, {}
    for dummy in range(
        2
    ):  # the process by which a namespace was found may end under our eyes; then another one leads there
        for inode, path in netns.candidates().items() if set(behind) - set(found) else ():
            number = None
            try:
                number = netns.netnsid(path)
                if number in found or number not in behind:
                    continue
                with netns.inside(path, inode):
                    routes = {"4": _ip("-4", "route"), "6": _ip("-6", "route")}
                    seen = pod(
                        path,
                        inode,
                        _ip("addr"),
                        routes,
                        _pod_sysctls(),
                        behind[number],
                        plan.get("external"),
                        veths(links, number),
                    )
                found[number] = {"pod": seen, "ports": behind[number]}
            except OSError as error:
                if number in behind:
                    missing[number] = f" {path} could not be looked into: {error}."
    return found, missing


def unsettled(seen, sandboxes):
    """True if a pod (see pod()) looks like one that is just being started or stopped.

    sandboxes: what the container runtime of the host knows.
    """
    in_kubernetes = bool(sandboxes) and not seen["container"] and not seen["name"]
    return in_kubernetes or any(
        not (item["network"] and item["addresses"] and item["up"]) for item in seen["interfaces"]
    )


def bridge_ports(plan, links):
    """Return (ports, strangers) of the plan's bridges, from the host's links (`ip -j -d addr`).

    ports: [{"interface", "bridge", "network", "index", "peer", "netnsid"}] of the veths that lead
    into another namespace;
    strangers: [{"interface", "bridge", "network", "kind"}] whatever else is enslaved to a bridge of
    the plan.
    """
    networks = {network["bridge"]: network["name"] for network in plan["networks"]}
    ports, strangers = [], []
    for link in links:
        bridge = link.get("master")
        if bridge not in networks:
            continue
        kind = link.get("linkinfo", {}).get("info_kind", link.get("link_type"))
        port = {"interface": link["ifname"], "bridge": bridge, "network": networks[bridge]}
        if kind == "veth" and "link_netnsid" in link and "link_index" in link:
            ports.append(
                dict(
                    port,
                    index=link["ifindex"],
                    peer=link["link_index"],
                    netnsid=link["link_netnsid"],
                )
            )
        else:
            strangers.append(dict(port, kind=kind))
    return ports, strangers


def network_side(network, links, routes):
    """Return the host's side of a network: {"bridge", "device", "device_v6", "lease", "routes":
    [prefixes over its devices]}.

    A device is None when missing, else {"name", "mac", "mtu", "up", "addresses": [...], "vni",
    "port"}.
    lease: what flanneld wrote to its subnet file, {} without one.
    """
    by_name = {link["ifname"]: link for link in links}
    names = [
        name
        for name in (network["bridge"], network.get("device"), network.get("device_v6"))
        if name
    ]
    over = [
        {
            "prefix": route["dst"],
            "device": route.get("dev"),
            "gateway": route.get("gateway"),
            "dead": bool({"dead", "linkdown"} & set(route.get("flags", []))),
        }
        for family in ("4", "6")
        for route in routes[family]
        if in_ranges(route["dst"], network)
    ]
    return {
        "bridge": device(by_name.get(network["bridge"])),
        "device": device(by_name.get(network.get("device"))),
        "device_v6": device(by_name.get(network.get("device_v6"))),
        "lease": lease(network["subnet_file"]),
        "routes": over,
    }


def in_ranges(prefix, network):
    """True if prefix (str, may be "default") lies in one of the network's ranges."""
    try:
        inner = ipaddress.ip_network(prefix)
    except ValueError:
        return False
    outers = [
        ipaddress.ip_network(text)
        for text in (network.get("cidr"), network.get("ipv6_cidr"))
        if text
    ]
    return any(inner.version == outer.version and inner.subnet_of(outer) for outer in outers)


def device(link):
    """Return the short description of a link of `ip -j -d addr`, None of None."""
    if link is None:
        return None
    data = link.get("linkinfo", {}).get("info_data", {})
    return {
        "name": link["ifname"],
        "mac": link.get("address"),
        "mtu": link["mtu"],
        "up": "UP" in link["flags"],
        "addresses": addresses(link),
        "vni": data.get("id"),
        "port": data.get("port"),
        "local": data.get("local") or data.get("local6"),
    }


def addresses(link):
    """Return ["10.1.5.2/24", ...] of a link; link-local addresses stay out."""
    return [
        f"{item['local']}/{item['prefixlen']}"
        for item in link.get("addr_info", [])
        if "local" in item and item.get("scope") != "link"
    ]


def underlay(links, routes):
    """Return {"4": address, "6": address}: what vxlan devices send from, else the address of the
    default route's interface; None without.
    """
    found = {"4": None, "6": None}
    for link in links:
        data = link.get("linkinfo", {}).get("info_data", {})
        if link.get("linkinfo", {}).get("info_kind") == "vxlan":
            found["4"] = found["4"] or data.get("local")
            found["6"] = found["6"] or data.get("local6")
    for family in ("4", "6"):
        outgoing = [route.get("dev") for route in routes[family] if route["dst"] == "default"]
        for link in links:
            if link["ifname"] in outgoing:
                for address in addresses(link):
                    if (":" in address) == (family == "6"):
                        found[family] = found[family] or address.split("/")[0]
    return found


def lease(path):
    """Return {"FLANNEL_SUBNET": ..., ...} as flanneld wrote it to path, {} if there is no such
    file.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return dict(line.strip().split("=", 1) for line in file if "=" in line)
    except OSError:
        return {}


def veths(links, number):
    """Return {index of the pod's end: (index, name) of the host's end} of the veths that lead into
    the namespace with that link-netnsid.
    """
    return {
        link.get("link_index"): (link["ifindex"], link["ifname"])
        for link in links
        if link.get("link_netnsid") == number
    }


def pod(path, inode, links, routes, sysctls, ports, external=None, ends=None):
    """Return what one attached namespace has.

    external: the plan's entry of another CNI that owns one interface of every pod, or None; ends:
    see veths().

    {"label", "namespace", "name", "uid" (the three of Kubernetes, else ""), "netns", "inode",
    "container": id or "", "interfaces": [...], "routes": {"4", "6"}, "default_routes": {"4":
    [interfaces], "6": [...]}, "sysctls"};
    an interface: {"name", "network" (None if its peer is on no bridge of the plan), "external":
    bool, "bridge", "peer", "mac", "mtu", "up", "addresses", "gateway": {"4", "6"}, "sysctls"}.
    """
    by_index = {port["peer"]: port for port in ports}
    interfaces = []
    for link in links:
        if link["link_type"] == "loopback" or link["ifname"] in (
            "tunl0",
            "sit0",
            "ip6tnl0",
            "gre0",
        ):
            continue
        port = by_index.get(link["ifindex"], {})
        if link.get("link_index") != port.get("index"):
            port = {}
        index, peer = (ends or {}).get(link["ifindex"], (None, None))
        foreign = not port and external is not None and link["ifname"] == external["interface"]
        interfaces.append(
            {
                "name": link["ifname"],
                "network": external["name"] if foreign else port.get("network"),
                "external": foreign,
                "bridge": port.get("bridge"),
                "peer": (
                    port.get("interface")
                    or (peer if foreign and link.get("link_index") == index else None)
                ),
                "mac": link.get("address"),
                "mtu": link["mtu"],
                "up": "UP" in link["flags"],
                "addresses": addresses(link),
                "gateway": {
                    family: next(
                        (
                            route["gateway"]
                            for route in routes[family]
                            if route.get("dev") == link["ifname"] and "gateway" in route
                        ),
                        None,
                    )
                    for family in ("4", "6")
                },
                "sysctls": sysctls["interfaces"].get(link["ifname"], {}),
            }
        )
    return {
        "label": "",
        "namespace": "",
        "name": "",
        "uid": "",
        "netns": path,
        "inode": inode,
        "container": "",
        "interfaces": interfaces,
        "routes": {
            family: [
                {key: route[key] for key in ("dst", "gateway", "dev", "metric") if key in route}
                for route in routes[family]
            ]
            for family in ("4", "6")
        },
        "default_routes": {
            family: sorted(
                {
                    route["dev"]
                    for route in routes[family]
                    if route["dst"] == "default" and "dev" in route
                }
            )
            for family in ("4", "6")
        },
        "sysctls": sysctls["all"],
    }


def call(seen, names):
    """Give a pod (see pod()) its names: what labels() knows of its namespace, else the namespace's
    own.
    """
    seen.update({key: names.get(key) or "" for key in ("namespace", "name", "uid", "container")})
    path = seen["netns"]
    seen["label"] = (
        names.get("label")
        or (seen["container"][:12] if path.startswith("/proc/") else "")
        or label_of(path)
    )


def unique(pods):
    """Return the pods with labels made safe for a token and unique on their host; a slash stands
    only in namespace/pod.
    """
    seen = {}
    for item in pods:
        item["label"] = (
            re.sub(f"[^A-Za-z0-9._{'/' if item['name'] else ''}-]+", "-", item["label"])
            or "unnamed"
        )
        seen[item["label"]] = seen.get(item["label"], 0) + 1
        if seen[item["label"]] > 1:
            item["label"] += f"-{item['inode']}"
    return pods


def label_of(path):
    """Return a name for the namespace at path: its own, or of the process that lives in it."""
    match = re.match(r"/proc/(\d+)/ns/net$", path)
    if not match:
        return os.path.basename(path)
    try:
        with open(f"/proc/{match.group(1)}/comm", encoding="utf-8", errors="replace") as file:
            return f"{file.read().strip()}-{match.group(1)}"
    except OSError:
        return f"pid-{match.group(1)}"


def labels(state_dirs, sandboxes=()):
    """Return {inode of a namespace: {"label", "namespace", "name", "uid", "container"}}, only to
    call pods by name.

    sandboxes: what the container runtime knows, see cri.sandboxes(); it counts for more than
    whatever JSON the meta-plugin or the attaching runtime keeps.
    """
    found = {}
    for one in sandboxes:
        try:
            inode = os.stat(one["netns"]).st_ino
        except OSError:
            continue  # it has gone, or is the host's own
        found[inode] = {
            "label": cri.label(one),
            "namespace": one["namespace"],
            "name": one["name"],
            "uid": one["uid"],
            "container": one["container"],
        }
    for directory in state_dirs:
        for path in sorted(glob.glob(os.path.join(directory, "**", "*"), recursive=True)):
            try:
                with open(path, encoding="utf-8") as file:
                    state = json.load(file)
                inode = os.stat(state["netns"]).st_ino
            except (OSError, ValueError, KeyError, TypeError):
                continue  # a directory, another kind of file, or a namespace that has gone
            kind, dummy, label = str(state.get("target") or "").partition(":")
            said = {
                "label": label if kind == "container" else "",
                "container": str(
                    state.get("containerID")
                    or state.get("containerId")
                    or state.get("container_id")
                    or ""
                ),
            }
            arguments = dict(
                item.split("=", 1)
                for item in str(state.get("args") or "").split(";")
                if "=" in item
            )
            if arguments.get("K8S_POD_NAMESPACE") and arguments.get("K8S_POD_NAME"):
                said.update(
                    namespace=arguments["K8S_POD_NAMESPACE"],
                    name=arguments["K8S_POD_NAME"],
                    uid=arguments.get("K8S_POD_UID", ""),
                )
                said["label"] = cri.label(said)
            known = found.setdefault(inode, {})
            known.update({key: value for key, value in said.items() if not known.get(key)})
    return found


def _pod_sysctls():
    interfaces = {}
    for name in os.listdir("/proc/sys/net/ipv4/conf"):
        values = _sysctls(f"net/ipv4/conf/{name}/{key}" for key in INTERFACE_SYSCTLS)
        interfaces[name] = {path.rsplit("/", 1)[1]: value for path, value in values.items()}
    return {"all": _sysctls(POD_SYSCTLS), "interfaces": interfaces}


def _sysctls(paths):
    """Return {path: int} of those that exist."""
    values = {}
    for path in paths:
        try:
            with open("/proc/sys/" + path, encoding="ascii") as file:
                values[path] = int(file.read().split()[0])
        except (OSError, ValueError, IndexError):
            continue
    return values


def _ip(*arguments):
    command = ["ip", "-j", "-d"] + list(arguments)
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        raise OSError(done.returncode, f"{' '.join(command)}: {done.stderr.strip()}")
    return [item for item in json.loads(done.stdout or "[]") if item]
