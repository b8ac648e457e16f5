# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What module node_addresses_info says of what was seen on one of the demo's hosts."""

from __future__ import annotations

import json
import pathlib

from ansible_collections.multinet.flannel.plugins.module_utils._drift import observe
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from ansible_collections.multinet.flannel.plugins.modules.node_addresses_info import addresses
from declaration import BLUE

SEEN = json.loads(
    (
        pathlib.Path(__file__).parents[1] / "module_utils" / "_drift" / "vectors" / "host.json"
    ).read_text(encoding="utf-8")
)
PLAN = plan([BLUE, {"name": "red", "cidr": "10.3.0.0/16", "backend": {"type": "vxlan", "vni": 2}}])


def test_addresses_of_a_host():
    said = addresses(PLAN, SEEN)
    blue = said["networks"][0]
    assert (blue["name"], blue["cidr"], blue["ipv6_cidr"]) == ("blue", "10.1.0.0/16", None)
    (subnet,) = blue["subnets"]
    assert (subnet["addresses"], subnet["used"]) == (253, 2)
    assert subnet["subnet"] in [lease["subnet"] for lease in blue["leases"]]
    assert set(blue["leases"][0]) == {"subnet", "ipv6_subnet", "public_ip"}
    assert "default" not in said["routes"] and subnet["subnet"] in said["routes"]


def test_leases_that_could_not_be_read_are_not_none():
    unread = dict(SEEN, leases=dict.fromkeys(SEEN["leases"]), leases_problem="Refused.")
    said = addresses(PLAN, unread)
    assert said["networks"][0]["leases"] is None and said["leases_problem"] == "Refused."


def test_addresses_are_counted_by_family(tmp_path):
    for name in ("10.1.5.2", "10.1.5.3", "fd00:1::2", "lock", "last_reserved_ip.0", "10.1.5.9.tmp"):
        (tmp_path / name).touch()
    assert observe._allocated(observe._given(str(tmp_path))) == {"4": 2, "6": 1}
