# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects that are being deleted: they stay until whoever put a finalizer on them takes it off.
Pure; runs on the controller.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import objects

Item = dict[str, Any]  # an object, as the API's JSON has it

# Those of Kubernetes itself, which go in a moment: for the objects below, and for those of a kind.
_BELOW = ("foregroundDeletion", "orphan")
_OF_KIND = "customresourcecleanup.apiextensions.k8s.io"


def is_ending(item: Item | None) -> bool:
    """Whether an object is being deleted."""
    return item is not None and bool(item["metadata"].get("deletionTimestamp"))


def waits(item: Item | None) -> bool:
    """Whether an object that is being deleted waits for others than Kubernetes itself."""
    return item is not None and is_ending(item) and bool(_of_others(item))


def sentence(item: Item) -> str:
    """Say that an object is being deleted, and what it waits for: a clause."""
    metadata = item["metadata"]
    said = f"{objects.label(item)} is being deleted since {metadata['deletionTimestamp']}"
    others = _of_others(item)
    if not others:
        is_kind = _OF_KIND in (metadata.get("finalizers") or ())
        return f"{said}, and objects of its kind are still there" if is_kind else said
    named = " and ".join(one + _whose(item, one) for one in others)
    what, it = ("finalizers", "them") if len(others) > 1 else ("finalizer", "it")
    return f"{said} and waits for its {what} {named}: whoever set {it} has to take {it} off"


def warnings(items: Iterable[Item]) -> list[str]:
    """Return sentences about objects that are being deleted."""
    return [f"{sentence(item)}. It is not deleted again." for item in items]


def _of_others(item: Item) -> list[str]:
    """Return the finalizers of an object that are not those of Kubernetes itself."""
    finalizers = item["metadata"].get("finalizers") or ()
    return [one for one in finalizers if one not in (*_BELOW, _OF_KIND)]


def _whose(item: Item, finalizer: str) -> str:
    """Say who set a finalizer, as the API has noted it, "" where it has not."""
    managers = sorted(
        {
            str(one.get("manager"))
            for one in item["metadata"].get("managedFields") or []
            if f'v:"{finalizer}"'
            in (((one.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:finalizers") or {})
        }
    )
    return f" (set by {', '.join(managers)})" if managers else ""
