# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members of a real etcd cluster on loopback, formed, joined and restarted as module etcd_member
does it on three hosts; a small program stands for systemd.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.client import (
    Client,
    EtcdUnavailableError,
)
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.decision import (
    Declaration,
    DeclaredMember,
    Leaving,
    MemberError,
)
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.member import Installed, Member
from ansible_collections.multinet.flannel.plugins.module_utils._etcd.membership import bring, leave
from etcd_server import free_port
from waiting import PATIENCE, wait_for

# Executables of former versions, where they were made (scripts/upgrade.py)
FORMER = pathlib.Path(__file__).resolve().parents[2] / ".build" / "upgrade" / "mirror" / "etcd"
# A unit is a directory: environment files, the process id, whether it starts with the host.
SYSTEMCTL = """#!{python}
import os, pathlib, signal, subprocess, sys, time

words = [word for word in sys.argv[1:] if not word.startswith("-")]
verb, unit = words[0], pathlib.Path({units!r}, *words[1:2])
pid_file = unit / "pid"


def pid():
    try:
        found = int(pid_file.read_text())
        # a zombie has no command line, but may have threads that hold files and ports
        process = pathlib.Path("/proc", str(found))
        threads = len(list((process / "task").iterdir()))
        return found if threads > 1 or (process / "cmdline").read_bytes() else 0
    except (OSError, ValueError):
        return 0


def stop():
    if pid():
        os.kill(pid(), signal.SIGKILL)
        while pid():
            time.sleep(0.01)


if verb == "show":
    state = "enabled" if (unit / "enabled").exists() else "disabled"
    print("LoadState=loaded\\nActiveState=" + ("active" if pid() else "inactive"))
    print("UnitFileState=" + state + "\\nNeedDaemonReload=no\\nMainPID=" + str(pid()))
elif verb == "enable":
    (unit / "enabled").touch()
elif verb in ("stop", "restart"):
    stop()
if verb in ("start", "restart") and not pid():
    values = dict(os.environ)
    for name in ("etcd.env", "initial.env"):
        if (unit / name).exists():
            lines = (unit / name).read_text().splitlines()
            values.update(line.split("=", 1) for line in lines)
    with open(unit / "log", "ab") as log:
        started = subprocess.Popen([unit / "etcd"], env=values, stdout=log, stderr=log,
                                   start_new_session=True)
    pid_file.write_text(str(started.pid))
"""


STARTED = 120  # seconds in which a member is to have started


def quick_client(urls):
    """Where there is no quorum, etcd would think about it for longer."""
    return Client(urls, timeout=10)


class Hosts:
    """Three hosts: what is declared of each, and what is on its disk."""

    def __init__(self, directory, etcd):
        self.directory = directory
        self.declared = [
            DeclaredMember(name, *(f"http://127.0.0.1:{free_port()}" for _url in range(2)))
            for name in "abc"
        ]
        self.settings = {}
        for member in self.declared:
            (directory / member.name).mkdir()
            shutil.copy(etcd, directory / member.name / "etcd")

    def environment(self, member):
        values = {
            "ETCD_NAME": member.name,
            "ETCD_DATA_DIR": self.directory / member.name / "data",
            "ETCD_LOG_LEVEL": "error",
            "ETCD_UNSAFE_NO_FSYNC": "true",
            "ETCD_LISTEN_CLIENT_URLS": member.client_url,
            "ETCD_ADVERTISE_CLIENT_URLS": member.client_url,
            "ETCD_LISTEN_PEER_URLS": member.peer_url,
            "ETCD_INITIAL_ADVERTISE_PEER_URLS": member.peer_url,
            "ETCD_INITIAL_CLUSTER_STATE": "existing",
            **self.settings,
        }
        return "".join(f"{name}={value}\n" for name, value in values.items())

    def bring(self, name, check_mode=False, members="abc", **more):
        """Do on one host what module etcd_member does; return what it returns."""
        place = self.directory / name
        member = next(member for member in self.declared if member.name == name)
        (place / "etcd.env").write_text(self.environment(member), encoding="utf-8")
        installed = Installed(
            unit=name,
            executable=str(place / "etcd"),
            environment=self.environment(member),
            initial_file=str(place / "initial.env"),
            data_dir=str(place / "data"),
        )
        declared = [member for member in self.declared if member.name in members]
        return bring(
            Member(installed, quick_client, STARTED),
            Declaration(name, declared, **more),
            check_mode,
        )

    def leave(self, name, members, **more):
        """Do on one host what the module does with state: absent."""
        declared = [member for member in self.declared if member.name in members]
        installed = Installed(name, "", "", "", "")
        member = Member(installed, quick_client, STARTED)
        return leave(member, Leaving(name, name, declared, **more))

    def tell_to_go_back(self, version):
        """Do what `etcdctl downgrade enable` does, and wait until the data is that version's."""
        url = self.declared[0].client_url
        for action in ("VALIDATE", "ENABLE"):
            body = json.dumps({"action": action, "version": version}).encode()
            request = urllib.request.Request(f"{url}/v3/maintenance/downgrade", body)
            urllib.request.urlopen(request, timeout=PATIENCE).close()

        def is_back():
            with urllib.request.urlopen(f"{url}/version", timeout=PATIENCE) as answer:
                return json.load(answer).get("storage") == version

        wait_for(is_back)

    def stop(self, name):
        subprocess.run(["systemctl", "stop", name], check=True)

    def listed(self):
        """Return the members as etcd lists them, once it has a leader."""

        def members():
            with contextlib.suppress(EtcdUnavailableError):
                found = Client([member.client_url for member in self.declared]).members()
                return sorted(member.name for member in found)
            return []

        return wait_for(members)

    def close(self):
        for path in self.directory.glob("*/pid"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(path.read_text()), signal.SIGKILL)


@pytest.fixture(name="hosts")
def _hosts(tmp_path, upstream_bin, monkeypatch):
    programs, units = tmp_path / "bin", tmp_path / "units"
    programs.mkdir()
    units.mkdir()
    systemctl = programs / "systemctl"
    systemctl.write_text(SYSTEMCTL.format(python=sys.executable, units=str(units)))
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    hosts = Hosts(units, upstream_bin / "etcd")
    try:
        yield hosts
    finally:
        hosts.close()


def test_the_life_of_a_cluster(hosts):
    # nobody forms a cluster alone; when all are known to have no data, each does its part of one
    assert [hosts.bring(name)["pending"] for name in "abc"] == ["form"] * 3
    told = hosts.bring("a", check_mode=True, formers="abc")
    assert told["done"] == ["new cluster formed", "started", "enabled"]
    for name in "ab":
        assert hosts.bring(name, formers="abc") == dict(told, data="none", pending="start")
    # these two are a quorum in a moment: the third is one of three that form it, or comes late
    assert "started" in hosts.bring("c", formers="abc")["done"]
    for name in "ab":
        assert hosts.bring(name, formers="abc", final=True) == {
            "done": ["first start completed"],
            "data": "forming",
            "pending": "",
            "why": "",
        }
    assert hosts.bring("c", formers="abc", final=True)["pending"] == ""
    assert hosts.listed() == ["a", "b", "c"]
    assert [hosts.bring(name)["done"] for name in "abc"] == [[]] * 3

    # other settings, another executable
    hosts.settings["ETCD_HEARTBEAT_INTERVAL"] = "150"
    expected = ["restarted: its settings changed: ETCD_HEARTBEAT_INTERVAL"]
    assert [hosts.bring(name)["done"] for name in "abc"] == [expected] * 3
    replaced = hosts.directory / "a" / "etcd"
    shutil.copy(replaced, f"{replaced}.new")
    os.rename(f"{replaced}.new", replaced)
    expected = ["snapshot of its data saved", "restarted: its executable was replaced"]
    assert hosts.bring("a", check_mode=True)["done"] == expected
    (member,) = [one for one in hosts.declared if one.name == "a"]
    quick_client([member.client_url]).put("/before", "the restart")
    assert hosts.bring("a")["done"] == expected
    # a database, and its sum after it
    (saved,) = (hosts.directory / "a").glob("data-3.*.db")
    content = saved.read_bytes()
    assert hashlib.sha256(content[:-32]).digest() == content[-32:]
    assert b"/before" in content and saved.stat().st_mode & 0o777 == 0o600

    # a member that the quorum needs is not restarted; the one that is missing starts
    hosts.stop("b")
    hosts.settings["ETCD_HEARTBEAT_INTERVAL"] = "160"
    left = hosts.bring("a")
    assert (left["done"], left["pending"]) == ([], "restart")
    assert "only 1 of the 3 etcd members would answer" in left["why"]
    with pytest.raises(MemberError, match="Start the missing ones first"):
        hosts.bring("a", final=True)
    assert hosts.bring("b")["done"] == ["started"]

    # one that lost its data joins as another member
    hosts.stop("c")
    shutil.rmtree(hosts.directory / "c" / "data")
    done = hosts.bring("c")["done"]
    assert done[0].endswith(" removed from the cluster")
    assert done[1:] == ["added to the cluster", "started", "first start completed"]
    assert hosts.listed() == ["a", "b", "c"]

    # one that is no longer declared goes when it may
    with pytest.raises(MemberError, match="the member c, which is no longer declared"):
        hosts.bring("b", members="ab")
    hosts.stop("c")
    assert hosts.bring("b", members="ab", prune=True)["done"][0].endswith("from the cluster")
    assert hosts.listed() == ["a", "b"]

    # one whose data is to go leaves before, and not while the others could not go on
    hosts.stop("a")
    with pytest.raises(MemberError, match="no cluster answers"):
        hosts.leave("b", "a")
    hosts.bring("a", members="ab")
    hosts.bring("a", members="ab", final=True)
    assert hosts.leave("b", "ab", going=["b"]) == ["member b removed from the cluster"]
    assert hosts.listed() == ["a"]
    assert hosts.leave("b", "a") == []


def replace(hosts, name, version):
    """Have a host's executable be that of another version, as an upgrade does."""
    place = hosts.directory / name / "etcd"
    shutil.copy(FORMER / version / "linux-amd64" / "etcd", f"{place}.new")
    os.rename(f"{place}.new", place)


@pytest.mark.skipif(not FORMER.exists(), reason="needs etcd 3.4 and 3.5: make former")
def test_up_one_minor_version_at_a_time_and_down_where_the_cluster_was_told_so(hosts):
    old, between, new = sorted(
        path.name for path in FORMER.iterdir() if not path.name.endswith(".99")
    )
    client = quick_client([member.client_url for member in hosts.declared])
    for name in "abc":
        replace(hosts, name, old)
        hosts.bring(name, formers="abc")
    for name in "abc":
        hosts.bring(name, formers="abc", final=True)
    for number, version in enumerate((between, new, between)):
        client.put(f"/{number}", version)
        if version == between and number:
            assert client.status()["downgrade"] == ""
            hosts.tell_to_go_back("3.5.0")
            assert client.status()["downgrade"] == "3.5.0"
        for name in "abc":
            replace(hosts, name, version)
            assert hosts.bring(name)["done"] == [
                "snapshot of its data saved",
                "restarted: its executable was replaced",
            ]
            assert client.get(f"/{number}").value == version
        assert client.status()["version"] == version
        assert hosts.listed() == ["a", "b", "c"]
    saved = {path.name for path in (hosts.directory / "a").glob("*.db")}
    assert saved == {f"data-{version}.db" for version in (old, between, new)}


def test_a_data_directory_that_is_not_etcds_is_no_loss(hosts):
    hosts.settings["ETCD_DATA_DIR"] = "/elsewhere"
    with pytest.raises(MemberError, match="but etcd's settings say /elsewhere"):
        hosts.bring("a", members="a", formers="a")


def test_a_member_that_does_not_get_ready(hosts, monkeypatch):
    """The end of its journal is in the sentence."""
    journalctl = pathlib.Path(os.environ["PATH"].split(os.pathsep)[0], "journalctl")
    journalctl.write_text('#!/bin/sh\necho \'{"level":"fatal","msg":"no room"}\'\n')
    journalctl.chmod(0o755)
    hosts.bring("a", members="a", formers="a")
    hosts.stop("a")
    broken = hosts.directory / "a" / "etcd.new"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    broken.replace(hosts.directory / "a" / "etcd")
    monkeypatch.setattr(time, "monotonic", iter(range(0, 10**6, 20)).__next__)
    with pytest.raises(MemberError, match=r"didn't get ready within 120 s\..* says: no room"):
        hosts.bring("a", members="a", formers="a", final=True)
