# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: library_files
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: The Python library of the collection's own programs on hosts
description:
  - Returns the part of this collection's C(module_utils) that its programs on hosts need, as files
    for M(multinet.flannel.node_files).
  - Below O(lib_dir) it is the Python package C(multinet). Relative imports between its modules work
    as in the collection.
  - Each version of the library has its own directory. So a program that runs during an upgrade
    continues with the modules of its version.
options:
  _terms:
    description: Names of programs. Only the modules that they need are returned. By default, those
      of all programs.
    type: list
    elements: str
    choices: [keeper, meta-plugin, subnet-server, token-renewal]
  lib_dir:
    description: Directory of the library. By default, the directory of its version below
      C(/usr/local/lib/multinet).
    type: str
  returned:
    description: Whether to return the library's V(files), the V(directories) of these files, or the
      V(directory) of the library.
    type: str
    choices: [files, directories, directory]
    default: files
"""

EXAMPLES = r"""
- name: Install the library
  multinet.flannel.node_files:
    directories: "{{ query('multinet.flannel.library_files', returned='directories') }}"
    files: "{{ query('multinet.flannel.library_files') }}"
"""

RETURN = r"""
_raw:
  description: The files, each with C(path), C(content) and C(mode); or the directories, each with
    C(path); or the path of the directory.
  type: list
  elements: raw
"""

import functools
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

LIBRARIES = "/usr/local/lib/multinet"
MODULE_UTILS = pathlib.Path(__file__).resolve().parent.parent / "module_utils"
# What each program imports: packages, or single files of them.
PROGRAMS: dict[str, tuple[str, ...]] = {
    "keeper": (
        "_architectures.py",
        "_cni/__init__.py",
        "_cni/conf.py",
        "_cni/errors.py",
        "_cni/files.py",
        "_cni/quick_json.py",
        "_cni/quick_os.py",
        "_cni/version.py",
        "_drift",
        "_etcd/__init__.py",
        "_etcd/certificate.py",
        "_etcd/client.py",
        "_etcd/network_config.py",
        "_etcd/reasons.py",
        "_flanneld/__init__.py",
        "_flanneld/data_store.py",
        "_isolation/__init__.py",
        "_isolation/seal.py",
        "_names.py",
        "_node/__init__.py",
        "_node/deployed.py",
        "_node/executable_file.py",
        "_node/executables.py",
        "_node/exposition.py",
        "_node/firewalls.py",
        "_node/links.py",
        "_node/lock.py",
        "_node/passage.py",
        "_node/sums.py",
        "_node/subnet_file.py",
        "_node/journal.py",
        "_node/overrides.py",
        "_node/notify.py",
        "_node/units.py",
        "_node/written.py",
        "_node/xfrm.py",
        "_plan/__init__.py",
        "_plan/schema.py",
        "_plan/secrets.py",
        "_ports.py",
        "_ranges.py",
        "_tokens/__init__.py",
        "_tokens/token.py",
    ),
    "meta-plugin": ("_cni", "_kube_client", "_meta", "_names.py"),
    "subnet-server": (
        "_cni",
        "_kube_client",
        "_names.py",
        "_node/__init__.py",
        "_node/exposition.py",
        "_node/journal.py",
        "_node/notify.py",
        "_node/overrides.py",
        "_node/subnet_file.py",
        "_node/units.py",
        "_ranges.py",
        "_runtime/__init__.py",
        "_runtime/cri.py",
        "_subnets",
    ),
    "token-renewal": ("_cni", "_kube_client", "_tokens"),
}


def library(
    programs: Sequence[str] = tuple(PROGRAMS), lib_dir: str | None = None
) -> list[dict[str, str]]:
    """Return the files {path, content, mode} that programs run with, below lib_dir."""
    place = lib_dir or directory()
    return [
        {"path": f"{place}/multinet/{name}", "content": content, "mode": "0644"}
        for name, content in _contents(tuple(programs), MODULE_UTILS)
    ]


def directories(files: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return the directories {path} of files, as library() returns these."""
    return [{"path": path} for path in sorted({os.path.dirname(file["path"]) for file in files})]


def directory() -> str:
    """Return the directory of the library of all programs, by what is in it."""
    made_of = hashlib.sha256(repr(_contents(tuple(PROGRAMS), MODULE_UTILS)).encode())
    return f"{LIBRARIES}/{made_of.hexdigest()[:12]}"


@functools.cache
def _contents(programs: tuple[str, ...], module_utils: pathlib.Path) -> list[tuple[str, str]]:
    """Return (name in the package, content) of the files that programs run with, which are read
    once, however often a task asks.
    """
    files = {"__init__.py": ""}
    for part in {part for program in programs for part in PROGRAMS[program]}:
        place = module_utils / part
        for path in place.glob("*.py") if place.is_dir() else [place]:
            name = path.relative_to(module_utils).as_posix()
            if name not in files:
                files[name] = path.read_text(encoding="utf-8")
    return sorted(files.items())


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[Any]:
        """Return library() of the terms, directories() of that, or directory()."""
        self.set_options(var_options=variables, direct=kwargs)
        unknown = [term for term in terms if term not in PROGRAMS]
        if unknown:
            raise AnsibleLookupError(
                f"There is no program {unknown[0]!r}; write one of {', '.join(PROGRAMS)}."
            )
        if self.get_option("returned") == "directory":
            return [self.get_option("lib_dir") or directory()]
        files = library(terms or tuple(PROGRAMS), self.get_option("lib_dir"))
        return directories(files) if self.get_option("returned") == "directories" else files
