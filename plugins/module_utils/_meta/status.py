# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""STATUS: an ADD would find everything it needs."""

from __future__ import annotations

import time

from .._cni import errors, runtime
from .._cni.quick_os import os
from . import conf, flannel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._cni.skel import Request
    from .plugin import Plugin

_OWN_CODES = (errors.NOT_AVAILABLE, errors.LIMITED_CONNECTIVITY)


def status(plugin: Plugin, request: Request) -> None:
    """Raise Error (code 50, 51) where an ADD would fail; another code: it always would."""
    try:
        configuration = conf.parse(request.conf)
    except errors.Error as error:
        if error.code == errors.TRY_AGAIN_LATER:
            raise error.with_code(errors.NOT_AVAILABLE) from None
        raise
    file = configuration.readiness_file
    if file and not os.path.exists(file):
        raise errors.Error(
            errors.NOT_AVAILABLE, f"The default network is not ready: there is no {file}."
        )
    networks = plugin.networks(request, configuration, plugin.logger(request))
    try:
        delegates = networks.delegates()
    except errors.Error as error:
        raise error.with_code(errors.NOT_AVAILABLE) from None
    finally:
        networks.close()
    path = runtime.search_path(configuration.bin_dirs, request.path)
    in_process = configuration.in_process
    plugin.refuse_itself(request, delegates, path, in_process)
    deadline = time.monotonic() + configuration.timeout
    cni = plugin.runtime(request, path, deadline=deadline, in_process=in_process)
    for delegate in delegates:
        try:
            flannel.check_lease(delegate.network)
            cni.status(delegate.network)
        except errors.Error as error:
            code = error.code if error.code in _OWN_CODES else errors.NOT_AVAILABLE
            place = f"network {delegate.network.name}"
            raise error.with_code(code).within(place) from None
