# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same configuration and pod through the meta-plugin and through Multus (thin): what the
kernel, the API and the caller have afterwards.

Where the two differ, the case names what differs and why; a difference that is not named is an
error, and so is a named one that is none.
"""

from __future__ import annotations

import json
import os
import shutil

import pytest
from cni_host import BIN, CniHost
from test_meta_kubernetes import NETWORKS, Pod, bridge, fixture_api
from test_meta_plugin import SEED

if os.geteuid() != 0:
    pytest.skip("needs root for network namespaces", allow_module_level=True)

api = pytest.fixture(name="api", scope="module")(fixture_api)

DEFAULT = [bridge("default", "10.19.0.0/24", gateway=True)]
API = {
    "name": "meta",
    "cniVersion": "1.0.0",
    "type": "multus",
    "kubeconfig": "KUBECONFIG",
    "delegates": DEFAULT,
}
CLUSTER = {"name": "meta", "cniVersion": "1.0.0", "type": "multus", "kubeconfig": "KUBECONFIG"}


def asked(value, **more):
    return dict({NETWORKS: value if isinstance(value, str) else json.dumps(value)}, **more)


CASES = [
    {
        "what": "delegates alone",
        "conf": {
            "name": "meta",
            "cniVersion": "1.0.0",
            "type": "multus",
            "delegates": DEFAULT + [bridge("second", "10.30.0.0/24")],
        },
    },
    {"what": "a pod that asks for nothing", "conf": API, "notes": {}},
    {"what": "the short form", "conf": API, "notes": asked("red,blue@data0,other/green")},
    {
        "what": "JSON with addresses and names",
        "conf": API,
        "notes": asked(
            [
                {
                    "name": "red",
                    "ips": ["10.20.0.77/24"],
                    "mac": "02:00:00:00:00:77",
                    "interface": "x0",
                },
                {"name": "blue"},
            ]
        ),
    },
    {"what": "the same network twice", "conf": API, "notes": asked("red,red@again")},
    {"what": "cni-args", "conf": API, "notes": asked([{"name": "red", "cni-args": {"a": 1}}])},
    {
        "what": "another default network",
        "conf": API,
        "notes": asked("red", **{"v1.multus-cni.io/default-network": "chosen"}),
    },
    {
        "what": "a cluster network and default networks",
        "conf": dict(CLUSTER, clusterNetwork="chosen", defaultNetworks=["chosen"]),
        "notes": asked("red"),
        "differs": {"default route", "status"},
        "because": "Both make a default route. With Multus it is net1's, here the master's.",
    },
    {
        "what": "a network on the host",
        "conf": dict(API, confDir="CONFDIR"),
        "notes": asked("on-host"),
    },
    {
        "what": "a cluster network by its file",
        "conf": dict(CLUSTER, clusterNetwork="CONFDIR/x.conflist"),
        "notes": asked("red"),
        "differs": {"DEL", "left"},
        "because": "Multus fails at DEL and leaks the address.",
    },
    {"what": "isolation kept", "conf": dict(API, namespaceIsolation=True), "notes": asked("red")},
    {
        "what": "isolation violated",
        "conf": dict(API, namespaceIsolation=True),
        "notes": asked("other/green"),
    },
    {
        "what": "isolation with global namespaces",
        "conf": dict(API, namespaceIsolation=True, globalNamespaces="x, other"),
        "notes": asked("other/green"),
    },
    {"what": "a network that is not there", "conf": API, "notes": asked("nothing")},
    {"what": "an annotation that is none", "conf": API, "notes": asked("red,")},
    {
        "what": "an address that is none",
        "conf": API,
        "notes": asked([{"name": "red", "ips": ["10.20.0"]}]),
    },
    {
        "what": "a hardware address that is none",
        "conf": API,
        "notes": asked([{"name": "red", "mac": "x"}]),
    },
    # where they differ
    {
        "what": "the first generation's file",
        "conf": SEED,
        "differs": {"addresses", "answer", "default route"},
        "because": (
            "Multus goes by the order of the list: the network marked `masterplugin` becomes net1"
            " and keeps the default route."
        ),
    },
    {
        "what": "a wish that no plugin can fulfil",
        "conf": API,
        "notes": asked(
            [{"name": "red", "portMappings": [{"hostPort": 8000, "containerPort": 80}]}]
        ),
        "differs": {
            "addresses",
            "answer",
            "answer's addresses",
            "default route",
            "status",
            "succeeds",
        },
        "because": "Multus checks no capabilities (N21): the pod starts without its port mapping.",
    },
    {
        "what": "a default route by another network",
        "conf": API,
        "notes": asked([{"name": "red", "default-route": ["10.20.0.1"]}]),
        "differs": {"default route", "status"},
        "because": "Multus leaves the default route where it was (N24).",
    },
    {"what": "one interface for two", "conf": API, "notes": asked("red@x,blue@x")},
    {
        "what": "a caller of another version than the delegate",
        "conf": dict(API, cniVersion="0.4.0"),
        "notes": {},
        "differs": {"answer"},
        "because": "Multus answers in the delegate's version, not in the caller's.",
    },
    {
        "what": "a delegate of an older version than the caller",
        "conf": dict(API, delegates=[dict(DEFAULT[0], cniVersion="0.3.1")]),
        "notes": {},
        "differs": {"answer"},
        "because": "Multus answers in the delegate's version, not in the caller's.",
    },
    {
        "what": "kubeconfig alone",
        "conf": dict(CLUSTER),
        "notes": {"networks": "[]"},
        "differs": {"DEL"},
        "because": "Multus fails at DEL of what was never attached.",
    },
    {
        "what": "an empty list for the default route keeps the plugin's",
        "conf": API,
        "notes": asked([{"name": "chosen", "namespace": "kube-system", "default-route": []}]),
        "differs": {"status"},
        "because": "Multus tells the pod a gateway of eth0 that is in no routing table.",
    },
]


def outcome(plugin, case, directory, upstream_bin, api):
    """Run a case through a plugin on a fresh host; return what is to be compared (dict)."""
    directory.mkdir()
    host = CniHost(directory, upstream_bin, ("multinet",), shared=api.name)
    try:
        shutil.copy(upstream_bin / "multus", host.path(BIN) / "multus")
        host.lease("/run/flannel/subnet.env", "10.1.5.1/24", "10.1.0.0/16")
        host.lease("/run/flannel/subnet2.env", "10.3.7.1/24", "10.3.0.0/16")
        certificate, key = api.issue_client("both")
        api.kubeconfig(
            directory / "kubeconfig",
            {"client-certificate": str(certificate), "client-key": str(key)},
        )
        (directory / "net.d").mkdir()
        on_host = {
            "name": "on-host",
            "cniVersion": "1.0.0",
            "plugins": [bridge(None, "10.24.0.0/24", "br-onhost")],
        }
        (directory / "net.d" / "x.conflist").write_text(json.dumps(on_host), encoding="utf-8")
        text = case["conf"] if isinstance(case["conf"], str) else json.dumps(case["conf"])
        text = text.replace("KUBECONFIG", str(directory / "kubeconfig")).replace(
            "CONFDIR", str(directory / "net.d")
        )
        pod = Pod(host, api, notes=case.get("notes", {}))
        status, answer = pod.cni("ADD", text, plugin=plugin)
        told = pod.status() or []
        found = {
            "succeeds": status == 0,
            "addresses": pod.addresses(),
            "default route": host.default_route(pod.netns),
            "answer": (
                {key: (answer or {}).get(key) for key in ("cniVersion", "dns", "ip4")}
                if status == 0
                else None
            ),
            "answer's addresses": (
                [item["address"] for item in (answer or {}).get("ips", [])] if status == 0 else None
            ),
            "status": [
                (
                    one["name"],
                    one.get("interface"),
                    one.get("ips"),
                    bool(one.get("default")),
                    one.get("gateway"),
                )
                for one in told
            ],
        }
        found["DEL"] = pod.cni("DEL", text, plugin=plugin)[0]
        found["left"] = [item for item in host.leftovers() if not item.startswith("multus/")]
        return found
    finally:
        host.close()


@pytest.mark.parametrize("case", [pytest.param(case, id=case["what"]) for case in CASES])
def test_as_multus_or_for_a_reason(case, tmp_path, upstream_bin, api):
    if not (upstream_bin / "multus").exists():
        pytest.skip("there is no multus among the upstream programs")
    theirs = outcome("multus", case, tmp_path / "theirs", upstream_bin, api)
    ours = outcome("multinet", case, tmp_path / "ours", upstream_bin, api)
    differing = sorted(key for key in ours if ours[key] != theirs[key])
    assert differing == sorted(case.get("differs", ())), {
        key: (ours[key], theirs[key]) for key in differing
    }
    assert ours["DEL"] == 0 and ours["left"] == []


PORTS = {
    "portMappings": [
        {"hostPort": 18080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 18081, "containerPort": 53, "protocol": "udp"},
        {"hostPort": 18082, "containerPort": 80, "protocol": "tcp", "hostIP": "127.0.0.1"},
    ]
}
WITH_PORTS = dict(
    CLUSTER,
    delegates=[
        {
            "name": "default",
            "cniVersion": "1.0.0",
            "plugins": [
                {key: value for key, value in DEFAULT[0].items() if key not in ("name",)},
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }
    ],
    runtimeConfig=PORTS,
)


def rules(host):
    """Return the rules of the host that name one of the ports."""
    done = host.run(["sh", "-c", "iptables-save; nft list ruleset"])
    return [line for line in done.stdout.splitlines() if "1808" in line]


@pytest.mark.parametrize("by", ["multus", "runtime"])
def test_what_others_attached_is_detached_after_the_takeover(by, tmp_path, upstream_bin, api):
    """As libcni remembers it, with the ports that the plugins were told: from Multus all networks,
    of what the runtime called itself the one of this interface.
    """
    if not (upstream_bin / "multus").exists():
        pytest.skip("there is no multus among the upstream programs")
    host = CniHost(tmp_path / "host", upstream_bin, ("multinet", "multus"), shared=api.name)
    try:
        shutil.copy(upstream_bin / "multus", host.path(BIN) / "multus-thin")
        certificate, key = api.issue_client("both")
        api.kubeconfig(
            tmp_path / "kubeconfig",
            {"client-certificate": str(certificate), "client-key": str(key)},
        )
        text = json.dumps(WITH_PORTS).replace("KUBECONFIG", str(tmp_path / "kubeconfig"))
        pod = Pod(host, api, notes=asked("red"))
        status, answer = pod.cni("ADD", text, plugin="multus-thin")
        assert status == 0, answer
        assert set(pod.addresses()) == {"eth0", "net1"} and rules(host)
        cached = host.path("/var/lib/cni/multus/results")
        assert len(list(cached.iterdir())) == 2
        if by == "runtime":
            shutil.move(cached, host.path("/var/lib/cni/results"))
            shutil.rmtree(host.path("/var/lib/cni/multus"))
            cached = host.path("/var/lib/cni/results")
        ours = {"name": "multinet", "cniVersion": "1.0.0", "type": "multinet"}
        ours["delegates"] = [bridge("blue", "10.77.0.0/24")]
        assert pod.cni("DEL", ours)[0] == 0
        assert rules(host) == []
        left = host.leftovers()
        if by == "runtime":
            assert len(left) == 3, left  # net1's: its address, its host end, its entry
            assert [file.name.partition("-")[0] for file in cached.iterdir()] == ["red"]
        else:
            assert left == [] and list(cached.iterdir()) == [] and pod.addresses() == {}
    finally:
        host.close()
