# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.multinet.flannel.plugins.module_utils._node import subnet_file


def test_what_a_flanneld_wrote(tmp_path):
    path = tmp_path / "red.env"
    assert subnet_file.read(str(path)) == {}
    path.write_text(
        "FLANNEL_NETWORK=10.3.0.0/16\nFLANNEL_SUBNET=10.3.7.1/24\n"
        "FLANNEL_IPV6_SUBNET=fd00:3:0:7::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n"
    )
    written = subnet_file.read(str(path))
    assert written["FLANNEL_MTU"] == "1450"
    assert subnet_file.gateways(written) == ["10.3.7.1/24", "fd00:3:0:7::1/64"]
    assert [str(one) for one in subnet_file.subnets(written)] == ["10.3.7.0/24", "fd00:3:0:7::/64"]


def test_half_a_line_is_no_subnet():
    for text in ("", "10.3.7", "10.3.7.1", "10.3.7.1/2x"):
        assert subnet_file.gateways({"FLANNEL_SUBNET": text}) == []
