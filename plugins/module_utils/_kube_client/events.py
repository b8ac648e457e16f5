# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of Kubernetes, as `kubectl describe` shows them beside a pod or a node. Pure but for the
clock.
"""

from __future__ import annotations

import time
from binascii import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMPONENT = "multinet"  # whose events they are


def event(about: dict[str, str], kind: str, reason: str, message: str) -> dict[str, Any]:
    """Return an Event. Its name follows from what it says: saying it again is the same Event.

    about: kind, name, uid and namespace of the object (a Node has none, and its events are in
    "default"); kind: Normal or Warning.
    """
    now = _now()
    message = message[:1000]
    told = f"{crc32((about['uid'] + reason).encode()):08x}{crc32(message.encode()):08x}"
    namespace = about.get("namespace") or "default"
    name = about["name"][:200].rstrip("-.")  # before the dot must be a letter or a digit
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.{told}", "namespace": namespace},
        "involvedObject": dict(about, apiVersion="v1"),
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": COMPONENT},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def again(before: dict[str, Any]) -> dict[str, Any]:
    """Return the merge patch of an Event that is said once more."""
    return {"count": before.get("count", 0) + 1, "lastTimestamp": _now()}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
