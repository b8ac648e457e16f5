# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images are taken from a registry as it is asked, and lie in the layout whole or are fetched."""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import socket
import threading
import urllib.request

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts import images, store
from upstream_server import UpstreamServer

NAME, BOTH = "ghcr.io/flannel-io/flannel:v1", ("amd64", "arm64")
FILES = {arch: {"opt/bin/flanneld": arch.encode()} for arch in (*BOTH, "s390x")}


@pytest.fixture(name="server")
def _server(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with UpstreamServer(tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.digest = server.publish("flannel-io/flannel", "v1", FILES)
        yield server
        server.shutdown()
        thread.join()


def layout(server, tmp_path, user=""):
    url = server.url.replace("//", f"//{user}")
    return images.Layout(str(tmp_path / "mirror"), {"ghcr.io": url})


@pytest.mark.parametrize(
    ("name", "registry", "repository", "reference"),
    [
        (NAME, "ghcr.io", "flannel-io/flannel", "v1"),
        ("busybox", "docker.io", "library/busybox", "latest"),
        ("flannel/flannel:v1", "docker.io", "flannel/flannel", "v1"),
        ("localhost/a", "localhost", "a", "latest"),
        ("mirror:5000/a/b:c", "mirror:5000", "a/b", "c"),
        (f"a.b/c:d@sha256:{'0' * 64}", "a.b", "c", f"sha256:{'0' * 64}"),
    ],
)
def test_names(name, registry, repository, reference):
    assert images.parse(name) == images.Image(name, registry, repository, reference)


@pytest.mark.parametrize("name", ["", "Ghcr.io/X", "a b", "ghcr.io/a@sha256:12", "a:b:c/d", "-:x"])
def test_no_name(name):
    with pytest.raises(ArtifactError, match="is not the name of an image"):
        images.parse(name)


def test_a_layout_has_what_is_wanted_and_no_more(server, tmp_path):
    one = layout(server, tmp_path)
    assert not one.verify(NAME, BOTH)
    one.fill(NAME, BOTH)
    assert one.verify(NAME, BOTH) and one.verify(NAME, ("arm64",))
    assert not one.verify(NAME, ("s390x",)) and not one.verify("ghcr.io/other:v1", BOTH)
    folder = tmp_path / "mirror/images"
    assert json.loads((folder / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads((folder / "index.json").read_text())["manifests"]
    assert set(entry["annotations"].values()) == {NAME}
    index = json.loads((folder / "blobs" / entry["digest"].replace(":", "/")).read_text())
    assert [one["platform"]["architecture"] for one in index["manifests"]] == list(BOTH)
    # three of each architecture, and the index
    assert len(list((folder / "blobs/sha256").glob("[!.]*"))) == 7

    asked = len(server.asked)
    one.fill(NAME, (*BOTH, "s390x"))
    assert one.verify(NAME, ("s390x",))
    # the index and what the third one has; a token again, for this is another run
    assert [path.split("/")[1] for path in server.asked[asked:]].count("storage") == 2


def test_images_that_share_what_they_are_made_of_at_once(server, tmp_path):
    """Layers, and the index of two names of one image."""
    files = {arch: {"opt/bin/flanneld": os.urandom(1 << 20), "etc/name": b"1"} for arch in BOTH}
    names = [f"ghcr.io/flannel-io/flannel:{number}" for number in range(6)]
    for name in names:
        server.publish("flannel-io/flannel", name.rpartition(":")[2], files)
    layouts = [layout(server, tmp_path) for dummy in names]  # and two runs at a time
    with concurrent.futures.ThreadPoolExecutor(len(names)) as pool:
        fills = [pool.submit(one.fill, name, BOTH) for one, name in zip(layouts, names)]
    assert [one.exception() for one in fills] == [None] * len(names)
    assert all(layouts[0].verify(name, BOTH) for name in names)
    fetched = [path for path in server.asked if path.startswith("/storage/")]
    assert len(fetched) == len(set(fetched)), "nothing twice"
    assert not list((tmp_path / "mirror/images").rglob(".*.part"))


def test_what_is_damaged_is_fetched_again(server, tmp_path):
    one = layout(server, tmp_path)
    one.fill(NAME, BOTH)
    layer = max((tmp_path / "mirror/images/blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)
    layer.write_bytes(b"damaged")
    assert not one.verify(NAME, BOTH)
    one.fill(NAME, BOTH)
    assert one.verify(NAME, BOTH)


def test_an_image_by_its_digest(server, tmp_path):
    one = layout(server, tmp_path)
    name = f"ghcr.io/flannel-io/flannel@{server.digest}"
    one.fill(name, BOTH)
    assert one.verify(name, BOTH)
    server.names["flannel-io/flannel", "sha256:" + "0" * 64] = server.digest
    with pytest.raises(ArtifactError, match="with something that has the digest"):
        one.fill("ghcr.io/flannel-io/flannel@sha256:" + "0" * 64, BOTH)


@pytest.mark.parametrize("bearer", [True, False])
def test_a_registry_that_wants_a_login(server, tmp_path, bearer):
    server.bearer, server.login = bearer, "Basic bWU6c2VjcmV0"
    with pytest.raises(ArtifactError) as refused:
        layout(server, tmp_path).fill(NAME, BOTH)
    assert "401" in str(refused.value) and "multinet_release_base_urls" in str(refused.value)
    with pytest.raises(ArtifactError) as refused:
        layout(server, tmp_path, "me:wrong@").fill(NAME, BOTH)
    assert "wrong" not in str(refused.value)
    one = layout(server, tmp_path, "me:secret@")
    one.fill(NAME, BOTH)
    assert one.verify(NAME, BOTH)


def test_what_cannot_be_had_is_a_sentence(server, tmp_path):
    one = layout(server, tmp_path)
    with pytest.raises(ArtifactError, match=r"is not published for riscv64, only for amd64, arm64"):
        one.fill(NAME, ("riscv64",))
    with pytest.raises(ArtifactError, match="manifests/v2 could not be downloaded: HTTP Error 404"):
        one.fill("ghcr.io/flannel-io/flannel:v2", BOTH)
    page = "sha256:" + "1" * 64
    server.names["flannel-io/flannel", "v3"], server.blobs[page] = page, b"<html>Log in</html>"
    with pytest.raises(ArtifactError, match="flannel:v3 with a web page"):
        one.fill("ghcr.io/flannel-io/flannel:v3", BOTH)
    assert not list(pathlib.Path(tmp_path, "mirror/images").glob("index.json"))


def test_a_registry_that_speaks_something_else(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet():
            with listener.accept()[0] as connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                connection.recv(4096)

        thread = threading.Thread(target=greet)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ArtifactError, match="does not answer: SSH-2"):
            images.Layout(str(tmp_path / "mirror"), {"ghcr.io": url}).fill(NAME, BOTH)
        thread.join()


def test_an_answer_that_leads_out_of_the_layout(server, tmp_path):
    index = {"manifests": [{"digest": "sha256:../../../x", "platform": {"os": "linux"}}]}
    index["manifests"][0]["platform"]["architecture"] = "amd64"
    digest = "sha256:" + "2" * 64
    server.names["flannel-io/flannel", "v4"], server.blobs[digest] = (
        digest,
        json.dumps(index).encode(),
    )
    with pytest.raises(ArtifactError, match="is not a sha256 digest"):
        layout(server, tmp_path).fill("ghcr.io/flannel-io/flannel:v4", ("amd64",))


def test_a_download_by_a_proxy_that_wants_a_login(server, tmp_path, monkeypatch):
    (tmp_path / "archive").write_text("whole")
    server.login = "Basic bWU6c2VjcmV0"
    monkeypatch.setattr(urllib.request, "_opener", None)  # open_url leaves one for the process
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:wrong@"))
    target = str(tmp_path / "got")
    with pytest.raises(ArtifactError) as refused:
        store.download("http://mirror.example/archive", target)
    assert "407" in str(refused.value) and "wrong" not in str(refused.value)
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:secret@"))
    store.download("http://mirror.example/archive", target)
    assert pathlib.Path(target).read_text() == "whole"
