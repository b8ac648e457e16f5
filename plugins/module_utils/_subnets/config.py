# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of a subnet server: the file that filter planned_files makes."""

from __future__ import annotations

import ipaddress
import json
from typing import Any, NamedTuple

from .subnets import Cluster, Network

_NEEDED = ("node_name", "kubeconfig", "cluster_cidrs", "node_cidr_mask_sizes", "networks", "listen")


class ConfigError(Exception):
    """The configuration can't be used. The message is a sentence."""


class OnHost(NamedTuple):
    """What a network has on this host: the file in which flanneld writes its subnet, the bridge,
    and the directory of host-local's allocations.
    """

    subnet_file: str
    bridge: str
    ipam_dir: str


class Remote(NamedTuple):
    """Where flannel's own protocol is served beyond this host. All but the address are files."""

    address: str
    port: int
    certificate: str
    key: str
    client_ca: str


class Config(NamedTuple):
    """All that a server is told. kubeconfig: a file; networks, on_host: by name of the network;
    default_network: the one that the old protocol calls "_"; listen: address and port on loopback.
    """

    node_name: str
    kubeconfig: str
    cluster: Cluster
    networks: dict[str, Network]
    on_host: dict[str, OnHost]
    default_network: str | None
    listen: tuple[str, int]
    remote: Remote | None

    @property
    def known(self) -> frozenset[str]:
        """The annotations that are kept of a node."""
        return frozenset().union(*(network.known for network in self.networks.values()))


def load(path: str) -> Config:
    """Return the configuration in a file; raise ConfigError.

    Its JSON: node_name, kubeconfig, cluster_cidrs (list of str), node_cidr_mask_sizes (list of
    int), default_network (str or null), listen {address, port}, remote (null or as Remote), and
    networks: a list with name, annotation_prefix, cidr, subnet_len, ipv6_cidr, ipv6_subnet_len,
    flannel_config, subnet_file, bridge and ipam_dir.
    """
    try:
        with open(path, encoding="utf-8") as file:
            raw = json.load(file)
        for key in _NEEDED:
            if not raw[key]:
                raise ConfigError(f"The configuration {path} has nothing in {key!r}.")
        if not ipaddress.ip_address(raw["listen"]["address"]).is_loopback:
            raise ConfigError(
                f"The configuration {path} has the address {raw['listen']['address']} in `listen`,"
                " which allows only loopback; write the address in `remote`, with certificates."
            )
        return _config(raw)
    except OSError as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error.strerror}.") from None
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"The configuration {path} is not the configuration of a subnet server:"
            f" {type(error).__name__} {error}."
        ) from None


def _config(raw: dict[str, Any]) -> Config:
    remote = raw.get("remote")
    return Config(
        node_name=raw["node_name"],
        kubeconfig=raw["kubeconfig"],
        cluster=Cluster(raw["cluster_cidrs"], raw["node_cidr_mask_sizes"]),
        networks={network["name"]: Network(network) for network in raw["networks"]},
        on_host={
            network["name"]: OnHost(*(network[key] for key in OnHost._fields))
            for network in raw["networks"]
        },
        default_network=raw.get("default_network"),
        listen=(raw["listen"]["address"], raw["listen"]["port"]),
        remote=Remote(*(remote[key] for key in Remote._fields)) if remote else None,
    )
