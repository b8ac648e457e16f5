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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Optional

    # Takes an engine and a container.
    Inspect = Callable[[str, str], Optional[str]]

ENGINES = ("podman", "docker")


class TargetError(Exception):
    """The target cannot be found or must not be touched; the text is a sentence."""


class Target:
    """label: how the user named it; netns: a path, empty when the namespace is gone; container_id:
    None for a container nobody knows any more.
    """

    def __init__(self, label: str, netns: str, container_id: str | None) -> None:
        self.label = label
        self.netns = netns
        self.container_id = container_id


def _no_engine(engine: str, name: str) -> str | None:
    return None


def find(
    kind: str, value: str, container_id: str | None = None, inspect: Inspect = _no_engine
) -> Target:
    """Return the Target; raise TargetError.

    kind: "netns", "pid" or "container"; container_id: derived where not given; inspect: returns
    what `<engine> inspect` prints of a container, None when the engine knows no such one.
    """
    label = f"{kind}:{value}"
    if kind == "container":
        derived, pid = _inspect(value, inspect)
        path = f"/proc/{pid}/ns/net" if pid else ""
    else:
        path = _path(kind, value)
        derived = _derive(path)
    container_id = container_id or derived
    if container_id is not None and not conf.is_name(container_id):
        raise TargetError(
            f"The container_id {container_id!r} is not valid: use letters, digits, '_', '.', '-',"
            " and a letter or digit first."
        )
    if path and netns.identity(path) is None:
        path = ""
    if path and netns.is_own(path):
        raise TargetError(
            f"{kind} {value} is in the host's own network namespace; start it with a network"
            " namespace of its own."
        )
    return Target(label, path, container_id)


def _path(kind: str, value: str) -> str:
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


def _derive(path: str) -> str:
    """A stable id for what is no container, the same that cnitool gives to the same path."""
    return "cnitool-" + hashlib.sha512(path.encode()).hexdigest()[:20]


def _inspect(name: str, inspect: Inspect) -> tuple[str | None, int]:
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
                f"{engine} inspect {name} printed something unexpected: {text[:200]}"
            ) from None
    return None, 0
