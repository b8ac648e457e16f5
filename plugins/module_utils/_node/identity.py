# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machine this is, whatever an inventory calls it, and what of a data store lies on it."""

from __future__ import annotations

import glob
import hashlib
import os
from typing import Any

from . import deployed
from .units import parse_environment

ETCD_SETTINGS = "/etc/multinet/etcd.env"


def look(root: str = "/") -> dict[str, Any]:
    """Return {machine, member, ca, deployed_as}.

    machine: the same text under every name of a machine, and another one on every other machine.
    member: name of the etcd member whose data is here, None without data. ca: sha256 of the CA's
    certificate that etcd is reached with, None without one. deployed_as: the name under which
    networks were deployed here, None without any. root: where the host's files are; for tests.
    Raises OSError.
    """
    return {
        "machine": _machine(root),
        "member": _member(root),
        "ca": _sum(root + "etc/multinet/pki/ca.crt"),
        "deployed_as": _deployed_as(root),
    }


def _machine(root: str) -> str:
    """A machine id is copied with an image or a virtual machine; the id of a boot is not.

    Containers share their kernel's boot, but neither files nor network. Machines that were resumed
    from one snapshot share all of that, but not the addresses of their network cards.
    """
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        boot = stream.read().strip()
    files = os.stat(root)
    network = os.stat("/proc/self/ns/net")
    cards = sorted(
        _text(card + "/address")
        for card in glob.glob("/sys/class/net/*")
        if os.path.exists(card + "/device")
    )
    return " ".join([boot, f"{files.st_dev}:{files.st_ino}", str(network.st_ino), *cards])


def _member(root: str) -> str | None:
    try:
        settings = parse_environment(_text(root + ETCD_SETTINGS.lstrip("/")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    data = settings.get("ETCD_DATA_DIR", "").lstrip("/")
    # as etcd itself sees it (server/storage/wal, Exist)
    if not data or not glob.glob(os.path.join(glob.escape(root + data), "member/wal/*.wal")):
        return None
    return settings.get("ETCD_NAME")


def _sum(path: str) -> str | None:
    try:
        with open(path, "rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except OSError:
        return None


def _deployed_as(root: str) -> str | None:
    try:
        return (deployed.read(root + deployed.PATH.lstrip("/")) or {}).get("host")
    except deployed.DeployedError:
        return None


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as stream:
        return stream.read().strip()
