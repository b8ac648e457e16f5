# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Architectures of processors: their names, which ones hosts may have, and how their executables
are marked.

Which ones have been run is in README's table; which releases have a sum for one is in
plugins/plugin_utils/_artifacts/releases.yml.
"""

from __future__ import annotations

from typing import NamedTuple


class Architecture(NamedTuple):
    """What Go, whose names releases use, and the header of an ELF file call it."""

    go_name: str
    bits: int
    byte_order: str  # as int.from_bytes() takes it
    elf_machine: int  # e_machine, as elf.h numbers it
    supported: bool  # flannel publishes releases for it


# By the kernel's name (uname -m)
TABLE = {
    "x86_64": Architecture("amd64", 64, "little", 62, True),
    "aarch64": Architecture("arm64", 64, "little", 183, True),
    "armv6l": Architecture("arm", 32, "little", 40, True),
    "armv7l": Architecture("arm", 32, "little", 40, True),
    "ppc64le": Architecture("ppc64le", 64, "little", 21, True),
    "riscv64": Architecture("riscv64", 64, "little", 243, True),
    "s390x": Architecture("s390x", 64, "big", 22, True),
    "i386": Architecture("386", 32, "little", 3, False),
    "i686": Architecture("386", 32, "little", 3, False),
}

GO_NAMES = {machine: one.go_name for machine, one in TABLE.items()}

# Those that hosts may have, by the kernel's name
SUPPORTED = {machine: one.go_name for machine, one in TABLE.items() if one.supported}

# Those that every version in the table of releases has, and that a mirror has unless told otherwise
ALWAYS = ("amd64", "arm64")


def supported(name: str) -> str | None:
    """Return Go's name of an architecture that hosts may have (by either name), None for others."""
    go_name = SUPPORTED.get(name, name)
    return go_name if go_name in SUPPORTED.values() else None
