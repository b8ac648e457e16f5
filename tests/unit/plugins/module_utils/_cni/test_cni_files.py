# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file is there whole or not at all, whenever who writes it is killed or the power goes."""

from __future__ import annotations

import io
import os

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import files

STEPS = ("write", "fchmod", "fchown", "fsync", "rename")


@pytest.fixture
def steps(monkeypatch):
    """What is done to the disk, in order: the names of the calls, fsync with what it is given."""
    done = []

    def watched(name):
        real = getattr(os, name)

        def call(*args):
            place = "" if name != "fsync" else os.path.isdir(f"/proc/self/fd/{args[0]}")
            done.append({"": name, True: "fsync directory", False: "fsync file"}[place])
            return real(*args)

        return call

    for name in STEPS:
        monkeypatch.setattr(os, name, watched(name))
    return done


def mode(path):
    return path.stat().st_mode & 0o7777


def test_what_is_replaced_is_on_the_disk_before_it_has_its_name(tmp_path, steps):
    (tmp_path / "f").write_text("before")
    files.write(str(tmp_path / "f"), "after")
    assert steps == ["write", "fchmod", "fsync file", "rename", "fsync directory"]
    assert (tmp_path / "f").read_text() == "after"


def test_the_name_may_come_to_the_disk_later(tmp_path, steps):
    files.write(str(tmp_path / "f"), "after", sync_name=False)
    assert steps == ["write", "fchmod", "fsync file", "rename"]


def test_a_new_file_is_on_the_disk_with_its_name_after_one_fsync(tmp_path, steps):
    files.write_new(str(tmp_path / "f"), b"new")
    assert steps == ["write", "fchmod", "rename", "fsync file"]
    assert mode(tmp_path / "f") == 0o600


def test_of_a_set_none_is_replaced_before_all_are_on_the_disk(tmp_path, steps):
    paths = [str(tmp_path / name) for name in "ab"]
    files.commit([(files.stage(path, "x", 0o644), path) for path in paths])
    one = ["write", "fchmod", "fsync file"]
    assert steps == [*one, *one, "rename", "rename", "fsync directory"]
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("write", [files.write, files.write_new, files.stage])
@pytest.mark.parametrize("step", ["write", "fchmod", "fsync", "rename"])
def test_a_step_that_fails_leaves_what_was_there(tmp_path, monkeypatch, write, step):
    if (write, step) == (files.stage, "rename"):
        pytest.skip("stage() renames nothing")
    target = tmp_path / "f"
    if write is not files.write_new:
        target.write_text("before")

    def fail(*dummy):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        write(str(target), "after")
    there = {path.name: path.read_text() for path in tmp_path.iterdir()}
    if (write, step) == (files.write_new, "fsync"):
        assert there == {"f": "after"}  # it has its name already, and is whole
    else:
        assert there == ({} if write is files.write_new else {"f": "before"})


def test_text_bytes_and_streams(tmp_path):
    target = tmp_path / "f"
    for content in ("käse\n", "käse\n".encode(), io.BytesIO("käse\n".encode())):
        files.write(str(target), content)
        assert target.read_text(encoding="utf-8") == "käse\n"
    files.write(str(target), "\udcff")  # what was no UTF-8 comes back as it was
    assert files.read(str(target)) == b"\xff"
    files.write(str(target), b"")
    assert files.read(str(target)) == b""


def test_the_mode_is_what_was_asked_for_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        files.write(str(tmp_path / "f"), "x", 0o644)
        files.write_new(str(tmp_path / "g"), "x", 0o755)
    finally:
        os.umask(before)
    assert (mode(tmp_path / "f"), mode(tmp_path / "g")) == (0o644, 0o755)


def test_the_owner_is_there_before_the_mode(tmp_path, steps):
    files.write(str(tmp_path / "f"), "x", 0o4755, uid=os.getuid(), gid=os.getgid())
    assert steps[0] == "fchown"
    assert mode(tmp_path / "f") == 0o4755


def test_a_link_in_the_way_of_the_temporary_file_leads_nowhere(tmp_path):
    target = tmp_path / "f"
    (tmp_path / "other").write_text("other")
    os.symlink(tmp_path / "other", files.temporary_name(str(target)))
    files.write(str(target), "mine")
    assert (tmp_path / "other").read_text() == "other"
    assert target.read_text() == "mine" and not target.is_symlink()


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path):
    gone = [".f.4194399.tmp", f".f.{os.getpid()}.tmp"]
    kept = [".f.1.tmp", ".g.4194399.tmp", "f.4194399.tmp", ".f.x.tmp", ".f.tmp", "f"]
    for name in gone + kept:
        (tmp_path / name).write_text("")
    files.remove_leftovers(str(tmp_path / "f"))
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_who_writes_alone_removes_leftovers_of_any_process(tmp_path):
    kept = [".g.1.tmp", "f.1.tmp", ".f.x.tmp", "f"]
    for name in [".f.1.tmp", ".f.4194399.tmp", *kept]:
        (tmp_path / name).write_text("")
    files.remove_leftovers(str(tmp_path / "f"), alone=True)
    assert sorted(os.listdir(tmp_path)) == sorted(kept)
    files.remove_leftovers(str(tmp_path / "none" / "f"))


def test_what_is_not_there_is_none_and_is_removed_already(tmp_path):
    assert files.read(str(tmp_path / "f")) is None
    files.remove(str(tmp_path / "f"))


def test_a_relative_path_is_in_the_current_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write("f", "x")
    files.remove_leftovers("f")
    assert os.listdir(tmp_path) == ["f"]
