# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Architectures of processors: what the kernel and Go call them, and which ones hosts may have.

An architecture that is added here needs sums in plugins/plugin_utils/_artifacts/releases.yml.
"""

from __future__ import annotations

# The kernel's name (uname -m) -> Go's name, which releases use
GO_NAMES = {
    "aarch64": "arm64",
    "armv6l": "arm",
    "armv7l": "arm",
    "i386": "386",
    "i686": "386",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
    "x86_64": "amd64",
}

# Those that hosts may have, by the kernel's name
SUPPORTED = {machine: GO_NAMES[machine] for machine in ("x86_64", "aarch64")}


def supported(name: str) -> str | None:
    """Return Go's name of an architecture that hosts may have (by either name), None for others."""
    go_name = SUPPORTED.get(name, name)
    return go_name if go_name in SUPPORTED.values() else None
