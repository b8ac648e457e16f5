# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A runtime's memory of what it attached: one file per (container, network, interface), written
whole or not at all.
"""

from __future__ import annotations

import os

from . import conf, errors, files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KIND = "multinetCacheV1"


class Cache:
    """directory: the runtime's own; entries have at least networkName, containerId and ifName."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def put(self, entry: dict[str, Any]) -> None:
        """Keep an entry, in place of the former one of the same container, network and interface;
        raise Error.
        """
        entry = dict(entry, kind=_KIND)
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            files.write(self.file(entry), conf.encode(entry))
        except OSError as error:
            raise errors.io_failure(
                f"The attachment cannot be remembered in {self.directory}.", error
            ) from None

    def remove(self, entry: dict[str, Any]) -> None:
        """Forget an entry; raise Error."""
        try:
            files.remove(self.file(entry))
        except OSError as error:
            raise errors.io_failure(f"{self.file(entry)} cannot be removed.", error) from None

    def discard(self, container_id: str) -> None:
        """Remove what writes that were killed have left of a container; raise Error.

        Call it with the container's lock.
        """
        try:
            files.discard(self.directory, f"{container_id}:")
        except OSError as error:
            raise errors.io_failure(f"{self.directory} cannot be cleaned up.", error) from None

    def entries(self) -> list[dict[str, Any]]:
        """Return all entries, oldest first; raise Error for one that cannot be read: what is
        unknown is not cleaned up.
        """
        try:
            names = [name for name in os.listdir(self.directory) if name.endswith(".json")]
        except FileNotFoundError:
            return []
        found = [self._read(os.path.join(self.directory, name)) for name in names]
        return sorted(
            (entry for entry in found if entry is not None), key=lambda entry: entry.get("since", 0)
        )

    def _read(self, file: str) -> dict[str, Any] | None:
        try:
            text = files.read(file)
        except OSError as error:
            raise errors.io_failure(f"{file} cannot be read.", error) from None
        if text is None:
            return None  # another one removed it meanwhile
        entry = conf.decode(text, file)
        if entry.get("kind") != _KIND or self.file(entry) != file:
            raise errors.Error(
                errors.DECODING_FAILURE,
                f"{file} is not the file that its name says; look at it and remove it.",
            )
        return entry

    def file(self, entry: dict[str, Any]) -> str:
        """Return the file of an entry."""
        # ':' is in none of the three, so no two attachments share a name.
        return os.path.join(
            self.directory,
            f"{entry.get('containerId')}:{entry.get('networkName')}:{entry.get('ifName')}.json",
        )
