# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import threading
import time

import pytest
from adhoc import Ansible
from ansible_collections.multinet.flannel.plugins.module_utils._architectures import (
    ALWAYS,
    SUPPORTED,
)
from declaration import BLUE
from elf import elf

SCRIPT = "#!/bin/sh\necho {}\n"
CNI_NAMES = ("bridge", "host-local", "loopback", "portmap", "tuning")


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def script(path, word):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SCRIPT.format(word))
    path.chmod(0o755)


def write_sums(directory):
    names = sorted(path.name for path in directory.iterdir() if path.name != "SHA256SUMS")
    (directory / "SHA256SUMS").write_text(
        "".join(f"{sha256(directory / name)}  {name}\n" for name in names)
    )


@pytest.fixture(name="mirror")
def _mirror(tmp_path):
    """A mirror directory filled by hand: flannel for two architectures, the CNI plugins for one."""
    mirror = tmp_path / "mirror"
    for arch in ("amd64", "arm64"):
        script(mirror / "flannel/0.28.4" / ("linux-" + arch) / "flanneld", "flanneld for " + arch)
        write_sums(mirror / "flannel/0.28.4" / ("linux-" + arch))
    for name in CNI_NAMES:
        script(mirror / "cni-plugins/1.9.1/linux-amd64" / name, name)
    write_sums(mirror / "cni-plugins/1.9.1/linux-amd64")
    return mirror


@pytest.fixture(name="ansible")
def _ansible(tmp_path):
    return Ansible(tmp_path, {"node1": {"arch": "amd64", "bin": str(tmp_path / "node1/bin")}})


def wish(mirror, **more):
    arguments = {
        "source": "mirror",
        "dir": str(mirror),
        "cache_dir": str(mirror.parent / "cache"),
        "architecture": "{{ arch }}",
        "artifacts": [
            {
                "component": "flannel",
                "version": "0.28.4",
                "executables": {"flanneld": "{{ bin }}/flanneld"},
            },
            {
                "component": "cni-plugins",
                "version": "1.9.1",
                "executables": {"bridge": "{{ bin }}/bridge", "tuning": "{{ bin }}/tuning"},
            },
        ],
    }
    arguments.update(more)
    return arguments


def one(mirror, **more):
    arguments = wish(
        mirror,
        component="flannel",
        version="0.28.4",
        executables={"flanneld": "{{ bin }}/flanneld"},
    )
    del arguments["artifacts"]
    arguments.update(more)
    return arguments


def test_install_again_and_repair(ansible, mirror, tmp_path):
    there = tmp_path / "node1/bin"
    result = ansible.module("artifact", wish(mirror), "--check", "--diff")["node1"]
    assert result["changed"] and not there.exists() and ansible.module_calls == 1
    assert (
        result["diff"][1]["before"] == "absent\n"
        and "(flannel 0.28.4)" in result["diff"][1]["after_header"]
    )

    result = ansible.module("artifact", wish(mirror))["node1"]
    assert result["changed_executables"] == [
        str(there / name) for name in ("bridge", "flanneld", "tuning")
    ]
    assert sorted(os.listdir(there)) == ["bridge", "flanneld", "tuning"]
    assert (
        subprocess.run([there / "flanneld"], check=True, capture_output=True, text=True).stdout
        == "flanneld for amd64\n"
    )

    result = ansible.module("artifact", wish(mirror))["node1"]
    assert (result["changed"], result["changed_executables"], ansible.module_calls) == (
        False,
        [],
        1,
    )

    (there / "bridge").write_text("tampered")
    (there / "tuning").chmod(0o600)
    result = ansible.module("artifact", wish(mirror), "--diff")["node1"]
    assert result["changed_executables"] == [str(there / "bridge"), str(there / "tuning")]
    assert hashlib.sha256(b"tampered").hexdigest() in result["diff"][0]["before"]
    assert (
        sha256(there / "bridge") == sha256(mirror / "cni-plugins/1.9.1/linux-amd64/bridge")
        and sha256(there / "bridge") in result["diff"][0]["after"]
    )
    assert oct((there / "tuning").stat().st_mode)[-4:] == "0755"


def test_each_host_gets_its_own_architecture(mirror, tmp_path):
    names = {machine: go for machine, go in SUPPORTED.items() if go in ALWAYS}
    hosts = {
        f"node{number}": {"arch": arch, "bin": str(tmp_path / arch)}
        for number, arch in enumerate(names)
    }
    ansible = Ansible(tmp_path, hosts)
    ansible.module("artifact", one(mirror))
    assert (tmp_path / "x86_64/flanneld").read_text() == (
        mirror / "flannel/0.28.4/linux-amd64/flanneld"
    ).read_text()
    assert (tmp_path / "aarch64/flanneld").read_text() == (
        mirror / "flannel/0.28.4/linux-arm64/flanneld"
    ).read_text()


def test_without_an_architecture_the_host_is_asked(ansible, mirror, tmp_path):
    arguments = one(mirror)
    del arguments["architecture"]
    ansible.module("artifact", arguments)
    arch = SUPPORTED[os.uname().machine]
    assert sha256(tmp_path / "node1/bin/flanneld") == sha256(
        mirror / "flannel/0.28.4" / ("linux-" + arch) / "flanneld"
    )


def test_a_wrong_sum_installs_nothing(ansible, mirror, tmp_path):
    sums = mirror / "cni-plugins/1.9.1/linux-amd64/SHA256SUMS"
    sums.write_text(sums.read_text().replace(sha256(sums.parent / "tuning"), "0" * 64))
    for options in (["--check"], []):
        result = ansible.module("artifact", wish(mirror), *options)["node1"]
        assert result["failed"]
        for part in (
            str(sums),
            str(sums.parent / "tuning"),
            "0" * 64,
            sha256(sums.parent / "tuning"),
        ):
            assert part in result["msg"]
        assert not (tmp_path / "node1").exists()


# Arguments, and the error; the runs of Ansible are for all of them at once.
BAD_INPUT = [
    ({"architecture": "i686"}, "The architecture i686 is not supported"),
    (
        {"version": "0.28.5"},
        (
            "The mirror has no flannel 0.28.5 for amd64: there is no directory"
            " {mirror}/flannel/0.28.5/linux-amd64. Make it with: "
        ),
    ),
    ({"version": "v0.28.4"}, "write it in that form, without a v"),
    (
        {"source": "release"},
        "No sha256 sum is known for flannel 0.28.4 on amd64 (there is one for 0.27.4,",
    ),
    (
        {"source": "host"},
        (
            "/node1/bin/flanneld (flanneld of flannel) is not there. The source is host, which"
            " installs nothing"
        ),
    ),
    ({"dir": None}, "dir is not given: set multinet_artifact_dir"),
]
# What stands in a mirror in place of an executable, and the error
WRONG_EXECUTABLES = [
    (elf("arm64"), "is an executable for arm64, not for amd64. It has the sum beside it"),
    (elf("amd64")[:-1], "is cut off"),
    (b"<html>", "is a web page"),
    (b"#!/nowhere/sh\n", "is a script for /nowhere/sh, which is not on the host."),
]


def test_bad_input_is_a_sentence(ansible, mirror):
    calls = [(one(mirror, **more), False) for more, _error in BAD_INPUT]
    for result, (_more, error) in zip(ansible.modules("artifact", calls), BAD_INPUT):
        assert result["failed"]
        assert error.format(mirror=mirror) in result["msg"]


def test_the_wrong_executable_in_a_mirror(ansible, mirror, tmp_path):
    """Its sum is right: it was made of the wrong file."""
    calls, expected = [], []
    for number, (content, said) in enumerate(WRONG_EXECUTABLES):
        its = tmp_path / str(number) / "mirror"
        shutil.copytree(mirror, its)
        folder = its / "flannel/0.28.4/linux-amd64"
        (folder / "flanneld").write_bytes(content)
        write_sums(folder)
        for check in (True, False):
            calls.append((wish(its), check))
            expected.append((said, str(folder)))
    for result, (said, folder) in zip(ansible.modules("artifact", calls), expected):
        assert result["failed"] and said in result["msg"] and folder in result["msg"]
    assert not (tmp_path / "node1").exists()


def test_the_wrong_executable_that_is_installed_already(ansible, mirror, tmp_path):
    (mirror / "flannel/0.28.4/linux-amd64/flanneld").write_bytes(elf("arm64"))
    write_sums(mirror / "flannel/0.28.4/linux-amd64")
    place = tmp_path / "node1/bin/flanneld"
    place.parent.mkdir(parents=True)
    place.write_bytes(elf("arm64"))
    place.chmod(0o755)
    result = ansible.module("artifact", one(mirror))["node1"]
    assert result["failed"] and "is an executable for arm64" in result["msg"]


def test_all_that_is_missing_is_named_at_once(ansible, mirror):
    artifacts = [dict(artifact, version="9.9.9") for artifact in wish(mirror)["artifacts"]]
    result = ansible.module("artifact", wish(mirror, artifacts=artifacts))["node1"]
    for component in ("flannel", "cni-plugins"):
        assert f"The mirror has no {component} 9.9.9 for amd64" in result["msg"]


def test_what_another_role_brings_is_there_first(ansible, mirror, tmp_path):
    needs = {"needs": {str(tmp_path / "guard.service"): "isolation"}}
    result = ansible.module("artifact", wish(mirror, **needs))["node1"]
    assert result["msg"] == (
        f"{tmp_path}/guard.service is not on this host: run the role multinet.flannel.isolation"
        " first."
    )
    assert not (tmp_path / "node1").exists()
    assert ansible.module("artifact", wish(mirror, **needs), "--check")["node1"]["changed"]
    (tmp_path / "guard.service").touch()
    assert ansible.module("artifact", wish(mirror, **needs))["node1"]["changed"]


def test_source_host(ansible, mirror, tmp_path):
    ansible.module("artifact", one(mirror))
    result = ansible.module("artifact", one(mirror, source="host"))["node1"]
    assert not result["changed"] and not result["failed"]
    assert "does not say its version, but 0.28.4 is declared" in ansible.output
    script(tmp_path / "node1/bin/flanneld", "flanneld v0.28.4")
    result = ansible.module("artifact", one(mirror, source="host"))["node1"]
    assert not result["failed"] and "is declared" not in ansible.output
    (tmp_path / "node1/bin/flanneld").write_bytes(elf("s390x"))
    result = ansible.module("artifact", one(mirror, source="host"))["node1"]
    assert "(flanneld of flannel) is an executable for s390x, not for" in result["msg"]
    (tmp_path / "node1/bin/flanneld").chmod(0o644)
    result = ansible.module("artifact", one(mirror, source="host"))["node1"]
    assert "is not executable, its mode is 0644" in result["msg"]


def test_a_running_executable_is_replaced(ansible, mirror, tmp_path):
    """As an in-place write could not: the kernel answers it with "text file busy"."""
    place = tmp_path / "node1/bin/flanneld"
    place.parent.mkdir(parents=True)
    shutil.copy("/bin/sleep", place)
    with subprocess.Popen([place, "60"]) as running:
        try:
            with pytest.raises(OSError, match="Text file busy"):
                place.write_bytes(b"")
            assert ansible.module("artifact", one(mirror))["node1"]["changed"]
            assert running.poll() is None
            assert sha256(place) == sha256(mirror / "flannel/0.28.4/linux-amd64/flanneld")
        finally:
            running.kill()


def test_a_full_disk(ansible, mirror, tmp_path):
    place = tmp_path / "node1/bin"
    place.mkdir(parents=True)
    daemon = mirror / "flannel/0.28.4/linux-amd64/flanneld"
    daemon.write_bytes(b"#!/bin/sh\n" + os.urandom(2000000))
    write_sums(daemon.parent)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True)
    try:
        result = ansible.module("artifact", wish(mirror))["node1"]
        assert (
            result["failed"] and "The disk is full" in result["msg"] and "2.0 MB" in result["msg"]
        )
        assert os.listdir(place) == []
    finally:
        subprocess.run(["umount", place], check=True)


class Server(http.server.ThreadingHTTPServer):
    """Upstream, over loopback: serves a directory and remembers what was asked for."""

    def __init__(self, directory):
        self.directory = directory
        self.asked = []
        self.login = None  # the value of Authorization that is asked for
        super().__init__(
            ("127.0.0.1", 0), functools.partial(self.Handler, directory=str(directory))
        )

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            if self.server.login and self.headers["Authorization"] != self.server.login:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="mirror"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            time.sleep(0.3)  # long enough for a second host to want it too
            super().do_GET()

        def log_message(self, *dummy):
            pass

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/base"

    def publish(self, path, contents):
        """Put an archive of {member: word of a script} below the base URL; return its sum."""
        target = self.directory / "base" / path
        target.parent.mkdir(parents=True)
        with tarfile.open(target, "w:gz") as tar:
            for name, word in contents.items():
                source = self.directory / "member"
                source.write_text(SCRIPT.format(word))
                tar.add(source, name)
        return sha256(target)


@pytest.fixture(name="upstream")
def _upstream(tmp_path):
    (tmp_path / "www").mkdir()
    with Server(tmp_path / "www") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


FLANNEL_PATH = "v0.28.4/flannel-v0.28.4-linux-amd64.tar.gz"


def release_wish(mirror, upstream, sum_):
    return one(
        mirror,
        source="release",
        base_urls={"flannel": upstream.url},
        sums={"flannel": {"0.28.4": {"amd64": sum_}}},
    )


def test_a_release_is_downloaded_once_for_all_hosts(mirror, upstream, tmp_path):
    sum_ = upstream.publish(FLANNEL_PATH, {"flanneld": "the daemon", "README.md": ""})
    ansible = Ansible(
        tmp_path,
        {
            f"node{number}": {"arch": "amd64", "bin": str(tmp_path / str(number))}
            for number in range(3)
        },
    )
    results = ansible.module("artifact", release_wish(mirror, upstream, sum_), "--check")
    assert [result["changed"] for result in results.values()] == [True] * 3 and not (
        tmp_path / "0"
    ).exists()
    results = ansible.module("artifact", release_wish(mirror, upstream, sum_))
    assert [result["changed"] for result in results.values()] == [True] * 3
    assert [(tmp_path / str(number) / "flanneld").read_text() for number in range(3)] == [
        SCRIPT.format("the daemon")
    ] * 3
    assert upstream.asked == ["/base/" + FLANNEL_PATH]
    assert not any(
        result["changed"]
        for result in ansible.module("artifact", release_wish(mirror, upstream, sum_)).values()
    )


def test_a_release_with_a_wrong_sum(ansible, mirror, upstream, tmp_path):
    sum_ = upstream.publish(FLANNEL_PATH, {"flanneld": "the daemon"})
    result = ansible.module("artifact", release_wish(mirror, upstream, "0" * 64))["node1"]
    assert result["failed"]
    for part in (
        upstream.url + "/" + FLANNEL_PATH,
        "multinet_release_sums demands " + "0" * 64,
        "the file has " + sum_,
    ):
        assert part in result["msg"]
    assert not (tmp_path / "node1").exists()


def test_a_release_that_is_not_there(ansible, mirror, upstream):
    result = ansible.module("artifact", release_wish(mirror, upstream, "0" * 64))["node1"]
    assert FLANNEL_PATH + " could not be downloaded: HTTP Error 404" in result["msg"]
    assert len(upstream.asked) == 1


def test_upstreams_archive_in_a_mirror(ansible, mirror, upstream, tmp_path):
    upstream.publish(FLANNEL_PATH, {"flanneld": "from the archive"})
    folder = mirror / "flannel/0.28.4/linux-amd64"
    shutil.rmtree(folder)
    folder.mkdir()
    shutil.copy(upstream.directory / "base" / FLANNEL_PATH, folder)
    write_sums(folder)
    assert ansible.module("artifact", one(mirror))["node1"]["changed"]
    assert (tmp_path / "node1/bin/flanneld").read_text() == SCRIPT.format("from the archive")
    assert not ansible.module("artifact", one(mirror))["node1"]["changed"]

    (folder / "flannel-v0.28.4-linux-amd64.tar.gz").write_bytes(b"damaged")
    shutil.rmtree(tmp_path / "cache")
    result = ansible.module("artifact", one(mirror))["node1"]
    assert result["failed"] and str(folder / "SHA256SUMS") + " demands" in result["msg"]


def test_the_mirror_playbook(ansible, upstream, tmp_path):
    versions = {
        "flannel": "0.28.4",
        "cni-plugins": "1.10.0",
        "flannel-cni": "1.9.1-flannel3",
        "etcd": "3.6.99",
    }
    etcd = "etcd-v3.6.99-linux-amd64"
    sums = {
        "flannel": {
            "0.28.4": {"amd64": upstream.publish(FLANNEL_PATH, {"flanneld": "the daemon"})}
        },
        "cni-plugins": {
            "1.10.0": {
                "amd64": upstream.publish(
                    "v1.10.0/cni-plugins-linux-amd64-v1.10.0.tgz",
                    {"./" + name: name for name in CNI_NAMES},
                )
            }
        },
        "flannel-cni": {
            "1.9.1-flannel3": {
                "amd64": upstream.publish(
                    "v1.9.1-flannel3/cni-plugin-flannel-linux-amd64-v1.9.1.tgz",
                    {"flannel-amd64": "cni"},
                )
            }
        },
        "etcd": {
            "3.6.99": {
                "amd64": upstream.publish(
                    f"v3.6.99/{etcd}.tar.gz",
                    {f"{etcd}/{name}": name for name in ("etcd", "etcdctl")},
                )
            }
        },
    }
    mirror = tmp_path / "new/mirror"
    variables = {
        "multinet_artifact_dir": str(mirror),
        "multinet_versions": versions,
        "mirror_architectures": ["amd64"],
        "mirror_controller": False,
        "multinet_release_base_urls": dict.fromkeys(versions, upstream.url),
        "multinet_release_sums": sums,
    }
    extra = tmp_path / "extra.json"

    def fill(*options):
        extra.write_text(json.dumps(variables))
        return ansible.playbook("multinet.flannel.mirror", "-e", f"@{extra}", *options)

    assert fill("--check", "--diff") == 0, ansible.output
    assert (
        "changed=1" in ansible.output
        and FLANNEL_PATH in ansible.output
        and not mirror.exists()
        and upstream.asked == []
    )
    assert fill() == 0, ansible.output
    daemon = mirror / "flannel/0.28.4/linux-amd64/flanneld"
    assert daemon.read_text() == SCRIPT.format("the daemon")
    # for the hosts that need its executable
    assert not (mirror / "flannel-cni").exists()
    variables["multinet_meta_plugin_in_process"] = []
    assert fill() == 0 and "changed=1" in ansible.output, ansible.output
    plugin = mirror / "flannel-cni/1.9.1-flannel3/linux-amd64/flannel"
    assert plugin.read_text() == SCRIPT.format("cni")
    assert [
        item["component"]
        for item in json.loads((mirror / "manifest.json").read_text())["artifacts"]
    ] == sorted(versions)
    subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=daemon.parent, check=True
    )
    assert ansible.module("artifact", dict(wish(mirror), artifacts=wish(mirror)["artifacts"][:1]))[
        "node1"
    ]["changed"]

    assert fill() == 0 and "changed=0" in ansible.output and len(upstream.asked) == 4
    daemon.write_text("damaged")
    assert fill() == 0 and "changed=1" in ansible.output
    assert daemon.read_text() == SCRIPT.format("the daemon")

    # one tar, from a private mirror behind a password
    variables["mirror_carry"] = str(tmp_path / "carried.tar")
    assert fill("--check") == 0 and "changed=1" in ansible.output
    assert not (tmp_path / "carried.tar").exists()
    shutil.rmtree(mirror / "flannel")
    upstream.login = "Basic " + base64.b64encode(b"me:secret").decode()
    private = upstream.url.replace("//", "//me:secret@")
    variables["multinet_release_base_urls"] = dict.fromkeys(versions, private)
    assert fill() == 0 and "changed=1" in ansible.output, ansible.output
    assert "secret" not in ansible.output
    (tmp_path / "carried").mkdir()
    subprocess.run(["tar", "-C", tmp_path / "carried", "-xf", tmp_path / "carried.tar"], check=True)
    check = ["sha256sum", "--check", "--strict", "--quiet", "MANIFEST.sha256"]
    subprocess.run(check, cwd=tmp_path / "carried", check=True)
    assert fill() == 0 and "changed=0" in ansible.output

    variables["mirror_architectures"] = ["amd64", "arm64"]
    asked = len(upstream.asked)
    assert fill() != 0
    assert ansible.output.count("No sha256 sum is known for") >= 2 and len(upstream.asked) == asked


def test_the_role_cni_plugins(ansible, tmp_path, upstream_bin):
    mirror = tmp_path / "mirror"
    arch = SUPPORTED[os.uname().machine]
    for component, version, names in (
        ("cni-plugins", "1.9.1", CNI_NAMES),
        ("flannel-cni", "1.9.1-flannel3", ("flannel",)),
    ):
        folder = mirror / component / version / ("linux-" + arch)
        folder.mkdir(parents=True)
        for name in names:
            shutil.copy(upstream_bin / name, folder)
        write_sums(folder)
    play = {
        "hosts": "all",
        "gather_facts": False,
        "roles": ["multinet.flannel.cni_plugins"],
        "vars": {
            "multinet_artifact_source": "mirror",
            "multinet_artifact_dir": str(mirror),
            "multinet_cni_bin_dir": str(tmp_path / "cni"),
            "multinet_networks": [BLUE],
        },
    }
    assert ansible.playbook([play]) == 0, ansible.output
    assert sorted(os.listdir(tmp_path / "cni")) == ["bridge", "host-local", "loopback"]
    # those whose work the meta-plugin does, for who does not want that, and those of Kubernetes
    play["vars"].update(multinet_meta_plugin_in_process=[], multinet_kubernetes=True)
    assert ansible.playbook([play]) == 0, ansible.output
    assert sorted(os.listdir(tmp_path / "cni")) == [
        "bridge",
        "flannel",
        "host-local",
        "loopback",
        "portmap",
        "tuning",
    ]
    version = subprocess.run(
        [tmp_path / "cni/bridge"],
        env={"CNI_COMMAND": "VERSION"},
        check=True,
        capture_output=True,
        text=True,
        input="{}",
    )
    assert "supportedVersions" in version.stdout
    assert ansible.playbook([play], "-vvv") == 0
    assert "changed=0" in ansible.output and ansible.module_calls == 1
