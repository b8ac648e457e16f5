# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is the master, what interfaces are called, and what is refused."""

from __future__ import annotations

import json
import pathlib

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils import _names
from ansible_collections.multinet.flannel.plugins.module_utils._cni import errors
from ansible_collections.multinet.flannel.plugins.module_utils._meta import conf, in_process
from ansible_collections.multinet.flannel.plugins.module_utils._meta import flannel as flannel_state

CASES = json.loads(
    (pathlib.Path(__file__).parent / "vectors" / "interfaces.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["what"]) for case in CASES])
def test_order_and_names(case):
    parsed = conf.parse(case["conf"])
    assert parsed.generation == case["generation"]
    assert [[one.network.name, conf.interface_of(one, "eth0")] for one in parsed.delegates] == case[
        "attached"
    ]


@pytest.mark.parametrize(
    ("planned", "wanted", "names"),
    [
        (["net1"], [None], ["net1", "net2"]),  # as Multus counts
        (["red0"], [None, None], ["red0", "net1", "net2"]),
        (["red0", "net2"], [None, None], ["red0", "net2", "net3", "net4"]),
        ([None, "red0"], [None], ["net1", "red0", "net2"]),
        # what a pod names is counted, as with Multus
        (["red0"], ["x", None], ["red0", "x", "net2"]),
        (["net0x"], [None], ["net0x", "net1"]),
        (["net5"], [None], ["net5", "net2"]),
    ],
)
def test_an_interface_with_a_name_of_its_own_shifts_nobody_s(planned, wanted, names):
    delegates = [
        conf.Delegate({"type": "a", "name": f"n{number}"}, asked=asked)
        for number, asked in enumerate([None, *planned])
    ]
    delegates += [
        conf.Delegate({"type": "a", "name": "b"}, asked=asked, full_name="apps/b")
        for asked in wanted
    ]
    conf.name_interfaces(delegates, conf.NPWG)
    assert [one.interface for one in delegates[1:]] == names


def test_our_own_keys_are_not_handed_on_all_others_are():
    entry = {"type": "a", "name": "a", "masterplugin": True, "ifName": "x", "unknown": {"kept": 1}}
    assert conf.parse({"name": "n", "delegates": [entry]}).delegates[0].raw == {
        "type": "a",
        "name": "a",
        "unknown": {"kept": 1},
    }
    assert "masterplugin" in entry


@pytest.mark.parametrize(
    "raw",
    [
        {"kubeConfig": "/k"},
        {"Kubeconfig": None, "kubeconfig": "/k"},
        {"KUBECONFIG": "/other", "kubeconfig": "/k"},
    ],
)
def test_keys_may_be_in_another_case_as_with_gos_json(raw):
    entries = [{"Type": "a", "name": "a"}, {"type": "b", "MasterPlugin": True, "IfName": "x"}]
    parsed = conf.parse(conf.folded(dict(raw, Name="n", Delegates=entries)))
    assert (parsed.kubeconfig, parsed.unknown) == ("/k", [])
    assert [one.raw for one in parsed.delegates] == [
        {"type": "b", "name": "n"},
        {"type": "a", "name": "a"},
    ]


@pytest.mark.parametrize(
    ("key", "near"), [("kubeconfg", "kubeconfig"), ("namespaceIsolate", "namespaceIsolation")]
)
def test_a_misspelt_key_is_refused_with_the_right_one(key, near):
    with pytest.raises(errors.Error) as caught:
        conf.parse({"name": "n", "delegates": [{"type": "a"}], key: "/k"})
    assert f"`{key}`" in caught.value.msg and f"`{near}`" in caught.value.msg
    assert conf.parse({"name": "n", "delegates": [{"type": "a"}], "logo": 1}).unknown == ["logo"]


def test_null_is_absent():
    plain = {"name": "n", "delegates": [{"type": "a", "name": "a"}]}
    keys = [key for key, _attribute, _read, _default in conf._KEYS]
    parsed = conf.parse(dict(plain, **dict.fromkeys(keys)))
    want = conf.parse(plain)
    assert [getattr(parsed, one) for _key, one, _read, _default in conf._KEYS] == [
        getattr(want, one) for _key, one, _read, _default in conf._KEYS
    ]
    nothing = dict.fromkeys(
        ("masterplugin", "ifName", "plugins", "cniVersion", "cniVersions", "capabilities", "name")
    )
    entry = dict(nothing, type="a", disableCheck=None, disableGC=None)
    assert conf.parse({"name": "n", "delegates": [entry]}).delegates[0].network.name == "n"


def flannel(**keys):
    number = keys.pop("number")
    base = {
        "type": "flannel",
        "name": f"f{number}",
        "subnetFile": f"/s{number}",
        "dataDir": f"/d{number}",
        "delegate": {"bridge": f"b{number}"},
    }
    return dict(base, **keys)


@pytest.mark.parametrize(
    ("delegates", "words"),
    [
        (None, "`delegates`"),
        ([], "`delegates`"),
        ({}, "`delegates`"),
        ([None], "delegate 0"),
        (
            [
                {"type": "a", "masterplugin": True},
                {"type": "b"},
                {"type": "c", "masterplugin": True},
            ],
            "0 and 2",
        ),
        ([{"type": "a", "masterplugin": "yes"}], "neither true nor false"),
        ([{"type": "a"}, {"type": "b", "ifName": "much-too-long-for-linux"}], "delegate 1"),
        ([{"type": "a"}, {"type": "b", "ifName": 5}], "`ifName`"),
        ([{"type": "a"}, {"type": "b", "ifName": "net2"}, {"type": "c"}], "net2"),
        ([{"name": "a"}], "`type`"),
        ([{"name": "a", "plugins": [None]}], "plugin 0"),
        ([flannel(number=1), flannel(number=2, dataDir="/d1")], "share the dataDir /d1"),
        ([flannel(number=1), flannel(number=2, subnetFile="/s1")], "share the subnetFile /s1"),
        ([flannel(number=1), flannel(number=2, delegate={"bridge": "b1"})], "share the bridge b1"),
        ([flannel(number=1), flannel(number=2, name="f1")], "share the name f1"),
        (
            [{"type": "flannel", "name": "a"}, flannel(number=2, dataDir="/var/lib/cni/flannel")],
            "share the dataDir",
        ),
        (
            [
                {"name": "a", "plugins": [flannel(number=1)]},
                {"name": "b", "plugins": [{"type": "x"}, flannel(number=1)]},
            ],
            "share the",
        ),
    ],
)
def test_what_is_refused(delegates, words):
    with pytest.raises(errors.Error) as caught:
        conf.parse({"name": "n", "delegates": delegates})
    assert caught.value.code == errors.INVALID_CONFIGURATION
    assert words in caught.value.msg


def test_a_configuration_without_a_name_is_told_so():
    with pytest.raises(errors.Error, match="meta-plugin: it has no `name`"):
        conf.parse({"delegates": [{"name": "a", "type": "a"}]})


def test_a_network_that_a_pod_has_already_is_called_so():
    every, asked = (conf.Delegate(flannel(number=1), full_name=one) for one in (None, "apps/red"))
    with pytest.raises(errors.Error) as caught:
        conf.name_interfaces([conf.Delegate({"type": "a", "name": "a"}), every, asked], conf.NPWG)
    assert caught.value.msg == "The pod already has the network apps/red, as net1."


@pytest.mark.parametrize(
    ("asked", "is_of_this_node"),
    [
        (["10.3.5.77"], True),
        (["10.3.5.77/24", "fd03:0:0:5::77"], True),
        (["10.3.6.77/24"], False),
        (["10.3.5.77", "fd03:0:0:6::77"], False),
        ([], True),
    ],
)
def test_a_fixed_address_is_of_this_node_s_subnet(tmp_path, asked, is_of_this_node):
    file = tmp_path / "red.env"
    file.write_text(
        "FLANNEL_NETWORK=10.3.0.0/16\nFLANNEL_SUBNET=10.3.5.1/24\n"
        "FLANNEL_IPV6_SUBNET=fd03:0:0:5::1/64\n",
        encoding="utf-8",
    )
    network = conf.Delegate(flannel(number=1, subnetFile=str(file))).network
    if is_of_this_node:
        flannel_state.check_addresses(network, asked)
        return
    with pytest.raises(errors.Error) as caught:
        flannel_state.check_addresses(network, asked)
    assert (
        "10.3.5.1/24, fd03:0:0:5::1/64: the address belongs to another node's subnet"
        in caught.value.msg
    )
    assert "nodeSelector" in caught.value.details


@pytest.mark.parametrize(
    "keys",
    [
        {"name": ""},
        {"timeoutSeconds": 0},
        {"timeoutSeconds": "1"},
        {"timeoutSeconds": True},
        {"cniDir": 1},
        {"binDir": []},
        {"runtimeConfig": []},
    ],
)
def test_keys_of_its_own_are_checked(keys):
    with pytest.raises(errors.Error) as caught:
        conf.parse(dict({"name": "n", "delegates": [{"type": "a"}]}, **keys))
    assert caught.value.code == errors.INVALID_CONFIGURATION


def test_two_flannel_networks_by_macvlan_need_no_bridges():
    delegates = [flannel(number=n, delegate={"type": "macvlan"}) for n in (1, 2)]
    assert len(conf.parse({"name": "n", "delegates": delegates}).delegates) == 2


def write(path, raw):
    path.write_text(json.dumps(raw), encoding="utf-8")


OTHER = {
    "cniVersion": "0.3.1",
    "name": "k8s-pod-network",
    "plugins": [{"type": "calico"}, {"type": "portmap", "capabilities": {"portMappings": True}}],
}


def external(path):
    delegates = [
        {"file": str(path), "masterplugin": True, "ifName": "eth0"},
        {"type": "b", "name": "b", "ifName": "net1"},
    ]
    return {"name": "multinet", "type": "multinet", "delegates": delegates}


def test_another_cnis_file_is_the_master_as_it_is(tmp_path):
    write(tmp_path / "10-calico.conflist", OTHER)
    parsed = conf.parse(external(tmp_path / "10-calico.conflist"))
    assert parsed.generation == "npwg"
    assert [(one.raw["name"], conf.interface_of(one, "eth0")) for one in parsed.delegates] == [
        ("k8s-pod-network", "eth0"),
        ("b", "net1"),
    ]
    assert parsed.delegates[0].raw == OTHER


def test_another_cnis_list_has_the_plugins_of_its_directory(tmp_path):
    plugins = {"name": "k8s", "cniVersion": "1.0.0", "plugins": [{"type": "calico"}]}
    write(tmp_path / "10-calico.conflist", plugins)
    (tmp_path / "k8s").mkdir()
    write(tmp_path / "k8s" / "10-portmap.conf", {"type": "portmap"})
    parsed = conf.parse(external(tmp_path / "10-calico.conflist"))
    assert [one["type"] for one in parsed.delegates[0].network.plugins] == ["calico", "portmap"]


def test_of_a_directory_it_is_the_first_one_that_is_not_our_own(tmp_path):
    write(tmp_path / "00-multinet.conf", external(tmp_path))
    write(tmp_path / "20-late.conf", {"type": "late", "name": "late"})
    write(tmp_path / "10-calico.conflist", OTHER)
    assert conf.parse(external(tmp_path)).delegates[0].raw == OTHER


@pytest.mark.parametrize("name", ["10-calico.conflist", ""])
def test_until_another_cni_has_written_its_file_pods_wait(tmp_path, name):
    write(tmp_path / "00-multinet.conf", external(tmp_path))
    with pytest.raises(errors.Error, match="of another CNI") as caught:
        conf.parse(external(tmp_path / name))
    assert caught.value.code == errors.TRY_AGAIN_LATER and str(tmp_path) in str(caught.value)


def test_our_own_file_is_not_another_cnis(tmp_path):
    write(tmp_path / "00-multinet.conf", external(tmp_path))
    with pytest.raises(errors.Error, match="its own delegate"):
        conf.parse(external(tmp_path / "00-multinet.conf"))


@pytest.mark.parametrize(
    "entry", [{"file": "relative"}, {"file": 5}, {"file": "/f", "type": "bridge"}]
)
def test_a_file_that_cannot_be_one(entry):
    with pytest.raises(errors.Error, match="`file` is the path"):
        conf.parse({"name": "n", "delegates": [entry]})


def test_what_may_be_done_in_process_is_what_can_be():
    assert {plugin for plugin, _command in in_process._SERVED} == set(_names.IN_PROCESS)


def test_every_key_becomes_an_attribute_that_has_a_type():
    others = {"name", "generation", "why", "delegates", "unknown"}
    attributes = {attribute for _key, attribute, _read, _default in conf._KEYS}
    assert attributes | others == set(conf.MetaConf.__annotations__)


@pytest.mark.parametrize("value", [["x"], {"a": 1}, 5, True])
@pytest.mark.parametrize("key", ["subnetFile", "dataDir", "bridge"])
def test_what_is_a_network_s_own_is_text(key, value):
    keys = {"delegate": {"bridge": value}} if key == "bridge" else {key: value}
    one = conf.Delegate(flannel(number=1, **keys))
    with pytest.raises(
        errors.Error, match=f"`{key}` of the flannel network f1 is not text"
    ) as caught:
        conf.name_interfaces([one, conf.Delegate(flannel(number=2))], conf.NPWG)
    assert caught.value.code == errors.INVALID_CONFIGURATION


@pytest.mark.parametrize(
    "text", ["FLANNEL_SUBNET=10.3.5.1", "FLANNEL_SUBNET=10.3.5.1/", "FLANNEL_SUBNET=10.3/24", None]
)
def test_a_subnet_file_that_is_not_whole_is_to_be_tried_again(tmp_path, text):
    file = tmp_path / "red.env"
    if text:
        file.write_text(text, encoding="utf-8")
    else:
        file.mkdir()
    network = conf.Delegate(flannel(number=1, subnetFile=str(file))).network
    with pytest.raises(errors.Error, match=str(file)) as caught:
        flannel_state.check_addresses(network, ["10.3.5.77"])
    assert caught.value.code == errors.TRY_AGAIN_LATER
