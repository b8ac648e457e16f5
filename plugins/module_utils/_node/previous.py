# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The executables that an upgrade replaces, kept on the host to go back to.

They lie under DIRECTORY by their paths on the host. A reset removes it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .._cni import files
from . import executables
from .sums import ArtifactError, sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterable

DIRECTORY = "/var/lib/multinet/previous"


def keep(paths: Iterable[str], directory: str = DIRECTORY) -> list[str]:
    """Keep executables as they are now, instead of those kept before; return the paths of those
    that differ from what was kept. One that is not there is not kept. Raises ArtifactError.
    """
    kept = []
    for path in paths:
        place = directory + path
        try:
            if not os.path.isfile(path) or _same(path, place):
                continue
            os.makedirs(os.path.dirname(place), 0o755, exist_ok=True)
            with open(path, "rb") as stream:
                files.write(place, stream, 0o755)
            kept.append(path)
        except OSError as error:
            raise ArtifactError(
                f"{path} could not be kept in {directory}: {error.strerror or error}. Nothing was"
                " replaced; make room there."
            ) from error
    return kept


def differing(paths: Iterable[str], directory: str = DIRECTORY) -> list[str]:
    """Return those of the paths that hold something else than what is kept of them."""
    return [
        path
        for path in paths
        if os.path.isfile(directory + path) and not _same(path, directory + path)
    ]


def restore(
    paths: Iterable[str], directory: str = DIRECTORY, record: str = executables.RECORD
) -> list[str]:
    """Put kept executables back by rename, all or none, and keep those that they replace; return
    the paths of those that were changed. Raises ArtifactError.
    """
    back = differing(paths, directory)
    replaced: dict[str, str] = {}
    try:
        wanted = [
            {"path": path, "sha256": sha256_of(directory + path), "src": directory + path}
            for path in back
        ]
        for path in back:
            if os.path.isfile(path):
                with open(path, "rb") as stream:
                    replaced[path] = files.stage(directory + path, stream, 0o755)
        executables.install(wanted, record)
        files.commit([(replaced.pop(path), directory + path) for path in list(replaced)])
    except OSError as error:
        raise ArtifactError(
            f"{', '.join(back)} could not be put back: {error.strerror or error}."
        ) from error
    finally:
        for staged in replaced.values():
            files.remove(staged)
    return back


def _same(one: str, other: str) -> bool:
    """Return whether two files have the same content."""
    try:
        return os.path.getsize(one) == os.path.getsize(other) and sha256_of(one) == sha256_of(other)
    except FileNotFoundError:
        return False
