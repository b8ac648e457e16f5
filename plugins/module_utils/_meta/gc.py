# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GC: detach what this configuration attached and the runtime no longer lists.

Plugins have no GC of their own, so it is DEL that is called.
"""

from __future__ import annotations

from .._cni import errors
from . import conf, delete, lock
from . import state as states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._cni.skel import Request
    from .plugin import Plugin

_LOCK_SECONDS = 10
# The attachments that stay: the specification's key, and the one that an earlier text of it had.
_VALID_KEYS = ("cni.dev/valid-attachments", "cni.dev/attachments")


def gc(plugin: Plugin, request: Request) -> None:
    """Detach every attachment of this configuration that is not listed; raise one Error for all
    that could not be.
    """
    key = next((key for key in _VALID_KEYS if key in request.conf), None)
    if key is None:
        return  # a caller that lists nothing, not even an empty list, does not say what may go
    listed = request.conf[key] or []  # Go prints an empty list as null
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise errors.Error(
            errors.INVALID_CONFIGURATION,
            f"`{key}` is not a list of attachments {{containerID, ifname}}.",
        )
    valid = {(one.get("containerID"), one.get("ifname")) for one in listed}
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
                elif state.conf_name == request.conf.get("name"):
                    delete.detach(plugin, request, store, state)
        except (errors.Error, OSError) as error:
            place = f"container {container_id}, interface {interface}"
            failed.append(errors.as_error(error, "The meta-plugin failed.").within(place))
    if failed:
        raise errors.join(failed)
