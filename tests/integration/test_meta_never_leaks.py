# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever ends an ADD or a DEL, a DEL (or a GC) afterwards brings addresses, interfaces and state
back to nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time

import pytest
from cni_host import BIN, CniHost
from waiting import PATIENCE, wait_for

if os.geteuid() != 0:
    pytest.skip("needs root for network namespaces", allow_module_level=True)

# Of the plugins, those whose work is done in-process.
FORMS = [[], ["flannel", "tuning"], ["flannel", "tuning", "bridge", "host-local"]]
# How often random kills are tried; `make soak` asks for thousands. test_killed_everywhere.py tries
# every moment of one network.
ROUNDS = int(os.environ.get("MULTINET_SOAK_ROUNDS", "6"))


@pytest.fixture(name="host")
def _host(tmp_path, upstream_bin):
    host = CniHost(tmp_path, upstream_bin)
    host.lease("/run/flannel/blue.env", "10.1.5.1/24", "10.1.0.0/16")
    host.lease("/run/flannel/red.env", "10.3.7.1/24", "10.3.0.0/16")
    yield host
    host.close()


@pytest.fixture(name="pod")
def _pod(host):
    return host.pod()


def flannel(name, **keys):
    return dict(
        {
            "name": name,
            "cniVersion": "0.4.0",
            "type": "flannel",
            "subnetFile": f"/run/flannel/{name}.env",
            "dataDir": "/var/lib/cni/flannel/" + name,
            "delegate": {"bridge": "mn-" + name, "ipMasq": False},
        },
        **keys,
    )


def meta(*more, **keys):
    delegates = keys.pop("delegates", [flannel("blue"), flannel("red")])
    return dict(
        {
            "name": "meta",
            "cniVersion": "1.1.0",
            "type": "multinet",
            "delegates": [*delegates, *more],
        },
        **keys,
    )


def start(host, command, conf, pod, before=(), **environ):
    """Start the executable; exec goes all the way down: the process is the meta-plugin itself.

    before: argv of what starts it.
    """
    running = subprocess.Popen(
        [*before, *host.command([BIN + "/multinet"])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=dict(os.environ, **host.environ(command, pod, **environ)),
        text=True,
    )
    with contextlib.suppress(BrokenPipeError):
        running.stdin.write(json.dumps(conf))
        running.stdin.close()
    running.stdin = None
    return running


def is_back_to_nothing(host, pod):
    assert host.addresses(pod) == {}
    assert host.leftovers() == []
    return True


def kill_the_caller(host, name, command, then="exit 0"):
    """Install a plugin that kills the meta-plugin with SIGKILL in one command, and does `then`
    afterwards.
    """
    host.plugin(
        name,
        f"conf=$(cat)\nif [ $CNI_COMMAND = {command} ] && [ ! -e {host.directory / 'killed'} ];"
        f" then touch {host.directory / 'killed'}; kill -9 $PPID; {then}; fi\n[ $CNI_COMMAND = ADD"
        ' ] && echo \'{"cniVersion": "0.4.0"}\'; exit 0\n',
    )


@pytest.mark.parametrize("by", ["DEL", "GC"])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_killed_at_every_delegate(host, pod, command, place, by):
    kill_the_caller(host, "killer", command)
    conf = meta()
    conf["delegates"].insert(place, {"name": "killer", "cniVersion": "0.4.0", "type": "killer"})
    done = start(host, "ADD", conf, pod)
    done.communicate(timeout=PATIENCE)
    if command == "DEL":
        assert done.returncode == 0
        done = start(host, "DEL", conf, pod)
        done.communicate(timeout=PATIENCE)
    assert done.returncode == -signal.SIGKILL
    if by == "GC":
        assert host.cni("GC", dict(conf, **{"cni.dev/valid-attachments": []}), pod) == (0, None)
    else:
        assert host.cni("DEL", conf, pod) == (0, None)
    assert is_back_to_nothing(host, pod)


def test_killed_at_random_moments(host):
    chance = random.Random(int(os.environ.get("MULTINET_SOAK_SEED", "20260101")))
    red = {key: value for key, value in flannel("red").items() if key not in ("name", "cniVersion")}
    chain = {
        "name": "red",
        "cniVersion": "0.4.0",
        "plugins": [red, {"type": "tuning", "sysctl": {"net.ipv4.conf.all.arp_ignore": "1"}}],
    }
    for number in range(ROUNDS):
        pod = host.pod()

        def conf(**keys):
            # by executables or in-process, and that may change from one operation to the next
            return meta(delegates=[flannel("blue"), chain], inProcess=chance.choice(FORMS), **keys)

        for command in ("ADD", "DEL"):
            running = start(host, command, conf(), pod)
            time.sleep(chance.random() * 0.25)
            running.kill()
            running.communicate(timeout=PATIENCE)
        if number % 3 == 2:
            host.remove(pod)
            # without a configuration it goes by the state, or says that there is none
            known = host.path(f"/var/lib/cni/multinet/id-{pod}:eth0.json").exists()
            status, answer = host.cni("DEL", "", pod, CNI_NETNS="")
            assert status == 0 if known else answer["code"] == 6, (number, answer)
            assert host.leftovers() == [], number
        else:
            if number % 3 == 1:
                # killed before its state was written, there is nothing that GC could know of, and
                # nothing there
                assert host.cni("GC", conf(**{"cni.dev/valid-attachments": []}), pod) == (0, None)
            else:
                assert host.cni("DEL", conf(), pod) == (0, None)
            assert is_back_to_nothing(host, pod), number
            host.remove(pod)


@pytest.mark.parametrize("by", ["DEL", "GC"])
def test_half_of_flannels_file_which_a_killed_del_put_back(host, pod, by):
    conf = meta()
    assert host.cni("ADD", conf, pod)[0] == 0
    # what such a DEL leaves; its process may have a living one's number by now
    for process in (1, 4194399):
        host.path(f"/var/lib/cni/flannel/red/.id-{pod}.{process}.tmp").write_text("{", "utf-8")
    if by == "GC":
        assert host.cni("GC", dict(conf, **{"cni.dev/valid-attachments": []}), pod) == (0, None)
    else:
        assert host.cni("DEL", conf, pod) == (0, None)
    assert is_back_to_nothing(host, pod)


def test_a_plugin_that_outlives_the_killed_add_is_waited_for(host, pod):
    # it takes its address a while after its caller was killed
    go, took = host.directory / "go", host.directory / "took"
    kill_the_caller(
        host,
        "late",
        "ADD",
        f"until [ -e {go} ]; do sleep 0.1; done;"
        f' echo "$conf" | sed s/late/flannel/ | {BIN}/flannel >/dev/null; touch {took}',
    )
    conf = meta(delegates=[flannel("blue"), dict(flannel("red"), type="late")])
    running = start(host, "ADD", conf, pod)
    running.communicate(timeout=PATIENCE)
    assert running.returncode == -signal.SIGKILL
    # what the state has of the network calls flannel at DEL
    host.plugin("late", f"exec {BIN}/flannel\n")
    deleting = start(host, "DEL", conf, pod)
    time.sleep(1)
    assert deleting.poll() is None
    go.touch()
    assert deleting.communicate(timeout=PATIENCE)[0] == "" and deleting.returncode == 0
    assert took.exists()
    assert is_back_to_nothing(host, pod)


def test_a_plugin_that_outlives_the_killed_add_and_hangs_is_ended(host, pod):
    kill_the_caller(host, "hanging", "ADD", "sleep 600 & sleep 600")
    conf = meta({"name": "third", "cniVersion": "0.4.0", "type": "hanging"}, timeoutSeconds=6)
    start(host, "ADD", conf, pod).communicate(timeout=PATIENCE)
    begin = time.monotonic()
    assert host.cni("DEL", conf, pod) == (0, None)
    assert time.monotonic() - begin > 1
    assert is_back_to_nothing(host, pod)
    assert (
        subprocess.run(
            ["pgrep", "-f", str(host.directory)], check=False, capture_output=True, text=True
        ).stdout
        == ""
    )


def reboot(host, pod):
    """Let a host forget what a reboot takes: namespaces and interfaces. The pod has a new namespace
    at the same path then.
    """
    host.remove(pod)
    subprocess.run(["ip", "netns", "add", pod], check=True)
    host.pods.append(pod)
    for file in host.path("/var/lib/cni/multinet").glob("*.json"):
        state = json.loads(file.read_text(encoding="utf-8"))
        state["namespace"][3] = "former"
        file.write_text(json.dumps(state), encoding="utf-8")


@pytest.mark.parametrize("in_process", FORMS)
def test_after_a_reboot_an_add_detaches_what_was_before(host, pod, in_process):
    """Callers without an id for each start (cnitool, Podman) call no DEL then."""
    conf = meta(inProcess=in_process)
    assert host.cni("ADD", conf, pod)[0] == 0
    reboot(host, pod)
    assert host.cni("ADD", conf, pod)[0] == 0
    assert host.addresses(pod) == {"eth0": "10.1.5.3/24", "net1": "10.3.7.3/24"}
    leases = host.path("/var/lib/cni/networks").glob("*/10.*")
    assert sorted(file.name for file in leases) == ["10.1.5.3", "10.3.7.3"]
    assert host.cni("DEL", conf, pod) == (0, None)
    assert is_back_to_nothing(host, pod)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_killed_while_it_detaches_what_was_before_a_reboot(host, pod, place):
    conf = meta()
    kill_the_caller(host, "killer", "DEL")
    conf["delegates"].insert(place, {"name": "killer", "cniVersion": "0.4.0", "type": "killer"})
    assert host.cni("ADD", conf, pod)[0] == 0
    reboot(host, pod)
    killed = start(host, "ADD", conf, pod)
    killed.communicate(timeout=PATIENCE)
    assert killed.returncode == -signal.SIGKILL
    assert host.cni("ADD", conf, pod)[0] == 0
    assert host.cni("DEL", conf, pod) == (0, None)
    assert is_back_to_nothing(host, pod)


# Run what follows in a PID namespace of its own, as the child of a shell.
OF_ITS_OWN = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c"]


def test_who_is_at_work_in_another_pid_namespace_is_not_ended(host, pod):
    """Its number there is not the one it has here: it was taken for one that is gone."""
    go, begun = host.directory / "go", host.directory / "begun"
    script = f"cat >/dev/null; touch {begun}; until [ -e {go} ]; do sleep 0.1; done"
    host.plugin("slow", script + '; echo \'{"cniVersion": "0.4.0"}\'\n')
    conf = meta({"name": "third", "cniVersion": "0.4.0", "type": "slow"})
    with_proc = [*OF_ITS_OWN[:-2], "--mount-proc", *OF_ITS_OWN[-2:], '"$@"; exit $?', "sh"]
    adding = start(host, "ADD", conf, pod, before=with_proc)
    wait_for(begun.exists, adding)
    status, answer = host.cni("DEL", dict(conf, timeoutSeconds=2), pod)
    assert (status, answer["code"]) == (1, 11), answer
    go.touch()
    adding.communicate(timeout=PATIENCE)
    assert adding.returncode == 0
    assert host.cni("DEL", conf, pod) == (0, None)
    assert is_back_to_nothing(host, pod)


def test_nobody_is_ended_by_a_number_of_another_pid_namespace(host, pod):
    """A DEL with the host's /proc in a PID namespace of its own, as of a container that enters the
    host's mounts: what hangs has another number there.
    """
    number, lives = host.directory / "number", host.directory / "lives"
    kill_the_caller(host, "hanging", "ADD", f"echo $$ > {number}; exec sleep 600")
    conf = meta({"name": "third", "cniVersion": "0.4.0", "type": "hanging"})
    start(host, "ADD", conf, pod).communicate(timeout=PATIENCE)
    wait_for(lambda: number.exists() and number.read_text(encoding="ascii"))
    hanging = int(number.read_text(encoding="ascii"))
    same_number = (
        f"echo {hanging - 1} > /proc/sys/kernel/ns_last_pid; sleep 600 & [ $! = {hanging} ] || exit"
        f' 9; "$@"; kill -0 {hanging} && touch {lives}'
    )
    few = dict(conf, timeoutSeconds=2)
    deleting = start(host, "DEL", few, pod, before=[*OF_ITS_OWN, same_number, "sh"])
    answer = json.loads(deleting.communicate(timeout=PATIENCE)[0])
    assert answer["code"] == 11
    assert deleting.returncode == 0 and lives.exists()
    # here, its number is its own
    assert host.cni("DEL", dict(conf, timeoutSeconds=20), pod) == (0, None)
    assert is_back_to_nothing(host, pod)


def test_two_operations_at_once_follow_each_other(host, pod):
    conf = meta()
    running = [start(host, command, conf, pod) for command in ("ADD", "ADD", "DEL", "ADD", "DEL")]
    for one in running:
        one.communicate(timeout=PATIENCE)
    assert host.cni("DEL", conf, pod) == (0, None)
    assert is_back_to_nothing(host, pod)


def test_told_to_end_it_takes_everything_back(host, pod, tmp_path):
    mark = tmp_path / "third"
    host.plugin(
        "slow", f"cat >/dev/null; [ $CNI_COMMAND = ADD ] || exit 0; touch {mark}; exec sleep 600\n"
    )
    running = start(
        host, "ADD", meta({"name": "third", "cniVersion": "0.4.0", "type": "slow"}), pod
    )
    wait_for(mark.exists, running)
    running.send_signal(signal.SIGTERM)
    answer = json.loads(running.communicate(timeout=PATIENCE)[0])
    assert (running.returncode, answer["code"]) == (1, 11) and "signal 15" in answer["msg"]
    assert is_back_to_nothing(host, pod)


def test_a_delegate_behind_flannel_that_fails_at_del(host, pod):
    """Some versions of the flannel plugin have forgotten the attachment by then, and a second DEL
    of it would free nothing.
    """
    bridge = host.path(BIN) / "bridge"
    assert host.cni("ADD", meta(), pod)[0] == 0
    bridge.rename(host.path(BIN) / "real-bridge")
    host.plugin(
        "bridge",
        'cat >/dev/null; echo \'{"cniVersion": "0.4.0", "code": 5, "msg": "no luck"}\'; exit 1\n',
    )
    status, answer = host.cni("DEL", meta(), pod)
    assert status == 1 and "no luck" in answer["msg"]
    (host.path(BIN) / "real-bridge").rename(bridge)
    assert host.cni("DEL", meta(), pod) == (0, None)
    assert is_back_to_nothing(host, pod)


def test_flannels_own_state_damaged(host, pod):
    assert host.cni("ADD", meta(), pod)[0] == 0
    host.path("/var/lib/cni/flannel/blue/id-" + pod).write_text("", encoding="utf-8")
    assert host.cni("DEL", meta(), pod) == (0, None)
    assert is_back_to_nothing(host, pod)


@contextlib.contextmanager
def small_disk(directory):
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", directory], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", directory], check=True)


def fill(directory):
    with contextlib.suppress(OSError), open(directory / "full", "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def test_a_full_disk_before_the_add(host, pod, tmp_path):
    with small_disk(tmp_path / "state"):
        conf = meta(cniDir=str(tmp_path / "state"))
        fill(tmp_path / "state")
        status, answer = host.cni("ADD", conf, pod)
        assert (status, answer["code"]) == (1, 5), answer
        assert is_back_to_nothing(host, pod)
        assert host.cni("DEL", conf, pod) == (0, None)
        assert os.listdir(tmp_path / "state") == ["full"]


def test_a_disk_that_gets_full_during_the_add(host, pod, tmp_path):
    with small_disk(tmp_path / "state"):
        full = tmp_path / "state" / "full"
        host.plugin(
            "filler",
            f"cat >/dev/null; [ $CNI_COMMAND = ADD ] || exit 0; cat /dev/zero > {full} 2>/dev/null;"
            ' echo \'{"cniVersion": "0.4.0"}\'\n',
        )
        conf = meta(
            {"name": "third", "cniVersion": "0.4.0", "type": "filler"},
            cniDir=str(tmp_path / "state"),
        )
        status, answer = host.cni("ADD", conf, pod)
        assert (status, answer["code"]) == (1, 5), answer
        assert is_back_to_nothing(host, pod)
        assert os.listdir(tmp_path / "state") == ["full"]


def test_a_disk_that_is_full_at_del(host, pod, tmp_path):
    with small_disk(tmp_path / "state"):
        conf = meta(cniDir=str(tmp_path / "state"))
        assert host.cni("ADD", conf, pod)[0] == 0
        fill(tmp_path / "state")
        assert host.cni("DEL", conf, pod) == (0, None)
        assert is_back_to_nothing(host, pod)
        assert os.listdir(tmp_path / "state") == ["full"]


def test_a_state_of_which_half_was_written(host, pod):
    assert host.cni("ADD", meta(), pod)[0] == 0
    directory = host.path("/var/lib/cni/multinet")
    # a write that was killed leaves a file that is not the state
    for name in (f".id-{pod}:eth0.json.4711.tmp", f"id-{pod}:eth0.json.4711.tmp"):
        (directory / name).write_text('{"format": 1, "na', encoding="utf-8")
    assert host.cni("DEL", "", pod) == (0, None)
    assert is_back_to_nothing(host, pod)


def test_a_delegate_that_hangs_at_del_keeps_no_other_from_being_detached(host, pod):
    host.plugin(
        "hang",
        'cat >/dev/null; [ $CNI_COMMAND = ADD ] && { echo \'{"cniVersion": "0.4.0"}\'; exit 0; }; ['
        " -e %s ] || exec sleep 50; exit 0\n" % (host.directory / "ok"),
    )
    conf = meta({"name": "third", "cniVersion": "0.4.0", "type": "hang"}, timeoutSeconds=6)
    assert host.cni("ADD", conf, pod)[0] == 0
    status, answer = host.cni("DEL", conf, pod)
    assert (status, answer["code"]) == (1, 11) and "hang" in answer["msg"]
    assert host.addresses(pod) == {}
    (host.directory / "ok").touch()
    assert host.cni("DEL", conf, pod) == (0, None)
    assert is_back_to_nothing(host, pod)


def test_a_delegate_that_is_gone_at_del(host, pod):
    host.plugin(
        "third",
        'cat >/dev/null; [ $CNI_COMMAND = ADD ] && echo \'{"cniVersion": "0.4.0"}\'; exit 0\n',
    )
    conf = meta({"name": "third", "cniVersion": "0.4.0", "type": "third"})
    assert host.cni("ADD", conf, pod)[0] == 0
    (host.path(BIN) / "third").unlink()
    status, answer = host.cni("DEL", conf, pod)
    assert (status, answer["code"]) == (1, 5) and "third" in answer["msg"]
    assert host.addresses(pod) == {}
    # it is still known what is not done
    assert [item for item in host.leftovers() if item.startswith("multinet/")] == [
        f"multinet/id-{pod}:eth0.json"
    ]
    host.plugin("third", "cat >/dev/null; exit 0\n")
    assert host.cni("DEL", conf, pod) == (0, None)
    assert is_back_to_nothing(host, pod)


@pytest.mark.parametrize("in_process", FORMS)
def test_executables_that_go_before_an_add_is_undone(host, pod, in_process):
    """As an update of the node's packages does: what can do without them is undone at once."""
    gone = " ".join(str(host.path(BIN) / name) for name in ("flannel", "tuning"))
    host.plugin(
        "third",
        f"cat >/dev/null; [ $CNI_COMMAND = ADD ] || exit 0; rm {gone}\n"
        'echo \'{"code": 100, "msg": "no"}\'; exit 1\n',
    )
    third = {"name": "third", "cniVersion": "0.4.0", "type": "third"}
    status, answer = host.cni("ADD", meta(third, inProcess=in_process), pod)
    assert (status, answer["code"]) == (1, 100)
    assert "Undoing it failed" not in answer.get("details", "")
    assert is_back_to_nothing(host, pod)


# What a pod does with what it was given, in any order, again and again
RESTLESS = [
    "link set eth0 name mine",
    "link set mine name eth0",
    "link set net1 name eth0",
    "link set net1 name other",
    "link set other name net1",
    "link set net1 netns {elsewhere}",
    "link set eth0 down",
    "link set eth0 up",
    "link set eth0 address 02:00:00:00:00:01",
    "link property add dev eth0 altname net1",
    "addr flush dev eth0",
    "addr add 10.1.5.2/24 dev eth0",  # that of another pod
    "link add eth0 type bridge",
    "link del eth0 type bridge",
    "link add net1 type veth peer name foo",
    "link del foo",
]


@contextlib.contextmanager
def restless(pod, elsewhere):
    """Have a pod do all that for as long as the body."""
    made, done = random.Random(1), threading.Event()
    lines = [made.choice(RESTLESS).format(elsewhere=elsewhere) for dummy in range(400)]
    back = [f"link set {name} netns {pod}" for name in ("net1", "other", "eth0")]

    def move():
        while not done.is_set():
            for name, text in ((pod, lines), (elsewhere, back)):
                subprocess.run(
                    ["ip", "-force", "-n", name, "-batch", "-"],
                    input="\n".join(text) + "\n",
                    capture_output=True,
                    text=True,
                    check=False,
                )

    mover = threading.Thread(target=move)
    mover.start()
    try:
        yield
    finally:
        done.set()
        mover.join()


@pytest.mark.parametrize("form", FORMS, ids=len)
def test_a_pod_that_never_rests_keeps_nothing_and_takes_nothing_of_others(host, pod, form):
    calm, conf = host.pod(), meta(inProcess=form)
    assert host.cni("ADD", conf, calm)[0] == 0
    has, kept = host.addresses(calm), host.leftovers()
    assert host.cni("ADD", conf, pod)[0] == 0
    both = [{"containerID": f"id-{one}", "ifname": "eth0"} for one in (calm, pod)]
    addresses = sorted(host.path("/var/lib/cni/networks").rglob("10.*"))
    assert len(addresses) == 4
    with restless(pod, host.pod()):
        for dummy in range(3):
            status, answer = host.cni("CHECK", conf, pod)
            assert status == 0 or answer["code"] == 3, answer
            assert host.cni("GC", {**conf, "cni.dev/valid-attachments": both}, pod)[0] == 0
            assert host.cni("STATUS", conf, pod)[0] == 0
            assert host.cni("CHECK", conf, calm)[0] == 0
            assert sorted(host.path("/var/lib/cni/networks").rglob("10.*")) == addresses
        assert host.cni("DEL", conf, pod)[0] == 0
    assert host.leftovers() == kept
    assert host.addresses(calm) == has and host.cni("CHECK", conf, calm)[0] == 0
