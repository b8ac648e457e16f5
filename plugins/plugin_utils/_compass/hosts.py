# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The DHA file: the hosts of a cluster, their roles and their NICs.

Two generations are about. The first has a host's PXE NIC, eth0, as `mac`, and the others as
`interfaces`, a list; the second has all of them in `interfaces`, a mapping. What belongs to power
management, its passwords among it, is not read.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ansible_collections.multinet.flannel.plugins.module_utils._plan.sentences import nearest

from .documents import MAC, Document, Where

# Of Compass' flavor for Kubernetes.
ROLES = ("kube_master", "etcd", "kube_node", "ha", "storage_master", "storage_node", "opencontrail")
PXE_NIC = "eth0"


@dataclasses.dataclass
class Host:
    """A host. roles: as the groups are called. nics: name -> MAC, {} for a virtual one.

    ssh: what a run's inventory says of the way to it; {} for a host of a DHA file.
    """

    name: str
    roles: list[str]
    nics: dict[str, str]
    place: Where
    ssh: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class HostFile:
    """What a DHA file says. kind: virtual or baremetal. switches: plugin -> its value."""

    document: Document
    kind: str
    cluster: str
    switches: dict[str, str]
    parameters: dict[str, str]
    hosts: list[Host]


def read(document: Document) -> HostFile:
    """Return what a DHA file says. Raise CompassError."""
    top = document.mapping()
    kind = top.get("TYPE", "virtual")
    if kind not in ("virtual", "baremetal"):
        raise document.wrong(("TYPE",), f"TYPE is {kind}; write virtual or baremetal.")
    hosts: list[Host] = []
    owners: dict[str, str] = {}
    for index, dummy in enumerate(document.list(("hosts",))):
        host = _host(document, ("hosts", index), kind == "baremetal")
        if host.name in [other.name for other in hosts]:
            raise document.wrong((*host.place, "name"), f"there are two hosts called {host.name}.")
        for nic, mac in host.nics.items():
            owner = owners.setdefault(mac, f"{nic} of {host.name}")
            if owner != f"{nic} of {host.name}":
                raise document.wrong(
                    host.place, f"{nic} of {host.name} has the MAC {mac}, which {owner} has, too."
                )
        hosts.append(host)
    return HostFile(
        document,
        kind,
        str(top.get("NAME") or "opnfv"),
        pairs(document, ("plugins",)),
        pairs(document, ("cluster_param",)),
        hosts,
    )


def _host(document: Document, place: Where, bare_metal: bool) -> Host:
    document.mapping(place)
    name = document.string((*place, "name"))
    roles = []
    for index, dummy in enumerate(document.list((*place, "roles"))):
        role = document.string((*place, "roles", index)).replace("-", "_")
        if role not in ROLES:
            raise document.wrong(
                (*place, "roles", index),
                f"{name} has the role {role}, which a cluster of Kubernetes does not have;"
                f" {nearest(role, ROLES)}.",
            )
        roles.append(role)
    nics = _nics(document, place)
    if bare_metal and PXE_NIC not in nics:
        raise document.wrong(
            place,
            f"{name} has no MAC of its PXE NIC: write it as mac, or as {PXE_NIC} in interfaces.",
        )
    return Host(name, roles, nics, place)


def _nics(document: Document, place: Where) -> dict[str, str]:
    host = document.mapping(place)
    where: dict[str, Where] = {}
    if host.get("mac") is not None:
        where[PXE_NIC] = (*place, "mac")
    interfaces = host.get("interfaces")
    if isinstance(interfaces, dict):
        where.update({str(nic): (*place, "interfaces", nic) for nic in interfaces})
    elif interfaces is not None:
        for index, dummy in enumerate(document.list((*place, "interfaces"), True)):
            here = (*place, "interfaces", index)
            where.update({str(nic): (*here, nic) for nic in document.mapping(here)})
    found = {}
    for nic, here in where.items():
        mac = document.string(here)
        if not MAC.fullmatch(mac):
            raise document.wrong(
                here, f"{mac} is not a MAC; write six pairs of hexadecimal digits, in quotes."
            )
        found[nic] = mac.lower()
    return found


def pairs(document: Document, place: Where) -> dict[str, str]:
    """Return a list of mappings with one key each as one mapping. Raise CompassError.

    Compass passes them on as one string, "key:value,key:value".
    """
    found: dict[str, str] = {}
    for index, dummy in enumerate(document.list(place, True)):
        here = (*place, index)
        item = document.mapping(here)
        if len(item) != 1:
            raise document.wrong(here, f"an item of {place[-1]} is one key and its value.")
        for key in item:
            value = document.string((*here, key))
            if ":" in value or "," in value:
                raise document.wrong(
                    (*here, key),
                    f"{key} contains a colon or a comma, where Compass would split it; write it"
                    " without.",
                )
            found[str(key)] = value
    return found
