# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What inventory plugins do with the options of the fragment `constructed`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.inventory import BaseInventoryPlugin, Constructable


class Constructed(BaseInventoryPlugin, Constructable):
    """An inventory plugin with variables and groups that users compose."""

    def construct(self, host: str, shared: Mapping[str, Any] | None = None) -> None:
        """Give a host the variables, then the groups, that the options make of its own variables.

        shared: variables of all hosts, which its own come before.
        """
        strict = self.get_option("strict")
        variables = {**(shared or {}), **self.inventory.get_host(host).get_vars()}
        self._set_composite_vars(self.get_option("compose"), variables, host, strict=strict)
        variables = {**variables, **self.inventory.get_host(host).get_vars()}
        self._add_host_to_composed_groups(self.get_option("groups"), variables, host, strict=strict)
        keyed = self.get_option("keyed_groups")
        self._add_host_to_keyed_groups(keyed, variables, host, strict=strict)
