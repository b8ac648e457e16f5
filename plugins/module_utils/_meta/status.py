# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pod is told about its networks: the annotation network-status (NPWG 1.3, section 5), and
events.
"""

from __future__ import annotations

import time

from .._cni import conf, errors
from .._cni import result as results
from . import annotations, devices

_EVENT_SECONDS = 2.0


def status(attached):
    """Return the value of the annotation (list of dict) for what was attached (list of
    state.Attached, the master first).
    """
    return [_entry(one, number == 0) for number, one in enumerate(attached) if not one.chained]


def _entry(one, is_default):
    latest = results.to_latest(one.result)
    # The first interface that is inside a sandbox is the one the entry is about (section 5.2).
    index, interface = next(
        ((place, item) for place, item in enumerate(latest["interfaces"]) if item.get("sandbox")),
        (None, {}),
    )
    own = [item for item in latest["ips"] if index is not None and item.get("interface") == index]
    if not own:
        own = [
            item
            for item in latest["ips"]
            if not isinstance(item.get("interface"), int) or item["interface"] < 0
        ]
    entry = {
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
    gateways = [
        route["gw"]
        for route in latest["routes"]
        if route.get("gw") and route["dst"] in ("0.0.0.0/0", "::/0")
    ]
    if gateways:
        entry["gateway"] = gateways
    described = devices.describe(one.device_file) if one.device_file else None
    if described:
        entry["device-info"] = described
    return entry


def publish(api, pod, attached):
    """Write the annotation; return False when the pod is gone, which its DEL will see to; raise
    Error.

    By PATCH, and by the subresource status: nothing else of the pod is touched or may be (no role
    needs to change pods).
    """
    metadata = {"annotations": {annotations.STATUS: _indented(status(attached))}}
    if pod.uid:
        metadata["uid"] = pod.uid  # another pod of the same name is not ours
    return api.patch(pod.path + "/status", {"metadata": metadata}) is not None


def _indented(value, begin="\n"):
    """JSON (str) for people: they read the annotation."""
    inner = begin + "    "
    if isinstance(value, dict) and value:
        return f"{{{','.join((f'{inner}{conf.encode(key)}: {_indented(item, inner)}' for key, item in value.items()))}{begin}}}"
    if isinstance(value, list) and value:
        return f"[{','.join(inner + _indented(item, inner) for item in value)}{begin}]"
    return conf.encode(value)


def tell(api, pod, log, kind, reason, message):
    """Write an event for a pod, when that is possible: nobody's network depends on it.

    log: takes a level and a sentence.
    """
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": pod.name[:200] + ".", "namespace": pod.namespace},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": pod.namespace,
            "name": pod.name,
            "uid": pod.uid,
        },
        "type": kind,
        "reason": reason,
        "message": message[:1000],
        "source": {"component": "multus"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        api.limit(_EVENT_SECONDS)
        api.post(f"/api/v1/namespaces/{pod.namespace}/events", event)
    except errors.Error as error:
        log("error", f"An event for {pod} was not written: {error}")


def added(one):
    """Return the message (str) about a state.Attached."""
    addresses = [item["address"] for item in results.to_latest(one.result)["ips"]]
    return f"Add {one.interface} [{' '.join(addresses)}] from {one.full_name or one.raw['name']}"
