# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The meta-plugin's byte code in one file: used while it is that of the sources, never longer."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest
from ansible_collections.multinet.flannel.plugins.lookup import library_files, meta_plugin_launchers
from ansible_collections.multinet.flannel.plugins.module_utils._cni import bytecode
from ansible_collections.multinet.flannel.plugins.module_utils._node import files
from pythons import FOUND

VERSIONS = '{"cniVersion": "1.1.0"'
VERSION_PY = "multinet/_cni/version.py"


class Installed:
    """The meta-plugin below a directory, as the role installs it."""

    def __init__(self, directory, python):
        self.library = directory / "lib"
        self.archive = self.library / "meta-plugin.code"
        self.launcher = directory / "multinet"
        files = library_files.library(["meta-plugin"], str(self.library))
        files += meta_plugin_launchers.launchers(
            ["multinet"], str(directory), str(self.library), python
        )
        for file in files:
            path = pathlib.Path(file["path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file["content"], encoding="utf-8")
            path.chmod(int(file["mode"], 8))

    def says(self):
        """Return what it answers to VERSION, which it does without an error."""
        done = subprocess.run(
            [self.launcher],
            env={"CNI_COMMAND": "VERSION"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout

    def names(self, name, instead, *, seen):
        """Write another version of the specification into the source; seen: so that it shows."""
        path = self.library / VERSION_PY
        before = path.stat()
        with open(path, "r+", encoding="utf-8") as file:
            text = file.read()
            file.seek(0)
            file.write(text.replace(f'"{name}"', f'"{instead}"'))
        if not seen:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture(params=sorted(FOUND))
def installed(tmp_path, request):
    return Installed(tmp_path, FOUND[request.param])


def test_a_second_start_reads_no_source_and_a_changed_one_is_compiled(installed):
    assert VERSIONS in installed.says()
    assert installed.archive.stat().st_mode & 0o777 == 0o644
    assert sorted(one.name for one in installed.library.iterdir()) == [
        "meta-plugin.code",
        "multinet",
    ]
    made = installed.archive.stat().st_ino
    installed.names("1.1.0", "9.9.9", seen=False)
    assert VERSIONS in installed.says()
    assert installed.archive.stat().st_ino == made
    installed.names("9.9.9", "8.8.8", seen=True)
    assert '"8.8.8"' in installed.says()
    installed.names("8.8.8", "7.7.7", seen=False)
    assert '"8.8.8"' in installed.says()


def test_an_upgrade_that_renames_new_files_into_place_is_seen(installed):
    installed.says()
    path = installed.library / VERSION_PY
    new = path.with_suffix(".tmp")
    new.write_text(path.read_text().replace('"1.1.0"', '"9.9.9"'))
    os.utime(new, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    new.rename(path)
    assert '"9.9.9"' in installed.says()
    loader = installed.library / "multinet/_cni/bytecode.py"
    loader.write_text(loader.read_text() + "\nraise SystemError('new')\n")
    with pytest.raises(subprocess.CalledProcessError):
        installed.says()


def test_what_has_begun_when_an_upgrade_comes_ends_with_the_modules_it_began_with(
    tmp_path, monkeypatch
):
    """It has read its configuration, and not yet imported what it needs for the command."""
    sources = tmp_path / "module_utils"
    shutil.copytree(library_files.MODULE_UTILS, sources)
    monkeypatch.setattr(library_files, "MODULE_UTILS", sources)
    monkeypatch.setattr(library_files, "LIBRARIES", str(tmp_path / "lib"))

    def install():
        library_files._contents.cache_clear()
        library = library_files.directory()
        wanted = library_files.library(["meta-plugin"]) + meta_plugin_launchers.launchers(
            ["multinet"], str(tmp_path), library, sys.executable
        )
        wish = files.Wish(
            [files.File(file["path"], file["content"], file["mode"]) for file in wanted],
            [files.Directory(f"{library}/multinet/{name}") for name in ("_cni", "_meta")]
            + [files.Directory(f"{library}/multinet/_kube_client")],
            versioned=[library],
        )
        files.apply(files.decide(wish))
        return pathlib.Path(library)

    def start():
        return subprocess.Popen(
            [tmp_path / "multinet"],
            env={"CNI_COMMAND": "STATUS", "CNI_PATH": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    conf = '{"cniVersion": "1.1.0", "name": "m", "type": "multinet", "delegates": []}'
    first = install()
    expected = start().communicate(conf)[0]
    running = start()
    while not waits(running):
        time.sleep(0.01)
    (sources / "_meta" / "status.py").write_text("raise SystemError('another version')\n")
    second = install()
    assert running.communicate(conf)[0] == expected
    assert "another version" in start().communicate(conf)[0]
    # the one before the last is nobody's any more
    (sources / "_meta" / "status.py").write_text("raise SystemError('a third')\n")
    third = install()
    left = {path for path in (tmp_path / "lib").iterdir() if path.is_dir()}
    assert first != second and left == {second, third}


def waits(process):
    """Say whether a process is reading its standard input."""
    return pathlib.Path(f"/proc/{process.pid}/wchan").read_text() in ("pipe_read", "anon_pipe_read")


def damage(archive, how):
    content = archive.read_bytes()
    if how == "a directory":
        archive.unlink()
        archive.mkdir()
        return
    line = content.index(b"\n") + 1
    archive.write_bytes(
        {
            "empty": b"",
            "cut off in its head": content[: line + 100],
            "cut off in the code": content[: bytecode.HEAD + 3000],
            "zeros in the code": content[: bytecode.HEAD].ljust(len(content), b"\0"),
            "zeros in its head": content[:line].ljust(len(content), b"\0"),
            "another Python's": b"1000000\n" + content[line:],
            "not an index": content[:line] + b"N".ljust(len(content), b"\0"),
        }[how]
    )


@pytest.mark.parametrize(
    "how",
    [
        "a directory",
        "empty",
        "cut off in its head",
        "cut off in the code",
        "zeros in the code",
        "zeros in its head",
        "another Python's",
        "not an index",
    ],
)
def test_a_damaged_file_costs_time_alone(tmp_path, how):
    installed = Installed(tmp_path, FOUND[sorted(FOUND)[0]])
    installed.says()
    good = installed.archive.read_bytes()
    damage(installed.archive, how)
    assert VERSIONS in installed.says()
    if how != "a directory":
        assert len(installed.archive.read_bytes()) == len(good)
    assert VERSIONS in installed.says()


def test_what_a_killed_start_left_goes(tmp_path):
    installed = Installed(tmp_path, FOUND[sorted(FOUND)[0]])
    (installed.library / ".meta-plugin.code.99999999.tmp").write_text("half")
    installed.says()
    assert sorted(one.name for one in installed.library.iterdir()) == [
        "meta-plugin.code",
        "multinet",
    ]


def test_what_is_imported_later_is_added(tmp_path):
    installed = Installed(tmp_path, FOUND[sorted(FOUND)[0]])
    installed.says()
    before = installed.archive.stat().st_size
    done = subprocess.run(
        [installed.launcher],
        env={"CNI_COMMAND": "STATUS", "CNI_PATH": str(tmp_path)},
        input='{"cniVersion": "1.1.0", "name": "n", "type": "multinet", "delegates": []}',
        capture_output=True,
        text=True,
        check=False,
    )
    assert '"code"' in done.stdout
    assert installed.archive.stat().st_size > before
