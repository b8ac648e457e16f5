# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.filter import machines

SEEN = {"host": {"machine": "m1", "member": "a", "ca": None, "deployed_as": "a"}}
REFUSED = {"failed": True, "msg": "The record of what is deployed can't be read."}
NAMES = ["a", "b", "c"]


@pytest.mark.parametrize(
    "look, members, prune, told",
    [
        # its daemons go on, and would lose their data store
        (REFUSED, ["a"], False, "the etcd of a with all its data, but b could not be looked at"),
        (REFUSED, ["a"], True, ""),
        (REFUSED, [], False, ""),
        # a host that is down may be gone for good
        ({"unreachable": True, "failed": True, "msg": "no route to host"}, ["a"], False, ""),
        (None, ["a"], False, ""),
    ],
)
def test_the_etcd_stays_while_a_host_says_why_it_cannot_be_reset(look, members, prune, told):
    hostvars = {"a": {"seen": SEEN}, "b": {"seen": look} if look else {}, "c": {}}
    inventory = {"nodes": NAMES, "members": members, "running": NAMES, "pki_dir": ""}
    found = machines.reset_problems(NAMES, hostvars, "seen", inventory, prune=prune)
    assert told in "".join(found) and len(found) == bool(told)
