# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of the meta-plugin, by Multus' keys: logFile, logLevel (debug, verbose, error, panic),
logToStderr, logOptions.

Nothing is written without a `logLevel`. Logging never makes an operation fail.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._cni.skel import Request

    # Takes a level and a sentence.
    Log = Callable[[str, str], None]

_LEVELS = ("panic", "error", "verbose", "debug")
_MEGABYTE = 1024 * 1024


def logger(raw: dict[str, Any], request: Request) -> Log:
    """Return what writes the log of a request, by a configuration that may be anything."""
    level = raw.get("logLevel")
    name = level.lower() if isinstance(level, str) else ""
    wanted = _LEVELS.index(name) if name in _LEVELS else 0
    log_file = raw.get("logFile")
    file = log_file if isinstance(log_file, str) else ""
    to_stderr = raw.get("logToStderr", True) is True
    if not wanted or not (file or to_stderr):
        return lambda level, sentence: None
    given = raw.get("logOptions")
    options = given if isinstance(given, dict) else {}

    def log(level: str, sentence: str) -> None:
        if _LEVELS.index(level) > wanted:
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = (
            f"{now} [{level}] {request.command} {request.container_id}/{request.interface}:"
            f" {' '.join(str(sentence).split())}\n"
        )
        if to_stderr:
            sys.stderr.write(line)
        if file:
            try:
                _append(file, line.encode("utf-8", "replace"), options)
            except OSError:
                pass  # a full disk is no reason to leave a pod without networks

    return log


def _append(file: str, line: bytes, options: dict[str, Any]) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, line)  # one write, so lines of several at once do not mix
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    if size >= _number(options, "maxSize", 100) * _MEGABYTE:
        _rotate(file, options)


def _number(options: dict[str, Any], key: str, default: int) -> int:
    value = options.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        return default
    return value


def _rotate(file: str, options: dict[str, Any]) -> None:
    """Give a full log another name, and remove the oldest and those too old."""
    kept = f"{file}.{time.strftime('%Y-%m-%dT%H-%M-%S', time.gmtime())}"
    os.rename(file, kept)
    if options.get("compress") is True:
        import gzip  # for the few that rotate
        import shutil

        with open(kept, "rb") as plain, gzip.open(kept + ".gz", "wb") as packed:
            shutil.copyfileobj(plain, packed)
        os.unlink(kept)
    directory, base = os.path.split(file)
    old = sorted(
        os.path.join(directory, name)
        for name in os.listdir(directory or ".")
        if name.startswith(base + ".2")
    )
    too_old = time.time() - _number(options, "maxAge", 5) * 86400
    surplus = len(old) - _number(options, "maxBackups", 5)
    for place, name in enumerate(old):
        if place < surplus or os.stat(name).st_mtime < too_old:
            os.unlink(name)
