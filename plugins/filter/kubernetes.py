# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Kubernetes cluster and its nodes get, from the plan. Each filter is a name for one pure function of module_utils/_kubernetes."""

from __future__ import annotations

from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import checks, node, objects


class FilterModule:
    """The filters of this file."""

    def filters(self):
        """Return the filters by name."""
        return {
            "kubernetes_objects": objects.objects,
            "kubernetes_accounts": objects.accounts,
            "kubernetes_node_files": node.files,
            "kubernetes_cluster_problems": checks.cluster_problems,
            "kubernetes_node_problems": checks.node_problems,
        }
