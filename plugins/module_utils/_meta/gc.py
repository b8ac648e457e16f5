# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GC: detach what this configuration attached and the runtime no longer lists, by DEL; then hand GC
on to the plugins of the networks that know it.
"""

from __future__ import annotations

import time

from .._cni import conf as cni_conf
from .._cni import errors, runtime
from .._names import NO_EXECUTABLE
from . import conf, delete, foreign, lock
from . import state as states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._cni.skel import Request
    from .plugin import Plugin

_LOCK_SECONDS = 10
# The attachments that stay: the specification's key, and the one that an earlier text of it had.
_VALID_KEYS = ("cni.dev/valid-attachments", "cni.dev/attachments")
_ATTACHMENT = ("containerID", "ifname")


def gc(plugin: Plugin, request: Request) -> None:
    """Detach every attachment of this configuration that is not listed, and tell the networks'
    plugins what is valid; raise one Error for all that could not be.

    Networks with `disableGC` are left alone: others attach to them, too. So is what was attached
    while this is at work: the runtime had made its list before.
    """
    begin = time.time()
    if request.conf.get("disableGC") in (True, "true"):
        return
    key = next((key for key in _VALID_KEYS if key in request.conf), None)
    if key is None:
        return  # a caller that lists nothing, not even an empty list, does not say what may go
    listed = request.conf[key]
    if listed is None:
        listed = []  # Go prints an empty list so
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise _no_list(key)
    valid = set()
    for one in listed:
        container_id, interface = map(cni_conf.folded(one, _ATTACHMENT).get, _ATTACHMENT)
        if not isinstance(container_id, str) or not isinstance(interface, str):
            raise _no_list(key)
        if not container_id or not interface:
            raise _no_list(key)  # taken for another, all that is attached would go
        valid.add((container_id, interface))
    store = states.Store(conf.state_directory(request.conf))
    failed = []
    for container_id, interface in store.attachments() + store.unfinished():
        if (container_id, interface) in valid:
            continue
        try:
            with lock.held(store.directory, container_id, interface, _LOCK_SECONDS, needed=False):
                state = store.read_or_put_aside(container_id, interface)
                if state is None:
                    store.discard(container_id, interface)
                elif state.conf_name == request.conf.get("name") and not store.is_newer(
                    state, begin
                ):
                    delete.detach_some(
                        plugin, request, store, state, lambda one: not one.network.disable_gc
                    )
        except Exception as error:  # whatever it was, others are detached
            place = f"container {container_id}, interface {interface}"
            failed.append(errors.as_error(error, "The meta-plugin failed.").within(place))
    try:
        failed += _hand_on(plugin, request, store, valid)
    except Exception as error:  # what failed before is told too
        failed.append(errors.as_error(error, "The meta-plugin failed."))
    if failed:
        raise errors.join(failed)


def _no_list(key: str) -> errors.Error:
    return errors.Error(
        errors.INVALID_CONFIGURATION,
        f"`{key}` is not a list of attachments {{containerID, ifname}}.",
    )


def _hand_on(
    plugin: Plugin, request: Request, store: states.Store, valid: set[tuple[str, str]]
) -> list[errors.Error]:
    """Tell the plugins of each network which attachments are valid: those of every state that is
    left, and those that another CNI made before, whose addresses may be in what is now a directory
    of ours. Return the errors.

    Where the runtime has an attachment that no state tells of, nobody is told anything: its
    addresses would be freed.
    """
    known = set(store.attachments())
    if not known.issuperset(valid):
        return []
    configuration = conf.parse(request.conf)
    networks = {one.raw["name"]: one.network for one in configuration.delegates}
    attachments: dict[str, list[tuple[str, str]]] = {name: [] for name in networks}
    try:
        for container_id, interface in known:
            state = store.read(container_id, interface)
            for one in state.attached if state else ():
                networks.setdefault(one.raw["name"], one.network)
                found = attachments.setdefault(one.raw["name"], [])
                found.append((container_id, one.interface))
    except states.Corrupt:
        return []  # nobody knows what it holds
    path = runtime.search_path(configuration.bin_dirs, request.path)
    deadline = time.monotonic() + configuration.timeout
    cni = plugin.runtime(
        request,
        path,
        deadline=deadline,
        in_process=configuration.in_process,
        when_missing=NO_EXECUTABLE,
    )
    of_others = foreign.attachments(plugin.others or foreign.CacheDirectories())
    failed = []
    for name, network in networks.items():
        try:
            cni.gc(network, sorted({*attachments[name], *of_others}))
        except Exception as error:
            place = f"network {name}"
            failed.append(errors.as_error(error, "The meta-plugin failed.").within(place))
    return failed
