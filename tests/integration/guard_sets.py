# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guard puts into the sets of its tables, by its own functions, for labs that load the
tables without it: those of a running guard belong to it, and no test can change them.
"""

from __future__ import annotations

import importlib.util
import pathlib
import typing as t

_PATH = pathlib.Path(__file__).resolve().parents[2] / "roles/isolation/files/isolation.py"


def _loaded() -> t.Any:
    spec = importlib.util.spec_from_file_location("isolation", _PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GUARD = _loaded()


def filled(tables: str, attachments: t.Iterable[str] = ()) -> str:
    """The nft commands that fill the sets of these tables as the guard does it on the host in whose
    network namespace this process is. attachments: the files of who attached the pods.
    """
    definitions = dict(GUARD.DECLARED.findall(tables))
    ports = GUARD.Ports()
    for file in attachments:
        ports.read(str(file))
    found = {
        GUARD.TABLE: {
            **GUARD.surroundings(definitions[GUARD.TABLE]),
            GUARD.ENDS_OF_PODS: ports.names(),
        },
        GUARD.PORTS_TABLE: ports.elements(definitions.get(GUARD.PORTS_TABLE, "")),
    }
    return "".join(
        f"add element {table} {name} {{ {', '.join(sorted(held))} }}\n"
        for table, sets in found.items()
        for name, held in sets.items()
        if held
    )
