# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are there whole or not at all: everything here that writes a file for others to read
writes it by this module.

A file is written beside its place, brought to the disk, and renamed into place: neither a reader
nor a power cut ever finds half of it. What is written until then has a name that begins with '.'
and ends in '.tmp', which no program takes for one of its files.
"""

from __future__ import annotations

from .quick_os import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO, Union

    Content = Union[str, bytes, BinaryIO]

_CHUNK = 1 << 20
_READ = 1 << 16


def write(
    path: str,
    content: Content,
    mode: int = 0o600,
    *,
    uid: int | None = None,
    gid: int | None = None,
    sync_name: bool = True,
) -> None:
    """Write a file in place of what is there; raise OSError.

    content: str (UTF-8), bytes, or a binary file to copy from; uid, gid: None leaves what a new
    file gets. sync_name: whether it is sure to be there when this returns; otherwise a power cut
    soon after may leave what was there before, whole.
    """
    temporary = stage(path, content, mode, uid=uid, gid=gid)
    try:
        os.rename(temporary, path)
    except BaseException:
        remove(temporary)
        raise
    if sync_name:
        sync_directory(os.path.dirname(path))


def write_new(path: str, content: Content, mode: int = 0o600) -> None:
    """Write a file where none is; raise OSError.

    A reader, or who was killed, never leaves half of it. A power cut may leave it empty, but only
    before this returns.
    """
    temporary = temporary_name(path)
    descriptor = _create(temporary)
    try:
        try:
            _fill(descriptor, content, mode)
            os.rename(temporary, path)
            os.fsync(descriptor)  # in that order it takes one commit of the journal
        finally:
            os.close(descriptor)
    except BaseException:
        remove(temporary)
        raise


def stage(
    path: str,
    content: Content,
    mode: int = 0o600,
    *,
    uid: int | None = None,
    gid: int | None = None,
) -> str:
    """Write what shall be at path beside it, and bring it to the disk; return the temporary file's
    name, for commit(); raise OSError, and leave nothing then.

    So a set of files can be written before the first one is replaced. What killed writes of path
    have left goes before. Parameters as in write().
    """
    remove_leftovers(path)
    temporary = temporary_name(path)
    descriptor = _create(temporary)
    try:
        try:
            if uid is not None or gid is not None:
                os.fchown(descriptor, -1 if uid is None else uid, -1 if gid is None else gid)
            _fill(descriptor, content, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException:
        remove(temporary)
        raise
    return temporary


def commit(staged: Iterable[tuple[str, str]]) -> None:
    """Rename each (name from stage(), path) into place, then bring the names to the disk; raise
    OSError.
    """
    directories = {}  # in the order of the renames
    for temporary, path in staged:
        os.rename(temporary, path)
        directories[os.path.dirname(path)] = True
    for directory in directories:
        sync_directory(directory)


def target(error: OSError) -> str:
    """Return the path that a rename of commit() could not reach, "" for an error of anything
    else.
    """
    return str(error.filename2 or "")


def temporary_name(path: str) -> str:
    """Return where what shall be at path is written until it is whole: .NAME.PID.tmp beside it."""
    directory, name = os.path.split(path)
    return os.path.join(directory, f".{name}.{os.getpid()}.tmp")


def remove_leftovers(path: str, *, alone: bool = False) -> None:
    """Remove the temporary files that killed writes of path have left: those whose process is gone,
    or has this one's number; raise OSError.

    alone: a lock keeps all others from writing path, so every temporary file of it is left over.
    """
    for number, found in leftovers(path):
        if alone or number == os.getpid() or not os.path.exists(f"/proc/{number}"):
            remove(found)


def discard(directory: str, begin: str) -> None:
    """Remove what killed writes have left of the files in a directory whose names begin so; raise
    OSError. Call it with a lock that keeps all others from writing these.
    """
    for name in listed(directory):
        if name.lstrip(".").startswith(begin) and name.endswith(".tmp"):
            remove(os.path.join(directory, name))


def leftovers(path: str) -> list[tuple[int, str]]:
    """Return (number of the process, file) of what is there of writes of path that have not ended;
    raise OSError.
    """
    directory, name = os.path.split(path)
    begin, end = f".{name}.", ".tmp"
    numbers = [(found, found[len(begin) : -len(end)]) for found in listed(directory or ".")]
    return [
        (int(number), os.path.join(directory, found))
        for found, number in numbers
        if found == begin + number + end and number.isdigit()
    ]


def _create(temporary: str) -> int:
    """Open a new file, which no link leads elsewhere from; return the descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(temporary, flags, 0o600)
    except FileExistsError:  # left by a killed process that had our number
        remove(temporary)
        return os.open(temporary, flags, 0o600)


def _fill(descriptor: int, content: Content, mode: int) -> None:
    for chunk in _chunks(content):
        view = memoryview(chunk)
        while view:
            view = view[os.write(descriptor, view) :]
    os.fchmod(descriptor, mode)  # whatever the umask


def _chunks(content: Content) -> Iterable[bytes]:
    if isinstance(content, str):
        return (content.encode("utf-8", "surrogateescape"),)
    if isinstance(content, bytes):
        return (content,)
    return iter(lambda: content.read(_CHUNK), b"")


def sync_directory(path: str) -> None:
    """Bring the names in a directory to the disk; raise OSError."""
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: str) -> None:
    """Make a directory for all to look into, and those above it that are missing, whatever the
    umask; raise OSError.
    """
    if not path or os.path.isdir(path):
        return
    make_directories(os.path.dirname(path))
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
        return  # another was quicker
    os.chmod(path, 0o755)


def read(path: str) -> bytes | None:
    """Return the bytes of a file, or None when there is none; raise OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return b"".join(iter(lambda: os.read(descriptor, _READ), b""))
    finally:
        os.close(descriptor)


def text(path: str) -> str:
    """Return the text of a file, "" of one that cannot be read; what is no UTF-8 is replaced."""
    try:
        return (read(path) or b"").decode("utf-8", "replace")
    except OSError:
        return ""


def listed(directory: str) -> list[str]:
    """Return the names in a directory, sorted; none where there is no directory. Raises OSError."""
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def remove(path: str) -> None:
    """Remove a file; one that is not there is as good; raise OSError."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
