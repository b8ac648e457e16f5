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
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .._node import links, subnet_file, units
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
    stored: Sequence[etcd.KeyValue],
    prefix: str,
    subnet: str,
    former: Collection[str],
    address: str,
    mac: str | None = None,
) -> Handover | None:
    """Return what is to be handed over, None where nothing is.

    stored: what is in etcd below a network's prefix. subnet: what this host works with, such as
    10.1.5.0/24. former, address: what its flanneld run with, and what they are going to start with.
    mac: of the network's tunnel device here, if it has one: it tells whose lease it is where nobody
    knows the former address. A lease that names nothing of these is somebody else's, and stays.
    """
    if not address or address in former:
        return None
    start = network_config.leases_prefix(prefix)
    leases = [(item, _attributes(item)) for item in stored if item.key.startswith(start)]
    if any(attributes.get("PublicIP") == address for dummy, attributes in leases):
        return None  # flanneld is going to find that one
    for item, attributes in leases:
        held = item.key[len(start) :].partition("&")[0].replace("-", "/")
        now = attributes.get("PublicIP")
        if held == subnet and now and (now in former or _is_of(attributes, mac)):
            value = json.dumps({**attributes, "PublicIP": address})
            return Handover(item, value, f"the lease of {subnet} goes from {now} to {address}")
    return None


def _is_of(attributes: Mapping[str, Any], mac: str | None) -> bool:
    """Whether a lease's tunnel has a MAC. It is a random one that its host's device has got."""
    data = attributes.get("BackendData")
    told = data.get("VtepMAC") if isinstance(data, dict) else None
    return bool(mac and str(told).lower() == mac.lower())


def hand_over(
    networks: Iterable[Mapping[str, Any]], running: Mapping[str, int], address: str, *, check: bool
) -> list[str]:
    """Hand over the leases that this host's daemons would not find; return sentences about them.

    networks: of the plan. running: {unit: its main process}, not restarted yet. address: what the
    daemons are going to be told. check: only say what would be done. Raises EtcdError.
    """
    said = []
    networks = list(networks)
    run_with = {one["name"]: _runs_with(running.get(one["unit"], 0)) for one in networks}
    of_others = {one.get("FLANNELD_PUBLIC_IP", "") for one in run_with.values()} - {"", address}
    for network in networks:
        runs_with = run_with[network["name"]]
        subnets = subnet_file.subnets(subnet_file.read(network["subnet_file"]))
        # one that does not run had the address that others run with, or is known by its device
        former = {runs_with.get("FLANNELD_PUBLIC_IP", "")} if runs_with else of_others
        mac = links.mac(network["device"]) if network["device"] and not runs_with else None
        # where etcd is from now on: its host may have another address as well
        told = subnet_file.read(network["environment_file"])
        reach = told if "FLANNELD_ETCD_ENDPOINTS" in told else runs_with
        if not subnets or address in former or "FLANNELD_ETCD_ENDPOINTS" not in reach:
            continue
        client = etcd.Client(
            reach["FLANNELD_ETCD_ENDPOINTS"].split(","),
            reach.get("FLANNELD_ETCD_CAFILE"),
            reach.get("FLANNELD_ETCD_CERTFILE"),
            reach.get("FLANNELD_ETCD_KEYFILE"),
        )
        prefix = network["etcd_prefix"]
        stored = client.prefix(network_config.leases_prefix(prefix))
        due = decide(stored, prefix, str(subnets[0]), former - {""}, address, mac)
        if due and (check or due.write(client)):
            said.append(f"network {network['name']}: {due.sentence}")
    return said


def _runs_with(pid: int) -> Mapping[str, str]:
    """Return the environment of a process, {} of none."""
    process = units.read_process(pid) if pid else None
    return process.environment if process else {}


def _attributes(item: etcd.KeyValue) -> dict[str, Any]:
    try:
        found = json.loads(item.value)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
