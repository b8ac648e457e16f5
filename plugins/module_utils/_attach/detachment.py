# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a network that goes out of the containers that run: the plugins' DEL, from what was
remembered at ADD.
"""

from __future__ import annotations

import os
import time

from .._cni import cache, conf, errors, runtime
from .._meta import conf as meta_conf
from .._meta import flannel, lock
from .._meta import state as meta_state
from .._node.removal import RemovalError, Step

RUNTIME_CACHE = "/var/lib/cni/multinet-runtime"
TIMEOUT = (
    60  # seconds for one DEL, and for an operation of the runtime on the same container to end
)


def detach_steps(
    cni_name, bin_dir, state_directory=meta_conf.state_directory({}), cache_directory=RUNTIME_CACHE
):
    """Return the steps that take the network out of every container that has it.

    cni_name: the network's CNI name. bin_dir: directory of the CNI plugins.
    Raises RemovalError for a state that can't be read: what it holds could not be freed.
    """
    store = meta_state.Store(state_directory)
    try:
        states = [store.read(container_id, interface) for container_id, interface in store.keys()]
        entries = cache.Cache(cache_directory).entries()
    except (meta_state.Corrupt, errors.Error) as error:
        raise RemovalError(
            f"An attachment can't be read, so what it holds can't be freed: {error}."
        ) from error
    steps = []
    for state in states:
        for attached in state.attached if state else []:
            if attached.raw.get("name") == cni_name:
                steps.append(
                    Step(
                        f"{attached.interface} of container {state.container_id}",
                        _from_state(store, state, attached),
                    )
                )
    for entry in entries:
        if entry["networkName"] == cni_name:
            steps.append(
                Step(
                    f"{entry['ifName']} of container {entry['containerId']}",
                    _from_cache(cache.Cache(cache_directory), entry, bin_dir),
                )
            )
    return steps


def _from_state(store, state, attached):
    def detach():
        # The runtime may be attaching or detaching the same container.
        with lock.held(store.directory, state.container_id, state.interface, TIMEOUT):
            now = store.read(state.container_id, state.interface)
            here = (
                [one for one in now.attached if one.interface == attached.interface] if now else []
            )
            for one in here:
                flannel.put_back(one.network, now.container_id, one.kept)
                _delete(
                    now.path, one.network, now.container_id, now.netns, one.interface, one.result
                )
            if not here:
                return
            now.attached = [one for one in now.attached if one not in here]
            if now.attached:
                store.write(now)
            else:
                store.remove(now)

    return _told(detach)


def _told(act):
    def told():
        try:
            act()
        except (meta_state.Corrupt, errors.Error) as error:
            raise RemovalError(f"A container can't be detached: {error}.") from error

    return told


def _from_cache(entries, entry, bin_dir):
    def detach():
        network = conf.parse(entry["config"], f"the remembered network {entry['networkName']}")
        _delete(
            [bin_dir],
            network,
            entry["containerId"],
            entry["netns"],
            entry["ifName"],
            entry["result"],
        )
        entries.remove(entry)

    return detach


def _delete(path, network, container_id, netns, interface, result):
    calls = runtime.Runtime(path, environ=dict(os.environ), deadline=time.monotonic() + TIMEOUT)
    there = netns if netns and os.path.exists(netns) else ""
    try:
        calls.delete(network, runtime.Attachment(container_id, there, interface, args=""), result)
    except errors.Error as error:
        raise RemovalError(
            f"Detaching container {container_id} from {network.name} failed: {error}."
        ) from error
