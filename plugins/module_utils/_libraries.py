# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages that the controller's Python needs besides Ansible, and the one sentence that a user
reads where one is missing. Hosts need none of them.
"""

from __future__ import annotations

import importlib
import sys

# Package -> the oldest version that is known to do. meta/ee-requirements.txt says the same to
# ansible-builder.
OLDEST = {"cryptography": "3.3", "jmespath": "1.0", "kubernetes": "29", "netaddr": "1.3"}


class MissingLibraryError(ValueError):
    """A package cannot be imported; the text says which, where, and how it gets there."""


def need(name: str) -> None:
    """Return if package `name`, a key of OLDEST, can be imported. Raises MissingLibraryError."""
    try:
        importlib.import_module(name)
    except ImportError as error:
        wanted = f"{name}>={OLDEST[name]}"
        raise MissingLibraryError(
            f"The Python package {name} is missing on the controller ({error}); install it with"
            f" `{sys.executable} -m pip install '{wanted}'`, or add {wanted} to the Python"
            " dependencies of the execution environment."
        ) from error
