# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which networks a pod gets, of both generations: from configuration, annotations and the objects
of an API that is a dict here.
"""

from __future__ import annotations

import json
import pathlib

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._cni import conf as cni_conf
from ansible_collections.multinet.flannel.plugins.module_utils._cni import errors
from ansible_collections.multinet.flannel.plugins.module_utils._meta import (
    annotations,
    conf,
    devices,
    networks,
    pods,
)

VECTORS = pathlib.Path(__file__).parent / "vectors"
LEGACY = json.loads((VECTORS / "generations.json").read_text(encoding="utf-8"))


class Api:
    def __init__(self, objects):
        self.objects = objects

    def get(self, path):
        return self.objects.get(path)


def nad(name, config=None, namespace="apps", resource=None):
    """Return (path, object) of a NetworkAttachmentDefinition."""
    item = {"metadata": {"name": name, "namespace": namespace}, "spec": {}}
    if config is not None:
        item["spec"]["config"] = config if isinstance(config, str) else json.dumps(config)
    if resource:
        item["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/resourceName": resource}
    return (
        f"/apis/k8s.cni.cncf.io/v1/namespaces/{namespace}/network-attachment-definitions/{name}",
        item,
    )


def resolve(configuration, notes=None, objects=None, namespace="apps", host_devices=None):
    """Return the delegates of a pod; notes: its annotations; objects: what the API has, None for no
    API.
    """
    parsed = conf.parse(configuration)
    pod = None if notes is None else pods.Pod(namespace, "pod", "u-1", notes)
    api = None if objects is None else Api(objects)
    said = []
    delegates = networks.Resolver(
        parsed,
        pod=pod,
        api=api,
        devices=host_devices,
        log=lambda level, sentence: said.append(sentence),
    ).delegates()
    conf.name_interfaces(delegates, parsed.generation)
    return delegates


def names(delegates):
    return [[one.full_name or one.raw["name"], conf.interface_of(one, "eth0")] for one in delegates]


BASE = {
    "name": "meta",
    "cniVersion": "1.0.0",
    "kubeconfig": "/etc/kubeconfig",
    "delegates": [{"name": "default", "type": "a", "cniVersion": "1.0.0"}],
}
MACVLAN = {"cniVersion": "0.3.1", "type": "macvlan", "capabilities": {"ips": True, "mac": True}}


def asked(value):
    return {annotations.NETWORKS: value if isinstance(value, str) else json.dumps(value)}


@pytest.mark.parametrize("case", [pytest.param(case, id=case["what"]) for case in LEGACY])
def test_the_first_generations_configurations_as_they_are_printed(case):
    raw = cni_conf.decode(case["conf"], "it", comments=True)
    assert conf.generation(raw)[0] == case["generation"]
    if "error" in case:
        with pytest.raises(errors.Error) as caught:
            resolve(raw, case.get("annotations"), case.get("objects"))
        assert caught.value.code == errors.INVALID_CONFIGURATION and case["error"] in str(
            caught.value
        )
        return
    expected = [
        [interface, {key: value for key, value in wanted.items() if key != "masterplugin"}]
        for interface, wanted in case["attached"]
    ]
    found = [
        [conf.interface_of(one, "eth0"), one.raw]
        for one in resolve(raw, case.get("annotations"), case.get("objects"))
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("raw", "generation"),
    [
        ({"kubeconfig": "/k"}, "legacy"),
        ({"kubeconfig": "/k", "delegates": []}, "legacy"),
        ({"kubeconfig": "/k", "clusterNetwork": "n"}, "npwg"),
        ({"kubeconfig": "/k", "delegates": [{"type": "a"}]}, "npwg"),
        ({"delegates": [{"type": "a"}, {"type": "b", "masterplugin": True}]}, "legacy"),
        ({"delegates": [{"type": "a"}, {"type": "b", "masterplugin": False}]}, "npwg"),
        (
            {"delegates": [{"type": "a", "ifName": "x"}, {"type": "b", "masterplugin": True}]},
            "npwg",
        ),
        ({"kubeconfig": "/k", "delegates": [{"type": "a"}], "always_use_default": True}, "legacy"),
        ({"delegates": "rubbish"}, "npwg"),
        ({}, "npwg"),
    ],
)
def test_the_generation_is_decided_in_one_place(raw, generation):
    assert conf.generation(raw)[0] == generation


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ('[{"a": 1.10}]', {"a": 1.1}),
        ("[]", {}),
        ("", {}),
        (None, {}),
        ('[{"masterplugin": true, "type": "z", "name": "own"}]', {"name": "own"}),
    ],
)
def test_a_network_objects_args(args, expected):
    item = {"metadata": {"name": "obj"}, "plugin": "p", "args": args}
    assert networks.legacy_conf(item, "it") == dict({"name": "obj", "type": "p"}, **expected)


@pytest.mark.parametrize("args", ["{}", "[1]", "[{}, {}]", "[{", '[{}], "x": 1', 5, [{}]])
def test_a_network_objects_args_that_are_none(args):
    with pytest.raises(errors.Error):
        networks.legacy_conf({"metadata": {"name": "obj"}, "plugin": "p", "args": args}, "it")


def test_a_legacy_pod_that_asks_where_there_is_no_api_is_refused():
    raw = {"name": "m", "delegates": [{"type": "a", "masterplugin": True}]}
    with pytest.raises(errors.Error, match="no Kubernetes API is configured") as caught:
        resolve(raw, {annotations.LEGACY_NETWORKS: '[{"name": "x"}]'})
    assert caught.value.code == errors.INVALID_CONFIGURATION


# NPWG's form


def test_both_forms_of_the_annotation_and_positions():
    objects = dict(
        [
            nad("m", MACVLAN),
            nad("n", dict(MACVLAN, name="own-name"), "other"),
            nad("l", {"plugins": [dict(MACVLAN)], "cniVersion": "1.0.0"}),
        ]
    )
    short = resolve(BASE, asked("m, other/n@red0 ,l,m@again"), objects)
    assert names(short) == [
        ["default", "eth0"],
        ["apps/m", "net1"],
        ["other/n", "red0"],
        ["apps/l", "net3"],
        ["apps/m", "again"],
    ]
    # a missing name is the object's
    assert [one.network.name for one in short] == ["default", "m", "own-name", "l", "m"]
    long = resolve(
        BASE,
        asked(
            [
                {"name": "m"},
                {"name": "n", "namespace": "other", "interface": "red0"},
                {"name": "l", "interfaceRequest": "b"},
            ]
        ),
        objects,
    )
    assert names(long) == [
        ["default", "eth0"],
        ["apps/m", "net1"],
        ["other/n", "red0"],
        ["apps/l", "b"],
    ]
    assert (
        names(resolve(BASE, {}, objects))
        == names(resolve(BASE, asked(" "), objects))
        == [["default", "eth0"]]
    )


@pytest.mark.parametrize(
    "text",
    [
        "a/b/c",
        "a@b@c",
        "m@x@y",
        "A",
        "a..b",
        "a.b/m",
        "m@",
        "m@much-too-long-for-it",
        "m@a b",
        "m@net%d",
        ",",
        "m,,m",
        "/m",
        "[",
        "{}",
        "[1]",
        '[{"name": 1}]',
        "[{}]",
        '[{"name": "m", "mac": "x"}]',
        '[{"name": "m", "interface": "a/b"}]',
        '[{"name": "m", "cni-args": []}]',
        '"m"',
        '[{"name": "m", "ips": ["10.0.0.1"], "ipam-claim-reference": "c"}]',
    ],
)
def test_an_annotation_that_is_none_is_an_error(text):
    with pytest.raises(errors.Error) as caught:
        annotations.parse(text, "apps")
    assert caught.value.code == errors.INVALID_CONFIGURATION


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("v1.1-net", ("apps", "v1.1-net", None)),
        ("ns /a @ x0", ("ns", "a", "x0")),
        ('[{"Name": "a", "NameSpace": "ns", "Interface": "x0"}]', ("ns", "a", "x0")),
    ],
)
def test_an_annotation_as_multus_takes_it(text, found):
    (one,) = annotations.parse(text, "apps")
    assert (one.namespace, one.name, one.interface) == found


SELECTION = json.loads((VECTORS / "selections.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", [pytest.param(case, id=case["what"]) for case in SELECTION])
def test_what_a_pod_may_ask_of_a_network(case):
    text = json.dumps([dict({"name": "m"}, **case["keys"])])
    if "error" in case:
        with pytest.raises(errors.Error) as caught:
            annotations.parse(text, "apps")
        assert case["error"] in caught.value.msg
    else:
        assert annotations.parse(text, "apps")[0].capability_args == case["capability_args"]


@pytest.mark.parametrize(
    ("keys", "capability"),
    [
        ({"portMappings": [{"hostPort": 1, "containerPort": 2}]}, "portMappings"),
        ({"bandwidth": {"ingressRate": 5}}, "bandwidth"),
        ({"infiniband-guid": "00:11:22:33:44:55:66:77"}, "infinibandGUID"),
    ],
)
def test_what_no_plugin_can_do_is_an_error(keys, capability):
    base = dict(BASE, hostPorts=["m"])
    for config, good in (
        ({"type": "x"}, False),
        ({"type": "x", "capabilities": {capability: False}}, False),
        ({"type": "x", "capabilities": {capability: True}}, True),
        ({"plugins": [{"type": "x"}, {"type": "y", "capabilities": {capability: True}}]}, True),
    ):
        notes, objects = asked([dict({"name": "m"}, **keys)]), dict([nad("m", config)])
        if good:
            assert list(resolve(base, notes, objects)[1].capability_args) == [capability]
            continue
        with pytest.raises(errors.Error) as caught:
            resolve(base, notes, objects)
        assert capability in caught.value.msg and "apps/m" in caught.value.msg


@pytest.mark.parametrize("annotation", [annotations.NETWORKS, annotations.DEFAULT_NETWORK])
@pytest.mark.parametrize("allowed", [[], ["others"], ["m"]])
def test_ports_of_the_node_are_not_for_annotations_to_ask(annotation, allowed):
    """Neither Pod Security nor the scheduler sees them there; a network may allow it."""
    mappings = [{"hostPort": 6443, "containerPort": 80, "protocol": "tcp"}]
    notes = {annotation: json.dumps([{"name": "m", "namespace": "apps", "portMappings": mappings}])}
    objects = dict([nad("m", {"type": "x", "capabilities": {"portMappings": True}})])
    base = dict(BASE, hostPorts=allowed)
    if allowed == ["m"]:
        found = resolve(base, notes, objects)[-1]
        assert found.capability_args == {"portMappings": mappings}
        return
    with pytest.raises(errors.Error, match="for port 6443 of its node in the network apps/m") as no:
        resolve(base, notes, objects)
    assert no.value.code == errors.INVALID_CONFIGURATION
    assert "`hostPort`" in no.value.details and "`host_ports: request`" in no.value.details


@pytest.mark.parametrize(
    ("capabilities", "args"),
    [
        ({}, {"IP": "10.0.0.7,fd00::7/64", "MAC": "02:00:00:00:00:01"}),
        ({"ips": True}, {"MAC": "02:00:00:00:00:01"}),
        ({"ips": True, "mac": True}, {}),
    ],
)
def test_addresses_are_told_by_cni_args_where_no_plugin_has_the_capability(capabilities, args):
    keys = {"name": "m", "ips": ["10.0.0.7", "fd00::7/64"], "mac": "02:00:00:00:00:01"}
    objects = dict([nad("m", {"type": "x", "capabilities": capabilities})])
    assert resolve(BASE, asked([keys]), objects)[1].args == args


def test_cni_args_of_the_pod_go_over_those_of_the_network():
    config = {
        "plugins": [{"type": "x", "args": {"cni": {"a": 1, "b": 1}, "other": 2}}, {"type": "y"}]
    }
    raw = resolve(
        BASE,
        asked([{"name": "m", "cni-args": {"b": 2, "c": {"d": [3]}}}]),
        dict([nad("m", config)]),
    )[1].raw
    assert raw["plugins"][0]["args"] == {"cni": {"a": 1, "b": 2, "c": {"d": [3]}}, "other": 2}
    assert raw["plugins"][1]["args"] == {"cni": {"b": 2, "c": {"d": [3]}}}


@pytest.mark.parametrize(
    ("cni_args", "is_for_pods"),
    [
        ({"sysctl": {"net.ipv4.ip_forward": "1"}}, False),
        ({"SysCtl": {}}, False),
        ({"\u017fysctl": {}}, False),  # Go takes it for an s
        ({"promisc": True}, False),
        ({"allmulti": True}, False),
        ({"mtu": 1400}, True),
    ],
)
def test_what_keeps_networks_apart_is_not_for_pods_to_ask(cni_args, is_for_pods):
    """The plugin tuning takes the pod's cni-args before what its configuration says."""
    tuning = {"type": "tuning", "sysctl": {"net.ipv4.ip_forward": "0"}}
    objects = dict([nad("m", {"plugins": [{"type": "x"}, tuning]})])
    notes = asked([{"name": "m", "cni-args": cni_args}])
    if is_for_pods:
        assert resolve(BASE, notes, objects)[1].raw["plugins"][1]["args"] == {"cni": cni_args}
        return
    with pytest.raises(errors.Error) as caught:
        resolve(BASE, notes, objects)
    (key,) = cni_args
    assert f"by `cni-args` for {key.casefold()} in the network apps/m" in caught.value.msg


@pytest.mark.parametrize("key", ["prevResult", "PREVRESULT", "runtimeConfig", "RunTimeConfig"])
def test_what_only_a_runtime_says_is_said_by_no_pod(key):
    configs = [
        {"type": "x", key: {}},
        {"plugins": [{"type": "x"}, {"type": "y", key: {}}]},
        {"type": "flannel", "delegate": {key: {}}},
    ]
    for config in configs:
        with pytest.raises(errors.Error, match=f"The network apps/m has `{key}`") as caught:
            resolve(BASE, asked("m"), dict([nad("m", config)]))
        assert caught.value.code == errors.INVALID_CONFIGURATION
    keys = {"name": "m", "cni-args": {"more": [{key: {}}]}}
    with pytest.raises(errors.Error, match=f"has `{key}`"):
        resolve(BASE, asked([keys]), dict([nad("m", {"type": "x"})]))


GREEN = {"name": "multinet-green", "plugins": [{"type": "flannel", "delegate": {"bridge": "mn-g"}}]}


THINGS = ["multinet-green", "/run/flannel/green.env", "mn-g"]


def closed(namespaces):
    """Return a configuration in which the network green is for some namespaces alone."""
    green = {"network": "green", "things": THINGS, "namespaces": namespaces}
    return dict(BASE, multusNamespace="default", namespaces=[green])


@pytest.mark.parametrize("annotation", [annotations.NETWORKS, annotations.DEFAULT_NETWORK])
@pytest.mark.parametrize(
    ("namespaces", "may"),
    [
        (["default"], False),
        (["default", "apps"], True),
        ({}, True),
        ({"matchLabels": {"team": "a"}}, True),
        ({"matchLabels": {"team": "b"}}, False),
        ({"matchExpressions": [{"key": "team", "operator": "In", "values": ["a"]}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}, False),
        ({"matchExpressions": [{"key": "team", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "other", "operator": "In", "values": ["a"]}]}, False),
    ],
)
def test_a_network_is_for_the_namespaces_that_are_declared(annotation, namespaces, may):
    objects = dict([nad("green", GREEN, "default")])
    objects["/api/v1/namespaces/apps"] = {"metadata": {"labels": {"team": "a"}}}
    notes = {annotation: "default/green"}
    if may:
        assert "default/green" in [
            one[0] for one in names(resolve(closed(namespaces), notes, objects))
        ]
        return
    with pytest.raises(errors.Error) as caught:
        resolve(closed(namespaces), notes, objects)
    assert caught.value.code == errors.INVALID_CONFIGURATION
    assert caught.value.msg.startswith(
        "A pod of the namespace apps may not use the network default/green: it is for"
    )


@pytest.mark.parametrize(
    "config",
    [
        GREEN,
        dict(GREEN, name="mine"),  # its bridge
        {"name": "multinet-green", "type": "x"},  # its addresses, by host-local
        {"name": "mine", "plugins": [{"type": "macvlan", "master": "mn-g"}]},
        {"name": "mine", "type": "flannel", "subnetFile": "//run/./flannel/x/../green.env"},
        # another meta-plugin, which looks for networks by their names
        {"name": "mine", "type": "multus.original", "clusterNetwork": "green"},
        {"name": "mine", "type": "flannel", "Delegate": {"Type": "multus-shim"}},
    ],
)
def test_nor_by_a_definition_of_ones_own(config):
    objects = dict([nad("mine", config)])
    with pytest.raises(errors.Error, match="may not use the network apps/mine"):
        resolve(closed(["default"]), asked("mine"), objects)
    assert len(resolve(closed(["default"]), asked("mine"), dict([nad("mine", MACVLAN)]))) == 2


NO_TEXTS = ["mn-g\0", "mn-g\x01", "a\x1b[2J", "mn-g\x7f", "mn-g\ud800", "\udc80"]


@pytest.mark.parametrize("text", NO_TEXTS)
def test_what_no_name_has_is_refused_in_all_that_pods_ask_for(text):
    """Programs and the kernel take a text with NUL for the part before it."""
    configs = [
        {"type": "bridge", "bridge": text},
        {"plugins": [{"type": "x", "list": [{"deep": [text]}]}]},
        {"type": "x", text: 1},
    ]
    for config in configs:
        with pytest.raises(errors.Error, match="apps/mine has a text with") as caught:
            resolve(BASE, asked("mine"), dict([nad("mine", config)]))
        assert caught.value.code == errors.INVALID_CONFIGURATION
    plain = dict([nad("mine", MACVLAN)])
    for keys in ({"interface": text}, {"cni-args": {"a": [text]}}, {"cni-args": {text: 1}}):
        with pytest.raises(errors.Error, match="annotation") as caught:
            resolve(BASE, asked([{"name": "mine", **keys}]), plain)
        assert caught.value.code == errors.INVALID_CONFIGURATION
        json.dumps(str(caught.value)).encode()


def test_a_text_of_several_lines_is_one():
    several = {"a": "one\n\ttwo\r\n"}
    notes = asked([{"name": "mine", "cni-args": several}])
    found = resolve(BASE, notes, dict([nad("mine", dict(MACVLAN, **several))]))
    assert found[1].raw["args"] == {"cni": several}


@pytest.mark.parametrize("namespaces", [["default"], ["apps"]])
def test_a_closed_network_is_closed_to_the_first_generations_objects(namespaces):
    base = {"name": "meta", "kubeconfig": "/k", "namespaces": closed(namespaces)["namespaces"]}
    item = {"metadata": {"name": "mine"}, "plugin": "bridge", "args": '[{"bridge": "mn-g"}]'}
    objects = {"/apis/kubernetes.com/v1/namespaces/default/networks/mine": item}
    notes = {annotations.LEGACY_NETWORKS: '[{"name": "mine"}]'}
    if namespaces == ["apps"]:
        assert names(resolve(base, notes, objects)) == [["mine", "eth0"]]
        return
    with pytest.raises(errors.Error, match="apps may not use the network"):
        resolve(base, notes, objects)


def test_closed_networks_are_written_as_they_should_be():
    (green,) = closed([])["namespaces"]
    for wrong in (
        {"green": ["default"]},
        [dict(green, file=1)],
        [dict(green, ranges="10.0.0.0/8")],
    ):
        with pytest.raises(errors.Error, match="`namespaces` is not a list of networks"):
            conf.parse(dict(BASE, namespaces=wrong))


def test_the_default_route_is_one_networks():
    objects = dict([nad("m", MACVLAN), nad("n", MACVLAN)])
    found = resolve(
        BASE,
        asked([{"name": "m", "default-route": ["10.0.0.1", "fd00::1"]}, {"name": "n"}]),
        objects,
    )
    assert [one.default_route for one in found] == [None, ["10.0.0.1", "fd00::1"], None]
    assert (
        resolve(BASE, asked([{"name": "m", "default-route": []}]), objects)[1].default_route == []
    )
    for bad in (
        [{"name": "m", "default-route": []}, {"name": "n", "default-route": ["10.0.0.1"]}],
        [{"name": "m", "default-route": ["10.0.0.1", "10.0.0.2"]}],
        [{"name": "m", "default-route": ["x"]}],
        [{"name": "m", "default-route": "10.0.0.1"}],
        [{"name": "m", "default-route": ["::ffff:10.3.5.1"]}],
        [{"name": "m", "ips": ["10.3.5.9/" + "1" * 5000]}],
    ):
        with pytest.raises(errors.Error):
            resolve(BASE, asked(bad), objects)


def test_an_interface_is_one_networks():
    with pytest.raises(errors.Error) as caught:
        resolve(BASE, asked("m@x,n@x"), dict([nad("m", MACVLAN), nad("n", MACVLAN)]))
    assert "interface x" in caught.value.msg
    with pytest.raises(errors.Error):
        resolve(BASE, asked("m@net2,n"), dict([nad("m", MACVLAN), nad("n", MACVLAN)]))


def test_a_network_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(errors.Error) as caught:
        resolve(dict(BASE, confDir=str(tmp_path)), asked("m"), {})
    assert "apps/m" in caught.value.msg


def test_networks_on_the_host(tmp_path):
    (tmp_path / "10-a.conf").write_text('{"name": "m", "type": "single"}', encoding="utf-8")
    (tmp_path / "20-b.conflist").write_text(
        '{"name": "m", "plugins": [{"type": "of-list"}]}', encoding="utf-8"
    )
    (tmp_path / "30-c.json").write_text('# c\n{"name": "j", "type": "json"}', encoding="utf-8")
    conf_dir = dict(BASE, confDir=str(tmp_path))
    found = resolve(conf_dir, asked("m,j"), dict([nad("m"), nad("j", "")]))
    # lists first
    types = [plugin["type"] for one in found for plugin in one.network.plugins]
    assert types == ["a", "of-list", "json"]
    # where no API is configured but the runtime hands annotations over
    assert names(resolve(conf_dir, asked("m,j"))) == [
        ["default", "eth0"],
        ["m", "net1"],
        ["j", "net2"],
    ]
    with pytest.raises(errors.Error) as caught:
        resolve(conf_dir, asked("x"), dict([nad("x")]))
    assert str(tmp_path) in caught.value.msg
    (tmp_path / "05-broken.conflist").write_text("{", encoding="utf-8")
    with pytest.raises(errors.Error) as caught:
        resolve(conf_dir, asked("m"), dict([nad("m")]))
    assert "05-broken" in caught.value.msg


def test_the_cluster_network_from_everywhere(tmp_path):
    (tmp_path / "b.conf").write_text('{"name": "from-file", "type": "x"}', encoding="utf-8")
    (tmp_path / "c.conflist").write_text(
        '{"name": "other", "plugins": [{"type": "y"}]}', encoding="utf-8"
    )
    base = {
        "name": "meta",
        "confDir": str(tmp_path),
        "delegates": [{"type": "ignored"}],
        "kubeconfig": "/k",
    }
    objects = dict([nad("cluster", MACVLAN, "kube-system"), nad("cluster", MACVLAN, "elsewhere")])

    def first(name, **keys):
        return names(resolve(dict(base, clusterNetwork=name, **keys), {}, objects))

    assert first("cluster") == [["kube-system/cluster", "eth0"]]
    assert first("cluster", multusNamespace="elsewhere") == [["elsewhere/cluster", "eth0"]]
    assert first("from-file") == [["from-file", "eth0"]]
    assert first(str(tmp_path)) == [["from-file", "eth0"]]
    assert first(str(tmp_path / "c.conflist")) == [["other", "eth0"]]
    for missing in ("nowhere", str(tmp_path / "nothing.conf")):
        with pytest.raises(errors.Error):
            first(missing)


@pytest.mark.parametrize(
    ("only_inlined", "plugins"), [(False, ["y", "in-directory"]), (True, ["y"])]
)
def test_a_list_on_the_host_has_the_plugins_of_its_directory(tmp_path, only_inlined, plugins):
    """CNI 1.1: <directory of the list>/<its name>/*.conf, whatever leads to the list."""
    raw = {"name": "m", "cniVersion": "1.1.0", "plugins": [{"type": "y"}]}
    raw["loadOnlyInlinedPlugins"] = only_inlined
    file = tmp_path / "c.conflist"
    file.write_text(json.dumps(raw), encoding="utf-8")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "x.conf").write_text('{"type": "in-directory"}', encoding="utf-8")
    base = dict(BASE, confDir=str(tmp_path))
    ways = [dict(base, clusterNetwork=name) for name in (str(file), str(tmp_path), "m")]
    found = [resolve(one, {})[0] for one in ways] + [resolve(base, asked("m"))[1]]
    found += [resolve(base, asked("m"), dict([nad("m", "")]))[1]]
    assert [[one["type"] for one in way.network.plugins] for way in found] == [plugins] * 5


def test_default_networks_are_every_pods_but_the_systems():
    objects = dict(
        [
            nad("cluster", MACVLAN, "kube-system"),
            nad("extra", MACVLAN, "kube-system"),
            nad("m", MACVLAN),
        ]
    )
    base = {
        "name": "meta",
        "kubeconfig": "/k",
        "clusterNetwork": "cluster",
        "defaultNetworks": ["extra"],
    }
    assert names(resolve(base, asked("m"), objects)) == [
        ["kube-system/cluster", "eth0"],
        ["kube-system/extra", "net1"],
        ["apps/m", "net2"],
    ]
    assert names(resolve(base, {}, objects, namespace="kube-system")) == [
        ["kube-system/cluster", "eth0"]
    ]
    assert names(resolve(dict(base, systemNamespaces=["apps"]), asked("m"), objects)) == [
        ["kube-system/cluster", "eth0"],
        ["apps/m", "net1"],
    ]
    with_delegates = dict(BASE, defaultNetworks=["extra"])
    assert names(resolve(with_delegates, {}, objects)) == [
        ["default", "eth0"],
        ["kube-system/extra", "net1"],
    ]


def test_a_pod_may_choose_its_default_network():
    objects = dict([nad("m", MACVLAN, "kube-system"), nad("m", MACVLAN), nad("n", MACVLAN)])

    def chosen(text, **keys):
        return resolve(
            dict(BASE, **keys), dict(asked("n"), **{annotations.DEFAULT_NETWORK: text}), objects
        )

    assert names(chosen("m")) == [["kube-system/m", "eth0"], ["apps/n", "net1"]]
    assert names(chosen("apps/m")) == [["apps/m", "eth0"], ["apps/n", "net1"]]
    assert names(chosen('[{"name": "m", "interface": "eth7"}]'))[0] == ["kube-system/m", "eth7"]
    assert chosen('[{"name": "m", "mac": "02:00:00:00:00:01"}]')[0].capability_args == {
        "mac": "02:00:00:00:00:01"
    }
    for bad in ("m,m", "nothing", "["):
        with pytest.raises(errors.Error):
            chosen(bad)


def test_namespace_isolation():
    objects = dict([nad("m", MACVLAN), nad("m", MACVLAN, "other"), nad("m", MACVLAN, "default")])
    isolated = dict(BASE, namespaceIsolation=True)
    assert len(resolve(isolated, asked("m@a,default/m@b"), objects)) == 3
    with pytest.raises(errors.Error) as caught:
        resolve(isolated, asked("other/m"), objects)
    assert "namespaceIsolation" in caught.value.msg
    assert len(resolve(dict(isolated, globalNamespaces="x, other"), asked("other/m"), objects)) == 2
    with pytest.raises(errors.Error):
        resolve(dict(isolated, globalNamespaces="x, other"), asked("default/m"), objects)


def test_devices_are_given_out_in_order(tmp_path):
    checkpoint = tmp_path / "checkpoint"
    entries = [
        {
            "PodUID": "u-1",
            "ContainerName": "c",
            "ResourceName": "vendor/nic",
            "DeviceIDs": {"0": ["0000:03:00.2"], "1": ["0000:03:00.1"]},
        },
        {"PodUID": "u-1", "ContainerName": "d", "ResourceName": "vendor/old", "DeviceIDs": ["x"]},
        {
            "PodUID": "u-2",
            "ContainerName": "c",
            "ResourceName": "vendor/nic",
            "DeviceIDs": {"0": ["other"]},
        },
    ]
    checkpoint.write_text(
        json.dumps({"Data": {"PodDeviceEntries": entries, "RegisteredDevices": {}}, "Checksum": 1}),
        encoding="utf-8",
    )
    objects = dict(
        [
            nad("m", {"plugins": [{"type": "sriov"}, {"type": "tuning"}]}, resource="vendor/nic"),
            nad("o", {"type": "z"}, resource="vendor/old"),
        ]
    )

    def found(text):
        return resolve(
            BASE, asked(text), objects, host_devices=devices.Devices(str(checkpoint), str(tmp_path))
        )

    one, two, three = found("m@a,m@b,o")[1:]
    assert [one.device, two.device, three.device] == ["0000:03:00.2", "0000:03:00.1", "x"]
    assert [(plugin["deviceID"], plugin["pciBusID"]) for plugin in one.raw["plugins"]] == [
        ("0000:03:00.2", "0000:03:00.2")
    ] * 2
    with pytest.raises(errors.Error) as caught:
        found("m@a,m@b,m@c")
    assert "vendor/nic" in caught.value.msg
    assert found('[{"name": "m", "deviceID": "mine"}]')[1].raw["plugins"][0]["deviceID"] == "mine"


def test_a_resource_without_a_device_plugin_gives_no_device(tmp_path):
    """The scheduler counts it alone (bridge-marker, ovs-cni)."""
    checkpoint = tmp_path / "checkpoint"
    objects = dict(
        [
            nad("br", {"type": "bridge", "pciBusID": "kept"}, resource="bridge.example/br1"),
            nad("m", {"type": "sriov"}, resource="vendor/nic"),
        ]
    )

    def found(text):
        return resolve(
            BASE, asked(text), objects, host_devices=devices.Devices(str(checkpoint), str(tmp_path))
        )

    one = found("br")[1]
    assert (one.device, one.raw["pciBusID"]) == (None, "kept")
    checkpoint.write_text(
        json.dumps({"Data": {"RegisteredDevices": {"vendor/nic": ["0000:03:00.1"]}}}),
        encoding="utf-8",
    )
    assert found("br")[1].device is None
    with pytest.raises(errors.Error) as caught:  # a device plugin offers it, the pod asked for none
        found("m")
    assert "vendor/nic" in caught.value.msg


def test_the_auxiliary_chain(tmp_path):
    (tmp_path / "10-default.conflist").write_text(
        '{"name": "cluster", "cniVersion": "1.0.0", "plugins": [{"type": "x"}]}', encoding="utf-8"
    )
    base = {
        "name": "meta",
        "kubeconfig": "/k",
        "clusterNetwork": str(tmp_path / "10-default.conflist"),
        "auxiliaryCNIChainName": "chain",
    }
    assert names(resolve(base, {}, {})) == [["cluster", "eth0"]]
    (tmp_path / "chain").mkdir()
    (tmp_path / "chain" / "2.conf").write_text('{"type": "later"}', encoding="utf-8")
    (tmp_path / "chain" / "1.conf").write_text('{"type": "sooner"}', encoding="utf-8")
    found = resolve(base, asked("m"), dict([nad("m", MACVLAN)]))
    assert names(found) == [["cluster", "eth0"], ["apps/m", "net1"], ["chain", "eth0"]]
    assert ([plugin["type"] for plugin in found[2].raw["plugins"]], found[2].chained) == (
        ["sooner", "later"],
        True,
    )
    with pytest.raises(errors.Error):
        resolve(dict(base, clusterNetwork="cluster"), {}, {})


def test_damaged_objects_are_errors():
    path = nad("m")[0]
    for item in (
        {"spec": 5},
        {"spec": {"config": 5}},
        {"spec": {"config": "{"}},
        {"spec": {"config": "[]"}},
        {"spec": {"config": '{"plugins": []}'}},
        {"spec": {"config": '{"type": "../x"}'}},
        {"spec": {"config": "{}"}, "metadata": []},
        {"spec": {"config": "{}"}, "metadata": {"annotations": "x"}},
    ):
        with pytest.raises(errors.Error):
            for one in resolve(BASE, asked("m"), {path: item}):
                assert one.network


def test_keys_of_npwg_are_checked():
    for keys in (
        {"defaultNetworks": "x"},
        {"systemNamespaces": [1]},
        {"namespaceIsolation": "yes"},
        {"globalNamespaces": []},
        {"confDir": 1},
        {"clusterNetwork": 1},
        {"readinessindicatorfile": 1},
        {"retryDeleteOnError": 1},
        {"auxiliaryCNIChainName": "x"},
        {"kubeconfig": 1},
    ):
        with pytest.raises(errors.Error) as caught:
            conf.parse(dict(BASE, **keys))
        assert caught.value.code == errors.INVALID_CONFIGURATION
