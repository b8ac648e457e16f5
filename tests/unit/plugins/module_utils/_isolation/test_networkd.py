# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which devices systemd-networkd, which matches names as fnmatch(3) does, is to leave alone."""

from __future__ import annotations

import configparser
import fnmatch

from ansible_collections.multinet.flannel.plugins.module_utils._isolation import networkd
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from declaration import BLUE, RED


def test_the_networks_devices_and_ends_of_pods_and_no_others():
    text = networkd.network_file(plan([dict(BLUE, ipv6_cidr="fd00:1::/48"), RED]))
    file = configparser.ConfigParser()
    file.read_string(text)
    assert file["Link"]["Unmanaged"] == "yes"
    names = file["Match"]["Name"].split()

    def matches(device):
        return any(fnmatch.fnmatchcase(device, name) for name in names)

    ours = ("mn-blue", "mn-red", "flannel.1", "flannel.2", "flannel-v6.1", "veth0a1b2c3d")
    assert all(map(matches, ours))
    others = ("eth0", "veth0", "veth-user", "vethABCDEF01", "vethabcdef012", "docker0", "flannel.3")
    assert not any(map(matches, others))
