# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of the objects of the Kubernetes API, in JMESPath (https://jmespath.org). What an
object does not have is null, and no error. Runs on the controller.
"""

from __future__ import annotations

from typing import Any

from .._libraries import need

NAMES = "[].metadata.name"  # of a list of objects
TERMINATING = "[?metadata.deletionTimestamp].metadata.name"  # of those that are being deleted

# of a node: the ranges that its pods have their addresses from
POD_CIDRS = "spec.podCIDRs || [spec.podCIDR][?@]"

# of a node
INTERNAL_ADDRESSES = "status.addresses[?type=='InternalIP'].address"

# of a pod, and of a CustomResourceDefinition: whether it serves
IS_READY = "status.conditions[?type=='Ready'].status | [0] == 'True'"
IS_ESTABLISHED = "status.conditions[?type=='Established'].status | [0] == 'True'"

# of a pod: [reason, message] of each container that does not run
NOT_RUNNING = (
    "status.containerStatuses[].state.[waiting || terminated][] | [?reason].[reason, message]"
)

# of a pod: [how often, the end of its log] of each container that ended before
ENDED = (
    "status.containerStatuses[?lastState.terminated].[restartCount, lastState.terminated.message]"
)

# of a ConfigMap kube-root-ca.crt: the certificates by which pods trust the API
ROOT_CA = 'data."ca.crt"'


def staying(annotation: str, value: str) -> str:
    """Return what asks a list of objects for those with this annotation that are not being deleted.
    `!` binds closer than a dot, hence the parentheses.
    """
    return f"[?!(metadata.deletionTimestamp) && metadata.annotations.\"{annotation}\"=='{value}']"


def ask(question: str, of: Any) -> Any:
    """Return the answer to a question (JMESPath) of an object or a list of objects, None where they
    have none; raise MissingLibraryError.
    """
    need("jmespath")
    import jmespath

    return jmespath.search(question, of)
