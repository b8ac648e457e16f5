# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quick `os` does what `os` does, and stands back for it where it is there or is needed."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import stat
import subprocess
import sys

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import quick_os

PATHS = ["", "/", "//", "///a", "a", "a/", "/a", "/a/", "//a//b//", "a/b", "../a.b/", "\u00e9"]
ALONE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import quick_os
assert "os" not in sys.modules
os = quick_os.os
found = [
    os.environ["RAW"],
    os.path.join("a", "b"),
    os.path.exists(os.path.dirname(sys.argv[1])),
    os.SEEK_SET,
    os.pathsep,
    os.O_RDONLY,
    os.strerror(2),
]
assert "os" not in sys.modules
found.append([os.fsencode("a") == b"a", os.path.normpath("a/../b"), hasattr(os, "no_such_thing")])
environ = os.environ
import os
assert environ == dict(os.environ)
print(json.dumps(found))
"""


def test_a_program_that_has_os_gets_it():
    assert quick_os.os is os


def test_without_os_it_is_imported_for_what_only_it_has():
    place = str(pathlib.Path(quick_os.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-ISXutf8", "-c", ALONE, place],
        env={"UMLAUT": "\u00e9", "RAW": os.fsdecode(b"\xff")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [
        os.fsdecode(b"\xff"),
        "a/b",
        True,
        os.SEEK_SET,
        os.pathsep,
        os.O_RDONLY,
        os.strerror(2),
        [True, "b", False],
    ]


@pytest.mark.parametrize("name", ["split", "dirname", "basename", "isabs"])
def test_one_path(name):
    for path in PATHS:
        assert getattr(quick_os, name)(path) == getattr(os.path, name)(path), path


def test_joined_paths():
    for paths in itertools.product(PATHS, repeat=2):
        assert quick_os.join(*paths) == os.path.join(*paths), paths
    assert quick_os.join("a", "b", "/c", "d") == os.path.join("a", "b", "/c", "d")


@pytest.fixture
def things(tmp_path):
    """Paths of a file, a directory, links to both and to nothing, and of what is not there."""
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()
    for target in ("file", "directory", "nothing"):
        (tmp_path / f"to-{target}").symlink_to(target)
    os.mkfifo(tmp_path / "pipe")
    names = ["file", "directory", "to-file", "to-directory", "to-nothing", "pipe", "missing"]
    return [str(tmp_path / name) for name in names] + ["/dev/null", "a\0b", ""]


@pytest.mark.parametrize("name", ["exists", "lexists", "isfile", "isdir"])
def test_what_is_there(name, things):
    for path in things:
        assert getattr(quick_os, name)(path) == getattr(os.path, name)(path), path


def test_the_same_file(things):
    one, other, link = os.stat(things[0]), os.stat(things[1]), os.stat(things[2])
    assert quick_os.samestat(one, link)
    assert not quick_os.samestat(one, other)


@pytest.mark.parametrize("exist_ok", [False, True])
@pytest.mark.parametrize("path", ["a/b/c", "there", "there/a", "file", "file/a", "to-nothing", ""])
def test_directories_are_made_as_os_makes_them(tmp_path, monkeypatch, path, exist_ok):
    def made(makedirs, place):
        place.mkdir()
        (place / "there").mkdir()
        (place / "file").write_text("")
        (place / "to-nothing").symlink_to("nothing")
        monkeypatch.chdir(place)
        try:
            makedirs(path, 0o700, exist_ok)
            failure = None
        except OSError as error:
            failure = type(error)
        modes = {
            one.relative_to(place).as_posix(): stat.S_IMODE(one.lstat().st_mode)
            for one in place.rglob("*")
        }
        return failure, modes

    assert made(quick_os.makedirs, tmp_path / "quick") == made(os.makedirs, tmp_path / "real")
