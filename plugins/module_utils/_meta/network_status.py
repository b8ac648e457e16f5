# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pod is told about its networks: the annotation network-status (NPWG 1.3, section 5), and
events.
"""

from __future__ import annotations

from .._cni import conf, errors
from .._cni import result as results
from .._kube_client import events
from . import annotations as notes
from . import devices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._kube_client.client import Client
    from .log import Log
    from .pods import Pod
    from .state import Attached

_EVENT_SECONDS = 2.0
_FORBIDDEN, _CONFLICT = 403, 409
_REPLACE_TRIES = 5


def status(attached: list[Attached], *, has_default: bool = True) -> list[dict[str, Any]]:
    """Return the value of the annotation for what was attached, the master first: an entry for each
    interface in the container. has_default: whether the first one is the master.
    """
    entries = []
    for number, one in enumerate(attached):
        if not one.chained:
            entries += _entries(one, has_default and number == 0)
    return entries


def _entries(one: Attached, is_default: bool) -> list[dict[str, Any]]:
    latest = results.to_latest(one.final_result)
    inside = [place for place, item in enumerate(latest["interfaces"]) if item.get("sandbox")]
    if not inside:
        return [_entry(one, latest, None, is_default=is_default)]
    # the network's route, DNS and addresses without interface are the first one's
    return [
        _entry(one, latest, place, is_default=is_default and place == inside[0], number=number)
        for number, place in enumerate(inside)
    ]


def _entry(
    one: Attached, latest: dict[str, Any], index: int | None, *, is_default: bool, number: int = 0
) -> dict[str, Any]:
    interface: dict[str, Any] = {} if index is None else latest["interfaces"][index]
    own = [item for item in latest["ips"] if index is not None and item.get("interface") == index]
    if not own and not number:
        own = [
            item
            for item in latest["ips"]
            if not isinstance(item.get("interface"), int) or item["interface"] < 0
        ]
    entry: dict[str, Any] = {
        "name": one.full_name or one.raw["name"],
        "interface": interface.get("name") or one.interface,
    }
    if own:
        entry["ips"] = [item["address"].partition("/")[0] for item in own]
    if interface.get("mac"):
        entry["mac"] = interface["mac"]
    if interface.get("mtu"):
        entry["mtu"] = interface["mtu"]
    entry["default"] = is_default
    entry["dns"] = {key: value for key, value in latest["dns"].items() if value}
    if number:
        return dict(entry, dns={})
    gateways = [
        route["gw"]
        for route in latest["routes"]
        if route.get("gw") and results.default_family(route["dst"])
    ]
    if gateways:
        entry["gateway"] = gateways
    described = devices.describe(one.device_file) if one.device_file else None
    if described:
        entry["device-info"] = described
    return entry


def publish(api: Client, pod: Pod, attached: list[Attached], *, has_default: bool = True) -> bool:
    """Write the annotation, see status(); return False when the pod is gone, which its DEL will see
    to; raise Error.

    By PATCH, and by the subresource status: nothing else of the pod is touched or may be (no role
    needs to change pods). Multus' own ClusterRole grants `update` alone; with it the pod is read
    and replaced.
    """
    annotation = {notes.STATUS: _indented(status(attached, has_default=has_default))}
    metadata: dict[str, Any] = {"annotations": annotation}
    if pod.uid:
        metadata["uid"] = pod.uid  # another pod of the same name is not ours
    try:
        return api.patch(pod.path + "/status", {"metadata": metadata}) is not None
    except errors.Error as error:
        if getattr(error, "status", None) != _FORBIDDEN:
            raise
        return _replace(api, pod, annotation)


def _replace(api: Client, pod: Pod, annotation: dict[str, str]) -> bool:
    for attempt in range(_REPLACE_TRIES):
        item = api.get(pod.path)
        if item is None or (pod.uid and item["metadata"].get("uid") != pod.uid):
            return False
        metadata = item["metadata"]
        annotations = {**(metadata.get("annotations") or {}), **annotation}
        item = dict(item, metadata=dict(metadata, annotations=annotations))
        try:
            return api.put(pod.path + "/status", item) is not None
        except errors.Error as error:
            if getattr(error, "status", None) != _CONFLICT or attempt == _REPLACE_TRIES - 1:
                raise
    raise AssertionError("the last attempt returned or raised")


def _indented(value: Any, begin: str = "\n") -> str:
    """JSON for people: they read the annotation."""
    inner = begin + "    "
    if isinstance(value, dict) and value:
        pairs = (f"{conf.encode(key)}: {_indented(item, inner)}" for key, item in value.items())
        return f"{{{','.join(inner + pair for pair in pairs)}{begin}}}"
    if isinstance(value, list) and value:
        return f"[{','.join(inner + _indented(item, inner) for item in value)}{begin}]"
    return conf.encode(value)


def tell(api: Client, pod: Pod, log: Log, *, kind: str, reason: str, message: str) -> None:
    """Write an event for a pod, when that is possible: nobody's network depends on it. One that was
    written before counts up.

    log: takes a level and a sentence.
    """
    about = {"kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid}
    item = events.event(about, kind, reason, message)
    path = f"/api/v1/namespaces/{pod.namespace}/events"
    try:
        api.limit(_EVENT_SECONDS)
        try:
            # an API that takes no more events now (EventRateLimit) does not keep the pod waiting
            api.post(path, item, once=True)
        except errors.Error as error:
            if getattr(error, "status", None) != _CONFLICT:
                raise
            path += "/" + item["metadata"]["name"]
            before = api.get(path) or {}
            api.patch(path, events.again(before))
    except errors.Error as error:
        log("error", f"An event for {pod} was not written: {error}")


def added(one: Attached) -> str:
    """Return the message about what was attached."""
    addresses = [item["address"] for item in results.to_latest(one.final_result)["ips"]]
    return f"Add {one.interface} [{' '.join(addresses)}] from {one.full_name or one.raw['name']}"
