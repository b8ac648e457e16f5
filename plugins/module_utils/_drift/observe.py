# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's networks are, read once: everything that compare.deviations() needs.

Reads only. Runs on hosts.
"""

from __future__ import annotations

import functools
import glob
import ipaddress
import json
import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

from .._isolation import seal
from .._node import deployed, executables, firewalls, subnet_file, units
from .._node.links import brief
from .._node.sums import ArtifactError, sha256_of
from . import compare, datastore
from .network import is_address

GUARD_FILE = "/etc/multinet/isolation.nft"
GUARD_STATE = "/run/multinet-isolation/state.json"
TAKEN_OVER = "/etc/multinet/adopted.json"
TAKING_OVER = 24 * 3600.0  # seconds in which all hosts are; so long do leases in etcd last, too
PORT_SECONDS = 2  # a pod's ADD has told the guard of its port by then
FIREWALLS_EVERY = 300.0  # seconds
CNI_DIRECTORY = "/etc/cni/multinet/net.d"
PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState,MainPID,NRestarts"

_DROP = re.compile(r'counter packets (\d+) bytes \d+ drop comment "([^"]*)"')

_PORT = re.compile(r'"(\S+)" : goto ([^\s,]+)')

# "src 10.7.1.0/24 dst 10.7.2.0/24 \n\tdir out priority 0 \n\ttmpl src 192.0.2.1 dst 192.0.2.2"
_POLICY = re.compile(
    r"^src \S+ dst (\S+)\s+dir out\b[^\n]*\n\s+tmpl src \S+ dst (\S+)", re.MULTILINE
)

Run = Callable[[Sequence[str]], str]


class ObserveError(Exception):
    """The host cannot be looked at. The message says what failed."""


def run(argv: Sequence[str]) -> str:
    """Return what a command prints; raise ObserveError."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ObserveError(f"{argv[0]} cannot be run: {error}") from error
    if done.returncode:
        raise ObserveError(f"'{' '.join(argv)}' failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def look(
    plan: dict[str, Any], cni_conf: str, execute: Run = run, *, ask: bool = True
) -> dict[str, Any]:
    """Return what this host is.

    cni_conf: path of the CNI configuration that the container runtime reads. ask: whether the data
    store is asked, which goes over the network.

    {"links": {name: links.brief(), with "ports": how many links are on it}, "routes",
    "neighbours", "fdb", "fdb_others": those of _ways(), "xfrm": {subnet: the host that a policy
    leads to it by}, "wireguard": {device: {public key: [ranges]}}
    or None without the command wg, "units": {unit: its properties, "process": the state letter of
    its main process}, "subnet_files": {network: {variable: value}}, "sysctls": {path: int},
    "guard": {"devices": list or None without a table, "unreadable": a sentence or "", "error",
    "file_changed", "file_as_deployed", "held", "restored", "dropped": {reason: packets},
    "ports": {port of a bridge: its chain} or None}, "underlay": {network: underlay()}, "leases":
    {network: list of network_config.lease() or None}, "unreadable": {network: {key of a lease: why
    no flanneld can follow it}},
    "lease_seconds": {network: how long this host's lease in etcd lasts unless it is
    renewed}, "configs": {network: what network_config.config() returns, or None}, "etcd": etcd's
    status() or None, "leases_problem": a sentence or "", "leases_wrong": bool, "executables":
    {path: what is wrong}, "cni_files": {path: what is wrong}, "allocated": {network: {"4" or "6":
    how many addresses host-local gave to pods}}, "pods": {network: these addresses}, "taken_over":
    what _taken_over() returns, "adopted": what _adopted() returns, "nodes": how many the inventory
    had when this host was deployed, 0 where that was not recorded, "firewalls": list of
    firewalls.Table, "bridges_filtered": whether they see what a bridge passes on, "blind":
    sentences about what nobody can look at}.

    Raises ObserveError.
    """
    try:
        return _look(plan, cni_conf, execute, ask=ask)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ObserveError(
            f"What a command or a file of this host says cannot be read ({error!r})."
        ) from error


def _look(plan: dict[str, Any], cni_conf: str, execute: Run, *, ask: bool) -> dict[str, Any]:
    links = {one["ifname"]: brief(one) for one in _json(execute, "addr")}
    for one in links.values():
        one["ports"] = sum(other["master"] == one["name"] for other in links.values())
    in_pods = deployed.in_pods(plan)
    backends = {network["backend"]["type"] for network in plan["networks"]}
    wanted = [] if in_pods else [network["unit"] for network in plan["networks"]]
    wanted.append(compare.GUARD)
    if plan["datastore"] == "kubernetes":
        wanted.append(compare.SUBNET_SERVER)
    wanted += compare.HELPERS
    daemons = _daemons()
    environments = {network["name"]: _environment(network, daemons) for network in plan["networks"]}
    subnet_files = {
        network["name"]: subnet_file.read(network["subnet_file"]) for network in plan["networks"]
    }
    tables, unseen = _firewalls(execute)
    # before the leases, or an entry that flanneld just makes would lead to a host without one
    ways = _ways(execute)
    store = datastore.read(plan, environments if ask else {}, subnet_files)
    guard = _guard(execute)
    taken_over = _taken_over(plan)
    pods = {network["name"]: _given(network["ipam_dir"]) for network in plan["networks"]}
    return {
        "links": links,
        **ways,
        "units": dict(
            _units(execute, wanted),
            **{
                network["unit"]: _in_pod(daemons.get(network["subnet_file"]))
                for network in plan["networks"]
                if in_pods
            },
        ),
        "xfrm": _xfrm(execute) if "ipsec" in backends else {},
        "wireguard": _wireguard(execute) if "wireguard" in backends else {},
        "subnet_files": subnet_files,
        "sysctls": {
            path: _number("/proc/sys/" + path) for path in compare.sysctl_paths(plan, links)
        },
        "guard": {**guard, "unguarded": _unguarded(plan, links, guard["ports"], execute)},
        "underlay": {name: underlay(links, one) for name, one in environments.items()},
        **store,
        "executables": _executables(),
        "cni_files": _cni_files(plan, cni_conf),
        "allocated": {name: _allocated(given) for name, given in pods.items()},
        "pods": pods,
        "taken_over": taken_over,
        "adopted": _adopted(plan),
        "nodes": len((deployed.read() or {}).get("nodes") or ()),
        "firewalls": tables,
        "bridges_filtered": _number("/proc/sys/net/bridge/bridge-nf-call-iptables") == 1,
        "blind": [*_blind(store["etcd"]), *unseen, *([_NOT_YET] if taken_over else [])],
    }


_last_firewalls: tuple[float, tuple[list[firewalls.Table], list[str]]] | None = None


def _firewalls(execute: Run) -> tuple[list[firewalls.Table], list[str]]:
    """Return what firewalls.look() does. They are long and change seldom, so a process that looks
    again and again reads them every few minutes.
    """
    global _last_firewalls  # what this process saw last
    now = time.monotonic()
    if _last_firewalls is None or now - _last_firewalls[0] > FIREWALLS_EVERY:
        try:
            found = firewalls.look(execute)
        except (ObserveError, ValueError, KeyError, IndexError) as error:
            found = [], [f"What other firewalls drop was not looked at: {error}."]
        _last_firewalls = now, found
    return _last_firewalls[1]


def _blind(etcd: dict[str, Any] | None) -> list[str]:
    if etcd is None or etcd["quota"]:
        return []
    return [
        f"It was not checked how full the database of etcd at {etcd['endpoint']} is: etcd"
        f" {etcd['version']} does not report its quota (3.6 does)."
    ]


_NOT_YET = (
    "It was not checked what leads to hosts without a lease: this host's networks were taken over"
    " less than a day ago, and hosts that still have to be have no leases from the Kubernetes API."
)


def _taken_over(plan: dict[str, Any], record: str = TAKEN_OVER) -> bool:
    """Whether other hosts may have none of their leases yet: networks were taken over here within a
    day, and the leases are Nodes' (etcd has those of all hosts before the first is taken over).
    """
    try:
        age = time.time() - os.stat(record).st_mtime
    except OSError:
        return False
    return bool(plan["datastore"] == "kubernetes") and age < TAKING_OVER


def _adopted(plan: dict[str, Any], record: str = TAKEN_OVER) -> bool:
    """Whether networks were taken over here whenever, and the leases are Nodes': a takeover that
    waits for its next host may take days, and those hosts are only named then.
    """
    return bool(plan["datastore"] == "kubernetes") and os.path.exists(record)


def _xfrm(execute: Run) -> dict[str, str]:
    """Return {subnet: the host that a policy leads to it by}."""
    return dict(_POLICY.findall(execute(["ip", "xfrm", "policy"])))


def _wireguard(execute: Run) -> dict[str, dict[str, list[str]]] | None:
    if not shutil.which("wg"):
        return None
    found: dict[str, dict[str, list[str]]] = {}
    for line in execute(["wg", "show", "all", "allowed-ips"]).splitlines():
        device, key, ranges = line.split("\t", 2)
        found.setdefault(device, {})[key] = ranges.split()
    return found


def _executables() -> dict[str, str]:
    """Return {path: what is wrong} of the executables that were installed here."""
    try:
        installed, launchers = executables.recorded(), executables.launchers()
    except ArtifactError as error:
        return {executables.RECORD: f"cannot be read: {error}"}
    wrong = {
        path: "is not the meta-plugin any more: another installer has put something in its place"
        if os.path.lexists(path)
        else "cannot be read: the meta-plugin that was installed there is gone"
        for path in launchers
        if not executables.is_launcher_at(path)
    }
    for path, wanted in installed.items():
        try:
            found = os.stat(path)
            if _sum(path, found.st_size, found.st_mtime_ns, found.st_ino) != wanted:
                wrong[path] = "is not what the collection installed: it has another sum"
            elif not found.st_mode & stat.S_IXUSR:
                wrong[path] = "cannot be executed"
        except OSError as error:
            wrong[path] = f"cannot be read: {error.strerror}"
    return wrong


@functools.lru_cache(maxsize=64)
def _sum(path: str, size: int, mtime: int, inode: int) -> str:
    """Return a file's sum; a process that looks again and again reads only what has changed."""
    return sha256_of(path)


def _ways(execute: Run) -> dict[str, Any]:
    """Return what leads to other hosts: {"routes": [{dst, dev, gateway, protocol, metric}],
    "neighbours": {device: {address: MAC}}, "fdb": {device: {MAC: address}}, "fdb_others": {device:
    [[MAC, address, words]]}}, the last one with what flanneld makes none like: a second entry of a
    MAC, or one with a port, VNI or interface of its own, in the words of bridge(8).
    """
    neighbours: dict[str, dict[str, Any]] = {}
    for one in _json(execute, "neigh", "show", "nud", "permanent"):
        neighbours.setdefault(one["dev"], {})[one["dst"]] = one.get("lladdr")
    fdb: dict[str, dict[str, str]] = {}
    others: dict[str, list[Any]] = {}
    for one in _listed(execute, ["bridge", "-j", "fdb", "show"]):
        if "dst" not in one:
            continue
        device, mac, own = one["ifname"], one["mac"], []
        for key, word in (("port", "port"), ("vni", "vni"), ("viaIf", "via")):
            own += [word, str(one[key])] if key in one else []
        if own or mac in fdb.get(device, {}):
            others.setdefault(device, []).append([mac, one["dst"], own])
        else:
            fdb.setdefault(device, {})[mac] = one["dst"]
    return {
        "routes": [
            {key: route.get(key) for key in ("dst", "dev", "gateway", "protocol", "metric")}
            for family in ("-4", "-6")
            for route in _json(execute, family, "route")
            if _is_route(route)
        ],
        "neighbours": neighbours,
        "fdb": fdb,
        "fdb_others": others,
    }


def underlay(links: dict[str, dict[str, Any]], environment: dict[str, str]) -> dict[str, Any]:
    """Return whence a flanneld with this environment speaks: {"interface": its name or "",
    "addresses", "addresses_v6": those that it takes, the first one first, "all": the host's,
    "missing": a sentence or ""}.
    """
    every = [address.split("/")[0] for one in links.values() for address in one["addresses"]]
    public = environment.get("FLANNELD_PUBLIC_IP", "")
    named = environment.get("FLANNELD_IFACE", "")
    holding = [
        name
        for name, one in links.items()
        if public in (address.split("/")[0] for address in one["addresses"])
    ]
    interface = named or (holding[0] if holding else "")
    found: dict[str, Any] = {
        "interface": interface,
        "addresses": [],
        "addresses_v6": [],
        "all": every,
        "missing": "",
    }
    here = [one.split("/")[0] for one in links.get(interface, {"addresses": []})["addresses"]]
    for key, variable, mark in (
        ("addresses", "FLANNELD_PUBLIC_IP", "."),
        ("addresses_v6", "FLANNELD_PUBLIC_IPV6", ":"),
    ):
        said = environment.get(variable)
        found[key] = [said] if said else [one for one in here if mark in one]
    if public and not interface:  # behind NAT, the interface is named beside it
        found["missing"] = f"the host does not have the address {public} any more"
    elif interface and interface not in links:
        found["missing"] = f"the host has no interface {interface}"
    elif interface and not found["addresses"]:
        found["missing"] = f"the interface {interface} has no IPv4 address"
    return found


def _units(execute: Run, names: list[str]) -> dict[str, Any]:
    shown = units.parse_show(execute(["systemctl", "show", "-p", PROPERTIES, *names]))
    found: dict[str, Any] = {}
    for name in names:
        properties: dict[str, Any] = dict(shown.get(name, {}))
        pid = int(properties.get("MainPID") or 0)
        properties["process"] = _process_state(pid) if pid else ""
        found[name] = properties
    return found


def _daemons() -> dict[str, int]:
    """Return {subnet file: process} of the flanneld that run on this host, in pods as well."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/comm"):
        if (_text(path) or "").strip() == "flanneld":
            pid = int(path.split("/")[2])
            process = units.read_process(pid)
            if process and "FLANNELD_SUBNET_FILE" in process.environment:
                found[process.environment["FLANNELD_SUBNET_FILE"]] = pid
    return found


def _in_pod(pid: int | None) -> dict[str, Any]:
    """Return the state of a flanneld in a pod in systemd's words."""
    if pid is None:
        return {"ActiveState": "inactive", "SubState": "no pod of it runs here", "pod": True}
    return {"ActiveState": "active", "process": _process_state(pid), "pod": True}


def _environment(network: dict[str, Any], daemons: dict[str, int]) -> dict[str, str]:
    """Return what the flanneld of a network runs with, by its unit's file or its process."""
    text = _text(network["environment_file"])
    if text is not None:
        return units.parse_environment(text)
    pid = daemons.get(network["subnet_file"])
    process = units.read_process(pid) if pid else None
    return process.environment if process else {}


def _process_state(pid: int) -> str:
    """Return the letter that proc(5) has for the state of a process, "" when it is gone."""
    text = _text(f"/proc/{pid}/stat") or ""
    return text.rpartition(")")[2].split()[0] if ")" in text else ""


_last_unguarded: set[tuple[str, str]] = set()  # names and MACs of ports


def _unguarded(
    plan: dict[str, Any],
    links: dict[str, dict[str, Any]],
    ports: dict[str, str] | None,
    execute: Run,
) -> list[str]:
    """Return the ports of the networks' bridges that the guard's table does not have. One that this
    process saw before, at its last look, is not waited for again.
    """
    global _last_unguarded  # what this process saw last
    bridges = {network["bridge"] for network in plan["networks"]}
    on_bridges = {name for name, link in links.items() if link["master"] in bridges}
    unknown = {(name, links[name]["mac"]) for name in on_bridges - set(ports or on_bridges)}
    waited_for, _last_unguarded = _last_unguarded, unknown
    if not unknown:
        return []
    still = set(ports or ())
    if not unknown <= waited_for:
        time.sleep(PORT_SECONDS)  # one that is just coming or going
        still = set(_guard(execute)["ports"] or ())
    return sorted(
        name for name in on_bridges - still if os.path.exists(f"/sys/class/net/{name}/brport")
    )


def _guard(execute: Run) -> dict[str, Any]:
    devices: list[str] | None = None
    unreadable = ""
    drops: dict[str, int] = {}
    ports: dict[str, str] | None
    argv = ["nft", "-j", "list", "set", "inet", "multinet", "network_devices"]
    try:
        devices = _elements(execute(argv))
        if devices is None:
            unreadable = f"'{' '.join(argv)}' did not print the set in JSON"
        # not as JSON: nft 1.0 breaks off at the flag of a table that is owned
        drops = dropped(execute(["nft", "list", "table", "inet", "multinet"]))
    except ObserveError:
        pass  # no table
    try:
        listed_ports = execute(["nft", "list", "table", "bridge", "multinet"])
        ports = dict(_PORT.findall(listed_ports.partition("map bridged")[0]))
        drops.update(dropped(listed_ports))
    except ObserveError:
        ports = None
    try:
        state = json.loads(_text(GUARD_STATE) or "{}")
    except ValueError:
        state = {}
    try:
        changed = os.stat(GUARD_FILE).st_mtime_ns > state.get("loaded_at", 0)
    except OSError:
        changed = False
    return {
        "devices": devices,
        "unreadable": unreadable,
        "error": state.get("error", ""),
        "file_changed": changed,
        "file_as_deployed": not seal.is_broken(_text(GUARD_FILE) or ""),
        "held": state.get("held", ""),
        "restored": state.get("restored", 0),
        "dropped": drops,
        "ports": ports,
    }


def _elements(text: str) -> list[str] | None:
    """Return the elements of the set that `nft -j` printed, None where that cannot be read."""
    try:
        for one in json.loads(text)["nftables"]:
            if "set" in one:
                found = one["set"].get("elem", [])
                return found if all(isinstance(name, str) for name in found) else None
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    return None


def dropped(table: str) -> dict[str, int]:
    """Return {reason: packets} of the rules of a table that drop: a reason is a rule's comment."""
    found: dict[str, int] = {}
    for packets, reason in _DROP.findall(table):
        found[reason] = found.get(reason, 0) + int(packets)
    return found


def _cni_files(plan: dict[str, Any], cni_conf: str) -> dict[str, str]:
    wanted = {
        f"{CNI_DIRECTORY}/{network['name']}.conflist": network["cni_conflist"]
        for network in plan["networks"]
    }
    wanted[cni_conf] = plan["cni_conf"]
    wrong = {}
    for path, conf in wanted.items():
        text = _text(path)
        try:
            if text is None:
                wrong[path] = "is missing: no pod gets its networks"
            elif json.loads(text) != conf:
                wrong[path] = "is not as planned"
        except ValueError:
            wrong[path] = "is not JSON: no pod gets its networks"
    before = sorted(
        name
        for pattern in ("*.conf", "*.conflist", "*.json")
        for name in map(os.path.basename, glob.glob(f"{os.path.dirname(cni_conf)}/{pattern}"))
        if name < os.path.basename(cni_conf)
    )
    if before:
        wrong[cni_conf] = (
            f"is not used: {before[0]} comes first, so pods get the networks of that file"
        )
    return wrong


def _given(directory: str) -> list[str]:
    """Return the addresses that host-local has given to pods: a file each, called after it."""
    return sorted(filter(is_address, map(os.path.basename, glob.glob(f"{directory}/*"))))


def _allocated(given: list[str]) -> dict[str, int]:
    """Return how many addresses there are of each family."""
    v6 = sum(":" in one for one in given)
    return {"4": len(given) - v6, "6": v6}


def _json(execute: Run, *arguments: str) -> list[dict[str, Any]]:
    return [one for one in _listed(execute, ["ip", "-j", "-d", *arguments]) if one]


def _listed(execute: Run, argv: Sequence[str]) -> list[Any]:
    """Return the list that a command prints as JSON; raise ObserveError."""
    try:
        found = json.loads(execute(argv) or "[]")
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise ObserveError(f"'{' '.join(argv)}' did not print a list in JSON.")
    return found


def _is_route(route: dict[str, Any]) -> bool:
    """Whether a route has a target that can be compared: not one of another family (MPLS)."""
    dst = str(route.get("dst"))  # a number would be an address, too
    if dst == "default":
        return True
    try:
        ipaddress.ip_network(dst)
    except ValueError:
        return False
    return True


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def _number(path: str) -> int | None:
    try:
        return int((_text(path) or "").split()[0])
    except (ValueError, IndexError):
        return None
