# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices that device plugins gave to a pod, and the files in which they are described (Device
Information Specification 1.1).

Which devices a pod has is read from the kubelet's checkpoint file, and taken in order: the first
network that asks for a resource gets its first device.
"""

from __future__ import annotations

from .._cni import conf, errors, files
from .._cni.quick_os import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .pods import Pod

CHECKPOINT = "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint"
DIRECTORY = "/var/run/k8s.cni.cncf.io/devinfo"


class Devices:
    """checkpoint: the kubelet's file; directory: where devices are described."""

    def __init__(self, checkpoint: str = CHECKPOINT, directory: str = DIRECTORY) -> None:
        self.checkpoint = checkpoint
        self.directory = directory
        self._data: dict[str, Any] | None = None
        self._left: dict[str, list[str]] = {}

    def take(self, pod: Pod, resource: str) -> str | None:
        """Return the next device of a resource that a pod has; None where no device plugin offers
        the resource, which then is counted by the scheduler alone (ovs-cni, bridge-marker); raise
        Error when none is left.
        """
        if self._data is None:
            text = files.read(self.checkpoint)
            decoded = conf.decode(text, self.checkpoint) if text is not None else {}
            self._data = decoded.get("Data") or {}
            self._left = self._of_pod(pod, self._data)
        if self._left.get(resource):
            return self._left[resource].pop(0)
        if resource not in self._left and not (self._data.get("RegisteredDevices") or {}).get(
            resource
        ):
            return None
        raise errors.Error(
            errors.INVALID_CONFIGURATION,
            f"The pod {pod} has no device of {resource} left for its networks.",
            f"Each of its networks with {resource} takes one device; raise `{resource}` in the"
            " pod's resources.",
        )

    @staticmethod
    def _of_pod(pod: Pod, data: dict[str, Any]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for entry in data.get("PodDeviceEntries") or []:
            if entry.get("PodUID") != pod.uid:
                continue
            ids = entry.get("DeviceIDs") or []
            if not isinstance(ids, list):  # lists by NUMA node since Kubernetes 1.20
                ids = [one for listed in ids.values() for one in listed]
            found.setdefault(entry.get("ResourceName"), []).extend(ids)
        return found

    def file(self, full_name: str, container_id: str, interface: str) -> str:
        """Return where a plugin describes its device, by the network's name, the container and the
        interface.
        """
        name = f"{full_name}-{container_id}_{interface}".replace("/", "-")
        return os.path.join(self.directory, "cni", name)

    def prepare(self, resource: str, device: str, file: str) -> None:
        """Give the device plugin's description of a device to the CNI plugin that gets it; one that
        is not there is none.
        """
        name = f"{resource}-{device}-device.json".replace("/", "-")
        text = files.read(os.path.join(self.directory, "dp", name))
        if text is not None:
            os.makedirs(os.path.dirname(file), exist_ok=True)
            files.write(file, text, 0o644)


def describe(file: str) -> dict[str, Any] | None:
    """Return what a device's file holds, None when there is none or it holds nothing of use."""
    try:
        text = files.read(file)
        return None if text is None else conf.decode(text, file)
    except (OSError, errors.Error):
        return None
