# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are there whole or not at all."""

from __future__ import annotations

import os


def write_new(path, data, mode=0o600):
    """Write data (bytes) to path, where no file is, and bring it to the disk with its name; raise
    OSError.

    A reader, or who was killed, never leaves half of it. A power cut may leave it empty, but only
    before this returns.
    """
    _write(
        path,
        data,
        mode,
        lambda descriptor, temporary: (os.rename(temporary, path), os.fsync(descriptor)),
    )  # that order takes one commit of the journal


def write_atomically(path, data, mode=0o600, name_too=True):
    """Write data (bytes) to path, so that neither a reader nor a power cut ever leaves half of it;
    raise OSError.

    name_too: whether it is sure to be there when this returns; otherwise a power cut soon after may
    leave what was there before, whole.
    """
    _write(
        path,
        data,
        mode,
        lambda descriptor, temporary: (os.fsync(descriptor), os.rename(temporary, path)),
    )
    if name_too:
        sync_directory(os.path.dirname(path))


def _write(path, data, mode, finish):
    temporary = f"{path}.{os.getpid()}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            finish(descriptor, temporary)
        finally:
            os.close(descriptor)
    except BaseException:
        remove(temporary)
        raise


def sync_directory(path):
    """Bring the names in a directory to the disk."""
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path):
    """Return the bytes of a file, or None when there is none; raise OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def remove(path):
    """Remove a file; one that is not there is as good; raise OSError."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
