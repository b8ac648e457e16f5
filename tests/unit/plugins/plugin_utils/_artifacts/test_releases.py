# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import io
import os
import pathlib
import re
import tarfile

import pytest
import yaml
from ansible_collections.multinet.flannel.plugins.filter.cni_artifacts import (
    artifact_problems,
    cni_artifacts,
    executable_paths,
)
from ansible_collections.multinet.flannel.plugins.module_utils import _architectures
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts import releases
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts.store import Store
from elf import elf

TABLE = releases.load_table()
DAEMON = elf("amd64")
ROOT = pathlib.Path(__file__).resolve().parents[5]
# Releases of which only the sum of one architecture is publicly known; everything else has both.
ONE_ARCHITECTURE = {("flannel-cni", "1.9.1-flannel3"): {"arm64"}}


def test_the_table_has_the_four_components():
    assert set(TABLE) == {"flannel", "flannel-cni", "cni-plugins", "etcd"}


@pytest.mark.parametrize("component", sorted(TABLE))
def test_the_table_is_in_order_and_complete(component):
    versions = TABLE[component]["versions"]
    numbers = [[int(number) for number in re.findall("[0-9]+", version)] for version in versions]
    assert numbers == sorted(numbers, reverse=True), "newest first"
    for version, sums in versions.items():
        always = ONE_ARCHITECTURE.get((component, version), set(_architectures.ALWAYS))
        assert always <= set(sums) <= set(_architectures.SUPPORTED.values())
        assert all(re.fullmatch("[0-9a-f]{64}", sum_) for sum_ in sums.values())
        assert releases.component_errors(component, version, TABLE) == []
    sums = [sum_ for by_arch in versions.values() for sum_ in by_arch.values()]
    assert len(set(sums)) == len(sums), "the same sum twice is a slip"


@pytest.mark.parametrize(
    ("component", "version", "arch", "url", "member"),
    [
        (
            "flannel",
            "0.27.4",
            "arm64",
            "https://github.com/flannel-io/flannel/releases/download/v0.27.4/flannel-v0.27.4-linux-arm64.tar.gz",
            "flanneld",
        ),
        (
            "flannel-cni",
            "1.9.1-flannel3",
            "arm64",
            "https://github.com/flannel-io/cni-plugin/releases/download/v1.9.1-flannel3/cni-plugin-flannel-linux-arm64-v1.9.1.tgz",
            "flannel-arm64",
        ),
        (
            "cni-plugins",
            "1.9.1",
            "amd64",
            "https://github.com/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-amd64-v1.9.1.tgz",
            "bridge",
        ),
        (
            "etcd",
            "3.6.14",
            "amd64",
            "https://github.com/etcd-io/etcd/releases/download/v3.6.14/etcd-v3.6.14-linux-amd64.tar.gz",
            "etcd-v3.6.14-linux-amd64/etcd",
        ),
    ],
)
def test_where_upstream_publishes(component, version, arch, url, member):
    release = releases.release(TABLE, component, version, arch)
    assert release["url"] == url
    assert member in release["members"].values()


def test_a_base_url_of_ones_own():
    release = releases.release(
        TABLE, "etcd", "3.6.14", "amd64", base_urls={"etcd": "http://files.example/etcd/"}
    )
    assert release["url"] == "http://files.example/etcd/v3.6.14/etcd-v3.6.14-linux-amd64.tar.gz"


def test_a_version_without_a_sum_names_what_there_is():
    with pytest.raises(ArtifactError) as caught:
        releases.release(TABLE, "flannel", "0.1.0", "amd64")
    assert (
        "No sha256 sum is known for flannel 0.1.0 on amd64 (there is one for 0.27.4, 0.27.3,"
        in str(caught.value)
    )
    assert "flannel-v0.1.0-linux-amd64.tar.gz" in str(caught.value) and "mirror" in str(
        caught.value
    )
    with pytest.raises(ArtifactError, match="nor for any other version"):
        releases.release(TABLE, "flannel-cni", "1.9.1-flannel3", "amd64")


def test_a_sum_of_ones_own():
    sums = {"flannel": {"0.28.4": {"amd64": "a" * 64}}}
    assert releases.release(TABLE, "flannel", "0.28.4", "amd64", sums=sums)["sha256"] == "a" * 64
    assert (
        releases.release(TABLE, "flannel", "0.27.4", "amd64", sums=sums)["according_to"]
        == "the table of releases"
    )
    with pytest.raises(ArtifactError, match=r"there is one for 0\.27\.4, .*0\.28\.4"):
        releases.release(TABLE, "flannel", "0.28.5", "amd64", sums=sums)
    with pytest.raises(ArtifactError, match="is not a sha256 sum"):
        releases.release(
            TABLE, "flannel", "0.28.4", "amd64", sums={"flannel": {"0.28.4": {"amd64": "abc"}}}
        )


def test_architectures():
    assert [releases.architecture(machine) for machine in ("x86_64", "aarch64", "arm64")] == [
        "amd64",
        "arm64",
        "arm64",
    ]
    with pytest.raises(ArtifactError, match="The architecture i686 is not supported"):
        releases.architecture("i686")


@pytest.mark.parametrize(
    ("artifact", "error"),
    [
        (
            {"component": "multus", "version": "4.0.0", "executables": {}},
            "There is no component 'multus'; there are cni-plugins, etcd, flannel, flannel-cni.",
        ),
        (
            {"component": "etcd", "version": "v3.6.14", "executables": {}},
            "The version 'v3.6.14' of etcd is not of the form 1.2.3; write it in that form, without"
            " a v.",
        ),
        (
            {"component": "etcd", "version": "../../../3", "executables": {}},
            "The version '../../../3' of etcd is not of the form",
        ),
        (
            {"component": "etcd", "version": "3.6.14", "executables": {"etcdutl": "/x/y"}},
            "etcd has no executable etcdutl; it has etcd, etcdctl.",
        ),
        (
            {"component": "etcd", "version": "3.6.14", "executables": {"etcd": "bin/etcd"}},
            "(etcd), 'bin/etcd', is not the absolute path of a file.",
        ),
        (
            {
                "component": "etcd",
                "version": "3.6.14",
                "executables": {"etcd": "/b/e", "etcdctl": "/b/e"},
            },
            "/b/e is asked for twice, as etcd and as etcdctl; give each its own path.",
        ),
    ],
)
def test_wrong_wishes(artifact, error):
    assert error in " ".join(releases.check([artifact], TABLE))


def test_sums_files():
    text = releases.format_sums({"b": "1" * 64, "a": "0" * 64}, "x.tgz", "2" * 64)
    assert releases.parse_sums(text, "place") == (
        {"a": "0" * 64, "b": "1" * 64},
        ("x.tgz", "2" * 64),
    )
    assert releases.parse_sums(f"{'0' * 64} *./a\n\n", "place") == ({"a": "0" * 64}, None)
    with pytest.raises(ArtifactError, match="place, line 1: 'rubbish' is not a sum"):
        releases.parse_sums("rubbish", "place")


def archive(members):
    """A .tgz of {name: content}, and its sum."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue(), hashlib.sha256(buffer.getvalue()).hexdigest()


class TestStore:
    """A store with an archive that comes from memory."""

    @pytest.fixture(autouse=True)
    def _make(self, tmp_path):
        self.content, self.sum = archive({"./flanneld": DAEMON, "README.md": b""})
        self.fetched = []
        self.store = Store(str(tmp_path / "store"), fetch=self.fetch)
        self.release = self.pinned(self.sum)

    def pinned(self, sha256):
        return releases.release(
            TABLE, "flannel", "0.28.4", "amd64", sums={"flannel": {"0.28.4": {"amd64": sha256}}}
        )

    def fetch(self, url, path):
        self.fetched.append(url)
        with open(path, "wb") as stream:
            stream.write(self.content)

    def test_fetches_once(self):
        assert self.store.verify(self.release) is False
        assert [self.store.fill(self.release) for dummy in range(2)] == [True, False]
        assert self.fetched == [self.release["url"]]
        folder = self.store.folder(self.release)
        assert sorted(os.listdir(folder)) == ["SHA256SUMS", "flanneld"]
        assert os.listdir(os.path.dirname(folder)) == ["linux-amd64"]
        assert self.store.verify(self.release) is True
        assert self.store.find(self.release, ["flanneld"]) == {
            "flanneld": (hashlib.sha256(DAEMON).hexdigest(), os.path.join(folder, "flanneld"))
        }

    def test_a_wrong_sum_leaves_nothing(self):
        with pytest.raises(ArtifactError) as caught:
            self.store.fill(self.pinned("0" * 64))
        for part in ("0" * 64, self.sum, self.release["url"], "multinet_release_sums"):
            assert part in str(caught.value)
        assert os.listdir(os.path.join(self.store.directory, "flannel/0.28.4")) == []

    def test_an_archive_without_the_executable(self):
        self.content, sha256 = archive({"something": b""})
        with pytest.raises(ArtifactError, match="has no flanneld"):
            self.store.fill(self.pinned(sha256))

    def test_not_an_archive(self):
        for content, said in (
            (b"rubbish", "is a file of another kind, not an archive"),
            (b"\x1f\x8brubbish", "is not a readable archive"),
            (self.content[: len(self.content) // 2], "is not a readable archive"),
            (b"<html>Log in", "is a web page, not an archive"),
        ):
            self.content = content
            with pytest.raises(ArtifactError, match=said):
                self.store.fill(self.pinned(hashlib.sha256(content).hexdigest()))

    def test_a_web_page_is_said_before_its_sum(self):
        self.content = b"<!DOCTYPE html>"
        with pytest.raises(ArtifactError, match="is a web page, not an archive"):
            self.store.fill(self.release)

    @pytest.mark.parametrize("name", ["../flanneld", "/usr/local/bin/flanneld", "a/../../b"])
    def test_an_archive_that_leads_out_of_itself(self, name):
        self.content, sha256 = archive({"flanneld": DAEMON, name: b""})
        with pytest.raises(ArtifactError, match="which would be unpacked outside"):
            self.store.fill(self.pinned(sha256))
        assert not os.path.exists(self.store.folder(self.release))

    @pytest.mark.parametrize(
        "content, said",
        [
            (elf("arm64"), "is an executable for arm64, not for amd64"),
            (DAEMON[:-1], "is cut off"),
            (b"", "is empty"),
        ],
    )
    def test_an_archive_with_an_executable_that_cannot_run(self, content, said):
        self.content, sha256 = archive({"flanneld": content})
        with pytest.raises(ArtifactError, match=f"flanneld of https.* {said}"):
            self.store.fill(self.pinned(sha256))
        assert not os.path.exists(self.store.folder(self.release))

    def test_filled_by_hand_with_an_executable_of_another_architecture(self):
        content = elf("arm64")
        self.by_hand("", flanneld="")
        folder = self.store.folder(self.release)
        with open(os.path.join(folder, "flanneld"), "wb") as stream:
            stream.write(content)
        with open(os.path.join(folder, "SHA256SUMS"), "w", encoding="utf-8") as stream:
            stream.write(f"{hashlib.sha256(content).hexdigest()}  flanneld\n")
        with pytest.raises(
            ArtifactError, match=r"for arm64, not for amd64\. It has the sum beside"
        ):
            self.store.verify(self.release)

    def test_what_it_unpacked_and_is_damaged_is_known_and_renewed(self):
        self.store.fill(self.release)
        with open(os.path.join(self.store.folder(self.release), "flanneld"), "wb") as stream:
            stream.write(b"tampered")
        assert self.store.verify(self.release) is False
        self.store.fill(self.release, renew=True)
        assert self.store.verify(self.release) is True

    def test_a_new_pin_fetches_again(self):
        self.store.fill(self.release)
        self.content, sha256 = archive({"flanneld": elf("amd64", content="other")})
        assert self.store.fill(self.pinned(sha256)) is True

    def by_hand(self, sums, **contents):
        folder = self.store.folder(self.release)
        os.makedirs(folder)
        for name, content in contents.items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as stream:
                stream.write(content)
        if sums is not None:
            with open(os.path.join(folder, "SHA256SUMS"), "w", encoding="utf-8") as stream:
                stream.write(sums)

    def test_filled_by_hand(self):
        sha256 = hashlib.sha256(b"#!/bin/sh\n").hexdigest()
        self.by_hand(f"{sha256}  flanneld\n", flanneld="#!/bin/sh\n")
        assert self.store.verify(self.release) is True
        assert self.store.manifest() == {
            "artifacts": [
                {
                    "component": "flannel",
                    "version": "0.28.4",
                    "architecture": "amd64",
                    "files": {"flanneld": sha256},
                }
            ]
        }

    def test_filled_by_hand_and_damaged_is_never_overwritten(self):
        self.by_hand(f"{'0' * 64}  flanneld\n", flanneld="#!/bin/sh\n")
        with pytest.raises(ArtifactError, match="wrong sha256 sum"):
            self.store.verify(self.release)

    @pytest.mark.parametrize(
        ("sums", "contents", "error"),
        [
            (None, {}, "has no SHA256SUMS. Make it with: ansible-playbook multinet.flannel.mirror"),
            (
                f"{'0' * 64}  other\n",
                {},
                "lists neither flanneld nor flannel-v0.28.4-linux-amd64.tar.gz, only other",
            ),
            (f"{'0' * 64}  flanneld\n", {}, "flanneld is listed in SHA256SUMS but is not there"),
        ],
    )
    def test_what_is_missing_is_named(self, sums, contents, error):
        self.by_hand(sums, **contents)
        with pytest.raises(ArtifactError) as caught:
            self.store.find(self.release, ["flanneld"])
        assert error in str(caught.value)


def test_all_that_is_missing_is_named_at_once(tmp_path):
    hosts = {"a": "x86_64", "b": "aarch64", "c": "aarch64", "d": "sparc", "e": ""}
    hostvars = {name: {"ansible_facts": {"architecture": arch}} for name, arch in hosts.items()}
    needs = [
        {
            "hosts": list(hosts),
            "artifacts": [
                {"component": "flannel", "version": "0.27.4", "executables": {"flanneld": "/f"}},
                {"component": "flannel", "version": "0.1.0", "executables": {"flanneld": "/g"}},
            ],
        },
        {
            "hosts": ["b"],
            "artifacts": [{"component": "etcd", "version": "1.0.0", "executables": {"etcd": "/e"}}],
        },
    ]
    settings = {"source": "release", "dir": "", "sums": {}}
    asked = list(hosts)[:4]  # e has not been asked
    told = artifact_problems(needs, hostvars, asked, settings)
    assert [sentence.split(" (there")[0] for sentence in told] == [
        "For a: No sha256 sum is known for flannel 0.1.0 on amd64",
        "For b, c: No sha256 sum is known for flannel 0.1.0 on arm64",
        "For b: No sha256 sum is known for etcd 1.0.0 on arm64",
    ]
    sums = {"flannel": {"0.1.0": dict.fromkeys(("amd64", "arm64"), "a" * 64)}}
    assert len(artifact_problems(needs, hostvars, asked, dict(settings, sums=sums))) == 1
    mirror = dict(settings, source="mirror", dir=str(tmp_path))
    told = artifact_problems(needs, hostvars, asked, mirror)
    assert len(told) == 5 and told[1].startswith("For a: The mirror has no flannel 0.1.0 for amd64")
    assert artifact_problems(needs, hostvars, asked, dict(settings, source="host")) == []


@pytest.mark.parametrize(
    "declared, found, said",
    [
        ("0.27.4", "0.27.4", []),
        ("1.9.1-flannel3", "1.9.1", []),
        ("0.27.4", "", ["X does not say its version, but 0.27.4 is declared."]),
        (
            "3.6.14",
            "3.4.23",
            [
                "X has the version 3.4.23, but 3.6.14 is declared: write multinet_versions:"
                " {etcd: 3.4.23}."
            ],
        ),
    ],
)
def test_the_version_of_an_executable_of_others(declared, found, said):
    artifact = {"component": "etcd", "version": declared}
    assert releases.version_warnings(artifact, "X", found) == said


# The first run, with what the README says and nothing else


def first_run(**options):
    """Return the artifacts of the README's inventory: the CNI plugins, flanneld and etcd."""
    shown = re.search(
        r"```yaml\n(multinet_networks:.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    settings = yaml.safe_load(
        (ROOT / "roles/multinet/defaults/main/settings.yml").read_text(encoding="utf-8")
    )
    options.setdefault("in_process", settings["multinet_meta_plugin_in_process"])
    versions = releases.default_versions(TABLE)
    declared = yaml.safe_load(shown.group(1))["multinet_networks"]
    assert settings["multinet_cni_artifacts"] == []
    return [
        *cni_artifacts(plan(declared, options), versions, "/opt/cni/bin"),
        *(
            {"component": component, "version": versions[component]}
            for component in ("flannel", "etcd")
        ),
    ]


@pytest.mark.parametrize("arch", _architectures.ALWAYS)
def test_all_that_the_first_run_needs_has_a_sum(arch):
    needed = first_run()
    assert [artifact["component"] for artifact in needed] == ["cni-plugins", "flannel", "etcd"]
    for artifact in needed:
        assert releases.release(TABLE, artifact["component"], artifact["version"], arch)["sha256"]


@pytest.mark.parametrize(
    "options, executables",
    [
        ({}, {"cni-plugins": ["bridge", "host-local", "loopback"]}),
        ({"kubernetes": True}, {"cni-plugins": ["bridge", "host-local", "loopback", "portmap"]}),
        (
            {"in_process": ["tuning"]},
            {"flannel-cni": ["flannel"], "cni-plugins": ["bridge", "host-local", "loopback"]},
        ),
        (
            {"in_process": []},
            {
                "flannel-cni": ["flannel"],
                "cni-plugins": ["bridge", "host-local", "loopback", "tuning"],
            },
        ),
    ],
)
def test_what_nothing_starts_is_not_installed(options, executables):
    artifacts = [artifact for artifact in first_run(**options) if "executables" in artifact]
    assert {one["component"]: list(one["executables"]) for one in artifacts} == executables
    names = [name for artifact in artifacts for name in artifact["executables"]]
    assert executable_paths(artifacts) == [f"/opt/cni/bin/{name}" for name in names]
    assert releases.check(artifacts, TABLE) == []


def test_the_password_of_a_mirror_is_not_shown():
    """It is in the address that is fetched, not in what messages and records have."""
    base = {"flannel": "https://user:hunter2@mirror.example/flannel"}
    found = releases.upstream(releases.load_table(), "flannel", "0.28.4", "amd64", base)
    assert found["fetch_from"].startswith("https://user:hunter2@mirror.example/flannel/")
    assert found["url"] == found["fetch_from"].replace("user:hunter2@", "")


@pytest.mark.parametrize(
    ("base_urls", "sums", "said"),
    [
        (
            {"flanel": "https://x"},
            {},
            "'flanel' is neither a component (cni-plugins, etcd, flannel,",
        ),
        ({"etcd": None}, {}, "'etcd' is 'None'; write an address that begins with https://"),
        ({"etcd": "me:secret@x"}, {}, "'etcd' is 'x'; write an address"),
        ({"etcd": "https://me:se/cret@x"}, {}, "an address without a clear host name; write"),
        ({"etcd": "https://me:se[cret@x"}, {}, "an address without a clear host name; write"),
        (
            {},
            {"flanel": {}},
            "'flanel' is not a component; write one of cni-plugins, etcd, flannel,",
        ),
        ({}, {"flannel": "0.27.4"}, "'flannel' is '0.27.4'; write version, architecture and sum"),
        ({}, {"flannel": {"9.9.9": "ab"}}, "write version, architecture and sum, such as {1.2.3:"),
        ({}, {"etcd": {"9.9.9": {"x86_64": "ab"}}}, "has a sum for x86_64; write it as amd64"),
        (
            {},
            {"etcd": {"9.9.9": {"vax": "ab"}}},
            "'vax', which is not an architecture; write one such",
        ),
    ],
)
def test_wrong_sources(base_urls, sums, said):
    (sentence,) = releases.source_problems(base_urls, sums, releases.load_table())
    assert said in sentence and "cret" not in sentence


def test_right_sources():
    urls = {"flannel": "https://me:secret@mirror/f", "ghcr.io": "http://127.0.0.1:5000/ghcr"}
    sums = {"etcd": {"9.9.9": {"amd64": "ab", "arm64": "cd"}}}
    assert releases.source_problems(urls, sums, releases.load_table()) == []
