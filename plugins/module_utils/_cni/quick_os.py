# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`os` without importing `os`, where that can be helped: `from .quick_os import os`.

A plugin is a process for every operation, and importing `os` takes a third of the time that Python
needs to start: it prepares abstract classes that nobody here asks for. What does the work is the
module in C below it, `posix`; what is missing there and wanted here is in this module, for paths
that are `str`. Whatever else is asked for is `os`'s own, which is imported then. A program that has
imported `os` already gets it as it is.
"""

from __future__ import annotations

import sys

__all__ = ["os"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from types import ModuleType
    from typing import Any

_KIND, _FILE, _DIRECTORY = 0o170000, 0o100000, 0o040000


def join(path: str, *names: str) -> str:
    for name in names:
        if name.startswith("/"):
            path = name
        else:
            path += name if not path or path.endswith("/") else f"/{name}"
    return path


def split(path: str) -> tuple[str, str]:
    begin = path.rfind("/") + 1
    head, tail = path[:begin], path[begin:]
    return head.rstrip("/") or head, tail


def dirname(path: str) -> str:
    return split(path)[0]


def basename(path: str) -> str:
    return split(path)[1]


def isabs(path: str) -> bool:
    return path.startswith("/")


def exists(path: str) -> bool:
    return _mode(path) is not None


def isfile(path: str) -> bool:
    return (_mode(path) or 0) & _KIND == _FILE


def isdir(path: str) -> bool:
    return (_mode(path) or 0) & _KIND == _DIRECTORY


def samestat(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_ino, one.st_dev) == (other.st_ino, other.st_dev)


def makedirs(path: str, mode: int = 0o777, exist_ok: bool = False) -> None:
    try:
        os.mkdir(path, mode)
    except FileNotFoundError:
        parent = dirname(path)
        if not parent:
            raise
        makedirs(parent, exist_ok=True)
        makedirs(path, mode, exist_ok)
    except OSError:
        if not exist_ok or not isdir(path):
            raise


def lexists(path: str) -> bool:
    try:
        os.lstat(path)
    except (OSError, ValueError):
        return False
    return True


def _mode(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except (OSError, ValueError):
        return None


def _environ(raw: dict[bytes, bytes]) -> dict[str, str]:
    coding = sys.getfilesystemencoding(), "surrogateescape"
    return {name.decode(*coding): value.decode(*coding) for name, value in raw.items()}


def _module(name: str, content: dict[str, Any]) -> ModuleType:
    """Return a module with this content, and what the real one has of everything else."""

    def others(asked: str) -> Any:
        import os

        return getattr(os.path if name == "posixpath" else os, asked)

    made = type(sys)(name)
    made.__dict__.update(content, __getattr__=others)
    return made


def _quick() -> ModuleType:
    import posix

    functions = (join, split, dirname, basename, isabs, exists, lexists, isfile, isdir, samestat)
    made = _module("os", posix.__dict__)
    made.__dict__.update(
        path=_module("posixpath", {one.__name__: one for one in functions}),
        environ=_environ(posix.environ),
        makedirs=makedirs,
        fdopen=open,
        pathsep=":",
        SEEK_SET=0,
    )
    return made


if not TYPE_CHECKING:
    os = sys.modules.get("os") or _quick()
