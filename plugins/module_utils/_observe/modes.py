# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a verification goes, from looking at tables to sending. Pure."""

from __future__ import annotations

STATIC = "static"  # configuration and tables; nothing leaves a host but its answer to Ansible
PASSIVE = "passive"  # and the data store's leases, and what the traffic of others leaves behind
ACTIVE = "active"  # and tokens between pods
MODES = (STATIC, PASSIVE, ACTIVE)

# What a run in this mode says nothing about, of what others do
NOT_MEASURED = {
    STATIC: [
        "Whether anything arrives, where it must or must not: nothing was sent (verify_mode:"
        " static).",
        "What the data store and Kubernetes' API hold, whom pods have as neighbours, and what the"
        " guard has dropped (verify_mode: static).",
    ],
    PASSIVE: [
        "Whether anything arrives, where it must or must not: nothing was sent (verify_mode:"
        " passive). Of what pods send on their own, only neighbours and what the guard dropped were"
        " looked at."
    ],
    ACTIVE: [],
}
