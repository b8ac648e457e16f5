# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mirror directory: a download that was cut goes on, and what is carried can be verified."""

from __future__ import annotations

import gzip
import hashlib
import io
import pathlib
import shutil
import ssl
import subprocess
import tarfile
import urllib.error

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts import carry, store
from elf import elf

CONTENT = bytes(range(256)) * 8


class Answer(io.BytesIO):
    """What a server sends; it breaks off after some bytes, in silence or not."""

    def __init__(self, content, status, cut=None):
        super().__init__(content)
        self.headers = {"Content-Length": str(len(content))}
        self.status, self.left = status, cut

    def read(self, size=-1):
        if self.left is None:
            return super().read(size)
        if not self.left:
            self.left = None
            self.seek(0, io.SEEK_END)  # as http.client ends
            return b""
        size, self.left = self.left, 0
        return super().read(size)


@pytest.fixture(name="server")
def _server(monkeypatch):
    """A server with CONTENT: `cuts` are the bytes after which its next answers break off."""

    class Server:
        def __init__(self):
            self.cuts, self.asked, self.resumes = [], [], True

        def __call__(self, dummy, headers=None, **_more):
            begin = int((headers or {}).get("Range", "bytes=0-")[6:-1])
            self.asked.append(begin)
            cut = self.cuts.pop(0) if self.cuts else None
            if begin and self.resumes:
                if begin >= len(CONTENT):
                    raise urllib.error.HTTPError("url", 416, "no such range", {}, None)
                return Answer(CONTENT[begin:], 206, cut)
            return Answer(CONTENT, 200, cut)

    server = Server()
    monkeypatch.setattr(store, "open_url", server)
    monkeypatch.setattr(store.time, "sleep", lambda dummy: None)
    return server


def test_a_cut_download_goes_on_where_it_was(server, tmp_path):
    server.cuts = [100, 50]
    store.download("http://mirror/x", str(tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert server.asked == [0, 100, 150]


def test_the_next_run_goes_on_too(server, tmp_path):
    server.cuts = [100, 0, 0]
    with pytest.raises(ArtifactError):
        store.download("http://mirror/x", str(tmp_path / "x"))
    store.download("http://mirror/x", str(tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert server.asked == [0, 100, 100, 100]


def test_a_server_that_cannot_resume_sends_all(server, tmp_path):
    server.resumes = False
    (tmp_path / "x").write_bytes(b"half")
    store.download("http://mirror/x", str(tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_what_was_there_whole_is_asked_for_again_once(server, tmp_path):
    (tmp_path / "x").write_bytes(CONTENT)
    store.download("http://mirror/x", str(tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == CONTENT and server.asked == [len(CONTENT), 0]


@pytest.mark.parametrize(
    "name, why", [("file/x", NotADirectoryError), ("missing/x", FileNotFoundError)]
)
def test_a_place_that_cannot_be_written_is_no_fault_of_the_network(server, tmp_path, name, why):
    (tmp_path / "file").touch()
    with pytest.raises(why):
        store.download("http://mirror/x", str(tmp_path / name))
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "error", [ConnectionResetError(), TimeoutError(), ssl.SSLEOFError(), urllib.error.URLError("x")]
)
def test_what_the_network_does_is_tried_again(server, tmp_path, monkeypatch, error):
    answers = iter([error, None])

    def opened(*arguments, **more):
        broken = next(answers)
        if broken:
            raise broken
        return server(*arguments, **more)

    monkeypatch.setattr(store, "open_url", opened)
    store.download("http://mirror/x", str(tmp_path / "x"))
    assert (tmp_path / "x").read_bytes() == CONTENT


RELEASE = {
    "component": "flannel",
    "version": "0.1.0",
    "arch": "amd64",
    "archive": "flannel.tar.gz",
    "url": "http://mirror/x",
    "fetch_from": "http://mirror/x",
    "according_to": "the table",
    "members": {"flanneld": "flanneld"},
}


def archive(content=b"#!/bin/sh\n", *others):
    """Return an archive with an executable called flanneld, and with others of these names."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as tar:
        for name in ("flanneld", *others):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html>Log in</html>", "is a web page, not an archive"),
        (b'{"message": "Not Found"}', "is a file of another kind, not an archive"),
        (b"", "is empty, not an archive"),
        (elf("amd64"), "is a file of another kind, not an archive"),
        (archive()[:-20], "is not a readable archive: Compressed file ended before"),
        (gzip.compress(b"no tar"), "is not a readable archive: "),
        (
            archive(b"x", "../../etc/passwd"),
            "has '../../etc/passwd', which would be unpacked outside",
        ),
        (archive(b"x", "/etc/passwd"), "has '/etc/passwd', which would be unpacked outside"),
        (archive(elf("arm64")), "is an executable for arm64, not for amd64"),
        (archive(elf("amd64")[:-1]), "is cut off"),
        (archive(b"<html>"), "is a web page, not an executable"),
    ],
)
def test_the_wrong_archive_with_the_right_sum(tmp_path, content, said):
    """It is a sentence, and nothing of it is kept."""

    def fetch(dummy, path):
        pathlib.Path(path).write_bytes(content)

    with pytest.raises(ArtifactError) as refused:
        store.Store(str(tmp_path), fetch).fill(
            dict(RELEASE, sha256=hashlib.sha256(content).hexdigest())
        )
    assert said in str(refused.value) and "\n" not in str(refused.value)
    kept = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert kept == [".lock-flannel-0.1.0-amd64"]


def test_a_partial_download_is_kept_for_the_next_run(tmp_path):
    whole = archive()
    found = []

    def fetch(dummy, path):
        try:
            with open(path, "rb") as stream:
                found.append(stream.read())
        except FileNotFoundError:
            found.append(b"")
        with open(path, "wb") as stream:
            stream.write(whole if len(found) > 1 else b"half")
        if len(found) == 1:
            raise ArtifactError("cut")

    release = dict(RELEASE, sha256=hashlib.sha256(whole).hexdigest())
    mirror = store.Store(str(tmp_path), fetch)
    with pytest.raises(ArtifactError):
        mirror.fill(release)
    assert mirror.fill(release) and found == [b"", b"half"]
    assert mirror.verify(release)


def test_a_wrong_archive_is_not_gone_on_with(tmp_path):
    release = dict(RELEASE, sha256="0" * 64)
    found = []

    def fetch(dummy, path):
        found.append(path)
        with open(path, "ab") as stream:
            stream.write(b"other")

    with pytest.raises(ArtifactError, match="sha256"):
        store.Store(str(tmp_path), fetch).fill(release)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size]


def test_what_is_carried_is_verified_with_the_tools_of_the_other_end(tmp_path):
    mirror = tmp_path / "mirror"
    (mirror / "flannel").mkdir(parents=True)
    (mirror / "flannel" / "flanneld").write_bytes(CONTENT)
    (mirror / "flannel" / "flanneld").chmod(0o755)
    (mirror / ".lock").touch()
    (mirror / "python").mkdir()
    (mirror / "python" / "a b.whl").write_bytes(b"wheel")
    tar = tmp_path / "carried.tar"
    assert carry.pack(str(mirror), str(tar))
    there = tmp_path / "there"
    there.mkdir()
    subprocess.run(["tar", "-C", there, "-xf", tar], check=True)
    check = ["sha256sum", "--check", "--strict", "--quiet", carry.MANIFEST]
    assert subprocess.run(check, cwd=there, check=False).returncode == 0
    assert not (there / ".lock").exists()
    assert (there / "flannel" / "flanneld").stat().st_mode & 0o111
    (there / "python" / "a b.whl").write_bytes(b"whee!")
    assert subprocess.run(check, cwd=there, check=False).returncode


def test_the_tar_is_not_carried_in_itself(tmp_path):
    """It would be twice as large each time."""
    (tmp_path / "one").write_bytes(b"1")
    tar = tmp_path / "carried.tar"
    assert carry.pack(str(tmp_path), str(tar))
    assert not carry.pack(str(tmp_path), str(tar))


def test_what_links_lead_to_is_carried(tmp_path):
    """At the other end they would lead to nothing."""
    mirror, other, there = (tmp_path / name for name in ("mirror", "other", "there"))
    for folder in (mirror, other, there):
        folder.mkdir()
    (other / "flanneld").write_bytes(b"1")
    (mirror / "folder").symlink_to(other)
    (mirror / "file").symlink_to(other / "flanneld")
    (mirror / "up").symlink_to(mirror)
    assert carry.pack(str(mirror), str(tmp_path / "carried.tar"))
    subprocess.run(["tar", "-C", there, "-xf", tmp_path / "carried.tar"], check=True)
    shutil.rmtree(other)
    check = ["sha256sum", "--check", "--strict", "--quiet", carry.MANIFEST]
    assert subprocess.run(check, cwd=there, check=False).returncode == 0
    assert (there / "folder" / "flanneld").read_bytes() == (there / "file").read_bytes() == b"1"
    assert not (there / "up").exists()


def test_what_links_in_the_directory_lead_to_is_carried(tmp_path):
    mirror, there = tmp_path / "mirror", tmp_path / "there"
    for name, other in (("a", "b"), ("b", "a")):  # whichever of them is looked at first
        (mirror / name).mkdir(parents=True)
        (mirror / name / "file").write_bytes(name.encode())
        (mirror / name / "link").symlink_to(f"../{other}")
    there.mkdir()
    assert carry.pack(str(mirror), str(tmp_path / "carried.tar"))
    subprocess.run(["tar", "-C", there, "-xf", tmp_path / "carried.tar"], check=True)
    found = {name: (there / name / "link" / "file").read_bytes() for name in ("a", "b")}
    assert found == {"a": b"b", "b": b"a"}


def test_what_a_killed_run_left_beside_the_tar_goes(tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    left = tmp_path / ".carried.tar.99999999.tmp"
    left.write_bytes(b"half")
    assert carry.pack(str(mirror), str(tmp_path / "carried.tar")) and not left.exists()


def test_what_did_not_change_is_not_packed_again(tmp_path):
    mirror, tar = tmp_path / "mirror", tmp_path / "carried.tar"
    mirror.mkdir()
    (mirror / "one").write_bytes(b"1")
    assert carry.pack(str(mirror), str(tar), check_mode=True) and not tar.exists()
    assert carry.pack(str(mirror), str(tar))
    before = tar.stat().st_ino
    assert not carry.pack(str(mirror), str(tar)) and tar.stat().st_ino == before
    (mirror / "one").write_bytes(b"2")
    assert carry.pack(str(mirror), str(tar), check_mode=True) and tar.stat().st_ino == before
    assert carry.pack(str(mirror), str(tar))
    tar.write_bytes(b"damaged")
    assert carry.pack(str(mirror), str(tar))
