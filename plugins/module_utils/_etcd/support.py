# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which etcd runs on which processor architecture. Pure; runs on the controller."""

from __future__ import annotations

import re

from .._architectures import GO_NAMES

# The architectures an etcd runs on without being asked to, by its first version that does
# (checkSupportArch of etcd's sources)
_SUPPORTED = (
    ((3, 5), ("amd64", "arm64", "ppc64le", "s390x")),
    ((3, 3), ("amd64", "ppc64le")),
    ((0, 0), ("amd64",)),
)


def unsupported_arch(architecture: str, version: str) -> str:
    """Return what ETCD_UNSUPPORTED_ARCH must be, or "" when it isn't needed.

    architecture: as uname -m says (the fact `architecture`) or as Go does; version: of etcd, such
    as 3.4.23 or v3.6.8. Raises ValueError with a sentence when either can't be read.
    """
    go_name = GO_NAMES.get(architecture, architecture)
    if go_name not in GO_NAMES.values():
        raise ValueError(
            f"etcd's name of the architecture {architecture!r} isn't known; known are"
            f" {', '.join(sorted(GO_NAMES))}."
        )
    match = re.match(r"v?(\d+)\.(\d+)(\.|$)", str(version))
    if not match:
        raise ValueError(f"{version!r} is no etcd version. Write it as 3.6.14.")
    number = int(match.group(1)), int(match.group(2))
    supported = next(names for since, names in _SUPPORTED if number >= since)
    return "" if go_name in supported else go_name
