# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter: the text of the nftables table of a plan (documentation: isolation_ruleset.yml)."""

from __future__ import annotations

from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.ruleset import ruleset


def isolation_ruleset(plan, node_addresses=(), docker_network=""):
    try:
        return ruleset(plan, node_addresses, docker_network)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter of this file, for Ansible."""

    def filters(self):
        return {"isolation_ruleset": isolation_ruleset}
