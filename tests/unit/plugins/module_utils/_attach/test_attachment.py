# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interface a network gets, which namespace is meant, and what is done where some of it is
there or fails.
"""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._attach import (
    attachment,
    states,
    target,
)
from ansible_collections.multinet.flannel.plugins.module_utils._cni import cache, conf, errors


def wanted(*names):
    return [
        attachment.NamedNetwork(name, conf.parse({"name": "multinet-" + name, "type": "x"}, "here"))
        for name in names
    ]


def assigned(names, entries=(), first="eth0", fixed=False):
    networks = wanted(*names)
    attachment.assign(
        networks,
        [{"networkName": "multinet-" + name, "ifName": interface} for name, interface in entries],
        {"lo", "net3"},
        first=first,
        first_is_fixed=fixed,
    )
    return [one.interface for one in networks]


@pytest.mark.parametrize(
    ("names", "entries", "first", "expected"),
    [
        (["a"], [], "eth0", ["eth0"]),
        (["a", "b", "c"], [], "eth0", ["eth0", "net1", "net2"]),
        (["a", "b"], [], "ens5", ["ens5", "net1"]),
        (["a", "b"], [("a", "eth0")], "eth0", ["eth0", "net1"]),
        (["b"], [("a", "eth0")], "eth0", ["net1"]),
        (["c", "b", "a"], [("a", "eth0"), ("b", "net2")], "eth0", ["net1", "net2", "eth0"]),
        (["a", "b"], [("b", "eth0")], "eth0", ["net1", "eth0"]),
        (["a", "b", "c", "d"], [], "eth0", ["eth0", "net1", "net2", "net4"]),
    ],
)
def test_interfaces_are_kept_and_the_others_get_the_next_free_one(names, entries, first, expected):
    assert assigned(names, entries, first) == expected


def test_an_interface_that_was_asked_for_and_is_taken_is_an_error():
    with pytest.raises(errors.Error, match="eth0"):
        assigned(["b"], [("a", "eth0")], fixed=True)


def test_networks_by_name(tmp_path):
    (tmp_path / "blue.conflist").write_text(
        json.dumps({"name": "multinet-blue", "plugins": [{"type": "x"}]}), encoding="utf-8"
    )
    found = attachment.load(["blue", "blue"], "/nowhere", str(tmp_path))
    assert [(one.name, one.network.name) for one in found] == [("blue", "multinet-blue")]
    for name in ("red", "../blue"):
        with pytest.raises(errors.Error) as caught:
            attachment.load([name], "/nowhere", str(tmp_path))
        assert "blue" in caught.value.details


def test_a_directory_of_networks_that_cannot_be_read_is_no_empty_one(tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "listdir", refused)
    with pytest.raises(errors.Error, match="cannot be read") as failed:
        attachment.load(["blue"], "/conf", str(tmp_path))
    assert (failed.value.code, failed.value.details) == (errors.IO_FAILURE, "Permission denied")


def test_a_namespace_by_name_or_path_has_cnitools_id():
    # cnitool: "cnitool-%x" of the first ten bytes of the path's sha512
    found = target.find("netns", "/var/run/netns/testing")
    assert found.container_id == "cnitool-77383ca0a0715733ca6f"
    assert found.netns == ""
    assert (
        target.find("netns", "testing").container_id
        == target.find("netns", "/run/netns/testing").container_id
    )
    assert target.find("netns", "testing", "mine").container_id == "mine"


@pytest.mark.parametrize(
    ("kind", "value"),
    [("netns", "a/b"), ("netns", ".."), ("netns", ""), ("pid", "0"), ("pid", "x")],
)
def test_what_names_no_namespace(kind, value):
    with pytest.raises(target.TargetError):
        target.find(kind, value)


def test_the_hosts_own_namespace_is_refused():
    with pytest.raises(target.TargetError, match="host's own"):
        target.find("netns", "/proc/self/ns/net")


def test_a_container_is_asked_for_at_podman_then_docker():
    asked = []

    def inspect(engine, name):
        asked.append((engine, name))
        return json.dumps([{"Id": "abc123", "State": {"Pid": 0}}]) if engine == "docker" else None

    found = target.find("container", "web", None, inspect)
    assert (found.container_id, found.netns, found.label) == ("abc123", "", "container:web")
    assert asked == [("podman", "web"), ("docker", "web")]
    assert target.find("container", "web", None, lambda engine, name: None).container_id is None
    with pytest.raises(target.TargetError, match="printed something unexpected"):
        target.find("container", "web", None, lambda engine, name: "[]")


class Played:
    """An Exec that plays one plugin and notes what it is called with."""

    def __init__(self):
        self.calls = []
        self.fail = set()
        self.before = lambda: None

    def find(self, plugin, path):
        return "/" + plugin

    def run(self, file, environ, stdin, seconds):
        self.before()
        self.calls.append((environ["CNI_COMMAND"], environ["CNI_NETNS"], environ["CNI_IFNAME"]))
        if environ["CNI_COMMAND"] in self.fail:
            return 1, b'{"code": 101, "msg": "no"}', b""
        return 0, b'{"cniVersion": "0.4.0"}' if environ["CNI_COMMAND"] == "ADD" else b"", b""


@pytest.fixture(name="played")
def _played():
    return Played()


@pytest.fixture(name="attacher")
def _attacher(played, tmp_path):
    one = attachment.Attacher(
        ["/bin"],
        cache.Cache(str(tmp_path / "cache")),
        execute=played,
        interfaces=lambda path: one.present,
    )
    one.present = {"lo"}
    return one


@pytest.fixture(name="pod")
def _pod(tmp_path):
    (tmp_path / "netns").write_text("", encoding="utf-8")
    return target.Target("netns:pod", str(tmp_path / "netns"), "cid")


def blue():
    return attachment.NamedNetwork(
        "blue",
        conf.parse(
            {"name": "multinet-blue", "cniVersion": "0.4.0", "plugins": [{"type": "x"}]}, "here"
        ),
        "eth0",
    )


def test_it_is_remembered_before_the_first_plugin_is_called(attacher, played, pod):
    played.before = lambda: played.calls.append([one["result"] for one in attacher.cache.entries()])
    attacher.attach(pod, blue())
    assert played.calls[0] == [None]
    assert attacher.cache.entries()[0]["result"] == {"cniVersion": "0.4.0"}


def test_one_that_was_cut_off_is_not_whole(attacher, played, pod):
    played.fail = {"ADD", "DEL"}
    with pytest.raises(errors.Error, match="no"):
        attacher.attach(pod, blue())
    attacher.present.add("eth0")
    assert not attacher.is_whole(pod, attacher.cache.entries()[0])


def test_whole_means_the_same_namespace_with_the_interface_and_content_plugins(
    attacher, played, pod, tmp_path
):
    entry = attacher.attach(pod, blue())
    assert not attacher.is_whole(pod, entry)
    attacher.present.add("eth0")
    assert attacher.is_whole(pod, entry)
    played.fail.add("CHECK")
    assert not attacher.is_whole(pod, entry)
    played.fail.clear()
    (tmp_path / "another").write_text("", encoding="utf-8")
    assert not attacher.is_whole(
        target.Target("netns:pod", str(tmp_path / "another"), "cid"), entry
    )


def test_the_guard_is_told_again_of_what_was_attached(attacher, pod, monkeypatch):
    """A run that was killed may have told it nothing."""
    told = []
    monkeypatch.setattr(attachment.guard, "told", told.append)
    entry = attacher.attach(pod, blue())
    attacher.tell(entry)
    assert told == []  # it has no port on a bridge of ours
    entry["result"] = {"cniVersion": "0.4.0", "interfaces": [{"name": "mn-blue"}]}
    attacher.tell(entry)
    assert told == [attacher.cache.file(entry)]


def test_a_path_that_leads_to_another_namespace_by_now_is_not_handed_to_plugins(
    attacher, played, pod, tmp_path
):
    entry = attacher.attach(pod, blue())
    (tmp_path / "netns").rename(tmp_path / "kept")
    (tmp_path / "netns").write_text("", encoding="utf-8")
    attacher.detach(pod, entry)
    assert played.calls[-1] == ("DEL", "", "eth0")
    assert attacher.cache.entries() == []


@pytest.fixture(name="asked")
def _asked(tmp_path):
    for name in ("blue", "red"):
        network = {"name": f"multinet-{name}", "cniVersion": "0.4.0", "plugins": [{"type": "x"}]}
        (tmp_path / f"{name}.conflist").write_text(json.dumps(network), encoding="utf-8")
    return states.Asked(["blue", "red"], "/nowhere", str(tmp_path))


def test_only_what_is_missing_is_attached(attacher, played, pod, asked):
    states.present(attacher, pod, asked._replace(networks=["blue"]), pytest.fail)
    attacher.present.add("eth0")
    planned = states.present(attacher, pod, asked._replace(only_look=True), pytest.fail)
    assert [entry["ifName"] for entry in planned.after] == ["eth0", "net1"]
    assert [call[0] for call in played.calls].count("ADD") == 1
    done = states.present(attacher, pod, asked, pytest.fail)
    assert [entry["network"] for entry in done.before] == ["blue"]
    assert [one.name for one in done.changed] == ["red"]
    assert done.asked == {"multinet-blue", "multinet-red"}


def test_another_configuration_than_was_attached_is_told(attacher, pod, asked, tmp_path):
    asked = asked._replace(networks=["blue"])
    states.present(attacher, pod, asked, pytest.fail)
    attacher.present.add("eth0")
    file = tmp_path / "blue.conflist"
    file.write_text(file.read_text().replace('"x"', '"x", "mtu": 1400'), encoding="utf-8")
    told = []
    assert not states.present(attacher, pod, asked, told.append).changed
    assert len(told) == 1 and "blue changed since it was attached" in told[0]


def test_all_are_detached_but_those_that_fail(attacher, played, pod, asked):
    states.present(attacher, pod, asked, pytest.fail)
    assert len(states.absent(attacher, pod, asked._replace(only_look=True)).changed) == 2
    assert len(attacher.cache.entries()) == 2
    played.fail.add("DEL")
    with pytest.raises(errors.Error, match="network red"):
        states.absent(attacher, pod, asked)
    assert len(attacher.cache.entries()) == 2
    played.fail.clear()
    assert (
        states.absent(attacher, pod, asked._replace(networks=["red"])).after[0]["network"] == "blue"
    )
    assert states.absent(attacher, pod, asked._replace(networks=[])).after == []
    assert attacher.cache.entries() == []


def test_a_target_without_a_namespace_gets_nothing(attacher, asked):
    gone = target.Target("netns:pod", "", "cid")
    with pytest.raises(target.TargetError, match="it does not run"):
        states.present(attacher, gone, asked, pytest.fail)
