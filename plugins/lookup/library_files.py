# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: library_files
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: The library that the collection's own programs on hosts run with
description:
  - Returns the part of this collection's C(module_utils) that its programs on hosts run with, as
    the files of M(multinet.flannel.node_files).
  - Below O(lib_dir) it is the Python package C(multinet), in which the modules find each other as
    they do here.
options:
  _terms:
    description: The programs whose part is returned. None named means all of them.
    type: list
    elements: str
    choices: [keeper, meta-plugin, subnet-server, token-renewal]
  lib_dir:
    description: Directory of the library.
    type: str
    default: /usr/local/lib/multinet
"""

EXAMPLES = r"""
- name: Install the library
  multinet.flannel.node_files:
    files: "{{ query('multinet.flannel.library_files') }}"
"""

RETURN = r"""
_raw:
  description: The files, each with C(path), C(content) and C(mode).
  type: list
  elements: dict
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

MODULE_UTILS = pathlib.Path(__file__).resolve().parent.parent / "module_utils"
# What each program imports: packages, or single files of them.
PROGRAMS: dict[str, tuple[str, ...]] = {
    "keeper": (
        "_architectures.py",
        "_cni/__init__.py",
        "_cni/files.py",
        "_drift",
        "_etcd/__init__.py",
        "_etcd/certificate.py",
        "_etcd/client.py",
        "_etcd/network_config.py",
        "_etcd/reasons.py",
        "_node/__init__.py",
        "_node/deployed.py",
        "_node/executable_file.py",
        "_node/executables.py",
        "_node/firewalls.py",
        "_node/links.py",
        "_node/lock.py",
        "_node/passage.py",
        "_node/sums.py",
        "_node/subnet_file.py",
        "_node/journal.py",
        "_node/notify.py",
        "_node/units.py",
        "_plan/__init__.py",
        "_plan/schema.py",
        "_plan/secrets.py",
        "_ports.py",
        "_ranges.py",
    ),
    "meta-plugin": ("_cni", "_kube_client", "_meta"),
    "subnet-server": (
        "_cni",
        "_kube_client",
        "_node/__init__.py",
        "_node/notify.py",
        "_ranges.py",
        "_runtime/__init__.py",
        "_runtime/cri.py",
        "_subnets",
    ),
    "token-renewal": ("_cni", "_kube_client", "_tokens"),
}


def library(
    programs: Sequence[str] = tuple(PROGRAMS), lib_dir: str = "/usr/local/lib/multinet"
) -> list[dict[str, str]]:
    """Return the files {path, content, mode} that programs run with, below lib_dir."""
    files = {f"{lib_dir}/multinet/__init__.py": ""}
    for part in sorted({part for program in programs for part in PROGRAMS[program]}):
        place = MODULE_UTILS / part
        for path in sorted(place.glob("*.py")) if place.is_dir() else [place]:
            name = path.relative_to(MODULE_UTILS).as_posix()
            files[f"{lib_dir}/multinet/{name}"] = path.read_text(encoding="utf-8")
    return [
        {"path": path, "content": content, "mode": "0644"}
        for path, content in sorted(files.items())
    ]


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(
        self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any
    ) -> list[dict[str, str]]:
        """Return library() of the terms."""
        self.set_options(var_options=variables, direct=kwargs)
        unknown = [term for term in terms if term not in PROGRAMS]
        if unknown:
            raise AnsibleLookupError(
                f"There is no program {unknown[0]!r}; write one of {', '.join(PROGRAMS)}."
            )
        return library(terms or tuple(PROGRAMS), self.get_option("lib_dir"))
