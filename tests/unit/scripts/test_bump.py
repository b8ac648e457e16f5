# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A version comes into the table with sums of what a server of this machine has."""

from __future__ import annotations

import functools
import hashlib
import http.server
import importlib
import io
import pathlib
import sys
import tarfile
import threading

import pytest
import yaml
from elf import elf

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts"))
versions = importlib.import_module("versions")
VERSION = "0.99.0"


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *dummy):
        pass


@pytest.fixture(name="upstream")
def _upstream(tmp_path):
    """(directory, URL) of a server that has flannel for two architectures."""
    directory = tmp_path / "www"
    (directory / f"v{VERSION}").mkdir(parents=True)
    for arch in ("amd64", "arm64"):
        publish(directory, arch, elf(arch))
    handler = functools.partial(_Handler, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield directory, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def publish(directory, arch, content):
    """Write the archive of an architecture; return its path."""
    path = directory / f"v{VERSION}" / f"flannel-v{VERSION}-linux-{arch}.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("flanneld")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(name="bump")
def _bump(upstream, tmp_path):
    table = tmp_path / "releases.yml"
    table.write_bytes(versions.TABLE.read_bytes())

    def run(*arguments):
        told = ["flannel", VERSION, "--base-url", upstream[1], "--table", str(table), *arguments]
        return versions.main(told), yaml.safe_load(table.read_text())["flannel"]["versions"]

    return run


def test_sums_of_what_was_downloaded(bump, upstream, capsys):
    before = yaml.safe_load(versions.TABLE.read_text())
    archive = upstream[0] / f"v{VERSION}" / f"flannel-v{VERSION}-linux-amd64.tar.gz"
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    archive.with_name(archive.name + ".sha256").write_text(f"{sha256}  {archive.name}\n")
    assert bump("--check") == (0, before["flannel"]["versions"])
    code, after = bump()
    assert code == 0
    assert next(iter(after)) == VERSION and set(after[VERSION]) == {"amd64", "arm64"}
    assert after[VERSION]["amd64"] == sha256
    assert {key: value for key, value in after.items() if key != VERSION} == before["flannel"][
        "versions"
    ]
    said = capsys.readouterr().out
    assert f"amd64: {sha256} (as upstream publishes)" in said
    assert "arm64: " in said and "(upstream publishes no sum)" in said
    assert f"+    {VERSION}:" in said and "is now the default" in said and "s390x: http" in said
    assert bump() == (0, after)  # again: nothing more


def test_another_sum_than_is_published(bump, upstream, capsys):
    sums = upstream[0] / f"v{VERSION}" / "SHA256SUMS"
    sums.write_text(f"{'0' * 64}  flannel-v{VERSION}-linux-arm64.tar.gz\n")
    code, after = bump()
    assert code == 1 and VERSION not in after
    assert f"upstream publishes {'0' * 64}" in capsys.readouterr().err


def test_an_executable_for_another_architecture(bump, upstream, capsys):
    publish(upstream[0], "arm64", elf("amd64"))
    code, after = bump()
    assert code == 1 and VERSION not in after
    assert "is an executable for amd64, not for arm64" in capsys.readouterr().err


def test_an_architecture_that_every_version_has(bump, upstream, capsys):
    (upstream[0] / f"v{VERSION}" / f"flannel-v{VERSION}-linux-arm64.tar.gz").unlink()
    code, after = bump()
    assert code == 1 and VERSION not in after
    assert "upstream has none for arm64" in capsys.readouterr().err


TEXT = "a:\n  versions:\n    2.0.0:\n      amd64: x\n    1.0.0:\n      amd64: y\n\nb:\n  x: y\n"


@pytest.mark.parametrize(
    "version, order",
    [
        ("3.0.0", ["3.0.0", "2.0.0", "1.0.0"]),
        ("1.5.0", ["2.0.0", "1.5.0", "1.0.0"]),
        ("0.5.0", ["2.0.0", "1.0.0", "0.5.0"]),
        ("1.0.0", ["2.0.0", "1.0.0"]),
        ("2.0.0", ["2.0.0", "1.0.0"]),
    ],
)
def test_newest_first(version, order):
    after = yaml.safe_load(versions.insert(TEXT, "a", version, {"amd64": "z", "arm64": "u"}))
    assert list(after["a"]["versions"]) == order
    assert after["a"]["versions"][version] == {"amd64": "z", "arm64": "u"}
    assert after["b"] == {"x": "y"}


def test_no_such_component():
    with pytest.raises(ValueError, match="no component c"):
        versions.insert(TEXT, "c", "1.0.0", {})
