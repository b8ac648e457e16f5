# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may use a network that pods ask for, and what they may not ask of it.

The host's own configuration says it (`namespaces`), not the NetworkAttachmentDefinition: whoever
may write one of those could otherwise name the same bridge in it.
"""

from __future__ import annotations

from .._cni import errors
from .._cni.quick_os import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from .._kube_client.client import Client
    from .conf import Delegate
    from .pods import Pod

# What a pod could have tuning do beside what its network's configuration says: forward between its
# networks, answer for all addresses, hear what is not for it; and what Pod Security forbids it.
_NOT_A_PODS = {"tuning": ("sysctl", "promisc", "allmulti")}


def check(pod: Pod, delegate: Delegate, closed: list[dict[str, Any]], api: Client | None) -> None:
    """Raise Error where a pod of this namespace may not use a network.

    closed: networks that are not for everybody, each with `network` (its name), `things` (texts by
    which a configuration uses it: names, devices, files) and `namespaces` (their names, or a label
    selector).
    """
    texts = frozenset(_texts(delegate.raw))
    for one in closed:
        if texts.isdisjoint(one["things"]) or _is_among(pod.namespace, one["namespaces"], api):
            continue
        raise errors.Error(
            errors.INVALID_CONFIGURATION,
            f"A pod of the namespace {pod.namespace} may not use the network"
            f" {delegate.full_name or one['network']}: {_for_whom(one['namespaces'])}.",
            f"`namespaces` of the network {one['network']} in multinet_networks says who may.",
        )


def check_cni_args(delegate: Delegate, cni_args: Mapping[str, Any]) -> None:
    """Raise Error where a pod's cni-args ask for what is not for pods to decide."""
    for plugin in delegate.network.plugins:
        for key in _NOT_A_PODS.get(plugin["type"], ()):
            # as Go reads keys: in any case, and a long s (U+017F) is an s
            if any(asked.casefold() == key for asked in cni_args):
                raise errors.Error(
                    errors.INVALID_CONFIGURATION,
                    f"The pod asks by `cni-args` for {key} in the network"
                    f" {delegate.full_name or delegate.network.name}. This decides what keeps"
                    " networks apart, so only the configuration of the network may set it.",
                    f"Remove {key} from the pod's annotation.",
                )


def _is_among(namespace: str, wanted: list[str] | dict[str, Any], api: Client | None) -> bool:
    if isinstance(wanted, list):
        return namespace in wanted
    item = api.get(f"/api/v1/namespaces/{namespace}") if api else None
    if item is None:
        return False
    return _selects(wanted, (item.get("metadata") or {}).get("labels") or {})


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector (Kubernetes, LabelSelector) selects what has these labels."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for one in selector.get("matchExpressions") or ():
        values, value = one.get("values") or (), labels.get(one["key"])
        is_so = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[one["operator"]]
        if not is_so:
            return False
    return True


def _for_whom(wanted: list[str] | dict[str, Any]) -> str:
    if isinstance(wanted, list):
        return f"it is for the namespaces {', '.join(wanted)}"
    return "it is for namespaces that a label selector selects, and this one is not"


def _texts(value: object) -> Iterator[str]:
    """Yield every text that a configuration holds as a value, paths as plainly as they can be."""
    if isinstance(value, str):
        detour = "//" in value or "/." in value
        yield "/" + os.path.normpath(value).lstrip("/") if detour else value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
