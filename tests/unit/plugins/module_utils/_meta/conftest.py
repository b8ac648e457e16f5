# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tests of the meta-plugin need."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._meta import addresses


@pytest.fixture(autouse=True)
def _no_machine(monkeypatch):
    """A host without addresses: those of the machine that runs the tests are nobody's here."""
    monkeypatch.setattr(addresses, "surroundings", lambda bridges, ranges: ([], set(), []))
