# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection has written on this host and nobody else changes, with its sums: units,
programs, and the settings of daemons. Runs on hosts.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Mapping

from .._cni import files
from .sums import ArtifactError, sha256_of

RECORD = "/etc/multinet/written.json"
EDITED = "is not what the collection wrote: somebody has changed it"
GONE = "is missing: somebody has removed it"
_PLACES = (
    "/etc/flannel/",
    "/etc/multinet/etcd.env",
    "/etc/multinet/subnets.json",
    "/etc/systemd/network/",
    "/etc/systemd/system/",
    "/usr/local/lib/multinet/",
)


def is_kept(path: str) -> bool:
    """Return whether a file belongs into the record, wherever it was written from."""
    return path.startswith(_PLACES)


def written_sums(record: str = RECORD) -> dict[str, str]:
    """Return {path: sha256} of what was written; raise ArtifactError."""
    try:
        return {**json.loads(files.read(record) or b"{}")}
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(f"cannot be read: {error}") from error


def text(sums: Mapping[str, str], gone: Iterable[str], record: str) -> str:
    """Return the record with more files, and without those that go (or their directories)."""
    ends = tuple(f"{path}/" for path in gone)
    known = _there(record)
    kept = {path: known[path] for path in known if not f"{path}/".startswith(ends)}
    return json.dumps({**kept, **sums}, indent=2, sort_keys=True) + "\n"


def forget(record: str = RECORD) -> None:
    """Take out of the record what was removed; raise OSError."""
    if os.path.exists(record):
        files.write(record, text({}, (), record), 0o600)


def _there(record: str) -> dict[str, str]:
    """Return what is in the record and on the host; one that cannot be read is written anew."""
    try:
        known = written_sums(record)
    except ArtifactError:
        return {}
    return {path: known[path] for path in known if os.path.lexists(path)}


def changed(record: str = RECORD) -> dict[str, str]:
    """Return {path: what has become of it} of what is not as it was written."""
    found = {}
    try:
        known = written_sums(record)
    except ArtifactError as error:
        return {record: str(error)}
    for path, wanted in known.items():
        try:
            if sum_of(path) != wanted:
                found[path] = EDITED
        except FileNotFoundError:
            found[path] = GONE
        except OSError as error:
            found[path] = f"cannot be read: {error.strerror}"
    return found


def sum_of(path: str) -> str:
    """Return a file's sum; a process that looks again and again reads only what has changed. Raises
    OSError.
    """
    there = os.stat(path)
    return _sum(path, there.st_size, there.st_mtime_ns, there.st_ino)


@functools.lru_cache(maxsize=256)
def _sum(path: str, size: int, mtime: int, inode: int) -> str:
    return sha256_of(path)
