# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network that changes had and no longer has, which no flanneld takes away."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._plan import changes
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan

VXLAN = {"type": "vxlan", "vni": 2}
HOST_GW = {"type": "host-gw"}
IPSEC = {"type": "ipsec", "psk": "0" * 96}
WIREGUARD = {"type": "wireguard"}
DIRECT = {**VXLAN, "direct_routing": True}


def planned(backend: dict[str, Any], cidr: str = "10.3.0.0/16") -> dict[str, Any]:
    """Return a plan of one network."""
    return plan([{"name": "red", "cidr": cidr, "default": True, "backend": backend}])


@pytest.mark.parametrize(
    "old, new, found",
    [
        (planned(VXLAN), planned(VXLAN), None),
        (planned({**VXLAN, "vni": 7}), planned(VXLAN), (["flannel.7"], [], [])),
        (planned(HOST_GW), planned(WIREGUARD), ([], ["10.3.0.0/16"], [])),
        (planned(DIRECT), planned(VXLAN), ([], ["10.3.0.0/16"], [])),
        (planned(HOST_GW), planned(DIRECT), None),
        (planned(DIRECT), planned(HOST_GW), (["flannel.2"], [], [])),
        (planned(HOST_GW, "10.4.0.0/16"), planned(HOST_GW), ([], ["10.4.0.0/16"], [])),
        (planned(IPSEC), planned(HOST_GW), ([], [], ["10.3.0.0/16"])),
        (planned(IPSEC), planned(IPSEC), None),
        (None, planned(VXLAN), None),
        (planned(HOST_GW), {"networks": []}, None),  # removed as a whole
    ],
)
def test_what_goes(old: Any, new: Any, found: Any) -> None:
    former = changes.former(old, new)
    assert [(one["devices"], one["routes"], one["policies"]) for one in former] == (
        [found] if found else []
    )


def test_what_is_in_use_again_stays_and_the_rest_is_known_until_it_is_gone() -> None:
    before = changes.former(planned({**VXLAN, "vni": 7}), planned(HOST_GW))
    assert before[0]["devices"] == ["flannel.7"]
    assert before[0]["keep"] == ["10.3.0.0/16"]
    # a run that was stopped wrote the new plan down, and the next one finds that alone
    assert changes.former(planned(HOST_GW), planned(HOST_GW), before) == before
    assert changes.former(planned(HOST_GW), planned({**VXLAN, "vni": 7}), before) == [
        {"name": "red", "devices": [], "routes": ["10.3.0.0/16"], "policies": [], "keep": []}
    ]
