# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose default route the kernel of a pod has in the end, by what a pod asks for."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import netns
from ansible_collections.multinet.flannel.plugins.module_utils._meta import gateway
from ansible_collections.multinet.flannel.plugins.module_utils._meta import state as states

NAME = f"gateway-{os.getpid()}"
PATH = f"/run/netns/{NAME}"
FAMILIES = ("-4", "-6")


def ip(*arguments):
    command = ["ip", "-n", NAME, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def add_default(interface, number, gateways=True):
    """Make default routes of both families, after those there are. gateways: else on the link."""
    for family, address in zip(FAMILIES, (f"10.50.{number}.1", f"fd50:{number}::1")):
        way = ("via", address) if gateways else ()
        ip(family, "route", "append", "default", *way, "dev", interface)


def attached(interface, routes=()):
    result = {"cniVersion": "1.0.0", "ips": [], "routes": list(routes)}
    return states.Attached({"type": "x", "name": interface}, interface, result=result)


def defaults():
    """Return the (interface, gateway) of each default route, of both families."""
    shown = [json.loads(ip("-j", family, "route", "show", "default")) for family in FAMILIES]
    ways = [[way for one in found for way in one.get("nexthops", [one])] for found in shown]
    return [[(way["dev"], way.get("gateway")) for way in found] for found in ways]


@pytest.fixture(name="before")
def _before():
    """Make a pod with eth0, which has the default routes, and net1; return these routes."""
    if os.geteuid() != 0:
        pytest.skip("needs root for network namespaces")
    subprocess.run(["ip", "netns", "add", NAME], check=True)
    try:
        for number, interface in enumerate(("eth0", "net1"), start=1):
            ip("link", "add", interface, "type", "veth", "peer", "name", f"other{number}")
            ip("link", "set", f"other{number}", "up")
            ip("link", "set", interface, "up")
            ip("addr", "add", f"10.50.{number}.5/24", "dev", interface)
            ip("-6", "addr", "add", f"fd50:{number}::5/64", "dev", interface, "nodad")
        add_default("eth0", 1)
        yield netns.default_routes(PATH)
    finally:
        subprocess.run(["ip", "netns", "del", NAME], check=True)


def test_another_gateway_of_the_master_is_in_place_of_its_own(before):
    """Others do not tell what they make, so what the master had is given back to it."""
    asked = ["10.50.1.254", "fd50:1::fe"]
    gateway.settle(PATH, [(attached("eth0"), asked), (attached("net1"), None)], (), before)
    assert defaults() == [[("eth0", one)] for one in asked]


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("gateways", [True, False])
def test_who_asks_for_the_default_route_of_its_plugins_has_it(before, told, gateways):
    """Also one without a gateway, and one that its plugin does not tell."""
    add_default("net1", 2, gateways)
    ways = ["10.50.2.1", "fd50:2::1"] if gateways else [None, None]
    routes = [{"dst": "0.0.0.0/0", "gw": ways[0]}, {"dst": "::/0", "gw": ways[1]}]
    routes = [{key: value for key, value in one.items() if value} for one in routes]
    pod = [(attached("eth0"), None), (attached("net1", routes if told else ()), [])]
    gateway.settle(PATH, pod, (), before)
    assert defaults() == [[("net1", one)] for one in ways]


def test_of_a_family_that_is_not_asked_for_the_master_keeps_the_default_route(before):
    add_default("net1", 2)
    pod = [(attached("eth0"), None), (attached("net1"), ["10.50.2.254"])]
    gateway.settle(PATH, pod, (), before)
    assert defaults() == [[("net1", "10.50.2.254")], [("eth0", "fd50:1::1")]]


def test_services_stay_with_a_master_whose_default_route_was_replaced(before):
    for family, address in zip(FAMILIES, ("10.50.2.1", "fd50:2::1")):
        ip(family, "route", "replace", "default", "via", address, "dev", "net1")
    pod = [(attached("eth0"), None), (attached("net1"), ["10.50.2.1", "fd50:2::1"])]
    gateway.settle(PATH, pod, ["10.96.0.0/16", "fd96::/112"], before)
    assert defaults() == [[("net1", "10.50.2.1")], [("net1", "fd50:2::1")]]
    for family, cidr, address in (
        ("-4", "10.96.0.0/16", "10.50.1.1"),
        ("-6", "fd96::/112", "fd50:1::1"),
    ):
        (route,) = json.loads(ip("-j", family, "route", "show", cidr))
        assert (route["dev"], route["gateway"]) == ("eth0", address)
