# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that was read for real, and faults of it: what tests of what drifts begin with."""

from __future__ import annotations

import copy
import json
import pathlib

from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from declaration import BLUE, RED

VECTORS = pathlib.Path(__file__).parent / "vectors"
HOST = json.loads((VECTORS / "host.json").read_text(encoding="utf-8"))
FAULTS = json.loads((VECTORS / "faults.json").read_text(encoding="utf-8"))
PLAN = plan([BLUE, dict(RED, attach="all")])


def host_with(fault, host=HOST):
    """Return what would be seen on a host with a fault."""
    seen = copy.deepcopy(host)
    for path, value in fault["set"]:
        inner(seen, path)[path[-1]] = value
    for path in fault["delete"]:
        del inner(seen, path)[path[-1]]
    return seen


def inner(seen, path):
    for key in path[:-1]:
        seen = seen[key]
    return seen
