# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are marked as executables of an architecture, without a program in them."""

from __future__ import annotations

import struct

from ansible_collections.multinet.flannel.plugins.module_utils import _architectures


def elf(
    architecture: str, *, kind: int = 2, machine: int | None = None, content: str = ""
) -> bytes:
    """Return an ELF file of 300 bytes, or more with a content, with one loaded segment.

    architecture: Go's name; kind: e_type; machine: e_machine instead of the architecture's.
    """
    one = next(one for one in _architectures.TABLE.values() if one.go_name == architecture)
    order, word = (">" if one.byte_order == "big" else "<"), ("Q" if one.bits == 64 else "I")
    header, entry = (64, 56) if one.bits == 64 else (52, 32)
    size = max(300, header + entry + len(content))
    identity = b"\x7fELF" + bytes([one.bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
    fields = struct.pack(
        f"{order}HHI{word}{word}{word}IHHHHHH",
        *(kind, one.elf_machine if machine is None else machine, 1),
        *(0, header, 0, 0, header, entry, 1, 0, 0, 0),
    )
    if one.bits == 64:
        segment = struct.pack(f"{order}IIQQQQQQ", 1, 5, 0, 0, 0, size, size, 4096)
    else:
        segment = struct.pack(f"{order}IIIIIIII", 1, 0, 0, 0, size, size, 5, 4096)
    return (identity + fields + segment + content.encode()).ljust(size, b"\0")
