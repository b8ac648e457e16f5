# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._attach import to_multus
from ansible_collections.multinet.flannel.plugins.module_utils._meta import state as states
from ansible_collections.multinet.flannel.plugins.module_utils._node.removal import RemovalError

LIST = {"cniVersion": "0.4.0", "name": "before", "plugins": [{"type": "bridge"}]}
SIDE = {"cniVersion": "0.3.1", "name": "side", "type": "bridge"}
RED = {"cniVersion": "0.4.0", "name": "multinet-red", "plugins": [{"type": "flannel"}]}


def begin(store, container_id, *attached):
    store.begin(
        states.State(
            conf_name="multinet",
            container_id=container_id,
            interface="eth0",
            netns="/run/netns/x",
            path=["/opt/cni/bin"],
            timeout=60.0,
            attached=[states.Attached(raw, interface) for raw, interface in attached],
        )
    )


def hand_over(tmp_path):
    found = to_multus.steps(["multinet-red"], str(tmp_path / "states"), str(tmp_path / "multus"))
    for step in found:
        step.act()
    return [step.what.split(",")[0] for step in found]


def test_what_containers_have_of_others_is_written_as_multus_does(tmp_path):
    store = states.Store(str(tmp_path / "states"))
    begin(store, "both", (LIST, "eth0"), (SIDE, "net1"), (RED, "net2"))
    begin(store, "alone", (RED, "eth0"))
    begin(store, "known", (LIST, "eth0"))
    (tmp_path / "multus").mkdir()
    (tmp_path / "multus/known").write_text("Multus' own")
    assert hand_over(tmp_path) == ["the meta-plugin's state of both"]
    assert (tmp_path / "multus/known").read_text() == "Multus' own"
    assert sorted(one.name for one in (tmp_path / "multus").iterdir()) == ["both", "known"]
    first, second = json.loads((tmp_path / "multus/both").read_text())
    assert (first["ConfList"], first["Name"], first["ifnameRequest"]) == (LIST, "before", "eth0")
    assert (second["Conf"], second["Name"], second["ifnameRequest"]) == (SIDE, "side", "net1")
    assert [json.loads(base64.b64decode(one["Bytes"])) for one in (first, second)] == [LIST, SIDE]


def test_a_state_that_is_damaged_stops_the_reset(tmp_path):
    begin(states.Store(str(tmp_path / "states")), "one", (LIST, "eth0"))
    (tmp_path / "states/one:eth0.json").write_text("{")
    with pytest.raises(RemovalError, match="An attachment cannot be read, so it cannot be freed"):
        hand_over(tmp_path)
