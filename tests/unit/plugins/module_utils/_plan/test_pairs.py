# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which networks are kept apart, written by hand: the guard drops these pairs, and the proof of the
guard expects the same ones (_plan/pairs.py), so a mistake there would be seen nowhere else.
"""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._plan import pairs
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan

OPEN = {"isolate": False}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "blue>red blue>green red>blue red>green green>blue green>red"),
        # one isolated side is enough
        ({"green": OPEN}, "blue>red blue>green red>blue red>green green>blue green>red"),
        ({"red": OPEN, "green": OPEN}, "blue>red blue>green red>blue green>blue"),
        ({"blue": OPEN, "red": OPEN, "green": OPEN}, ""),
        ({"blue": {"allow_to": ["red"]}}, "blue>green red>blue red>green green>blue green>red"),
    ],
)
def test_pairs(changes, expected):
    declared = [
        {"name": name, "cidr": f"10.{number}.0.0/16", "default": number == 1}
        | {"backend": {"type": "vxlan", "vni": number}}
        | changes.get(name, {})
        for number, name in enumerate(("blue", "red", "green"), 1)
    ]
    planned = plan(declared)
    blocked = [tuple(pair.split(">")) for pair in expected.split()]
    assert pairs.blocked(planned) == [list(pair) for pair in blocked]
    assert pairs.shut(planned) == set(blocked)
