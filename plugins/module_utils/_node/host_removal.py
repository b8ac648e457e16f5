# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that is removed from a host, in order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from . import adopted, deployed, executables, files, multus, network_removal, removal

if TYPE_CHECKING:
    from .removal import Step


class Means(NamedTuple):
    """What is done with running containers, whom this package does not know: `detach` gives the
    steps that take a network (its CNI name) out of them, `to_multus` those that leave to Multus
    what they have besides these networks; `look` looks at bridges.
    """

    detach: Callable[[str], list[Step]]
    to_multus: Callable[[Iterable[str]], list[Step]]
    look: adopted.Look


def steps(host: removal.Host, params: dict[str, Any], means: Means) -> list[Step]:
    """Return all that is to go, in order; params: networks and the options about other things."""
    found: list[Step] = []
    back: list[Step] = []
    stay: list[str] = []
    conf_dir = os.path.dirname(params["cni_conf"])
    if params["all_deployed"]:
        given_back = [adopted.KEPT + path for path in adopted.kept_files()]
        # before a runtime asks Multus again
        if multus.serves_then(conf_dir, given_back):
            found += means.to_multus(network["cni_name"] for network in params["networks"])
        # a bridge that is theirs again has another name, and stays
        back = adopted.network_steps(host) + adopted.pod_steps_back(means.look)
        stay = adopted.lasting(params["networks"])
    guard = removal.unit_steps(host, params["units"])
    guard += removal.table_steps(host, params["nft_tables"])
    if back:  # the guard would drop what comes from a bridge of another name
        back, guard = guard + back, []
    found += network_removal.network_steps(
        host, params["networks"], params["cni_conf"], means.detach, params["keepers"], back, stay
    )
    found += network_removal.former_steps(host, params["former"])
    found += guard
    found += removal.original_steps(params["launchers"])
    if params["executables"] is not None:
        found += removal.multus_steps(conf_dir)
        found += adopted.file_steps() + adopted.daemon_steps(host)
    known = {step.what for step in found}
    rest = removal.rest_steps(params["paths"], params["empty_directories"], deployed.PATH)
    return found + [step for step in rest if step.what not in known]


def sort_executables(asked: list[str]) -> tuple[list[str], list[str]]:
    """Return (paths of executables that go, why others stay, a sentence for each reason)."""
    ours = executables.installed_sums()
    why = {path: executables.why_not_ours(path, ours) for path in removal.paths_there(asked)}
    # removal.original_steps() has another executable in the place of some
    going = [
        path
        for path, reason in why.items()
        if not reason and not os.path.lexists(files.original(path))
    ]
    for path in removal.paths_there(sorted(set(ours) - set(asked))):
        why[path] = executables.why_not_ours(path, ours) or (
            "other CNI configurations may need what is there (reset_executables has it removed)"
        )
    reasons: dict[str, list[str]] = {}
    for path, reason in why.items():
        reasons.setdefault(reason, []).append(path)
    return going, [f"Stays: {', '.join(reasons[one])}: {one}." for one in reasons if one]
