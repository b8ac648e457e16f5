# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import units

EXECUTABLE = "/usr/local/bin/flanneld"
RUNNING = {
    "Id": "flanneld@red.service",
    "ActiveState": "active",
    "NeedDaemonReload": "no",
    "MainPID": "7",
    "UnitFileState": "enabled",
}
WANTED = {
    "MULTINET_CONFIG_SHA256": "new",
    "FLANNELD_ETCD_PREFIX": "/coreos.com/network/red",
    "FLANNELD_IFACE": "eth0",
}


UNIT = units.Unit(
    "flanneld@red.service", WANTED, prefix="FLANNELD_", executable=EXECUTABLE, arguments=[]
)


def process(executable=EXECUTABLE, **environment):
    return units.Process(dict(WANTED, PATH="/bin", **environment), executable)


def why(unit, properties, running):
    reason = units.reason_to_change(unit, properties, running)
    return reason.sentence() if reason else None


@pytest.mark.parametrize(
    "properties, running, reason",
    [
        (RUNNING, process(), None),
        (dict(RUNNING, ActiveState="activating"), process(), "it does not run"),
        ({}, None, "it does not run"),
        (dict(RUNNING, NeedDaemonReload="yes"), process(), "its unit file changed"),
        # it was deleted, systemd read that, and it was written again
        (dict(RUNNING, LoadState="error"), process(), "its unit file changed"),
        (RUNNING, process(executable=EXECUTABLE + " (deleted)"), "its executable was replaced"),
        (RUNNING, process()._replace(arguments=["-v=9"]), "it runs with other arguments (-v=9)"),
        (RUNNING, process(FLANNELD_IFACE="eth1"), "it runs with another FLANNELD_IFACE"),
        (RUNNING, process(FLANNELD_IP_MASQ="true"), "it runs with another FLANNELD_IP_MASQ"),
        (RUNNING, process(MULTINET_CONFIG_SHA256="old"), "the network's configuration changed"),
    ],
)
def test_reason_to_change(properties, running, reason):
    assert why(UNIT, properties, running) == reason


@pytest.mark.parametrize(
    "code, sentence",
    [
        ("executable", "its executable was replaced"),
        ("unit_file", "its unit file changed"),
        ("program", "its program was changed on the host"),
    ],
)
def test_a_reason_that_is_known_already_concerns_what_runs_as_it_should(code, sentence):
    assert code in units.GIVEN and len(units.GIVEN) == 3
    unit = UNIT._replace(reason=code)
    assert why(unit, RUNNING, process()) == sentence
    assert why(unit, {}, None) == "it does not run"


def test_a_process_may_have_what_others_put_into_its_environment():
    unit = units.Unit("multinet-subnets.service", {"MULTINET_INSTALLED_SHA256": "new"})
    running = units.Process({"MULTINET_INSTALLED_SHA256": "new", "LANG": "C"}, "/usr/bin/python3")
    assert why(unit, RUNNING, running) is None
    running.environment["MULTINET_INSTALLED_SHA256"] = "old"
    reason = "it runs with what was installed before"
    assert why(unit, RUNNING, running) == reason


def test_a_timer_has_no_process():
    timer = units.Unit("multinet-token.timer")
    properties = {"ActiveState": "active", "NeedDaemonReload": "no"}
    assert why(timer, properties, None) is None
    properties["NeedDaemonReload"] = "yes"
    assert why(timer, properties, None) == "its unit file changed"


class Host:
    """systemctl of a host with one unit; tells what it was called with."""

    def __init__(self, **properties):
        self.properties = dict(RUNNING, MainPID="0") | properties
        self.called = []
        self.failing = ()

    def __call__(self, argv):
        if argv[:2] == ["systemctl", "show"]:
            return 0, "".join(f"{key}={value}\n" for key, value in self.properties.items()), ""
        if argv[0] == "journalctl":
            return 0, "no such table\n", ""
        self.called.append(" ".join(argv[1:]))
        return (1, "", "Job failed.") if argv[1] in self.failing else (0, "", "")


GUARD = units.Unit("flanneld@red.service", {"SUM": "new"}, state_file="state.json", verb="reload")


def test_a_unit_that_must_not_stop_is_reloaded_when_it_works_with_something_else(tmp_path):
    state_file = tmp_path / "state.json"
    guard = GUARD._replace(state_file=str(state_file))
    host = Host(MainPID=str(os.getpid()))
    expected = [units.UnitChange(guard.name, "reload", "it runs with another SUM")]
    for said in (None, "half a fi", '{"environment": {"SUM": "old"}}'):
        if said:
            state_file.write_text(said, encoding="utf-8")
        assert units.plan(units.Systemd(host), [guard]) == (expected, [])
    state_file.write_text('{"environment": {"SUM": "new"}}', encoding="utf-8")
    assert units.plan(units.Systemd(host), [guard]) == ([], [])
    units.apply(units.Systemd(host), expected, [], 5)
    assert host.called == ["daemon-reload", f"reload {guard.name}"]


def test_a_unit_that_must_not_stop_is_started_when_it_does_not_run():
    host = Host(ActiveState="activating")
    changes, enable = units.plan(units.Systemd(host), [GUARD])
    assert (changes, enable) == ([units.UnitChange(GUARD.name, "start", "it does not run")], [])
    host.properties["ActiveState"] = "active"
    units.apply(units.Systemd(host), changes, enable, 5)
    name = GUARD.name
    assert host.called == ["daemon-reload", f"reset-failed {name}", f"start --no-block {name}"]


def test_a_unit_whose_file_changed_is_enabled_anew_before_it_is_restarted():
    """The file may say that it is wanted by other units than before."""
    host = Host(NeedDaemonReload="yes", MainPID=str(os.getpid()))
    changes, enable = units.plan(units.Systemd(host), [units.Unit("flanneld@red.service")])
    assert enable == []
    units.apply(units.Systemd(host), changes, enable, 5)
    assert host.called[:2] == ["daemon-reload", "reenable flanneld@red.service"]


def test_a_timer_is_brought_in_line_when_the_file_of_what_it_starts_changed():
    """That unit ends by itself, and nobody else has systemd read its file again."""
    shown = (
        "Id=x.timer\nActiveState=active\nUnitFileState=enabled\nNeedDaemonReload=no\n\n"
        "Id=x.service\nActiveState=inactive\nNeedDaemonReload=yes\n"
    )
    asked = []

    def run(argv):
        asked.append(argv)
        return 0, shown, ""

    changes = [units.UnitChange("x.timer", "restart", "its unit file changed", enable_anew=True)]
    assert units.plan(units.Systemd(run), [units.Unit("x.timer")]) == (changes, [])
    assert asked[0][-2:] == ["x.timer", "x.service"]


def test_a_unit_that_cannot_be_reloaded_is_named_with_what_it_printed():
    host = Host()
    host.failing = ("reload",)
    with pytest.raises(units.UnitError, match=r"(?s)reload flanneld@red.service.*no such table"):
        units.apply(units.Systemd(host), [units.UnitChange(GUARD.name, "reload", "")], [], 5)


def test_environment_file_and_running_process_are_read_alike():
    environment = units.parse_environment(
        "# by"
        " hand\n\nFLANNELD_IFACE=eth0\nFLANNELD_ETCD_ENDPOINTS=https://192.0.2.1:2379,https://192.0.2.2:2379\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        env=dict(os.environ, **environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        child.stdout.readline()
        running = units.read_process(child.pid)
        child.communicate(b"\n")
    unit = UNIT._replace(
        environment=environment,
        executable=running.executable,
        arguments=["-c", "print(flush=True); input()"],
    )
    assert why(unit, RUNNING, running) is None
    assert units.read_process(child.pid) is None


def test_an_executable_in_a_directory_that_is_a_link_is_the_one_that_runs(tmp_path):
    """As /usr/local is on hosts of OSTree."""
    directory, name = os.path.split(os.readlink("/proc/self/exe"))
    os.symlink(directory, tmp_path / "bin")
    shown = "\n".join(f"{key}={value}" for key, value in RUNNING.items())
    shown += f"\nId={UNIT.name}\nMainPID={os.getpid()}\nUnitFileState=enabled\n"
    systemd = units.Systemd(lambda dummy: (0, shown, ""))
    unit = units.Unit(UNIT.name, executable=str(tmp_path / "bin" / name))
    assert units.plan(systemd, [unit]) == ([], [])
    other = unit._replace(executable=str(tmp_path / "bin" / "other"))
    assert units.plan(systemd, [other])[0][0].reason == "its executable was replaced"


@pytest.mark.parametrize(
    "state, command", [("masked", "unmask"), ("masked-runtime", "unmask --runtime")]
)
def test_a_masked_unit_is_refused_with_the_command_that_ends_it(state, command):
    """Also in check mode, which calls nothing else."""
    shown = f"Id={UNIT.name}\nActiveState=inactive\nUnitFileState={state}\n"
    with pytest.raises(
        units.UnitError,
        match=rf"flanneld@red.service is masked, .* `systemctl {command} flanneld@red.service`",
    ):
        units.plan(units.Systemd(lambda dummy: (0, shown, "")), [UNIT])


def test_show_of_several_units():
    output = (
        "Id=flanneld@a.service\nActiveState=active\nMainPID=1\n"
        "\n"
        "Id=flanneld@b.service\nActiveState=failed\nMainPID=0\n"
    )
    assert {unit: p["ActiveState"] for unit, p in units.parse_show(output).items()} == {
        "flanneld@a.service": "active",
        "flanneld@b.service": "failed",
    }


def test_a_unit_that_is_not_ready_in_time_is_named_with_its_reason():
    def run(argv):
        if argv[1] == "show":
            return 0, "Id=flanneld@a.service\nActiveState=activating\n", ""
        return 0, "no route to etcd\n" if argv[0] == "journalctl" else "", ""

    clock = iter(range(100))
    with pytest.raises(
        units.UnitError,
        match=r"flanneld@a.service did not get ready in 5 s. Its journal says: no route to etcd",
    ):
        units.apply(
            units.Systemd(run),
            [units.UnitChange("flanneld@a.service", "restart", "it does not run")],
            [],
            5,
            clock=lambda: next(clock),
            sleep=lambda dummy: None,
        )


ENDS_WITH = "E1126 21:30:00.000001   12 main.go:325] Failed to find any valid interface to use: %s"


@pytest.mark.parametrize(
    "seen, told",
    [
        (
            [{"NRestarts": str(count)} for count in range(9)],
            "a.service ended 4 times for the same reason. Its journal says: Failed to find any",
        ),
        ([{}, {"ActiveState": "failed"}], "a.service failed. Its journal says"),
        (
            [{"Job": "7"}, {"ActiveState": "inactive", "ConditionResult": "no"}],
            "a.service was not started, because a condition in its unit file is not met",
        ),
        ([{"ActiveState": "inactive", "Job": "7"}, {"ActiveState": "inactive"}], "a.service ended"),
    ],
)
def test_a_unit_that_will_not_get_ready_is_not_waited_for(seen, told):
    """Time never runs out here."""
    shown = iter(seen)

    def run(argv):
        if argv[1] == "show":
            properties = dict({"Id": "a.service", "ActiveState": "activating"}, **next(shown))
            return 0, "".join(f"{key}={value}\n" for key, value in properties.items()), ""
        return 0, ENDS_WITH % "none\n" if argv[0] == "journalctl" else "", ""

    with pytest.raises(units.UnitError, match=told):
        start(run)


def start(run):
    changes = [units.UnitChange("a.service", "start", "it does not run")]
    units.apply(units.Systemd(run), changes, [], 5, clock=lambda: 0, sleep=lambda dummy: None)


def test_a_unit_that_ends_for_other_reasons_each_time_is_waited_for():
    count = iter(range(100))

    def run(argv):
        number = next(count)
        if argv[1] == "show":
            state = "active" if number > 60 else "activating"
            return 0, f"Id=a.service\nActiveState={state}\nNRestarts={number}\n", ""
        return 0, ENDS_WITH % f"{number}\n" if argv[0] == "journalctl" else "", ""

    start(run)
    assert next(count) > 60


def test_a_unit_that_is_still_active_is_waited_for_while_its_restart_is_due():
    shown = iter(["Job=7\nActiveState=active", "ActiveState=activating", "ActiveState=active"])

    def run(argv):
        return 0, f"Id=a.service\n{next(shown)}\n" if argv[1] == "show" else "", ""

    start(run)
    assert next(shown, None) is None


def test_a_restart_that_was_in_vain_names_the_file_that_is_to_blame(tmp_path):
    """Or each run would restart it, and change nothing."""
    file = tmp_path / "x.conf"
    file.write_text("[Service]\nEnvironment=MULTINET_CONFIG_SHA256=x\n", encoding="utf-8")
    unit = units.Unit(UNIT.name, {"MULTINET_CONFIG_SHA256": "new"}, reason="executable")
    changes = [units.UnitChange(unit.name, "restart", "it does not run")]

    def in_vain(drop_in, wanted):
        host = Host(MainPID=str(os.getpid()), DropInPaths=drop_in)
        return units.in_vain(units.Systemd(host), [wanted], changes)

    assert in_vain(str(file), unit) == [
        "A restart of flanneld@red.service changes nothing (the network's configuration changed):"
        f" {file} changes Environment of flanneld@red.service. Remove that file, and then run the"
        " playbook site."
    ]
    assert in_vain("", unit) == []
    assert in_vain(str(file), unit._replace(environment={})) == []
    assert units.in_vain(units.Systemd(Host()), [unit], []) == []
