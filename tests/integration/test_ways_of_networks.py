# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What flanneld leaves in a kernel beside its devices, and what others have there, when a network
goes.
"""

from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import (
    network_removal,
    removal,
    units,
)

NAME = f"mnways{os.getpid()}"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

MADE = """
link add eth0 type bridge
link set eth0 up
address add 192.0.2.1/24 dev eth0
address add fd00:99::1/64 dev eth0 nodad
link add flannel.2 type bridge
link set flannel.2 up
route add 10.3.8.0/24 via 192.0.2.2 dev eth0
route add 10.3.9.0/24 dev flannel.2
route add blackhole 10.3.0.0/16
route add 10.3.5.0/24 nexthop via 192.0.2.2 nexthop via 192.0.2.3
route add 10.4.8.0/24 via 192.0.2.2 dev eth0
-6 route add fd00:3:0:8::/64 via fd00:99::2 dev eth0
-6 route add blackhole fd00:3::/48
-6 route add fd00:4:0:8::/64 via fd00:99::2 dev eth0
xfrm policy add src 10.3.7.0/24 dst 10.3.8.0/24 dir out tmpl src 192.0.2.1 dst 192.0.2.2 proto esp
xfrm policy add src 10.3.8.0/24 dst 10.3.7.0/24 dir in tmpl src 192.0.2.2 dst 192.0.2.1 proto esp
xfrm policy add src 10.3.8.0/24 dst 10.3.7.0/24 dir fwd tmpl src 192.0.2.2 dst 192.0.2.1 proto esp
xfrm policy add src 10.4.8.0/24 dst 10.3.7.0/24 dir fwd tmpl src 192.0.2.2 dst 192.0.2.1 proto esp
"""


@pytest.fixture(name="host")
def _host():
    def run(command):
        return units.run(["ip", "netns", "exec", NAME, *command])

    subprocess.run(["ip", "netns", "add", NAME], check=True)
    try:
        for line in MADE.strip().splitlines():
            subprocess.run(["ip", "-n", NAME, *line.split()], check=True)
        host = removal.Host(run)
        host.has_link = lambda name: not run(["ip", "link", "show", name])[0]
        yield host
    finally:
        subprocess.run(["ip", "netns", "delete", NAME], check=True)


def there(*arguments):
    """Return what ip lists in the namespace, without what is the kernel's own."""
    done = subprocess.run(
        ["ip", "-n", NAME, *arguments], check=True, capture_output=True, text=True
    )
    return [line.strip() for line in done.stdout.splitlines() if "proto kernel" not in line]


def nobody(cni_name):
    """Return the steps that detach containers: there are none."""
    return []


def test_a_network_takes_along_what_no_daemon_does(host, tmp_path):
    network = {
        "name": "red",
        "cni_name": "multinet-red",
        "cidr": "10.3.0.0/16",
        "ipv6_cidr": "fd00:3::/48",
        "unit": "flanneld@red.service",
        "backend": {"type": "vxlan", "direct_routing": True},
        "bridge": "mn-red",
        "device": "flannel.2",
        "devices": ["mn-red", "flannel.2"],
        **{
            key: str(tmp_path / key)
            for key in ("environment_file", "subnet_file", "data_dir", "ipam_dir")
        },
    }
    for step in network_removal.network_steps(host, [network], str(tmp_path / "no.conf"), nobody):
        if not step.what.startswith("unit"):  # of this machine's systemd
            step.act()
    for step in network_removal.former_steps(
        host, [{"devices": [], "routes": [], "policies": ["10.3.0.0/16"], "keep": []}]
    ):
        step.act()
    left = " ".join(there("route"))
    for gone in ("10.3.8.0/24", "10.3.9.0/24"):
        assert gone not in left, left
    for stays in ("blackhole 10.3.0.0/16", "10.3.5.0/24", "10.4.8.0/24"):
        assert stays in left, left
    left = " ".join(there("-6", "route"))
    assert "fd00:3:0:8::/64" not in left and "fd00:3::/48" in left, left
    assert "fd00:4:0:8::/64 via fd00:99::2" in left, left
    assert [line for line in there("xfrm", "policy") if line.startswith("src")] == [
        "src 10.4.8.0/24 dst 10.3.7.0/24"
    ]
