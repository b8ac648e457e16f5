# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose flanneld is told another address keeps its subnet, and its pods their addresses.

flanneld finds its lease by its address alone. One that finds none takes another subnet as long as
its own is leased to the former address (flannel, pkg/subnet/etcd/local_manager.go: tryAcquireLease;
a lease lasts a day). So the lease is given the new address before flanneld starts with it.

Runs on hosts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .._node import subnet_file, units
from . import client as etcd
from . import network_config


class Handover(NamedTuple):
    """A lease, as it is in etcd, and the attributes (JSON) that it gets; sentence: says so."""

    lease: etcd.KeyValue
    value: str
    sentence: str

    def write(self, client: etcd.Client) -> bool:
        """Write it, unless the lease has changed meanwhile; return whether it was written."""
        key, lease = self.lease.key, str(self.lease.lease)
        unchanged = ("revision", key, self.lease.mod_revision)
        return client.txn([unchanged], [("put", key, self.value, lease)])


def decide(
    stored: Sequence[etcd.KeyValue], prefix: str, subnet: str, former: str, address: str
) -> Handover | None:
    """Return what is to be handed over, None where nothing is.

    stored: what is in etcd below a network's prefix. subnet: what this host works with, such as
    10.1.5.0/24. former, address: what its flanneld runs with, and what it is going to start with. A
    lease that names neither is somebody else's, and stays.
    """
    if not former or not address or former == address:
        return None
    start = network_config.leases_prefix(prefix)
    leases = [(item, _attributes(item)) for item in stored if item.key.startswith(start)]
    if any(attributes.get("PublicIP") == address for dummy, attributes in leases):
        return None  # flanneld is going to find that one
    for item, attributes in leases:
        held = item.key[len(start) :].partition("&")[0].replace("-", "/")
        if held == subnet and attributes.get("PublicIP") == former:
            value = json.dumps({**attributes, "PublicIP": address})
            return Handover(item, value, f"the lease of {subnet} goes from {former} to {address}")
    return None


def hand_over(
    networks: Iterable[Mapping[str, Any]], running: Mapping[str, int], address: str, *, check: bool
) -> list[str]:
    """Hand over the leases that this host's daemons would not find; return sentences about them.

    networks: of the plan. running: {unit: its main process}, not restarted yet. address: what the
    daemons are going to be told. check: only say what would be done. Raises EtcdError.
    """
    said = []
    for network in networks:
        process = units.read_process(running.get(network["unit"], 0))
        subnets = subnet_file.subnets(subnet_file.read(network["subnet_file"]))
        if process is None or not subnets:
            continue
        runs_with = process.environment
        former = runs_with.get("FLANNELD_PUBLIC_IP", "")
        if former in ("", address) or "FLANNELD_ETCD_ENDPOINTS" not in runs_with:
            continue
        # where etcd is from now on: its host may have another address as well
        told = subnet_file.read(network["environment_file"])
        reach = told if "FLANNELD_ETCD_ENDPOINTS" in told else runs_with
        client = etcd.Client(
            reach["FLANNELD_ETCD_ENDPOINTS"].split(","),
            reach.get("FLANNELD_ETCD_CAFILE"),
            reach.get("FLANNELD_ETCD_CERTFILE"),
            reach.get("FLANNELD_ETCD_KEYFILE"),
        )
        prefix = network["etcd_prefix"]
        stored = client.prefix(network_config.leases_prefix(prefix))
        due = decide(stored, prefix, str(subnets[0]), former, address)
        if due and (check or due.write(client)):
            said.append(f"network {network['name']}: {due.sentence}")
    return said


def _attributes(item: etcd.KeyValue) -> dict[str, Any]:
    try:
        found = json.loads(item.value)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
