# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils import _underlay

OWN = {"address": "10.77.0.5", "prefix": "24"}
VIRTUAL = {"address": "10.77.0.100", "prefix": "32"}
OWN6 = {"address": "fd00:77::5", "prefix": "64", "scope": "global"}
VIRTUAL6 = {"address": "fd00:77::100", "prefix": "128", "scope": "global"}
LINK6 = {"address": "fe80::1", "prefix": "64", "scope": "link"}


def facts(interface: str, *addresses: dict[str, str], **more: Any) -> dict[str, Any]:
    """As module setup has them: the first address of an interface, then its others."""
    fact: dict[str, Any] = {"device": interface, "ipv6": more.pop("ipv6", [])}
    if addresses:
        fact["ipv4"] = addresses[0]
        fact["ipv4_secondaries"] = list(addresses[1:])
    every = [address["address"] for address in addresses]
    return {
        interface.replace("-", "_"): fact,
        "interfaces": ["lo", interface],
        "all_ipv4_addresses": every,
        **more,
    }


@pytest.mark.parametrize("interface", ["eth0", "bond0.100", "br-ex", "br-lan.7"])
def test_finds_interfaces_by_any_name(interface: str) -> None:
    assert _underlay.interface_address(facts(interface, OWN), interface) == "10.77.0.5"


@pytest.mark.parametrize(
    "given, address",
    [
        (facts("eth0", VIRTUAL, OWN), "10.77.0.5"),
        (facts("eth0", OWN, VIRTUAL), "10.77.0.5"),
        (facts("eth0", VIRTUAL), "10.77.0.100"),  # as clouds give them
        (facts("eth0"), ""),
        ({}, ""),
        # the kernel knows best
        (
            facts(
                "eth0",
                {"address": "10.77.0.4", "prefix": "24"},
                OWN,
                default_ipv4={"interface": "eth0", "address": "10.77.0.5"},
            ),
            "10.77.0.5",
        ),
        (
            facts("eth0", OWN, default_ipv4={"interface": "eth1", "address": "192.0.2.1"}),
            "10.77.0.5",
        ),
    ],
)
def test_a_virtual_address_is_not_the_hosts_own(given: dict[str, Any], address: str) -> None:
    assert _underlay.interface_address(given, "eth0") == address


@pytest.mark.parametrize(
    "listed, address",
    [
        ([OWN6, LINK6], "fd00:77::5"),
        ([VIRTUAL6, OWN6, LINK6], "fd00:77::5"),
        ([VIRTUAL6, LINK6], ""),
        ([OWN6, {"address": "fd00:77::6", "prefix": "64", "scope": "global"}], ""),
        ([], ""),
    ],
)
def test_an_ipv6_address_is_said_where_there_is_no_choice(
    listed: list[dict[str, str]], address: str
) -> None:
    given = facts("eth0", OWN, ipv6=listed)
    assert _underlay.interface_ipv6_address(given, "eth0") == address


@pytest.mark.parametrize(
    "given, said, told",
    [
        (facts("eth0", VIRTUAL, OWN, ipv6=[OWN6]), "", ("", "10.77.0.5", "fd00:77::5")),
        (facts("eth0", OWN), "10.77.0.5", ("", "10.77.0.5", "")),
        (facts("eth0", OWN), "203.0.113.9", ("eth0", "203.0.113.9", "")),  # behind NAT
        (facts("eth0", OWN), "fd00::1", ("", "10.77.0.5", "")),  # etcd may be reached so
        ({}, "", ("eth0", "", "")),
    ],
)
def test_flanneld_is_told_an_address(
    given: dict[str, Any], said: str, told: tuple[str, str, str]
) -> None:
    found = _underlay.flanneld_underlay(given, "eth0", said)
    assert (found["interface"], found["public_ip"], found["public_ipv6"]) == told


def test_hosts_of_one_vagrantfile_are_told_apart() -> None:
    nat = facts(
        "eth0",
        {"address": "10.0.2.15", "prefix": "24"},
        default_ipv4={"interface": "eth0", "address": "10.0.2.15"},
    )
    own = facts("eth1", OWN, default_ipv4={"interface": "eth0", "address": "10.0.2.15"})
    hostvars: dict[str, Any] = {
        "a": {"ansible_facts": nat},
        "b": {"ansible_facts": own, "multinet_underlay_interface": "eth1"},
        "c": {"ansible_facts": nat},
        "d": {},
        "e": {"multinet_node_address": "nonsense"},
    }
    (sentence,) = _underlay.shared_addresses(hostvars, hostvars)
    assert sentence.startswith("a and c have the same address 10.0.2.15, so tunnels")
    assert "Set multinet_underlay_interface" in sentence
    assert _underlay.shared_addresses(hostvars, ["a", "b", "d"]) == []
