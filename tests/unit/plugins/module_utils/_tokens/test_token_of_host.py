# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host keeps the token that it has."""

from __future__ import annotations

import json

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import errors
from ansible_collections.multinet.flannel.plugins.module_utils._tokens import renew, token
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


def test_a_token_that_is_no_text_does_not_end_the_renewal_of_the_others(tmp_path):
    (tmp_path / "token").write_bytes(b"\xe9\n")
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"tokenFile": "token"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "a.kubeconfig").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(errors.Error, match="token is not a single word"):
        renew.renew(str(tmp_path / "a.kubeconfig"), lambda: NOW)
