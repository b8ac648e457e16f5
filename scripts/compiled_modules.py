# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep compiled what Python imports from zip files, as it does with other files.

Ansible sends each module in a zip file, with all that it imports. To compile that, each file twice,
takes almost half of the processor time of a run of a module, and tests run thousands.
"""

from __future__ import annotations

import _imp
import functools
import importlib.machinery
import marshal
import os
import sys
import types
import zipimport


def keep(directory: str) -> None:
    """From now on, take compiled code from this directory, and put there what is missing."""
    compile_source = zipimport._compile_source  # type: ignore[attr-defined]

    # An import asks for the file's name, and then for its code: for zipimport, twice the same.
    @functools.lru_cache(maxsize=1)
    def compile_once(pathname: str, source: bytes) -> types.CodeType:
        # as in Python's own .pyc files that are checked by a hash
        name = f"{_imp.source_hash(0, source).hex()}.{sys.implementation.cache_tag}"
        path = os.path.join(directory, name)
        try:
            with open(path, "rb") as file:
                code = marshal.loads(file.read())
            _imp._fix_co_filename(code, pathname)  # type: ignore[attr-defined]
        except (OSError, EOFError, ValueError, TypeError):  # not there, or cut off
            code = compile_source(pathname, source)
            # As Python's own too: whole or not at all, and without room or rights not at all.
            importlib.machinery.SourceFileLoader("", path).set_data(path, marshal.dumps(code))
        return code

    zipimport._compile_source = compile_once  # type: ignore[attr-defined]
