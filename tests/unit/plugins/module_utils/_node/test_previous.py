# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import executables, previous
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError


@pytest.fixture(name="host")
def _host(tmp_path):
    """(paths of two executables, where they are kept, the record of what is installed)."""
    paths = [str(tmp_path / "bin" / name) for name in ("etcd", "flanneld")]
    (tmp_path / "bin").mkdir()
    write(paths, "old")
    return paths, str(tmp_path / "previous"), str(tmp_path / "record.json")


def write(paths, word):
    for path in paths:
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(f"#!/bin/sh\necho {word}\n")


def words(paths):
    found = []
    for path in paths:
        with open(path, encoding="utf-8") as stream:
            found.append(stream.read().split()[-1])
    return found


def test_there_and_back_and_nothing_is_left_to_go_back_to(host):
    paths, directory, record = host
    for changed in (paths, []):  # the second time it is kept already
        assert previous.keep(paths, directory) == changed
    write(paths, "new")
    for changed in (paths, [], []):
        assert previous.differing(paths, directory) == changed
        assert previous.restore(paths, directory, record) == changed
        assert words(paths) == ["old", "old"]
        ours = executables.recorded(record)
        assert all(executables.why_not_ours(path, ours) == "" for path in paths)


def test_what_an_upgrade_did_not_replace_is_not_gone_back_to_later(host):
    """Else the second way back would lead to what was there before the upgrade after it."""
    paths, directory, record = host
    previous.keep(paths, directory)
    write(paths[:1], "new")
    assert previous.restore(paths, directory, record) == paths[:1]
    write(paths[1:], "new")
    assert previous.restore(paths, directory, record) == []
    assert words(paths) == ["old", "new"]


def test_the_last_that_was_kept_counts(host):
    paths, directory, record = host
    previous.keep(paths, directory)
    write(paths, "newer")
    assert previous.keep(paths, directory) == paths
    assert previous.differing(paths, directory) == []
    assert previous.restore(paths, directory, record) == []


def test_what_is_not_there_is_passed_over(host, tmp_path):
    paths, directory, record = host
    assert previous.keep([*paths, str(tmp_path / "none")], directory) == paths
    write(paths[:1], "new")
    assert previous.restore([*paths, str(tmp_path / "none")], directory, record) == paths[:1]


def test_all_or_none(host, tmp_path):
    paths, directory, record = host
    previous.keep(paths, directory)
    write(paths[:1], "new")
    (tmp_path / "bin" / "flanneld").unlink()
    (tmp_path / "bin" / "flanneld").mkdir()
    with pytest.raises(ArtifactError, match="is a directory"):
        previous.restore(paths, directory, record)
    assert words(paths[:1]) == ["new"]
    assert sorted(os.listdir(directory + str(tmp_path / "bin"))) == ["etcd", "flanneld"]


def test_what_cannot_all_be_kept_leaves_what_was_kept_before(host, monkeypatch):
    paths, directory, _record = host
    previous.keep(paths, directory)
    write(paths, "new")
    stage = previous.files.stage

    def full(path, *more, **options):
        if path.endswith("flanneld"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return stage(path, *more, **options)

    monkeypatch.setattr(previous.files, "stage", full)
    with pytest.raises(ArtifactError, match=r"No space left on device\. Nothing was replaced"):
        previous.keep(paths, directory)
    assert words([directory + path for path in paths]) == ["old", "old"]
    (folder,) = {os.path.dirname(directory + path) for path in paths}
    assert sorted(os.listdir(folder)) == ["etcd", "flanneld"]
