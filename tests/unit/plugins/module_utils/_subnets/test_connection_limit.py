# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._subnets.connection_limit import (
    ConnectionLimit,
)


@pytest.fixture(name="arrive")
def _arrive():
    """Have a connection of a name take one of two places; the value is its other end."""
    pairs = []

    def arrive(limit, name):
        pairs.append(socket.socketpair())
        limit.admit(pairs[-1][0], name)
        pairs[-1][1].setblocking(False)
        return pairs[-1][1]

    yield arrive
    for one in [end for pair in pairs for end in pair]:
        one.close()


def is_ended(connection):
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False


@pytest.mark.parametrize("displaces", [True, False])
def test_who_has_the_most_loses_the_oldest(arrive, displaces):
    limit = ConnectionLimit(2, displaces=displaces)
    first, second = arrive(limit, "many"), arrive(limit, "many")
    third = arrive(limit, "one")
    assert [is_ended(one) for one in (first, second, third)] == [True, False, False]


def test_a_newcomer_takes_nothing_from_one_who_has_no_more(arrive):
    limit = ConnectionLimit(2, displaces=False)
    held = [arrive(limit, "a"), arrive(limit, "b")]
    with pytest.raises(ConnectionRefusedError):
        arrive(limit, "c")
    assert not any(map(is_ended, held))
    arrive(limit, "a")  # it has the most then
    assert [is_ended(one) for one in held] == [True, False]
    limit = ConnectionLimit(2, displaces=True)
    held = [arrive(limit, "a"), arrive(limit, "b")]
    arrive(limit, "c")
    assert [is_ended(one) for one in held] == [True, False]


def test_who_ends_slowly_keeps_nobody_else_out(arrive):
    limit = ConnectionLimit(2, displaces=True)
    for dummy in range(4):
        arrive(limit, "slow")  # the first two have not been released
    with pytest.raises(ConnectionRefusedError):
        arrive(limit, "slow")
    assert not is_ended(arrive(limit, "other"))
