# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make every fault of vars/faults.yml on the scenario's hosts, and write a table of what becomes of
them: what status and site say, who repairs each after how long, what was lost meanwhile.

Three hosts have a fault each at the same time; what more than one host feels is made alone. What
site repairs is made before one run of `site --check --diff` and one of site; some of what the
keeper repairs is made again while it is stopped, for another two.
Ends with 1 when a fault is not named or not repaired, and says which, after all have been made.

    make_faults.py FILE [WORDS]     WORDS: only faults in whose name this expression is found
"""

from __future__ import annotations

import concurrent.futures
import itertools
import json
import os
import pathlib
import queue
import re
import subprocess
import sys
import time

import yaml

HERE = pathlib.Path(__file__).resolve().parent
STORE = "mn-faults-1"  # the data store, and the pods that packets go to
LANES = ("mn-faults-2", "mn-faults-3", "mn-faults-4")
HOSTS = (STORE, *LANES)
INTERFACES = {"blue": "eth0", "red": "net1"}  # of the pods
PATIENCE = 180.0  # seconds until somebody has repaired it
LOOK = """
import json, sys
sys.path.insert(0, "/usr/local/lib/multinet")
from multinet._drift import compare, observe
from multinet._node import deployed
plan = deployed.plan()
seen = observe.look(plan, "/etc/cni/net.d/00-multinet.conf") if plan else None
print(json.dumps(compare.status(plan, seen)))
"""
# A keeper that has just looked, and remembers nothing of the faults and the runs before.
FRESH_KEEPER = """
rm -f /run/multinet/changes.lock
systemctl restart multinet-keeper
touch /run/began
until test /run/multinet/metrics/multinet.prom -nt /run/began; do sleep 0.1; done
"""
# What `do` and `undo` may use.
SHELL = """
set -eu
etcd() {
  pki=/etc/multinet/pki
  ETCDCTL_API=3 /root/etcdctl --endpoints https://198.18.190.11:2379 --cacert $pki/ca.crt \\
    --cert $pki/client.crt --key $pki/client.key "$@"
}
lease() {  # the key of this host's lease of a network
  subnet=$(. "/run/flannel/networks/$1.env"; echo "$FLANNEL_SUBNET")
  echo "/coreos.com/network/$1/subnets/${subnet%.1/*}.0-24"
}
"""


def on(host, *command, check=True):
    """Run a command on a host, or on this machine, and return what it prints."""
    inside = [] if host == "localhost" else ["podman", "exec", host]
    done = subprocess.run([*inside, *command], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{host}: {command[0]}: {done.stderr[-1000:]}{done.stdout[-1000:]}")
    return done.stdout


def playbook(name, *options):
    """Run a playbook; return ({host: results of its tasks that changed or failed}, success)."""
    inventories = [f"--inventory={HERE.parent}/shared/inventory", f"--inventory={HERE}/inventory"]
    done = subprocess.run(
        ["ansible-playbook", *inventories, name, *options],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ, ANSIBLE_STDOUT_CALLBACK="ansible.posix.json"),
    )
    try:
        plays = json.loads(done.stdout[done.stdout.index("{\n") :])["plays"]
    except ValueError as error:
        raise RuntimeError(f"{name}: {done.stdout[-2000:]}{done.stderr[-2000:]}") from error
    results = {host: [] for host in HOSTS}
    for play in plays:
        for task in play["tasks"]:
            for host, result in task["hosts"].items():
                if {"changed", "failed", "unreachable"} & {key for key in result if result[key]}:
                    results[host].append(dict(result, task=task["task"]["name"]))
    return results, done.returncode == 0


def reasons(results):
    """Return what made tasks fail, of the results of a playbook."""
    return [
        f"{host}: {one['task']}: {one.get('msg')}"
        for host, listed in results.items()
        for one in listed
        if one.get("failed") or one.get("unreachable")
    ]


def site(*options):
    """Run the playbook site as playbook() does; raise when it fails."""
    results, success = playbook("multinet.flannel.site", *options)
    if not success:
        raise RuntimeError(f"site failed: {reasons(results)}")
    return results


def status(host):
    """Return what module node_status_info would."""
    return json.loads(on(host, "python3", "-IS", "-c", LOOK))


def sentences(host):
    """Return what status says of a host, as sentences."""
    try:
        return status(host)["lines"]
    except RuntimeError as error:  # a host that is not up, a plan that cannot be read
        return [str(error)]


def is_well(host):
    """Say whether a host is as deployed, and the store's host finds its way to it."""
    try:
        if not status(host)["ok"]:
            return False
        address = re.search(
            r"198[.]18[.]190[.]\d+", on(host, "ip", "-br", "address", "show", "eth0")
        )
        lines = status(STORE)["lines"]
        return address is not None and not any(f"({address[0]})" in line for line in lines)
    except RuntimeError:
        return False


def all_is_well():
    """Say whether every host is as deployed."""
    try:
        return all(status(host)["ok"] for host in HOSTS)
    except RuntimeError:
        return False


def wait(what, seconds=PATIENCE):
    """Wait for something to be true; return whether it ever was."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(1)
    return True


class Stream:
    """Packets from the pod on a host to the pod on the store's host, while a fault lasts."""

    def __init__(self, host, network):
        show = ["ip", "netns", "exec", "a", "ip", "-j", "-4", "address", "show"]
        shown = json.loads(on(STORE, *show, INTERFACES[network]))
        self.host, self.address = host, shown[0]["addr_info"][0]["local"]
        command = f"exec ip netns exec a ping -i 0.1 -q -W 1 {self.address}"
        self.process = subprocess.Popen(
            ["podman", "exec", host, "sh", "-c", command], stdout=subprocess.PIPE, text=True
        )
        time.sleep(0.5)

    def lost(self):
        """End it, and say what was lost."""
        on(self.host, "pkill", "-INT", "-f", f"^ping .*{self.address}$", check=False)
        said = self.process.communicate(timeout=30)[0]
        found = re.search(r"(\d+) packets transmitted, (\d+) received", said)
        if found is None:
            return "the pod ended"
        sent, received = int(found[1]), int(found[2])
        return f"{sent - received} of {sent}"


class Fault:
    """A fault of vars/faults.yml on a host, and what became of it: a row, and what is wrong."""

    def __init__(self, declared, host):
        self.declared, self.lane, self.host = declared, host, declared.get("on", host)
        self.stream, self.began = None, time.monotonic()
        self.took, self.lost, self.wrong = "", "", []

    def make(self):
        """Make it, and see whether status says so."""
        self.stream = Stream(self.lane, self.network)
        self.began = time.monotonic()
        self.shell("do")
        words = self.declared.get("says", "")
        if words and not wait(lambda: any(words in line for line in sentences(self.lane)), 20):
            self.wrong.append(f"status does not say {words!r}, but {sentences(self.lane)}")

    def shell(self, key):
        """Do what is declared."""
        if key in self.declared:
            on(self.host, "bash", "-c", SHELL + self.declared[key])

    def see(self, well, seconds=PATIENCE):
        """Wait until it is over."""
        if not wait(well, seconds):
            self.wrong.append(f"it was not repaired: {[sentences(host) for host in HOSTS]}")
        self.took = f"{time.monotonic() - self.began:.0f} s"
        self.lost = self.stream.lost() if self.stream else ""

    def expect(self, results):
        """Compare what site said with what is declared."""
        said = json.dumps([results.get(host, []) for host in (self.host, STORE)])
        words = self.declared["site"]
        if words not in said:
            self.wrong.append(f"site does not say {words!r}, but {said[:3000]}")

    @property
    def network(self):
        """The network whose packets are counted."""
        return self.declared.get("network", "blue")

    @property
    def row(self):
        """Its row of the table."""
        one = self.declared
        nothing = "nothing" if one["by"] == "site" else "nothing: it is over"
        said = one.get("says") or nothing
        cells = [one["what"], said, one.get("site", "-"), one["by"], self.took, self.lost]
        return "| " + " | ".join(cells) + " |"


def guarded(fault, act):
    """Do something with a fault; whatever fails is its own failure, and the next is made."""
    try:
        act()
    except (RuntimeError, OSError, subprocess.SubprocessError, ValueError) as error:
        fault.wrong.append(f"{type(error).__name__}: {error}")
    for one in fault.wrong:
        print(f"  WRONG: {fault.declared['what']}: {one}", flush=True)


def repaired_by_itself(fault, well):
    """Make a fault and wait until whoever repairs it has done so."""

    def act():
        if fault.declared["by"] == "keeper":
            on(fault.lane, "bash", "-c", FRESH_KEEPER)
        fault.make()
        fault.shell("undo")
        if fault.declared.get("pods") == "undo":
            playbook(str(HERE / "pods.yml"), "--limit", fault.lane)
        fault.see(well)
        if fault.declared.get("pods") == "after":
            playbook(str(HERE / "pods.yml"))

    guarded(fault, act)
    print(fault.row, flush=True)
    if fault.wrong:  # what comes next must not suffer from it
        guarded(fault, lambda: site("--limit", f"{STORE},{fault.lane}"))


def in_lanes(declared):
    """Make faults on three hosts at the same time; return them."""
    waiting, done = queue.SimpleQueue(), []
    for one in declared:
        waiting.put(one)

    def lane(host):
        while True:
            try:
                fault = Fault(waiting.get_nowait(), host)
            except queue.Empty:
                return
            repaired_by_itself(fault, lambda: is_well(host))
            done.append(fault)

    with concurrent.futures.ThreadPoolExecutor(len(LANES)) as pool:
        list(pool.map(lane, LANES))
    return done


def repaired_by_site(faults, keeper):
    """Make faults, and have site say what it would do, and do it. keeper: whether it runs."""
    if not faults:
        return
    if not keeper:
        for host in HOSTS:
            on(host, "systemctl", "stop", "multinet-keeper")
    for fault in faults:
        guarded(fault, fault.make)
    said, dummy = playbook("multinet.flannel.site", "--check", "--diff")
    began = time.monotonic()
    results, success = playbook("multinet.flannel.site")
    over = wait(all_is_well)
    took = time.monotonic() - began
    for fault in faults:
        fault.began = time.monotonic() - took
        if not success:
            fault.wrong.append(f"site failed: {reasons(results)}")
        fault.expect(said)
        guarded(fault, lambda fault=fault: fault.see(lambda: over, 0))
        print(fault.row, flush=True)


def main(target, words=""):
    """Make them all and write the table."""
    for host in LANES:  # only the data store's host has it
        copy = f"podman cp {STORE}:/usr/local/bin/etcdctl - | podman cp - {host}:/root"
        on("localhost", "bash", "-c", copy)
    listed = yaml.safe_load((HERE / "vars" / "faults.yml").read_text(encoding="utf-8"))["faults"]
    listed = [one for one in listed if re.search(words, one["what"])]
    by_itself = [one for one in listed if one["by"] != "site"]
    done = in_lanes([one for one in by_itself if not one.get("alone")])
    for one in by_itself:
        if one.get("alone"):
            fault = Fault(one, LANES[0])
            repaired_by_itself(fault, all_is_well)
            done.append(fault)
    spread = itertools.cycle(LANES)
    by_site = [Fault(one, one["on"]) for one in listed if one["by"] == "site"]
    instead = [Fault(one, next(spread)) for one in by_itself if "site" in one]
    repaired_by_site(by_site, keeper=True)
    repaired_by_site(instead, keeper=False)
    done += by_site
    failures = [f"{one.declared['what']}: {why}" for one in done + instead for why in one.wrong]
    again = {} if words else playbook("multinet.flannel.site", "--check")[0]
    if any(again.values()):
        failures.append(f"afterwards site would still change: {json.dumps(again)[:3000]}")
    order = [one["what"] for one in listed]
    rows = [
        "| fault | status says | site says | repaired by | after | packets lost |",
        "| --- |" + " --- |" * 5,
        *(one.row for one in sorted(done, key=lambda one: order.index(one.declared["what"]))),
    ]
    pathlib.Path(target).write_text("\n".join(rows) + "\n", encoding="utf-8")
    print(f"{len(done)} faults, {len(failures)} failures", flush=True)
    return "\n".join(failures)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) or 0)
