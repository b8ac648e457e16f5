# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DEL: detach a container from all networks that its state names; none is left out because another
one fails, and the state stays until all are detached.
"""

from __future__ import annotations

import time

from .._cni import errors, files, netns, runtime
from .._cni.quick_os import os
from .._names import NO_EXECUTABLE
from . import conf, flannel, lock
from . import state as states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .._cni.skel import Request
    from .plugin import Plugin

_LOCK_SECONDS = 60


def delete(plugin: Plugin, request: Request) -> None:
    """Detach from all networks of the state; no state is no failure; raise Error."""
    if plugin.is_delegate(request):
        return  # we refused that ADD, so there is nothing to undo
    directory = conf.state_directory(request.conf)
    readiness_file = request.conf.get("readinessindicatorfile")
    if readiness_file and not os.path.exists(str(readiness_file)):
        plugin.logger(request)(
            "error", f"The default network is not ready: there is no {readiness_file}"
        )
    with lock.held(
        directory, request.container_id, request.interface, _patience(request), needed=False
    ):
        _delete(plugin, request, states.Store(directory))


def _patience(request: Request) -> float:
    """Seconds that a DEL waits for what is still at work; the configuration may be anything."""
    timeout = request.conf.get("timeoutSeconds")
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0:
        timeout = conf.TIMEOUT_SECONDS
    return min(_LOCK_SECONDS, timeout / 2)


def _delete(plugin: Plugin, request: Request, store: states.Store) -> None:
    try:
        state = store.read(request.container_id, request.interface)
    except states.Corrupt as corrupt:
        error = corrupt.put_aside()
        try:
            _detach_by_conf(plugin, request)
        except errors.Error as more:
            error = error.with_details(str(more))
        raise error from None
    if state is not None:
        detach(plugin, request, store, state)
        return
    try:
        store.discard(request.container_id, request.interface)
    except OSError:
        pass  # half of a state that never was; it stands for nothing
    if not request.conf:
        raise errors.Error(
            errors.DECODING_FAILURE,
            "The network configuration on stdin is empty or not JSON, and there is no state of the"
            f" attachment in {store.directory}: it is not known what to detach.",
        )
    # Delegates that go by the container alone would take away what another interface of it still
    # uses.
    if not store.interfaces_of(request.container_id) and not _detach_foreign(plugin, request):
        _detach_by_conf(plugin, request)


def detach_some(
    plugin: Plugin,
    request: Request,
    store: states.Store,
    state: states.State,
    goes: Callable[[states.Attached], bool],
) -> None:
    """Detach those of a state that go; the others stay in it, for a DEL. Raise Error."""
    kept = [one for one in state.attached if not goes(one)]
    state.attached = [one for one in state.attached if goes(one)]
    detach(plugin, request, store, state, keep=kept)


def detach(
    plugin: Plugin,
    request: Request,
    store: states.Store,
    state: states.State,
    *,
    keep: list[states.Attached] | None = None,
    seconds: float | None = None,
) -> None:
    """Detach all of a state and forget it; raise Error, and keep it for the next DEL then.

    keep: what is not to be detached now and what the state is about from then on; seconds: what it
    may take, where that is less than a DEL may.
    """
    _remember(store, state)
    path = runtime.search_path(request.path, state.path)
    failed = detach_all(
        # by executables once, which may have gone since
        plugin.runtime(request, path, in_process=state.in_process, when_missing=NO_EXECUTABLE),
        state.attached,
        container_id=state.container_id,
        netns=namespace(request.netns, state),
        deadline=time.monotonic() + (state.timeout if seconds is None else seconds),
    )
    if failed:
        error = errors.join(failed)
        plugin.logger(request)("error", str(error))
        raise error
    if keep:
        state.attached = keep
        store.write(state)
    else:
        store.remove(state)


def namespace(given: str, state: states.State) -> str:
    """Return the path of the namespace to detach from, empty where it is gone.

    given: what the runtime names, which is nothing for GC and for a container that is dead. A path,
    its own or the runtime's, may be another one's by now: names and numbers of processes are used
    again.
    """
    if state.namespace:
        own = [given, state.netns]
        return next((path for path in own if netns.is_marked(path, state.namespace)), "")
    # a state of a former version
    if given:
        return _enterable(given)
    path = state.netns
    is_of_process = "/proc/" in path
    return path if netns.is_there(path) and not is_of_process and not netns.is_own(path) else ""


def _enterable(path: str) -> str:
    """Return a path, empty for a mere file: its namespace was unmounted, and is gone."""
    return "" if os.path.exists(path) and not netns.is_there(path) else path


def _remember(store: states.Store, state: states.State) -> None:
    """Of an ADD that was killed, what its flannel plugins need is not in the state yet."""
    unkept = [one for one in state.attached if not one.kept]
    for one in unkept:
        one.kept = flannel.remembered(one.network, state.container_id)
    if any(one.kept for one in unkept):
        try:
            store.write(state)
        except errors.Error:
            pass  # a full disk; taking away goes on


def _detach_foreign(plugin: Plugin, request: Request) -> bool:
    """Detach what another CNI had attached before this plugin took its place; return whether there
    was something; raise Error.
    """
    from . import foreign

    found, files_of_it = foreign.remembered(
        request.container_id,
        request.interface,
        request.conf.get("type"),
        plugin.others or foreign.CacheDirectories(),
    )
    if not found:
        return False
    bin_dirs = [request.conf["binDir"]] if isinstance(request.conf.get("binDir"), str) else []
    cni = plugin.runtime(
        request,
        runtime.search_path(bin_dirs, request.path),
        deadline=time.monotonic() + conf.TIMEOUT_SECONDS,
        in_process=foreign.in_process(found),
        when_missing=NO_EXECUTABLE,
    )
    place = request.netns if netns.is_there(request.netns) else ""
    failed = foreign.detach(cni, found, files_of_it, place)
    if failed:
        raise errors.join(failed)
    return True


def _detach_by_conf(plugin: Plugin, request: Request) -> None:
    """Without a state, what the configuration names is detached as well as it can be: a state may
    have been lost.
    """
    if not request.conf.get("delegates") and not request.conf.get("clusterNetwork"):
        return
    try:
        configuration = conf.parse(request.conf)
        delegates = configuration.delegates
        if configuration.cluster_network:
            from . import pod_networks

            delegates = pod_networks.on_disk(configuration, plugin.logger(request))
    except errors.Error:
        return  # nothing can have been attached by it
    attached = [
        states.Attached(one.raw, conf.interface_of(one, request.interface))
        for one in delegates
        if not one.chained
    ]
    if netns.is_there(request.netns):
        # An ADD that was refused is followed by a DEL as well. Flannel's goes by the container
        # alone: without its interface, the file that it would take away is another attachment's.
        present = plugin.interfaces(request.netns)
        attached = [
            one for one in attached if one.interface in present or not flannel.plugins(one.network)
        ]
    path = runtime.search_path(configuration.bin_dirs, request.path)
    failed = detach_all(
        plugin.runtime(
            request, path, in_process=configuration.in_process, when_missing=NO_EXECUTABLE
        ),
        attached,
        container_id=request.container_id,
        netns=_enterable(request.netns),
        deadline=time.monotonic() + configuration.timeout,
    )
    if failed:
        raise errors.join(failed)


def detach_all(
    cni: runtime.Runtime,
    attached: list[states.Attached],
    *,
    container_id: str,
    netns: str,
    deadline: float,
) -> list[errors.Error]:
    """Detach every one, last first; return the errors of those that could not be.

    Each may use its share of the time that is left, so none is left out.
    """
    failed = []
    for left, one in zip(range(len(attached), 0, -1), reversed(attached)):
        now = time.monotonic()
        cni.deadline = now + max(deadline - now, 1.0) / left
        try:
            attachment = one.attachment(cni, container_id, netns)
            flannel.put_back(one.network, container_id, one.kept)
            cni.delete(one.network, attachment, one.result)
            _remove_device_file(one)
        except Exception as error:  # whatever it was, the others are detached
            failed.append(errors.as_error(error, "The meta-plugin failed.").within(one.place))
    return failed


def _remove_device_file(one: states.Attached) -> None:
    if one.device_file is None:
        return
    try:
        files.remove_leftovers(one.device_file, alone=True)
        files.remove(one.device_file)
    except OSError as error:
        raise errors.io_failure(f"{one.device_file} cannot be removed.", error) from None
