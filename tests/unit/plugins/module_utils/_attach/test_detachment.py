# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import threading
import time

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._attach import (
    attachment,
    detachment,
    pod_news,
)
from ansible_collections.multinet.flannel.plugins.module_utils._cni import cache, netns
from ansible_collections.multinet.flannel.plugins.module_utils._kube_client.client import ApiError
from ansible_collections.multinet.flannel.plugins.module_utils._meta import lock
from ansible_collections.multinet.flannel.plugins.module_utils._meta import state as states
from waiting import PATIENCE

QUIET = {"type": "quiet", "capabilities": {"portMappings": True}}


def three_networks(tmp_path, script="#!/bin/sh\n"):
    """Return the Store with a container on three networks, and a function name -> the steps that
    take one of them out.
    """
    plugin = tmp_path / "bin" / "quiet"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(script)
    plugin.chmod(0o755)
    delegates = [
        {"name": "multinet-" + name, "cniVersion": "0.4.0", "plugins": [QUIET]}
        for name in ("blue", "red", "green")
    ]
    store = states.Store(str(tmp_path / "state"))
    attached = [
        states.Attached(raw, f"net{number}", capability_args={"portMappings": [number]})
        for number, raw in enumerate(delegates)
    ]
    store.write(
        states.State(
            conf_name="multinet",
            container_id="pod",
            interface="eth0",
            netns="/run/netns/gone",
            path=[str(plugin.parent)],
            timeout=PATIENCE,
            attached=attached,
        )
    )
    return store, lambda name: detachment.detach_steps(
        "multinet-" + name, str(plugin.parent), store.directory, str(tmp_path / "cache")
    )


def test_two_networks_at_once_leave_a_container_with_the_third_alone(tmp_path):
    store, steps_of = three_networks(tmp_path)
    steps = steps_of("red") + steps_of("green")
    assert [step.what for step in steps] == ["net1 of container pod", "net2 of container pod"]
    for step in steps:
        step.act()
    assert [one.raw["name"] for one in store.read("pod", "eth0").attached] == ["multinet-blue"]


@pytest.mark.parametrize("keeper", ["meta-plugin", "cni_attachment"])
def test_an_executable_that_has_gone_and_is_not_needed_keeps_no_network(tmp_path, keeper):
    """A DEL of the same container would succeed."""
    store, steps_of = three_networks(tmp_path)
    state = store.read("pod", "eth0")
    if keeper == "meta-plugin":
        state.attached[1].raw["plugins"] = [{"type": "tuning"}, QUIET]
        store.write(state)
    else:
        store.remove(state)
        remember(tmp_path, plugins=[{"type": "tuning"}, QUIET])
    (step,) = steps_of("red")
    step.act()
    assert steps_of("red") == []


def test_plugins_are_told_the_ports_as_at_add(tmp_path):
    """Without them portmap leaves its rules."""
    dummy, steps_of = three_networks(tmp_path, f"#!/bin/sh\ncat >>{tmp_path}/stdin\n")
    steps_of("red")[0].act()
    told = json.loads((tmp_path / "stdin").read_text(encoding="utf-8"))
    assert told["runtimeConfig"] == {"portMappings": [1]}


def remember(tmp_path, path="", namespace=None, plugins=(QUIET,)):
    """Have cni_attachment remember a container on red; return the Cache and the entry."""
    entry = {
        "containerId": "pod",
        "networkName": "multinet-red",
        "ifName": "net1",
        "netns": path,
        "namespace": namespace,
        "cniArgs": "A=1",
        "config": {"name": "multinet-red", "cniVersion": "0.4.0", "plugins": list(plugins)},
        "result": None,
    }
    remembered = cache.Cache(str(tmp_path / "cache"))
    remembered.put(entry)
    return remembered, entry


def test_a_container_that_cni_attachment_is_at_work_on_is_waited_for(tmp_path):
    store, steps_of = three_networks(tmp_path, f"#!/bin/sh\necho called >>{tmp_path}/called\n")
    store.remove(store.read("pod", "eth0"))
    remembered, entry = remember(tmp_path)
    (step,) = steps_of("red")
    with attachment.lock_of(remembered, "pod", 1, needed=True):
        working = threading.Thread(target=step.act)
        working.start()
        time.sleep(0.2)
        assert not (tmp_path / "called").exists()
        remembered.remove(entry)  # that was its work
    working.join(PATIENCE)
    assert not working.is_alive()
    assert not (tmp_path / "called").exists() and remembered.entries() == []


def test_a_lock_that_cannot_be_written_does_not_keep_a_container(tmp_path):
    """As on a full disk."""
    store, steps_of = three_networks(tmp_path, f"#!/bin/sh\necho called >>{tmp_path}/called\n")
    store.remove(store.read("pod", "eth0"))
    remembered, dummy = remember(tmp_path)
    (tmp_path / "cache" / ".pod:.lock").mkdir()
    (step,) = steps_of("red")
    step.act()
    assert (tmp_path / "called").exists() and remembered.entries() == []


@pytest.mark.parametrize("keeper", ["meta-plugin", "cni_attachment"])
@pytest.mark.parametrize("marked", ["", "other", "own", "same"])
def test_a_path_that_is_another_ones_by_now_is_not_handed_to_plugins(tmp_path, keeper, marked):
    """Names and numbers of processes are used again, also by the host itself."""
    script = f'#!/bin/sh\necho "$CNI_NETNS,$CNI_ARGS" >>{tmp_path}/told\n'
    store, steps_of = three_networks(tmp_path, script)
    path = tmp_path / "netns"
    path.touch()
    mark = netns.mark(str(path))
    if marked == "own":
        path = "/proc/self/ns/net"
        mark = netns.identity(path)
    namespace = {"": None, "other": [mark[0], mark[1] + 1]}.get(marked, mark)
    if keeper == "meta-plugin":
        state = store.read("pod", "eth0")
        state.netns, state.namespace = str(path), namespace
        store.write(state)
    else:
        store.remove(store.read("pod", "eth0"))
        remember(tmp_path, str(path), namespace)
    (step,) = steps_of("red")
    step.act()
    args = "" if keeper == "meta-plugin" else "A=1"
    expected = f"{path if marked == 'same' else ''},{args}\n"
    assert (tmp_path / "told").read_text(encoding="utf-8") == expected


@pytest.mark.parametrize(
    ("path", "there", "told"),
    [
        ("/run/netns/pod", True, "/run/netns/pod"),
        ("/run/netns/pod", False, ""),
        ("/proc/123/ns/net", True, ""),
    ],
)
def test_a_pod_of_a_former_version_loses_its_interface_as_by_del(
    tmp_path, monkeypatch, path, there, told
):
    store, steps_of = three_networks(tmp_path, f'#!/bin/sh\necho "$CNI_NETNS" >>{tmp_path}/told\n')
    monkeypatch.setattr(netns, "is_there", lambda path: there)
    monkeypatch.setattr(netns, "is_own", lambda path: False)
    state = store.read("pod", "eth0")
    state.netns, state.namespace = path, None
    store.write(state)
    (step,) = steps_of("red")
    step.act()
    assert (tmp_path / "told").read_text(encoding="utf-8") == f"{told}\n"


def test_a_container_that_the_runtime_is_at_work_on_is_waited_for(tmp_path):
    store, steps_of = three_networks(tmp_path, f"#!/bin/sh\necho called >>{tmp_path}/called\n")
    steps = steps_of("red")
    with lock.held(store.directory, "pod", "eth0", 1):
        working = threading.Thread(target=steps[0].act)
        working.start()
        time.sleep(0.2)
        assert not (tmp_path / "called").exists()
        store.remove(store.read("pod", "eth0"))  # the runtime's DEL
    working.join(PATIENCE)
    assert not working.is_alive()
    assert not (tmp_path / "called").exists() and store.attachments() == []


def test_pods_are_called_by_their_names(tmp_path):
    store, dummy = three_networks(tmp_path)
    (step,) = detachment.detach_steps(
        "multinet-red", "/bin", store.directory, str(tmp_path / "cache"), {"pod": "apps/web-0"}
    )
    assert step.what == "net1 of pod apps/web-0"
    pods = {"pod": "apps/web-0", "other": "default/x"}
    assert detachment.pods_on(["multinet-red"], pods, store.directory) == ["apps/web-0"]
    assert detachment.pods_on(["multinet-black"], pods, store.directory) == []
    assert detachment.pods_on(["multinet-red"], {}, store.directory) == []


class Api:
    """Takes what is written; `status`: of the refusal that everything gets, None for no answer."""

    def __init__(self, refuses=False, status=None):
        self.refuses, self.status = refuses, status
        self.written = []

    def limit(self, seconds):
        pass

    def patch(self, path, item):
        if self.refuses:
            raise ApiError(11, "The API does not answer.", status=self.status)
        self.written.append((path, item))
        return {}

    def post(self, path, item, *, once):
        return self.patch(path, item)


SANDBOX = {"container": "pod", "namespace": "apps", "name": "web-0", "uid": "1-2"}


def take_out(tmp_path, api, *names):
    """Take networks out of the pod; return the news that it got."""
    store, dummy = three_networks(tmp_path)
    state = store.read("pod", "eth0")
    state.attached[0].interface = "eth0"
    for one in state.attached:
        one.result = {"cniVersion": "0.4.0", "interfaces": [{"name": "x", "sandbox": "/n"}]}
    store.write(state)
    news = pod_news.PodNews([SANDBOX], lambda: api)
    for name in names:
        for step in detachment.detach_steps(
            "multinet-" + name, "/bin", store.directory, str(tmp_path / "cache"), tell=news.lost
        ):
            step.act()
    return news


def test_a_pod_is_told_what_it_lost_and_what_it_still_has(tmp_path):
    api = Api()
    assert take_out(tmp_path, api, "red", "blue").problems == []
    pod = "/api/v1/namespaces/apps/pods/web-0/status"
    assert [path for path, dummy in api.written] == [pod, "/api/v1/namespaces/apps/events"] * 2
    status, event, last, dummy = (item for dummy, item in api.written)

    def told(item):
        annotations = item["metadata"]["annotations"]
        return [
            (one["name"], one["default"])
            for one in json.loads(annotations["k8s.v1.cni.cncf.io/network-status"])
        ]

    assert status["metadata"]["uid"] == "1-2"
    assert told(status) == [("multinet-blue", True), ("multinet-green", False)]
    # the first network is gone, and no other one is the first now
    assert told(last) == [("multinet-green", False)]
    assert (event["type"], event["reason"]) == ("Warning", "RemovedInterface")
    assert event["message"].startswith("Removed net1 from multinet-red: ")


def test_an_api_that_is_away_keeps_no_network_and_is_asked_once(tmp_path):
    news = take_out(tmp_path, Api(refuses=True), "red", "green")
    (problem,) = news.problems
    assert problem.startswith("The pod apps/web-0 was not told that it lost network multinet-red")
    assert len(take_out(tmp_path / "b", Api(True, 404), "red", "green").problems) == 2
