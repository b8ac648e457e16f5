# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's networks are, read once: everything that compare.deviations() needs.

Reads only. Runs on hosts.
"""

from __future__ import annotations

import glob
import json
import os
import stat
import time
from typing import Any

from .._cni import files
from .._cni.conf import files as conf_files
from .._names import NETWORK_DIRECTORY
from .._node import deployed, executables, firewalls, overrides, subnet_file, units, written
from .._node.links import brief
from .._node.sums import ArtifactError
from . import compare, datastore, guard, pods, tokens, ways
from .commands import ObserveError, Run, of_ip, run
from .network import is_address, lacks_leases

FIREWALLS_EVERY = 300.0  # seconds
PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,UnitFileState,MainPID,NRestarts,NeedDaemonReload,"
    "ActiveEnterTimestampMonotonic,InactiveExitTimestampMonotonic," + ",".join(overrides.PROPERTIES)
)


def look(
    record: deployed.Record, cni_conf: str, execute: Run = run, *, ask: bool = True
) -> dict[str, Any]:
    """Return what this host is.

    record: deployed.record(). cni_conf: path of the CNI configuration that the container runtime
    reads. ask: whether the data store is asked, which goes over the network.

    {"links": {name: links.brief(), with "ports": how many links are on it}, "units": {unit: its
    properties, "process": the state letter of its main process, "overrides": what
    overrides.changes() returns}, "subnet_files": {network: {variable: value}}, "sysctls": {path:
    int}, "guard": guard.look(), with "unguarded" and beside it "linklocal" of guard.odd_ports(),
    "underlay": {network: underlay()}, "executables": {path: what is wrong},
    "tokens": tokens.look(), "cni_files": {path: what is wrong}, "cni_confs": _cni_confs(),
    "allocated": {network: {"4" or "6": how many addresses host-local gave to pods}}, "pods":
    {network: these addresses}, "off_bridge": pods.off_bridge(), "adopted": _adopted(), "nodes": how
    many the inventory had when this host was deployed, 0 where that was not recorded, "firewalls":
    list of firewalls.Table, "bridges_filtered": whether they see what a bridge passes on, "blind":
    sentences about what nobody can look at}, and what ways.look() and datastore.read() return.

    Raises ObserveError.
    """
    try:
        return _look(record, cni_conf, execute, ask=ask)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ObserveError(
            f"What a command or a file of this host says cannot be read ({error!r})."
        ) from error


def silent_endpoints(plan: dict[str, Any]) -> dict[str, str]:
    """Return what datastore.silent() does of this host's flanneld."""
    daemons = _daemons()
    return datastore.silent(_environment(network, daemons) for network in plan["networks"])


def _look(record: deployed.Record, cni_conf: str, execute: Run, *, ask: bool) -> dict[str, Any]:
    plan = record["plan"]
    links = {one["ifname"]: brief(one) for one in of_ip(execute, "addr")}
    for one in links.values():
        one["ports"] = sum(other["master"] == one["name"] for other in links.values())
    networks = plan["networks"]
    daemons = _daemons()
    environments = {network["name"]: _environment(network, daemons) for network in networks}
    subnet_files = {
        network["name"]: subnet_file.read(network["subnet_file"]) for network in networks
    }
    tables, unseen = _firewalls(execute)
    # before the leases, or an entry that flanneld just makes would lead to a host without one
    lead = ways.look(execute, {network["backend"]["type"] for network in networks})
    store = datastore.read(plan, environments if ask else {}, subnet_files)
    guarded = guard.look(execute)
    given = {network["name"]: _given(network["ipam_dir"]) for network in networks}
    adopted = _adopted(plan)
    shown = _units(plan, daemons, execute)
    sysctls = {path: _number("/proc/sys/" + path) for path in compare.sysctl_paths(plan, links)}
    unguarded, linklocal = guard.odd_ports(plan, links, guarded["ports"], execute)
    return {
        "links": links,
        **lead,
        "units": shown,
        "subnet_files": subnet_files,
        "sysctls": sysctls,
        "guard": {**guarded, "unguarded": unguarded},
        "linklocal": linklocal,
        "underlay": {name: underlay(links, one) for name, one in environments.items()},
        **store,
        "executables": _executables(),
        "tokens": tokens.look(shown, execute) if plan.get("kubernetes") else {},
        "cni_files": _cni_files(plan, cni_conf),
        "cni_confs": _cni_confs(cni_conf),
        "allocated": {name: _allocated(addresses) for name, addresses in given.items()},
        "pods": given,
        "off_bridge": pods.off_bridge(links, {network["bridge"] for network in networks}),
        "adopted": adopted,
        "nodes": len(record.get("nodes") or ()),
        "firewalls": tables,
        "bridges_filtered": _number("/proc/sys/net/bridge/bridge-nf-call-iptables") == 1,
        "blind": [*_blind(store["etcd"], adopted), *unseen],
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


def _blind(etcd: dict[str, Any] | None, adopted: float | None) -> list[str]:
    blind = []
    if etcd is not None and not etcd["quota"]:
        blind.append(
            f"It was not checked how full the database of etcd at {etcd['endpoint']} is: etcd"
            f" {etcd['version']} does not report its quota (3.6 does)."
        )
    if lacks_leases(adopted):
        blind.append(
            "It was not checked what leads to hosts without a lease: this host's networks were"
            " taken over less than a day ago, and hosts that still have to be have no leases from"
            " the Kubernetes API."
        )
    return blind


def _adopted(plan: dict[str, Any], record: str = deployed.ADOPTED) -> float | None:
    """Return the seconds since networks of others were taken over here, None where there were none,
    or where that says nothing of the leases: etcd has those of all hosts before the first host is
    taken over.
    """
    if plan["datastore"] != "kubernetes":
        return None
    try:
        return time.time() - os.stat(record).st_mtime
    except OSError:
        return None


def _executables() -> dict[str, str]:
    """Return {path: what is wrong} of the executables that were installed here, and of what was
    written with them.
    """
    try:
        installed, launchers = executables.installed_sums(), executables.launchers()
    except ArtifactError as error:
        return {executables.RECORD: f"cannot be read: {error}"}
    wrong = {}
    for path in launchers:
        if not os.path.lexists(path):
            wrong[path] = "cannot be read: the meta-plugin that was installed there is gone"
        elif not executables.is_launcher_at(path):
            wrong[path] = (
                "is not the meta-plugin any more: another installer has put something in its place"
            )
        elif not os.stat(path).st_mode & stat.S_IXUSR:
            wrong[path] = "cannot be executed"
    for path, wanted in installed.items():
        try:
            if written.sum_of(path) != wanted:
                wrong[path] = "is not what the collection installed: it has another sum"
            elif not os.stat(path).st_mode & stat.S_IXUSR:
                wrong[path] = "cannot be executed"
        except OSError as error:
            wrong[path] = f"cannot be read: {error.strerror}"
    return {**written.changed(), **wrong}


def underlay(links: dict[str, dict[str, Any]], environment: dict[str, str]) -> dict[str, Any]:
    """Return where a flanneld with this environment sends from: {"interface": its name or "",
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
    gone = [
        environment[variable]
        for variable in ("FLANNELD_PUBLIC_IP", "FLANNELD_PUBLIC_IPV6")
        if environment.get(variable, "") not in ("", *every)
    ]
    if gone and not named:  # behind NAT, the interface is named beside it
        found["missing"] = f"the host does not have the address {' or '.join(gone)} any more"
    elif interface and interface not in links:
        found["missing"] = f"the host has no interface {interface}"
    elif interface and not found["addresses"]:
        found["missing"] = f"the interface {interface} has no IPv4 address"
    return found


def _units(plan: dict[str, Any], daemons: dict[str, int], execute: Run) -> dict[str, Any]:
    """Return {unit: its properties in systemd's words}, also of a flanneld that runs in a pod."""
    in_pods = deployed.in_pods(plan)
    names = [] if in_pods else [network["unit"] for network in plan["networks"]]
    names.append(compare.GUARD)
    if plan["datastore"] == "kubernetes":
        names.append(compare.SUBNET_SERVER)
    names += [*compare.HELPERS, *compare.STARTED_BY_HELPERS]
    shown = units.parse_show(execute(["systemctl", "show", "-p", PROPERTIES, *names]))
    found: dict[str, Any] = {}
    for name in names:
        properties: dict[str, Any] = dict(shown.get(name, {}))
        pid = int(properties.get("MainPID") or 0)
        properties["process"] = _process_state(pid) if pid else ""
        properties["overrides"] = overrides.changes(name, properties)
        found[name] = properties
    if in_pods:
        for network in plan["networks"]:
            found[network["unit"]] = _in_pod(daemons.get(network["subnet_file"]))
    return found


def _daemons() -> dict[str, int]:
    """Return {subnet file: process} of the flanneld that run on this host, in pods as well."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/comm"):
        if files.text(path).strip() == "flanneld":
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
    if os.path.exists(network["environment_file"]):
        return units.parse_environment(files.text(network["environment_file"]))
    pid = daemons.get(network["subnet_file"])
    process = units.read_process(pid) if pid else None
    return process.environment if process else {}


def _process_state(pid: int) -> str:
    """Return the letter that proc(5) has for the state of a process, "" when it is gone."""
    text = files.text(f"/proc/{pid}/stat")
    return text.rpartition(")")[2].split()[0] if ")" in text else ""


def _cni_files(plan: dict[str, Any], cni_conf: str) -> dict[str, str]:
    wanted = {
        f"{NETWORK_DIRECTORY}/{network['name']}.conflist": network["cni_conflist"]
        for network in plan["networks"]
    }
    wanted[cni_conf] = plan["cni_conf"]
    wrong = {}
    for path, conf in wanted.items():
        try:
            if not os.path.exists(path):
                wrong[path] = "is missing: no pod gets its networks"
            elif json.loads(files.text(path)) != conf:
                wrong[path] = "is not as planned"
        except ValueError:
            wrong[path] = "is not JSON: no pod gets its networks"
    return wrong


def _cni_confs(cni_conf: str) -> dict[str, list[str]]:
    """Return {"before", "after": paths} of the configurations beside ours, in the order in which a
    runtime takes them.
    """
    directory, own = os.path.split(cni_conf)
    found = conf_files(directory)
    return {
        "before": [path for path in found if os.path.basename(path) < own],
        "after": [path for path in found if os.path.basename(path) > own],
    }


def _given(directory: str) -> list[str]:
    """Return the addresses that host-local has given to pods: a file each, called after it."""
    return sorted(filter(is_address, map(os.path.basename, glob.glob(f"{directory}/*"))))


def _allocated(given: list[str]) -> dict[str, int]:
    """Return how many addresses there are of each family."""
    v6 = sum(":" in one for one in given)
    return {"4": len(given) - v6, "6": v6}


def _number(path: str) -> int | None:
    try:
        return int(files.text(path).split()[0])
    except (ValueError, IndexError):
        return None
