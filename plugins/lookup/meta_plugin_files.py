# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: meta_plugin_files
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: The files of the meta-plugin
description:
  - Returns the meta-plugin's library and its launchers as the files of M(multinet.flannel.node_files), so that one call installs all of it.
  - The library is the part of this collection that the modules use as well.
options:
  _terms:
    description: File names of the launchers.
    type: list
    elements: str
    required: true
  bin_dir:
    description: Directory of the launchers, the host's CNI plugins.
    type: str
    required: true
  lib_dir:
    description: Directory of the library.
    type: str
    default: /usr/local/lib/multinet
  python:
    description: Absolute path of the host's Python, 3.9 or later.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Install the meta-plugin
  multinet.flannel.node_files:
    files: "{{ query('multinet.flannel.meta_plugin_files', 'multinet', bin_dir='/opt/cni/bin', python='/usr/bin/python3') }}"
"""

RETURN = r"""
_raw:
  description: The files, each with C(path), C(content) and C(mode); the launchers last.
  type: list
  elements: dict
"""

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.multinet.flannel.plugins.lookup import library_files

PACKAGES = ("_cni", "_kube_client", "_meta")
# -I -S: nothing of the environment and no site-packages, which is also what starts quickest.
LAUNCHER = """#!%(python)s -IS
# The CNI meta-plugin of multinet.flannel.
import os
import sys

sys.path.insert(0, %(lib_dir)r)
from multinet._meta.plugin import main

# everything is printed; taking the interpreter to pieces would only take time
os._exit(main(sys.argv[0]))
"""


def library(lib_dir):
    """Return the files of the library (list of dict) below lib_dir (str)."""
    return library_files.library(PACKAGES, lib_dir)


def launchers(names, bin_dir, lib_dir, python):
    """Return the launchers (list of dict) for names (list of str)."""
    text = LAUNCHER % {"python": python, "lib_dir": lib_dir}
    return [{"path": f"{bin_dir}/{name}", "content": text, "mode": "0755"} for name in names]


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        bin_dir, lib_dir, python = (
            self.get_option(key) for key in ("bin_dir", "lib_dir", "python")
        )
        names = [name for term in terms for name in (term if isinstance(term, list) else [term])]
        for name in names:
            if not name or "/" in name:
                raise AnsibleLookupError(
                    f"The name {name!r} of the meta-plugin is not a file name; write it without a"
                    " directory."
                )
        # The first line of a script is cut off there by the kernel.
        if not python.startswith("/") or len(python) > 120 or " " in python:
            raise AnsibleLookupError(
                f"The Python {python!r} cannot start a script; give an absolute path without"
                " blanks, at most 120 characters."
            )
        return library(lib_dir) + launchers(names, bin_dir, lib_dir, python)
