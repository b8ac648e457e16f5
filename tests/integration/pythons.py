# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Pythons at hand that a host may have: this one, pyenv's, and those in PATH.

And one that nobody knows yet.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
import sys

from ansible_collections.multinet.flannel.plugins.module_utils._kube_client import https


def _found():
    major, minor = sys.version_info[:2]
    found = {f"python{major}.{minor}": sys.executable}
    pyenv = sorted(
        pathlib.Path(os.environ.get("PYENV_ROOT", "/nonexistent")).glob("versions/3.*/bin")
    )
    for directory in [*pyenv, *map(pathlib.Path, os.environ["PATH"].split(os.pathsep))]:
        for path in directory.glob("python3.*"):
            if re.fullmatch(r"python3\.(9|\d\d)", path.name):
                found.setdefault(path.name, str(path))
    return found


FOUND = _found()  # {"python3.9": path, ...}


def https_of(monkeypatch, version=(3, 99, 0), **modules):
    """Return _kube_client/https.py as a Python of a version loads it, newer than all that were
    tested; modules: by name, in place of its own.
    """
    spec = importlib.util.spec_from_file_location("another_https", https.__file__)
    loaded = importlib.util.module_from_spec(spec)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "version_info", version)
        for name, module in modules.items():
            patched.setitem(sys.modules, name, module)
        spec.loader.exec_module(loaded)
    return loaded
