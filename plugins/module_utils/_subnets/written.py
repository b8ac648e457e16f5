# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each flanneld of this host has written to its Node object, or has found there and left: by
that, what somebody else writes there is known, and put back.

Kept in files too: flanneld says nothing again when the server is started anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Container, Mapping

from .._cni import files

DIRECTORY = "/run/multinet-subnets"


class Written:
    """directory: for one file a network; what cannot be read is not known, and nothing is done."""

    def __init__(self, directory: str = DIRECTORY) -> None:
        self._directory = directory
        self._lock = threading.Lock()

    def found(self, network: str, annotations: Mapping[str, str]) -> None:
        """Note what a flanneld reads when it starts, and leaves if it finds it right."""
        with self._lock:
            self._keep(network, dict(annotations))

    def changed(self, network: str, annotations: Mapping[str, str | None]) -> None:
        """Note what a flanneld has changed (None: taken off)."""
        with self._lock:
            now = {**self._read(network), **annotations}
            self._keep(network, {key: value for key, value in now.items() if value is not None})

    def of(self, network: str) -> dict[str, str]:
        """Return the annotations of a network; none where nothing is known of its flanneld."""
        with self._lock:
            return self._read(network)

    def keep_only(self, networks: Container[str]) -> None:
        """Forget all other networks: they are served no more."""
        with self._lock, contextlib.suppress(OSError):
            for name in os.listdir(self._directory):
                network, extension = os.path.splitext(name)
                if extension == ".json" and network not in networks:
                    files.remove(self._file(network))

    def _read(self, network: str) -> dict[str, str]:
        try:
            with open(self._file(network), encoding="utf-8") as file:
                found = json.load(file)
            return found if isinstance(found, dict) else {}
        except (OSError, ValueError):
            return {}

    def _keep(self, network: str, annotations: dict[str, str]) -> None:
        with contextlib.suppress(OSError):  # a full file system is no reason to refuse flanneld
            files.write(self._file(network), json.dumps(annotations, sort_keys=True) + "\n")

    def _file(self, network: str) -> str:
        return os.path.join(self._directory, network + ".json")
