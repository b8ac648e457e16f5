# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mirror directory as one tar, to carry to a site that reaches nothing.

Its first file, MANIFEST.sha256, has the sum of each other file, as `sha256sum --check` reads it:
the other end needs nothing of ours to verify it. Whatever lies in the directory is carried.
"""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

from ansible_collections.multinet.flannel.plugins.module_utils._cni import files
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import (
    ArtifactError,
    sha256_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST = "MANIFEST.sha256"


def manifest(directory: str, target: str = "") -> str:
    """Return the sums of all files in a directory but hidden ones and the tar itself; raise
    OSError.
    """
    return "".join(
        f"{sha256_of(os.path.join(directory, name))}  {name}\n"
        for name in _names(directory, target)
    )


def pack(directory: str, target: str, check_mode: bool = False) -> bool:
    """Write the tar, unless it has these files already; return whether it had to be written.

    check_mode: only say so. Raises ArtifactError.
    """
    target = os.path.abspath(target)
    try:
        text = manifest(directory, target)
        if _manifest_of(target) == text:
            return False
        if not check_mode:
            _write(directory, text, target)
    except OSError as error:
        place = error.filename or target
        raise ArtifactError(
            f"{target} could not be made on the controller: {place}: {error.strerror or error}."
        ) from error
    return True


def _write(directory: str, text: str, target: str) -> None:
    files.remove_leftovers(target)
    temporary = files.temporary_name(target)
    try:
        # of a link, the other end would have nothing
        with tarfile.open(temporary, "w", dereference=True) as tar:
            first = tarfile.TarInfo(MANIFEST)
            first.size, first.mode = len(text.encode()), 0o644
            tar.addfile(first, io.BytesIO(text.encode()))
            for name in _names(directory, target):
                tar.add(os.path.join(directory, name), name, filter=_anonymous)
        files.commit([(temporary, target)])
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The same files make the same tar, whoever packs it."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member


def _manifest_of(target: str) -> str | None:
    """Return the manifest of a tar; None where there is no tar, or it is not whole."""
    try:
        with tarfile.open(target) as tar:
            members = tar.getmembers()
            first = tar.extractfile(members[0]) if members[0].name == MANIFEST else None
            text = first.read().decode() if first else ""
    except (FileNotFoundError, tarfile.TarError, EOFError, IndexError, ValueError):
        return None
    return text if text.count("\n") == len(members) - 1 else None


def _names(directory: str, target: str) -> Iterator[str]:
    """Yield the names of the files to be carried, relative, in order. target: the tar, which may
    lie among them.
    """
    found = []
    above: dict[str, set[str]] = {}  # where each folder and those that it lies in really are
    for folder, folders, names in os.walk(os.path.abspath(directory), followlinks=True):
        here = above.get(os.path.dirname(folder), set()) | {os.path.realpath(folder)}
        above[folder] = here
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and os.path.realpath(os.path.join(folder, name)) not in here  # a link that leads up
        ]
        found += [
            os.path.relpath(os.path.join(folder, name), directory)
            for name in names
            if not name.startswith(".")
            and os.path.realpath(os.path.join(folder, name)) != os.path.realpath(target)
        ]
    yield from sorted(name for name in found if name != MANIFEST)
