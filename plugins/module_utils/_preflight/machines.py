# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only all hosts of a run together show: one machine under two names, data that a run or a
reset would take from hosts that still need it. Pure; runs on the controller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .._node import listeners
from .._ports import ETCD_CLIENT, ETCD_PEER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    # by inventory name: what identity.look() returns, and `listeners` at the ports of etcd
    Hosts = Mapping[str, Mapping[str, Any]]

ETCD_UNIT = "multinet-etcd.service"


class Inventory(NamedTuple):
    """What the inventory has. Names are inventory names, in its order."""

    nodes: Sequence[str]
    members: Sequence[str] = ()  # of an etcd of ours; () for another data store
    running: Sequence[str] = ()  # the hosts of this run, also those that did not answer
    pki_dir: str = ""  # on the controller; "" where no certificates are made
    has_ca: bool = True  # whether the CA's certificate and key are in it
    addresses: Mapping[str, str] | None = None  # where each member is to listen
    going: Sequence[str] | None = None  # of a reset: those it has come to; null for `running`


def problems(hosts: Hosts, inventory: Inventory) -> list[str]:
    """Return why site must not go on, as sentences; hosts: those that answered."""
    return [
        *_two_names(hosts, inventory),
        *_member_elsewhere(hosts, inventory),
        *_moved(hosts, inventory),
        *_lost_ca(hosts, inventory),
        *_taken_ports(hosts, inventory),
    ]


def first_names(hosts: Hosts, inventory: Inventory) -> dict[str, str]:
    """Return {name: the name that stands for its machine}: a node's before others."""
    order = sorted(hosts, key=lambda name: (name not in inventory.nodes, _place(name, inventory)))
    first: dict[str, str] = {}
    for name in order:
        first.setdefault(hosts[name]["machine"], name)
    return {name: first[hosts[name]["machine"]] for name in hosts}


def reset_problems(
    hosts: Hosts,
    inventory: Inventory,
    leases: Iterable[Mapping[str, str]] = (),
    prune: bool = False,
    refused: Sequence[str] = (),
) -> list[str]:
    """Return why the hosts of a run must not be reset, as sentences.

    leases: those of the data store ({subnet, public_ip, ...}) that none of these hosts holds;
    prune: whether hosts that the inventory does not have may lose what they have; refused: names of
    those that answered, but cannot be reset.
    """
    going = inventory.running if inventory.going is None else inventory.going
    staying = _without(inventory.nodes, going)
    found = []
    for name, host in hosts.items():
        for other in (host["member"], host["deployed_as"]):
            known = other in inventory.nodes or other in inventory.members
            if known and other not in inventory.running:
                found.append(
                    f"{name} and {other} are two names in the inventory for one machine, so a reset"
                    f" of {name} would also remove what {other} has. Reset both: --limit"
                    f" {name},{other}."
                )
                break
    if not inventory.members or _without(inventory.members, going):
        return found
    if staying:
        found.append(
            f"This reset would remove the etcd of {_and(inventory.members)} with all its data, but"
            f" the etcd still gives leases to {_and(staying)}. Reset all hosts at once (without"
            " --limit and serial), or put other hosts into multinet_etcd first, as"
            " roles/etcd/README.md says."
        )
        return found
    if refused and not prune:
        found.append(
            f"This reset would remove the etcd of {_and(inventory.members)} with all its data, but"
            f" {_and(refused)} could not be looked at, and may need it. Do what the message of"
            f" {_and(refused)} says, and run this again; or, if what is there may be lost, set"
            " multinet_prune to true."
        )
        return found
    silent = _without(going, hosts)
    others = sorted({lease["public_ip"] or lease["subnet"] for lease in leases})
    if len(others) > len(silent) and not prune:
        found.append(
            f"This reset would remove the etcd of {_and(inventory.members)} with all its data, but"
            f" it holds leases of hosts that are not in this run: {_and(others)}. Add these hosts"
            " to the inventory, or wait until their leases end (a day), or, if these hosts are"
            " gone, set multinet_prune to true."
        )
    return found


def _two_names(hosts: Hosts, inventory: Inventory) -> list[str]:
    machines: dict[str, list[str]] = {}
    for name in hosts:
        machines.setdefault(hosts[name]["machine"], []).append(name)
    return [
        _one_name(_kept(names, hosts, inventory), names)
        for names in machines.values()
        if len(names) > 1
    ]


def _member_elsewhere(hosts: Hosts, inventory: Inventory) -> list[str]:
    """A machine that holds the data of a member which the inventory has under another name."""
    found = []
    for name, host in hosts.items():
        member = host["member"]
        there = hosts.get(member, {})
        # the sentence about two names has one machine under both
        if (
            member not in inventory.members
            or member == name
            or there.get("machine") == host["machine"]
        ):
            continue
        if there.get("member") != name:
            found.append(
                f"{name} holds the data of the etcd member {member}, which is in multinet_etcd. If"
                f" both are one machine, write {member} wherever the inventory has {name}; if"
                f" {name} is a copy of it, remove /etc/multinet and /var/lib/multinet from {name}."
            )
        elif _place(name, inventory) < _place(member, inventory):  # once for both
            found.append(
                f"{name} and {member} hold each other's data of etcd members, so the inventory has"
                " their addresses the wrong way round. Exchange what it says of the two"
                " (ansible_host)."
            )
    return found


def _moved(hosts: Hosts, inventory: Inventory) -> list[str]:
    """All data is with former members: a new etcd would begin empty."""
    if not inventory.members or _without(inventory.members, hosts):
        return []
    if any(hosts[name]["member"] for name in inventory.members):
        return []
    former = [name for name, host in hosts.items() if host["member"]]
    return [
        f"The etcd data of the networks is on {_and(former)}, but multinet_etcd names"
        f" {_and(inventory.members)}, where a new etcd would begin without that data. Put one of"
        " the former members back into multinet_etcd, and add one more host so that the number of"
        " members stays odd. When the new members have joined, take these two out again. If you"
        " want to begin with an empty etcd instead, remove /var/lib/multinet/etcd from the former"
        " members."
        for dummy in former[:1]
    ]


def _lost_ca(hosts: Hosts, inventory: Inventory) -> list[str]:
    if not inventory.pki_dir or inventory.has_ca:
        return []
    return [
        f"{inventory.pki_dir} (multinet_pki_dir) has no CA, but the certificates of {_and(with_ca)}"
        " are from an earlier CA. With a new CA these hosts could not reach their etcd. Put the"
        " directory back where it was, or set multinet_pki_dir to where it is now. If you want to"
        " begin with a new CA instead, remove /etc/multinet/pki from all hosts."
        for with_ca in [[name for name, host in hosts.items() if host["ca"]]]
        if with_ca
    ]


def _taken_ports(hosts: Hosts, inventory: Inventory) -> list[str]:
    """Other programs at the ports of a member: etcd would not start, with all else changed."""
    found = []
    for name, address in (inventory.addresses or {}).items():
        theirs = [
            one for one in hosts.get(name, {}).get("listeners", ()) if one["unit"] != ETCD_UNIT
        ]
        taken = [
            *listeners.at(theirs, "tcp", ETCD_CLIENT, address, "127.0.0.1"),
            *listeners.at(theirs, "tcp", ETCD_PEER, address),
        ]
        ports = [str(port) for port in sorted({one["port"] for one in taken})]
        if ports:
            found.append(
                f"{name}: the etcd of the networks needs TCP port{'s' * (len(ports) > 1)}"
                f" {_and(ports)}, which"
                f" {listeners.shown(taken) or 'another program'} uses already. Put another host"
                f" into the group multinet_etcd in place of {name}, or stop that program. If it is"
                " an etcd that the networks may use, write its URL into multinet_etcd_endpoints."
            )
    return found


def _kept(names: Sequence[str], hosts: Hosts, inventory: Inventory) -> str:
    """Return the name that costs nothing to keep: the one that etcd knows."""
    for name in names:
        if hosts[name]["member"] in names:
            return str(hosts[name]["member"])
    return min(names, key=lambda name: (name not in inventory.members, _place(name, inventory)))


def _one_name(kept: str, names: Iterable[str]) -> str:
    others = [name for name in names if name != kept]
    return (
        f"{_and([kept, *others])} are one machine, so the run would undo under one name what it did"
        f" under another. Give the machine one name: write {kept} wherever the inventory has"
        f" {_or(others)} (if Kubernetes has another name for it, write that one into"
        " multinet_node_name)."
    )


def _place(name: str, inventory: Inventory) -> int:
    order = [*inventory.running, *inventory.nodes, *inventory.members]
    return order.index(name) if name in order else len(order)


def _without(names: Iterable[str], others: Collection[str]) -> list[str]:
    return [name for name in names if name not in others]


def _and(names: Sequence[str]) -> str:
    return _listed(names, "and")


def _or(names: Sequence[str]) -> str:
    return _listed(names, "or")


def _listed(names: Sequence[str], word: str) -> str:
    return f" {word} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
