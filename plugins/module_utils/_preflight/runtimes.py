# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the container runtimes of a host can use the networks, and whether they do already."""

from __future__ import annotations

from typing import Any

from .._runtime import wiring
from .checks import Judgement


def judged(
    found: dict[str, Any], settings: wiring.Settings, kubernetes: bool
) -> tuple[Judgement, bool]:
    """Return what is wrong with the runtimes, and whether runtime_wiring has anything to do.

    found: as wiring.observe() returns it. kubernetes: whether the networks are for its pods.
    """
    is_due = False
    problems: list[str] = []
    try:
        # or it has a warning to give
        is_due = wiring.due(found, settings).is_any or bool(
            found["crio"] is not None and wiring.crio_former_pods(settings.conf_dir)
        )
    except (wiring.WiringError, OSError) as error:
        problems.append(str(error))
    unfit = wiring.containerd_problems(found["containerd"], settings)
    unfit += wiring.crio_problems(found["crio"], settings)
    # without Kubernetes, containerd may well serve docker alone, which asks no CNI
    if kubernetes:
        return Judgement(problems + unfit, []), is_due
    return Judgement(problems, unfit), is_due
