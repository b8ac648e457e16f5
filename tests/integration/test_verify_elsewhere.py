# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks made by hand, with nothing of ours: etcd, two of upstream's flanneld on each of two
hosts, pods attached by Multus thin to bridges. They are not isolated, and verification says so.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import re
import subprocess
import urllib.error
import urllib.request

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._observe import elsewhere, leaks
from observe_lab import ObserveLab, run
from waiting import PATIENCE, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

DECLARED = [
    {
        "name": "blue",
        "bridge": "cni0",
        "cidr": "10.1.0.0/16",
        "vni": 1,
        "default": True,
        "subnet_file": "/set/by/the/lab",
    },
    {
        "name": "red",
        "bridge": "cbr1",
        "cidr": "10.3.0.0/16",
        "vni": 2,
        "subnet_file": "/set/by/the/lab",
    },
]
AGAIN = "ansible-playbook -i INVENTORY -e @verify.yml multinet.flannel.verify"
ETCD = "http://192.168.9.1:2379"
PODS = {"h1": {"a": ["blue", "red"], "b": ["blue"]}, "h2": {"a": ["blue", "red"], "c": ["red"]}}
# What a repair asks for, by hand: nothing goes from a device of one network to one of the other
APART = """flush ruleset
table inet by_hand {
  chain forward { type filter hook forward priority -300
    iifname { cni0, flannel.1 } oifname { cbr1, flannel.2 } drop
    iifname { cbr1, flannel.2 } oifname { cni0, flannel.1 } drop
  }
}
"""


class ByHand(ObserveLab):
    """Hosts with an underlay alone, and what a person would start on them. Also a context manager;
    upstream_bin: the directory of upstream's executables.
    """

    def __init__(self, place, upstream_bin):
        super().__init__(elsewhere.plan_of(DECLARED), PODS, place)
        self.bin, self.started = upstream_bin, []

    def _build(self):
        super()._build()
        self.start("h1", "etcd", "--data-dir", self.place / "etcd", "--log-level=error",
                   "--listen-client-urls", ETCD, "--advertise-client-urls", ETCD,
                   "--listen-peer-urls", "http://127.0.0.1:2380")  # fmt: skip
        for network in self.plan["networks"]:
            vni = network["backend"]["vni"]
            said = {"Network": network["cidr"], "Backend": {"Type": "vxlan", "VNI": vni}}
            self.put(f"/{network['name']}/config", json.dumps(said))
        for host in self.hosts:
            for network in self.plan_of(host)["networks"]:
                self.start(host, "flanneld", f"-etcd-endpoints={ETCD}", "-iface=eth0",
                           f"-etcd-prefix=/{network['name']}", "-ip-masq=false",
                           f"-subnet-file={network['subnet_file']}")  # fmt: skip
        wait_for(
            lambda: all(os.path.exists(one) for one in self.subnet_files()),
            why=lambda: "a flanneld has no lease",
        )
        for host in self.hosts:
            for pod, networks in self.pods[host].items():
                self.attach(host, pod, networks)

    def _build_network(self, network, host):
        pass

    def _build_pod(self, host, pod, networks, number):
        pass

    def __exit__(self, *exc):
        for process in self.started:
            process.terminate()
        for process in self.started:
            process.wait()
        super().__exit__(*exc)

    def start(self, host, program, *options):
        command = ["ip", "netns", "exec", self.ns(host), str(self.bin / program)]
        log = open(self.place / f"{program}.log", "ab")  # noqa: SIM115 - the program's, to its end
        self.started.append(
            subprocess.Popen([*command, *map(str, options)], stdout=log, stderr=log)
        )

    def put(self, key, value):
        """Write a key to etcd, as soon as it answers."""
        encoded = [base64.b64encode(text.encode()).decode() for text in (key, value)]
        body = json.dumps(dict(zip(("key", "value"), encoded))).encode()

        def request():
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(ETCD + "/v3/kv/put", body, timeout=PATIENCE) as answer,
            ):
                return answer.status
            return None

        return wait_for(lambda: self.on("h1", request), why=lambda: "etcd does not answer")

    def subnet_files(self):
        return [one["subnet_file"] for host in self.hosts for one in self.plan_of(host)["networks"]]

    def attach(self, host, pod, networks):
        """Have Multus thin attach a pod to these networks, the first as eth0."""
        delegates = [
            {
                "cniVersion": "0.4.0",
                "name": network["name"],
                "type": "flannel",
                "subnetFile": network["subnet_file"],
                "dataDir": str(self.place / host / "flannel"),
                "ipam": {"dataDir": str(self.place / host / "addresses")},
                "delegate": {
                    "bridge": network["bridge"],
                    "isDefaultGateway": network["default"],
                    "ipMasq": False,
                },
            }
            for network in self.plan_of(host)["networks"]
            if network["name"] in networks
        ]
        multus = {
            "cniVersion": "0.4.0",
            "name": "multus",
            "type": "multus",
            "cniDir": str(self.place / host / "multus"),
            "binDir": str(self.bin),
            "delegates": delegates,
        }
        environment = {
            "CNI_COMMAND": "ADD",
            "CNI_CONTAINERID": f"{host}-{pod}",
            "CNI_NETNS": self.path(f"{host}-{pod}"),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(self.bin),
        }
        words = [f"{key}={value}" for key, value in environment.items()]
        command = ("ip", "netns", "exec", self.ns(host), "env", *words, str(self.bin / "multus"))
        run(*command, text=json.dumps(multus))


@pytest.fixture(scope="module", name="lab")
def _lab(tmp_path_factory, upstream_bin):
    with ByHand(tmp_path_factory.mktemp("by-hand"), upstream_bin) as lab:
        yield lab


def found(report):
    """{class: hosts} of what leaks."""
    return {
        leaks.CLASSES[one["class"]]: one["hosts"]
        for one in report["findings"]
        if one["outcome"] == "leak"
    }


# of pods on both networks, which the kernel has otherwise
SETTINGS = {"arp_ignore", "arp_announce", "ip_forward", "accept_ra", "accept_redirects"}
TABLE = re.compile(r"^\| (\d+) \| (\d+) ((?:`\w+`(?:, )?)+) \| both \|", re.M)


def documented():
    """The rows of docs/verify_elsewhere.md: [(class, measurements, kinds)]."""
    text = (pathlib.Path(__file__).parents[2] / "docs/verify_elsewhere.md").read_text("utf-8")
    return [
        (int(number), int(cells), re.findall(r"\w+", kinds))
        for number, cells, kinds in TABLE.findall(text)
    ]


def test_two_flanneld_on_a_host_isolate_nothing(lab):
    report = lab.measure()
    assert report["verdict"] == "leaks", report["headline"]
    assert not report["counts"]["inconclusive"]
    both = ["h1", "h2"]
    leaking = [one for one in report["findings"] if one["outcome"] == "leak"]
    assert all(one["hosts"] == both for one in leaking)
    assert [(one["class"], one["cells"], one["kinds"]) for one in leaking] == documented()
    assert len(leaking) == 6
    settings = [one for one in report["findings"] if one["outcome"] == "deviation"]
    assert {one["what"].rsplit(".", 1)[-1] for one in settings} == SETTINGS
    assert all("it forwards what they send" in gap for gap in report["gaps"]) and report["gaps"]
    first = next(one for one in report["findings"] if one["class"] == leaks.HOST_FORWARDING.number)
    assert "On h1, h2, nothing keeps" in first["repair"]
    assert "flannel isolates no networks" in first["repair"]
    assert first["commands"] == [AGAIN]
    # each of its networks works
    assert not report["counts"]["broken"], report["findings"]


def test_what_the_repair_asks_for_closes_it(lab):
    for host in lab.hosts:
        lab.nft(host, APART)
    report = lab.measure()
    assert set(found(report)) == {
        leaks.NODE_ADDRESSES,
        leaks.INJECTION,
        leaks.ARP,
        leaks.POD_FORWARDS,
    }
