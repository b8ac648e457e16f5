# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flanneld of others that run on a host: who started them, and with which settings."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .._cni import files

PROGRAM = "flanneld"
# What flanneld takes where nothing is said (flannel, main.go).
SUBNET_FILE = "/run/flannel/subnet.env"
PREFIX = "/coreos.com/network"
# Subnet files of this collection's own daemons
OURS = "/run/flannel/networks/"
_VARIABLE = "FLANNELD_"
_POD = re.compile(r"pod([0-9a-f]{8}[-_][0-9a-f_-]{27})")
# Names of objects are DNS subdomains (RFC 1123); anything else is not repeated in a command
_NAMES = re.compile(r"[a-z0-9-]+/[a-z0-9.-]+")
_UNIT = re.compile(r"/system\.slice/(?:[^/]+\.slice/)*([^/]+\.service)$", re.MULTILINE)


def others(proc: str = "/proc") -> list[dict[str, Any]]:
    """Return the flanneld that are not this collection's, by their process numbers: [{pid, kind:
    unit, pod or process, id: of that, subnet_file, store: a clause, udp_ports}].

    id of a pod: namespace/name where its environment has them, its UID otherwise.
    """
    found = []
    for pid in sorted(int(name) for name in os.listdir(proc) if name.isdigit()):
        arguments = files.text(f"{proc}/{pid}/cmdline").split("\0")
        if os.path.basename(arguments[0]) != PROGRAM:
            continue
        pairs = [one.partition("=") for one in files.text(f"{proc}/{pid}/environ").split("\0")]
        environment = {name: value for name, dummy, value in pairs}
        flags = settings(arguments, environment)
        file = flags.get("subnet-file") or SUBNET_FILE
        if not file.startswith(OURS):
            kind, name = started_by(files.text(f"{proc}/{pid}/cgroup"))
            if kind == "pod":
                # as kube-flannel's manifest tells it
                names = f"{environment.get('POD_NAMESPACE')}/{environment.get('POD_NAME')}"
                name = names if _NAMES.fullmatch(names) else name
            found.append(
                {
                    "pid": pid,
                    "kind": kind,
                    "id": name or str(pid),
                    "subnet_file": file,
                    "store": _store(flags),
                    "udp_ports": _udp_ports(proc, pid),
                }
            )
    return found


def called(daemon: Mapping[str, Any]) -> str:
    """Return what people call a daemon of others()."""
    return f"{daemon['kind']} {daemon['id']}"


def in_pod(daemon: Mapping[str, Any]) -> str:
    """Say how to stop a daemon of others() that Kubernetes would start again, "" for others."""
    if daemon["kind"] != "pod":
        return ""
    namespace, slash, name = daemon["id"].partition("/")
    called_as, save, delete, delete_pod = f"the pod with the UID {daemon['id']}", "", "", ""
    if slash:
        kubectl = f"kubectl -n {namespace}"
        of_pod = name.rpartition("-")[0]  # a DaemonSet adds -xxxxx
        called_as = f"the pod {daemon['id']}"
        save = f" ({kubectl} get daemonset {of_pod} -o yaml >{of_pod}.yaml)"
        delete = f"{kubectl} delete daemonset {of_pod} "
        delete_pod = f" ({kubectl} delete pod {name})"
    return (
        f"The flanneld that writes {daemon['subnet_file']} runs in {called_as}, which Kubernetes"
        f" would start again. Unless you have done this already, save its DaemonSet{save} and"
        f" delete it so that its pods go on running ({delete}--cascade=orphan). Then delete this"
        f" host's pod{delete_pod}, and run this again."
    )


def settings(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return flanneld's flags by name, those of the command line over those of the environment."""
    flags = {
        name[len(_VARIABLE) :].lower().replace("_", "-"): value
        for name, value in environment.items()
        if name.startswith(_VARIABLE)
    }
    rest = list(arguments[1:])
    while rest:
        one = rest.pop(0)
        if one.startswith("-"):
            name, equals, value = one.lstrip("-").partition("=")
            if not equals and rest and not rest[0].startswith("-"):
                value = rest.pop(0)
            flags[name] = value or ("" if equals else "true")
    return flags


def started_by(cgroup: str) -> tuple[str, str]:
    """Return (kind, name) of who started a process; cgroup: text of its /proc file.

    kind: `unit`, `pod` (name is its UID), or `process` without a name.
    """
    pod = _POD.search(cgroup)
    if pod:
        return "pod", pod[1].replace("_", "-")
    unit = _UNIT.search(cgroup)
    return ("unit", unit[1]) if unit else ("process", "")


def _store(flags: Mapping[str, str]) -> str:
    """Say where leases come from."""
    if flags.get("kube-subnet-mgr", "false") != "false":
        return "leases of the Kubernetes API"
    prefix, endpoints = flags.get("etcd-prefix") or PREFIX, flags.get("etcd-endpoints")
    return f"keys below {prefix} in etcd at {endpoints or '127.0.0.1'}"


def _udp_ports(proc: str, pid: int) -> list[int]:
    """Return the UDP ports that a process listens on, as flannel's backend udp does."""
    inodes = set()
    try:
        for name in os.listdir(f"{proc}/{pid}/fd"):
            target = os.readlink(f"{proc}/{pid}/fd/{name}")
            if target.startswith("socket:["):
                inodes.add(target[len("socket:[") : -1])
    except OSError:
        return []  # it has just ended
    rows = [line.split() for line in files.text(f"{proc}/{pid}/net/udp").splitlines()[1:]]
    return sorted({int(row[1].rpartition(":")[2], 16) for row in rows if row[9] in inodes})
