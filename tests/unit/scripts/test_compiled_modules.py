# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib
import subprocess
import sys
import zipfile

import pytest

SCRIPTS = pathlib.Path(__file__).resolve().parents[3] / "scripts"
# prints what a module in a zip file says, where its code comes from, and how often it was compiled
PROGRAM = """
import sys
archive, directory, scripts = sys.argv[1:]
sys.path[:0] = [scripts, archive]
import compiled_modules
compiled_modules.keep(directory)
compiled = []
sys.addaudithook(lambda event, args: compiled.append(args[1]) if event == "compile" else None)
import sent
print(sent.WORD, sent.where.__code__.co_filename == archive + "/sent.py", len(compiled))
"""


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "kept"


@pytest.fixture
def send(tmp_path, kept):
    """Send a module, each time in another zip file, as Ansible does; return what PROGRAM says."""

    def send(word, number=1):
        archive = tmp_path / f"{number}.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("sent.py", f"WORD = {word!r}\ndef where(): return WORD\n")
        argv = [sys.executable, "-ISc", PROGRAM, archive, kept, SCRIPTS]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert not done.stderr
        return done.stdout.split()

    return send


def test_what_was_compiled_is_not_compiled_again(send):
    assert send("first") == ["first", "True", "1"]
    assert send("first", number=2) == ["first", "True", "0"]


def test_another_content_is(send):
    send("first")
    assert send("second") == ["second", "True", "1"]
    assert send("first") == ["first", "True", "0"]


@pytest.mark.parametrize("size", [0, 20])
def test_a_file_that_was_cut_off_is_written_anew(send, kept, size):
    send("first")
    (file,) = kept.iterdir()
    file.write_bytes(file.read_bytes()[:size])
    assert send("first") == ["first", "True", "1"]
    assert send("first") == ["first", "True", "0"]


def test_where_nothing_can_be_kept_it_is_compiled_each_time(send, kept):
    kept.write_text("no directory")
    assert send("first") == send("first") == ["first", "True", "1"]


def test_it_is_the_python_of_tests_that_keeps_it():
    """On this machine; scripts/host-image.sh does the same on test hosts."""
    argv = [sys.executable, "-c", "import zipimport; print(zipimport._compile_source.__module__)"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == "compiled_modules\n"
