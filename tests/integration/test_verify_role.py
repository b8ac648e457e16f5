# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook multinet.flannel.verify as a user runs it, on hosts that are network namespaces."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest
import report_schema
from ansible_collections.multinet.flannel.plugins.module_utils._observe import (
    agent,
    ends,
    facts,
    frames,
    leaks,
)
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from declaration import BLUE, RED
from observe_lab import ObserveLab, run
from waiting import PATIENCE, wait_for

PLAYBOOK = shutil.which(
    "ansible-playbook",
    path=os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ.get("PATH", "")]),
)
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not PLAYBOOK, reason="needs ansible-playbook"),
]

NETWORKS = [BLUE, RED]
PLAN = plan(NETWORKS)
BOTH = ["blue", "red"]
# A host has its own network namespace, and its own /run/multinet-verify and subnet files.
PYTHON = """#!/bin/sh
mkdir -p /run/multinet-verify /run/flannel/networks {place}/run
exec unshare -m sh -c 'mount --make-rprivate / &&
mount --bind {place}/run /run/multinet-verify && mount --bind {place} /run/flannel/networks &&
exec ip netns exec {ns} /usr/bin/python3 "$@"' sh "$@"
"""


@pytest.fixture(scope="module", name="lab")
def _lab(tmp_path_factory):
    with ObserveLab(
        PLAN, {"h1": {"a": BOTH, "b": BOTH}, "h2": {"a": BOTH}}, tmp_path_factory.mktemp("verify")
    ) as lab:
        # the controller: a host of the underlay that is no node
        lab.ip("switch", ["addr add 192.168.9.100/24 dev br0", "addr add fd09::64/64 dev br0"])
        hosts = {}
        for host in lab.hosts:
            (lab.place / host / "run").mkdir()
            python = lab.place / host / "python"
            python.write_text(PYTHON.format(place=lab.place / host, ns=lab.ns(host)))
            python.chmod(0o755)
            hosts[host] = {"ansible_connection": "local", "ansible_python_interpreter": str(python)}
        (lab.place / "inventory.yml").write_text(
            json.dumps({"all": {"hosts": hosts, "vars": {"multinet_networks": NETWORKS}}})
        )
        yield lab


def start(lab, *arguments, playbook="multinet.flannel.verify", **environment):
    """Start the playbook, in a process group of its own."""
    tree = next(
        path
        for path in sys.path
        if (pathlib.Path(path) / "ansible_collections" / "multinet").is_dir()
    )
    environment = dict(
        os.environ,
        ANSIBLE_COLLECTIONS_PATH=tree,
        ANSIBLE_LOCALHOST_WARNING="false",
        ANSIBLE_NOCOLOR="1",
        ANSIBLE_CALLBACK_RESULT_FORMAT="yaml",
        **environment,
        PYTHONUNBUFFERED="1",
    )
    return subprocess.Popen(
        ["ip", "netns", "exec", lab.ns("switch"), PLAYBOOK]
        + ["-i", str(lab.place / "inventory.yml"), playbook, *arguments],
        env=environment,
        cwd=lab.place,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def play(lab, *arguments, fresh=True, **how):
    """Run the playbook and return (exit status, output, report.json or None). fresh: as the first
    run ever.
    """
    if fresh:
        shutil.rmtree(lab.place / ".multinet" / "multinet-report", ignore_errors=True)
    running = start(lab, *arguments, **how)
    output = running.communicate()[0]
    path = lab.place / ".multinet" / "multinet-report" / "report.json"
    return running.returncode, output, json.loads(path.read_text()) if path.exists() else None


def test_red_without_a_guard(lab):
    status, output, report = play(lab)
    assert status == 2 and report["verdict"] == "leaks", output
    assert (
        "The verdict is leaks, expected as_planned." in output
        and "host forwarding between bridges" in output
    )
    place = lab.place / ".multinet" / "multinet-report"
    assert sorted(path.name for path in place.iterdir()) == [
        "junit.xml",
        "last.json",
        "report.html",
        "report.json",
    ]
    assert report_schema.problems((place / "report.json").read_text()) == []
    assert report["changes"] is None
    rule = {"that": "length(plan.networks) == `3`", "message": "There are three networks."}
    expected = json.dumps({"verify_expect": "leaks", "multinet_expectations": [rule]})
    status, output, report = play(lab, "-e", expected, fresh=False)
    assert report["changes"]["sentences"] == [] and "Since the last run" in output
    assert status == 0 and "RULE There are three networks." in output, output
    assert report["counts"]["expectations"] == 1


def test_green_with_the_guard_and_nothing_changed(lab):
    lab.guard()
    rule = {"that": "length(report.pods) == `3`", "message": "There are three pods."}
    # one playbook is the barrier between listening and sending, whatever strategy others have
    status, output, report = play(
        lab, "-e", json.dumps({"multinet_expectations": [rule]}), ANSIBLE_STRATEGY="free"
    )
    assert status == 0 and report["verdict"] == "as_planned", output
    assert [one["holds"] for one in report["expectations"]] == [True]
    assert "changed=1" not in output and "blue        ✓" in output
    assert not list((lab.place / "h1" / "run").iterdir())


def from_outside(report):
    """{receiving host: the outcomes of what the controller has sent to its tunnels}."""
    found = {}
    for cell in report["cells"]:
        kind, dummy, dummy, receiver, *dummy = cell["id"].split("|")
        if kind == "outside":
            found.setdefault(receiver.split("/")[0], set()).add(cell["outcome"])
    return found


def test_the_controller_tries_the_tunnels_where_only_nodes_may(lab):
    lab.guard()
    status, output, report = play(lab)
    assert status == 0 and report["verdict"] == "as_planned", output
    assert from_outside(report) == {"h1": {"as planned"}, "h2": {"as planned"}}
    lab.nft("h2", 'insert rule inet multinet input iifname "eth0" udp dport 8286 accept\n')
    status, output, report = play(lab)
    assert status == 2 and report["verdict"] == "leaks", output
    assert from_outside(report) == {"h1": {"as planned"}, "h2": {"as planned", "leak"}}
    assert [(one["class"], one["hosts"]) for one in report["findings"]] == [
        (leaks.INJECTION_FROM_OUTSIDE.number, ["h2"])
    ]
    for told in ({"isolation_node_addresses": "trusted"}, {"verify_from_controller": False}):
        status, output, report = play(lab, "-e", json.dumps(told))
        assert status == 0 and from_outside(report) == {}, output
        assert any("not a node can put" in text for text in report["not_measured"])


@pytest.mark.parametrize("mode", ["static", "passive"])
def test_a_look_without_sending(lab, mode):
    lab.guard()
    status, output, report = play(lab, "-e", f"verify_mode={mode}")
    assert status == 0 and report["verdict"] == "as_planned", output
    assert (report["mode"], report["cells"]) == (mode, [])
    assert f"AS PLANNED ({mode}: nothing was sent)" in output
    assert not any(left(lab))
    lab.nft("h2", "flush ruleset\n")
    status, output, report = play(lab, "-e", f"verify_mode={mode}")
    assert status == 2 and report["verdict"] == "inconclusive", output
    (gap,) = report["gaps"]
    assert gap.startswith("h2: Nothing shows that the guard keeps the networks apart here"), gap


def test_networks_that_others_deployed(lab):
    """The same hosts, of which nothing is said but bridges and ranges."""
    lab.guard()
    mine = [
        {key: network[key] for key in ("name", "bridge", "cidr", "default")}
        | {"vni": network["backend"]["vni"], "port": network["backend"]["port"]}
        for network in PLAN["networks"]
    ]
    said = {"multinet_networks": [], "verify_networks": mine}
    status, output, report = play(lab, "-e", json.dumps(said))
    assert status == 0 and report["verdict"] == "as_planned", output
    assert report["coverage"]["pairs"]["tried"] == report["coverage"]["pairs"]["possible"]
    assert from_outside(report) == {}, "nobody has promised it"
    wrong = dict(said, verify_networks=[dict(mine[0], brigde="cni0", cidr="10.1.0.0/33")])
    status, output, report = play(lab, "-e", json.dumps(wrong))
    assert status and report is None
    assert "'brigde' is not a key; write bridge." in output and "write an IPv4 range" in output


@pytest.fixture(name="down")
def _down(lab):
    """The options that add a host which cannot be reached."""
    path = lab.place / "down.json"
    away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    path.write_text(json.dumps({"all": {"hosts": {"down": away}}}))
    return ["-i", str(path)]


def test_a_host_left_out_or_down_is_not_green(lab, down):
    status, output, report = play(lab, *down, "--limit", "h1,down")
    assert status and report["verdict"] == "inconclusive", output
    assert {"Host h2 was not reached.", "Host down was not reached."} <= set(report["gaps"])


def test_a_port_that_another_measurement_has_anywhere_is_not_taken(lab):
    """Each host listens at the next one, although one of them alone has the other measurement."""
    lab.guard()
    known = lab.on("h2", facts.gather, lab.plan_of("h2"), "h2")
    place, other = str(lab.place / "h2" / "run"), frames.Run("other", b"key")
    busy = ends.port_of(47470, "mine")
    lab.on("h2", agent.start, other, busy, known, place, PATIENCE)
    try:
        status, output, report = play(lab, "-e", "__verify_run=mine")
    finally:
        assert lab.on("h2", agent.collect, other, busy, known, place)["alive"]
    assert status == 0 and report["verdict"] == "as_planned", output
    assert report["measured"]["run"] == "mine"


def left(lab):
    """What a measurement has on hosts: its files, and sockets of its ports in all namespaces."""
    for host in lab.hosts:
        yield list((lab.place / host).glob("run/*"))
        for name in [host, *(f"{host}-{pod}" for pod in lab.pods[host])]:
            sockets = ["ss", "-Huan", "sport >= 47470 and sport <= 47485"]
            yield run("ip", "netns", "exec", lab.ns(name), *sockets)


def test_a_run_that_is_stopped_half_way_leaves_no_old_report(lab, down):
    directory = lab.place / ".multinet" / "multinet-report"
    directory.mkdir(exist_ok=True)
    old = [directory / name for name in ("report.json", "report.html", "junit.xml")]
    for path in old:
        path.write_text("as planned", encoding="utf-8")
    running = start(lab, *down, "-e", "verify_deadline=5", "-e", "verify_wait=2")
    for line in running.stdout:
        if "TASK [multinet.flannel.verify : Send]" in line:
            break
    for dummy in range(6):
        os.killpg(running.pid, signal.SIGINT)  # as ctrl-C does
        try:
            running.communicate(timeout=30)
            break
        except subprocess.TimeoutExpired:
            # A worker that is ended while it reports keeps a lock that Ansible then waits for; a
            # user presses the keys once more.
            continue
    assert running.returncode
    assert not any(path.exists() for path in old)
    # the listeners end at the deadline, and keep no files for ever
    wait_for(lambda: not any(left(lab)))


def test_hosts_one_after_the_other_are_no_measurement(lab):
    playbook = lab.place / "own.json"
    own = {"hosts": "all", "serial": 1, "gather_facts": False, "roles": ["multinet.flannel.verify"]}
    playbook.write_text(json.dumps([own]))
    status, output, report = play(lab, playbook=str(playbook))
    assert status == 2 and report is None, output
    assert "all hosts are measured together. Remove `serial` from the play" in output


def test_check_mode_measures_nothing_and_does_not_fail(lab):
    status, output, report = play(lab, "--check")
    assert status == 0 and report is None, output
