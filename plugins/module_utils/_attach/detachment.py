# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a network that goes out of the containers that run: the plugins' DEL, from what was
remembered at ADD.
"""

from __future__ import annotations

import os
import time

from .._cni import cache, conf, errors, invoke, netns, runtime
from .._meta import conf as meta_conf
from .._meta import delete, flannel, lock
from .._meta import state as meta_state
from .._meta.in_process import InProcess
from .._names import BY_CALLERS, NO_EXECUTABLE
from .._node.removal import RemovalError, Step
from .._runtime import cri
from .attachment import lock_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from .._cni.conf import NetworkList
    from .._meta.state import Attached, State

# Seconds for one DEL, and for an operation of the runtime on the same container to end.
TIMEOUT = 60


def detach_steps(
    cni_name: str,
    bin_dir: str,
    state_directory: str = meta_conf.STATE_DIRECTORY,
    cache_directory: str = BY_CALLERS,
    pods: Mapping[str, str] | None = None,
    tell: Callable[[State, Attached], object] = lambda state, lost: None,
) -> list[Step]:
    """Return the steps that take the network out of every container that has it.

    cni_name: the network's CNI name; bin_dir: directory of the CNI plugins; pods: what people call
    containers, by id, as pod_names() returns it; tell: is called with the state that is left and
    what was taken from it. Raises RemovalError for a state that can't be read: what it holds could
    not be freed.
    """
    store = meta_state.Store(state_directory)
    remembered = cache.Cache(cache_directory)
    try:
        states = [store.read(*attachment) for attachment in store.attachments()]
        entries = remembered.entries()
    except (meta_state.Corrupt, errors.Error) as error:
        raise RemovalError(
            f"An attachment can't be read, so what it holds can't be freed: {error}."
        ) from error
    steps = []
    for state in states:
        for attached in state.attached if state else []:
            if state and attached.raw.get("name") == cni_name:
                what = f"{attached.interface} of {_called(state.container_id, pods)}"
                steps.append(Step(what, _from_state(store, state, attached, tell)))
    for entry in entries:
        if entry["networkName"] == cni_name:
            what = f"{entry['ifName']} of {_called(entry['containerId'], pods)}"
            steps.append(Step(what, _from_cache(remembered, entry, bin_dir)))
    return steps


def pod_names(sandboxes: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return namespace/name of the pods that a container runtime has here, by container id.

    sandboxes: as cri.sandboxes() returns them.
    """
    return {one["container"]: cri.label(one) for one in sandboxes}


def pods_on(
    cni_names: Iterable[str],
    pods: Mapping[str, str],
    state_directory: str = meta_conf.STATE_DIRECTORY,
) -> list[str]:
    """Return the pods (namespace/name) that have one of the networks. pods: see detach_steps().

    A state that can't be read counts to no pod: detach_steps() says so.
    """
    names = set(cni_names)
    store = meta_state.Store(state_directory)
    found = set()
    for container_id, interface in store.attachments():
        try:
            state = store.read(container_id, interface)
        except (meta_state.Corrupt, errors.Error):
            continue
        attached = state.attached if state else []
        if container_id in pods and any(one.raw.get("name") in names for one in attached):
            found.add(pods[container_id])
    return sorted(found)


def _called(container_id: str, pods: Mapping[str, str] | None) -> str:
    pod = (pods or {}).get(container_id)
    return f"pod {pod}" if pod else f"container {container_id}"


def _from_state(
    store: meta_state.Store,
    state: State,
    attached: Attached,
    tell: Callable[[State, Attached], object],
) -> Callable[[], None]:
    def detach() -> None:
        # The runtime may be attaching or detaching the same container.
        with lock.held(store.directory, state.container_id, state.interface, TIMEOUT):
            now = store.read(state.container_id, state.interface)
            if now is None:
                return
            here = [one for one in now.attached if one.interface == attached.interface]
            for one in here:
                flannel.put_back(one.network, now.container_id, one.kept)
                cni = _runtime(now.path, now.in_process)
                place = delete.namespace("", now)
                attachment = one.attachment(cni, now.container_id, _foreign(place))
                _delete(cni, one.network, attachment, one.result)
            if not here:
                return
            now.attached = [one for one in now.attached if one not in here]
            if now.attached:
                store.write(now)
            else:
                store.remove(now)
        for one in here:
            tell(now, one)

    return _told(detach)


def _told(act: Callable[[], None]) -> Callable[[], None]:
    def told() -> None:
        try:
            act()
        except (meta_state.Corrupt, errors.Error) as error:
            raise RemovalError(f"A container can't be detached: {error}.") from error

    return told


def _from_cache(entries: cache.Cache, entry: dict[str, Any], bin_dir: str) -> Callable[[], None]:
    def detach() -> None:
        # A run of cni_attachment may be at work on the same container.
        with lock_of(entries, entry["containerId"], TIMEOUT, needed=False):
            now = next((one for one in entries.entries() if _is_same(one, entry)), None)
            if now is None:
                return
            network = conf.parse(now["config"], f"the remembered network {now['networkName']}")
            attachment = runtime.Attachment(
                now["containerId"],
                _place(now["netns"], now.get("namespace")),
                now["ifName"],
                args=now.get("cniArgs", ""),
            )
            flannel.put_back(network, now["containerId"], {})
            _delete(_runtime([bin_dir]), network, attachment, now["result"])
            entries.remove(now)

    return _told(detach)


def _is_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[key] == other[key] for key in ("containerId", "networkName", "ifName"))


def _place(path: str, namespace: object) -> str:
    """Return the path where the container's namespace was at ADD; empty where there is another one
    by now (paths are used again), or where it is not known which one it was.
    """
    return _foreign(path if netns.is_marked(path, namespace) else "")


def _foreign(path: str) -> str:
    """Return a path, empty if it leads to our own namespace: that is no container's."""
    return path if path and not netns.is_own(path) else ""


def _runtime(path: list[str], in_process: Iterable[str] = ()) -> runtime.Runtime:
    """in_process: the plugins whose work is done without their executables."""
    execute = InProcess(invoke.Exec(), in_process, when_missing=NO_EXECUTABLE)
    environ = {key: value for key, value in os.environ.items() if key != "CNI_ARGS"}
    return runtime.Runtime(path, execute, environ=environ, deadline=time.monotonic() + TIMEOUT)


def _delete(
    cni: runtime.Runtime,
    network: NetworkList,
    attachment: runtime.Attachment,
    result: dict[str, Any] | None,
) -> None:
    try:
        cni.delete(network, attachment, result)
    except errors.Error as error:
        raise RemovalError(
            f"Detaching container {attachment.container_id} from {network.name} failed: {error}."
        ) from error
