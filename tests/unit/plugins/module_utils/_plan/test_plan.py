# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan against vectors: what a declaration becomes, what is refused and with which sentences,
and that nothing else can happen.
"""

from __future__ import annotations

import copy
import json
import pathlib
import re
import sys

import pytest
from ansible_collections.multinet.flannel.plugins.filter.plan import plan_as_deployed
from ansible_collections.multinet.flannel.plugins.module_utils._plan import argument_spec
from ansible_collections.multinet.flannel.plugins.module_utils._plan.changes import (
    changed,
    removed,
    undeployed,
    without_default,
)
from ansible_collections.multinet.flannel.plugins.module_utils._plan.errors import PlanError
from ansible_collections.multinet.flannel.plugins.module_utils._plan.options import CHECKS
from ansible_collections.multinet.flannel.plugins.module_utils._plan.pairs import blocked
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from ansible_collections.multinet.flannel.plugins.module_utils._plan.render import (
    flanneld_environment,
)
from ansible_collections.multinet.flannel.plugins.module_utils._plan.schema import (
    BACKENDS,
    NETWORK_KEYS,
    OPTIONS,
)
from ansible_collections.multinet.flannel.plugins.module_utils._plan.secrets import masked
from ansible_collections.multinet.flannel.plugins.module_utils._plan.values import SIMPLE
from declaration import BLUE, RED
from hypothesis import given, settings
from hypothesis import strategies as st

VECTORS = pathlib.Path(__file__).parent / "vectors"
VALID = {path.stem: json.loads(path.read_text()) for path in sorted(VECTORS.glob("valid/*.json"))}
INVALID = json.loads((VECTORS / "invalid.json").read_text())
AGREED = json.loads((VECTORS / "backends.json").read_text())
SETTINGS = {
    "etcd_endpoints": ["https://192.168.7.11:2379", "https://192.168.7.12:2379"],
    "tls": True,
    "pki_dir": "/etc/multinet/pki",
    "interface": "eth1",
}


@pytest.mark.parametrize("vector", VALID.values(), ids=VALID)
def test_valid(vector):
    before = copy.deepcopy(vector["networks"])
    plain = {key: one.default for key, one in NETWORK_KEYS.items() if one.default is not None}
    networks = [plain | network for network in vector["plan"]["networks"]]
    assert plan(vector["networks"], vector["options"]) == dict(vector["plan"], networks=networks)
    assert vector["networks"] == before, "the declaration was changed"


@pytest.mark.parametrize("vector", INVALID, ids=[vector["name"] for vector in INVALID])
def test_invalid(vector):
    with pytest.raises(PlanError) as caught:
        plan(vector["networks"], vector["options"])
    assert caught.value.errors == vector["errors"]
    assert str(caught.value) == "\n".join(vector["errors"])


def test_every_sentence_names_its_place_and_a_remedy():
    for vector in INVALID:
        for sentence in vector["errors"]:
            assert sentence.startswith(
                ("network ", "multinet_networks: ", "options: ")
            ) and sentence.endswith("."), sentence
            assert any(
                verb in sentence
                for verb in (
                    "; write ",
                    "; remove it",
                    "; leave ",
                    ": write ",
                    ", or leave it out",
                    "remove ",
                )
            ), sentence


def test_no_sentence_shows_a_secret():
    secret = "hunter2-hunter2"
    backends = (
        {"type": "ipsec", "psk": secret},
        {"type": "wireguard", "psk": secret},
        {"type": "vxlan", "vni": 1, "psk": secret},
        [secret],
    )
    others = (
        {"psk": secret},
        [[secret]],
        [dict(BLUE, psk=secret)],
        [dict(BLUE, allow_to={"psk": secret})],
        [dict(BLUE, delegate=[secret])],
    )
    for networks in [[dict(BLUE, backend=backend)] for backend in backends] + list(others):
        with pytest.raises(PlanError) as caught:
            plan(networks)
        assert secret not in str(caught.value)


@pytest.mark.parametrize("vector", VALID.values(), ids=VALID)
def test_names_fit_the_kernel_and_are_not_shared(vector):
    networks = plan(vector["networks"], vector["options"])["networks"]
    for network in networks:
        assert all(0 < len(device) <= 15 for device in network["devices"] + [network["interface"]])
    for key in (
        "cni_name",
        "unit",
        "subnet_file",
        "data_dir",
        "bridge",
        "healthz_port",
        "interface",
    ):
        assert len({network[key] for network in networks}) == len(networks), key
    assert len(
        {network["etcd_prefix"] or network["annotation_prefix"] for network in networks}
    ) == len(networks)
    devices = [device for network in networks for device in network["devices"]]
    assert len(set(devices)) == len(devices)


@pytest.mark.parametrize("backend, mtu", [({"vni": 6}, 1480), ({"vni": 6, "mtu": 8980}, 8980)])
def test_a_vxlan_tunnel_over_ipv6_gets_the_room_it_needs(backend, mtu):
    """1480 less flannel's 50 and the 70 of the tunnel is an Ethernet's 1500; without it full
    packets do not arrive.
    """
    network = {
        "name": "six",
        "cidr": "10.6.0.0/16",
        "ipv6_cidr": "fd00:6::/48",
        "default": True,
        "backend": dict(backend, type="vxlan"),
    }
    assert plan([network])["networks"][0]["flannel_config"]["Backend"]["MTU"] == mtu


def test_pods_get_routes_to_the_networks_they_may_talk_with():
    """A pod without the default network has no other way there, nor the one that answers back."""
    networks = [
        BLUE,
        dict(RED, attach="all"),
        dict(
            RED,
            name="green",
            cidr="10.5.0.0/16",
            backend={"type": "vxlan", "vni": 3},
            allow_to=["red", "blue"],
        ),
    ]
    planned = plan(networks)

    def routes(conf):
        return [route["dst"] for route in conf["plugins"][0].get("ipam", {}).get("routes", [])]

    # the halves: in a pod that is on both networks the way over the network itself must win
    assert {
        network["name"]: routes(network["cni_conflist"]) for network in planned["networks"]
    } == {
        "blue": ["10.1.0.0/17", "10.1.128.0/17"],
        "red": ["10.5.0.0/16", "10.3.0.0/17", "10.3.128.0/17"],
        "green": ["10.1.0.0/16", "10.3.0.0/16", "10.5.0.0/17", "10.5.128.0/17"],
    }
    assert [routes(delegate) for delegate in planned["cni_conf"]["delegates"]] == [
        routes(network["cni_conflist"]) for network in planned["networks"][:2]
    ]
    assert routes(plan([BLUE, RED])["networks"][1]["cni_conflist"]) == []


def test_json_object_for_kubernetes_holds_the_same_configuration():
    network = plan([BLUE, RED])["networks"][1]
    assert json.loads(network["net_attach_def"]["spec"]["config"]) == network["cni_conflist"]


def vxlans(count):
    """Return a declaration of so many networks."""
    return [
        {
            "name": f"n{number}",
            "cidr": f"10.{number}.0.0/16",
            "default": number == 1,
            "healthz_port": 20000 + number,
            "backend": {"type": "vxlan", "vni": number},
        }
        for number in range(1, count + 1)
    ]


def steps_of(count):
    """Return how many functions are called to plan so many networks."""
    declared = vxlans(count)
    calls = 0

    def count_one(_frame, event, _argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count_one)
    try:
        assert len(plan(declared)["networks"]) == count
    finally:
        sys.setprofile(None)
    return calls


def test_many_networks_cost_little_more_than_their_number():
    """Each is compared with each other, but what is compared is made once: twenty times as many
    networks are twenty times the work.
    """
    steps_of(1)
    assert steps_of(200) < 25 * steps_of(10)


def test_a_plan_is_as_long_as_its_networks_are_many():
    """It goes to every host: what grows with their square is made where it is used."""
    length = {count: len(json.dumps(plan(vxlans(count)))) for count in (10, 200)}
    assert length[200] < 25 * length[10]


# The environment of flanneld


def test_environment_with_tls():
    assert (
        flanneld_environment(plan([BLUE])["networks"][0], SETTINGS)
        == "FLANNELD_ETCD_CAFILE=/etc/multinet/pki/ca.crt\n"
        "FLANNELD_ETCD_CERTFILE=/etc/multinet/pki/client.crt\n"
        "FLANNELD_ETCD_ENDPOINTS=https://192.168.7.11:2379,https://192.168.7.12:2379\n"
        "FLANNELD_ETCD_KEYFILE=/etc/multinet/pki/client.key\n"
        "FLANNELD_ETCD_PREFIX=/coreos.com/network/blue\n"
        "FLANNELD_HEALTHZ_IP=127.0.0.1\n"
        "FLANNELD_HEALTHZ_PORT=20964\n"
        "FLANNELD_IFACE=eth1\n"
        "FLANNELD_IPTABLES_FORWARD_RULES=false\n"
        "FLANNELD_IP_MASQ=false\n"
        "FLANNELD_SUBNET_FILE=/run/flannel/networks/blue.env\n"
        "PATH=/nonexistent\n"
    )


def test_environment_without_tls_and_by_address():
    plain = {"etcd_endpoints": ["http://127.0.0.1:2379"], "tls": False, "public_ip": "192.168.7.11"}
    text = flanneld_environment(plan([BLUE])["networks"][0], plain)
    assert "FLANNELD_PUBLIC_IP=192.168.7.11\n" in text
    assert "FILE=/etc" not in text and "IFACE" not in text


def test_an_ipv6_address_is_for_networks_that_have_ipv6():
    dual = dict(BLUE, ipv6_cidr="fd00:10:1::/48")
    said = dict(SETTINGS, public_ipv6="fd00:77::5")
    texts = [flanneld_environment(plan([one])["networks"][0], said) for one in (BLUE, dual)]
    assert ["FLANNELD_PUBLIC_IPV6=fd00:77::5\n" in text for text in texts] == [False, True]


KUBERNETES = {"datastore": "kubernetes", "cluster_cidrs": ["10.244.0.0/16"]}
LEASES = {"subnet_server": "http://127.0.0.1:10253", "node_name": "worker-1", "interface": "eth1"}


def test_environment_with_leases_from_kubernetes():
    # settings of etcd are no use there
    assert (
        flanneld_environment(plan([BLUE], KUBERNETES)["networks"][0], dict(SETTINGS, **LEASES))
        == "FLANNELD_HEALTHZ_IP=127.0.0.1\n"
        "FLANNELD_HEALTHZ_PORT=20964\n"
        "FLANNELD_IFACE=eth1\n"
        "FLANNELD_IPTABLES_FORWARD_RULES=false\n"
        "FLANNELD_IP_MASQ=false\n"
        "FLANNELD_KUBE_ANNOTATION_PREFIX=blue.multinet.flannel\n"
        "FLANNELD_KUBE_API_URL=http://127.0.0.1:10253/blue\n"
        "FLANNELD_KUBE_SUBNET_MGR=true\n"
        "FLANNELD_NET_CONFIG_PATH=/etc/flannel/blue.json\n"
        "FLANNELD_SET_NODE_NETWORK_UNAVAILABLE=false\n"
        "FLANNELD_SUBNET_FILE=/run/flannel/networks/blue.env\n"
        "NODE_NAME=worker-1\n"
        "PATH=/nonexistent\n"
    )
    for key in ("subnet_server", "node_name"):
        with pytest.raises(PlanError, match=key + " is empty"):
            flanneld_environment(plan([BLUE], KUBERNETES)["networks"][0], dict(LEASES, **{key: ""}))


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"etcd_endpoints": []}, "etcd_endpoints is empty; write the URLs of the etcd members."),
        (
            {"interface": ""},
            (
                "neither interface nor public_ip is given; write the interface that carries the"
                " tunnels."
            ),
        ),
        (
            {"interface": "eth1\nA=B"},
            (
                "IFACE 'eth1\\nA=B' contains a space, a quote, a backslash or a control character;"
                " write it without."
            ),
        ),
    ],
)
def test_environment_that_cannot_be(change, sentence):
    with pytest.raises(PlanError) as caught:
        flanneld_environment(plan([BLUE])["networks"][0], dict(SETTINGS, **change))
    assert caught.value.errors == ["environment of flanneld for network 'blue': " + sentence]


# What a new plan does to an older one


def test_removed():
    old, new = plan([BLUE, RED]), plan([BLUE])
    assert removed(old, new) == [old["networks"][1]]
    assert removed(new, old) == []
    assert removed(old, {}) == removed(old, None) == old["networks"]


def test_changed_names_values_and_consequence():
    new = [
        dict(BLUE, cidr="10.2.0.0/16", masquerade=False),
        dict(RED, backend={"type": "vxlan", "vni": 3, "port": 8286}),
    ]
    assert changed(plan([BLUE, RED]), plan(new)) == [
        (
            "network 'blue': cidr changes from 10.1.0.0/16 to 10.2.0.0/16; every node's lease has"
            " the old form: each node takes a new one when flanneld restarts, and pods that are"
            " attached keep their old addresses until they are attached again."
        ),
        (
            "network 'red': backend.vni changes from 2 to 3; until all nodes have the new value,"
            " nodes with the old one and nodes with the new one cannot reach each other through"
            " this network."
        ),
    ]
    assert changed(plan([BLUE]), plan([BLUE, RED])) == []


def test_changed_does_not_show_a_secret():
    keys = ["k" * 96, "l" * 96]
    old, new = (plan([dict(BLUE, backend={"type": "ipsec", "psk": key})]) for key in keys)
    assert changed(old, new) == [
        "network 'blue': backend.psk changes; until all nodes have the new value, nodes with the"
        " old one and nodes with the new one cannot reach each other through this network."
    ]


@pytest.mark.parametrize(
    "nothing", [None, {}, [], "x", {"networks": None}, {"networks": [None, {}, {"name": 1}]}]
)
def test_no_deployed_plan(nothing):
    assert (
        removed(nothing, plan([BLUE]))
        == changed(nothing, plan([BLUE]))
        == removed(nothing, nothing)
        == []
    )


# The tables say what is checked and documented


def test_every_option_has_a_check_a_type_and_a_sound_default():
    assert {option.kind for option in OPTIONS.values()} == set(CHECKS) == set(argument_spec.TYPES)
    assert list(argument_spec.spec()) == list(argument_spec.documentation()) == list(OPTIONS)
    every_default = {key: option.default for key, option in OPTIONS.items()}
    assert plan([BLUE], every_default) == plan([BLUE])


def test_backends_that_are_agreed_on_are_those_there_are():
    assert list(AGREED) == list(BACKENDS)


@pytest.mark.parametrize("kind", AGREED)
def test_a_backend_is_as_agreed(kind):
    """Its devices, ports and protocols, which the guard and the preflight work with."""
    agreed = AGREED[kind]
    planned = plan([dict(BLUE, **agreed["declared"])])["networks"][0]
    assert {key: planned[key] for key in agreed["planned"]} == agreed["planned"]
    assert planned["flannel_config"]["Backend"] == agreed["flannel"]


@pytest.mark.parametrize("kind", BACKENDS)
def test_every_key_of_a_backend_can_be_written_and_has_a_name_of_flannels(kind):
    backend = BACKENDS[kind]
    for key in backend.keys.values():
        assert key.flannel and key.kind in SIMPLE and (key.kind != "integer" or key.why)
    assert all(key in backend.keys for key in backend.ports)
    likely = {"boolean": True, "integer": 1400, "string": "k" * 96}
    written = {
        name: key.choices[0] if key.choices else likely[key.kind]
        for name, key in backend.keys.items()
        if not key.pattern
    }
    planned = plan([dict(BLUE, backend=dict(written, type=kind))])["networks"][0]
    assert planned["backend"].items() >= masked(written).items()
    assert planned["flannel_config"]["Backend"] == {
        "Type": kind,
        **{
            backend.keys[name].flannel: value
            for name, value in planned["backend"].items()
            if name != "type" and value
        },
    }


# No input makes anything but a plan or a PlanError

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def _nearly(keys, likely):
    """Mappings whose keys are mostly the real ones, and whose values are likely or anything."""
    return st.dictionaries(
        st.sampled_from(list(keys)) | st.text(max_size=4), likely | ANY_JSON, max_size=len(keys)
    )


LIKELY = st.sampled_from(
    [
        True,
        False,
        1,
        2,
        24,
        30,
        64,
        8472,
        51820,
        "blue",
        "red",
        "all",
        "request",
        "eth0",
        "net1",
        "10.1.0.0/16",
        "10.2.0.0/20",
        "10.1.0.0",
        "10.1.2.0",
        "fd00::/48",
        "fe80::/10",
        "0.0.0.0/0",
        "external",
        "10-calico.conflist",
        "kubernetes",
        "/etc/cni/net.d",
        [24],
        ["blue"],
        ["red", "blue"],
        ["10.1.0.0/16"],
        ["amd64"],
        "0.4.0",
        "separate",
        "k" * 96,
        {"hairpinMode": True},
        *BACKENDS,
    ]
)
BACKEND = (
    st.fixed_dictionaries(
        {"type": st.sampled_from(list(BACKENDS))},
        optional={key: LIKELY | ANY_JSON for backend in BACKENDS.values() for key in backend.keys},
    )
    | ANY_JSON
)
NETWORK = (
    st.builds(
        lambda most, backend: dict(most, backend=backend), _nearly(NETWORK_KEYS, LIKELY), BACKEND
    )
    | ANY_JSON
)
SOUND = st.fixed_dictionaries(
    {
        "name": st.from_regex("[a-z][a-z0-9]{0,3}", fullmatch=True),
        "default": st.booleans(),
        "backend": BACKEND,
        "cidr": st.builds("10.{0}.0.0/16".format, st.integers(0, 255)),
    },
    optional={
        key: LIKELY for key in NETWORK_KEYS if key not in ("name", "default", "backend", "cidr")
    },
)


@settings(max_examples=300, deadline=None)
@given(
    ANY_JSON | st.lists(NETWORK, max_size=4) | st.lists(SOUND, min_size=1, max_size=3),
    ANY_JSON | _nearly(OPTIONS, LIKELY) | st.none(),
)
def test_any_json(networks, options):
    try:
        result = plan(networks, options)
    except PlanError as error:
        assert error.errors and all(
            isinstance(sentence, str) and "\n" not in sentence for sentence in error.errors
        )
    else:
        assert json.loads(json.dumps(result, allow_nan=False)) == result
        assert removed(result, result) == [] and changed(result, result) == []


def test_kubernetes_pods_ask_by_annotation():
    conf = plan([BLUE, RED], {"kubernetes": True})["cni_conf"]
    assert conf.pop("kubeconfig") == "/etc/multinet/kubernetes/meta-plugin.kubeconfig"
    assert conf.pop("capabilities") == {
        "portMappings": True,
        "io.kubernetes.cri.pod-annotations": True,
    }
    assert conf["delegates"][0]["plugins"].pop() == {
        "type": "portmap",
        "capabilities": {"portMappings": True},
    }
    assert conf.pop("namespaces") == [
        {
            "network": "blue",
            "things": [
                "multinet-blue",
                "/run/flannel/networks/blue.env",
                "/var/lib/cni/flannel/blue",
                "/var/lib/cni/networks/multinet-blue",
                "mn-blue",
                "flannel.1",
            ],
            "namespaces": {},
            "file": "/etc/cni/multinet/net.d/blue.conflist",
            "ranges": ["10.1.0.0/16"],
        },
        {
            "network": "red",
            "things": [
                "multinet-red",
                "/run/flannel/networks/red.env",
                "/var/lib/cni/flannel/red",
                "/var/lib/cni/networks/multinet-red",
                "mn-red",
                "flannel.2",
            ],
            "namespaces": ["default"],
            "file": "/etc/cni/multinet/net.d/red.conflist",
            "ranges": ["10.3.0.0/16"],
        },
    ]
    assert conf == plan([BLUE, RED])["cni_conf"]


@pytest.mark.parametrize(
    ("declared", "asked"),
    [
        (None, ["a", "b"]),
        (["c"], ["c"]),
        ({"matchLabels": {"team": "x"}}, {"matchLabels": {"team": "x"}}),
    ],
)
def test_who_may_ask_for_a_network(declared, asked):
    """By default the namespaces that have its definition; a network of every pod is for all."""
    options = {"kubernetes": True, "nad_namespaces": ["a", "b"]}
    networks = [BLUE, dict(RED, namespaces=declared)]
    blue, red = plan(networks, options)["cni_conf"]["namespaces"]
    assert (blue["namespaces"], red["namespaces"]) == ({}, asked)
    for open_to_all in ({"attach": "all"}, {"namespaces": {}}):
        conf = plan([BLUE, dict(RED, **open_to_all)], options)["cni_conf"]
        assert conf["namespaces"][1]["namespaces"] == {}


def test_dockers_own_bridge_belongs_to_its_network():
    options = {"kubernetes": True, "docker_network": "red"}
    blue, red = plan([BLUE, RED], options)["cni_conf"]["namespaces"]
    assert "docker0" in red["things"] and "docker0" not in blue["things"]


def test_all_of_its_ranges_are_a_networks():
    dual = dict(RED, ipv6_cidr="fd00:3::/56")
    conf = plan([BLUE, dual], {"kubernetes": True})["cni_conf"]
    assert conf["namespaces"][1]["ranges"] == ["10.3.0.0/16", "fd00:3::/56"]


def test_ports_of_a_node_are_for_annotations_to_ask_where_that_is_declared():
    asked = dict(BLUE, host_ports="request")
    assert plan([asked, RED], {"kubernetes": True})["cni_conf"]["hostPorts"] == ["multinet-blue"]
    assert "hostPorts" not in plan([BLUE, RED], {"kubernetes": True})["cni_conf"]
    assert "hostPorts" not in plan([asked, RED])["cni_conf"], "nobody asks there"


def test_an_external_network_is_none_of_ours():
    external = {"name": "calico", "default": "external"}
    planned = plan([external, RED])
    assert [network["name"] for network in planned["networks"]] == ["red"] and planned[
        "default_network"
    ] is None
    assert blocked(planned) == [], "without a range there is nothing to keep apart"
    assert planned["cni_conf"]["delegates"] == [
        {"file": "/etc/cni/net.d", "ifName": "eth0", "masterplugin": True}
    ]
    assert blocked(plan([dict(external, ipv6_cidr="fd00:9::/48"), RED])) == [
        ["red", "calico"],
        ["calico", "red"],
    ]
    assert blocked(plan([dict(external, cidr="10.9.0.0/16"), dict(RED, isolate=False)])) == []
    with pytest.raises(
        PlanError, match="allow_to holds 'calico', which every pod is attached to anyway; remove it"
    ):
        plan([external, dict(RED, allow_to=["calico"])])


def test_the_range_of_kubernetes_is_for_the_default_network():
    options = {
        "datastore": "kubernetes",
        "cluster_cidrs": ["10.1.0.0/20"],
        "node_cidr_mask_sizes": [25],
    }
    assert plan([dict(BLUE, cidr="10.1.0.0/20")], options)["networks"][0]["subnet_len"] == 25
    assert plan([dict(BLUE, cidr="10.2.0.0/16")], options)["networks"][0]["subnet_len"] == 24
    with pytest.raises(PlanError, match="overlaps cluster_cidrs"):
        plan([dict(BLUE, cidr="10.2.0.0/16"), dict(RED, cidr="10.1.0.0/20")], options)


@given(st.integers(1, 16), st.integers(8, 26), st.integers(10, 30))
def test_a_network_has_a_subnet_for_every_node_or_is_refused(bits, length, subnet_len):
    """And the remedies that the sentence names are remedies."""
    options = {
        "datastore": "kubernetes",
        "cluster_cidrs": ["100.64.0.0/12"],
        "node_cidr_mask_sizes": [12 + bits],
    }

    def errors(cidr_length, value):
        try:
            plan([dict(BLUE, cidr=f"10.0.0.0/{cidr_length}", subnet_len=value)], options)
        except PlanError as error:
            return error.errors
        return []

    found = [sentence for sentence in errors(length, subnet_len) if "has subnets for" in sentence]
    if subnet_len >= length + 2:  # flannel's own rule
        assert bool(found) == (subnet_len - length < bits)
    for sentence in found:
        for kind, value in re.findall(r"(cidr of /|subnet_len: )(\d+)", sentence):
            remedied = (int(value), subnet_len) if kind.startswith("cidr") else (length, int(value))
            assert not any("subnet" in error for error in errors(*remedied)), sentence


def test_what_cannot_be_shown_or_walked():
    deep: list = []
    for dummy in range(100000):
        deep = [deep]
    for value in (deep, 10**5000, -(10**5000), float("inf")):
        for key in NETWORK_KEYS:
            with pytest.raises(PlanError):
                plan([dict(BLUE, **{key: value})])
        for key in OPTIONS:
            with pytest.raises(PlanError):
                plan([BLUE], {key: value})


def many(number):
    return [
        {
            "name": f"net-{one}",
            "cidr": f"10.{one}.0.0/16",
            "default": one == 0,
            "backend": {"type": "vxlan", "vni": one + 1},
        }
        for one in range(number)
    ]


def test_health_ports_of_200_networks_differ_and_stay_when_one_is_added():
    planned = [network["healthz_port"] for network in plan(many(200))["networks"]]
    assert len(set(planned)) == 200
    assert all(20000 <= port < 30000 for port in planned)
    assert [network["healthz_port"] for network in plan(many(201))["networks"]][:200] == planned


@pytest.mark.parametrize(("mtu", "has"), [(None, True), (1400, True), (1200, False)])
def test_a_pod_believes_no_router_where_it_can_have_ipv6(mtu, has):
    backend = {"type": "vxlan", "vni": 1} | ({"mtu": mtu} if mtu else {})
    planned = plan([{"name": "blue", "cidr": "10.1.0.0/16", "default": True, "backend": backend}])
    sysctls = planned["networks"][0]["cni_conflist"]["plugins"][1]["sysctl"]
    assert (sysctls.get("net.ipv6.conf.IFNAME.accept_ra") == "0") is has
    assert sysctls["net.ipv4.conf.IFNAME.accept_redirects"] == "0"


def test_what_would_be_other_than_deployed():
    """For whoever changes no networks: every key counts, for tables and files follow from it."""
    blue = {"name": "blue", "cidr": "10.1.0.0/16", "default": True, "backend": {"type": "vxlan"}}
    red = {"name": "red", "cidr": "10.3.0.0/16", "backend": {"type": "vxlan", "vni": 2}}
    was = plan([dict(blue, backend={"type": "vxlan", "vni": 1}), red])
    now = plan(
        [
            dict(blue, masquerade=False, backend={"type": "vxlan", "vni": 7}),
            dict(red, backend={"type": "host-gw"}),
            {"name": "green", "cidr": "10.4.0.0/16", "backend": {"type": "vxlan", "vni": 9}},
        ]
    )
    assert undeployed(was, now) == [
        "network 'blue': masquerade would change from True to False",
        "network 'blue': backend.vni would change from 1 to 7",
        "network 'red': backend.type would change from vxlan to host-gw",
        "network 'green' is not deployed",
    ]
    # names have no order
    lists = [{"allow_to": names, "namespaces": names} for names in (["red", "x"], ["x", "red"])]
    one, other = ({"networks": [{**was["networks"][0], **more}]} for more in lists)
    assert undeployed(one, other) == []
    # a host without networks, and one with what a version of before did not know
    assert undeployed(was, was) == undeployed(None, now) == []
    del was["networks"][0]["masquerade"], was["networks"][0]["backend"]["vni"]
    assert undeployed({"networks": was["networks"][:1]}, {"networks": now["networks"][:1]}) == []


def test_a_default_that_a_former_version_did_not_have_is_no_other_declaration():
    """An upgrade deploys such networks as they are; nobody could declare that."""
    blue = {"name": "blue", "cidr": "10.1.0.0/16", "ipv6_cidr": "fd00:1::/48", "default": True}
    now = plan(
        [
            dict(blue, backend={"type": "vxlan", "vni": 1}),
            {"name": "red", "cidr": "10.3.0.0/16", "backend": {"type": "vxlan", "vni": 2}},
            {
                "name": "gw",
                "cidr": "10.4.0.0/16",
                "ipv6_cidr": "fd00:4::/48",
                "backend": {"type": "host-gw"},
            },
        ]
    )
    was = copy.deepcopy(now)
    was["networks"][0]["backend"]["mtu"] = None
    del was["networks"][0]["flannel_config"]["Backend"]["MTU"]
    assert (without_default(was, now), undeployed(was, now)) == (["blue"], [])
    assert plan_as_deployed(now, ["blue"]) == was
    assert without_default(now, now) == without_default(None, now) == []
    assert plan_as_deployed(now, []) == now
    # what is declared is another matter
    other = plan([dict(blue, backend={"type": "vxlan", "vni": 1, "mtu": 1400})])
    said = "network 'blue': backend.mtu would change from none to 1400"
    assert (without_default(was, other), undeployed(was, other)) == ([], [said])


def test_another_data_store_is_another_deployment():
    blue = {"name": "blue", "cidr": "10.1.0.0/16", "default": True, "backend": {"type": "host-gw"}}
    was = plan([blue])
    now = {**was, "datastore": "kubernetes"}
    assert undeployed(was, now) == ["multinet_datastore would change from etcd to kubernetes"]
    assert undeployed({}, now) == undeployed(None, now) == []
