# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a cluster lets flanneld run in pods, asked by a dry run before anything is made. What
forbids it may be in no object: a default Pod Security level is in a file of the API server, and
webhooks judge by themselves. Runs on the controller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import daemonset
from .admin import Admin, AdminError

# who refuses a pod for what it is; another refusal is not of this pod, or passes
_JUDGES = ("violates PodSecurity", "denied the request", "denied request")


def refusal(api: Admin, plan: Mapping[str, Any], namespace: str, image: str) -> str:
    """Return what the API says against flanneld's pods in a namespace, as sentences; "" where it
    says nothing, or cannot be asked.

    plan: as _plan.plan.plan() makes it, with a network at least.
    """
    pod = daemonset.sample(plan, namespace, image)
    try:
        api.post(f"/api/v1/namespaces/{namespace}/pods", pod, dryRun="All")
    except AdminError as error:
        if any(words in str(error) for words in _JUDGES):
            return str(error)
    return ""
