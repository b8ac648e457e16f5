# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make every fault of vars/faults.yml on the scenario's hosts, and write a table of what becomes of
them: what status and site say, who repairs each after how long, what was lost meanwhile.

Three hosts have a fault each at the same time; what more than one host feels is made alone. What
site repairs is made before one run of `site --check --diff` and one of site; some of what the
keeper repairs is made again while it is stopped, for another two.
After a fault that is not repaired as it should be its host is brought back, by site or by a reboot,
so that the next ones do not suffer from it; a host that stays wrong gets no more of them.
Ends with 1 when a fault is not named or not repaired, and says which, after all have been made.

    make_faults.py FILE [WORDS]     WORDS: only faults in whose name this expression is found

FILE grows row by row, and beside it FILE's .log.
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
ATTACH_AGAIN = str(HERE.parent / "shared" / "attach_again.yml")
STORE = "mn-faults-1"  # the data store, and the pods that packets go to
LANES = ("mn-faults-2", "mn-faults-3", "mn-faults-4")
HOSTS = (STORE, *LANES)
INTERFACES = {"blue": "eth0", "red": "net1"}  # of the pods
PATIENCE = 180.0  # seconds until somebody has repaired it
TROUBLE = (RuntimeError, OSError, LookupError, ValueError, subprocess.SubprocessError)
LONGEST = 900  # seconds that a command or a playbook may take
LOOK = """
import glob, json, sys
sys.path[:0] = glob.glob("/usr/local/lib/multinet/*/")
from multinet._drift import compare, observe
from multinet._node import deployed
record = deployed.record()
plan = record["plan"] if record else None
seen = observe.look(record, "/etc/cni/net.d/00-multinet.conf") if record else None
print(json.dumps(compare.status(plan, seen)))
"""
# A keeper that has just looked, and remembers nothing of the faults and the runs before.
FRESH_KEEPER = """
rm -f /run/multinet/changes.lock
systemctl restart multinet-keeper
touch /run/began
until test /run/multinet/metrics/multinet.prom -nt /run/began; do sleep 0.1; done
"""
# What `do`, `undo` and `tidy` may use; PEER is the address that packets go to.
SHELL = """
set -eu
control_groups() {  # each host's systemd takes the others' away once they are empty, and then
  # podman exec fails
  for id in $(podman ps -q --no-trunc); do
    mkdir -p /sys/fs/cgroup/systemd/libpod_parent/libpod-$id
  done
}
sums() {  # of what a run of site must leave whole
  find "$1" -type f ! -name full -exec sha256sum {} + | sort
}
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
    done = subprocess.run(
        [*inside, *command], capture_output=True, text=True, check=False, timeout=LONGEST
    )
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
        timeout=LONGEST,
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


def reboot(host):
    """Reboot a host, and make its pods anew."""
    on("localhost", "podman", "restart", "--time", "3", host)
    on("localhost", "bash", "-c", f"{SHELL}control_groups")
    playbook(ATTACH_AGAIN, "--limit", host)


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


def all_are_well(but=()):
    """Say whether every host is as deployed, but for some."""
    try:
        return all(status(host)["ok"] for host in HOSTS if host not in but)
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
        self.owed = False  # whether it has to be undone

    def make(self):
        """Make it, and see whether status says so."""
        self.stream = Stream(self.lane, self.network)
        self.began, self.owed = time.monotonic(), True
        self.shell("do")
        words = self.declared.get("says", "")
        if words and not wait(lambda: any(words in line for line in sentences(self.lane)), 20):
            self.wrong.append(f"status does not say {words!r}, but {sentences(self.lane)}")

    def shell(self, key):
        """Do what is declared."""
        if key in self.declared:
            address = self.stream.address if self.stream else ""
            on(self.host, "bash", "-c", f"PEER={address}\n{SHELL}{self.declared[key]}")

    def undo(self):
        """Take it back, and what it needed, once."""
        if self.owed:
            self.owed = False
            self.shell("undo")

    def run_site(self):
        """Have site end, as it must, in the sentence that is declared."""
        words = self.declared.get("site_ends")
        if words:
            results, success = playbook("multinet.flannel.site", "--limit", f"{STORE},{self.lane}")
            said = reasons(results)
            if success or len(said) != 1 or words not in said[0] or "Traceback" in said[0]:
                self.wrong.append(f"site does not end with {words!r}, but with {said}")

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
        said = one.get("says") or "nothing"
        of_site = one.get("site", one.get("site_ends", "-"))
        cells = [one["what"], said, of_site, one["by"], self.took, self.lost]
        return "| " + " | ".join(cells) + " |"


class Run:
    """What has become of all faults so far, in a table that grows with them.

    target: path of the table; listed: the faults as they are declared.
    """

    def __init__(self, target, listed):
        self.target, self.order = pathlib.Path(target), [one["what"] for one in listed]
        self.done, self.failures, self.lost_hosts = [], [], []
        self.target.with_suffix(".log").write_text("", encoding="utf-8")

    def tell(self, text):
        """Say what goes on."""
        print(text, flush=True)
        with self.target.with_suffix(".log").open("a", encoding="utf-8") as stream:
            stream.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    def all_are_well(self):
        """Say whether every host that gets faults is as deployed."""
        return all_are_well(self.lost_hosts)

    def guarded(self, fault, act):
        """Do something with a fault; whatever fails is its own failure, and the next is made."""
        try:
            act()
        except TROUBLE as error:
            fault.wrong.append(f"{type(error).__name__}: {error}")

    def over(self, fault):
        """Keep what became of a fault as a row of the table, unless it has one."""
        for why in fault.wrong:
            self.failures.append(f"{fault.declared['what']}: {why}")
            self.tell(f"  WRONG: {self.failures[-1]}")
        self.tell(f"{fault.lane}: {fault.row}")
        if not any(one.declared is fault.declared for one in self.done):
            self.done.append(fault)
        rows = [
            "| fault | status says | site says | repaired by | after | packets lost |",
            "| --- |" + " --- |" * 5,
            *(
                one.row
                for one in sorted(self.done, key=lambda one: self.order.index(one.declared["what"]))
            ),
        ]
        self.target.write_text("\n".join(rows) + "\n", encoding="utf-8")

    def bring_back(self, host, well):
        """Bring a host back that a fault may have left as it should not be; say whether it is."""

        def by_site():
            playbook("multinet.flannel.site", "--limit", f"{STORE},{host}")

        for way in (by_site, lambda: (reboot(host), by_site())):
            try:
                if wait(well, 5):
                    return True
                way()
            except TROUBLE as error:
                self.tell(f"  {host} could not be brought back: {error}")
        if wait(well, PATIENCE):
            return True
        self.lost_hosts.append(host)
        self.failures.append(
            f"{host} stays as it should not be, and gets no more faults: {sentences(host)}"
        )
        return False


def repaired_by_itself(run, fault, well):
    """Make a fault and wait until whoever repairs it has done so; say whether all is well then."""

    def act():
        if fault.declared["by"] == "keeper":
            on(fault.lane, "bash", "-c", FRESH_KEEPER)
        fault.make()
        fault.run_site()
        fault.undo()
        if fault.declared.get("pods") == "undo":
            playbook(ATTACH_AGAIN, "--limit", fault.lane)
        fault.see(well)
        if fault.declared.get("pods") == "after":
            playbook(ATTACH_AGAIN)

    for step in (act, fault.undo, lambda: fault.shell("tidy")):
        run.guarded(fault, step)
    run.over(fault)
    return not fault.wrong or run.bring_back(fault.lane, well)


def in_lanes(run, declared):
    """Make faults on three hosts at the same time."""
    waiting = queue.SimpleQueue()
    for one in declared:
        waiting.put(one)

    def lane(host):
        while True:
            try:
                fault = Fault(waiting.get_nowait(), host)
            except queue.Empty:
                return
            if not repaired_by_itself(run, fault, lambda: is_well(host)):
                return

    with concurrent.futures.ThreadPoolExecutor(len(LANES)) as pool:
        list(pool.map(lane, LANES))
    run.failures += [f"{one['what']}: no host was left for it" for one in left_in(waiting)]


def left_in(waiting):
    """Yield what nobody has taken out of a queue."""
    while not waiting.empty():
        yield waiting.get()


def repaired_by_site(run, faults, keeper):
    """Make faults, and have site say what it would do, and do it. keeper: whether it runs."""
    if not faults:
        return
    if not keeper:
        for host in HOSTS:
            on(host, "systemctl", "stop", "multinet-keeper")
    for fault in faults:
        run.guarded(fault, fault.make)
    said, dummy = playbook("multinet.flannel.site", "--check", "--diff")
    began = time.monotonic()
    results, success = playbook("multinet.flannel.site")
    over = wait(run.all_are_well)
    took = time.monotonic() - began
    for fault in faults:
        fault.began = time.monotonic() - took
        if not success:
            fault.wrong.append(f"site failed: {reasons(results)}")
        fault.expect(said)
        run.guarded(fault, lambda fault=fault: fault.see(lambda: over, 0))
        run.over(fault)
    if not over:
        for host in {fault.lane for fault in faults}:
            run.bring_back(host, lambda host=host: is_well(host))


def main(target, words=""):
    """Make them all and write the table; return what went wrong, a line each."""
    for host in HOSTS:  # in one place; releases have it on the data store's host alone
        copy = f"podman cp {STORE}:/usr/local/bin/etcdctl - | podman cp - {host}:/root"
        on("localhost", "bash", "-c", copy)
    listed = yaml.safe_load((HERE / "vars" / "faults.yml").read_text(encoding="utf-8"))["faults"]
    listed = [one for one in listed if re.search(words, one["what"])]
    if not listed:
        return f"No fault is called like FAULT={words}"
    run = Run(target, listed)
    by_itself = [one for one in listed if one["by"] != "site"]
    in_lanes(run, [one for one in by_itself if not one.get("alone")])
    for one in by_itself:
        lanes = [host for host in LANES if host not in run.lost_hosts]
        if one.get("alone") and lanes:
            repaired_by_itself(run, Fault(one, lanes[0]), run.all_are_well)
    spread = itertools.cycle(LANES)
    by_site = [Fault(one, one["on"]) for one in listed if one["by"] == "site"]
    instead = [Fault(one, next(spread)) for one in by_itself if "site" in one]
    for faults, keeper in ((by_site, True), (instead, False)):
        try:
            repaired_by_site(run, faults, keeper)
        except TROUBLE as error:
            run.failures.append(f"{len(faults)} faults that site repairs: {error}")
    try:
        again = {} if words else playbook("multinet.flannel.site", "--check")[0]
    except TROUBLE as error:
        again = {"": str(error)}
    if any(again.values()):
        run.failures.append(f"afterwards site would still change: {json.dumps(again)[:3000]}")
    run.tell(f"{len(run.done)} faults, {len(run.failures)} failures")
    return "\n".join(run.failures)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) or 0)
