# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan that was last applied to this host, as role flanneld leaves it there; and what a host
that lost it is known by.
"""

from __future__ import annotations

import glob
import json
import os
from typing import Any, TypedDict, cast

from .._cni import files

PATH = "/etc/multinet/deployed.json"
ADOPTED = "/etc/multinet/adopted.json"  # what networks of others became ours: adopted.py
# Where flanneld runs in pods, there is none
UNIT_FILE = "/etc/systemd/system/flanneld@.service"
FLANNELD = "/usr/local/bin/flanneld"
# Files that each network has, in directories of ours or with words of ours
_CNI = "etc/cni/multinet/net.d/*.conflist"
_SUBNETS = "run/flannel/networks/*.env"
_SETTINGS = "etc/flannel/*.env"
_IN_SETTINGS = "FLANNELD_SUBNET_FILE=/run/flannel/networks/"
# What plans of older versions leave out: there was nothing else then
_ADDED: dict[str, Any] = {
    "allowed": [],
    "cluster_cidrs": [],
    "datastore": "etcd",
    "external": None,
    "kubernetes": False,
    "node_cidr_mask_sizes": [],
}
_ADDED_TO_NETWORKS: dict[str, Any] = {
    "annotation_prefix": None,
    "host_ports": "spec",
    "namespaces": None,
    "net_config_file": None,
    "spoofing": "blocked",
}
ANEW = "Run the playbook site, which writes it again"


class Record(TypedDict, total=False):
    """What role flanneld leaves. Records of older versions have the plan alone."""

    plan: dict[str, Any]  # the one last applied on this host, see _plan.plan.plan()
    host: str  # the host's name in the inventory then
    nodes: list[str]  # the names of all nodes there
    directories: list[str]  # those that others may use as well, and which it did not have before
    cni_conf: str  # path of the host's own CNI configuration
    cni_bin_dir: str  # where CNI plugins are
    former: list[dict[str, Any]]  # networks that had to go and did not, as the run was stopped


class DeployedError(Exception):
    """The record cannot be read, or is lost. The message says why and what to do."""


def plan(root: str = "/") -> dict[str, Any] | None:
    """Return the plan of record()."""
    found = record(root)
    return found["plan"] if found else None


def record(root: str = "/") -> Record | None:
    """Return what read() does, None where nothing is deployed; raise DeployedError, also where the
    record is lost.

    root: where the host's files are; for tests.
    """
    found = read(root + PATH.lstrip("/"))
    lost = [] if found else networks_here(root)
    if lost:
        raise DeployedError(f"{is_lost(lost)}. {ANEW}.")
    return found


def elsewhere(found: Record, conf_dir: str) -> str:
    """Return a sentence if the host's own CNI configuration is in another directory than it is to
    be in, empty otherwise: two of them would be left, and only one looked after.
    """
    there = found.get("cni_conf", "")
    directory = os.path.dirname(there)
    if not os.path.exists(there) or os.path.realpath(directory) == os.path.realpath(conf_dir):
        return ""
    return (
        f"multinet_cni_conf_dir is {conf_dir}, but the CNI configuration of this host's networks is"
        f" {there}. Set multinet_cni_conf_dir to {directory}. Or, if container runtimes look in"
        f" {conf_dir} now, move the file there."
    )


def in_pods(plan: dict[str, Any], root: str = "/") -> bool:
    """Return whether the flanneld of a plan that is deployed here run in pods: then the host has
    neither the unit's file nor settings of a unit.

    The unit's file alone does not tell: somebody may have deleted it.
    """
    settings = [network["environment_file"] for network in plan["networks"]]
    return not any(os.path.exists(root + file.lstrip("/")) for file in (UNIT_FILE, *settings))


def read(path: str = PATH) -> Record | None:
    """Return the record, its plan filled in, None without one. Raises DeployedError."""
    try:
        with open(path, encoding="utf-8") as stream:
            found = cast(Record, json.load(stream))
            found["plan"] = _completed(found["plan"])
            return found
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeployedError(
            f"The record of what is deployed, {path}, can't be read ({error}). Remove it. {ANEW}."
        ) from error


def _completed(planned: dict[str, Any]) -> dict[str, Any]:
    """Return a plan of any version with all keys that plans have today; raise KeyError if it is no
    plan.
    """
    networks = [{**_ADDED_TO_NETWORKS, **network} for network in planned["networks"]]
    # pairs of networks, once
    apart = {"isolated": sorted({name for pair in planned.get("blocked", []) for name in pair})}
    return {**_ADDED, **apart, **planned, "networks": networks}


def is_lost(names: list[str]) -> str:
    """Return a clause that says that networks are here without a record."""
    which = f"the networks {', '.join(names)} are" if len(names) > 1 else f"network {names[0]} is"
    return f"The record of what is deployed, {PATH}, is lost, and {which} here"


def networks_here(root: str = "/") -> list[str]:
    """Return the names of the networks that this host has files of, sorted."""
    paths = glob.glob(root + _CNI) + glob.glob(root + _SUBNETS)
    paths += [path for path in glob.glob(root + _SETTINGS) if _IN_SETTINGS in files.text(path)]
    return sorted({os.path.splitext(os.path.basename(path))[0] for path in paths})


def found_again(planned: dict[str, Any], root: str = "/") -> tuple[dict[str, Any], list[str]]:
    """Return (what of a plan is on a host that lost its record, {} for nothing; the names of its
    other networks, which the plan does not have).

    They are taken for what is planned now: what they were, nobody knows.
    """
    here = networks_here(root)
    networks = [one for one in planned["networks"] if one["name"] in here]
    others = sorted(set(here) - {one["name"] for one in networks})
    return ({**planned, "networks": networks} if networks else {}), others
