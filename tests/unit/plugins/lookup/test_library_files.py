# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
from ansible_collections.multinet.flannel.plugins.lookup import library_files

IMPORT_ALL = """
import importlib, pathlib, sys
root = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(root))
for path in sorted(root.rglob("*.py")):
    importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
"""


@pytest.mark.parametrize("program", library_files.PROGRAMS)
def test_each_program_brings_all_that_it_imports(program, tmp_path):
    """Or it ends as soon as it starts, on hosts."""
    for file in library_files.library([program], str(tmp_path)):
        path = pathlib.Path(file["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["content"], encoding="utf-8")
    command = [sys.executable, "-IS", "-c", IMPORT_ALL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr


def test_the_directories_are_those_of_all_files():
    files = library_files.library(["token-renewal"], "/lib")
    packages = ("", "/_cni", "/_kube_client", "/_tokens")
    expected = [{"path": f"/lib/multinet{package}"} for package in packages]
    assert library_files.directories(files) == expected


def test_an_installing_task_reads_each_file_once(monkeypatch):
    """It asks for the library, for its directory, and for the launchers, which name it."""
    read = []
    one = pathlib.Path.read_text

    def counted(path, *arguments, **keywords):
        read.append(path)
        return one(path, *arguments, **keywords)

    monkeypatch.setattr(pathlib.Path, "read_text", counted)
    library_files._contents.cache_clear()
    files = library_files.library()
    assert library_files.directory() == library_files.directory()
    assert len(files) > 50
    assert len(read) == len(set(read))
