# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of a host, in a network namespace: what a vector could be wrong about."""

from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._drift import observe

NAME = f"mndrift{os.getpid()}"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(name="inside")
def _inside():
    def run(argv):
        words = argv.split() if isinstance(argv, str) else argv
        return observe.run(["ip", "netns", "exec", NAME, *words])

    subprocess.run(["ip", "netns", "add", NAME], check=True)
    try:
        yield run
    finally:
        subprocess.run(["ip", "netns", "delete", NAME], check=True)


def test_the_policies_of_ipsec(inside):
    """As flannel makes them: pkg/backend/ipsec/handle_xfrm.go."""
    for number in (2, 3):
        there, host = f"10.7.{number}.0/24", f"192.0.2.{number}"
        for way, source, target, ends in (
            ("out", "10.7.1.0/24", there, ("192.0.2.1", host)),
            ("in", there, "10.7.1.0/24", (host, "192.0.2.1")),
            ("fwd", there, "10.7.1.0/24", (host, "192.0.2.1")),
        ):
            inside(
                f"ip xfrm policy add src {source} dst {target} dir {way} tmpl src {ends[0]}"
                f" dst {ends[1]} proto esp reqid 11 mode tunnel"
            )
    assert observe._xfrm(inside) == {"10.7.2.0/24": "192.0.2.2", "10.7.3.0/24": "192.0.2.3"}


def test_routes_come_best_first(inside):
    """The first one of a destination is the one that the kernel uses, of both families."""
    inside("ip link add one type veth peer name two")
    for device in ("one", "two"):
        inside(f"ip link set {device} up")
    for family, there in (("-4", "10.3.7.0/24"), ("-6", "fd00:3:0:7::/64")):
        inside(f"ip {family} route add {there} dev one metric 900")
        inside(f"ip {family} route add {there} dev two metric 5")
        routes = [
            route["dev"]
            for route in observe._json(inside, family, "route")
            if route["dst"] == there
        ]
        assert routes == ["two", "one"]
