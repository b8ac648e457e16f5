# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._flanneld import subnets

LEASE = "FLANNEL_NETWORK={}\nFLANNEL_SUBNET=10.1.7.1/24\nFLANNEL_MTU=1450\n"


def wait(cidrs, meanwhile=lambda: None):
    """Wait for at most 3 looks; meanwhile() happens between two of them."""
    clock = iter(range(100))
    subnets.wait_for_subnets(
        cidrs, 2, clock=lambda: next(clock), sleep=lambda _seconds: meanwhile()
    )


def test_waits_until_every_file_is_there_and_about_its_network(tmp_path):
    blue, red = tmp_path / "blue.env", tmp_path / "red.env"
    blue.write_text(LEASE.format("10.1.0.0/16"), encoding="ascii")
    red.write_text(LEASE.format("10.9.0.0/16"), encoding="ascii")  # of a former range

    renewed = []

    def renew():
        red.write_text(LEASE.format("10.3.0.0/16"), encoding="ascii")
        renewed.append(red)

    wait({str(blue): "10.1.0.0/16", str(red): "10.3.0.0/16"}, renew)
    assert renewed == [red]


def test_a_network_without_a_lease_is_named(tmp_path):
    blue, red = tmp_path / "blue.env", tmp_path / "red.env"
    blue.write_text(LEASE.format("10.1.0.0/16"), encoding="ascii")
    with pytest.raises(subnets.SubnetError) as caught:
        wait({str(blue): "10.1.0.0/16", str(red): "10.3.0.0/16"})
    assert str(caught.value).startswith(
        f"{red} was not written in 2 s: no flanneld of this network"
    )
