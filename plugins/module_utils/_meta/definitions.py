# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the definition of a network that pods ask for may not say, whoever may write it, and what
its plugins may not answer.
"""

from __future__ import annotations

from .._cni import conf, errors
from .._cni import result as results
from .._cni.quick_os import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from .conf import Delegate
    from .state import Attached

# What the runtime tells plugins: what was done, and what a pod may have of its node.
_RUNTIMES = ("prevresult", "runtimeconfig")
# Below what a definition's paths are: plugins are root, make directories and files there and write
# texts of the definition into them.
_STATE = "/var/lib/cni"
_PLACES = {"datadir": (_STATE,), "subnetfile": ("/run/flannel", _STATE), "kernelpath": ("/sys",)}
# What runtimes and meta-plugins remember there, and believe; also multinet*.
_REMEMBERED = {"results", "cache", "multus"}
_OTHERS_MAY_WRITE = 0o022


def check(delegate: Delegate, asked: Iterable[object]) -> None:
    """Raise Error for what a definition may not say; asked: what the pod's annotation hands to the
    network's plugins.
    """
    for key, value in pairs([delegate.raw, *asked]):
        # as Go reads keys: in any case, and a long s (U+017F) is an s
        if key.casefold() in _RUNTIMES:
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"The network {delegate.name} has `{key}`, which only a runtime tells plugins.",
                "Remove it from the network's definition, or from the pod's annotation.",
            )
        if key.casefold() == "forceaddress" and value:
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"The network {delegate.name} has `{key}`, which takes the addresses of a bridge of"
                " the host away.",
                "Remove it, and give the network a bridge of its own.",
            )


def check_places(delegate: Delegate) -> None:
    """Raise Error where a definition names a place that is not for it, or that others than root can
    exchange for another one at any time.
    """
    for key, value in pairs(delegate.raw):
        places = _PLACES.get(key.casefold())
        if places and value and not (isinstance(value, str) and _is_below(value, places)):
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"The network {delegate.name} has the `{key}` {value!r}, which is not for it.",
                f"Write a path below {' or '.join(places)}, of whose directories only root can"
                " write to each.",
            )


def _is_below(path: str, places: Iterable[str]) -> bool:
    if not path.startswith("/") or ".." in path.split("/"):
        return False
    real = os.path.realpath(path)
    for place in places:
        there = os.path.realpath(place)  # it may be a link of root's to another disk
        if real.startswith(there + "/") and not _is_remembered(place + real[len(there) :]):
            return all(map(_is_roots, {*_directories(path), *_directories(real)}))
    return False


def _is_remembered(path: str) -> bool:
    """Whether runtimes or meta-plugins keep what they believe at a path."""
    first = path[len(_STATE) + 1 :].partition("/")[0] if path.startswith(_STATE + "/") else ""
    return first in _REMEMBERED or first.startswith("multinet")


def _directories(path: str) -> Iterator[str]:
    """A path, and all above it."""
    while path.strip("/"):
        yield path
        path = os.path.dirname(path)
    yield "/"


def _is_roots(path: str) -> bool:
    """Whether only root can put something into a directory, which need not be there yet."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return found.st_uid == 0 and not found.st_mode & _OTHERS_MAY_WRITE


def check_result(one: Attached) -> None:
    """Raise Error where a result tells of interfaces of the host that none has the name of, and
    forget it: it is read by others.
    """
    for interface in results.to_latest(one.final_result)["interfaces"]:
        name = interface["name"]
        if name and not (name.isascii() and conf.is_interface_name(name)):
            one.result = None
            raise errors.Error(
                errors.INVALID_CONFIGURATION,
                f"Its result tells of {name!a}, which is no name of an interface.",
                "Letters, digits and punctuation of ASCII are, 15 at most.",
            )


def pairs(value: object) -> Iterator[tuple[str, Any]]:
    """Every key with its value in a JSON value, however deep."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield key, one
            yield from pairs(one)
    elif isinstance(value, list):
        for one in value:
            yield from pairs(one)
