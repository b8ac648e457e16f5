# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a controller needs is packed from what is installed, and asked of pip."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts import controller


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(name="place")
def _place(tmp_path):
    """A collection as a bundle has it: without its tests."""
    place = tmp_path / "collections" / "a" / "b"
    (place / "plugins").mkdir(parents=True)
    (place / "plugins" / "x.py").write_text("X = 1\n")
    (place / "plugins" / "__pycache__").mkdir()
    listed = [
        {"name": ".", "ftype": "dir", "chksum_sha256": None},
        {"name": "plugins", "ftype": "dir", "chksum_sha256": None},
        {"name": "plugins/x.py", "ftype": "file", "chksum_sha256": sha256(b"X = 1\n")},
        {"name": "tests/y.py", "ftype": "file", "chksum_sha256": sha256(b"")},
    ]
    (place / "FILES.json").write_text(json.dumps({"files": listed, "format": 1}))
    info = {"namespace": "a", "name": "b", "version": "1.2.3", "dependencies": {}}
    manifest = {"collection_info": info, "file_manifest_file": {"chksum_sha256": "of all"}}
    (place / "MANIFEST.json").write_text(json.dumps(manifest))
    return place


def test_a_collection_is_packed_as_it_is_installed(place):
    manifest, content = controller.archive(str(place))
    assert manifest["collection_info"]["version"] == "1.2.3"
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert tar.getnames() == ["MANIFEST.json", "FILES.json", ".", "plugins", "plugins/x.py"]
        assert tar.getmember("plugins").isdir()  # ansible-galaxy takes none without
        listed = tar.extractfile("FILES.json").read()
        names = [one["name"] for one in json.loads(listed)["files"]]
        assert names == [".", "plugins", "plugins/x.py"]
        packed = json.loads(tar.extractfile("MANIFEST.json").read())
        assert packed["file_manifest_file"]["chksum_sha256"] == sha256(listed)
    assert controller.archive(str(place))[1] == content


def test_what_was_changed_since_is_not_carried(place):
    (place / "plugins" / "x.py").write_text("X = 2\n")
    with pytest.raises(ArtifactError, match="was changed since the collection was installed"):
        controller.archive(str(place))


def test_a_checkout_is_no_collection(tmp_path):
    with pytest.raises(ArtifactError, match="is not a collection that ansible-galaxy installed"):
        controller.archive(str(tmp_path))


@pytest.fixture(name="pip")
def _pip(monkeypatch):
    """A pip whose answers are given, and the commands that it gets."""

    class Pip:
        code, output, commands = 0, "", []

        def __call__(self, command):
            self.commands.append(command)
            return self.code, self.output

    monkeypatch.setattr(controller, "collections", lambda: iter([("a-b-2.tar.gz", "a-b-", b"b")]))
    return Pip()


def test_what_is_missing_is_brought_once(tmp_path, pip):
    one = controller.Controller(str(tmp_path), ["--python-version=3.12"], pip)
    (tmp_path / "controller").mkdir()
    (tmp_path / "controller/a-b-1.tar.gz").write_bytes(b"older")
    missing = list(one.missing())
    assert [name for name, *dummy in missing] == [
        "controller/requirements.txt",
        "controller/a-b-2.tar.gz",
    ]
    assert pip.commands == []  # nothing is there, so pip is not asked
    for *dummy, bring in missing:
        bring()
    assert "--python-version=3.12" in pip.commands[0] and "--no-index" not in pip.commands[0]
    assert sorted(path.name for path in (tmp_path / "controller").iterdir()) == [
        "a-b-2.tar.gz",
        "requirements.txt",
    ]
    requirements = (tmp_path / "controller/requirements.txt").read_text().split()
    assert requirements[0] == "ansible-core>=2.19.0" and "netaddr>=1.3" in requirements
    assert list(one.missing()) == []
    assert "--no-index" in pip.commands[1]
    pip.code = 1  # a wheel is gone
    assert [name for name, *dummy in one.missing()] == ["controller/requirements.txt"]


def test_what_pip_says_is_a_sentence_without_secrets(tmp_path, pip):
    pip.code = 1
    pip.output = "WARNING: Retrying\nERROR: No match in https://me:secret@pypi.example/simple\n"
    (*dummy, bring), *dummy = controller.Controller(str(tmp_path), [], pip).missing()
    with pytest.raises(ArtifactError) as refused:
        bring()
    assert "No match in https://pypi.example/simple" in str(refused.value)
    assert "Retrying" not in str(refused.value)
