# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A number that cannot be meant is refused with its range, and no other."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.lookup.unknown_variables import options
from ansible_collections.multinet.flannel.plugins.module_utils._site.numbers import (
    RANGES,
    out_of_range,
)

TYPES = {"verify_port": "int", "verify_wait": "float"}


@pytest.mark.parametrize(
    "value", [70000, 65530, 22, "abc", "1e9", 47470.5, True, None, [], "", "47470x"]
)
def test_no_port(value):
    [told] = out_of_range({"verify_port": {"n1": value}}, TYPES, 1)
    assert told.startswith("verify_port is ")
    assert told.endswith("; write a whole number from 1024 to 65520.")


@pytest.mark.parametrize("value", [-1, 1e9, "abc", float("nan"), "inf", {}])
def test_no_seconds(value):
    [told] = out_of_range({"verify_wait": {"n1": value, "n2": 0.5}}, TYPES, 2)
    assert told.startswith("verify_wait is ")
    assert told.endswith(" (of n1); write a number from 0 to 60.")


@pytest.mark.parametrize(
    "name, value",
    [
        ("verify_port", 47470),
        ("verify_port", "47470"),
        ("verify_wait", 0),
        ("verify_wait", "0.5"),
        ("another", "abc"),
    ],
)
def test_what_may_be(name, value):
    assert out_of_range({name: {"n1": value}}, TYPES, 1) == []


def test_all_numbers_of_the_roles_have_a_range_that_their_defaults_are_in():
    of_roles = dict(options())
    numbers = {name for name, one in of_roles.items() if one.get("type") in ("int", "float")}
    assert numbers == set(RANGES)
    for name in numbers:
        value = of_roles[name].get("default")
        if isinstance(value, (int, float)):
            found, types = {name: {"n1": value}}, {name: of_roles[name]["type"]}
            assert out_of_range(found, types, 1) == []
