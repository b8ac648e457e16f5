# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""sha256 sums of files."""

from __future__ import annotations

import hashlib


class ArtifactError(Exception):
    """One or more sentences: what is wrong, where, what to do instead."""


def sha256_of(path: str) -> str:
    """Return the sha256 sum of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    block = memoryview(bytearray(1 << 20))
    with open(path, "rb", buffering=0) as stream:
        while True:
            size = stream.readinto(block)
            if not size:
                return digest.hexdigest()
            digest.update(block[:size])


def verify_sum(path: str, expected: str, according_to: str, place: str = "") -> None:
    """Raise ArtifactError unless a file has the expected sha256 sum.

    according_to: who demands it, in words; place: where the file came from, if not from its path.
    """
    got = sha256_of(path)
    if got != expected:
        raise ArtifactError(
            f"{place or path} has the wrong sha256 sum: {according_to} demands {expected}, the file"
            f" has {got}. Nothing was installed from it. Find out which of the two is right: remove"
            " the file and fetch it again, or correct the sum."
        )
