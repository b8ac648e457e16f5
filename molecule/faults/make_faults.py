# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make every fault of vars/faults.yml on the scenario's hosts, and write a table of what becomes of
them: what status says, and how long each lasts. Ends with 1 when one is not named, or not repaired.

    make_faults.py FILE
"""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
import time

import yaml

HERE = pathlib.Path(__file__).resolve().parent
HOSTS = ("mn-faults-1", "mn-faults-2")
PATIENCE = 150.0  # seconds until somebody has repaired it
LOOK = """
import json, sys
sys.path.insert(0, "/usr/local/lib/multinet")
from multinet._drift import compare, observe
from multinet._node import deployed
plan = deployed.plan()
seen = observe.look(plan, "/etc/cni/net.d/00-multinet.conf")
print(json.dumps(compare.status(plan, seen)))
"""
ETCD = """etcd() {
  ETCDCTL_API=3 etcdctl --endpoints https://198.18.190.11:2379 --cacert /etc/multinet/pki/ca.crt \\
    --cert /etc/multinet/pki/client.crt --key /etc/multinet/pki/client.key "$@"
}
"""


def on(host, *command, check=True):
    """Run a command on a host and return what it prints."""
    done = subprocess.run(
        ["podman", "exec", host, *command], capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise RuntimeError(f"{host}: {' '.join(command)}: {done.stderr}{done.stdout}")
    return done.stdout


def status(host):
    """Return what module node_status_info would."""
    return json.loads(on(host, "python3", "-IS", "-c", LOOK))


def all_is_well():
    return all(status(host)["ok"] for host in HOSTS)


def wait(what, seconds=PATIENCE):
    """Wait for something to be true; return how long that took, None when it never was."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        if what():
            return time.monotonic() - start
        time.sleep(2)
    return None


def site():
    """Run the playbook site."""
    inventories = [f"--inventory={HERE.parent}/shared/inventory", f"--inventory={HERE}/inventory"]
    command = ["ansible-playbook", *inventories, "multinet.flannel.site"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"site failed: {done.stdout[-3000:]}{done.stderr[-1000:]}")


class Stream:
    """Packets from the pod on one host to the pod on the other, while a fault lasts."""

    def __init__(self, network):
        interface = {"blue": "eth0", "red": "net1"}[network]
        shown = json.loads(
            on(HOSTS[0], "ip", "netns", "exec", "a", "ip", "-j", "-4", "addr", "show", interface)
        )
        address = shown[0]["addr_info"][0]["local"]
        command = f"exec ip netns exec a ping -i 0.1 -q -W 1 {address}"
        self.process = subprocess.Popen(
            ["podman", "exec", HOSTS[1], "sh", "-c", command], stdout=subprocess.PIPE, text=True
        )
        time.sleep(1)

    def lost(self):
        """End it and return (packets lost, packets sent)."""
        on(HOSTS[1], "pkill", "-INT", "-x", "ping")
        said = self.process.communicate(timeout=30)[0]
        sent, received = re.search(r"(\d+) packets transmitted, (\d+) received", said).groups()
        return int(sent) - int(received), int(sent)


def make(fault):
    """Make a fault; return (a row of the table, what is wrong with what became of it)."""
    host = fault.get("on", HOSTS[1])
    stream = Stream(fault.get("network", "blue"))
    began = time.monotonic()
    on(host, "bash", "-c", ETCD + fault["do"])
    said, wrong = "", []
    if fault.get("says"):
        words = fault["says"]
        seen = wait(
            lambda: any(words in one["sentence"] for one in status(HOSTS[1])["deviations"]), 20
        )
        said = words
        if seen is None:
            found = [one["sentence"] for one in status(HOSTS[1])["deviations"]]
            wrong.append(f"status does not say {words!r}, but {found}")
    if fault["by"] == "site":
        site()
    if fault.get("undo"):
        on(host, "bash", "-c", ETCD + fault["undo"])
    repaired = wait(all_is_well)
    took = time.monotonic() - began
    lost, sent = stream.lost()
    if repaired is None:
        wrong.append(f"it was not repaired: {[status(one)['lines'] for one in HOSTS]}")
        site()
    row = f"| {fault['what']} | {said or 'nothing: it is over'} | {fault['by']} | {took:.0f} s |"
    return f"{row} {lost} of {sent} |", wrong


def main(target):
    """Make them all and write the table."""
    rows = [
        "| fault | status says | repaired by | after | packets lost |",
        "| --- |" + " --- |" * 4,
    ]
    failures = []
    listed = yaml.safe_load((HERE / "vars" / "faults.yml").read_text(encoding="utf-8"))
    for fault in listed["faults"]:
        row, wrong = make(fault)
        print(row, flush=True)
        rows.append(row)
        failures += [f"{fault['what']}: {one}" for one in wrong]
        for one in wrong:
            print(f"  WRONG: {one}", flush=True)
    pathlib.Path(target).write_text("\n".join(rows) + "\n", encoding="utf-8")
    return "\n".join(failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) or 0)
