# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan that was last applied to this host, as role flanneld leaves it there."""

from __future__ import annotations

import json
from typing import Any

PATH = "/etc/multinet/deployed.json"


class DeployedError(Exception):
    """The record cannot be read. The message says why and what to do."""


def plan(path: str = PATH) -> dict[str, Any] | None:
    """Return the plan last applied on this host (see _plan.plan.plan()), None without a record.

    Raises DeployedError.
    """
    found = read(path)
    return found["plan"] if found else None


def read(path: str = PATH) -> dict[str, Any] | None:
    """Return the whole record: {plan, host: the host's name in the inventory then, directories:
    those that others may use as well, and which it did not have before}, None without one.

    Records of older versions have the plan alone. Raises DeployedError.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            found: dict[str, Any] = json.load(stream)
            found["plan"]["networks"]  # else it is no record
            return found
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeployedError(
            f"The record of what is deployed, {path}, can't be read ({error}). Restore it from a"
            " backup, or remove it and what it described by hand."
        ) from error
