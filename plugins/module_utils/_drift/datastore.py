# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the data store says of this host's networks, asked as their flanneld ask: with the settings
and the certificate that they run with.

Reads only. Runs on hosts.
"""

from __future__ import annotations

import http
import http.client
import json
import os
import time
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._etcd import client as etcd
from .._etcd import network_config
from .._node import subnet_file
from .._plan.secrets import masked

SECONDS = 3.0  # for an answer

_ends: dict[int, float] = {}  # lease -> when it ends, by time.monotonic()


def read(
    plan: dict[str, Any],
    environments: Mapping[str, Mapping[str, str]],
    subnet_files: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    """Return what observe.look() says of the data store: {"leases": {network: list of
    network_config.lease() or None}, "unreadable": {network: {key of a lease: why no flanneld can
    follow it}}, "configs": {network: what network_config.config() returns, or None},
    "lease_seconds": {network: how long this host's lease in etcd lasts unless it is renewed},
    "etcd": etcd's status() or None, "leases_problem": a sentence or "", "leases_wrong": bool}.

    environments: {network: what its flanneld runs with}, {} to ask nobody; subnet_files: {network:
    what it wrote}.
    """
    names = [network["name"] for network in plan["networks"]]
    found: dict[str, Any] = {
        "leases": dict.fromkeys(names),
        "unreadable": {},
        "configs": dict.fromkeys(names),
        "lease_seconds": {},
        "etcd": None,
        "leases_problem": "",
        "leases_wrong": False,
    }
    if not environments:
        return dict(found, leases_problem="The data store was not asked.")
    together: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    servers = set()
    try:
        for network in plan["networks"]:
            environment = environments[network["name"]]
            if plan["datastore"] == "kubernetes" and environment.get("FLANNELD_KUBE_API_URL"):
                url = environment["FLANNELD_KUBE_API_URL"]
                _from_subnet_server(found, url, network["name"])
                servers.add(urllib.parse.urlsplit(url).netloc)
            elif environment.get("FLANNELD_ETCD_ENDPOINTS"):
                parent = os.path.dirname(network["etcd_prefix"])
                together.setdefault((*_settings(environment), parent), []).append(network)
            else:
                found["leases_problem"] = "No flanneld of it is set up on this host."
        for settings, networks in together.items():
            _from_etcd(found, settings, networks, subnet_files)
        for server in servers:
            status, body = _ask_subnet_server(server, "/apiz")  # what it knows may be old
            if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
                raise _RefusedError(body)
    except (etcd.EtcdError, _RefusedError) as error:
        found.update(leases_problem=str(error), leases_wrong=True)
    except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException) as error:
        problem = f"The subnet server does not answer ({error})."
        found.update(leases_problem=problem, leases_wrong=True)
    return found


def silent(environments: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return {host of an endpoint of etcd that does not answer: why, a sentence}; {} for the only
    one. environments: what flanneld run with.

    read() goes on to the next endpoint, as flanneld does, so nothing else shows it.
    """
    found: dict[str, str] = {}
    for endpoints, ca, certificate, key in sorted(set(map(_settings, environments))):
        urls = endpoints.split(",") if "," in endpoints else []
        for url in urls:
            try:
                etcd.Client([url], ca or None, certificate or None, key or None, SECONDS).status()
            except etcd.EtcdError as error:
                found[etcd.parse_endpoint(url).host] = str(error)
    return found


def _settings(environment: Mapping[str, str]) -> tuple[str, ...]:
    keys = ("ENDPOINTS", "CAFILE", "CERTFILE", "KEYFILE")
    return tuple(environment.get(f"FLANNELD_ETCD_{key}", "") for key in keys)


def _from_etcd(
    found: dict[str, Any],
    settings: tuple[str, ...],
    networks: Sequence[dict[str, Any]],
    subnet_files: Mapping[str, Mapping[str, str]],
) -> None:
    """Ask for all networks at once that have an etcd in common, and the path of their keys."""
    endpoints, ca, certificate, key, parent = settings
    client = etcd.Client(
        endpoints.split(","), ca or None, certificate or None, key or None, SECONDS
    )
    alone = len(networks) == 1
    stored = client.prefix((networks[0]["etcd_prefix"] if alone else parent) + "/")
    for network in networks:
        name, prefix = network["name"], network["etcd_prefix"]
        _put(found, name, network_config.stored_leases(stored, prefix))
        found["configs"][name] = masked(network_config.config(stored, prefix))
        mine = {str(subnet) for subnet in subnet_file.subnets(subnet_files[name])}
        for lease in found["leases"][name]:
            if lease["id"] and mine & {lease["subnet"], lease["ipv6_subnet"]}:
                found["lease_seconds"][name] = _seconds(client, lease["id"])
    if found["etcd"] is None:
        found["etcd"] = client.status()


def _seconds(client: etcd.Client, lease: int) -> int:
    """Return how long a lease lasts. flanneld renews by a new one, so each is asked for once."""
    now = time.monotonic()
    if lease not in _ends:
        _ends[lease] = now + client.lease_seconds(lease)
    return int(_ends[lease] - now)


class _RefusedError(Exception):
    """What a subnet server says, a sentence."""


def _ask_subnet_server(netloc: str, path: str) -> tuple[int, str]:
    """Return HTTP's status and the text of the answer."""
    parts = urllib.parse.urlsplit(f"//{netloc}")
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace").strip()
    finally:
        connection.close()


def _from_subnet_server(found: dict[str, Any], url: str, name: str) -> None:
    status, body = _ask_subnet_server(urllib.parse.urlsplit(url).netloc, f"/v1/{name}/leases")
    if status != http.HTTPStatus.OK:
        raise _RefusedError(body[:500])
    listed = []
    for one in json.loads(body)["snapshot"]:
        lease = network_config.lease(one["Subnet"], one.get("IPv6Subnet") or "", one["Attrs"])
        listed.append((lease["subnet"], lease, one["Attrs"]))
    _put(found, name, listed)


def _put(
    found: dict[str, Any], name: str, listed: Iterable[tuple[str, dict[str, Any], Any]]
) -> None:
    """Put a network's leases into what read() returns. listed: as for network_config.readable()."""
    leases, wrong = network_config.readable(listed)
    found["leases"][name] = leases
    if wrong:
        found["unreadable"][name] = wrong
