# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packages hosts need, by what their /etc/os-release says. Not run there: facts alone."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._preflight import packages

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\nVERSION_ID="11"\nID=debian\n'
UBUNTU = 'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n'
ROCKY = 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\nPLATFORM_ID="platform:el9"\n'
RHEL = 'NAME="Red Hat Enterprise Linux"\nID="rhel"\nID_LIKE="fedora"\n'
FEDORA = "NAME='Fedora Linux'\nID=fedora\n"


@pytest.mark.parametrize(
    ("os_release", "ids", "ip"),
    [
        (DEBIAN, ["debian"], "iproute2"),
        (UBUNTU, ["ubuntu", "debian"], "iproute2"),
        (ROCKY, ["rocky", "rhel", "centos", "fedora"], "iproute"),
        (RHEL, ["rhel", "fedora"], "iproute"),
        (FEDORA, ["fedora"], "iproute"),
        ("", [], "iproute2"),
    ],
)
def test_what_a_host_is_and_what_it_installs(os_release, ids, ip):
    assert packages.ids(os_release) == ids
    assert packages.package("ip", ids) == ip
    assert packages.package("python3", ids) == "python3"


def test_all_that_hosts_need():
    rows = dict(packages.listed())
    assert rows["Debian, Ubuntu"] == [
        "iproute2",
        "kmod",
        "libnftables1",
        "nftables",
        "procps",
        "python3",
    ]
    assert rows["Fedora, RHEL and their derivatives"] == [
        "iproute",
        "iproute-tc",
        "kmod",
        "nftables",
        "procps-ng",
        "python3",
    ]
