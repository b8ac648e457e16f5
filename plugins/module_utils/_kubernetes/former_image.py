# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images of flanneld's pods that an upgrade replaces, kept to go back to. Runs on the
controller.

Each DaemonSet has an annotation with its former image, which is the record of what can be gone back
to, whatever an inventory says by then. Only the image goes back: all else is the collection's.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from . import daemonset, objects
from .admin import Admin, AdminError, pods_of
from .questions import IS_READY, ask

Item = dict[str, Any]  # an object, as the API's JSON has it

KEPT = "multinet.flannel/previous"
# of a list of nodes: the names of those whose kubelet answers
_ANSWERING = "[?status.conditions[?type=='Ready'].status | [0] == 'True'].metadata.name"


class Former(NamedTuple):
    """What a DaemonSet had before the last upgrade that replaced its image."""

    image: str
    sum: str  # daemonset.SUM of its pods
    upgrade: str  # what was declared then, by which another upgrade is known


def keep(api: Admin, image: str, declared: str, *, check_mode: bool = False) -> list[str]:
    """Keep the image of each DaemonSet that is about to get another one; return what was done. What
    an earlier upgrade kept goes. Raises AdminError.

    declared: the versions that are upgraded to, as text. Who runs the same upgrade again, after it
    was stopped, keeps what ran before it.
    """
    done = []
    for item in daemon_sets(api):
        kept, now = _kept(item), _image(item)
        if now == image:
            former = kept if kept and kept.upgrade == declared else None
        elif kept and not _ran(api, item, now):
            former = kept._replace(upgrade=declared)
        else:
            noted = item["spec"]["template"]["metadata"].get("annotations") or {}
            former = Former(now, noted.get(daemonset.SUM, ""), declared)
        if former == kept:
            continue
        text = json.dumps(former._asdict(), sort_keys=True) if former else None
        if not check_mode:
            api.patch(objects.path(item), {"metadata": {"annotations": {KEPT: text}}})
        what = f"keep {former.image}" if former else "forget the former image"
        done.append(f"{what} of {objects.label(item)}")
    return done


def restore(api: Admin, *, check_mode: bool = False) -> list[str]:
    """Put the images back that the last upgrade replaced, and keep them no longer: who goes back
    twice stays there. Return what was done. Raises AdminError.
    """
    done = []
    for item in daemon_sets(api):
        kept, now = _kept(item), _image(item)
        if kept is None:
            continue
        patch: Item = {"metadata": {"annotations": {KEPT: None}}}
        if now != kept.image:
            done.append(f"{objects.label(item)}: {kept.image} instead of {now}")
            patch["spec"] = {
                "template": {
                    "metadata": {"annotations": {daemonset.SUM: kept.sum}},
                    "spec": {"containers": [{"name": daemonset.CONTAINER, "image": kept.image}]},
                }
            }
        if not check_mode:
            api.merge(objects.path(item), patch)
    return done


def daemon_sets(api: Admin) -> list[Item]:
    """Return the DaemonSets that run flanneld; raise AdminError."""
    selector = f"{objects.LABEL}={objects.OWNER}"
    return api.items(objects.collection_path("DaemonSet"), labelSelector=selector) or []


def nodes_of(api: Admin, items: list[Item]) -> list[str]:
    """Return the sorted names of the nodes on which DaemonSets have pods and whose kubelet answers:
    from one that is down, no news will come. Raises AdminError.
    """
    if not items:
        return []
    answering = set(ask(_ANSWERING, api.items("/api/v1/nodes") or []))
    return sorted(
        answering.intersection(
            pod["spec"].get("nodeName") for item in items for pod in pods_of(api, item)
        )
    )


def _ran(api: Admin, item: Item, image: str) -> bool:
    """Return whether a DaemonSet has a ready pod with an image: an update to one that never ran was
    none.
    """
    return any(ask(IS_READY, pod) and _image(pod) == image for pod in pods_of(api, item))


def _image(item: Item) -> str:
    """Return the image of flanneld in the pods of a DaemonSet, or in a pod; to a pod, a cluster may
    add containers.
    """
    spec = item["spec"].get("template", item)["spec"]
    return next(
        str(one["image"]) for one in spec["containers"] if one["name"] == daemonset.CONTAINER
    )


def _kept(item: Item) -> Former | None:
    """Return what is kept of a DaemonSet; raise AdminError where that cannot be read."""
    text = (item["metadata"].get("annotations") or {}).get(KEPT)
    if text is None:
        return None
    try:
        return Former(**{key: str(value) for key, value in json.loads(text).items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise AdminError(
            f"The annotation {KEPT} of {objects.label(item)} cannot be read ({error}). Remove it,"
            " and declare the image that is wanted."
        ) from error
