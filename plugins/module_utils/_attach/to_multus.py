# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hand attachments over to Multus, which detaches them when the meta-plugin has gone.

Multus keeps a file for each container: a list with, for each network, its configuration, the bytes
of it, and the interface (DelegateNetConf of its pkg/types; consumeScratchNetConf() of pkg/multus).
"""

from __future__ import annotations

import base64
import functools
import json
import os
from collections.abc import Iterable
from typing import Any

from .._cni import conf, errors, files
from .._meta import conf as meta_conf
from .._meta import state as meta_state
from .._meta.state import Attached
from .._node.removal import RemovalError, Step

DIRECTORY = "/var/lib/cni/multus"


def steps(
    going: Iterable[str],
    state_directory: str = meta_conf.STATE_DIRECTORY,
    directory: str = DIRECTORY,
) -> list[Step]:
    """Return the steps that hand over what containers have besides the networks that go (their CNI
    names). Raises RemovalError for a state that can't be read.
    """
    gone = set(going)
    store = meta_state.Store(state_directory)
    found = []
    for container_id, interface in store.attachments():
        try:
            state = store.read(container_id, interface)
        except (meta_state.Corrupt, errors.Error) as error:
            raise RemovalError(
                f"An attachment cannot be read, so it cannot be freed: {error}."
            ) from (error)
        file = os.path.join(directory, container_id)
        kept = [one for one in state.attached if one.raw.get("name") not in gone] if state else []
        if kept and not os.path.exists(file):  # Multus' own is not ours to replace
            what = f"the meta-plugin's state of {container_id}, which is then in {file}"
            found.append(Step(what, functools.partial(_write, file, kept)))
    return found


def _write(file: str, attached: list[Attached]) -> None:
    os.makedirs(os.path.dirname(file), 0o700, exist_ok=True)
    files.write(file, json.dumps([delegate(one) for one in attached]), 0o600)


def delegate(attached: Attached) -> dict[str, Any]:
    """Return a network of a state as Multus keeps it."""
    kind = "ConfList" if attached.raw.get("plugins") else "Conf"
    text = conf.encode(attached.raw).encode()
    return {
        kind: attached.raw,
        "Name": attached.raw.get("name", ""),
        "ifnameRequest": attached.interface,
        "Bytes": base64.b64encode(text).decode("ascii"),
    }
