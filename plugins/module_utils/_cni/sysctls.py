# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a sysctl of the plugin tuning is, and which is set first."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# A change of these changes what the kernel has for others, such as accept_redirects
# (Documentation/networking/ip-sysctl.rst).
_FORWARDING = ("/ip_forward", "/all/forwarding")


def path(key: str, interface: str) -> str:
    """Return the path below /proc/sys of a sysctl of a tuning configuration; IFNAME in it stands
    for the interface (github.com/containernetworking/plugins, plugins/meta/tuning/tuning.go).
    """
    return key.replace(".", "/").replace("IFNAME", interface, 1)


def in_order(paths: Iterable[str]) -> list[str]:
    """Return paths with those first whose change would take others back."""
    return sorted(paths, key=lambda one: not one.endswith(_FORWARDING))
