# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a file is, by its first bytes: and whether a host of an architecture can execute it.

A sum says that a file is the one that somebody meant, not that it runs where it goes. ELF's fields
are those of elf(5). problem() and interpreter() are pure; the same functions judge a mirror on the
controller and what lies on a host.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Literal

from .. import _architectures

if TYPE_CHECKING:
    from collections.abc import Callable

# Go's and gcc's program headers lie within
HEAD = 4096
_ORDERS: dict[bytes, Literal["little", "big"]] = {b"\x01": "little", b"\x02": "big"}
_PT_LOAD = 1
_ARCHIVES = {
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ\x00": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"PK\x03\x04": "a zip archive",
}


def read(path: str) -> tuple[bytes, int]:
    """Return a file's first bytes and its size in bytes; raise OSError."""
    with open(path, "rb") as stream:
        return stream.read(HEAD), os.fstat(stream.fileno()).st_size


def problem(head: bytes, size: int, architecture: str) -> str:
    """Return why a host cannot execute a file, as a clause such as `is empty`; "" where it can.

    head: its first bytes, HEAD or all. size: of the file, in bytes. architecture: of the host, Go's
    name.
    """
    if head.startswith(b"\x7fELF"):
        return _elf_problem(head, size, architecture)
    if head.startswith(b"#!"):
        return "" if interpreter(head) else "is a script whose first line names no absolute path"
    return f"is {kind(head)}, not an executable"


def interpreter(head: bytes) -> str:
    """Return the absolute path of the program that runs a script, "" for what is no such script."""
    found = re.match(rb"#![ \t]*(/[^ \t\r\n\0]*)(?=[ \t\n]|\Z)", head)
    return os.fsdecode(found.group(1)) if found else ""


def kind(head: bytes) -> str:
    """Return in words what a file that is no executable is."""
    if not head:
        return "empty"
    if re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|\?xml|head|body)", head, re.I):
        return "a web page"
    for magic, name in _ARCHIVES.items():
        if head.startswith(magic):
            return name
    if head[257:262] == b"ustar":
        return "a tar archive"
    return "a file of another kind"


def _elf_problem(head: bytes, size: int, architecture: str) -> str:
    bits = {b"\x01": 32, b"\x02": 64}.get(head[4:5], 0)
    order = _ORDERS.get(head[5:6])
    if not order or not bits or len(head) < (52 if bits == 32 else 64):
        return "is cut off, or damaged: its ELF header is not whole"

    def number(offset: int, length: int) -> int:
        return int.from_bytes(head[offset : offset + length], order)

    marks = (bits, order, number(18, 2))
    names = [
        one.go_name
        for one in _architectures.TABLE.values()
        if (one.bits, one.byte_order, one.elf_machine) == marks
    ]
    if architecture not in names:
        of = names[0] if names else f"another processor ({bits} bits, ELF machine {marks[2]})"
        return f"is an executable for {of}, not for {architecture}"
    if number(16, 2) not in (2, 3):  # ET_EXEC, ET_DYN
        return "is an ELF file, but not an executable"
    end = _end(number, bits, len(head))
    return f"is cut off: it has {size} of at least {end} bytes" if end > size else ""


def _end(number: Callable[[int, int], int], bits: int, known: int) -> int:
    """Return how long a file is at least, by those of its program headers that are known."""
    word = bits // 8
    table = number(28 if bits == 32 else 32, word)
    length, count = (number(42, 2), number(44, 2)) if bits == 32 else (number(54, 2), number(56, 2))
    ends = [table + length * count]
    for header in range(table, min(ends[0], known - length + 1), length or 1):
        if number(header, 4) == _PT_LOAD:
            offset, contents = (4, 16) if bits == 32 else (8, 32)
            ends.append(number(header + offset, word) + number(header + contents, word))
    return max(ends)
