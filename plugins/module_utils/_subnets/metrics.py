# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server counts, as Prometheus reads it (text format 0.0.4)."""

from __future__ import annotations

import collections
import resource
import threading
from collections.abc import Callable, Iterable

from .._node.exposition import memory


class Metrics:
    """Counts that are added to, and values that are asked for when somebody reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: collections.Counter[str] = collections.Counter()
        self._sources: list[Callable[[], Iterable[tuple[str, float]]]] = [process]

    def add(self, name: str, amount: int = 1, **labels: str | int) -> None:
        """Add to a count; an amount of 0 makes it be there."""
        with self._lock:
            self._counts[sample(name, **labels)] += amount

    def include(self, source: Callable[[], Iterable[tuple[str, float]]]) -> None:
        """Ask a function, too, for (sample, value) pairs at each reading."""
        self._sources.append(source)

    def text(self) -> str:
        """Return all of them, a line each."""
        with self._lock:
            found: list[tuple[str, float]] = [*sorted(self._counts.items())]
        for source in self._sources:
            found += source()
        return "".join(f"{name} {round(value, 2)}\n" for name, value in found)


def sample(name: str, **labels: str | int) -> str:
    """Return a metric's name with its labels, as it stands in a line."""
    pairs = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{pairs}}}" if pairs else name


def process() -> list[tuple[str, float]]:
    """Return what this process uses: memory in bytes, processor time in seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return [
        ("process_resident_memory_bytes", memory()),
        ("process_cpu_seconds_total", usage.ru_utime + usage.ru_stime),
    ]
