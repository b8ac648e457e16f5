# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices that device plugins gave to a pod, and the files in which they are described (Device
Information Specification 1.1).

Which devices a pod has is read from the kubelet's checkpoint file, and taken in order: the first
network that asks for a resource gets its first device.
"""

from __future__ import annotations

import os

from .._cni import conf, errors, files

CHECKPOINT = "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint"
DIRECTORY = "/var/run/k8s.cni.cncf.io/devinfo"


class Devices:
    """checkpoint, directory: str, paths."""

    def __init__(self, checkpoint=CHECKPOINT, directory=DIRECTORY):
        self.checkpoint = checkpoint
        self.directory = directory
        self._left = None

    def take(self, pod, resource):
        """Return the next device (str) of a resource that a pod (pods.Pod) has; raise Error when it
        has none left.
        """
        if self._left is None:
            self._left = self._of_pod(pod)
        if not self._left.get(resource):
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"The pod {pod} has no device of {resource} left for its networks.",
                "Does it ask for enough of them in its resources?",
            )
        return self._left[resource].pop(0)

    def _of_pod(self, pod):
        text = files.read(self.checkpoint)
        if text is None:
            return {}
        data = conf.decode(text, self.checkpoint).get("Data") or {}
        found = {}
        for entry in data.get("PodDeviceEntries") or []:
            if entry.get("PodUID") != pod.uid:
                continue
            ids = entry.get("DeviceIDs") or []
            # a list up to Kubernetes 1.19, lists by NUMA node since
            ids = (
                ids if isinstance(ids, list) else [one for listed in ids.values() for one in listed]
            )
            found.setdefault(entry.get("ResourceName"), []).extend(ids)
        return {resource: sorted(ids) for resource, ids in found.items()}

    def file(self, full_name, container_id, interface):
        """Return where a plugin describes its device (str), by the network's name, the container
        and the interface.
        """
        return os.path.join(
            self.directory, "cni", (f"{full_name}-{container_id}_{interface}").replace("/", "-")
        )

    def prepare(self, resource, device, file):
        """Give the device plugin's description of a device to the CNI plugin that gets it; one that
        is not there is none.
        """
        given = os.path.join(
            self.directory, "dp", (f"{resource}-{device}-device.json").replace("/", "-")
        )
        text = files.read(given)
        if text is not None:
            os.makedirs(os.path.dirname(file), exist_ok=True)
            files.write(file, text, 0o644)


def describe(file):
    """Return what a device's file holds (dict), None when there is none or it holds nothing of use."""
    try:
        text = files.read(file)
        return None if text is None else conf.decode(text, file)
    except (OSError, errors.Error):
        return None
