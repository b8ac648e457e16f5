# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploy with a former collection, flanneld 0.26 and etcd 3.4; go to today's, and back where that
is possible, while packets flow and pods start. What each step costs goes into a table.

On each host ten packets a second go through each network to the next host, and pods with both
networks are attached, one after the other, each pings the next host on both, and is detached.
Ends with 1 when a packet is lost, a pod fails, a step does not end as declared, or a host does not
run what it should; all steps are made before, as far as they can be.

    upgrades.py former   deploy with the former collection alone
    upgrades.py FILE     the rest; FILE gets the table, FILE's .log what was said, and FILE's .tasks
                         when each task was done, to compare with when packets were lost
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from typing import NamedTuple

import yaml

HERE = pathlib.Path(__file__).resolve().parent
HOSTS = ("mn-upgrade-1", "mn-upgrade-2", "mn-upgrade-3")
INTERFACES = {"blue": "eth0", "red": "net1"}  # of the pods
DECLARED = yaml.safe_load((HERE / "inventory/group_vars/test_hosts.yml").read_text("utf-8"))
FORMER, NEWEST = DECLARED["test_former"], DECLARED["multinet_versions"]
BETWEEN = {**FORMER, **DECLARED["test_between"]}
# Pods that come and go until /run/stop is there; then how many, and what each that failed said.
NEW_PODS = """
export CNI_PATH=/opt/cni/bin CNI_IFNAME=eth0 CNI_NETNS=/run/netns/new
cni() { CNI_COMMAND=$1 CNI_CONTAINERID=new$n /opt/cni/bin/multinet </etc/cni/net.d/00-multinet.conf
}
works() {
  cni ADD && for address in $PEERS; do ip netns exec new ping -c 1 -W 5 $address || return; done
}
n=0
rm -f /run/stop
until [ -e /run/stop ]; do
  n=$((n + 1))
  ip netns add new
  works >/run/said 2>&1 || { echo "failed: $n, $(date +%T)"; tail -3 /run/said; }
  cni DEL >/run/said 2>&1 || { echo "failed: $n is not detached, $(date +%T)"; tail -3 /run/said; }
  ip netns del new
done
echo "pods: $n"
"""
# What runs, not what is installed: the version of each
RUNS = """
for name in flanneld etcd; do
  for pid in $(pgrep -x $name); do
    echo "$name $(/proc/$pid/exe --version 2>&1 | grep -o '[0-9][0-9]*[.][0-9.]*' | head -1)"
  done
done | sort -u
"""


ETCDCTL = (
    "ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 --cacert /etc/multinet/pki/ca.crt"
    " --cert /etc/multinet/pki/client.crt --key /etc/multinet/pki/client.key"
)


class Step(NamedTuple):
    """A run of a playbook. ends: words of the sentence that it must end with, "" for success;
    before: what is done on the first host before it.
    """

    what: str
    versions: dict[str, str]  # that are declared
    playbook: str = "upgrade"
    ends: str = ""
    runs: dict[str, str] | None = None  # what runs afterwards, if not what is declared
    before: str = ""


OLD, NEW, AFTER = FORMER["flannel"], NEWEST["flannel"], {**FORMER, "etcd": NEWEST["etcd"]}
BETWEEN_MINOR = BETWEEN["etcd"].rpartition(".")[0]
STEPS = [
    Step("the collection: meta-plugin, guard, keeper", FORMER),
    Step(f"flanneld {OLD} to {NEW}", {**FORMER, "flannel": NEW}),
    Step(f"flanneld back to {OLD}", FORMER, "rollback"),
    Step("flanneld back again, where nothing is left to go back to", FORMER, "rollback"),
    Step(
        "a flanneld that does not run, and is taken back",
        {**FORMER, "flannel": DECLARED["test_broken"]["flannel"]},
        ends=f"{HOSTS[0]} could not be upgraded (see the error above) and runs what it ran before",
        runs=FORMER,
    ),
    Step(
        f"etcd {FORMER['etcd']} to {AFTER['etcd']}, which is refused",
        AFTER,
        ends="etcd is upgraded by one minor version at a time",
        runs=FORMER,
    ),
    Step(
        "an etcd that does not run, and is taken back",
        {**FORMER, "etcd": DECLARED["test_broken"]["etcd"]},
        ends=f"{HOSTS[0]} could not be upgraded (see the error above) and runs the etcd that it",
        runs=FORMER,
    ),
    Step(f"etcd {FORMER['etcd']} to {BETWEEN['etcd']}", BETWEEN),
    Step(f"etcd {BETWEEN['etcd']} to {AFTER['etcd']}", AFTER),
    Step(
        f"etcd back to {BETWEEN['etcd']}, which is refused",
        BETWEEN,
        ends=f"`etcdctl downgrade enable {BETWEEN_MINOR}`",
        runs=AFTER,
    ),
    Step(
        f"etcd back to {BETWEEN['etcd']}, as the cluster was told",
        BETWEEN,
        before=f"{ETCDCTL} downgrade enable {BETWEEN_MINOR}",
    ),
    Step(f"etcd {BETWEEN['etcd']} to {AFTER['etcd']} again", AFTER),
    Step(f"flanneld {OLD} to {NEW} again", NEWEST),
]


def on(host, script, check=True):
    """Run a script on a host and return what it prints."""
    done = subprocess.run(
        ["podman", "exec", host, "bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if check and done.returncode:
        raise RuntimeError(f"{host}: {script}: {done.stderr[-1000:]}")
    return done.stdout


def gaps(text, begin):
    """Return (packets sent, lost, when those were sent that were lost: [from and to, as text]), of
    what `ping -D -i 0.1` says. begin: when it was started, in seconds since the epoch.
    """
    answers = [
        (int(number), float(at))
        for at, number in re.findall(r"^\[([\d.]+)\] .*icmp_seq=(\d+) ttl", text, re.M)
    ]
    # One that is on its way when it ends is no loss: those are that later ones overtook.
    answers.sort()
    last, found = (0, begin), []
    lost = 0
    for number, at in answers:
        if number > last[0] + 1:
            lost += number - last[0] - 1
            found.append("-".join(time.strftime("%T", time.localtime(t)) for t in (last[1], at)))
        last = max(last, (number, at))
    return last[0], lost, found


def playbook(name, versions, former=False, tasks="/dev/null"):
    """Run a playbook of the collection, or of the former one; return (success, what it printed).

    tasks: a file that gets when each task was done.
    """
    environment = dict(
        os.environ, ANSIBLE_CALLBACK_RESULT_FORMAT="json", ANSIBLE_LOG_PATH=str(tasks)
    )
    environment.pop("ANSIBLE_STDOUT_CALLBACK", None)
    if former:
        ours, *others = environment["ANSIBLE_COLLECTIONS_PATH"].split(":")
        there = pathlib.Path(ours).parent / "upgrade" / "collections"
        environment["ANSIBLE_COLLECTIONS_PATH"] = ":".join([str(there), *others])
    inventories = [f"--inventory={HERE.parent}/shared/inventory", f"--inventory={HERE}/inventory"]
    declared = json.dumps({"multinet_versions": versions})
    done = subprocess.run(
        ["ansible-playbook", *inventories, f"multinet.flannel.{name}", "-e", declared],
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
        env=environment,
    )
    return done.returncode == 0, done.stdout + done.stderr


class Traffic:
    """What flows while a step is made: from each host's pod to the next host's, and new pods."""

    def __init__(self):
        self.peers = {
            host: self.addresses(other) for host, other in zip(HOSTS, HOSTS[1:] + HOSTS[:1])
        }
        self.pings, self.pods = [], []

    @staticmethod
    def addresses(host):
        """Return the addresses of a host's pod, by network."""
        shown = json.loads(on(host, "ip netns exec a ip -j -4 address show"))
        found = {one["ifname"]: one["addr_info"][0]["local"] for one in shown if one["addr_info"]}
        return {network: found[interface] for network, interface in INTERFACES.items()}

    @staticmethod
    def _start(host, script):
        return subprocess.Popen(
            ["podman", "exec", host, "bash", "-c", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @staticmethod
    def _said(processes):
        """Wait for processes; return what each has printed."""
        with concurrent.futures.ThreadPoolExecutor(len(processes)) as pool:
            return list(pool.map(lambda process: process.communicate(timeout=120)[0], processes))

    def start(self):
        """Have it flow."""
        for host, peers in self.peers.items():
            for network, address in peers.items():
                script = f"exec ip netns exec a ping -D -n -i 0.1 {address}"
                self.pings.append((host, network, time.time(), self._start(host, script)))
            script = f"PEERS='{' '.join(peers.values())}'\n{NEW_PODS}"
            self.pods.append((host, self._start(host, script)))
        time.sleep(2)

    def stop(self):
        """Return (packets sent, lost, pods, those that failed, what is to be said of them)."""
        time.sleep(2)
        for host in HOSTS:
            on(host, "touch /run/stop")
        said_of_pods = self._said([process for dummy, process in self.pods])
        for host in HOSTS:  # not before: new pods ping, too
            on(host, "pkill -INT -x ping")
        said = self._said([process for *dummy, process in self.pings])
        sent = lost = pods = failed = 0
        why = []
        for (host, network, begin, dummy), text in zip(self.pings, said):
            last, without, when = gaps(text, begin)
            sent, lost = sent + last, lost + without
            if without or not last:
                why.append(f"{host}, {network}: {without} of {last} packets lost, {' '.join(when)}")
        for (host, dummy), text in zip(self.pods, said_of_pods):
            pods += int((re.search(r"^pods: (\d+)$", text, re.M) or [0, 0])[1])
            failed += text.count("failed: ")
            if "failed: " in text or "pods: " not in text:
                why.append(f"{host}: {text[-1500:]}")
        self.pings, self.pods = [], []
        return sent, lost, pods, failed, why


class Run:
    """The table that grows, and what went wrong. target: its path."""

    def __init__(self, target):
        self.target, self.failures = pathlib.Path(target), []
        self.rows = [
            "| step | packets lost | pods that failed to start | seconds | per host |",
            "| --- | --- | --- | --- | --- |",
        ]
        self.log = self.target.with_suffix(".log")
        self.tasks = self.target.with_suffix(".tasks")
        for file in (self.log, self.tasks):
            file.write_text("", encoding="utf-8")

    def tell(self, text):
        """Say what goes on."""
        print(text, flush=True)
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    def wrong(self, step, text):
        """Keep what is not as it should be."""
        self.failures.append(f"{step.what}: {text}")
        self.tell(f"  WRONG: {self.failures[-1]}")

    def make(self, step):
        """Make a step while packets flow, and keep its row."""
        if step.before:
            on(HOSTS[0], step.before)
        traffic = Traffic()
        traffic.start()
        began = time.monotonic()
        try:
            success, said = playbook(step.playbook, step.versions, tasks=self.tasks)
        finally:
            took = time.monotonic() - began
            sent, lost, pods, failed, why = traffic.stop()
        with self.log.open("a", encoding="utf-8") as stream:
            stream.write(said)
        if success != (not step.ends) or step.ends not in said:
            self.wrong(step, f"it ended otherwise: {said[-3000:]}")
        if lost or failed or not sent or not pods:
            self.wrong(step, "\n".join(why))
        self.look(step)
        per_host = "-" if step.ends else f"{took / len(HOSTS):.0f} s"
        cells = [step.what, f"{lost} of {sent}", f"{failed} of {pods}", f"{took:.0f} s", per_host]
        self.rows.append(f"| {' | '.join(cells)} |")
        self.target.write_text("\n".join(self.rows) + "\n", encoding="utf-8")
        self.tell(self.rows[-1])

    def look(self, step):
        """Compare what runs with what should."""
        versions = step.runs or step.versions
        expected = [f"etcd {versions['etcd']}", f"flanneld {versions['flannel']}"]
        for host in HOSTS:
            runs = on(host, RUNS).split("\n")[:-1]
            if runs != expected:
                self.wrong(step, f"{host} runs {runs}, not {expected}")


def main(target):
    """Make all steps; return what went wrong, a line each."""
    if target == "former":
        success, said = playbook("site", FORMER, former=True)
        return "" if success else said
    run = Run(target)
    for step in STEPS:
        run.make(step)
    saved = on(HOSTS[0], "ls /var/lib/multinet")
    for version in (FORMER["etcd"], BETWEEN["etcd"]):
        if f"etcd-{version}.db" not in saved:
            run.failures.append(f"there is no snapshot of etcd {version}: {saved}")
    return "\n".join(run.failures)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) or 0)
