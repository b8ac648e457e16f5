# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which port a measurement has, as all of its hosts see it."""

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import ends

OWN = ends.port_of(47470, "run1")  # with nobody else


@pytest.mark.parametrize(
    ("taken", "port"),
    [
        ([[], []], OWN),
        ([[OWN], []], OWN + 1),
        ([[OWN + 1], [OWN]], OWN + 2),  # free on all hosts
        ([[OWN - 1], [OWN + 1]], OWN),
        ([[*range(OWN, 47470 + ends.PORTS)], []], 47470),  # from the beginning again
        ([[*range(47470, 47470 + ends.PORTS)], []], OWN),  # which says whose it is
    ],
)
def test_the_next_port_that_nobody_has_anywhere(taken, port):
    assert OWN + 2 < 47470 + ends.PORTS
    facts = [{"ports_taken": ports} for ports in taken]
    assert ends.port_of(47470, "run1", facts) == port
