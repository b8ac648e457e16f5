# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two tables by which everything else goes: classes of leak and kinds of probe."""

from __future__ import annotations

import itertools
import pathlib

import pytest
import yaml
from ansible_collections.multinet.flannel.plugins.module_utils._observe import kinds, leaks, sender

ROOT = pathlib.Path(__file__).parents[5]
NAMES = {name: leak for name, leak in vars(leaks).items() if isinstance(leak, leaks.Leak)}


def test_every_class_has_a_number_and_a_name_of_its_own():
    assert sorted(leaks.CLASSES.values()) == sorted(NAMES.values())
    assert len({leak.name for leak in NAMES.values()}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_repair_leaves_nothing_to_fill_in(name):
    for forged, elsewhere in itertools.product((False, True), repeat=2):
        how = {"forged": forged, "elsewhere": elsewhere}
        assert "{" not in leaks.repair(NAMES[name], "h1", "blue", "red", **how)


@pytest.mark.parametrize(
    ("leak", "command"),
    [
        # `master` shows no device on top of a bridge, and one of another namespace only there
        (leaks.SHARED_BRIDGE, "ip -all netns exec ip link show type macvlan"),
        (leaks.SHARED_BRIDGE, "ip -d link show master <bridge>"),
        # a tunnel floods only what a bridge gives it
        (leaks.BROADCAST, "ip -d link show master <bridge>"),
        (leaks.BROADCAST, "bridge fdb show | grep 00:00:00:00:00:00"),
        (leaks.LOSSY, "nft list ruleset"),
    ],
)
def test_a_repair_has_the_command_that_shows_it(leak, command):
    assert command in leaks.repair(leak, "h1", "blue", "blue")


SCENARIOS = sorted(ROOT.glob("molecule/shared/inventory/group_vars/*.yml"))


@pytest.mark.skipif(not SCENARIOS, reason="the scenarios are not here")
def test_scenarios_wait_for_classes_that_there_are():
    awaited = {
        name
        for path in SCENARIOS
        for name in yaml.safe_load(path.read_text(encoding="utf-8")).get("test_leaks", [])
    }
    assert awaited and awaited <= {leak.name for leak in NAMES.values()}


@pytest.mark.parametrize("name", NAMES)
def test_something_shows_every_class(name):
    probes = [kind for kind in kinds.KINDS.values() if NAMES[name] in (kind.leak, kind.leak_across)]
    assert probes or NAMES[name].shown_by


@pytest.mark.parametrize("kind", kinds.KINDS.values(), ids=list(kinds.KINDS))
def test_a_kind_can_be_sent_and_be_a_leak(kind):
    assert kind.carrier in sender.CARRY
    assert kind.receiver in (kinds.POD, kinds.NODE, kinds.ENDPOINT)
    if kind.leak:
        assert kinds.leak_of(kind, True, False) is kind.leak
        assert kinds.leak_of(kind, False, False) is (kind.leak_across or kind.leak)
        assert kinds.leak_of(kind, False, True) in (leaks.IPV6, kind.leak_across or kind.leak)
