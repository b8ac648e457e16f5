# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No input makes anything but an answer or an Error of the kind that tells what is wrong.

MULTINET_EXAMPLES says how many inputs are tried (a soak takes a million); the usual few are the
same ones each time.
"""

from __future__ import annotations

import io
import ipaddress
import json
import os

import pytest
import yaml
from ansible_collections.multinet.flannel.plugins.module_utils._cni import conf as cni_conf
from ansible_collections.multinet.flannel.plugins.module_utils._cni import errors, skel, version
from ansible_collections.multinet.flannel.plugins.module_utils._cni import result as results
from ansible_collections.multinet.flannel.plugins.module_utils._kube_client import https, kubeconfig
from ansible_collections.multinet.flannel.plugins.module_utils._meta import (
    annotations,
    conf,
    flannel_plugin,
    gateway,
    network_status,
    networks,
    plugin,
    pods,
    state,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("MULTINET_EXAMPLES", "60"))
settings.register_profile(
    "here",
    max_examples=EXAMPLES,
    derandomize=EXAMPLES <= 1000,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("here")

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def shaped(keys):
    """Objects that have the keys a reader looks for, with values of any kind or the right one."""
    return st.fixed_dictionaries(
        {},
        optional={key: JSON if values is None else values | JSON for key, values in keys.items()},
    )


NAMES = st.sampled_from(["a", "net-a", "eth0", "net1", "", "x" * 16, "a/b", "..", "multus"])
VERSIONS = st.sampled_from(version.ALL + ("9.9.9", ""))
PLUGIN = shaped(
    {
        "type": NAMES,
        "name": NAMES,
        "cniVersion": VERSIONS,
        "capabilities": st.dictionaries(NAMES, st.booleans()),
        "masterplugin": st.booleans(),
        "ifName": NAMES,
        "plugins": st.lists(shaped({"type": NAMES}), max_size=3),
        "dataDir": NAMES,
        "subnetFile": NAMES,
        "delegate": None,
        "args": None,
    }
)
CONF = shaped(
    {
        "name": NAMES,
        "cniVersion": VERSIONS,
        "delegates": st.lists(PLUGIN, max_size=3),
        "kubeconfig": st.just("/no/such/kubeconfig"),
        "always_use_default": st.booleans(),
        "clusterNetwork": NAMES,
        "defaultNetworks": st.lists(NAMES, max_size=2),
        "systemNamespaces": st.lists(NAMES, max_size=2),
        "namespaceIsolation": st.booleans(),
        "globalNamespaces": NAMES,
        "timeoutSeconds": st.sampled_from([1, 0.5, -1]),
        "runtimeConfig": None,
        "prevResult": None,
        "auxiliaryCNIChainName": NAMES,
        "cni.dev/valid-attachments": None,
        "logLevel": NAMES,
        "logOptions": None,
        "confDir": st.just("/no/such/directory"),
    }
)
PORT = shaped(
    {
        "hostPort": st.integers(0, 70000),
        "containerPort": st.integers(0, 70000),
        "protocol": NAMES,
        "hostIP": NAMES,
    }
)
SELECTION = shaped(
    {
        "name": NAMES,
        "namespace": NAMES,
        "ips": None,
        "mac": None,
        "infiniband-guid": None,
        "interface": NAMES,
        "portMappings": st.lists(PORT, max_size=2),
        "bandwidth": shaped({"ingressRate": st.integers()}),
        "deviceID": NAMES,
        "cni-args": None,
        "default-route": st.lists(st.sampled_from(["10.0.0.1", "fd00::1", "x"]), max_size=3),
    }
)
LINK = shaped({"name": NAMES, "mac": NAMES, "sandbox": NAMES, "mtu": st.integers()})
ADDRESS = shaped(
    {
        "address": st.sampled_from(["10.0.0.2/24", "fd00::2/64", ""]),
        "interface": st.integers(-2, 3),
        "gateway": NAMES,
    }
)
ROUTE = shaped({"dst": st.sampled_from(["0.0.0.0/0", "::/0", "10.0.0.0/8"]), "gw": NAMES})
RESULT = shaped(
    {
        "cniVersion": VERSIONS,
        "interfaces": st.lists(LINK, max_size=3),
        "ips": st.lists(ADDRESS, max_size=3),
        "routes": st.lists(ROUTE, max_size=3),
        "dns": shaped({"nameservers": None}),
        "ip4": shaped({"ip": NAMES, "routes": None}),
        "ip6": shaped({"ip": NAMES}),
    }
)
COMMANDS = st.sampled_from(["ADD", "DEL", "CHECK", "STATUS", "GC"])


class Machine:
    """Delegates that answer whatever they are told to."""

    def __init__(self, answer):
        self.answer = answer

    def find(self, name, path):
        return "/bin/" + name

    def run(self, file, environ, stdin, seconds):
        json.loads(stdin)
        return 0, self.answer if environ["CNI_COMMAND"] == "ADD" else b"", b""


@given(
    raw=CONF | st.binary(max_size=40) | JSON,
    command=COMMANDS,
    answer=st.binary(max_size=20) | RESULT.map(json.dumps),
)
def test_any_request_gets_an_answer_or_an_error_that_says_what_is_wrong(
    tmp_path, raw, command, answer
):
    if isinstance(raw, dict):
        raw = dict(raw, cniDir=str(tmp_path / "state"))
    stdin = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    if b'"cniDir"' not in stdin and command in ("DEL", "GC"):
        return  # it would look at this machine's own state
    environ = {
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": "cid",
        "CNI_NETNS": str(tmp_path),
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/bin",
    }
    machine = Machine(answer if isinstance(answer, bytes) else answer.encode())
    one = plugin.Plugin(
        execute=machine,
        interfaces=lambda path: set(),
        relay=lambda text: None,
        addresses=lambda path, name: set(),
        default_routes=lambda path: {},
    )
    out = io.StringIO()
    code = skel.main(
        one.handlers(),
        "about",
        environ=environ,
        stdin=io.BytesIO(stdin),
        stdout=out,
        stderr=io.StringIO(),
        conf_optional=("DEL",),
    )
    assert code in (0, 1)
    if code:
        problem = json.loads(out.getvalue())
        # 999 is for what nobody thought of
        assert problem["code"] != errors.INTERNAL and problem["msg"], problem
    elif command == "ADD":
        assert json.loads(out.getvalue())["cniVersion"] in version.ALL
    # whatever it was, nothing stays after a DEL
    environ["CNI_COMMAND"] = "DEL"
    skel.main(
        one.handlers(),
        "about",
        environ=environ,
        stdin=io.BytesIO(stdin),
        stdout=io.StringIO(),
        stderr=io.StringIO(),
        conf_optional=("DEL",),
    )
    if (tmp_path / "state").exists():
        assert [path.name for path in (tmp_path / "state").iterdir()] == []


@given(raw=CONF)
def test_any_configuration_is_parsed_or_refused(raw):
    assert conf.generation(raw)[0] in (conf.LEGACY, conf.NPWG)
    try:
        parsed = conf.parse(raw)
    except errors.Error as error:
        assert error.code in (errors.INVALID_CONFIGURATION, errors.INCOMPATIBLE_VERSION)
        return
    names = [conf.interface_of(one, "eth0") for one in parsed.delegates]
    assert len(set(names[1:])) == len(names[1:])


@given(
    text=st.text(max_size=30)
    | JSON.map(json.dumps)
    | st.lists(SELECTION, max_size=2).map(json.dumps)
    | st.lists(NAMES, max_size=3).map(",".join)
)
def test_any_annotation_is_understood_or_refused(text):
    for read in (lambda: annotations.parse(text, "apps"), lambda: annotations.parse_legacy(text)):
        try:
            found = read()
        except errors.Error as error:
            assert error.code == errors.INVALID_CONFIGURATION
            continue
        assert isinstance(found, list)


@given(
    item=shaped(
        {
            "metadata": shaped({"name": NAMES, "annotations": None}),
            "spec": shaped({"config": PLUGIN.map(json.dumps) | st.text(max_size=9)}),
            "plugin": NAMES,
            "args": PLUGIN.map(lambda one: json.dumps([one])),
        }
    ),
    selection=SELECTION,
)
def test_any_object_of_the_api_is_used_or_refused(item, selection):
    class Api:
        def get(self, path):
            return item

    for raw, notes in (
        (
            {
                "name": "m",
                "kubeconfig": "/k",
                "delegates": [{"type": "d", "name": "d"}],
                "confDir": "/no/such/directory",
            },
            {annotations.NETWORKS: json.dumps([selection])},
        ),
        ({"name": "m", "kubeconfig": "/k"}, {"networks": '[{"name": "a"}]'}),
    ):
        parsed = conf.parse(raw)
        try:
            delegates = networks.Resolver(
                parsed,
                pod=pods.Pod("apps", "p", "u", notes),
                api=Api(),
                devices=None,
                log=lambda level, sentence: None,
            ).delegates()
            conf.name_interfaces(delegates, parsed.generation)
        except errors.Error as error:
            assert error.code != errors.INTERNAL
        except AttributeError as error:
            assert "take" in str(error)  # a device was asked for, and there are none here


@given(raw=JSON | RESULT, to_version=st.sampled_from(version.ALL))
def test_any_result_is_converted_or_refused(raw, to_version):
    try:
        decoded = results.decode(json.dumps(raw), "1.0.0")
        converted = results.convert(decoded, to_version)
    except errors.Error as error:
        assert error.code in (errors.DECODING_FAILURE, errors.INCOMPATIBLE_VERSION)
        return
    assert converted["cniVersion"] == to_version
    assert results.to_latest(converted)["cniVersion"] == version.LATEST
    gateway.with_gateways(converted, {"4"}, ["10.0.0.1"])
    attached = state.Attached({"name": "n"}, "eth0", result=converted)
    assert network_status.status([attached])[0]["default"] is True


@given(
    text=st.binary(max_size=40)
    | JSON.map(lambda value: json.dumps(value).encode())
    | shaped(
        {
            "format": st.just(1),
            "name": NAMES,
            "containerID": st.just("cid"),
            "ifName": st.just("eth0"),
            "netns": NAMES,
            "path": st.lists(NAMES, max_size=2),
            "timeoutSeconds": st.just(5),
            "delegates": st.lists(
                shaped(
                    {
                        "conf": PLUGIN,
                        "ifName": NAMES,
                        "result": RESULT,
                        "kept": None,
                        "capabilityArgs": None,
                    }
                ),
                max_size=2,
            ),
        }
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_state_is_read_or_damaged(tmp_path, text):
    store = state.Store(str(tmp_path))
    with open(store.file("cid", "eth0"), "wb") as file:
        file.write(text)
    try:
        read = store.read("cid", "eth0")
    except state.Corrupt:
        return
    store.write(read)
    again = store.read("cid", "eth0")
    first, second = (
        [(one.raw, one.interface, one.result, one.kept) for one in which.attached]
        for which in (read, again)
    )
    assert first == second


@given(value=st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_what_is_decoded_is_encoded_as_it_was(value):
    assert json.loads(cni_conf.encode(cni_conf.decode(json.dumps(value), "it"))) == value


@given(text=st.text(max_size=60) | st.text(alphabet="ab:-' \"\n#|{}[],&", max_size=40))
def test_any_text_is_yaml_as_a_library_reads_it_or_refused(text):
    try:
        ours = kubeconfig.parse_yaml(text)
    except ValueError:
        return
    try:
        theirs = yaml.load(text, yaml.BaseLoader)
    except yaml.YAMLError:
        return  # we may be laxer with what is no YAML; it never comes from a tool
    assert as_text(ours or "") == as_text(theirs)


WORDS = st.text(alphabet="abcXYZ019-._/:@ '\"#", min_size=1, max_size=20)
KEYS = st.text(alphabet="abcXYZ019-._/", min_size=1, max_size=20)


VALUES = st.recursive(
    WORDS,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(KEYS, inner, min_size=1, max_size=3)
    ),
    max_leaves=6,
)


@given(value=st.dictionaries(KEYS, VALUES, min_size=1, max_size=3))
def test_what_a_yaml_library_writes_is_read(value):
    text = yaml.safe_dump(value, width=10000)
    if "? " in text or "- - " in text:
        return  # keys of several lines and lists of lists are in no kubeconfig
    try:
        assert as_text(kubeconfig.parse_yaml(text)) == as_text(value)
    except ValueError as error:
        pytest.fail(f"{error}\n{text}")


def as_text(value):
    """Scalars as text: what is a number or a truth value is no question here."""
    if isinstance(value, dict):
        return {key: as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return (
        {None: "", True: "true", False: "false"}.get(value, value)
        if not isinstance(value, (int, float)) or isinstance(value, bool)
        else str(value)
    )


LEASE_VALUES = st.text(max_size=8) | st.sampled_from(
    [
        "10.1.5.1/24",
        "10.1.0.0/16",
        "fd00::5:1/64",
        "FD00::/48",
        "::ffff:10.0.0.1/120",
        "1450",
        "true",
        "",
        "10.1.0.0/33",
    ]
)
LEASE_KEYS = st.sampled_from(
    [
        f"FLANNEL_{key}"
        for key in ("NETWORK", "SUBNET", "IPV6_NETWORK", "IPV6_SUBNET", "MTU", "IPMASQ")
    ]
) | st.text(max_size=8)
LEASE = st.lists(
    st.tuples(LEASE_KEYS, LEASE_VALUES).map("=".join) | st.text(max_size=8), max_size=8
).map("\n".join)
WHOLE_LEASE = LEASE.map(
    lambda more: (
        "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.5.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
        + more
    )
)
FLANNEL = shaped(
    {
        "name": NAMES,
        "cniVersion": VERSIONS,
        "subnetFile": NAMES,
        "dataDir": NAMES,
        "runtimeConfig": None,
        "DataDir": NAMES,
        "delegate": shaped(
            {
                "type": NAMES,
                "bridge": NAMES,
                "mtu": st.integers(),
                "ipMasq": st.booleans(),
                "name": None,
                "ipam": None,
            }
        ),
        "ipam": shaped(
            {
                "type": NAMES,
                "routes": st.lists(shaped({"dst": LEASE_VALUES, "gw": LEASE_VALUES}), max_size=2),
                "ranges": None,
            }
        ),
    }
)


@given(FLANNEL, LEASE | WHOLE_LEASE)
def test_any_lease_and_configuration_of_flannel_is_done_or_left_to_it(configuration, text):
    before = json.dumps(configuration)
    lease = flannel_plugin.parse_lease(text)
    if lease is None or not flannel_plugin.is_plain(configuration):
        return
    delegate = flannel_plugin.delegate_conf(configuration, lease)
    assert json.dumps(configuration) == before
    if delegate is not None:
        assert json.loads(json.dumps(delegate))["name"] == configuration.get("name", "")
        for (part,) in delegate["ipam"]["ranges"]:
            assert str(ipaddress.ip_network(part["subnet"])) == part["subnet"]
        for route in delegate["ipam"]["routes"]:
            ipaddress.ip_interface(route["dst"])


class Stream:
    """What a server sends, part by part."""

    def __init__(self, parts):
        self.parts = list(parts)

    def recv(self, dummy):
        return self.parts.pop(0) if self.parts else b""

    def sendall(self, data):
        pass


HTTP = st.lists(
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.0 404 x\n",
            b"HTTP/1.1 100 Continue\r\n",
            b"\r\n",
            b"Content-Length: 3\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"3\r\nabc\r\n",
            b"0\r\n\r\n",
            b"Connection: close\r\n",
            b"ffffffffffffffff\r\n",
            b"-1\r\n",
        ]
    )
    | st.binary(max_size=6),
    max_size=10,
)


@given(HTTP.map(lambda parts: [part for part in parts if part]))
def test_any_answer_of_a_server_is_one_or_refused(parts):
    connection = https.Connection.__new__(https.Connection)
    connection._stream, connection._rest, connection.will_close = Stream(parts), b"", False
    try:
        status_code, body = connection.request("GET", "/", {"Host": "x"}, b"", 1000)
    except (https.ProtocolError, ConnectionResetError):
        return
    assert 0 <= status_code <= 999 and isinstance(body, bytes) and len(body) <= 1000
