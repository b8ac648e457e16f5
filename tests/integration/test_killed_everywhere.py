# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The meta-plugin, killed before each change that it makes to the host: whatever that leaves, a DEL
or a GC brings the host back to nothing, also one that follows another killed DEL or GC.

What a kill leaves is looked at. From everything that was not seen before, operations begin that are
killed in their turn, until they leave nothing new.
"""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest
from cni_host import CniHost

if os.geteuid() != 0:
    pytest.skip("needs root for network namespaces", allow_module_level=True)

IS_SOAK = "MULTINET_SOAK_ROUNDS" in os.environ
IN_PROCESS = ["flannel", "tuning", "bridge", "host-local"]

# On the host: a child of it is the meta-plugin, and is killed before its change of a number. It has
# the modules already, so an operation takes some milliseconds.
SERVER = """
import json, os, sys
sys.path[:0] = ["/usr/local/lib/multinet", TESTS]
import _socket, killing
from multinet._cni import netlink, netns, result, rtnetlink
from multinet._meta import add, bridge_port, delete, foreign, gc, pod_networks
from multinet._meta import plugin

def serve(asked):
    stdin, stdin_end = os.pipe()
    answer = os.memfd_create("answer")
    child = os.fork()
    if child == 0:
        os.dup2(stdin, 0)
        os.dup2(answer, 1)
        os.close(stdin_end)
        os.environ.clear()
        os.environ.update(asked["environ"])
        countdown = killing.Countdown(asked["number"])
        asks = lambda kernel, message: message[0] not in (18, 22, 26)
        rtnetlink.Channel.ask = countdown.before(rtnetlink.Channel.ask, asks)
        status = plugin.main("/opt/cni/bin/multinet")
        sys.stdout.flush()
        os._exit(status)
    os.close(stdin)
    os.write(stdin_end, asked["stdin"].encode())
    os.close(stdin_end)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.lseek(answer, 0, 0)
    text = os.read(answer, 1 << 20).decode()
    os.close(answer)
    return [status, text]

for line in sys.stdin:
    asked = json.loads(line)
    answer = serve(asked) if "stdin" in asked else sorted(netns.interfaces(asked["netns"]))
    print(json.dumps(answer), flush=True)
"""


class Plugin:
    """The meta-plugin of a host, ready to be asked and killed."""

    def __init__(self, host):
        self.host = host
        tests = str(pathlib.Path(__file__).parents[1])
        script = SERVER.replace("TESTS", repr(tests))
        argv = host.command([sys.executable, "-BIS", "-c", script])
        place = argv.index("--mount")
        self.process = subprocess.Popen(
            # with the namespaces of pods that are made later
            [*argv[:place], "--propagation", "slave", *argv[place:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def ask(self, command, conf, pod, number=None, **environ):
        """Return (exit status, answer); number: of the change before which it is killed."""
        environ = {"PATH": os.environ["PATH"], **self.host.environ(command, pod, **environ)}
        status, answer = self._say(number=number, stdin=json.dumps(conf), environ=environ)
        return status, json.loads(answer) if answer else None

    def interfaces(self, name):
        """Return the names of the interfaces in a network namespace but the loopback."""
        return [one for one in self._say(netns="/run/netns/" + name) if one != "lo"]

    def _say(self, **asked):
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture(name="host")
def _host(tmp_path, upstream_bin):
    host = CniHost(tmp_path, upstream_bin)
    kept = host.path("/var/lib/cni")  # in memory: every change is brought to the disk otherwise
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", kept], check=True)
    host.lease("/run/flannel/blue.env", "10.1.0.1/16", "10.1.0.0/16")
    host.lease("/run/flannel/red.env", "10.3.0.1/16", "10.3.0.0/16")
    yield host
    host.close()
    subprocess.run(["umount", kept], check=True)


@pytest.fixture(name="plugin")
def _plugin(host):
    plugin = Plugin(host)
    yield plugin
    plugin.close()


def conf(names, in_process, **keys):
    networks = [
        {
            "name": name,
            "cniVersion": "0.4.0",
            "plugins": [
                {
                    "type": "flannel",
                    "subnetFile": f"/run/flannel/{name}.env",
                    "dataDir": "/var/lib/cni/flannel/" + name,
                    "delegate": {
                        "bridge": "mn-" + name,
                        "ipMasq": False,
                        "isDefaultGateway": name == "blue",
                    },
                },
                {"type": "tuning", "sysctl": {"net.ipv4.conf.all.arp_ignore": "1"}},
            ],
        }
        for name in names
    ]
    return {
        "name": "meta",
        "cniVersion": "1.1.0",
        "type": "multinet",
        "inProcess": in_process,
        "delegates": networks,
        **keys,
    }


# What differs from one pod to the next, or with time, and what it stands for.
_ALIKE = [
    (re.compile(r"id-cnip-\d+-\d+"), "ID"),
    (re.compile(r"cnip-\d+-\d+"), "POD"),
    (re.compile(r"\.\d+\.tmp"), ".N.tmp"),
    (re.compile(r"veth[0-9a-f]{8}"), "VETH"),
    (re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}"), "MAC"),
    (re.compile(r"10\.(\d)\.\d+\.\d+\b"), r"10.\1"),
    (re.compile(r'"namespace": ?\[[^]]*\]'), '"namespace": NS'),
]


def left(plugin, pod):
    """Return what there is of a pod, in words that are the same for every pod: files with what is
    in them, interfaces and their ends on the host.
    """
    root = plugin.host.path("/var/lib/cni")
    found = [
        f"{path.relative_to(root)}: {path.read_text(encoding='utf-8')}"
        for path in root.rglob("*")
        if path.is_file() and path.name != "lock" and not path.name.startswith("last_reserved_ip")
    ]
    found += plugin.interfaces(pod) if pod in plugin.host.pods else []
    found += [name for name in plugin.interfaces(plugin.host.name) if name.startswith("veth")]
    for pattern, word in _ALIKE:
        found = [pattern.sub(word, text) for text in found]
    return tuple(sorted(found))


WAYS = ["DEL", "GC", "DEL of a dead container"]
NOBODY = {"cni.dev/valid-attachments": []}


def remove(plugin, way, conf, pod):
    """End the attachment as runtimes do; raise AssertionError if something of it stays. Return a
    pod for the next one.
    """
    environ = {}
    if way == "DEL of a dead container":
        plugin.host.remove(pod)
        environ["CNI_NETNS"] = ""
    done = plugin.ask(way[:3].strip(), {**conf, **(NOBODY if way == "GC" else {})}, pod, **environ)
    assert done == (0, None), done
    assert left(plugin, pod) == ()
    return pod if pod in plugin.host.pods else plugin.host.pod()


def explore(plugin, conf, operations, killed_once=False, fails=False):
    """Kill an ADD at every change, and `operations` from everything that kills have left, or with
    killed_once from what a whole ADD has; return how many kills there were, and how many different
    things they left. fails: whether that is the outcome of the ADD.
    """
    pod = plugin.host.pod()

    def do(path):
        """Return the outcome of the last of (operation, number of the change: None for none)."""
        for command, number in path:
            keys = NOBODY if command == "GC" else {}
            done = plugin.ask(command, {**conf, **keys}, pod, number)
        return done

    seen, kills, begun = set(), 0, [()]
    while begun:
        former = begun.pop(0)
        for command in operations if former else ["ADD"]:
            for number in itertools.count():
                path = (*former, (command, number))
                status, answer = do(path)
                state = left(plugin, pod)
                for way in WAYS if state not in seen else WAYS[:1]:
                    if way != WAYS[0]:
                        do(path)
                    try:
                        pod = remove(plugin, way, conf, pod)
                    except AssertionError as error:
                        raise AssertionError(f"{path}, then {way}: {error}\n{state}") from error
                is_whole = status != -signal.SIGKILL
                if state and state not in seen and (is_whole or not killed_once):
                    begun.append(path)
                seen.add(state)
                if is_whole:
                    assert status == (fails and command == "ADD"), (path, answer)
                    break
                kills += 1
    return kills, len(seen)


def test_in_process(plugin):
    names, operations = (["blue", "red"], ["DEL", "GC"]) if IS_SOAK else (["blue"], ["DEL"])
    kills, states = explore(plugin, conf(names, IN_PROCESS), operations)
    assert kills > 200 and states > 20, (kills, states)


def test_what_is_undone(plugin):
    """The second network cannot be attached, so the first one is detached."""
    networks = conf(["blue"], IN_PROCESS)
    networks["delegates"].append({"name": "second", "cniVersion": "0.4.0", "type": "fails"})
    plugin.host.plugin("fails", "cat >/dev/null; [ $CNI_COMMAND = DEL ]\n")
    kills, states = explore(plugin, networks, ["DEL"], killed_once=not IS_SOAK, fails=True)
    assert kills > 35 and states > 8, (kills, states)


def test_by_executables(plugin):
    """They live on when the meta-plugin is killed, and the next operation waits for them."""
    kills, states = explore(plugin, conf(["blue"], []), ["DEL", "GC"], killed_once=not IS_SOAK)
    assert kills > 20 and states > 8, (kills, states)
