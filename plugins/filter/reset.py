# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters: what a user reads of a reset (documentation: reset_of_host.yml, reset_of_site.yml)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.multinet.flannel.plugins.module_utils._site import reset


def reset_of_host(host: Mapping[str, Any]) -> list[str]:
    """Return reset.of_host() of a mapping with the fields of reset.Host."""
    return reset.of_host(reset.Host(**host))


def reset_of_site(site: Mapping[str, Any]) -> list[str]:
    """Return reset.of_site() of a mapping with the fields of reset.Site."""
    return reset.of_site(reset.Site(**site))


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"reset_of_host": reset_of_host, "reset_of_site": reset_of_site}
