# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables that are numbers, and how small and large they may be. Pure, on the controller."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .._plan.sentences import show

# variable -> (least, most). An argument specification cannot say it.
RANGES: dict[str, tuple[float, float]] = {
    "addresses_prefix_length": (1, 30),
    "addresses_ipv6_prefix_length": (1, 126),
    "etcd_ca_days": (1, 36500),
    "etcd_certificate_days": (1, 36500),
    "etcd_renew_days": (0, 36500),
    "etcd_timeout": (1, 3600),
    "flanneld_timeout": (1, 3600),
    "gc_grace": (0, 365 * 86400),
    "keeper_metrics_port": (0, 65535),
    "kubernetes_token_seconds": (600, 1 << 32),  # of a TokenRequest
    "multinet_subnet_server_port": (1, 65535),
    "reset_drain_timeout": (1, 86400),
    "upgrade_wait": (0, 86400),
    "verify_deadline": (1, 86400),
    "verify_pairs": (0, 10**9),
    "verify_port": (1024, 65520),  # the first of 16
    "verify_rate": (100, 10**7),
    "verify_receivers_per_host": (0, 10**6),
    "verify_wait": (0, 60),
}


def out_of_range(
    found: Mapping[str, Mapping[str, Any]], types: Mapping[str, str], hosts: int
) -> list[str]:
    """Return a sentence for each variable of RANGES that is no number, or one that it may not be.

    found: name -> {host that has it: value}. types: name -> "int" or "float". hosts: how many there
    are; what not all of them have wrong is told with those that do.
    """
    told = []
    for name in sorted(set(found) & set(RANGES)):
        least, most = RANGES[name]
        wrong = {
            host: value
            for host, value in found[name].items()
            if not _is_number(value, types[name], least, most)
        }
        if wrong:
            where = f" (of {', '.join(sorted(wrong))})" if len(wrong) < hosts else ""
            number = "a whole number" if types[name] == "int" else "a number"
            told.append(
                f"{name} is {show(next(iter(wrong.values())))}{where}; write {number} from"
                f" {least} to {most}."
            )
    return told


def _is_number(value: Any, kind: str, least: float, most: float) -> bool:
    """Whether Ansible makes a number of a value, and it is in the range. After -e it is a text."""
    if isinstance(value, bool):
        return False
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    whole = kind == "float" or (math.isfinite(number) and number == int(number))
    return whole and least <= number <= most
