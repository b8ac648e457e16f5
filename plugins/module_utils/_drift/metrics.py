# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the keeper publishes, as Prometheus reads it (text format 0.0.4). Pure but for usage().

Names as node exporter has them: base units, `_total` of what only grows, `_timestamp_seconds` of a
time, a state as one series for each that it can have, of which one is 1. Runs on hosts.
"""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .._node import subnet_file
from .._node.exposition import memory
from . import compare
from . import network as networks

GUARD_STATES = ("owned", "watched", "stopped", "missing", "unreadable")

# name -> (type, what it says)
FAMILIES = {
    "multinet_keeper_up": ("gauge", "1 while the keeper runs, 0 since it was stopped or killed"),
    "multinet_build_info": ("gauge", "1; the label is the version of the keeper's collection"),
    "multinet_last_look_timestamp_seconds": ("gauge", "when the host was last looked at"),
    "multinet_look_duration_seconds": ("gauge", "how long that look took"),
    "multinet_looks_total": ("counter", "looks at the host"),
    "multinet_look_failures_total": ("counter", "looks that failed: the journal says why"),
    "multinet_keeper_cpu_seconds_total": (
        "counter",
        "processor time of the keeper and of the commands that it ran",
    ),
    "multinet_keeper_resident_memory_bytes": ("gauge", "memory of the keeper"),
    "multinet_host_up": ("gauge", "1 where nothing of the host itself deviates"),
    "multinet_network_up": ("gauge", "1 where nothing of the network deviates on this host"),
    "multinet_deviations": ("gauge", "what deviates from what was deployed; network is empty for"
                            " the host's own"),
    "multinet_repairs_total": ("counter", "repairs that the keeper made"),
    "multinet_repair_failures_total": ("counter", "repairs that failed: the journal says why"),
    "multinet_data_store_up": ("gauge", "1 where the leases can be read and renewed: no alarm"),
    "multinet_leases": ("gauge", "leases of the network in the data store, all hosts together"),
    "multinet_lease_end_timestamp_seconds": (
        "gauge",
        "when this host's lease in etcd ends, unless flanneld renews it, as it does an hour before",
    ),
    "multinet_token_end_timestamp_seconds": (
        "gauge",
        "when this host's token for the Kubernetes API ends, which is renewed after half of its"
        " life",
    ),
    "multinet_addresses_used": ("gauge", "addresses of this host's subnet that pods have"),
    "multinet_addresses_free": ("gauge", "addresses of this host's subnet that no pod has"),
    "multinet_guard_state": (
        "gauge",
        "how the guard holds its table: owned (nobody else can change it), watched, stopped (it"
        " does not run), or missing; unreadable: nft cannot say",
    ),
    "multinet_guard_restored_total": ("counter", "how often the guard put its table back"),
    "multinet_guard_dropped_packets_total": (
        "counter",
        "what the guard dropped; network is empty if it belongs to none",
    ),
}  # fmt: skip


class Sample(NamedTuple):
    """A value, of a family of FAMILIES."""

    name: str
    labels: dict[str, str]
    value: float


class Counts:
    """What a keeper has done since it started. Repairs are counted by network, "" the host's."""

    def __init__(self) -> None:
        self.looks = 0
        self.failures = 0
        self.seconds = 0.0  # that the last look took
        self.repairs: Counter[str] = Counter()
        self.failed_repairs: Counter[str] = Counter()


def of_keeper(counts: Counts, version: str, usage: tuple[float, int]) -> Iterator[Sample]:
    """Yield what is said of a keeper that runs. usage: see usage()."""
    yield from _who(1, version)
    yield Sample("multinet_looks_total", {}, counts.looks)
    yield Sample("multinet_look_failures_total", {}, counts.failures)
    yield Sample("multinet_look_duration_seconds", {}, round(counts.seconds, 4))
    yield Sample("multinet_keeper_cpu_seconds_total", {}, round(usage[0], 3))
    yield Sample("multinet_keeper_resident_memory_bytes", {}, usage[1])


def of_host(compared: compare.Compared, counts: Counts, now: float) -> Iterator[Sample]:
    """Yield what is said of a host. now: Unix time."""
    plan, seen, found = compared
    yield Sample("multinet_last_look_timestamp_seconds", {}, round(now, 3))
    wrong = Counter((one.network, one.kind) for one in found)
    for (name, kind), count in sorted(wrong.items()):
        yield Sample("multinet_deviations", {"network": name, "kind": kind}, count)
    yield Sample("multinet_host_up", {}, float(not any(not one.network for one in found)))
    alarms = (seen["etcd"] or {}).get("alarms")
    yield Sample("multinet_data_store_up", {}, float(not (seen["leases_wrong"] or alarms)))
    for name in ["", *(network["name"] for network in plan["networks"])]:
        yield Sample("multinet_repairs_total", {"network": name}, counts.repairs[name])
        yield Sample(
            "multinet_repair_failures_total", {"network": name}, counts.failed_repairs[name]
        )
    for program, held in sorted(seen["tokens"].items()):
        if held["end"] is not None:
            yield Sample("multinet_token_end_timestamp_seconds", {"program": program}, held["end"])
    for network in plan["networks"]:
        up = not any(one.network == network["name"] for one in found)
        yield Sample("multinet_network_up", {"network": network["name"]}, float(up))
        yield from _network(network["name"], seen, now)
    yield from _guard(plan, seen["guard"])


def of_stopped(version: str) -> Iterator[Sample]:
    """Yield what is said when the keeper has ended: nothing that is no longer looked at."""
    yield from _who(0, version)


def _who(up: int, version: str) -> Iterator[Sample]:
    yield Sample("multinet_keeper_up", {}, up)
    yield Sample("multinet_build_info", {"version": version}, 1)


def _network(name: str, seen: dict[str, Any], now: float) -> Iterator[Sample]:
    labels = {"network": name}
    leases = seen["leases"].get(name)
    if leases is not None:
        yield Sample("multinet_leases", labels, len(leases))
    if name in seen["lease_seconds"]:
        end = round(now + seen["lease_seconds"][name])
        yield Sample("multinet_lease_end_timestamp_seconds", labels, end)
    for subnet in subnet_file.gateways(seen["subnet_files"][name]):
        version = "6" if ":" in subnet else "4"
        used = seen["allocated"][name][version]
        of_family = {**labels, "family": f"ipv{version}"}
        yield Sample("multinet_addresses_used", of_family, used)
        yield Sample("multinet_addresses_free", of_family, max(networks.room(subnet) - used, 0))


def _guard(plan: dict[str, Any], guard: dict[str, Any]) -> Iterator[Sample]:
    state = "missing" if guard["devices"] is None else guard["held"] or "stopped"
    state = "unreadable" if guard.get("unreadable") else state
    for one in GUARD_STATES:
        yield Sample("multinet_guard_state", {"state": one}, float(one == state))
    yield Sample("multinet_guard_restored_total", {}, guard["restored"])
    names = {network["name"] for network in plan["networks"]}
    names.add((plan.get("external") or {}).get("name", ""))
    for comment, packets in sorted(guard["dropped"].items()):
        name, dummy, reason = comment.partition(": ")
        labels = (
            {"network": name, "reason": reason}
            if name in names
            else {"network": "", "reason": comment}
        )
        yield Sample("multinet_guard_dropped_packets_total", labels, packets)


def usage() -> tuple[float, int]:
    """Return (processor time of this process and of its children in seconds, memory in bytes)."""
    seconds = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        seconds += used.ru_utime + used.ru_stime
    return seconds, memory()


def exposition(samples: Iterable[Sample]) -> str:
    """Return samples in Prometheus' text format
    (https://prometheus.io/docs/instrumenting/exposition_formats/), the families as in FAMILIES.
    """
    lines: dict[str, list[str]] = {name: [] for name in FAMILIES}
    for name, labels, value in samples:
        pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in sorted(labels.items()))
        lines[name].append(f"{name}{'{' + pairs + '}' if pairs else ''} {value:.15g}\n")
    return "".join(
        f"# HELP {name} {text}\n# TYPE {name} {kind}\n{''.join(lines[name])}"
        for name, (kind, text) in FAMILIES.items()
        if lines[name]
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
