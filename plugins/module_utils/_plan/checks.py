# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check a declaration whole: every mistake at once, each as a sentence that names the network, the
key, the value and what to write instead.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
from collections.abc import Iterable
from typing import Any

from .errors import PlanError
from .ranges import RangeError, free_range, parse_network, parse_range, usable_subnets
from .render import default_healthz_port
from .schema import (
    ATTACH,
    BACKENDS,
    BACKENDS_REFUSED,
    CNI_VERSIONS,
    DATASTORES,
    DELEGATE_REFUSED,
    ETCD_PORTS,
    EXTERNAL,
    EXTERNAL_KEYS,
    IN_PROCESS,
    IPSEC_PSK_MIN,
    IPV6_MIN_MTU,
    MAX_CLUSTER_BITS,
    MAX_INTERFACE,
    MAX_NAME,
    NETWORK_KEYS,
    NODE_CIDR_MASK_SIZES,
    OPTION_DEFAULTS,
    OWN_CONF,
    Key,
)

_NAME = re.compile("[a-z]([a-z0-9-]*[a-z0-9])?")
_INTERFACE = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]*")
_CONF_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.(conflist|conf|json)")
_WIREGUARD_KEY = re.compile("[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=")  # 32 bytes in base64
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "i386": "386", "i686": "386", "armv7l": "arm"}
# The length of a node's subnet when none is given, the longest one, and the smallest network
# (flannel, pkg/subnet/config.go).
_SUBNET_LEN = {4: (24, 30, 28), 6: (64, 126, 124)}


def show(value: Any) -> str:
    """A value as the user would write it, short enough for a sentence.

    What a list or mapping holds is not shown: it may be a secret.
    """
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        text = repr(str(value))
    elif value is None or isinstance(value, bool):
        text = {None: "null", True: "true", False: "false"}[value]
    elif isinstance(value, int) and value.bit_length() > 128:
        text = f"a number of {value.bit_length()} bits"  # some Pythons refuse to write it out
    else:
        text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def is_int(value: Any) -> bool:
    """True for a whole number; YAML's booleans are not numbers."""
    return isinstance(value, int) and not isinstance(value, bool)


def closest(word: Any, known: Iterable[str]) -> str | None:
    """Return the known word that a wrong one is probably meant to be, or None."""
    plain = {_letters(item): item for item in known}
    found = difflib.get_close_matches(_letters(word), plain, n=1) if isinstance(word, str) else []
    return plain[found[0]] if found else None


def nearest(word: Any, known: Iterable[str], otherwise: str = ", or remove it") -> str:
    """Remedy for an unknown word: the nearest known one, or all of them and what else can be done."""
    known = list(known)
    found = closest(word, known)
    if found:
        return f"write {found}"
    return (
        f"write one of {', '.join(known)}{otherwise}"
        if known
        else "remove it, for there are none here"
    )


def _letters(word: str) -> str:
    """The word without case and punctuation: DirectRouting and direct_routing are the same."""
    return re.sub("[^a-z0-9]", "", word.lower())


class _Report:
    """Collects sentences about one place, such as "network 'blue'"."""

    def __init__(self, place: str, errors: list[str]):
        self.place = place
        self._errors = errors

    def wrong(self, what: str, *arguments: Any) -> None:
        """Add the sentence '<place>: <what>.'"""
        self._errors.append(f"{self.place}: {what.format(*arguments)}.")


def check(
    networks: Any, options: Any
) -> tuple[list[dict[str, Any]], dict[str, Any] | None, dict[str, Any]]:
    """Return (networks, external, options) with every default filled in and ranges in their usual
    form. Raises PlanError with all that is wrong.

    external: the entry of the CNI that is on the nodes already (`name`, `cidr`, `ipv6_cidr`,
    `conf`, `interface`, and `file`, the path of its configuration or the directory to look for it
    in), or null.
    """
    errors: list[str] = []
    settings, ranges = _check_options(options, errors)
    checked, externals = [], []
    if not isinstance(networks, list):
        errors.append(
            f"multinet_networks: {show(networks)} is not a list; write a list of networks, each"
            " with name, cidr and backend."
        )
    elif not networks:
        errors.append(
            "multinet_networks: the list is empty; write at least one network with default: true."
        )
    else:
        names = [item.get("name") if isinstance(item, dict) else None for item in networks]
        for position, item in enumerate(networks, 1):
            report = _Report(_place(position, names), errors)
            if not isinstance(item, dict):
                report.wrong("{0} is not a mapping; write name, cidr and backend", show(item))
            elif item.get("default") == EXTERNAL:
                externals.append((report, _check_external(item, report, settings)))
            else:
                checked.append((report, _check_network(item, report, settings)))
        _check_together(checked, externals, names, ranges, errors)
    if errors:
        raise PlanError(errors)
    return (
        [network for report, network in checked],
        externals[0][1] if externals else None,
        settings,
    )


def _place(position: int, names: list[Any]) -> str:
    """What a sentence calls the network: its name, and its position where the name does not tell."""
    name = names[position - 1]
    if not isinstance(name, str) or not name:
        return f"network number {position}"
    return f"network {show(name)}" + (f" (number {position})" if names.count(name) > 1 else "")


# Options


def _check_options(options: Any, errors: list[str]) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """Return the options with defaults, and the ranges that networks must not touch as (what they
    are, range).
    """
    report = _Report("options", errors)
    settings = dict(OPTION_DEFAULTS)
    if options is not None and not isinstance(options, dict):
        report.wrong("{0} is not a mapping; write a mapping of options, or nothing", show(options))
        options = None
    for key, value in (options or {}).items():
        if key not in OPTION_DEFAULTS:
            report.wrong("{0} is not an option; {1}", show(key), nearest(key, OPTION_DEFAULTS))
        elif value is not None:
            settings[key] = value

    ranges = []
    for key in ("underlay_cidrs", "service_cidrs", "forbidden_cidrs"):
        if not isinstance(settings[key], list):
            report.wrong("{0} is {1}, not a list; write a list of ranges", key, show(settings[key]))
            continue
        for value in settings[key]:
            try:
                ranges.append((key, parse_range(value, strict=False)))
            except RangeError as error:
                report.wrong("{0}: {1} {2}", key, show(value), error)

    names = settings["architectures"]
    if names is not None and not isinstance(names, list):
        report.wrong(
            "architectures is {0}; write a list of names such as amd64 and arm64", show(names)
        )
        names = None
    for name in names or []:
        if not isinstance(name, str):
            report.wrong("architectures holds {0}; write names such as amd64 and arm64", show(name))
        elif name in _MACHINES:
            report.wrong(
                "architectures holds {0}, which is the kernel's name; write {1}, the name that"
                " releases use",
                show(name),
                _MACHINES[name],
            )
    settings["architectures"] = [name for name in names or [] if isinstance(name, str)]

    prefix = settings["etcd_prefix"]
    if not (isinstance(prefix, str) and re.fullmatch("(/[A-Za-z0-9._-]+)+", prefix)):
        report.wrong(
            "etcd_prefix is {0}; write a path such as {1}",
            show(prefix),
            OPTION_DEFAULTS["etcd_prefix"],
        )
    for key in ("cni_version", "conf_cni_version"):
        if settings[key] not in CNI_VERSIONS:
            report.wrong(
                "{0} is {1}; write one of {2}", key, show(settings[key]), ", ".join(CNI_VERSIONS)
            )
    if not isinstance(settings["meta_plugin"], str) or not re.fullmatch(
        "[A-Za-z0-9_-][A-Za-z0-9_.-]*", settings["meta_plugin"]
    ):
        report.wrong(
            "meta_plugin is {0}; write the file name of the meta-plugin, for example multinet",
            show(settings["meta_plugin"]),
        )
    plugins = settings["in_process"]
    if not isinstance(plugins, list) or not all(
        isinstance(one, str) and one in IN_PROCESS for one in plugins
    ):
        report.wrong(
            "in_process is {0}; write a list with any of {1}", show(plugins), ", ".join(IN_PROCESS)
        )
        settings["in_process"] = []
    count = settings["node_count"]
    if count is not None and not (is_int(count) and count >= 0):
        report.wrong("node_count is {0}; write how many nodes there are, or null", show(count))
        settings["node_count"] = None
    if not (
        isinstance(settings["cni_conf_dir"], str)
        and re.fullmatch("(/[A-Za-z0-9._-]+)+", settings["cni_conf_dir"])
    ):
        report.wrong(
            "cni_conf_dir is {0}; write the path of a directory, such as {1}",
            show(settings["cni_conf_dir"]),
            OPTION_DEFAULTS["cni_conf_dir"],
        )
    _check_datastore(settings, report)
    return settings, ranges + [
        ("cluster_cidrs", ipaddress.ip_network(cidr)) for cidr in settings["cluster_cidrs"]
    ]


def _check_datastore(settings: dict[str, Any], report: _Report) -> None:
    """datastore, kubernetes, cluster_cidrs and node_cidr_mask_sizes.

    What is wrong with the ranges leaves both lists empty.
    """
    if settings["datastore"] not in DATASTORES:
        report.wrong(
            "datastore is {0}; write one of {1}", show(settings["datastore"]), ", ".join(DATASTORES)
        )
        settings["datastore"] = OPTION_DEFAULTS["datastore"]
    in_kubernetes = settings["datastore"] == "kubernetes"
    if settings["kubernetes"] is None:
        settings["kubernetes"] = in_kubernetes
    elif not isinstance(settings["kubernetes"], bool):
        report.wrong("kubernetes is {0}; write true or false", show(settings["kubernetes"]))
    elif in_kubernetes and not settings["kubernetes"]:
        report.wrong(
            "kubernetes is false, but datastore is 'kubernetes'; write true, or leave it out"
        )

    cidrs, sizes = settings["cluster_cidrs"], settings["node_cidr_mask_sizes"]
    settings["cluster_cidrs"] = settings["node_cidr_mask_sizes"] = []
    if in_kubernetes and cidrs == []:
        report.wrong(
            "cluster_cidrs is empty, and with datastore 'kubernetes' every subnet follows from a"
            " node's own; write what the controller manager has as --cluster-cidr, for example"
            " ['10.244.0.0/16']"
        )
    cluster = _check_cluster(cidrs, sizes, report)
    if cluster:
        settings["cluster_cidrs"], settings["node_cidr_mask_sizes"] = (
            [str(cidr) for cidr, size in cluster],
            [size for cidr, size in cluster],
        )


def _check_cluster(cidrs: Any, sizes: Any, report: _Report) -> list[tuple[Any, int]]:
    """Return Kubernetes' ranges as (range, length of a node's subnet); none when any is wrong."""
    if not isinstance(cidrs, list):
        report.wrong("cluster_cidrs is {0}, not a list; write a list of ranges", show(cidrs))
        return []
    if not isinstance(sizes, list):
        report.wrong(
            "node_cidr_mask_sizes is {0}; write a list with a prefix length for each range of"
            " cluster_cidrs",
            show(sizes),
        )
        return []
    ranges = []
    for value in cidrs:
        try:
            ranges.append(parse_range(value))
        except RangeError as error:
            report.wrong("cluster_cidrs: {0} {1}", show(value), error)
    if len(ranges) < len(cidrs):
        return []
    if len({one.version for one in ranges}) < len(ranges):
        report.wrong(
            "cluster_cidrs holds {0}; write one range, or one of IPv4 and one of IPv6",
            " and ".join(str(one) for one in ranges),
        )
        return []
    if sizes and len(sizes) != len(ranges):
        report.wrong(
            "node_cidr_mask_sizes holds {0} lengths, and cluster_cidrs {1} ranges; write one for"
            " each, in the same order",
            len(sizes),
            len(ranges),
        )
        return []
    sizes = sizes or [NODE_CIDR_MASK_SIZES[one.version] for one in ranges]
    for one, size in zip(ranges, sizes):
        longest = min(one.prefixlen + MAX_CLUSTER_BITS, one.max_prefixlen - 2)
        if not is_int(size) or not one.prefixlen <= size <= longest:
            report.wrong(
                "node_cidr_mask_sizes holds {0} for {1}; write the length of a node's subnet, a"
                " number from {2} to {3}",
                show(size),
                one,
                one.prefixlen,
                longest,
            )
            return []
    return list(zip(ranges, sizes))


def _cluster(settings: dict[str, Any]) -> dict[Any, int]:
    """Kubernetes' ranges, when leases come from there, and the length of a node's subnet in each."""
    pairs = (
        zip(settings["cluster_cidrs"], settings["node_cidr_mask_sizes"])
        if settings["datastore"] == "kubernetes"
        else ()
    )
    return {ipaddress.ip_network(cidr): size for cidr, size in pairs}


# The network of another CNI


def _check_external(
    item: dict[Any, Any], report: _Report, settings: dict[str, Any]
) -> dict[str, Any]:
    """Return what check() documents as `external`.

    A value that is wrong is reported and becomes null.
    """
    for key in item:
        if key in EXTERNAL_KEYS:
            continue
        if key in NETWORK_KEYS:
            report.wrong(
                "{0} cannot be set for a network of another CNI; remove it, or write default: true"
                " for a network of this collection",
                key,
            )
        else:
            report.wrong(
                "{0} is not a key of an external network; {1}",
                show(key),
                nearest(key, EXTERNAL_KEYS),
            )
    ranges = {
        key: _check_cidr(item, key, version, report)
        for key, version in (("cidr", 4), ("ipv6_cidr", 6))
    }
    conf = item.get("conf")
    if conf == OWN_CONF:
        report.wrong(
            "conf is {0}, the file that this collection writes itself; write the name of the other"
            " CNI's, for example 10-calico.conflist",
            show(conf),
        )
        conf = None
    elif conf is not None and not (isinstance(conf, str) and _CONF_FILE.fullmatch(conf)):
        report.wrong(
            "conf is {0}; write the name of a file in {1} that ends in .conflist, .conf or .json,"
            " without the directory",
            show(conf),
            settings["cni_conf_dir"],
        )
        conf = None
    return {
        "name": _check_name(item, report),
        "cidr": ranges["cidr"] and str(ranges["cidr"]),
        "ipv6_cidr": ranges["ipv6_cidr"] and str(ranges["ipv6_cidr"]),
        "conf": conf,
        "interface": "eth0",
        "file": f"{settings['cni_conf_dir']}/{conf}" if conf else settings["cni_conf_dir"],
    }


# One network


def _check_network(
    item: dict[Any, Any], report: _Report, settings: dict[str, Any]
) -> dict[str, Any]:
    """Return the network with its defaults, in the order the plan shows.

    A value that is wrong is reported and becomes null.
    """
    for key in item:
        if key not in NETWORK_KEYS:
            report.wrong(
                "{0} is not a key of a network; {1}", show(key), nearest(key, NETWORK_KEYS)
            )
    name = _check_name(item, report)
    default = _boolean(item, "default", False, report)
    network: dict[str, Any] = {
        "name": name,
        "default": default,
        "attach": _check_attach(item, default, report),
    }
    network.update(_check_ranges(item, report, settings))
    network["backend"] = _check_backend(item, network, report, settings)
    network["masquerade"] = _boolean(item, "masquerade", default, report)
    network["isolate"] = _boolean(item, "isolate", True, report)
    network["allow_to"] = _check_allow_to(item, report)
    network["delegate"] = _check_delegate(item, report)
    network["interface"] = _check_interface(item, default, report)
    network["healthz_port"] = _check_healthz_port(item, name, report)
    return network


def _boolean(item: dict[Any, Any], key: str, default: bool | None, report: _Report) -> bool | None:
    value = item.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        report.wrong("{0} is {1}; write true or false", key, show(value))
        return None
    return value


def _check_name(item: dict[Any, Any], report: _Report) -> str | None:
    name = item.get("name")
    if name is None:
        report.wrong("name is missing; write one such as blue")
    elif not isinstance(name, str):
        report.wrong(
            "name is {0}, not a string; write a name in lower case, in quotes if YAML takes it for"
            " something else",
            show(name),
        )
    elif not _NAME.fullmatch(name):
        report.wrong(
            "name {0} is not a name for networks; write lower-case letters, digits and hyphens, a"
            " letter first and no hyphen last",
            show(name),
        )
    elif len(name) > MAX_NAME:
        report.wrong(
            "name {0} has {1} characters; write at most {2}, for the bridge mn-<name> must fit into"
            " Linux's 15",
            show(name),
            len(name),
            MAX_NAME,
        )
    elif name == "config" or name.startswith("subnets"):
        report.wrong(
            "name {0} is a key of flannel's own in etcd, and a network of that name would be mixed"
            " up with it; write another name",
            show(name),
        )
    else:
        return str(name)
    return None


def _check_attach(item: dict[Any, Any], default: bool | None, report: _Report) -> str | None:
    attach = item.get("attach")
    if attach is None:
        return "all" if default else "request"
    if not isinstance(attach, str) or attach not in ATTACH:
        report.wrong(
            "attach is {0}; write all (every pod) or request (pods that ask for it)", show(attach)
        )
        return None
    if default and attach != "all":
        report.wrong(
            "attach is {0}, but every pod has the default network; write attach: all, or leave"
            " it out",
            show(attach),
        )
    return str(attach)


def _check_ranges(
    item: dict[Any, Any], report: _Report, settings: dict[str, Any]
) -> dict[str, Any]:
    """Return cidr, ipv6_cidr, subnet_len, ipv6_subnet_len, subnet_min and subnet_max."""
    cidr = _check_cidr(item, "cidr", 4, report)
    ipv6_cidr = _check_cidr(item, "ipv6_cidr", 6, report)
    if item.get("cidr") is None:
        report.wrong(
            "cidr is missing; write the IPv4 range of the network, for example cidr: 10.1.0.0/16"
        )
    if item.get("ipv6_cidr") is None and item.get("ipv6_subnet_len") is not None:
        report.wrong(
            "ipv6_subnet_len is {0}, but there is no ipv6_cidr; write one, or remove"
            " ipv6_subnet_len",
            show(item["ipv6_subnet_len"]),
        )
    cluster = _cluster(settings)
    subnet_len = _check_subnet_len(item, "cidr", "subnet_len", cidr, cluster, report)
    ipv6_subnet_len = _check_subnet_len(
        item, "ipv6_cidr", "ipv6_subnet_len", ipv6_cidr, cluster, report
    )

    first = _check_subnet_bound(item, "subnet_min", cidr, subnet_len, report)
    last = _check_subnet_bound(item, "subnet_max", cidr, subnet_len, report)
    if first is not None and last is not None and first > last:
        report.wrong(
            "subnet_min {0} is above subnet_max {1}; write the lower address as subnet_min",
            show(str(first)),
            show(str(last)),
        )
        first = last = None
    if settings["datastore"] == "kubernetes":
        for key in ("subnet_min", "subnet_max"):
            if item.get(key) is not None:
                report.wrong(
                    "{0} is {1}, but with datastore 'kubernetes' a node's subnet follows from its"
                    " own in the cluster; remove it",
                    key,
                    show(item[key]),
                )
        first = last = None
        _check_room_of_cluster(cidr, subnet_len, "cidr", "subnet_len", cluster, report)
        _check_room_of_cluster(
            ipv6_cidr, ipv6_subnet_len, "ipv6_cidr", "ipv6_subnet_len", cluster, report
        )
    else:
        _check_room(
            cidr, subnet_len, first, last, "cidr", "subnet_len", settings["node_count"], report
        )
        _check_room(
            ipv6_cidr,
            ipv6_subnet_len,
            None,
            None,
            "ipv6_cidr",
            "ipv6_subnet_len",
            settings["node_count"],
            report,
        )
    return {
        "cidr": cidr and str(cidr),
        "ipv6_cidr": ipv6_cidr and str(ipv6_cidr),
        "subnet_len": subnet_len,
        "ipv6_subnet_len": ipv6_subnet_len,
        "subnet_min": first and str(first),
        "subnet_max": last and str(last),
    }


def _check_cidr(item: dict[Any, Any], key: str, version: int, report: _Report) -> Any:
    if item.get(key) is None:
        return None
    try:
        return parse_network(item[key], version)
    except RangeError as error:
        report.wrong("{0} {1} {2}", key, show(item[key]), error)
        return None


def _check_subnet_len(
    item: dict[Any, Any],
    cidr_key: str,
    key: str,
    cidr: Any,
    cluster: dict[Any, int],
    report: _Report,
) -> int | None:
    """The length of a node's subnet, by flannel's own rule: four subnets at least, and four
    addresses in each.

    cluster: see _cluster(); a network with the range of Kubernetes' own has its subnets.
    """
    value = item.get(key)
    if value is not None and not is_int(value):
        report.wrong("{0} is {1}; write a whole number, without quotes", key, show(value))
        return None
    if cidr is None:
        return None
    usual, longest, smallest = _SUBNET_LEN[cidr.version]
    if cidr.prefixlen > smallest:
        report.wrong(
            "{0} {1} is too small for flannel; write a /{2} or larger",
            cidr_key,
            show(str(cidr)),
            smallest,
        )
        return None
    shortest = cidr.prefixlen + 2
    if value is None:
        return max(cluster.get(cidr, usual), shortest)
    if value != cluster.get(cidr, value):
        report.wrong(
            "{0} is {1}, but {2} {3} is Kubernetes' own range, of which it gives every node a /{4};"
            " write {4}, or leave it out",
            key,
            show(value),
            cidr_key,
            cidr,
            cluster[cidr],
        )
        return None
    if not shortest <= value <= longest:
        report.wrong(
            "{0} is {1}; write a number from {2} to {3}, for {4} {5} must hold four subnets and"
            " each of them a few addresses",
            key,
            show(value),
            shortest,
            longest,
            cidr_key,
            cidr,
        )
        return None
    return int(value)


def _check_subnet_bound(
    item: dict[Any, Any], key: str, cidr: Any, subnet_len: int | None, report: _Report
) -> Any:
    value = item.get(key)
    if value is None:
        return None
    try:
        address = ipaddress.IPv4Address(value if isinstance(value, str) else "")
    except ValueError:
        report.wrong(
            "{0} is {1}; write the first address of a node's subnet, without a prefix length",
            key,
            show(value),
        )
        return None
    if cidr is None or subnet_len is None:
        return None
    if address not in cidr:
        report.wrong(
            "{0} {1} is not in cidr {2}; write the first address of one of its /{3} subnets",
            key,
            show(value),
            cidr,
            subnet_len,
        )
        return None
    base = ipaddress.IPv4Network((address, subnet_len), strict=False).network_address
    if base != address:
        report.wrong(
            "{0} {1} does not begin a /{2} subnet; write {3}",
            key,
            show(value),
            subnet_len,
            show(str(base)),
        )
        return None
    return address


def _check_room(
    cidr: Any,
    subnet_len: int | None,
    first: Any,
    last: Any,
    cidr_key: str,
    len_key: str,
    node_count: int | None,
    report: _Report,
) -> None:
    if cidr is None or subnet_len is None:
        return
    room = usable_subnets(cidr, subnet_len, first, last)
    if room < 1:
        report.wrong(
            "{0} {1} has no subnet for a node between {2} and {3}; write them further apart",
            cidr_key,
            cidr,
            f"subnet_min {first}" if first else "its second subnet",
            f"subnet_max {last}" if last else "its last",
        )
    elif node_count is not None and room < node_count:
        report.wrong(
            "{0} {1} with {2} {3}{4} has subnets for {5} nodes, and there are {6}; write a larger"
            " {0}, or a larger {2}{7}",
            cidr_key,
            cidr,
            len_key,
            subnet_len,
            " between subnet_min and subnet_max" if first or last else "",
            room,
            show(node_count),
            ", or set the two further apart" if first or last else "",
        )


def _check_room_of_cluster(
    cidr: Any,
    subnet_len: int | None,
    cidr_key: str,
    len_key: str,
    cluster: dict[Any, int],
    report: _Report,
) -> None:
    """A subnet for every node that the cluster can have: node number i of Kubernetes' range gets
    subnet number i of the network's.
    """
    if cidr is None or subnet_len is None or not cluster:
        return
    base = next((one for one in cluster if one.version == cidr.version), next(iter(cluster)))
    bits = cluster[base] - base.prefixlen
    if subnet_len - cidr.prefixlen >= bits:
        return
    longest = _SUBNET_LEN[cidr.version][1]
    remedies = [f"a {cidr_key} of /{subnet_len - bits}"] if subnet_len >= bits + 8 else []
    if cidr.prefixlen + bits <= longest:
        remedies.append(f"{len_key}: {cidr.prefixlen + bits}")
    report.wrong(
        "{0} {1} with {2} {3} has subnets for {4} nodes, and Kubernetes' range {5} has {6} (each a"
        " /{7}); write {8}",
        cidr_key,
        cidr,
        len_key,
        subnet_len,
        1 << (subnet_len - cidr.prefixlen),
        base,
        1 << bits,
        cluster[base],
        " or ".join(remedies) or f"a larger {cidr_key} and a larger {len_key}",
    )


# flannel takes 50 bytes off for a tunnel over IPv6 too, which needs 70: an Ethernet's 1500 less the
# 20 that it forgets.
VXLAN_IPV6_MTU = 1480


def _check_backend(
    item: dict[Any, Any], network: dict[str, Any], report: _Report, settings: dict[str, Any]
) -> dict[str, Any] | None:
    backend = item.get("backend")
    if backend is None:
        report.wrong("backend is missing; write for example backend: {{type: vxlan, vni: 1}}")
        return None
    if not isinstance(backend, dict):
        report.wrong(
            "backend is {0}, not a mapping; write for example backend: {{type: vxlan, vni: 1}}",
            show(backend),
        )
        return None
    kind_name = backend.get("type")
    if not isinstance(kind_name, str) or kind_name not in BACKENDS:
        if kind_name is None:
            report.wrong("backend.type is missing; write one of {0}", ", ".join(BACKENDS))
        elif isinstance(kind_name, str) and kind_name in BACKENDS_REFUSED:
            report.wrong(
                "backend.type is {0}, which {1}; write one of {2}",
                show(kind_name),
                BACKENDS_REFUSED[kind_name],
                ", ".join(BACKENDS),
            )
        else:
            report.wrong(
                "backend.type is {0}, which is no backend; {1}",
                show(kind_name),
                nearest(kind_name, BACKENDS, otherwise=""),
            )
        return None
    kind = BACKENDS[kind_name]
    checked = {"type": str(kind_name)}
    for name in backend:
        if name != "type" and name not in kind.keys:
            ours = [
                key
                for key in kind.keys
                if isinstance(name, str) and _letters(kind.keys[key].flannel) == _letters(name)
            ]  # flannel's own spelling
            report.wrong(
                "backend.{0} is not a key of the {1} backend; {2}",
                name,
                kind_name,
                f"write {ours[0]}" if ours else nearest(name, kind.keys),
            )
    for name, key in kind.keys.items():
        checked[name] = _check_backend_value(name, key, backend.get(name), report)

    if kind_name == "udp" and not (
        settings["architectures"] and set(settings["architectures"]) == {"amd64"}
    ):
        known = settings["architectures"]
        report.wrong(
            "backend.type is 'udp', which flannel has on amd64 alone, and the nodes are {0}; write"
            " vxlan, which does the same on the same port",
            ", ".join(sorted(set(known))) if known else "of an architecture that is not known",
        )
    if kind_name == "ipsec" and checked["psk"] is not None and len(checked["psk"]) < IPSEC_PSK_MIN:
        report.wrong(
            "backend.psk has {0} characters; write at least {1}", len(checked["psk"]), IPSEC_PSK_MIN
        )
    if (
        kind_name == "wireguard"
        and checked["psk"] is not None
        and not _WIREGUARD_KEY.fullmatch(checked["psk"])
    ):
        report.wrong(
            "backend.psk is no WireGuard key; write one made by wg genpsk, 44 characters of base64"
        )
    if network["ipv6_cidr"] and not kind.ipv6:
        report.wrong(
            "ipv6_cidr is {0}, but the {1} backend carries IPv4 alone; remove it, or write backend"
            " type vxlan",
            show(network["ipv6_cidr"]),
            kind_name,
        )
    if kind_name == "vxlan" and network["ipv6_cidr"] and checked["mtu"] is None:
        checked["mtu"] = VXLAN_IPV6_MTU
    if (
        network["ipv6_cidr"]
        and checked.get("mtu")
        and checked["mtu"] - kind.overhead < IPV6_MIN_MTU
    ):
        report.wrong(
            "backend.mtu {0} leaves {1} bytes in the tunnel, and IPv6 needs {2}; write {3} or more",
            checked["mtu"],
            checked["mtu"] - kind.overhead,
            IPV6_MIN_MTU,
            IPV6_MIN_MTU + kind.overhead,
        )
    return checked


def _check_backend_value(name: str, key: Key, value: Any, report: _Report) -> Any:
    """Return the value or its default. No sentence shows a secret."""
    if value is None:
        if key.required:
            report.wrong(
                "backend.{0} is missing; write {1}",
                name,
                f"a number of its own from {key.low} to {key.high}" if key.high else key.why,
            )
        return key.default
    if key.kind == "boolean":
        if not isinstance(value, bool):
            report.wrong("backend.{0} is {1}; write true or false", name, show(value))
            return None
    elif key.kind == "integer":
        if not is_int(value) or not key.low <= value <= key.high:
            report.wrong(
                "backend.{0} is {1}; write a whole number from {2} to {3} ({4})",
                name,
                show(value),
                key.low,
                key.high,
                key.why,
            )
            return None
    elif key.choices:
        if not isinstance(value, str) or value not in key.choices:
            report.wrong(
                "backend.{0} is {1}; write one of {2}", name, show(value), ", ".join(key.choices)
            )
            return None
    elif not isinstance(value, str) or not value:
        report.wrong("backend.{0} is not a string, or is empty; write a string", name)
        return None
    return value


def _check_allow_to(item: dict[Any, Any], report: _Report) -> list[str]:
    value = item.get("allow_to")
    if value is None:
        return []
    if not isinstance(value, list):
        report.wrong("allow_to is {0}; write a list of names of networks", show(value))
        return []
    for name in value:
        if not isinstance(name, str):
            report.wrong("allow_to holds {0}; write names of networks", show(name))
    return [str(name) for name in value if isinstance(name, str)]


def _check_delegate(item: dict[Any, Any], report: _Report) -> dict[str, Any]:
    value = item.get("delegate")
    if value is None:
        return {}
    if not isinstance(value, dict):
        report.wrong(
            "delegate is {0}, not a mapping; write keys of the bridge plugin, or leave it out",
            show(value),
        )
        return {}
    for key in value:
        if isinstance(key, str) and key in DELEGATE_REFUSED:
            report.wrong("delegate.{0} cannot be set: {1}", key, DELEGATE_REFUSED[key])
    if not _is_json(value):
        report.wrong(
            "delegate {0} holds something that cannot stand in a CNI configuration; write strings,"
            " numbers, booleans, lists and mappings",
            show(value),
        )
        return {}
    return _plain(value)


def _is_json(value: Any, depth: int = 0) -> bool:
    """True for what a CNI configuration can hold; deeper than 20 levels is taken for a mistake."""
    if isinstance(value, (dict, list)):
        items = list(value.values()) if isinstance(value, dict) else value
        return (
            depth < 20
            and all(isinstance(key, str) for key in value if isinstance(value, dict))
            and all(_is_json(item, depth + 1) for item in items)
        )
    return (
        value is None
        or isinstance(value, (str, bool, int))
        or (isinstance(value, float) and math.isfinite(value))
    )


def _plain(value: Any) -> Any:
    """A copy in plain lists and dicts: what Ansible hands over may be templated lazily."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _check_interface(item: dict[Any, Any], default: bool | None, report: _Report) -> str | None:
    value = item.get("interface")
    if value is None:
        return None
    if not isinstance(value, str) or not _INTERFACE.fullmatch(value) or len(value) > MAX_INTERFACE:
        report.wrong(
            "interface is {0}; write a device name of 1 to {1} letters, digits, dots, hyphens and"
            " underscores",
            show(value),
            MAX_INTERFACE,
        )
    elif value in ("lo", "all", "default"):
        report.wrong(
            "interface {0} has a meaning of its own in Linux; write another name, for example"
            " data0",
            show(value),
        )
    elif default and value != "eth0":
        report.wrong(
            "interface is {0}, but container runtimes look for the default network's addresses on"
            " eth0; leave interface out",
            show(value),
        )
    else:
        return str(value)
    return None


def _check_healthz_port(item: dict[Any, Any], name: str | None, report: _Report) -> int | None:
    value = item.get("healthz_port")
    if value is None:
        return default_healthz_port(name) if name else None
    if not is_int(value) or not 1024 <= value <= 65535:
        report.wrong(
            "healthz_port is {0}; write a whole number from 1024 to 65535 (a TCP port on"
            " 127.0.0.1)",
            show(value),
        )
    elif value in ETCD_PORTS:
        report.wrong("healthz_port {0} is etcd's own; write another, for example 20001", value)
    else:
        return int(value)
    return None


# All networks together


def _check_together(
    checked: list[tuple[_Report, dict[str, Any]]],
    externals: list[tuple[_Report, dict[str, Any]]],
    names: list[Any],
    ranges: list[tuple[str, Any]],
    errors: list[str],
) -> None:
    """What no network can know alone. Fills in the interface names that are not declared."""
    _check_unique(checked + externals, "name", "name", "write a name of its own for each network")
    _check_one_default(checked, externals, errors)
    _check_interfaces(checked, externals)
    distinct = [
        pair for pair in checked if names.count(pair[1]["name"]) == 1
    ]  # of equal names, the default ports are equal too
    _check_unique(
        distinct,
        "healthz_port",
        "healthz_port",
        "write healthz_port in one of the two, a free TCP port such as 20001",
    )
    others = [external["name"] for report, external in externals]
    for report, network in checked:
        known = [name for name in names if isinstance(name, str) and name not in others]
        for name in network["allow_to"]:
            if name == network["name"]:
                report.wrong(
                    "allow_to holds {0}, the network itself, which reaches itself anyway;"
                    " remove it",
                    show(name),
                )
            elif name in others:
                report.wrong(
                    "allow_to holds {0}, which every pod is on anyway; remove it", show(name)
                )
            elif name not in known:
                report.wrong(
                    "allow_to holds {0}, which is no network; {1}", show(name), nearest(name, known)
                )
    for key, version in (("cidr", 4), ("ipv6_cidr", 6)):
        foreign = [
            (report.place, ipaddress.ip_network(external[key]))
            for report, external in externals
            if external[key]
        ]
        _check_overlaps(checked, key, version, ranges + foreign)
    _check_backends_together(checked)


def _check_unique(
    checked: list[tuple[_Report, dict[str, Any]]], key: str, title: str, remedy: str
) -> None:
    owners: dict[Any, str] = {}
    for report, network in checked:
        value = network[key]
        if value is None:
            continue
        if value in owners:
            report.wrong(
                "{0} {1} is also that of {2}; {3}", title, show(value), owners[value], remedy
            )
        else:
            owners[value] = report.place


def _check_one_default(
    checked: list[tuple[_Report, dict[str, Any]]],
    externals: list[tuple[_Report, dict[str, Any]]],
    errors: list[str],
) -> None:
    defaults = [report.place for report, network in checked if network["default"]]
    others = [report.place for report, network in externals]
    if others and not checked:
        errors.append(
            f"multinet_networks: {others[0]} is that of another CNI, and there is no other; write"
            " at least one network of your own."
        )
    elif (
        not defaults
        and not others
        and not any(network["default"] is None for report, network in checked)
    ):
        errors.append(
            "multinet_networks: no network has default: true; write it in the one that gives pods"
            " their default route, or add an entry with default: external for a CNI that is there"
            " already."
        )
    elif len(defaults + others) > 1:
        said = (
            "default: true"
            if not others
            else "default: external"
            if not defaults
            else "default: true and default: external"
        )
        errors.append(
            f"multinet_networks: {' and '.join(defaults + others)} have {said}; leave it in one of"
            " them."
        )


def _check_interfaces(
    checked: list[tuple[_Report, dict[str, Any]]], externals: list[tuple[_Report, dict[str, Any]]]
) -> None:
    number = 0
    for report, network in checked:
        if not network["default"]:
            number += 1
        network["interface"] = network["interface"] or (
            "eth0" if network["default"] else f"net{number}"
        )
    if (
        sum(1 for report, network in checked if network["default"]) + len(externals) == 1
    ):  # otherwise several would be eth0, which is said already
        _check_unique(
            externals + checked,
            "interface",
            "interface",
            "write another interface for one of the two",
        )


def _check_overlaps(
    checked: list[tuple[_Report, dict[str, Any]]],
    key: str,
    version: int,
    ranges: list[tuple[str, Any]],
) -> None:
    """Each network against the ones before it and against the ranges of others, with a free range
    to write instead.

    The default network may have Kubernetes' own range: its subnets are then those that Kubernetes
    gives its nodes.
    """
    declared = [
        (report, ipaddress.ip_network(network[key]), network["default"])
        for report, network in checked
        if network[key]
    ]
    taken = [network for report, network, default in declared] + [other for option, other in ranges]
    for index, (report, network, default) in enumerate(declared):
        hits = [
            f"{other_report.place} ({other})"
            for other_report, other, dummy in declared[:index]
            if network.overlaps(other)
        ]
        hits += [
            f"{option} ({other})"
            for option, other in ranges
            if other.version == version
            and network.overlaps(other)
            and not (option == "cluster_cidrs" and default and network == other)
        ]
        if hits:
            free = free_range(network.prefixlen, taken, version)
            if free:
                taken.append(ipaddress.ip_network(free))
            report.wrong(
                "{0} {1} overlaps {2}; write a range that nothing else uses{3}",
                key,
                show(str(network)),
                " and ".join(hits),
                f", for example {free!r}" if free else "",
            )


def _check_backends_together(checked: list[tuple[_Report, dict[str, Any]]]) -> None:
    """VNIs, UDP ports, and backends of which a host can have only one."""
    vnis: dict[int, str] = {}
    ports: dict[int, tuple[str, dict[str, Any]]] = {}
    singles: dict[str, str] = {}
    used = {
        network["backend"]["vni"]
        for report, network in checked
        if network["backend"] and network["backend"].get("vni")
    }
    for report, network in checked:
        backend = network["backend"]
        if not backend:
            continue
        kind = BACKENDS[backend["type"]]
        if kind.single:
            if backend["type"] in singles:
                report.wrong(
                    "backend.type {0} is also that of {1}, and a host can have one such network:"
                    " {2}; write vxlan",
                    show(backend["type"]),
                    singles[backend["type"]],
                    kind.single,
                )
                continue  # its ports would be the same mistake again
            singles[backend["type"]] = report.place
        vni = backend.get("vni")
        if vni is not None:
            if vni in vnis:
                free = next(number for number in range(1, len(used) + 2) if number not in used)
                used.add(free)
                report.wrong(
                    "backend.vni {0} is also that of {1}; write another, for example {2}",
                    vni,
                    vnis[vni],
                    free,
                )
            vnis.setdefault(vni, report.place)
        ports_v6 = (
            ("port_v6",) if network["ipv6_cidr"] and backend.get("mode") == "separate" else ()
        )
        for key in kind.ports + ports_v6:
            port = backend[key]
            if port is None:
                continue
            if port in ports and not _ports_shared(backend, ports[port][1]):
                report.wrong(
                    "backend.{0} {1} is also that of {2}; write another{3}",
                    key,
                    port,
                    ports[port][0],
                    (
                        ", for networks with gbp and networks without cannot share one"
                        if ports[port][1]["type"] == backend["type"] == "vxlan"
                        else ""
                    ),
                )
            ports.setdefault(port, (report.place, backend))
        for port in kind.fixed_ports:
            if port in ports:
                report.wrong(
                    "the {0} backend needs UDP port {1}, which is also that of {2}; write another"
                    " port there",
                    backend["type"],
                    port,
                    ports[port][0],
                )
            ports.setdefault(port, (report.place, backend))


def _ports_shared(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """True for two vxlan networks of one kind: the kernel tells them apart by VNI."""
    return one["type"] == other["type"] == "vxlan" and one["gbp"] == other["gbp"]
