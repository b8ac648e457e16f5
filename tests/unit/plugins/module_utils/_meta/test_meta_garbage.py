# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is garbage, by what runtimes remember; with real plugins in test_cni_gc.py."""

from __future__ import annotations

import base64
import builtins
import json
import os

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni.netns import identity
from ansible_collections.multinet.flannel.plugins.module_utils._meta import garbage
from ansible_collections.multinet.flannel.plugins.module_utils._meta import state as states


def test_what_runtimes_remember_is_read_once(tmp_path, monkeypatch):
    cache = tmp_path / "results"
    cache.mkdir()
    conf = {"cniVersion": "0.4.0", "name": "other", "type": "bridge"}
    for name, netns in (("gone", str(tmp_path / "gone")), ("alive", "/proc/self/ns/net")):
        entry = {
            "kind": "cniCacheV1",
            "containerId": name,
            "ifName": "eth0",
            "netns": netns,
            "config": base64.b64encode(json.dumps(conf).encode()).decode(),
        }
        (cache / f"other-{name}-eth0").write_text(json.dumps(entry))
        os.utime(cache / f"other-{name}-eth0", (1, 1))
    (cache / "rubbish").write_text("[")
    read = []

    def counted(opened):
        def one(path, *arguments, **keywords):
            read.append(path)
            return opened(path, *arguments, **keywords)

        return one

    for module in (os, builtins):
        monkeypatch.setattr(module, "open", counted(module.open))
    host = garbage.Host(
        state_directory=str(tmp_path / "states"),
        ipam_directory=str(tmp_path / "networks"),
        flannel_directory=str(tmp_path / "flannel"),
        path=[],
        caches=[str(cache), str(tmp_path / "none")],
        namespaces=[],
    )
    found = garbage.find(host, (), 0)
    assert [one["container_id"] for one in found["remembered"]] == ["gone"]
    monkeypatch.undo()
    of_cache = [path for path in read if str(path).startswith(str(cache))]
    assert sorted(of_cache) == sorted(str(path) for path in cache.iterdir())


UID = "0f5dc38c-11f4-4a2c-9a66-1ee0c0d32a2c"


@pytest.mark.parametrize(
    "arguments, cgroup, cmdline, expected",
    [
        # the sandbox runs, and is named by who started it or by where it is
        ([["K8S_POD_UID", UID]], "0::/kubepods/burstable/podother/c1\n", "/pause\0", []),
        ([["K8S_POD_UID", UID]], "0::/system.slice/x.service\n", "shim\0-id\0c1\0", []),
        # another container of the pod does: CRI-O may start no sandbox
        ([["K8S_POD_UID", UID]], f"0::/kubepods/burstable/pod{UID}/c2\n", "sleep\0", []),
        (
            [["K8S_POD_UID", UID]],
            f"0::/kubepods-pod{UID.replace('-', '_')}.slice/crio-c2.scope\n",
            "sleep\0",
            [],
        ),
        # of who else it was, nobody can say
        ([], "0::/\n", "init\0", []),
        (None, "0::/\n", "init\0", []),
        ([["K8S_POD_UID", ""]], "0::/\n", "init\0", []),
        ([["K8S_POD_UID", UID]], "0::/\n", "init\0", ["c1"]),
    ],
)
def test_who_names_no_namespace_is_gone_when_no_process_is_its(
    tmp_path, arguments, cgroup, cmdline, expected
):
    """Before 1.2, libcni remembers no namespace: containerd's up to 1.7."""
    cache, process = tmp_path / "results", tmp_path / "proc" / "7"
    cache.mkdir()
    process.mkdir(parents=True)
    (tmp_path / "proc" / "8").mkdir()  # has just ended
    (process / "cgroup").write_text(cgroup)
    (process / "cmdline").write_text(cmdline)
    conf = {"cniVersion": "0.4.0", "name": "cbr0", "type": "flannel"}
    entry = {
        "kind": "cniCacheV1",
        "containerId": "c1",
        "ifName": "eth0",
        "cniArgs": arguments,
        "config": base64.b64encode(json.dumps(conf).encode()).decode(),
    }
    (cache / "cbr0-c1-eth0").write_text(json.dumps(entry))
    os.utime(cache / "cbr0-c1-eth0", (1, 1))
    found = garbage.remembered([str(cache)], str(tmp_path / "proc"))
    assert [one["container_id"] for one in found] == expected


def remember(directory, container_id, path, arguments=()):
    """Have a runtime remember, an hour ago, a container by a path of its namespace."""
    conf = {"cniVersion": "0.4.0", "name": "cbr0", "type": "flannel"}
    entry = {
        "kind": "cniCacheV1",
        "containerId": container_id,
        "ifName": "eth0",
        "netns": str(path),
        "cniArgs": list(arguments),
        "config": base64.b64encode(json.dumps(conf).encode()).decode(),
    }
    (directory / f"cbr0-{container_id}-eth0").write_text(json.dumps(entry))
    os.utime(directory / f"cbr0-{container_id}-eth0", (1, 1))


def test_a_mere_file_is_no_namespace(tmp_path):
    """A runtime that was killed between unmounting and removing leaves one."""
    cache, process = tmp_path / "results", tmp_path / "proc" / "7"
    cache.mkdir()
    process.mkdir(parents=True)
    (process / "cgroup").write_text(f"0::/kubepods/burstable/pod{UID}/c2\n")
    (process / "cmdline").write_text("sleep\0")
    path = tmp_path / "netns"
    path.touch()
    remember(cache, "stopped", path)
    remember(cache, "lives", "/proc/self/ns/net")
    # mounted where its runtime alone sees it, maybe: a process of the pod is there
    remember(cache, "pod", path, [["K8S_POD_UID", UID]])
    remember(cache, "other", path, [["K8S_POD_UID", UID.replace("0", "1")]])
    found = garbage.remembered([str(cache)], str(tmp_path / "proc"))
    assert sorted(one["container_id"] for one in found) == ["other", "stopped"]


def state_of(tmp_path, path, namespace, attached=()):
    """Return the Host of an old state: its path, which one was there, and what was attached."""
    store = states.Store(str(tmp_path / "states"))
    store.write(
        states.State(
            conf_name="meta",
            container_id="cid",
            interface="eth0",
            netns=str(path),
            path=[],
            timeout=1,
            attached=list(attached),
            namespace=namespace,
        )
    )
    os.utime(store.file("cid", "eth0"), (1, 1))
    return garbage.Host(
        state_directory=store.directory,
        ipam_directory=str(tmp_path / "networks"),
        flannel_directory=str(tmp_path / "flannel"),
        path=[],
        caches=[],
        namespaces=["/proc/self/ns/net"],
    )


@pytest.mark.parametrize("is_own", [False, True])
@pytest.mark.parametrize("marked", ["not", "as another", "as the same"])
def test_a_state_is_garbage_when_its_namespace_is_gone(tmp_path, is_own, marked):
    path = "/proc/self/ns/net" if is_own else tmp_path / "netns"
    (tmp_path / "netns").touch()
    own = identity("/proc/self/ns/net")
    marks = {"not": None, "as another": [own[0], own[1] + 1], "as the same": own}
    found = garbage.find(state_of(tmp_path, path, marks[marked]), (), 300)
    # one that moved lives, too
    lives = marked == "as the same" or (marked == "not" and is_own)
    assert [one["container_id"] for one in found["states"]] == ([] if lives else ["cid"])


@pytest.mark.parametrize("address", ["127.0.0.1/8", "203.0.113.9/24"])
def test_a_state_of_a_former_version_is_none_while_its_address_is_there(tmp_path, address):
    """Its namespace may be mounted where its runtime alone sees it: here there is a mere file."""
    (tmp_path / "netns").touch()
    result = {"cniVersion": "0.4.0", "ips": [{"version": "4", "address": address}]}
    raw = {"type": "bridge", "name": "multinet-blue"}
    attached = [states.Attached(raw, "eth0", result=result), states.Attached(raw, "net1")]
    host = state_of(tmp_path, tmp_path / "netns", None, attached)
    found = garbage.find(host, (), 300)
    lives = address.startswith("127.")
    assert [one["container_id"] for one in found["states"]] == ([] if lives else ["cid"])


@pytest.mark.parametrize("runs", [True, False])
def test_flannels_file_of_a_pod_that_runs_stays(tmp_path, monkeypatch, runs):
    """Its runtime names no namespace, or a mere file is in its place."""
    cache, data = tmp_path / "results", tmp_path / "flannel"
    cache.mkdir()
    data.mkdir()
    (tmp_path / "netns").touch()
    for name, path in (("named", tmp_path / "netns"), ("not-named", "")):
        remember(cache, name, path, [["K8S_POD_UID", UID]])
        (data / name).write_text(json.dumps({"name": "cbr0"}))
        os.utime(data / name, (1, 1))
    monkeypatch.setattr(garbage.foreign, "_processes", lambda proc: UID if runs else "")
    host = state_of(tmp_path, "/proc/self/ns/net", None)
    host.caches = [str(cache)]
    found = garbage.find(host, ["cbr0"], 300)
    gone = [] if runs else ["named", "not-named"]
    for kind in ("flannel", "remembered"):
        assert sorted(one["container_id"] for one in found[kind]) == gone
