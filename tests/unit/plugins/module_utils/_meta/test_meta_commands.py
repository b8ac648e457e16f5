# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands over a machine that is played: which delegates are called, in which order, and what
is left afterwards.
"""

from __future__ import annotations

import io
import json
import os
import time

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import (
    errors,
    netlink,
    netns,
    skel,
)
from ansible_collections.multinet.flannel.plugins.module_utils._kube_client import client
from ansible_collections.multinet.flannel.plugins.module_utils._meta import (
    check,
    conf,
    devices,
    foreign,
    log,
    plugin,
    state,
)

NAMES = ("a", "b", "c", "d")


class Machine:
    """Plays the delegates: keeps who is attached, fails as told ({(command, plugin): answer}), and
    notes every call.
    """

    def __init__(self):
        self.fail = {}
        self.calls = []
        self.attached = {}
        self.present = {"lo"}
        self.listed = {}  # {plugin: the container's interfaces in its result}
        self.routes = {}  # {plugin: the routes in its result}
        self.addresses = {}  # {plugin: the address in its result}
        self.kernel_routes = {}  # {key: default route}
        self.requests = []

    def find(self, name, path):
        return f"/{path[-1].strip('/')}/{name}"

    def run(self, file, environ, stdin, seconds):
        name, command, interface = (
            file.rpartition("/")[2],
            environ["CNI_COMMAND"],
            environ["CNI_IFNAME"],
        )
        self.calls.append(f"{command} {name} {interface}")
        request = json.loads(stdin)
        self.requests.append((command, name, environ, request, seconds))
        if command == "ADD":
            # one that fails may have done half of its work
            self.attached[(name, environ["CNI_CONTAINERID"])] = interface
        answer = self.fail.get((command, name))
        if answer is not None:
            return 1, json.dumps(answer).encode(), b"a word on stderr\n"
        if command == "DEL":
            self.attached.pop((name, environ["CNI_CONTAINERID"]), None)
        if command != "ADD":
            return 0, b"", b""
        address = self.addresses.get(name) or f"10.{NAMES.index(name) + 1}.0.2/24"
        result = {
            "cniVersion": "0.4.0",
            "ips": [{"version": "4", "address": address}],
            "interfaces": [
                {"name": one, "sandbox": environ["CNI_NETNS"], "mac": "02:00:00:00:00:07"}
                for one in self.listed.get(name, [])
            ],
            "routes": self.routes.get(name, []),
            "dns": {},
        }
        return 0, json.dumps(result).encode(), b"chatter\n"


@pytest.fixture(name="machine")
def _machine():
    return Machine()


@pytest.fixture(name="serve")
def _serve(machine, tmp_path):
    """Return a function: (command, conf changes, environment changes) -> (exit status, answer)."""
    one = plugin.Plugin(
        execute=machine,
        interfaces=lambda path: machine.present,
        default_routes=lambda path: dict(machine.kernel_routes),
        relay=lambda text: None,
        others=foreign.CacheDirectories([str(tmp_path / "results")], str(tmp_path / "multus")),
    )

    def serve(command, conf=None, **environ):
        base = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "cid",
            "CNI_NETNS": str(tmp_path),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/bin/cni",
        }
        base.update(environ)
        out = io.StringIO()
        stdin = io.BytesIO(
            conf if isinstance(conf, bytes) else json.dumps(configuration(tmp_path, conf)).encode()
        )
        status = skel.main(
            one.handlers(),
            plugin.ABOUT,
            environ=base,
            stdin=stdin,
            stdout=out,
            stderr=io.StringIO(),
            conf_optional=("DEL",),
        )
        return status, json.loads(out.getvalue()) if out.getvalue() else None

    return serve


def configuration(tmp_path, changes=None):
    delegates = [{"type": name, "name": "net-" + name, "cniVersion": "0.4.0"} for name in NAMES]
    delegates[2]["masterplugin"] = True
    return dict(
        {
            "name": "meta",
            "cniVersion": "1.0.0",
            "cniDir": str(tmp_path / "state"),
            "delegates": delegates,
        },
        **(changes or {}),
    )


def states(tmp_path):
    return sorted(
        path.name for path in (tmp_path / "state").glob("*") if not path.name.endswith(".lock")
    )


def test_the_master_comes_first_and_its_result_is_the_answer(serve, machine, tmp_path):
    status, answer = serve("ADD")
    assert status == 0
    assert machine.calls == ["ADD c eth0", "ADD a net0", "ADD b net1", "ADD d net2"]
    assert answer == {"cniVersion": "1.0.0", "ips": [{"address": "10.3.0.2/24"}]}
    assert states(tmp_path) == ["cid:eth0.json"]
    kept = state.Store(str(tmp_path / "state")).read("cid", "eth0")
    assert [
        (one.raw["name"], one.interface, one.result["ips"][0]["address"]) for one in kept.attached
    ] == [
        ("net-c", "eth0", "10.3.0.2/24"),
        ("net-a", "net0", "10.1.0.2/24"),
        ("net-b", "net1", "10.2.0.2/24"),
        ("net-d", "net2", "10.4.0.2/24"),
    ]


@pytest.mark.parametrize(
    "version", ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0", None]
)
def test_the_answer_is_in_the_requests_version(serve, version):
    status, answer = serve("ADD", {"cniVersion": version})
    assert status == 0
    assert answer["cniVersion"] == (version or "0.1.0")
    assert ("ip4" in answer) == (version in ("0.1.0", "0.2.0", None))


@pytest.mark.parametrize("failing", ["c", "a", "b", "d"])
def test_when_one_fails_all_are_undone_backwards_itself_included(serve, machine, tmp_path, failing):
    machine.fail[("ADD", failing)] = {"code": 123, "msg": "no", "details": "really"}
    status, answer = serve("ADD")
    assert status == 1
    assert (answer["code"], answer["details"]) == (123, "really")
    assert "net-" + failing in answer["msg"] and answer["msg"].endswith("no")
    adds = [call[4:] for call in machine.calls if call.startswith("ADD")]
    dels = [call[4:] for call in machine.calls if call.startswith("DEL")]
    assert adds[-1].startswith(failing)
    assert dels == adds[::-1]
    assert machine.attached == {}
    assert states(tmp_path) == []


@pytest.mark.parametrize("is_another", [False, True])
def test_undoing_enters_no_other_namespace(serve, machine, tmp_path, is_another):
    """The process that it was named by may have ended, and its number be another one's."""
    path, run = tmp_path / "netns", machine.run
    path.touch()
    machine.fail[("ADD", "b")] = {"code": 123, "msg": "no"}

    def ends(file, environ, stdin, seconds):
        if is_another and (environ["CNI_COMMAND"], file[-1]) == ("ADD", "b"):
            path.rename(tmp_path / "ended")
            path.touch()
        return run(file, environ, stdin, seconds)

    machine.run = ends
    assert serve("ADD", CNI_NETNS=str(path))[0] == 1
    told = {
        environ["CNI_NETNS"]
        for command, dummy, environ, *dummies in machine.requests
        if command == "DEL"
    }
    assert told == {"" if is_another else str(path)}
    assert machine.attached == {}


def test_an_undoing_that_fails_keeps_the_state_for_del(serve, machine, tmp_path):
    machine.fail[("ADD", "b")] = {"code": 123, "msg": "no"}
    machine.fail[("DEL", "a")] = {"code": 124, "msg": "cannot"}
    status, answer = serve("ADD")
    assert (status, answer["code"]) == (1, 123)
    assert "cannot" in answer["details"]
    assert states(tmp_path) == ["cid:eth0.json"]
    machine.fail.clear()
    assert serve("DEL") == (0, None)
    assert machine.attached == {}
    assert states(tmp_path) == []


@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_what_nobody_expects_of_one_keeps_no_other_attached(serve, machine, tmp_path, command):
    run = machine.run

    def fails(file, environ, stdin, seconds):
        if (environ["CNI_COMMAND"], file[-1]) in ((command, "b"), ("DEL", "b")):
            raise ValueError("embedded null byte")
        return run(file, environ, stdin, seconds)

    machine.run = fails
    if command == "DEL":
        machine.run = run
        assert serve("ADD")[0] == 0
        machine.run = fails
    status, answer = serve(command)
    assert status == 1
    assert "embedded null byte" in answer["msg"] + answer["details"]
    assert {name for name, dummy in machine.attached} <= {"b"}
    assert states(tmp_path) == ["cid:eth0.json"]
    machine.run = run
    assert serve("DEL") == (0, None)
    assert states(tmp_path) == []


def test_gc_tells_what_failed_also_where_its_networks_are_not_known(serve, machine, tmp_path):
    valid = {"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}
    assert serve("ADD", valid)[0] == 0
    machine.fail[("DEL", "a")] = {"code": 123, "msg": "cannot"}
    later = [{"file": str(tmp_path / "not-yet.conf")}]
    for file in (tmp_path / "state").glob("*.json"):
        os.utime(file, (time.time() - 10,) * 2)
    status, answer = serve("GC", dict(valid, delegates=later))
    assert status == 1
    assert "cannot" in answer["msg"] and "not-yet.conf" in answer["msg"], answer


def test_why_an_add_failed_is_told_though_its_namespace_cannot_be_entered(
    serve, machine, tmp_path, monkeypatch
):
    machine.fail[("ADD", "b")] = {"code": 123, "msg": "no"}

    def refused(path, mark):
        raise errors.Error(errors.INVALID_NETNS, "The network namespace cannot be entered.")

    monkeypatch.setattr(netns, "is_marked", refused)
    status, answer = serve("ADD")
    assert (status, answer["code"]) == (1, 123)
    assert "cannot be entered" in answer["details"]
    assert states(tmp_path) == ["cid:eth0.json"]
    assert serve("DEL")[0] == 1
    monkeypatch.undo()
    assert serve("DEL") == (0, None)
    assert machine.attached == {} and states(tmp_path) == []


def test_the_state_is_there_before_the_first_delegate(serve, machine, tmp_path):
    seen = []
    run = machine.run
    machine.run = lambda *args: seen.append(states(tmp_path)) or run(*args)
    serve("ADD")
    assert seen == [["cid:eth0.json"]] * 4


def test_a_state_that_cannot_be_written_attaches_nothing(serve, machine, tmp_path):
    (tmp_path / "state").write_text("", encoding="utf-8")
    status, answer = serve("ADD")
    assert (status, answer["code"]) == (1, errors.IO_FAILURE)
    assert machine.calls == []


def test_a_state_that_cannot_be_completed_is_undone(serve, machine, monkeypatch):
    def fails(self, one):
        raise errors.Error(errors.IO_FAILURE, "disk full")

    monkeypatch.setattr(state.Store, "write", fails)
    assert serve("ADD")[0] == 1
    assert machine.attached == {}


def test_an_unforeseen_failure_is_undone_too(serve, machine):
    run = machine.run

    def broken(file, environ, stdin, seconds):
        if (environ["CNI_COMMAND"], file[-1]) == ("ADD", "b"):
            raise MemoryError
        return run(file, environ, stdin, seconds)

    machine.run = broken
    status, answer = serve("ADD")
    assert (status, answer["code"]) == (1, 999)
    assert machine.attached == {}


def test_an_answer_that_cannot_be_said_in_the_callers_version_is_undone(serve, machine):
    run = machine.run

    def without_address(file, environ, stdin, seconds):
        status, stdout, stderr = run(file, environ, stdin, seconds)
        return status, b'{"cniVersion": "0.4.0", "interfaces": []}' if stdout else stdout, stderr

    machine.run = without_address
    assert serve("ADD", {"cniVersion": "0.2.0"})[0] == 1
    assert machine.attached == {}


def test_a_second_add_is_an_error_and_harms_nothing(serve, machine, tmp_path):
    serve("ADD")
    before = dict(machine.attached)
    status, answer = serve("ADD")
    assert (status, answer["code"]) == (1, 100)
    assert machine.attached == before
    assert len(machine.calls) == 4
    assert states(tmp_path) == ["cid:eth0.json"]


def reboot(tmp_path):
    """Make the state one of a former boot: whatever namespace there was is gone."""
    file = tmp_path / "state" / "cid:eth0.json"
    raw = json.loads(file.read_text(encoding="utf-8"))
    raw["namespace"] = [*raw["namespace"][:2], 7, "former"]
    file.write_text(json.dumps(raw), encoding="utf-8")


def test_what_was_attached_before_a_reboot_is_detached_before_an_add(serve, machine, tmp_path):
    """By the state: the configuration may have changed."""
    serve("ADD")
    reboot(tmp_path)
    machine.calls, machine.requests = [], []
    changed = configuration(tmp_path)["delegates"][2:]
    assert serve("ADD", {"delegates": changed})[0] == 0
    gone = ["DEL d net2", "DEL b net1", "DEL a net0", "DEL c eth0"]
    assert machine.calls == [*gone, "ADD c eth0", "ADD d net0"]
    assert {one[2]["CNI_NETNS"] for one in machine.requests[:4]} == {""}
    assert machine.attached == {("c", "cid"): "eth0", ("d", "cid"): "net0"}
    assert serve("DEL") == (0, None)
    assert machine.attached == {} and states(tmp_path) == []


def test_what_was_attached_before_a_reboot_and_cannot_be_detached_is_not_forgotten(
    serve, machine, tmp_path
):
    serve("ADD")
    reboot(tmp_path)
    machine.fail[("DEL", "b")] = {"code": 123, "msg": "cannot"}
    status, answer = serve("ADD")
    assert (status, answer["code"]) == (1, 123)
    assert answer["msg"].startswith("What was attached before the reboot")
    assert "net-b" in answer["msg"]
    assert machine.attached == {("b", "cid"): "net1"}  # all others are
    assert states(tmp_path) == ["cid:eth0.json"]
    machine.fail.clear()
    assert serve("ADD")[0] == 0
    assert sorted(machine.attached) == [(name, "cid") for name in NAMES]


def test_detaching_what_was_before_a_reboot_leaves_time_for_the_add(serve, machine, tmp_path):
    serve("ADD")
    reboot(tmp_path)
    machine.requests = []
    assert serve("ADD", {"timeoutSeconds": 6})[0] == 0
    told = [(one[0], one[4]) for one in machine.requests]
    assert all(0 < seconds <= 2.5 for command, seconds in told if command == "DEL")
    assert told[4][0] == "ADD" and told[4][1] > 2.5


def test_an_interface_that_is_there_already_is_an_error_and_stays(serve, machine, tmp_path):
    machine.present.add("net1")
    status, answer = serve("ADD")
    assert status == 1
    assert "net1" in answer["msg"]
    assert machine.calls == []
    assert states(tmp_path) == []


def test_the_masters_interface_may_not_be_another_ones(serve, machine):
    status, answer = serve("ADD", CNI_IFNAME="net1")
    assert (status, answer["code"]) == (1, 7)
    assert "would both have interface net1" in answer["msg"]
    assert machine.calls == []


@pytest.fixture(name="kernel")
def _kernel(monkeypatch):
    """What was done to default routes: [(interface, families or gateways)]."""
    done = []
    monkeypatch.setattr(
        netlink,
        "remove_default_routes",
        lambda path, interface, families: done.append((interface, sorted(families))),
    )
    monkeypatch.setattr(
        netlink,
        "set_default_routes",
        lambda path, interface, gateways: done.append((interface, gateways)),
    )
    monkeypatch.setattr(netlink, "default_families", lambda path, interface, before: set())
    monkeypatch.setattr(netlink, "keep_default_routes", lambda path, *said: None)
    return done


FOUR = {"dst": "0.0.0.0/0", "gw": "10.0.0.1"}
SIX = {"dst": "::/0", "gw": "fd00::1"}


@pytest.mark.parametrize(
    ("routes", "done", "left"),
    [
        ({"c": [FOUR, SIX]}, [], {"c": [FOUR, SIX]}),
        # the master's, whatever a delegate does; a family that it has not is the next one's
        ({"c": [FOUR], "a": [FOUR]}, [("net0", ["4"])], {"c": [FOUR]}),
        ({"c": [FOUR], "a": [FOUR, SIX], "b": [SIX]}, None, {"c": [FOUR], "a": [SIX]}),
        ({"a": [FOUR], "d": [FOUR]}, [("net2", ["4"])], {"a": [FOUR]}),
        # as plugins hand on what they were given
        (
            {
                "c": [FOUR, SIX],
                "a": [{"dst": "10.0.0.1/0"}, {"dst": "0::0/0"}, {"dst": "10.9.0.0/16"}],
            },
            [("net0", ["4", "6"])],
            {"c": [FOUR, SIX], "a": [{"dst": "10.9.0.0/16"}]},
        ),
    ],
)
def test_the_default_route_is_the_masters(serve, machine, tmp_path, kernel, routes, done, left):
    machine.routes = routes
    assert serve("ADD")[0] == 0
    assert done is None or kernel == done
    kept = json.loads((tmp_path / "state" / "cid:eth0.json").read_text(encoding="utf-8"))
    results = {one["conf"]["type"]: one["result"].get("routes", []) for one in kept["delegates"]}
    assert results == {name: left.get(name, []) for name in NAMES}


def test_the_default_route_is_the_masters_also_where_its_plugin_tells_none(
    serve, machine, kernel, monkeypatch
):
    monkeypatch.setattr(
        netlink,
        "default_families",
        lambda path, interface, before: {"4"} if interface == "eth0" else set(),
    )
    machine.routes = {"a": [FOUR, SIX]}
    assert serve("ADD")[0] == 0
    assert kernel == [("net0", ["4"])]


@pytest.mark.parametrize("tells", [False, True])
def test_the_default_route_is_the_masters_though_others_do_not_tell_theirs(
    serve, machine, kernel, monkeypatch, tells
):
    """The kernel is asked where a plugin is none that is known to tell."""
    kept, run = [], machine.run
    monkeypatch.setattr(
        netlink,
        "default_families",
        lambda path, interface, before: {"4"} if interface in ("eth0", "net1") else set(),
    )
    monkeypatch.setattr(netlink, "keep_default_routes", lambda path, *said: kept.append(said))
    machine.kernel_routes = {"of eth0": 1}
    machine.routes = {"c": [FOUR]} if tells else {}

    def with_route(file, environ, stdin, seconds):
        if (environ["CNI_COMMAND"], file[-1]) == ("ADD", "b"):
            machine.kernel_routes["of net1"] = 2
        return run(file, environ, stdin, seconds)

    machine.run = with_route
    assert serve("ADD")[0] == 0
    assert kernel == [("net1", ["4"])]
    assert kept == [({"4": "eth0"}, {"of eth0": 1}, set())]


@pytest.mark.parametrize("kind", ["bridge", "flannel"])
def test_who_tells_all_default_routes_is_believed(serve, machine, tmp_path, kind):
    machine.kernel_routes = None  # whoever asks fails
    second = {"name": "n", "cniVersion": "0.4.0", "type": kind, "dataDir": str(tmp_path)}
    second["subnetFile"] = str(tmp_path / "lease")
    (tmp_path / "lease").touch()
    machine.addresses = dict.fromkeys(("c", kind), "10.0.0.2/24")
    conf = {"delegates": [{"name": "m", "cniVersion": "0.4.0", "type": "c"}, second]}
    assert serve("ADD", conf)[0] == 0


def test_del_goes_backwards_and_may_be_repeated(serve, machine, tmp_path):
    serve("ADD")
    del machine.calls[:]
    assert serve("DEL") == (0, None)
    assert machine.calls == ["DEL d net2", "DEL b net1", "DEL a net0", "DEL c eth0"]
    assert states(tmp_path) == []
    assert serve("DEL") == (0, None)


@pytest.mark.parametrize(
    "conf",
    [
        {"delegates": []},
        {"delegates": [{"type": "other"}]},
        {"delegates": "rubbish", "cniVersion": "9.0.0"},
    ],
)
def test_del_goes_by_the_state_whatever_the_configuration_says(serve, machine, tmp_path, conf):
    serve("ADD")
    assert serve("DEL", conf, CNI_NETNS="") == (0, None)
    assert machine.attached == {}
    assert states(tmp_path) == []


def test_del_hands_each_delegate_its_own_result_and_network(serve, machine):
    serve("ADD", {"runtimeConfig": {"ips": ["10.9.9.9"]}})
    serve("DEL")
    requests = {
        name: request
        for command, name, dummy, request, dummy2 in machine.requests
        if command == "DEL"
    }
    assert requests["a"]["prevResult"]["ips"][0]["address"] == "10.1.0.2/24"
    assert requests["a"]["name"] == "net-a"


def test_del_tries_all_and_keeps_the_state_until_all_succeeded(serve, machine, tmp_path):
    serve("ADD")
    del machine.calls[:]
    machine.fail[("DEL", "b")] = {"code": 5, "msg": "disk"}
    status, answer = serve("DEL")
    assert (status, answer["code"]) == (1, 5)
    assert len(machine.calls) == 4
    assert states(tmp_path) == ["cid:eth0.json"]
    machine.fail.clear()
    assert serve("DEL") == (0, None)
    assert (machine.attached, states(tmp_path)) == ({}, [])


def test_del_without_state_detaches_what_the_configuration_names(serve, machine, tmp_path):
    """Also where the namespace has no such interface: not every plugin makes one."""
    serve("ADD")
    (tmp_path / "state" / "cid:eth0.json").unlink()
    machine.present = {"lo", "eth0"}
    assert serve("DEL") == (0, None)
    assert machine.attached == {}


def test_del_without_state_leaves_the_containers_other_interface_alone(serve, machine):
    serve("ADD")
    del machine.calls[:]
    assert serve("DEL", CNI_IFNAME="other") == (0, None)
    assert serve("DEL", CNI_IFNAME="other", CNI_NETNS="") == (0, None)
    assert machine.calls == []


def test_del_without_anything_succeeds(serve, machine, tmp_path):
    assert serve("DEL", {"delegates": None}) == (0, None)
    assert serve("DEL", {"delegates": [{"type": "flannel", "masterplugin": 5}]}) == (0, None)
    assert machine.calls == []


@pytest.mark.parametrize("stdin", [b"", b"rubbish", b"[1]"])
def test_del_without_a_configuration_goes_by_the_state_or_fails(
    serve, machine, tmp_path, monkeypatch, stdin
):
    serve("ADD")
    status, answer = serve("DEL", stdin)
    assert (status, answer["code"]) == (1, errors.DECODING_FAILURE)
    monkeypatch.setattr(conf, "STATE_DIRECTORY", str(tmp_path / "state"))
    assert serve("DEL", stdin) == (0, None)
    assert (machine.attached, states(tmp_path)) == ({}, [])
    assert serve("DEL", stdin)[0] == 1


@pytest.mark.parametrize(
    "damaged", [b"", b"{", b"[]", b"{}", b'{"format": 2}', b'{"format": 1, "containerID": "other"}']
)
def test_a_damaged_state_is_put_aside_and_never_a_silent_success(serve, machine, tmp_path, damaged):
    serve("ADD")
    (tmp_path / "state" / "cid:eth0.json").write_bytes(damaged)
    machine.present = {"eth0", "net0", "net1", "net2"}
    status, answer = serve("DEL")
    assert (status, answer["code"]) == (1, errors.DECODING_FAILURE)
    kept = states(tmp_path)
    assert (
        len(kept) == 1
        and kept[0].startswith("cid:eth0.json.corrupt-")
        and kept[0] in answer["details"]
    )
    assert machine.attached == {}  # the configuration named them
    assert serve("DEL") == (0, None)


def test_another_attachments_state_is_none_of_ours(serve, machine, tmp_path):
    serve("ADD")
    (tmp_path / "state" / "cid:eth0.json").rename(tmp_path / "state" / "cid2:eth0.json")
    before = dict(machine.attached)
    assert (
        serve("DEL", {"delegates": None}, CNI_CONTAINERID="cid2")[1]["code"]
        == errors.DECODING_FAILURE
    )
    assert machine.attached == before


def test_check(serve, machine, tmp_path):
    assert serve("CHECK")[1]["code"] == errors.UNKNOWN_CONTAINER
    machine.listed = {"b": ["net1", "other"]}
    serve("ADD")
    # what no result lists is not asked for
    machine.present.update({"net1", "other"})
    del machine.calls[:]
    assert serve("CHECK") == (0, None)
    assert machine.calls == ["CHECK c eth0", "CHECK a net0", "CHECK b net1", "CHECK d net2"]
    for interface in ("net1", "other"):
        machine.present.discard(interface)
        status, answer = serve("CHECK")
        assert status == 1 and interface in answer["msg"]
        machine.present.add(interface)


@pytest.mark.parametrize(
    ("driver", "passes"), [("vfio-pci", True), ("igb_uio", True), ("iavf", False), (None, False)]
)
def test_a_device_that_is_left_to_a_program_is_no_interface(
    serve, machine, tmp_path, monkeypatch, driver, passes
):
    """sriov-cni lists one all the same."""
    monkeypatch.setattr(check, "PCI_DEVICES", str(tmp_path))
    if driver:
        (tmp_path / "0000:03:00.1").mkdir()
        (tmp_path / "0000:03:00.1" / "driver").symlink_to("../../drivers/" + driver)
    delegates = configuration(tmp_path)["delegates"]
    delegates[0]["deviceID"] = "0000:03:00.1"
    machine.listed = {"a": ["net0"]}
    assert serve("ADD", {"delegates": delegates})[0] == 0
    assert (serve("CHECK")[0] == 0) == passes


def test_the_check_of_the_masters_plugins_alone_decides(serve, machine, tmp_path):
    """Others are asked, and the log tells what they say."""
    log = {"logLevel": "error", "logFile": str(tmp_path / "log")}
    serve("ADD")
    machine.fail[("CHECK", "d")] = {"code": 101, "msg": "wrong"}
    assert serve("CHECK", log) == (0, None)
    assert "net-d" in (tmp_path / "log").read_text(encoding="utf-8")
    machine.fail[("CHECK", "c")] = {"code": 101, "msg": "wrong"}
    status, answer = serve("CHECK")
    assert (status, answer["code"]) == (1, 101) and "net-c" in answer["msg"]


def test_status_says_what_is_missing(serve, tmp_path):
    flannel = {"type": "flannel", "name": "f", "subnetFile": str(tmp_path / "f.env")}
    status, answer = serve("STATUS", {"cniVersion": "1.1.0", "delegates": [flannel]})
    assert (status, answer["code"]) == (1, errors.NOT_AVAILABLE)
    assert "f.env" in answer["msg"]
    (tmp_path / "f.env").write_text("", encoding="utf-8")
    assert serve("STATUS", {"cniVersion": "1.1.0", "delegates": [flannel]}) == (0, None)


def test_flannel_without_lease_is_to_be_tried_again(serve, machine, tmp_path):
    flannel = {"type": "flannel", "name": "f", "subnetFile": str(tmp_path / "f.env")}
    status, answer = serve("ADD", {"delegates": [{"type": "a", "name": "a"}, flannel]})
    assert (status, answer["code"]) == (1, errors.TRY_AGAIN_LATER)
    assert machine.calls == []


def test_gc_detaches_what_the_runtime_no_longer_lists(serve, machine, tmp_path):
    for container in ("one", "two", "three"):
        serve("ADD", CNI_CONTAINERID=container)
    serve("ADD", {"name": "another"}, CNI_CONTAINERID="four")
    gc = {
        "cniVersion": "1.1.0",
        "cni.dev/valid-attachments": [{"containerID": "two", "ifname": "eth0"}],
    }
    assert serve("GC", gc) == (0, None)
    assert states(tmp_path) == ["four:eth0.json", "two:eth0.json"]
    assert {container for dummy, container in machine.attached} == {"two", "four"}
    assert serve("GC", {"cniVersion": "1.1.0"}) == (0, None)
    assert (
        serve("GC", {"cniVersion": "1.1.0", "cni.dev/valid-attachments": [1]})[1]["code"]
        == errors.INVALID_CONFIGURATION
    )
    assert len(states(tmp_path)) == 2
    assert serve("GC", {"cniVersion": "1.1.0", "cni.dev/attachments": None}) == (0, None)
    assert states(tmp_path) == ["four:eth0.json"]


@pytest.mark.parametrize(
    ("listed", "status"),
    [
        ({"containerId": "cid", "ifName": "eth0"}, 0),  # Go's JSON takes them, too
        ({"containerID": "cid"}, 1),
        ({"containerID": "cid", "ifname": None}, 1),
        ({"container": "cid", "ifname": "eth0"}, 1),
        ({"containerID": "", "ifname": ""}, 1),  # as Go's JSON writes what was not filled in
    ],
)
def test_gc_takes_nothing_for_unlisted_that_is_written_otherwise(serve, machine, listed, status):
    serve("ADD")
    gc = {"cniVersion": "1.1.0", "cni.dev/valid-attachments": [listed]}
    assert serve("GC", gc)[0] == status
    assert len(machine.attached) == 4


@pytest.mark.parametrize("listed", [{}, "", False, 0])
def test_gc_takes_nothing_for_an_empty_list_but_null(serve, machine, listed):
    serve("ADD")
    assert serve("GC", {"cniVersion": "1.1.0", "cni.dev/valid-attachments": listed})[0] == 1
    assert len(machine.attached) == 4


def test_gc_leaves_what_is_attached_while_it_is_at_work(serve, machine, tmp_path):
    """The runtime's list was made before, so it cannot have it."""
    for container in ("one", "two"):
        serve("ADD", CNI_CONTAINERID=container)
    later = time.time() + 1
    os.utime(tmp_path / "state" / "two:eth0.json", (later, later))
    gc = {"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}
    assert serve("GC", gc) == (0, None)
    assert states(tmp_path) == ["two:eth0.json"]
    assert {container for dummy, container in machine.attached} == {"two"}


def test_gc_is_handed_on_to_plugins_that_know_it(serve, machine, tmp_path):
    delegates = [
        {"type": "a", "name": "net-a", "cniVersion": "1.1.0"},
        {"type": "b", "name": "net-b", "cniVersion": "1.0.0"},
        {"type": "c", "name": "net-c", "cniVersion": "1.1.0", "disableGC": True},
    ]
    base = {"delegates": delegates, "cniVersion": "1.1.0"}
    for container in ("one", "two"):
        serve("ADD", base, CNI_CONTAINERID=container)
    del machine.requests[:]
    valid = {"cni.dev/valid-attachments": [{"containerID": "two", "ifname": "eth0"}]}
    assert serve("GC", dict(base, **valid)) == (0, None)
    told = [(one[1], one[3]) for one in machine.requests if one[0] == "GC"]
    assert [name for name, dummy in told] == ["a"]
    assert told[0][1]["cni.dev/valid-attachments"] == [{"containerID": "two", "ifname": "eth0"}]
    # what has `disableGC` is not detached, and the state keeps it for a DEL
    assert set(machine.attached) == {("a", "two"), ("b", "two"), ("c", "one"), ("c", "two")}
    assert serve("DEL", base, CNI_CONTAINERID="one") == (0, None)
    assert ("c", "one") not in machine.attached
    # an attachment of which nothing is known: plugins would free its addresses
    del machine.requests[:]
    valid["cni.dev/valid-attachments"].append({"containerID": "three", "ifname": "eth0"})
    assert serve("GC", dict(base, **valid)) == (0, None)
    assert machine.requests == []
    assert serve("GC", dict(base, disableGC=True, **{"cni.dev/attachments": []})) == (0, None)
    assert states(tmp_path) == ["two:eth0.json"]


def test_gc_leaves_what_another_cni_attached_before(serve, machine, tmp_path):
    base = {"delegates": [{"type": "a", "name": "net-a"}], "cniVersion": "1.1.0"}
    base["delegates"][0]["cniVersion"] = "1.1.0"
    (tmp_path / "multus" / "results").mkdir(parents=True)
    entry = {"kind": "cniCacheV1", "containerId": "old", "ifName": "net1", "config": "e30="}
    (tmp_path / "multus" / "results" / "red-old-net1").write_text(json.dumps(entry))
    assert serve("GC", {**base, "cni.dev/valid-attachments": []}) == (0, None)
    (told,) = [one[3] for one in machine.requests if one[0] == "GC"]
    assert told["cni.dev/valid-attachments"] == [{"containerID": "old", "ifname": "net1"}]


def test_what_the_runtime_asks_for_reaches_the_default_network_alone(serve, machine):
    delegates = [
        {"type": name, "name": name, "cniVersion": "0.4.0", "capabilities": {"portMappings": True}}
        for name in ("a", "b")
    ]
    serve(
        "ADD",
        {"delegates": delegates, "runtimeConfig": {"portMappings": [{"hostPort": 80}], "other": 1}},
    )
    sent = {
        name: request.get("runtimeConfig")
        for dummy, name, dummy2, request, dummy3 in machine.requests
    }
    assert sent == {"a": {"portMappings": [{"hostPort": 80}]}, "b": None}


def test_delegates_inherit_the_environment(serve, machine):
    serve("ADD", CNI_ARGS="IgnoreUnknown=1;K8S_POD_NAME=x", TRACEPARENT="t")
    for _dummy, _name, environ, _dummy2, _dummy3 in machine.requests:
        assert (environ["CNI_ARGS"], environ["TRACEPARENT"], environ["CNI_PATH"]) == (
            "IgnoreUnknown=1;K8S_POD_NAME=x",
            "t",
            "/bin/cni",
        )


@pytest.mark.parametrize(
    ("given", "delegates"),
    [
        ("K8S_POD_NAME=x", "K8S_POD_NAME=x;IgnoreUnknown=1"),
        ("IgnoreUnknown=0;K8S_POD_NAME=x", "IgnoreUnknown=0;K8S_POD_NAME=x"),
        ("IP=10.0.0.7", "IP=10.0.0.7"),
    ],
)
def test_delegates_need_not_know_the_kubelets_keys(serve, machine, given, delegates):
    serve("ADD", CNI_ARGS=given)
    serve("DEL", CNI_ARGS=given)
    assert {one[2]["CNI_ARGS"] for one in machine.requests} == {delegates}


@pytest.mark.parametrize("runtimes, delegates", [({}, "1"), ({"GOMAXPROCS": "3"}, "3")])
def test_delegates_use_one_processor_unless_the_runtime_says_otherwise(
    serve, machine, runtimes, delegates
):
    serve("ADD", **runtimes)
    serve("DEL", **runtimes)
    assert {
        environ["GOMAXPROCS"] for dummy, dummy2, environ, dummy3, dummy4 in machine.requests
    } == {delegates}


def test_bin_dir_comes_before_the_path(serve, machine):
    serve("ADD", {"binDir": "/opt/first"})
    assert machine.requests[0][2]["CNI_PATH"] == "/opt/first:/bin/cni"


def test_time_is_limited_as_a_whole_and_some_is_kept_for_undoing(serve, machine):
    serve("ADD", {"timeoutSeconds": 60})
    seconds = [one[4] for one in machine.requests]
    assert seconds[0] <= 50 and seconds == sorted(seconds, reverse=True)
    del machine.requests[:]
    serve("DEL")
    # while all four share the time, no one can use up the others'
    assert machine.requests[0][4] <= 15


def test_it_does_not_delegate_to_itself(serve, machine):
    status, answer = serve("ADD", MULTINET_DELEGATING="1")
    assert (status, answer["code"]) == (1, 7)
    assert serve("DEL", MULTINET_DELEGATING="1") == (0, None)
    assert machine.calls == []


def test_an_auxiliary_chain_works_on_the_masters_interface_and_result(serve, machine, tmp_path):
    (tmp_path / "net.d" / "chain").mkdir(parents=True)
    (tmp_path / "net.d" / "c.conf").write_text(
        '{"type": "c", "name": "cluster", "cniVersion": "0.4.0"}', encoding="utf-8"
    )
    (tmp_path / "net.d" / "chain" / "1.conf").write_text('{"type": "a"}', encoding="utf-8")
    keys = {"clusterNetwork": str(tmp_path / "net.d" / "c.conf"), "auxiliaryCNIChainName": "chain"}
    status, answer = serve("ADD", keys)
    assert (status, answer["ips"]) == (0, [{"address": "10.3.0.2/24"}])
    assert machine.calls == ["ADD c eth0", "ADD a eth0"]
    assert machine.requests[1][3]["prevResult"]["ips"] == [{"address": "10.3.0.2/24"}]
    assert serve("DEL", keys) == (0, None)
    assert machine.calls[2:] == ["DEL a eth0", "DEL c eth0"]
    # without a state, what the files name is detached
    machine.present = {"eth0"}
    assert serve("DEL", keys) == (0, None)
    assert machine.calls[4:] == ["DEL c eth0"]


def test_what_a_pod_wants_is_offered_again_at_del(serve, machine):
    delegates = [
        {"type": "a", "name": "a", "cniVersion": "0.4.0", "capabilities": {"portMappings": True}}
    ]
    keys = {
        "delegates": delegates,
        "runtimeConfig": {"portMappings": [{"hostPort": 80, "containerPort": 8080}]},
    }
    serve("ADD", keys)
    serve("DEL", {"delegates": delegates})
    assert [
        request["runtimeConfig"] for dummy, dummy2, dummy3, request, dummy4 in machine.requests
    ] == [keys["runtimeConfig"]] * 2


@pytest.mark.parametrize("level", ["error", "verbose", "DEBUG"])
def test_the_log(serve, tmp_path, level):
    file = tmp_path / "log"
    keys = {"logFile": str(file), "logLevel": level, "logToStderr": False, "misspelt": 1}
    serve("ADD", keys)
    lines = file.read_text(encoding="utf-8").splitlines()
    assert "misspelt" in "".join(lines) and all(" ADD cid/eth0: " in line for line in lines)
    assert ("read as legacy: a delegate has `masterplugin`" in "".join(lines)) == (level != "error")
    assert ("net1 of network net-b is attached" in "".join(lines)) == (level == "DEBUG")


def test_a_log_that_cannot_be_written_stops_nothing(serve, tmp_path):
    assert (
        serve("ADD", {"logFile": str(tmp_path), "logLevel": "debug", "logToStderr": False})[0] == 0
    )
    assert serve(
        "DEL", {"logFile": "/dev/full", "logLevel": "debug", "logToStderr": False, "logOptions": 5}
    ) == (0, None)


def test_a_full_log_makes_room(tmp_path):
    file = tmp_path / "log"
    request = skel.Request("ADD", {"CNI_CONTAINERID": "c", "CNI_IFNAME": "eth0"}, {}, "1.0.0")
    options = {"maxSize": 1, "maxBackups": 2, "compress": True}
    write = log.logger(
        {"logFile": str(file), "logLevel": "debug", "logToStderr": False, "logOptions": options},
        request,
    )
    for number in range(4):
        (tmp_path / f"log.2020-01-0{number + 1}T00-00-00").write_text("", encoding="utf-8")
    file.write_bytes(b"x" * (1 << 20))
    write("debug", "two\nlines")
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert not file.exists() and len(kept) == 2 and kept[-1].endswith(".gz")
    write("debug", "again")
    assert file.read_text(encoding="utf-8").endswith("c/eth0: again\n")


class Api:
    """One pod and one NetworkAttachmentDefinition; notes what the pod is told."""

    def __init__(self, networks, config, resource=None, may_patch=True):
        annotations = {"k8s.v1.cni.cncf.io/networks": networks}
        self.pod = {"metadata": {"uid": "u", "annotations": annotations, "resourceVersion": "1"}}
        self.nad = {"metadata": {"annotations": {}}, "spec": {"config": json.dumps(config)}}
        if resource:
            self.nad["metadata"]["annotations"]["k8s.v1.cni.cncf.io/resourceName"] = resource
        self.may_patch = may_patch
        self.changes = []
        self.limits = []  # seconds

    def get(self, path):
        return self.pod if "pods" in path else self.nad

    def patch(self, path, change):
        if not self.may_patch:
            raise client.ApiError(errors.INVALID_CONFIGURATION, "Forbidden.", "", 403)
        self.changes.append((path, change))
        return {}

    def put(self, path, item):
        if item["metadata"]["resourceVersion"] == "1":
            self.pod = json.loads(json.dumps(self.pod))
            self.pod["metadata"]["resourceVersion"] = "2"  # somebody else was faster
            raise client.ApiError(errors.IO_FAILURE, "Conflict.", "", 409)
        self.changes.append((path, item))
        return {}

    def post(self, path, item, *, once=False):
        return {}

    def limit(self, seconds):
        self.limits.append(seconds)

    def close(self):
        pass

    @property
    def told(self):
        """The value of network-status."""
        text = self.changes[-1][1]["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"]
        return json.loads(text)


@pytest.fixture(name="serve_pod")
def _serve_pod(machine, tmp_path):
    """Return a function: (command, Api, **keys) -> (exit status, answer), with `a` as default
    network.
    """
    (tmp_path / "kubeconfig").write_text(
        '{"contexts": [{"name": "c", "context": {"cluster": "c"}}], "clusters": [{"name": "c",'
        ' "cluster": {"server": "https://x"}}]}',
        encoding="utf-8",
    )
    raw = {
        "name": "m",
        "cniVersion": "1.0.0",
        "delegates": [{"type": "a", "name": "a", "cniVersion": "0.4.0"}],
        "kubeconfig": str(tmp_path / "kubeconfig"),
        "cniDir": str(tmp_path / "state"),
    }

    def serve_pod(command, api, **keys):
        def connect(access, seconds):
            api.limit(seconds)
            return api

        one = plugin.Plugin(
            execute=machine,
            interfaces=lambda path: machine.present,
            default_routes=lambda path: dict(machine.kernel_routes),
            relay=lambda text: None,
            connect=connect,
            devices=devices.Devices(str(tmp_path / "checkpoint"), str(tmp_path)),
        )
        environ = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "cid",
            "CNI_NETNS": str(tmp_path),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": "/bin/cni",
            "CNI_ARGS": "K8S_POD_NAMESPACE=apps;K8S_POD_NAME=p;K8S_POD_UID=u",
        }
        out = io.StringIO()
        status = skel.main(
            one.handlers(),
            plugin.ABOUT,
            environ=environ,
            stdin=io.BytesIO(json.dumps({**raw, **keys}).encode()),
            stdout=out,
            stderr=io.StringIO(),
        )
        return status, json.loads(out.getvalue()) if out.getvalue() else None

    return serve_pod


def test_a_device_is_described_to_its_plugin_and_to_the_pod(serve_pod, machine, tmp_path):
    (tmp_path / "dp").mkdir()
    (tmp_path / "dp" / "vendor-nic-0000:03:00.1-device.json").write_text(
        '{"type": "pci", "version": "1.1.0"}', encoding="utf-8"
    )
    (tmp_path / "checkpoint").write_text(
        '{"Data": {"PodDeviceEntries": [{"PodUID": "u", "ResourceName": "vendor/nic", "DeviceIDs":'
        ' {"0": ["0000:03:00.1"]}}]}}',
        encoding="utf-8",
    )
    config = {
        "type": "b",
        "cniVersion": "0.4.0",
        "capabilities": {"CNIDeviceInfoFile": True, "deviceID": True},
    }
    api = Api("n", config, resource="vendor/nic")
    assert serve_pod("ADD", api)[0] == 0
    request = machine.requests[-1][3]
    file = tmp_path / "cni" / "apps-n-cid_net1"
    assert (request["deviceID"], request["pciBusID"]) == ("0000:03:00.1", "0000:03:00.1")
    assert request["runtimeConfig"] == {"CNIDeviceInfoFile": str(file), "deviceID": "0000:03:00.1"}
    assert json.loads(file.read_text(encoding="utf-8"))["type"] == "pci"
    path, change = api.changes[0]
    assert path == "/api/v1/namespaces/apps/pods/p/status" and change["metadata"]["uid"] == "u"
    assert api.told[1]["device-info"] == {"type": "pci", "version": "1.1.0"}
    assert serve_pod("DEL", api)[0] == 0
    assert not file.exists()


@pytest.fixture(name="device")
def _device(tmp_path):
    """A device of the pod; return the file by which it is described to its CNI plugin."""
    (tmp_path / "dp").mkdir()
    (tmp_path / "dp" / "vendor-nic-0000:03:00.1-device.json").write_text("{}", encoding="utf-8")
    entry = {"PodUID": "u", "ResourceName": "vendor/nic", "DeviceIDs": ["0000:03:00.1"]}
    data = {"Data": {"PodDeviceEntries": [entry]}}
    (tmp_path / "checkpoint").write_text(json.dumps(data), encoding="utf-8")
    return tmp_path / "cni" / "apps-n-cid_net1"


def test_an_add_that_is_refused_leaves_no_description_of_a_device(serve_pod, machine, device):
    machine.present.add("net1")
    status, answer = serve_pod("ADD", Api("n", B, resource="vendor/nic"))
    assert status == 1 and "net1" in answer["msg"]
    assert not device.exists()


def test_a_second_add_leaves_the_description_of_a_device(serve_pod, tmp_path, device):
    api = Api("n", B, resource="vendor/nic")
    assert serve_pod("ADD", api)[0] == 0
    device.write_text('{"type": "of the plugin"}', encoding="utf-8")
    assert serve_pod("ADD", api)[1]["code"] == 100
    assert "of the plugin" in device.read_text(encoding="utf-8")
    reboot(tmp_path)
    assert serve_pod("ADD", api)[0] == 0
    assert device.read_text(encoding="utf-8") == "{}"


B = {"type": "b", "cniVersion": "0.4.0"}


@pytest.mark.parametrize(("seconds", "limits"), [(8, [2, 1]), (1000, [15, 15])])
def test_an_api_that_hangs_leaves_most_of_the_time_to_the_plugins(serve_pod, seconds, limits):
    api = Api("n", B)
    assert serve_pod("ADD", api, timeoutSeconds=seconds)[0] == 0
    assert api.limits[:2] == limits  # to learn what it is to have, to tell what it got


def test_a_role_that_may_update_but_not_patch_is_enough(serve_pod):
    """Multus' own ClusterRole is such a one; the pod may change in between."""
    api = Api("n", B, may_patch=False)
    assert serve_pod("ADD", api)[0] == 0
    path, item = api.changes[0]
    assert path == "/api/v1/namespaces/apps/pods/p/status"
    assert item["metadata"]["resourceVersion"] == "2"
    assert [one["name"] for one in api.told] == ["a", "apps/n"]
    assert item["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"] == "n"


def test_the_status_has_an_entry_for_each_interface(serve_pod, machine):
    machine.listed = {"a": ["eth0", "extra"], "b": ["net1"]}
    api = Api("n", B)
    assert serve_pod("ADD", api)[0] == 0
    told = [(one["name"], one["interface"], one["default"], one.get("ips")) for one in api.told]
    assert told == [
        ("a", "eth0", True, ["10.1.0.2"]),
        ("a", "extra", False, None),
        ("apps/n", "net1", False, ["10.2.0.2"]),
    ]


ASKED = json.dumps([{"name": "n", "ips": ["10.2.0.77"], "mac": "02-00-00-00-00-07"}])


@pytest.mark.parametrize(
    ("address", "listed", "missing"),
    [
        ("10.2.0.77/24", ["net1"], ""),
        ("10.2.0.78/24", ["net1"], "10.2.0.77"),
        ("10.2.0.77/24", [], "02:00:00:00:00:07"),
    ],
)
def test_what_cni_args_ask_for_is_given_or_the_pod_is_refused(
    serve_pod, machine, tmp_path, address, listed, missing
):
    machine.addresses, machine.listed = {"b": address}, {"b": listed}
    api = Api(ASKED, B)
    status, answer = serve_pod("ADD", api)
    command, name, environ = machine.requests[1][:3]
    assert (command, name) == ("ADD", "b")
    assert environ["CNI_ARGS"].endswith(";IgnoreUnknown=1;IP=10.2.0.77;MAC=02-00-00-00-00-07")
    if missing:
        assert status == 1 and missing in answer["msg"]
        assert machine.attached == {}
        return
    assert status == 0
    assert serve_pod("DEL", api)[0] == 0
    assert machine.requests[-2][2]["CNI_ARGS"] == environ["CNI_ARGS"]


@pytest.mark.parametrize(
    ("gateways", "done"),
    [
        (["10.2.0.9"], [("eth0", ["4"]), ("net1", ["10.2.0.9"])]),
        (["10.2.0.9", "fd00::9"], [("eth0", ["4", "6"]), ("net1", ["10.2.0.9", "fd00::9"])]),
        ([], [("eth0", ["4"]), ("net1", ["10.0.0.1"])]),
    ],
)
def test_a_default_route_of_one_family_leaves_the_other(serve_pod, machine, kernel, gateways, done):
    machine.routes = {"a": [FOUR, SIX], "b": [FOUR]}
    asked = json.dumps([{"name": "n", "default-route": gateways}])
    assert serve_pod("ADD", Api(asked, B))[0] == 0
    assert kernel == done
