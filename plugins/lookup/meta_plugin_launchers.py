# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: meta_plugin_launchers
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: The executables that start the meta-plugin
description:
  - Returns them as files for M(multinet.flannel.node_files), so that one call installs them and the
    library (P(multinet.flannel.library_files#lookup)).
options:
  _terms:
    description: File names of the executables.
    type: list
    elements: str
    required: true
  bin_dir:
    description: Their directory. It is the directory of the host's CNI plugins.
    type: str
    required: true
  lib_dir:
    description: Directory of the library, as for P(multinet.flannel.library_files#lookup).
    type: str
  python:
    description: Absolute path of the host's Python, 3.9 or later.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Install the meta-plugin
  multinet.flannel.node_files:
    files: "{{ query('multinet.flannel.library_files')
      + query('multinet.flannel.meta_plugin_launchers', 'multinet',
              bin_dir='/opt/cni/bin', python='/usr/bin/python3') }}"
"""

RETURN = r"""
_raw:
  description: The files, each with C(path), C(content) and C(mode). One of them is the record of
    the paths.
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.multinet.flannel.plugins.lookup import library_files
from ansible_collections.multinet.flannel.plugins.module_utils._cni import bytecode
from ansible_collections.multinet.flannel.plugins.module_utils._node import executables

# Nothing of the environment (-I), no site-packages (-S), no locale: what starts quickest. It is
# compiled at each start: what can be elsewhere is in _cni/bytecode.py.
LAUNCHER = """#!%(python)s -ISXutf8
# The CNI meta-plugin of multinet.flannel.
import marshal
import posix
import sys

library = %(lib_dir)r
kept = None
try:
    archive = posix.open(library + "/meta-plugin.code", posix.O_RDONLY)
    version, head = posix.read(archive, %(head)d).split(b"\\n", 1)
    if version == b"%%x" %% sys.hexversion:
        code, *kept = marshal.loads(head)
except (OSError, EOFError, TypeError, ValueError):
    pass
if kept is None:
    loader = library + "/multinet/_cni/bytecode.py"
    with open(loader) as stream:
        code = compile(stream.read(), loader, "exec")
scope = {"__name__": "multinet._cni.bytecode"}
exec(code, scope)
modules = scope["use"](library, kept and (archive, *kept))
from multinet._meta.plugin import main

status = main(sys.argv[0])
modules.save(library + "/meta-plugin.code")
# everything is printed; taking the interpreter to pieces would only take time
posix._exit(status)
"""


def launchers(names: list[str], bin_dir: str, lib_dir: str, python: str) -> list[dict[str, Any]]:
    """Return the executables of these names in bin_dir, as node_files takes them."""
    text = LAUNCHER % {"python": python, "lib_dir": lib_dir, "head": bytecode.HEAD}
    return [
        {"path": f"{bin_dir}/{name}", "content": text, "mode": "0755", "keep_original": True}
        for name in names
    ]


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(
        self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, Any]]:
        """Return launchers() of the terms, and where they are; raise AnsibleLookupError for what
        cannot start.
        """
        self.set_options(var_options=variables, direct=kwargs)
        names = [name for term in terms for name in (term if isinstance(term, list) else [term])]
        for name in names:
            if not name or "/" in name:
                raise AnsibleLookupError(
                    f"The name {name!r} of the meta-plugin is not a file name; write it without a"
                    " directory."
                )
        python = self.get_option("python")
        # The first line of a script is cut off there by the kernel.
        if not python.startswith("/") or len(python) > 120 or " " in python:
            raise AnsibleLookupError(
                f"The Python {python!r} cannot start a script; give an absolute path without"
                " spaces, at most 120 characters."
            )
        lib_dir = self.get_option("lib_dir") or library_files.directory()
        files = launchers(names, self.get_option("bin_dir"), lib_dir, python)
        # who puts back what they took the place of reads it (_node/executables.py); those that have
        # lost their names are in it until they have gone
        paths = "".join(f"{file['path']}\n" for file in files)
        record = {"path": executables.LAUNCHERS, "content": paths, "mode": "0644"}
        return [{**record, "add_lines": True}, *files]
