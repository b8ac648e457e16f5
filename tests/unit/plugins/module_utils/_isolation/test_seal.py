# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard's file shows what somebody changed in it."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.seal import (
    is_broken,
    sealed,
)

TEXT = "table inet multinet {\n\tchain guard {\n\t\tcounter drop\n\t\taccept\n\t}\n}\n"
FILE = sealed(TEXT)


def test_what_was_deployed_is_whole():
    assert FILE.endswith(TEXT)
    assert not is_broken(FILE)


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("\t\tcounter drop\n", "\t\taccept\n\t\tcounter drop\n"),
        ("\t\tcounter drop\n", ""),
        ("\t\tcounter drop\n\t\taccept\n", "\t\taccept\n\t\tcounter drop\n"),
    ],
    ids=["ahead of the others", "taken out", "moved"],
)
def test_a_changed_rule_is_seen(was, becomes):
    assert is_broken(FILE.replace(was, becomes))


@pytest.mark.parametrize("file", [TEXT, ""], ids=["of an older version", "none"])
def test_a_file_without_a_sum_says_nothing(file):
    assert not is_broken(file)
