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
        ours = executables.installed_sums(record)
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


def test_of_an_upgrade_before_the_last_nothing_is_left(host):
    """Else a rollback would lead to a mixture of versions."""
    paths, directory, record = host
    previous.keep(paths, directory)
    write(paths, "new")
    assert previous.keep(paths[1:], directory, among=paths) == paths[1:]
    write(paths[1:], "newer")
    assert previous.restore(paths, directory, record) == paths[1:]
    assert words(paths) == ["new", "new"]


def test_an_upgrade_that_was_stopped_half_way_is_gone_back_from_as_a_whole(host):
    paths, directory, record = host
    previous.keep(paths, directory, among=paths)
    write(paths[:1], "new")  # and then it was killed; run again, it finds one left to replace
    assert previous.keep(paths[1:], directory, among=paths) == []
    write(paths[1:], "new")
    assert previous.restore(paths, directory, record) == paths
    assert words(paths) == ["old", "old"]


def test_what_a_former_version_kept_is_no_upgrade_that_was_stopped(host):
    """It kept also what it did not replace."""
    paths, directory, record = host
    previous.keep(paths, directory)
    write(paths[:1], "new")
    assert previous.keep(paths, directory, among=paths) == paths[:1]
    # the same again, of a former collection that was installed again
    assert previous.keep(paths[:1], directory, among=paths) == []
    write(paths[:1], "newer")
    previous.keep(paths, directory)
    write(paths[:1], "newest")
    assert previous.keep(paths[1:], directory, among=paths) == []
    write(paths[1:], "new")
    assert previous.restore(paths, directory, record) == paths[1:]
    assert words(paths) == ["newest", "old"]


def test_of_what_the_networks_no_longer_need_nothing_is_left(host):
    """Else a rollback would bring it again, of a version before the last two."""
    paths, directory, _record = host
    plugin = f"{os.path.dirname(paths[0])}/sbr"
    write([plugin], "old")
    previous.keep([*paths, plugin], directory, among=[*paths, plugin])
    write(paths, "new")
    os.unlink(plugin)
    previous.keep(paths[1:], directory, among=paths)
    assert previous.of_networks(directory) == paths[1:]


def test_what_the_next_upgrade_replaces_besides_is_kept_after_one_that_was_stopped(host):
    paths, directory, record = host
    previous.keep(paths[1:], directory, among=paths)
    assert previous.keep(paths[:1], directory, among=paths) == paths[:1]
    write(paths, "new")
    assert previous.restore(paths, directory, record) == paths[:1]


def test_what_is_kept_of_networks_is_all_but_etcds(tmp_path):
    for name in ("opt/cni/bin/bridge", "usr/local/bin/flanneld", "usr/local/bin/etcd"):
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("")
    (tmp_path / "opt/cni/bin/.bridge.7.tmp").write_text("")  # of who was killed
    kept = ["/opt/cni/bin/bridge", "/usr/local/bin/flanneld"]
    assert previous.of_networks(str(tmp_path)) == kept
    assert previous.of_networks(str(tmp_path), in_pods=True) == kept[:1]
    assert previous.of_networks(str(tmp_path / "none")) == []


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
