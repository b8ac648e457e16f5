# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's networks are, read once: everything that compare.deviations() needs.

Reads only. Runs on hosts.
"""

from __future__ import annotations

import glob
import http.client
import json
import os
import re
import subprocess
import urllib.parse
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .._etcd import client as etcd
from .._etcd import network_config
from .._node import subnet_file, units
from .._node.links import brief
from . import compare

UNIT_FILE = "/etc/systemd/system/flanneld@.service"
GUARD_FILE = "/etc/multinet/isolation.nft"
GUARD_STATE = "/run/multinet-isolation/state.json"
CNI_DIRECTORY = "/etc/cni/multinet/net.d"
SYSCTLS = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")
PROPERTIES = "Id,LoadState,ActiveState,SubState,MainPID,NRestarts"
SECONDS = 3.0  # for an answer of the data store

_DROP = re.compile(r'counter packets (\d+) bytes \d+ drop comment "([^"]*)"')

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


def look(plan: dict[str, Any], cni_conf: str, execute: Run = run) -> dict[str, Any]:
    """Return what this host is.

    cni_conf: path of the CNI configuration that the container runtime reads.

    {"links": {name: links.brief(), with "ports": how many links are on it}, "routes": [{dst, dev,
    gateway}], "neighbours": {device: {address: MAC}}, "fdb": {device: {MAC: address}}, "units":
    {unit: its properties, "process": the state letter of its main process}, "subnet_files":
    {network: {variable: value}}, "sysctls": {path: int}, "guard": {"devices": list or None without
    a table, "error", "file_changed", "held", "dropped": {reason: packets}}, "underlay": {network:
    {"addresses": those that flanneld takes, the first one first; "all": the host's; "missing": a
    sentence or ""}}, "leases": {network: list of network_config.lease() or None},
    "leases_problem": a sentence or "", "leases_wrong": bool, "cni_files": {path: what is wrong},
    "allocated": {network: addresses that host-local gave to pods}}.

    Raises ObserveError.
    """
    links = {one["ifname"]: brief(one) for one in _json(execute, "addr")}
    for one in links.values():
        one["ports"] = sum(other["master"] == one["name"] for other in links.values())
    in_pods = not os.path.exists(UNIT_FILE)
    wanted = [] if in_pods else [network["unit"] for network in plan["networks"]]
    wanted.append(compare.GUARD)
    if plan["datastore"] == "kubernetes":
        wanted.append(compare.SUBNET_SERVER)
    daemons = _daemons()
    environments = {network["name"]: _environment(network, daemons) for network in plan["networks"]}
    leases, problem, wrong = _leases(plan, environments)
    return {
        "links": links,
        "routes": [
            {key: route.get(key) for key in ("dst", "dev", "gateway")}
            for family in ("-4", "-6")
            for route in _json(execute, family, "route")
        ],
        "neighbours": _by_device(
            (one["dev"], one["dst"], one.get("lladdr"))
            for one in _json(execute, "neigh", "show", "nud", "permanent")
        ),
        "fdb": _by_device(
            (one["ifname"], one["mac"], one["dst"])
            for one in json.loads(execute(["bridge", "-j", "fdb", "show"]) or "[]")
            if "dst" in one
        ),
        "units": dict(
            _units(execute, wanted),
            **{
                network["unit"]: _in_pod(daemons.get(network["subnet_file"]))
                for network in plan["networks"]
                if in_pods
            },
        ),
        "subnet_files": {
            network["name"]: subnet_file.read(network["subnet_file"])
            for network in plan["networks"]
        },
        "sysctls": {path: _number("/proc/sys/" + path) for path in SYSCTLS},
        "guard": _guard(execute),
        "underlay": {name: underlay(links, one) for name, one in environments.items()},
        "leases": leases,
        "leases_problem": problem,
        "leases_wrong": wrong,
        "cni_files": _cni_files(plan, cni_conf),
        "allocated": {
            network["name"]: _allocated(network["ipam_dir"]) for network in plan["networks"]
        },
    }


def _by_device(entries: Iterable[tuple[str, str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for device, key, value in entries:
        found.setdefault(device, {})[key] = value
    return found


def underlay(links: dict[str, dict[str, Any]], environment: dict[str, str]) -> dict[str, Any]:
    """Return the addresses from which a flanneld with this environment speaks."""
    every = [
        address.split("/")[0]
        for one in links.values()
        for address in one["addresses"]
        if "." in address
    ]
    public, interface = environment.get("FLANNELD_PUBLIC_IP"), environment.get("FLANNELD_IFACE")
    if public:
        return {"addresses": [public], "all": every, "missing": ""}
    if not interface:
        return {"addresses": [], "all": every, "missing": ""}
    if interface not in links:
        return {"addresses": [], "all": every, "missing": f"the host has no interface {interface}"}
    addresses = [one.split("/")[0] for one in links[interface]["addresses"] if "." in one]
    missing = "" if addresses else f"the interface {interface} has no IPv4 address"
    return {"addresses": addresses, "all": every, "missing": missing}


def _leases(
    plan: dict[str, Any], environments: dict[str, dict[str, str]]
) -> tuple[dict[str, Any], str, bool]:
    """Return ({network: leases or None}, why not, whether that is a fault of the data store)."""
    found: dict[str, Any] = {network["name"]: None for network in plan["networks"]}
    clients: dict[tuple[str, ...], etcd.Client] = {}
    try:
        for network in plan["networks"]:
            environment = environments[network["name"]]
            if plan["datastore"] == "kubernetes" and environment.get("FLANNELD_KUBE_API_URL"):
                found[network["name"]] = _from_subnet_server(environment, network["name"])
            elif environment.get("FLANNELD_ETCD_ENDPOINTS"):
                prefix = network["etcd_prefix"]
                stored = _client(environment, clients).prefix(network_config.leases_prefix(prefix))
                found[network["name"]] = network_config.leases(stored, prefix)
            else:
                return found, "No flanneld of it is set up on this host.", False
    except etcd.EtcdError as error:
        return found, str(error), True
    except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
        return found, f"The subnet server does not answer ({error}).", True
    return found, "", False


def _client(
    environment: dict[str, str], clients: dict[tuple[str, ...], etcd.Client]
) -> etcd.Client:
    """Return the client for a flanneld's etcd, one for all that have the same settings."""
    settings = tuple(
        environment.get(f"FLANNELD_ETCD_{key}", "")
        for key in ("ENDPOINTS", "CAFILE", "CERTFILE", "KEYFILE")
    )
    if settings not in clients:
        endpoints, ca, certificate, key = settings
        clients[settings] = etcd.Client(
            endpoints.split(","), ca or None, certificate or None, key or None, SECONDS
        )
    return clients[settings]


def _from_subnet_server(environment: dict[str, str], name: str) -> list[dict[str, Any]]:
    parts = urllib.parse.urlsplit(environment["FLANNELD_KUBE_API_URL"])
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)
    try:
        connection.request("GET", f"/v1/{name}/leases")
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise ValueError(f"status {answer.status}: {body[:200].decode('utf-8', 'replace')}")
    return [
        network_config.lease(one["Subnet"], one.get("IPv6Subnet") or "", one["Attrs"])
        for one in json.loads(body)["snapshot"]
    ]


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


def _guard(execute: Run) -> dict[str, Any]:
    devices: list[str] | None = None
    drops: dict[str, int] = {}
    try:
        listed = json.loads(
            execute(["nft", "-j", "list", "set", "inet", "multinet", "network_devices"])
        )
        devices = next(one["set"].get("elem", []) for one in listed["nftables"] if "set" in one)
        # not as JSON: nft 1.0 breaks off at the flag of a table that is owned
        drops = dropped(execute(["nft", "list", "table", "inet", "multinet"]))
    except ObserveError:
        pass  # no table
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
        "error": state.get("error", ""),
        "file_changed": changed,
        "held": state.get("held", ""),
        "dropped": drops,
    }


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
                wrong[path] = "is not there: no pod gets what it says"
            elif json.loads(text) != conf:
                wrong[path] = "is not as planned"
        except ValueError:
            wrong[path] = "is no JSON: no pod gets what it says"
    before = sorted(
        name
        for pattern in ("*.conf", "*.conflist", "*.json")
        for name in map(os.path.basename, glob.glob(f"{os.path.dirname(cni_conf)}/{pattern}"))
        if name < os.path.basename(cni_conf)
    )
    if before:
        wrong[cni_conf] = (
            f"is passed over: {before[0]} comes first, so pods get that one's networks"
        )
    return wrong


def _allocated(directory: str) -> int:
    """Return how many addresses host-local has given out: a file each, called after it."""
    return len(glob.glob(f"{directory}/[0-9]*.*") + glob.glob(f"{directory}/*:*"))


def _json(execute: Run, *arguments: str) -> list[dict[str, Any]]:
    return [one for one in json.loads(execute(["ip", "-j", "-d", *arguments]) or "[]") if one]


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
