# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages that the controller's Python needs besides Ansible, and the one sentence that a user
reads where one is missing. Hosts need none of them.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import re
import sys

# Package -> the oldest version that is known to do. meta/ee-requirements.txt says the same to
# ansible-builder.
OLDEST = {"cryptography": "42.0", "jmespath": "1.0", "kubernetes": "29", "netaddr": "1.3"}


class MissingLibraryError(ValueError):
    """A package cannot be imported, or is too old; the text says which, where, and how the right
    one gets there.
    """


def need(name: str) -> None:
    """Return if package `name`, a key of OLDEST, can be imported, and is not older than that.
    Raises MissingLibraryError.
    """
    wanted = f"{name}>={OLDEST[name]}"
    remedy = (
        f"install it with `{sys.executable} -m pip install '{wanted}'`, or add {wanted} to the"
        " Python dependencies of the execution environment."
    )
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise MissingLibraryError(
            f"The Python package {name} is missing on the controller ({error}); {remedy}"
        ) from error
    there = _version(name)
    if there and _numbers(there) < _numbers(OLDEST[name]):
        raise MissingLibraryError(
            f"The Python package {name} on the controller is {there}, and {OLDEST[name]} or newer"
            f" is needed; {remedy}"
        )


@functools.cache
def _version(name: str) -> str:
    """Return the version of a package that is there, "" where nothing says it."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:2]]
