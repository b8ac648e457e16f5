# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which network namespace is meant: by its name or path, by a process, or by a container that
podman or docker knows.
"""

from __future__ import annotations

import hashlib
import json
import os

from .._cni import conf, netns

ENGINES = ("podman", "docker")


class TargetError(Exception):
    """The target cannot be found or must not be touched; the text is a sentence."""


class Target:
    """netns: str, a path, empty when the namespace is gone; container_id: str, or None for a
    container nobody knows any more;
    label: str, how the user named it.
    """

    def __init__(self, label, path, container_id):
        self.label = label
        self.netns = path
        self.container_id = container_id


def find(kind, value, container_id=None, inspect=None):
    """Return the Target.

    kind: "netns", "pid" or "container"; value: str; container_id: str or None: derived; inspect:
    function that takes an engine and a container and returns what `<engine> inspect` prints (str),
    or None when it knows no such container. Raises TargetError.
    """
    label = f"{kind}:{value}"
    if kind == "container":
        known, pid = _inspect(value, inspect)
        path = f"/proc/{pid}/ns/net" if pid else ""
        derived = known
    else:
        path = _path(kind, value)
        derived = _derive(path)
    container_id = container_id or derived
    if container_id is not None and not conf.is_name(container_id):
        raise TargetError(
            f"The container_id {container_id!r} is not one: use letters, digits, '_', '.', '-', and"
            " a letter or digit first."
        )
    if path and netns.identity(path) is None:
        path = ""
    if path and netns.is_own(path):
        raise TargetError(
            f"{kind} {value} is in the host's own network namespace; start it with a network"
            " namespace of its own."
        )
    return Target(label, path, container_id)


def _path(kind, value):
    if kind == "pid":
        if not value.isdigit() or int(value) == 0:
            raise TargetError(f"The pid {value!r} is not a number above 0.")
        return f"/proc/{value}/ns/net"
    if value.startswith("/"):
        return value
    if "/" in value or value in ("", ".", ".."):
        raise TargetError(
            f"The netns {value!r} is neither a name under /run/netns nor an absolute path."
        )
    return os.path.join("/run/netns", value)


def _derive(path):
    """A stable id for what is no container, the same that cnitool gives to the same path."""
    return "cnitool-" + hashlib.sha512(path.encode()).hexdigest()[:20]


def _inspect(name, inspect):
    """Return a container's (id, process id), (None, 0) when no engine knows it."""
    for engine in ENGINES:
        text = inspect(engine, name)
        if text is None:
            continue
        try:
            found = json.loads(text)[0]
            return found["Id"], int(found["State"]["Pid"])
        except (ValueError, KeyError, IndexError, TypeError):
            raise TargetError(
                f"{engine} inspect {name} printed what cannot be understood: {text[:200]}"
            ) from None
    return None, 0
