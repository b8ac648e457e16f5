# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods that others attached, in real namespaces: found by their ports, given the sysctls of new
ones, and their own again.
"""

from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import pod_settings
from ansible_collections.multinet.flannel.plugins.module_utils._observe import behind, netns
from observe_lab import BOTH, PLAN, ObserveLab

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

SYSCTLS = pod_settings.of_network(PLAN["networks"][0])
AS_THE_KERNEL_HAS_THEM = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/arp_ignore": "0",
    "net/ipv4/conf/all/accept_redirects": "1",
    "net/ipv4/conf/eth0/accept_redirects": "1",
    "net/ipv6/conf/eth0/accept_ra": "1",
}


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(name="lab")
def _lab(tmp_path):
    with ObserveLab(PLAN, {"h1": {"a": BOTH, "b": ["red"]}}, tmp_path) as lab:
        for path, value in AS_THE_KERNEL_HAS_THEM.items():
            lab.sysctl("h1-a", path, value)
        yield lab


def values(lab, paths):
    found = {}
    with netns.inside(lab.path("h1-a")):
        for path in paths:
            with open("/proc/sys/" + path, encoding="ascii") as file:
                found[path] = file.read().strip()
    return found


def test_sysctls_there_and_back(lab):
    bridges = [network["bridge"] for network in PLAN["networks"]]
    with netns.inside(lab.path("h1")):
        ends = list(behind.ends(run, bridges))
        assert list(behind.ends(run, [])) == []
    assert sorted(end[:3] for end in ends) == [
        ("veth00000010", "mn-blue", "eth0"),
        ("veth00010010", "mn-red", "net1"),
        ("veth00010011", "mn-red", "net1"),
    ]
    (end,) = (one for one in ends if one.port == "veth00000010")
    was = pod_settings.different(end, SYSCTLS)
    assert AS_THE_KERNEL_HAS_THEM.items() <= was.items()
    before = values(lab, was)

    pod_settings.give(end, SYSCTLS)
    assert pod_settings.different(end, SYSCTLS) == {}
    assert values(lab, ["net/ipv4/ip_forward", "net/ipv4/conf/all/arp_ignore"]) == {
        "net/ipv4/ip_forward": "0",
        "net/ipv4/conf/all/arp_ignore": "1",
    }
    pod_settings.give_back(end, was)
    assert values(lab, was) == before


def test_a_pod_that_goes_meanwhile(lab):
    with netns.inside(lab.path("h1")):
        (end,) = behind.ends(run, ["mn-blue"])
    subprocess.run(["ip", "netns", "del", lab.ns("h1-a")], check=True)
    assert pod_settings.different(end, SYSCTLS) == {}
    pod_settings.give(end, SYSCTLS)


def test_links_that_cannot_be_listed_are_not_taken_for_none():
    with pytest.raises(OSError, match="Cannot open netlink socket"):
        list(behind.ends(lambda dummy: (1, "", "Cannot open netlink socket"), ["mn-blue"]))
