# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages of distributions that hosts need. Pure.

What a host is, its /etc/os-release says (os-release(5)): ID, and ID_LIKE for those made from it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# What is run, or loaded, on hosts
NEEDED = ("python3", "ip", "nft", "libnftables.so.1", "modprobe", "sysctl", "tc")


class Family(NamedTuple):
    """Distributions whose packages have the same names."""

    who: str  # in words
    packages: dict[str, str]  # of NEEDED, those that are called otherwise


FAMILIES = {
    "debian": Family(
        "Debian, Ubuntu",
        {
            "ip": "iproute2",
            "nft": "nftables",
            "libnftables.so.1": "libnftables1",
            "modprobe": "kmod",
            "sysctl": "procps",
            "tc": "iproute2",
        },
    ),
    "fedora": Family(
        "Fedora, RHEL and their derivatives",
        {
            "ip": "iproute",
            "nft": "nftables",
            "libnftables.so.1": "nftables",
            "modprobe": "kmod",
            "sysctl": "procps-ng",
            "tc": "iproute-tc",
        },
    ),
}


def ids(os_release: str) -> list[str]:
    """Return what a host's /etc/os-release says that it is, the nearest first, such as [rocky,
    rhel, centos, fedora].
    """
    said = dict(re.findall(r"""^(ID|ID_LIKE)=["']?([^"'\n]*)""", os_release, re.MULTILINE))
    return f"{said.get('ID', '')} {said.get('ID_LIKE', '')}".split()


def package(name: str, distribution: Sequence[str]) -> str:
    """Return the package that has an executable or a library of NEEDED.

    distribution: what ids() returns. For an unknown one, the names are Debian's.
    """
    family = next((one for one in distribution if one in FAMILIES), "debian")
    return FAMILIES[family].packages.get(name, name)


def listed() -> list[tuple[str, list[str]]]:
    """Return (distributions in words, all packages that their hosts need), a row each."""
    return [
        (family.who, sorted({family.packages.get(name, name) for name in NEEDED}))
        for family in FAMILIES.values()
    ]
