# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts of a site a reset has come to, what goes from etcd with them, and what a user reads:
what would go or what stays, of a host and of the whole site. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple


class Host(NamedTuple):
    """What the modules said of one host."""

    confirmed: bool  # that the reset is wanted; otherwise it was only looked at
    removed: Sequence[str]  # by node_removal
    changed_files: Sequence[str]  # by runtime_wiring
    drains: bool  # whether pods are moved to other nodes first
    drain_changes: Sequence[str]  # by kubernetes_drain
    pods: Sequence[str]  # that lose their networks


class Site(NamedTuple):
    """What the modules said of what hosts share."""

    confirmed: bool  # as of a host
    changes: Sequence[str]  # at the Kubernetes API
    whole_cluster: bool  # whether what the networks have at the API goes, too
    failed: Sequence[str]  # names of the hosts that were not reset to the end
    keys: Mapping[str, Any]  # what flannel_network_config returned, {} where it was not asked
    last_nodes: bool  # whether no node stays
    takes_all: bool  # whether the leases of other hosts go, too


class Run(NamedTuple):
    """A run that resets hosts, in a play that may have them in turns (serial). Inventory names."""

    hosts: Sequence[str]  # of the play, also those that failed or could not be reached
    alive: Collection[str]  # those of them that this turn has not lost
    batch: Collection[str]  # of these, those of this turn
    confirmed: bool  # as of a host


def turn(
    run: Run, looks: Callable[[str], Any], ends: Callable[[str], Any], names: Mapping[str, str]
) -> dict[str, list[str]]:
    """Return {came: the hosts of the run that have or had their turn; failed: those of them that
    were not reset to the end}.

    looks, ends: host -> what the first and the last module said of it, or null. names: name -> the
    name that stands for its machine, of the hosts that were looked at.
    """
    # what others said is asked for where there are others
    rest = [host for host in run.hosts if host not in run.batch]
    done = {host for host in rest if _is_reset(ends(host), run.confirmed)} | set(run.batch)
    done |= {host for host in rest if names.get(host) in done}
    later = {host for host in rest if host in run.alive and host not in done and not looks(host)}
    return {
        "came": [host for host in run.hosts if host not in later],
        "failed": [host for host in rest if host not in done and host not in later],
    }


def _is_reset(end: Any, confirmed: bool) -> bool:
    """Whether a host was reset to the end; one that was only looked at counts for such a run."""
    if not end or end.get("failed") or end.get("unreachable"):
        return False
    return not (confirmed and end.get("skipped"))


def etcd(looks: Mapping[str, Any], *, members_go: bool) -> dict[str, Any]:
    """Return {networks: those of the hosts, leaving: which leases are theirs, ask: the host that
    can say what is in etcd, "" for none, endpoints, tls: how its daemons reach etcd, [] and None
    where it does not know}.

    looks: {host of this turn: what node_removal said of it, or null}. members_go: whether all
    members of etcd go with this run; then they can be asked, too, for hosts that the inventory
    lacks may have networks.
    """
    seen = {host: look for host, look in looks.items() if look}
    with_networks = [host for host, look in seen.items() if look.get("networks")]
    members = [host for host, look in seen.items() if (look.get("host") or {}).get("member")]
    can_say = with_networks or (members if members_go else [])
    ask = next((host for host in can_say if seen[host]["etcd"]["endpoints"]), "")
    ask = ask or next(iter(can_say), "")
    networks: dict[str, Any] = {}
    for host in with_networks:
        for network in seen[host]["networks"]:
            networks.setdefault(network["etcd_prefix"], network)
    return {
        "networks": list(networks.values()),
        "leaving": [seen[host]["leases"] for host in with_networks],
        "ask": ask,
        "endpoints": seen[ask]["etcd"]["endpoints"] if ask else [],
        "tls": seen[ask]["etcd"]["tls"] if ask else None,
    }


def of_host(host: Host) -> list[str]:
    """Return what there is to say about a host, a line each."""
    lines: list[str] = []
    if not host.confirmed:
        if host.drain_changes:
            first = ", ".join(host.drain_changes)
            lines.append(f"Before anything is removed from this host: {first}.")
        would = [f"what was changed in {path}" for path in host.changed_files]
        lines += _would_lose([*would, *host.removed])
    if host.pods:
        lines.append(_pods(host))
    return lines


def _would_lose(what: Sequence[str]) -> list[str]:
    if not what:
        return ["Nothing of the collection is on this host."]
    return [
        "Nothing was removed. With multinet_reset_confirmed=true this host would lose:",
        *_listed(what),
    ]


def _pods(host: Host) -> str:
    if host.confirmed:
        run, then = "run", "Delete them, so that new ones start: "
    elif host.drains:
        run, then = "would run", "Restart them afterwards: "
    else:
        run = "would run"
        then = "Drain the node first (reset_drain=true does this), and restart them afterwards: "
    return (
        f"These pods {run} on without their networks, but stay Ready. {then}{', '.join(host.pods)}"
    )


def of_site(site: Site) -> list[str]:
    """Return what there is to say about what hosts share, a line each."""
    networks = site.keys.get("networks") or []
    keys = [key for network in networks for key in network["keys"]]
    others = [lease["public_ip"] for network in networks for lease in network["others"]]
    problem = "" if site.keys.get("skipped") else site.keys.get("msg", "")
    lines: list[str] = []
    if site.changes and not site.confirmed:
        lines += ["The cluster would see:", *_listed(site.changes)]
    if site.whole_cluster and site.failed:
        lines.append(
            f"The networks' objects at the Kubernetes API stay, because {', '.join(site.failed)}"
            " could not be reset. Run this again."
        )
    if keys and not site.confirmed:
        lines += ["etcd would lose:", *_listed(keys)]
    if problem and not site.confirmed:
        lines.append(f"It is not known which keys are in etcd. {problem}")
    if others and site.last_nodes and not site.takes_all:
        lines.append(
            "The configurations stay in etcd, because other hosts have leases:"
            f" {', '.join(dict.fromkeys(others))}. If these hosts are gone for good,"
            " multinet_prune=true removes everything."
        )
    return lines


def _listed(what: Sequence[str]) -> list[str]:
    return [f"- {one}" for one in what]
