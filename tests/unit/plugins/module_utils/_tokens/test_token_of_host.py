# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host keeps the token that it has."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._tokens import token
from tokens_of_hosts import issued

WEEK = 604800
NOW = 1_800_000_000  # by the API's clock


@pytest.mark.parametrize("skew", [0, -2 * WEEK, 2 * WEEK])
@pytest.mark.parametrize(
    ("age", "stays"), [(0, True), (WEEK // 2, True), (WEEK * 5 // 8, False), (2 * WEEK, False)]
)
def test_the_clock_of_the_api_says_whether_a_token_is_good(skew, age, stays):
    """That of the host may be wrong: then it kept a token that had expired, or never kept one."""
    assert token.is_good(issued(NOW - age, WEEK), issued(NOW, WEEK), NOW + skew) == stays


def test_without_another_token_the_clock_of_the_host_does():
    assert token.is_good(issued(NOW, WEEK), "", NOW + 60)
    assert not token.is_good(issued(NOW, WEEK), "", NOW + 2 * WEEK)
    assert not token.is_good("rubbish", issued(NOW, WEEK), NOW)
    assert not token.is_good(issued(NOW, WEEK), "rubbish", NOW)


@pytest.mark.parametrize("life", [WEEK // 7, WEEK * 2])
def test_a_token_of_another_life_than_is_given_now_is_replaced(life):
    """Its holder asks for the same life again, and the timer may be too slow for a shorter one."""
    assert not token.is_good(issued(NOW, life), issued(NOW + 60, WEEK), NOW + 60)
    assert token.is_good(issued(NOW, life), issued(NOW + 60, life), NOW + 60)
