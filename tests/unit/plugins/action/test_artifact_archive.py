# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Upstream's archive in a user's mirror directory is only read, whatever a run has left in the
cache: real files, and a server on loopback.
"""

from __future__ import annotations

import hashlib
import io
import pathlib
import tarfile
import threading

import pytest
from ansible_collections.multinet.flannel.plugins.action import artifact
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts import releases
from elf import elf
from upstream_server import UpstreamServer

TABLE = releases.load_table()
VERSION = next(iter(TABLE["flannel"]["versions"]))
RELEASE = releases.upstream(TABLE, "flannel", VERSION, "amd64")
WANTED = {
    "component": "flannel",
    "version": VERSION,
    "arch": "amd64",
    "executables": {"flanneld": "/usr/local/bin/flanneld"},
}


def archive(more):
    """Return an archive as upstream's, which this makes another one."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as tar:
        for name, content in (*((one, elf("amd64")) for one in RELEASE["members"].values()), more):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


MIRRORS, SERVERS = archive(("of", b"the mirror")), archive(("of", b"a server"))


@pytest.fixture(name="lying")
def _lying(tmp_path):
    """The archive in a mirror directory."""
    path = tmp_path / f"mirror/flannel/{VERSION}/linux-amd64" / RELEASE["archive"]
    path.parent.mkdir(parents=True)
    path.write_bytes(MIRRORS)
    digest = hashlib.sha256(MIRRORS).hexdigest()
    (path.parent / releases.SUMS_FILE).write_text(f"{digest}  {path.name}\n")
    return path


@pytest.fixture(name="part")
def _part(tmp_path):
    """Where a download of it is kept that was cut off."""
    path = tmp_path / f"cache/flannel/{VERSION}" / f".linux-amd64.{RELEASE['archive']}.part"
    path.parent.mkdir(parents=True)
    return path


def have(tmp_path, source, url="", digest=""):
    """Return where flanneld is taken from."""
    arguments = {
        "source": source,
        "dir": str(tmp_path / "mirror"),
        "cache_dir": str(tmp_path / "cache"),
        "base_urls": {"flannel": url} if url else {},
        "sums": {"flannel": {VERSION: {"amd64": digest}}} if digest else {},
    }
    (found,) = artifact._one_wanted(WANTED, arguments, TABLE).values()
    return pathlib.Path(found.file)


def test_a_mirror_after_a_download_that_was_cut_off(tmp_path, lying, part):
    part.write_bytes(SERVERS[:100])
    assert have(tmp_path, "mirror").read_bytes() == elf("amd64")
    assert part.read_bytes() == SERVERS[:100], "the rest is fetched when it is wanted"
    assert lying.read_bytes() == MIRRORS


def test_a_download_after_a_link_that_was_left(tmp_path, lying, part, monkeypatch):
    """Former versions link to the mirror's archive, and may be killed then."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    part.symlink_to(lying)
    with UpstreamServer(tmp_path / "releases") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"{server.url}/flannel"
        place = releases.release(TABLE, "flannel", VERSION, "amd64", {"flannel": url})["url"]
        file = tmp_path / "releases" / place.removeprefix(f"{server.url}/")
        file.parent.mkdir(parents=True)
        file.write_bytes(SERVERS)
        have(tmp_path, "release", url, hashlib.sha256(SERVERS).hexdigest())
        server.shutdown()
        thread.join()
    assert lying.read_bytes() == MIRRORS and not part.exists()


def test_a_damaged_archive_of_a_mirror_stays_for_its_owner(tmp_path, lying, part):
    lying.write_bytes(MIRRORS[:-1])
    with pytest.raises(artifact.ArtifactError, match="sha256"):
        have(tmp_path, "mirror")
    assert lying.read_bytes() == MIRRORS[:-1] and not part.is_symlink()
