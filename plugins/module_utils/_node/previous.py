# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The executables that an upgrade replaces, kept on the host to go back to.

They lie under DIRECTORY by their paths on the host, and what lies there is the record of what can
be gone back to, whatever an inventory says by then. A reset removes it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .._cni import files
from . import executables
from .sums import ArtifactError, sha256_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

DIRECTORY = "/var/lib/multinet/previous"
# Of a member of etcd, whose data goes forward with it
_OF_ETCD = ("etcd", "etcdctl")
# Which of what is kept an upgrade was about to replace, a path a line. Former versions have none,
# and kept what was not replaced, too
_REPLACED = ".replaced"


def keep(
    paths: Iterable[str], directory: str = DIRECTORY, among: Collection[str] | None = None
) -> list[str]:
    """Keep executables that are about to be replaced as they are now, all or none; return the paths
    of those that differ from what was kept. One that is not there is not kept. Raises
    ArtifactError.

    among: all that an upgrade is concerned with (None: paths alone). What an earlier one has kept
    goes, unless that one was stopped half way: then it is what ran before it.
    """
    paths = list(paths)
    before = _kept(among or paths, directory)
    replaced = files.text(f"{directory}/{_REPLACED}").split("\n")
    if (among is None or set(before) <= set(replaced)) and any(
        _same(path, directory + path) for path in before
    ):
        before = [path for path in before if _same(path, directory + path)]
        paths = [path for path in paths if path in before or not os.path.isfile(directory + path)]
    staged: dict[str, str] = {}
    path = ""
    try:
        for path in paths:
            place = directory + path
            if not os.path.isfile(path) or _same(path, place):
                continue
            files.make_directories(os.path.dirname(place))
            with open(path, "rb") as stream:
                staged[path] = files.stage(place, stream, 0o755)
        others = set(of_networks(directory)).difference(among) if among else set()
        for path in others.union(before).difference(paths):
            files.remove(directory + path)
        files.commit([(temporary, directory + path) for path, temporary in staged.items()])
        kept = list(staged)
        staged.clear()
        if among and os.path.isdir(directory):
            text = "\n".join(_kept(among, directory))
            files.write(f"{directory}/{_REPLACED}", text, 0o644)
    except OSError as error:
        path = (files.target(error) or path).removeprefix(directory)
        raise ArtifactError(
            f"{path} could not be kept in {directory}: {error.strerror or error}. Nothing was"
            " replaced; make room there."
        ) from error
    finally:
        for temporary in staged.values():
            files.remove(temporary)
    return kept


def of_networks(directory: str = DIRECTORY, *, in_pods: bool = False) -> list[str]:
    """Return the paths of all that is kept but etcd's, sorted. in_pods: flanneld runs in pods, so
    the host has none of its own any more.
    """
    others = (*_OF_ETCD, "flanneld") if in_pods else _OF_ETCD
    return sorted(
        os.path.join(folder, name)[len(directory) :]
        for folder, dummy, names in os.walk(directory)
        for name in names
        if name not in others and not name.startswith(".")
    )


def differing(paths: Collection[str], directory: str = DIRECTORY) -> list[str]:
    """Return those of the paths that hold something else than what is kept of them."""
    return [
        path
        for path in paths
        if os.path.isfile(directory + path) and not _same(path, directory + path)
    ]


def restore(
    paths: Collection[str], directory: str = DIRECTORY, record: str = executables.RECORD
) -> list[str]:
    """Put kept executables back by rename, all or none. They are no longer kept then, so a second
    call changes nothing. Return the paths of those that were changed. Raises ArtifactError.
    """
    back = differing(paths, directory)
    try:
        wanted = [
            {"path": path, "sha256": sha256_of(directory + path), "src": directory + path}
            for path in back
        ]
        executables.install(wanted, record)
        for path in paths:
            files.remove(directory + path)
    except OSError as error:
        raise ArtifactError(
            f"{', '.join(back)} could not be put back: {error.strerror or error}."
        ) from error
    return back


def _kept(paths: Iterable[str], directory: str) -> list[str]:
    """Return those of the paths of which something is kept."""
    return [path for path in paths if os.path.isfile(directory + path)]


def _same(one: str, other: str) -> bool:
    """Return whether two files have the same content."""
    try:
        return os.path.getsize(one) == os.path.getsize(other) and sha256_of(one) == sha256_of(other)
    except FileNotFoundError:
        return False
