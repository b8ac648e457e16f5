# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks' keys in etcd: what is there against what is declared. Pure, but for write().

Standard library alone, for it runs on a host that reaches etcd.

Layout (flannel, pkg/subnet/etcd/registry.go): <prefix>/config is the network's configuration as
JSON, <prefix>/subnets/10.1.5.0-24 the lease of one host, JSON too: {"PublicIP": "192.0.2.7",
"BackendType": "vxlan", ...}.
"""

from __future__ import annotations

import functools
import ipaddress
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .._ranges import is_within
from .client import Client, EtcdError, KeyValue

# A flanneld that runs keeps the subnet it has; with another of these its neighbours would look for
# it elsewhere.
_RANGE_KEYS = (
    "Network",
    "SubnetLen",
    "SubnetMin",
    "SubnetMax",
    "IPv6Network",
    "IPv6SubnetLen",
    "IPv6SubnetMin",
    "IPv6SubnetMax",
)


class NetworkConfigError(Exception):
    """The keys can't be brought to what is declared; .errors is the list of sentences."""

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = list(errors)
        super().__init__(" ".join(self.errors))


# Comparisons, and operations, in one transaction; etcd takes 128 of each (its --max-txn-ops)
MOST = 100


class Transaction(NamedTuple):
    """What is written at once, if every comparison holds, for Client.txn; names: of the networks
    that it brings to what is declared.
    """

    names: list[str]
    compares: list[Any]
    operations: list[Any]


class Leaving(NamedTuple):
    """The hosts that leave, and what goes with them."""

    # of each host: what node_removal returns as leases, {network: {subnets, public, mac}}
    hosts: Sequence[Mapping[str, Mapping[str, Any]]]
    # whether configurations go, too, where no other host has a lease
    last: bool = False
    # whether other hosts' leases go then as well
    prune: bool = False


def config_key(prefix: str) -> str:
    """The key of a network's configuration."""
    return prefix + "/config"


def leases_prefix(prefix: str) -> str:
    """What the keys of a network's leases start with."""
    return prefix + "/subnets/"


def networks_of(keys: Iterable[str], below: str) -> list[dict[str, Any]]:
    """Return the networks that have keys below a prefix, as far as decide() wants to know them of
    networks that go.
    """
    parts = (key[len(below) + 1 :].split("/") for key in keys)
    names = {part[0] for part in parts if part[0] and part[1:2] in (["config"], ["subnets"])}
    return [{"name": name, "etcd_prefix": f"{below}/{name}"} for name in sorted(names)]


def check(networks: Sequence[Mapping[str, Any]]) -> None:
    """Raise NetworkConfigError unless the networks have name, etcd_prefix and flannel_config as
    plan() makes them (more keys don't matter).
    """
    errors: list[str] = []
    seen: dict[str, int] = {}
    for number, network in enumerate(networks):
        place = f"networks[{number}]"
        for key, kind, wish in (
            ("name", str, "a name"),
            ("etcd_prefix", str, "a path such as /coreos.com/network/blue"),
            ("flannel_config", dict, "a dict"),
        ):
            if not isinstance(network.get(key), kind) or not network[key]:
                errors.append(
                    f"{place}.{key} is {network.get(key)!r}; it must be {wish}, as the module"
                    " network_plan returns it."
                )
        prefix = network.get("etcd_prefix")
        if isinstance(prefix, str) and prefix:
            if not prefix.startswith("/") or prefix.endswith("/"):
                errors.append(
                    f"{place}.etcd_prefix is {prefix!r}; it must begin with a slash and not end in"
                    " one."
                )
            if prefix in seen:
                errors.append(
                    f"{place}.etcd_prefix is {prefix}, which networks[{seen[prefix]}] already has;"
                    " give each network its own."
                )
            seen.setdefault(prefix, number)
    if errors:
        raise NetworkConfigError(errors)


def config(stored: Iterable[KeyValue], prefix: str) -> Any:
    """Return a network's configuration: a dict, {} without one; a str when it is no JSON object."""
    item = next((item for item in stored if item.key == config_key(prefix)), None)
    return {} if item is None else _config(item)


def leases(stored: Iterable[KeyValue], prefix: str) -> list[dict[str, Any]]:
    """Return the leases under a network's prefix, see lease(), sorted by subnet."""
    return [one for dummy, one, attributes in stored_leases(stored, prefix)]


def stored_leases(stored: Iterable[KeyValue], prefix: str) -> list[tuple[str, dict[str, Any], Any]]:
    """Return (key, lease(), its attributes) of each lease under a network's prefix, sorted by
    subnet.
    """
    found = []
    start = leases_prefix(prefix)
    for item in stored:
        if item.key.startswith(start):  # of many networks' keys, most are not this one's
            # dual stack: 10.1.5.0-24&2001:db8:1::-64
            subnet, dummy, ipv6_subnet = item.key[len(start) :].partition("&")
            attributes = _json(item.value)
            one = lease(_range(subnet), _range(ipv6_subnet), attributes, item.lease)
            found.append((item.key, one, attributes))
    return sorted(found, key=lambda one: one[1]["subnet"])


def readable(
    listed: Iterable[tuple[str, dict[str, Any], Any]],
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the leases that a flanneld can follow, and {name: why} of the others.

    listed: (what names it, lease(), its attributes) of each.
    """
    found, wrong = [], {}
    for name, one, attributes in listed:
        why = flaw(one, attributes)
        if why:
            wrong[name] = why
        else:
            found.append(one)
    return found, wrong


def flaw(lease: Mapping[str, Any], attributes: Any) -> str:
    """Return why no flanneld can follow a lease, "" where one can. attributes: as for lease().

    Without an address, or with less than its backend needs, it still is one: its host is about to
    write it.
    """
    if not _is_subnet(lease["subnet"], 4):
        return "its key names no IPv4 subnet"
    if lease["ipv6_subnet"] and not _is_subnet(lease["ipv6_subnet"], 6):
        return "what its key has after the & is no IPv6 subnet"
    if not isinstance(attributes, dict):
        return "its value is no JSON object"
    for key, version in (("PublicIP", 4), ("PublicIPv6", 6)):
        text = attributes.get(key) or ""
        if text and not (isinstance(text, str) and _is_address(text, version)):
            return f"its {key} is no IPv{version} address"
    if not isinstance(attributes.get("BackendType") or "", str):
        return "its BackendType is no text"
    return ""


@functools.lru_cache(maxsize=65536)  # the keeper reads the same ones every half minute
def _is_subnet(text: str, version: int) -> bool:
    """Whether a text is a subnet, with its length, of an IP version; all addresses are none."""
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        return False
    length = text.rpartition("/")[2]
    return found.version == version and length == str(found.prefixlen) != "0"


@functools.lru_cache(maxsize=65536)
def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def _range(text: str) -> str:
    return "/".join(text.rsplit("-", 1))


def lease(subnet: str, ipv6_subnet: str, attributes: Any, lease_id: int = 0) -> dict[str, Any]:
    """Return {subnet, ipv6_subnet, public_ip, public_ipv6, backend_type, mac, mac_v6, key, key_v6,
    id} of a lease.

    attributes: flannel's LeaseAttrs; what can't be read there is an empty string, and it still is
    a lease. mac, mac_v6: of the host's VXLAN devices; key, key_v6: WireGuard's public keys; id:
    of etcd's own lease that the key ends with, 0 without one.
    """
    attributes = attributes if isinstance(attributes, dict) else {}
    data, data_v6 = (
        one if isinstance(one, dict) else {}
        for one in (attributes.get("BackendData"), attributes.get("BackendV6Data"))
    )
    found = {
        "public_ip": attributes.get("PublicIP"),
        "public_ipv6": attributes.get("PublicIPv6"),
        "backend_type": attributes.get("BackendType"),
        "mac": data.get("VtepMAC"),
        "mac_v6": data_v6.get("VtepMAC"),
        "key": data.get("PublicKey"),
        "key_v6": data_v6.get("PublicKey"),
    }
    texts = {key: str(value or "") for key, value in found.items()}
    return {"subnet": subnet, "ipv6_subnet": ipv6_subnet, **texts, "id": lease_id}


def decide(
    networks: Sequence[Mapping[str, Any]],
    stored: Mapping[str, Sequence[KeyValue]],
    state: str = "present",
    allow_range_change: bool = False,
    leaving: Leaving | None = None,
) -> list[dict[str, Any]]:
    """Compare the declared networks with the stored keys.

    networks: as check() wants them; stored: {network name: what is under its prefix}; state:
    present or absent. leaving: then absent takes these hosts' leases, and with the last of them the
    configuration.

    Returns [{name, prefix, action, before, after, leases, others, keys, compares, operations}] in
    the order of networks. action is created, updated, removed, released or unchanged; before and
    after are the configuration (a dict; a str when what is stored is no JSON object; None: no key);
    leases are those found, with leaving those that go; others those that no leaving host holds;
    keys are those that go; compares and operations are for Client.txn. Raises NetworkConfigError
    when a range would change under leases.
    """
    errors: list[str] = []
    decisions = []
    for network in networks:
        prefix = network["etcd_prefix"]
        found = stored.get(network["name"], [])
        current = next((item for item in found if item.key == config_key(prefix)), None)
        decision: dict[str, Any] = {
            "name": network["name"],
            "prefix": prefix,
            "action": "unchanged",
            "before": _config(current),
            "after": network["flannel_config"] if state == "present" else None,
            "leases": leases(found, prefix),
            "others": [],
            "keys": [],
            "compares": [],
            "operations": [],
        }
        if state == "absent" and leaving is not None:
            _release(decision, found, leaving)
        elif state == "absent":
            _remove(decision, found)
        elif decision["before"] != decision["after"]:
            _write(decision, current, allow_range_change, errors)
        decisions.append(decision)
    if errors:
        raise NetworkConfigError(errors)
    return decisions


def transactions(decisions: Sequence[Mapping[str, Any]]) -> list[Transaction]:
    """Return what is to be written, in as few transactions as etcd takes, leases that go first.

    A network is written whole, but for leases of hosts that leave, which may be many. decisions: of
    decide().
    """
    made: list[Transaction] = []
    for decision in decisions:
        compares, operations = decision["compares"], decision["operations"]
        if decision["action"] == "released":
            for begin in range(0, len(operations), MOST):
                part = slice(begin, begin + MOST)
                made.append(Transaction([decision["name"]], compares[part], operations[part]))
    rest = [one for one in decisions if one["action"] != "released" and one["operations"]]
    room = 0
    for decision in rest:
        size = max(len(decision["compares"]), len(decision["operations"]))
        if size > room:
            made.append(Transaction([], [], []))
            room = MOST
        made[-1].names.append(decision["name"])
        made[-1].compares.extend(decision["compares"])
        made[-1].operations.extend(decision["operations"])
        room -= size
    return made


def write(client: Client, due: Sequence[Transaction]) -> None:
    """Write them, one after the other; raise EtcdError, which says how far it came.

    What is written stays: another run finds it as declared, and writes the rest.
    """
    every = {name for one in due for name in one.names}
    for number, one in enumerate(due):
        left = {name for other in due[number:] for name in other.names}
        far = f"{len(every - left)} of {len(every)} networks were written and the others left"
        try:
            done = client.txn(one.compares, one.operations)
        except EtcdError as error:
            if not number:
                raise
            raise EtcdError(f"{error} {far[0].upper()}{far[1:]}. Run again.") from error
        if not done:
            raise EtcdError(
                "The networks' keys in etcd changed while they were compared with the declaration,"
                f" so {far if number else 'nothing was written'}. Run again."
            )


# flannel's own (pkg/subnet/etcd/local_manager.go: subnetTTL); a flanneld that starts renews it
LEASE_SECONDS = 24 * 3600


def due_leases(
    wanted: Sequence[Mapping[str, Any]], stored: Iterable[KeyValue]
) -> list[tuple[str, str]]:
    """Return (key, value) of leases that are to be written, for hosts that have had their subnets
    from elsewhere: flanneld takes the one that has its address.

    wanted: [{prefix, subnet, ipv6_subnet, attributes: flannel's LeaseAttrs}]; stored: all keys of
    these networks. Raises NetworkConfigError where a subnet or a host has another lease.
    """
    errors, due = [], []
    items = list(stored)
    for one in wanted:
        subnets = [text.replace("/", "-") for text in (one["subnet"], one["ipv6_subnet"]) if text]
        key = leases_prefix(one["prefix"]) + "&".join(subnets)
        address = one["attributes"]["PublicIP"]
        there = leases(items, one["prefix"])
        holder = next((lease for lease in there if lease["subnet"] == one["subnet"]), None)
        if holder and holder["public_ip"] == address:
            continue
        other = holder or next((lease for lease in there if lease["public_ip"] == address), None)
        if other:
            errors.append(
                f"{address} has the subnet {one['subnet']}, but below {one['prefix']} in etcd"
                f" {other['public_ip']} has {other['subnet']}. Delete that key if nobody uses it,"
                " or take this host's network over under another name."
            )
        else:
            value = json.dumps(one["attributes"])
            due.append((key, value))
            items.append(KeyValue(key, value, 0))
    if errors:
        raise NetworkConfigError(errors)
    return due


def write_leases(client: Client, due: Sequence[tuple[str, str]]) -> None:
    """Write leases of due_leases(), which end after a day; raise EtcdError."""
    if due:
        granted = str(client.lease_grant(LEASE_SECONDS))
        for key, value in due:
            # one that is there by now is its flanneld's own
            client.txn([("revision", key, 0)], [("put", key, value, granted)])


def _release(decision: dict[str, Any], found: Sequence[KeyValue], leaving: Leaving) -> None:
    """Take the leases of hosts that leave. Others keep theirs, also one that has a leaving host's
    subnet by now, and with it the configuration.
    """
    start = leases_prefix(decision["prefix"])
    held = [host[decision["name"]] for host in leaving.hosts if decision["name"] in host]
    going = [
        item
        for item in found
        for lease in leases([item], decision["prefix"])
        if any(_is_held(lease, one) for one in held)
    ]
    others = [item for item in found if item.key.startswith(start) and item not in going]
    decision["others"] = leases(others, decision["prefix"])
    if leaving.last and (leaving.prune or not others):
        _remove(decision, found)
        return
    decision["after"] = decision["before"]
    decision["leases"] = leases(going, decision["prefix"])
    decision["keys"] = [item.key for item in going]
    decision["compares"] = [("revision", item.key, item.mod_revision) for item in going]
    decision["operations"] = [("delete", item.key) for item in going]
    if going:
        decision["action"] = "released"


def _is_held(lease: Mapping[str, Any], held: Mapping[str, Any]) -> bool:
    """Whether a lease is a host's: its subnet, and besides that its address or the MAC of its
    tunnel device, for behind a NAT the address is not the host's. Where the host no longer knows
    its subnet, flanneld itself would go by the address alone (pkg/subnet/etcd/local_manager.go).
    """
    is_its_address = lease["public_ip"] in held["public"]
    if not held["subnets"]:
        return is_its_address
    is_its_device = bool(lease["mac"]) and lease["mac"] == held["mac"]
    return lease["subnet"] in held["subnets"] and (is_its_address or is_its_device)


def _remove(decision: dict[str, Any], found: Sequence[KeyValue]) -> None:
    if decision["before"] is None and not decision["leases"]:
        return
    start, config = leases_prefix(decision["prefix"]), config_key(decision["prefix"])
    decision["action"] = "removed"
    decision["after"] = None
    decision["keys"] = [
        item.key for item in found if item.key == config or item.key.startswith(start)
    ]
    decision["operations"] = [("delete", config), ("delete_prefix", start)]


def _write(
    decision: dict[str, Any], current: KeyValue | None, allow_range_change: bool, errors: list[str]
) -> None:
    key = config_key(decision["prefix"])
    decision["action"] = "created" if current is None else "updated"
    decision["compares"] = [("revision", key, 0 if current is None else current.mod_revision)]
    decision["operations"] = [("put", key, json.dumps(decision["after"], sort_keys=True))]
    changed = _range_changes(decision["before"], decision["after"], decision["leases"])
    if not changed or allow_range_change:
        return
    if decision["leases"]:
        errors.append(
            f"Network {decision['name']}: its range would change ({'; '.join(changed)}) under the"
            f" leases of {', '.join(_holder(lease) for lease in decision['leases'])}. Detach its"
            " pods and remove the network first, or set allow_range_change"
            " (multinet_allow_range_change) to true: then pods keep addresses without a route until"
            " they are attached again. If these hosts are another cluster's, give this one a"
            " multinet_etcd_prefix of its own."
        )
    # A host may take its lease between our look and our write.
    decision["compares"].append(("empty", leases_prefix(decision["prefix"])))


def _holder(lease: Mapping[str, str]) -> str:
    host = lease["public_ip"] or lease["public_ipv6"] or "a host that isn't named"
    return f"{host} ({lease['subnet']})"


def _range_changes(
    before: Any, after: Mapping[str, Any], held: Iterable[Mapping[str, str]]
) -> list[str]:
    """Return what differs in the range as ["Network 10.1.0.0/16 -> 10.2.0.0/16", ...]; without a
    readable configuration the leases held say what it was.
    """
    after = _with_defaults(after)
    if not isinstance(before, dict):
        return [
            f"there was no configuration, and they don't fit {after.get('Network', 'it')}"
            for lease in held
            if not _fits(lease, after)
        ][:1]
    before = _with_defaults(before)
    return [
        f"{key} {before.get(key, 'none')} -> {after.get(key, 'none')}"
        for key in _RANGE_KEYS
        if before.get(key) != after.get(key)
    ]


def _fits(lease: Mapping[str, str], config: Mapping[str, Any]) -> bool:
    try:
        subnet = ipaddress.ip_network(lease["subnet"])
        network = ipaddress.ip_network(config["Network"], strict=False)
        return subnet.prefixlen == config.get("SubnetLen") and is_within(subnet, network)
    except (KeyError, ValueError):
        return False


def _with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return config with SubnetLen as flannel takes it when it isn't said
    (Documentation/configuration.md): 24, or two more than a network longer than /22.
    """
    config = {key: value for key, value in config.items() if value not in (None, "")}
    try:
        length = ipaddress.ip_network(str(config.get("Network")), strict=False).prefixlen
    except ValueError:
        return config
    if not config.get("SubnetLen"):
        config["SubnetLen"] = length + 2 if length > 22 else 24
    return config


def _config(item: KeyValue | None) -> Any:
    if item is None:
        return None
    value = _json(item.value)
    return value if isinstance(value, dict) else item.value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
