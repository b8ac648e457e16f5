# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts are etcd members, where they are reached, and which certificates they need: from the
inventory alone. Pure; runs on the controller.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .. import _underlay
from .._ports import ETCD_CLIENT, ETCD_PEER

# What facts.yml of the role multinet registers on the hosts that it asks
_ASKED = "__multinet_facts"
_DNS_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


class MembersError(Exception):
    """The inventory names no workable set of members; .errors is the list of sentences."""

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = list(errors)
        super().__init__(" ".join(self.errors))


def member_names(groups: Mapping[str, list[str]]) -> list[str]:
    """Return the inventory names of the members: group multinet_etcd or, when it is empty, the
    first node.

    groups: {group: [host, ...]}, as Ansible's variable of that name.
    """
    if groups.get("multinet_etcd"):
        return list(groups["multinet_etcd"])
    return list(groups.get("multinet_nodes") or groups.get("all") or [])[:1]


def members(
    groups: Mapping[str, list[str]],
    hostvars: Mapping[str, Any],
    tls: bool = True,
    recorded: Iterable[Mapping[str, str]] = (),
) -> list[dict[str, str]]:
    """Return the members as [{name, address, client_url, peer_url}], in the order of the inventory.

    groups, hostvars: Ansible's variables; tls: whether the URLs are https; recorded: the members of
    the last run, in the same form, for hosts that this run has not asked. Raises MembersError:
    no host, an even number, no address, nothing in common with recorded.
    """
    names = member_names(groups)
    errors = []
    if not names:
        errors.append(
            "There is no host to run etcd on. Put one or three hosts into the group multinet_etcd,"
            " or give multinet_etcd_endpoints."
        )
    elif len(names) % 2 == 0:
        errors.append(
            f"The group multinet_etcd has {len(names)} hosts ({', '.join(names)}); an even number"
            f" of members survives no more failures than one member fewer. Make it {len(names) - 1}"
            f" or {len(names) + 1}."
        )
    known = {member["name"]: member["address"] for member in recorded}
    if known and names and not set(known) & set(names):
        errors.append(
            f"etcd would move from {', '.join(sorted(known))} to {', '.join(names)}, but no host is"
            f" in both groups, so the networks' leases would be lost. Put {min(known)} back into"
            " multinet_etcd, and add one more host so that the number of members stays odd. When"
            " the new members have joined, take these two out again. If you want to begin with an"
            " empty etcd instead, remove members.json in multinet_pki_dir."
        )
    found = []
    for name in names:
        try:
            # Ansible's hostvars have no get() that could be relied on for an unknown host
            variables = hostvars[name] if name in hostvars else {}  # noqa: SIM401 - see above
            address = member_address(name, variables, known.get(name))
        except ValueError as error:
            errors.append(str(error))
            continue
        scheme = "https" if tls else "http"
        host = f"[{address}]" if ":" in address else address
        found.append(
            {
                "name": name,
                "address": address,
                "client_url": f"{scheme}://{host}:{ETCD_CLIENT}",
                "peer_url": f"{scheme}://{host}:{ETCD_PEER}",
            }
        )
    if errors:
        raise MembersError(errors)
    return found


def member_address(name: str, variables: Mapping[str, Any], recorded: str | None = None) -> str:
    """Return the address at which the others reach a host.

    variables: the host's hostvars. In this order: _underlay.node_address(), where this run has
    asked the host or the user says it; recorded; _underlay.node_address() of the facts in a cache;
    ansible_host and the host's name if they are addresses. Raises ValueError with a sentence.
    """
    # a cache may be older than the last run; of a host that did not answer, nothing else is known
    facts = variables.get(_ASKED) or {}
    answered = _ASKED in variables and not (facts.get("failed") or facts.get("unreachable"))
    asked = answered or not recorded or variables.get("multinet_node_address")
    present = _underlay.node_address(name, variables) if asked else recorded
    for address in (present, recorded, variables.get("ansible_host"), name):
        if address and _underlay.is_address(address):
            return str(address)
    if (variables.get("ansible_facts") or {}).get("interfaces"):
        raise ValueError(
            f"{name}: this host has no default route, so the address of this etcd member isn't"
            " known. Set multinet_underlay_interface to the interface that reaches the other hosts,"
            " or multinet_node_address."
        )
    raise ValueError(
        f"{name}: the address of this etcd member isn't known, because this run has not looked at"
        " it. Run without --limit and serial, or set multinet_node_address for it."
    )


def certificates(declared: Iterable[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Return the certificates that members() need beside the CA's: [{name, common_name,
    subject_alt_name}], the client's first.
    """
    wanted: list[dict[str, Any]] = [
        {"name": "client", "common_name": "multinet", "subject_alt_name": []}
    ]
    for member in declared:
        name, address = member["name"], ipaddress.ip_address(member["address"])
        names = [f"IP:{address}", "IP:127.0.0.1", "DNS:localhost"]
        if _DNS_NAME.fullmatch(name) and not _underlay.is_address(name):
            names.append("DNS:" + name)
        wanted.append(
            {"name": "server-" + name, "common_name": name[:64], "subject_alt_name": names}
        )
    return wanted
