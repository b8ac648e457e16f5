# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: library_files
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: Parts of the collection's library for programs that run on hosts
description:
  - Returns packages or single files of this collection's C(module_utils) as the files of M(multinet.flannel.node_files).
  - Below O(lib_dir) they are the Python package C(multinet), in which they find each other as they do here.
options:
  _terms:
    description: Names of packages (V(_tokens)) or of files in them (V(_tokens/token.py)).
    type: list
    elements: str
    required: true
  lib_dir:
    description: Directory of the library.
    type: str
    default: /usr/local/lib/multinet
"""

EXAMPLES = r"""
- name: Install a part of the library
  multinet.flannel.node_files:
    files: "{{ query('multinet.flannel.library_files', '_tokens') }}"
"""

RETURN = r"""
_raw:
  description: The files, each with C(path), C(content) and C(mode).
  type: list
  elements: dict
"""

import os

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

MODULE_UTILS = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "module_utils"
)


def library(parts, lib_dir):
    """Return the files (list of dict) of parts (list of str) of the library below lib_dir (str)."""
    files = [{"path": lib_dir + "/multinet/__init__.py", "content": "", "mode": "0644"}]
    for part in parts:
        path = os.path.join(MODULE_UTILS, part)
        names = (
            [part]
            if part.endswith(".py")
            else [f"{part}/{name}" for name in sorted(os.listdir(path)) if name.endswith(".py")]
        )
        for name in names:
            with open(os.path.join(MODULE_UTILS, name), encoding="utf-8") as file:
                files.append(
                    {"path": f"{lib_dir}/multinet/{name}", "content": file.read(), "mode": "0644"}
                )
    return files


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        try:
            return library(terms, self.get_option("lib_dir"))
        except OSError as error:
            raise AnsibleLookupError(
                "The library of the collection has no"
                f" {os.path.relpath(error.filename, MODULE_UTILS)}."
            ) from error
