# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which etcd runs on which architecture, and after which. Pure; runs on the controller."""

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
    number = _minor(version)
    supported = next(names for since, names in _SUPPORTED if number >= since)
    return "" if go_name in supported else go_name


def step_problem(there: str, wanted: str, told: str = "") -> str:
    """Return why a member cannot go from one version to another, as a sentence, "" where it can.

    told: the version that its cluster was told to go back to, "" for none. etcd goes up one minor
    version at a time (https://etcd.io/docs/latest/upgrades/), and down one after it was told so
    (https://etcd.io/docs/latest/downgrades/). Raises ValueError as unsupported_arch() does.
    """
    before, after = _minor(there), _minor(wanted)
    if after in (before, (before[0], before[1] + 1)):
        return ""
    if after < before:
        if told and _minor(told) == after:
            return ""
        return (
            f"etcd {there} is installed, but {wanted} is declared: etcd goes back to an older"
            f" version only after the cluster was told to. Declare {before[0]}.{before[1]}, or run"
            f" `etcdctl downgrade enable {after[0]}.{after[1]}` on a member first, which goes back"
            " one minor version at a time from 3.6 on."
        )
    return (
        f"etcd {there} is installed, but {wanted} is declared: etcd is upgraded by one minor"
        f" version at a time. Declare a version {before[0]}.{before[1] + 1} first, and {wanted}"
        " after it."
    )


def _minor(version: str) -> tuple[int, int]:
    match = re.match(r"v?(\d+)\.(\d+)(\.|$)", str(version))
    if not match:
        raise ValueError(f"{version!r} is not an etcd version. Write it as 3.6.14.")
    return int(match.group(1)), int(match.group(2))
