# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json
import os

import pytest
from ansible_collections.multinet.flannel.plugins.lookup import meta_plugin_launchers
from ansible_collections.multinet.flannel.plugins.module_utils import _architectures
from ansible_collections.multinet.flannel.plugins.module_utils._node import executables
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError
from elf import elf

NEW = b"#!/bin/sh\necho new\n"
SUM = hashlib.sha256(NEW).hexdigest()


@pytest.fixture(name="source")
def _source(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(NEW)
    return str(path)


def test_look_reports_nothing_and_something(tmp_path):
    state = executables.look(str(tmp_path / "not/there/x"))
    assert (state["sha256"], state["mode"]) == (None, None) and state["free"] > 0
    (tmp_path / "x").write_bytes(NEW)
    assert executables.look(str(tmp_path / "x"))["sha256"] == SUM


def test_what_is_there_is_known_by_the_record_and_tried(tmp_path):
    record = tmp_path / "record.json"
    record.write_text(json.dumps({str(tmp_path / name): SUM for name in ("ours", "replaced")}))
    (tmp_path / "ours").write_bytes(NEW)
    (tmp_path / "replaced").write_bytes(b"#!/bin/sh\necho v1.2.3\n")
    (tmp_path / "replaced").chmod(0o755)
    found = executables.states(
        [
            {"path": str(tmp_path / "ours"), "version_arguments": None},
            {"path": str(tmp_path / "replaced"), "version_arguments": ["--version"]},
            {"path": str(tmp_path / "none"), "version_arguments": ["--version"]},
        ],
        "amd64",
        str(record),
    )
    assert [(one["recorded"], one["replaced"]) for one in found] == [
        (True, False),
        (True, True),
        (False, False),
    ]
    assert [one.get("problem") for one in found] == [None, "", None]
    assert found[1]["version"] == "1.2.3"


def test_installs_into_a_new_directory(tmp_path, source):
    path = str(tmp_path / "bin/x")
    executables.install([{"path": path, "sha256": SUM, "src": source}])
    assert not executables.differs(executables.look(path), SUM)
    assert os.listdir(tmp_path / "bin") == ["x"]


def test_puts_a_mode_right_without_a_source(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(NEW)
    path.chmod(0o644)
    assert executables.differs(executables.look(str(path)), SUM)
    executables.install([{"path": str(path), "sha256": SUM, "src": None}])
    assert executables.look(str(path))["mode"] == "0755"


def test_one_wrong_sum_installs_none(tmp_path, source):
    wanted = [
        {"path": str(tmp_path / "a"), "sha256": SUM, "src": source},
        {"path": str(tmp_path / "b"), "sha256": "0" * 64, "src": source},
    ]
    with pytest.raises(ArtifactError) as caught:
        executables.install(wanted)
    assert (
        "0" * 64 in str(caught.value)
        and SUM in str(caught.value)
        and str(tmp_path / "b") in str(caught.value)
    )
    assert os.listdir(tmp_path) == ["source"]


def in_the_way_of(name, monkeypatch):
    """Have somebody make a directory of that name after it was staged."""
    stage = executables.files.stage

    def staged(path, *more, **options):
        temporary = stage(path, *more, **options)
        if path.endswith(f"/{name}"):
            os.mkdir(path)
        return temporary

    monkeypatch.setattr(executables.files, "stage", staged)


def test_what_was_replaced_before_an_error_is_told(tmp_path, source, monkeypatch):
    in_the_way_of("b", monkeypatch)
    wanted = [{"path": str(tmp_path / name), "sha256": SUM, "src": source} for name in "abc"]
    with pytest.raises(ArtifactError) as caught:
        executables.install(wanted)
    said = f"{tmp_path}/b could not be written: Is a directory. {tmp_path}/a had been replaced."
    assert str(caught.value) == said
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "source"]


def test_a_record_that_cannot_be_written_is_named(tmp_path, source):
    (tmp_path / "file").write_text("")
    record = str(tmp_path / "file" / "record.json")
    with pytest.raises(ArtifactError, match=f"{record} could not be .*Nothing was changed"):
        executables.install([{"path": str(tmp_path / "a"), "sha256": SUM, "src": source}], record)


def test_a_directory_in_the_way_is_named(tmp_path, source):
    (tmp_path / "x").mkdir()
    with pytest.raises(ArtifactError, match="x is a directory, not an executable"):
        executables.install([{"path": str(tmp_path / "x"), "sha256": SUM, "src": source}])


def test_only_what_was_installed_is_ours(tmp_path, source):
    record, path = str(tmp_path / "record.json"), str(tmp_path / "bin/x")
    there = tmp_path / "there"  # the very executable, put there by somebody else
    there.write_bytes(NEW)
    there.chmod(0o644)
    wanted = [
        {"path": path, "sha256": SUM, "src": source},
        {"path": str(there), "sha256": SUM, "src": source},
    ]
    executables.install(wanted, record)
    ours = executables.installed_sums(record)
    assert ours == {path: SUM}
    assert executables.why_not_ours(path, ours) == ""
    assert executables.why_not_ours(str(there), ours) == "not installed by the collection"
    # source host, or another package, replaced it since
    (tmp_path / "bin/x").write_bytes(b"other")
    assert executables.why_not_ours(path, ours) == "replaced since the collection installed it"
    assert executables.installed_sums(str(tmp_path / "none.json")) == {}


def test_what_was_not_installed_in_the_end_is_not_ours(tmp_path, source):
    """The record is written first: a run that is killed in between forgets nothing."""
    record, path = str(tmp_path / "record.json"), tmp_path / "x"
    path.write_bytes(b"of another package")
    wanted = [{"path": str(path), "sha256": "0" * 64, "src": source}]
    with pytest.raises(ArtifactError):
        executables.install(wanted, record)
    ours = executables.installed_sums(record)
    assert executables.why_not_ours(str(path), ours) == "replaced since the collection installed it"


def test_the_meta_plugin_is_known_by_what_it_is(tmp_path):
    text = meta_plugin_launchers.launchers(["multus"], str(tmp_path), "/lib", "/usr/bin/python3")
    (tmp_path / "multus").write_text(text[0]["content"])
    assert executables.why_not_ours(str(tmp_path / "multus"), {}) == ""
    assert executables.is_launcher_at(str(tmp_path / "multus"))
    (tmp_path / "multus").write_bytes(b"\x7fELF, the real one")
    assert executables.why_not_ours(str(tmp_path / "multus"), {}) != ""
    assert not executables.is_launcher_at(str(tmp_path / "multus"))
    assert not executables.is_launcher_at(str(tmp_path / "none"))


def test_where_the_meta_plugin_was_installed_is_a_line_each(tmp_path):
    assert executables.launchers(str(tmp_path / "none")) == []
    (tmp_path / "launchers").write_text("/opt/cni/bin/multinet\n/opt/cni/bin/multus\n")
    paths = executables.launchers(str(tmp_path / "launchers"))
    assert paths == ["/opt/cni/bin/multinet", "/opt/cni/bin/multus"]
    (tmp_path / "launchers").write_bytes(b"\xff")
    with pytest.raises(ArtifactError):
        executables.launchers(str(tmp_path / "launchers"))


def test_what_is_there_is_recorded_where_the_record_is_lost(tmp_path):
    """A host without a record of what is deployed has nothing of ours yet."""
    record, deployed = str(tmp_path / "etc/executables.json"), tmp_path / "etc/deployed.json"
    assert not executables.is_lost(record, str(deployed))
    deployed.parent.mkdir()
    deployed.touch()
    assert executables.is_lost(record, str(deployed))
    there, other = tmp_path / "there", tmp_path / "other"
    there.write_bytes(NEW)
    other.write_text("somebody else's", encoding="utf-8")
    executables.install([], record, [{"path": str(path), "sha256": SUM} for path in (there, other)])
    assert executables.installed_sums(record) == {str(there): SUM}
    assert not executables.is_lost(record, str(deployed))


def test_a_first_run_that_installs_nothing_leaves_a_record_too(tmp_path):
    record, deployed = str(tmp_path / "etc/executables.json"), tmp_path / "etc/deployed.json"
    executables.install([], record)
    deployed.touch()
    assert executables.installed_sums(record) == {}
    assert not executables.is_lost(record, str(deployed))


def test_a_record_that_is_torn_is_said(tmp_path):
    (tmp_path / "record.json").write_text("{")
    with pytest.raises(ArtifactError, match="Remove it; a reset then keeps these executables"):
        executables.installed_sums(str(tmp_path / "record.json"))


HERE = _architectures.GO_NAMES[os.uname().machine]
OTHER = "s390x" if HERE != "s390x" else "amd64"


@pytest.mark.parametrize(
    "content, problem, version",
    [
        ("#!/bin/sh\necho CNI bridge plugin v1.9.1 >&2\n", "", "1.9.1"),
        ('#!/bin/sh\n[ "$1" = --version ] && echo v0.27.4-dirty\n', "", "0.27.4-dirty"),
        ("#!/bin/sh\necho plugin version unknown; exit 1\n", "", ""),
        ("#!/nowhere/sh\n", "cannot be run: the program or loader that runs it is not on this", ""),
        ("#!/bin/sh\nexec /nowhere/flanneld\n", "cannot be run: ", ""),
        ("#!/bin/sh\nkill -SEGV $$\n", "cannot be run: exit status -11", ""),
        ("text", "is a file of another kind, not an executable", ""),
        (elf(OTHER), f"is an executable for {OTHER}, not for {HERE}", ""),
    ],
)
def test_what_is_there_already_is_tried(tmp_path, content, problem, version):
    path = tmp_path / "x"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o755)
    tried = executables.tried(str(path), ["--version"], HERE)
    assert tried["problem"].startswith(problem) and bool(problem) == bool(tried["problem"])
    assert tried["version"] == version


def test_what_does_not_say_its_version_and_end(tmp_path, monkeypatch):
    monkeypatch.setattr(executables, "TRIED_FOR", 0.1)
    path = tmp_path / "x"
    path.write_text("#!/bin/sh\nexec sleep 60\n")
    path.chmod(0o755)
    assert "did not end within" in executables.tried(str(path), [], HERE)["problem"]
