# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A target is attached to the networks that are asked for, or detached from them: only what is not
so yet is done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .._cni import errors
from . import attachment
from .target import Target, TargetError


class Asked(NamedTuple):
    """What a user asks for: names of networks (none: see attachment.load()), the first one's
    interface (None: eth0 if it is free), and whether it is only to be said what would be done.
    """

    networks: list[str]
    conf_dir: str
    network_dir: str
    interface: str | None = None
    only_look: bool = False


class Done(NamedTuple):
    """What was done, or would be: changed: networks or entries; before, after: entries of the
    container; asked: CNI names of the networks that were asked for.
    """

    changed: list[Any]
    before: list[dict[str, Any]]
    after: list[dict[str, Any]]
    asked: set[str]


def present(
    attacher: attachment.Attacher, target: Target, asked: Asked, warn: Callable[[str], object]
) -> Done:
    """Attach what is missing; raise TargetError, Error. warn: takes a sentence."""
    if not target.netns:
        raise TargetError(f"{target.label} has no network namespace: it does not run.")
    wanted = attachment.load(asked.networks, asked.conf_dir, asked.network_dir)
    entries = attacher.entries(target)
    whole = [entry for entry in entries if attacher.is_whole(target, entry)]
    names = {one.network.name for one in wanted}
    wanted = [one for one in wanted if one.network.name not in attacher.within(whole)]
    attachment.assign(
        wanted,
        entries,
        attacher.interfaces(target.netns),
        first=asked.interface or "eth0",
        first_is_fixed=asked.interface is not None,
    )
    known = {entry["networkName"]: entry for entry in entries}
    missing = [one for one in wanted if known.get(one.network.name) not in whole]
    for one in wanted:
        if one not in missing and known[one.network.name]["config"] != one.network.raw:
            warn(
                f"The configuration of {one.name} changed since it was attached; detach and attach"
                " it to use the new one."
            )
    if asked.only_look:
        planned = [{"ifName": one.interface, "network": one.name} for one in missing]
        return Done(missing, whole, whole + planned, names)
    for entry in whole:
        attacher.tell(entry)
    done: list[dict[str, Any]] = []
    try:
        for one in missing:
            if one.network.name in known:
                attacher.detach(target, known[one.network.name])
            done.append(attacher.attach(target, one))
    except errors.Error:
        for entry in reversed(done):
            attacher.detach(target, entry)
        raise
    return Done(missing, whole, whole + done, names)


def absent(attacher: attachment.Attacher, target: Target, asked: Asked) -> Done:
    """Detach what is attached; raise TargetError, Error."""
    entries = attacher.entries(target)
    for name, entry in attacher.within(entries).items():
        network = attachment.plain(name)
        if network in asked.networks:
            raise TargetError(
                f"The network {network} was attached with the host's whole configuration"
                f" ({entry['network']}); detach that, without `networks`."
            )
    doomed = [
        entry for entry in entries if not asked.networks or entry["network"] in asked.networks
    ]
    if not asked.only_look:
        failed = []
        for entry in reversed(doomed):
            try:
                attacher.detach(target, entry)
            except errors.Error as error:
                failed.append(error.within(f"network {entry['network']}"))
        if target.container_id:
            attacher.cache.discard(target.container_id)
        if failed:
            raise errors.join(failed)
    return Done(doomed, entries, [entry for entry in entries if entry not in doomed], set())
