# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._flanneld import units

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


def process(**environment):
    return {"environment": dict(WANTED, PATH="/bin", **environment), "executable": EXECUTABLE}


@pytest.mark.parametrize(
    "properties, running, reason",
    [
        (RUNNING, process(), None),
        (dict(RUNNING, ActiveState="activating"), process(), "it does not run"),
        ({}, None, "it does not run"),
        (dict(RUNNING, NeedDaemonReload="yes"), process(), "its unit file changed"),
        (
            RUNNING,
            dict(process(), executable=EXECUTABLE + " (deleted)"),
            "its executable was replaced",
        ),
        (RUNNING, process(FLANNELD_IFACE="eth1"), "it runs with another FLANNELD_IFACE"),
        (RUNNING, process(FLANNELD_IP_MASQ="true"), "it runs with another FLANNELD_IP_MASQ"),
        (RUNNING, process(MULTINET_CONFIG_SHA256="old"), "the network's configuration changed"),
    ],
)
def test_reason_to_restart(properties, running, reason):
    assert units.reason_to_restart(properties, running, WANTED, EXECUTABLE) == reason


def test_environment_file_and_running_process_are_read_alike():
    environment = units.parse_environment(
        "# by hand\n\nFLANNELD_IFACE=eth0\nFLANNELD_ETCD_ENDPOINTS=https://192.0.2.1:2379,https://192.0.2.2:2379\n"
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
    assert units.reason_to_restart(RUNNING, running, environment, running["executable"]) is None
    assert units.read_process(child.pid) is None


def test_show_of_several_units():
    output = "Id=flanneld@a.service\nActiveState=active\nMainPID=1\n\nId=flanneld@b.service\nActiveState=failed\nMainPID=0\n"
    assert {unit: p["ActiveState"] for unit, p in units.parse_show(output).items()} == {
        "flanneld@a.service": "active",
        "flanneld@b.service": "failed",
    }


def test_a_unit_that_is_not_ready_in_time_is_named_with_what_it_printed():
    def run(argv):
        if argv[1] == "show":
            return 0, "Id=flanneld@a.service\nActiveState=activating\n", ""
        return 0, "no route to etcd\n" if argv[0] == "journalctl" else "", ""

    clock = iter(range(100))
    with pytest.raises(
        units.UnitError,
        match=r"flanneld@a.service did not get ready in 5 s. It printed last:\nno route to etcd",
    ):
        units.apply_units(
            units.Systemd(run),
            [("flanneld@a.service", "it does not run")],
            [],
            5,
            clock=lambda: next(clock),
            sleep=lambda dummy: None,
        )
