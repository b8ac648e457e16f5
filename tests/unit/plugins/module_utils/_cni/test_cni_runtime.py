# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What plugins are called with, in which order, and what becomes of their answers."""

from __future__ import annotations

import json

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import conf, errors, runtime


class Recorder:
    """An Exec that notes every call and answers as told: {(command, plugin): (status, stdout)}."""

    def __init__(self, answers=None):
        self.answers = answers or {}
        self.calls = []

    def find(self, plugin, path):
        return f"{path[0]}/{plugin}"

    def run(self, file, environ, stdin, seconds):
        plugin, command = file.rpartition("/")[2], environ["CNI_COMMAND"]
        request = json.loads(stdin)
        self.calls.append((command, plugin, environ, request, seconds))
        default = json.dumps(
            {
                "cniVersion": request.get("cniVersion"),
                "ips": [{"version": "4", "address": f"10.0.0.{len(self.calls)}/24"}],
            }
        )
        status, stdout = self.answers.get(
            (command, plugin), (0, default if command == "ADD" else "")
        )
        return status, stdout.encode(), b""


NETWORK = {
    "name": "net",
    "cniVersion": "0.4.0",
    "plugins": [
        {
            "type": "one",
            "capabilities": {"portMappings": True, "ips": False},
            "kept": [1.5, {"a": None}],
        },
        {"type": "two", "name": "overridden", "cniVersion": "0.2.0"},
    ],
}
ATTACHMENT = runtime.Attachment(
    "cid",
    "/run/netns/x",
    "eth7",
    args="A=B",
    capability_args={"portMappings": [1], "ips": ["10.0.0.9"]},
)


def calls_of(recorder):
    return [call[:2] for call in recorder.calls]


def make(answers=None, **kwargs):
    recorder = Recorder(answers)
    return recorder, runtime.Runtime(
        ["/bin/cni"], recorder, environ={"TRACEPARENT": "t", "CNI_IFNAME": "eth0"}, **kwargs
    )


def test_add_chains_results_and_hands_on_everything():
    recorder, calls = make()
    result = calls.add(conf.parse(NETWORK, "here"), ATTACHMENT)
    assert calls_of(recorder) == [("ADD", "one"), ("ADD", "two")]
    environ, request = recorder.calls[0][2:4]
    assert environ == {
        "TRACEPARENT": "t",
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "cid",
        "CNI_NETNS": "/run/netns/x",
        "CNI_IFNAME": "eth7",
        "CNI_PATH": "/bin/cni",
        "CNI_ARGS": "A=B",
    }
    # only the capability it says it has, and `capabilities` itself stays behind
    assert request == {
        "type": "one",
        "kept": [1.5, {"a": None}],
        "name": "net",
        "cniVersion": "0.4.0",
        "runtimeConfig": {"portMappings": [1]},
    }
    second = recorder.calls[1][3]
    assert (second["name"], second["cniVersion"]) == ("net", "0.4.0")
    assert second["prevResult"]["ips"][0]["address"] == "10.0.0.1/24"
    assert result["ips"][0]["address"] == "10.0.0.2/24"


def test_a_configuration_without_version_stays_without():
    recorder, calls = make({("ADD", "one"): (0, '{"ip4": {"ip": "10.0.0.2/24"}}')})
    result = calls.add(conf.parse({"name": "n", "type": "one"}, "here"), ATTACHMENT)
    assert "cniVersion" not in recorder.calls[0][3]
    assert result == {"cniVersion": "0.1.0", "ip4": {"ip": "10.0.0.2/24"}}


def test_a_plugin_that_answers_in_another_version_is_understood():
    recorder, calls = make(
        {("ADD", "one"): (0, '{"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.2/24"}}')}
    )
    calls.add(conf.parse(NETWORK, "here"), ATTACHMENT)
    assert recorder.calls[1][3]["prevResult"]["ips"] == [{"version": "4", "address": "10.0.0.2/24"}]


def test_a_plugins_error_keeps_its_code_and_names_the_plugin():
    _dummy, calls = make(
        {
            ("ADD", "one"): (
                1,
                '{"cniVersion": "0.4.0", "code": 11, "msg": "later", "details": "why"}',
            )
        }
    )
    with pytest.raises(errors.Error) as caught:
        calls.add(conf.parse(NETWORK, "here"), ATTACHMENT)
    assert (caught.value.code, caught.value.msg, caught.value.details) == (
        11,
        "plugin one: later",
        "why",
    )


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((1, ""), 999),
        ((1, "panic: x"), 999),
        ((-9, ""), 999),
        ((0, ""), 6),
        ((0, "hello"), 6),
        ((0, '{"code": 7, "msg": "an error despite the exit status"}'), 7),
    ],
)
def test_whatever_a_plugin_does_wrong_is_an_error(answer, code):
    _dummy, calls = make({("ADD", "two"): answer})
    with pytest.raises(errors.Error) as caught:
        calls.add(conf.parse(NETWORK, "here"), ATTACHMENT)
    assert caught.value.code == code
    assert "plugin two" in caught.value.msg


def test_delete_calls_all_backwards_whatever_they_answer():
    recorder, calls = make(
        {
            ("DEL", "two"): (1, '{"code": 100, "msg": "b"}'),
            ("DEL", "one"): (1, '{"code": 101, "msg": "a"}'),
        }
    )
    with pytest.raises(errors.Error) as caught:
        calls.delete(conf.parse(NETWORK, "here"), ATTACHMENT, {"cniVersion": "0.4.0", "ips": []})
    assert calls_of(recorder) == [("DEL", "two"), ("DEL", "one")]
    assert caught.value.msg == "plugin two: b / plugin one: a"
    assert recorder.calls[0][3]["prevResult"] == {"cniVersion": "0.4.0", "ips": []}


def test_before_0_4_0_delete_gets_no_result_and_there_is_no_check():
    recorder, calls = make()
    old = conf.parse(dict(NETWORK, cniVersion="0.3.1"), "here")
    calls.delete(old, ATTACHMENT, {"cniVersion": "0.3.1"})
    assert "prevResult" not in recorder.calls[0][3]
    calls.check(old, ATTACHMENT, {"cniVersion": "0.3.1"})
    assert len(recorder.calls) == 2


def test_check_goes_forward_and_can_be_disabled():
    recorder, calls = make()
    calls.check(conf.parse(NETWORK, "here"), ATTACHMENT, {"cniVersion": "0.4.0"})
    assert calls_of(recorder) == [("CHECK", "one"), ("CHECK", "two")]
    calls.check(conf.parse(dict(NETWORK, disableCheck=True), "here"), ATTACHMENT, {})
    assert len(recorder.calls) == 2


def test_status_is_asked_from_1_1_0_on():
    recorder, calls = make()
    calls.status(conf.parse(NETWORK, "here"))
    assert recorder.calls == []
    calls.status(conf.parse(dict(NETWORK, cniVersion="1.1.0"), "here"))
    assert calls_of(recorder) == [("STATUS", "one"), ("STATUS", "two")]


def test_after_the_deadline_nothing_is_called():
    recorder, calls = make(deadline=0.0)
    with pytest.raises(errors.Error) as caught:
        calls.add(conf.parse(NETWORK, "here"), ATTACHMENT)
    assert caught.value.code == errors.TRY_AGAIN_LATER
    assert recorder.calls == []


@pytest.mark.parametrize(
    "name, sandbox, is_ours",
    [
        ("veth0a1b2c3d", "", True),
        ("veth0a1b2c3d", "/run/netns/pod", False),
        ("vethWEPL0001", "", False),
        ("veth0a1b2c3", "", False),
        ("cali0a1b2c3d", "", False),  # made of the pod's name, which a later pod may have, too
        ("mn-red", "", False),
    ],
)
def test_only_an_end_with_a_random_name_is_surely_this_pods(name, sandbox, is_ours):
    result = {"interfaces": [{"name": name, "sandbox": sandbox}]}
    assert runtime.random_ends(result) == [name] * is_ours
    assert runtime.random_ends(None) == []
