# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Node objects say of the networks: a label where a node has them, a taint until it has,
and the leases. Runs on the controller, with an administrator's rights: after a reset nobody on the
node has any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .._names import LEASES
from . import objects
from .admin import Admin, AdminError

Item = dict[str, Any]  # an object, as the API's JSON has it

# By this label pods select nodes that have the networks.
LABEL, HAS_NETWORKS = "multinet.flannel/networks", "ready"
# A node that joins may carry this taint, so that no pod starts there before the networks do.
TAINT = "multinet.flannel/no-networks"
_SYSTEM = "kubernetes.io/os"
_GONE, _CONFLICT = 404, 409
_TRIES = 5
_NAMED = 10  # nodes, in a message


def is_announced(node: Mapping[str, Any]) -> bool:
    """Whether a node says that it has the networks, and keeps no pod away for want of them."""
    return change(node, True) is None


def address(node: Mapping[str, Any], kind: str) -> str:
    """Return a node's address of a kind (InternalIP, Hostname, ...), "" where it has none."""
    addresses = (node.get("status") or {}).get("addresses") or []
    return next((str(one["address"]) for one in addresses if one.get("type") == kind), "")


def is_linux(node: Mapping[str, Any]) -> bool:
    """Whether a node may have the networks: one of Windows has neither flannel's bridges nor ssh
    and Python, and runs no pods that ask for them. One that does not say may.
    """
    system = ((node.get("status") or {}).get("nodeInfo") or {}).get("operatingSystem")
    return (system or (node["metadata"].get("labels") or {}).get(_SYSTEM)) in (None, "", "linux")


def outside(nodes: Iterable[Mapping[str, Any]], inventory: Iterable[str]) -> str:
    """Return a sentence that names the nodes of the cluster that could have the networks and that
    the inventory does not have, "" where it has all.
    """
    names = {node["metadata"]["name"] for node in nodes if is_linux(node)}
    strangers = sorted(names.difference(inventory))
    if not strangers:
        return ""
    named = ", ".join(strangers[:_NAMED])
    more = len(strangers) - _NAMED
    return (
        "Nodes of the cluster that are not in the inventory:"
        f" {named}{f' and {more} more' if more > 0 else ''}. Pods that"
        " start there get none of the networks, without any error: add the nodes and run the"
        " playbook site, or keep pods away (docs/kubernetes.md, Nodes that join)."
    )


def change(
    node: Mapping[str, Any], has_networks: bool, *, leases_stay: bool = False
) -> tuple[Item, list[str]] | None:
    """Return (JSON merge patch, what it does, as clauses for people) of what a Node object has to
    say from now on; None where it does so already. Without networks, their leases go, too, unless
    they are to stay.
    """
    metadata, spec = node["metadata"], node.get("spec") or {}
    name = metadata["name"]
    label = (metadata.get("labels") or {}).get(LABEL)
    what: list[str] = []
    patched: Item = {}
    patch: Item = {}
    if has_networks and label != HAS_NETWORKS:
        patched["labels"] = {LABEL: HAS_NETWORKS}
        what.append(f"label Node {name}: {LABEL}={HAS_NETWORKS}")
    elif not has_networks and label is not None:
        patched["labels"] = {LABEL: None}
        what.append(f"remove the label {LABEL} from Node {name}")
    leases = [
        key
        for key in sorted(metadata.get("annotations") or {})
        if key.partition("/")[0].endswith(LEASES)
    ]
    if not has_networks and leases and not leases_stay:
        patched["annotations"] = dict.fromkeys(leases)
        networks = sorted({key.partition(LEASES)[0] for key in leases})
        what.append(f"remove the leases of {', '.join(networks)} from Node {name}")
    taints = spec.get("taints") or []
    kept = [taint for taint in taints if taint.get("key") != TAINT]
    if has_networks and kept != taints:
        # a list is replaced as a whole, so it has to be the one that was read
        patched["resourceVersion"] = metadata["resourceVersion"]
        patch["spec"] = {"taints": kept or None}
        what.append(f"remove the taint {TAINT} from Node {name}")
    if not what:
        return None
    return dict(patch, metadata=patched), what


def bring_about(
    api: Admin,
    names: Iterable[str],
    *,
    has_networks: bool,
    leases_stay: bool = False,
    check_mode: bool = False,
) -> list[str]:
    """Make the Node objects of these names say whether they have the networks; return what was
    done. One that is not there is passed over. leases_stay: as in change(). Raises AdminError.
    """
    return patch_all(
        api,
        names,
        lambda node: change(node, has_networks, leases_stay=leases_stay),
        check_mode=check_mode,
    )


def patch_all(
    api: Admin,
    names: Iterable[str],
    wish: Callable[[Item], tuple[Item, list[str]] | None],
    *,
    check_mode: bool = False,
) -> list[str]:
    """Change the Node objects of these names; return what was done. One that is not there, or goes
    meanwhile, is passed over. Raises AdminError.

    wish: returns what change() does of a Node object as it is now.
    """
    done = []
    for name in names:
        path = f"/api/v1/nodes/{name}"
        for attempt in range(_TRIES):
            node = api.get(path)
            found = wish(node) if node else None
            if found is None:
                break
            patch, what = found
            try:
                if not check_mode:
                    api.patch(path, patch)
            except AdminError as error:
                if error.status == _GONE:
                    break
                if error.status != _CONFLICT or attempt == _TRIES - 1:
                    raise
                continue
            done += what
            break
    return done


def remove_accounts(api: Admin, names: Iterable[str], *, check_mode: bool = False) -> list[str]:
    """Delete the service accounts of nodes; return what was done. Raises AdminError."""
    done = []
    for path in map(objects.account_path, names):
        account = api.get(path)
        if account and objects.is_ours(account):
            if not check_mode:
                api.delete(path)
            done.append(f"delete {objects.label({'kind': 'ServiceAccount', **account})}")
    return done
