# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compass' files as an inventory: who has which address, every trap of the files, and what is said
of wrong ones.
"""

from __future__ import annotations

import ipaddress
import json
import re

import compass_files as files
import pytest
import yaml
from ansible_collections.multinet.flannel.plugins.plugin_utils._compass import inventory
from ansible_collections.multinet.flannel.plugins.plugin_utils._compass.documents import (
    CompassError,
)
from hypothesis import given, settings
from hypothesis import strategies as st

WISH = inventory.Wish()
HOSTS = {
    "host1": ["kube_master", "etcd", "ha"],
    "host2": ["kube_node"],
    "host3": ["kube_node", "storage_node"],
}


def build(directory, dha=files.DHA, network=files.NETWORK, wish=WISH):
    return inventory.build([files.write(directory, dha=dha, network=network)], wish)


def addresses(found, network):
    return {
        host: variables["compass_networks"][network]["address"]
        for host, variables in found["hosts"].items()
    }


def test_a_cluster(tmp_path):
    found = build(tmp_path)
    assert found["groups"] == {
        "kube_master": ["host1"],
        "etcd": ["host1"],
        "ha": ["host1"],
        "kube_node": ["host2", "host3"],
        "storage_node": ["host3"],
    }
    assert found["children"] == {
        "multinet_nodes": ["kube_master", "kube_node"],
        "multinet_etcd": ["etcd"],
    }
    assert found["hosts"]["host2"] == {
        "ansible_host": "10.9.0.51",
        "ansible_user": "root",
        "multinet_node_address": "10.9.0.51",
        "multinet_underlay_interface": "eth0",
        "compass_networks": {
            "mgmt": {
                "address": "10.9.0.51",
                "cidr": "10.9.0.0/24",
                "prefix": 24,
                "interface": "eth0",
                "gateway": "10.9.0.1",
            },
            "tenant": {
                "address": "172.20.1.2",
                "cidr": "172.20.1.0/24",
                "prefix": 24,
                "interface": "eth1.301",
                "vlan": 301,
            },
            "storage": {
                "address": "172.20.2.2",
                "cidr": "172.20.2.0/24",
                "prefix": 24,
                "interface": "eth1.302",
                "vlan": 302,
            },
            "external": {
                "address": "198.51.100.11",
                "cidr": "198.51.100.0/24",
                "prefix": 24,
                "interface": "eth1",
                "gateway": "198.51.100.1",
            },
        },
    }
    assert found["vars"] == {
        "compass_cluster": {
            "name": "opnfv",
            "type": "virtual",
            "plugins": {"multi_network": "Enable"},
            "cluster_param": {"multinet_datastore": "kubernetes"},
            "vips": {
                "internal_vip": {"ip": "10.9.0.222", "network": "mgmt"},
                "public_vip": {"ip": "198.51.100.222", "network": "external"},
            },
        },
        "multinet_forbidden_cidrs": [
            "10.9.0.0/24",
            "172.20.1.0/24",
            "172.20.2.0/24",
            "198.51.100.0/24",
        ],
        "multinet_datastore": "kubernetes",
    }


def test_the_directory_of_a_run_says_the_same(tmp_path):
    run = files.run_directory(
        tmp_path / "run",
        HOSTS,
        yaml.safe_load(files.NETWORK),
        "cluster_param: {'multinet_datastore': 'kubernetes'}\n",
    )
    assert inventory.build([run], WISH) == build(tmp_path)


@pytest.mark.parametrize("text", ["cluster_param:\n", ""])
def test_a_run_without_parameters(tmp_path, text):
    run = files.run_directory(tmp_path / "run", HOSTS, yaml.safe_load(files.NETWORK), text)
    assert inventory.build([run], WISH)["vars"]["compass_cluster"]["cluster_param"] == {}


def test_both_generations_say_the_same(tmp_path):
    first = build(tmp_path, files.FIRST_GENERATION)
    assert first == build(tmp_path, files.SECOND_GENERATION)
    assert first["hosts"]["host2"]["compass_nics"] == {
        "eth0": "52:54:00:11:22:33",  # YAML takes it for a number
        "eth1": "52:54:00:11:22:34",
    }


def test_a_range_after_a_range(tmp_path):
    assert list(addresses(build(tmp_path), "tenant").values()) == [
        "172.20.1.1",
        "172.20.1.2",
        "172.20.1.9",
    ]


def test_networks_with_the_same_ranges_take_turns(tmp_path):
    same = files.NETWORK.replace("172.20.2.", "198.51.100.").replace(
        '"198.51.100.1", "198.51.100.50"', '"198.51.100.10", "198.51.100.50"'
    )
    found = build(tmp_path, network=same)
    assert list(addresses(found, "storage").values()) == [
        "198.51.100.10",
        "198.51.100.12",
        "198.51.100.14",
    ]
    assert list(addresses(found, "external").values()) == [
        "198.51.100.11",
        "198.51.100.13",
        "198.51.100.15",
    ]


def test_roles_of_a_network_decide_nothing(tmp_path):
    for roles in ("[controller]", "[]", "[compute]"):
        changed = re.sub(r"role: \[[^]]*\]", f"role: {roles}", files.NETWORK)
        assert build(tmp_path, network=changed) == build(tmp_path)


@pytest.mark.parametrize("tag", ["None", "none", "null", "~", "", '""', '"None"'])
def test_no_vlan(tmp_path, tag):
    network = files.NETWORK.replace("vlan_tag: 301", f"vlan_tag: {tag}")
    tenant = build(tmp_path, network=network)["hosts"]["host1"]["compass_networks"]["tenant"]
    assert tenant["interface"] == "eth1"
    assert "vlan" not in tenant


def test_no_key_for_a_vlan(tmp_path):
    network = files.NETWORK.replace("vlan_tag: 301, ", "")
    assert (
        build(tmp_path, network=network)["hosts"]["host1"]["compass_networks"]["tenant"][
            "interface"
        ]
        == "eth1"
    )


def test_a_network_of_any_name_carries_the_tunnels(tmp_path):
    network = files.NETWORK.replace("name: tenant", "name: sriov")
    found = build(tmp_path, network=network, wish=inventory.Wish(underlay="sriov"))["hosts"]
    assert found["host3"]["multinet_underlay_interface"] == "eth1.301"
    assert found["host3"]["multinet_node_address"] == "172.20.1.9"
    assert found["host3"]["ansible_host"] == "10.9.0.52"


def test_a_bond(tmp_path):
    network = files.NETWORK.replace(
        "bond_mappings: []",
        "bond_mappings:\n  - {name: bond1, host: [host1, host2], bond-slaves: [eth1, eth2],"
        " bond-mode: 802.3ad, bond-miimon: 100, mtu: 9000}",
    ).replace("tenant, interface: eth1", "tenant, interface: bond1")
    found = build(tmp_path, network=network)["hosts"]
    tenant = found["host1"]["compass_networks"]["tenant"]
    assert tenant["interface"] == "bond1.301"
    assert tenant["bond"] == {"name": "bond1", "slaves": ["eth1", "eth2"], "mode": "802.3ad"}
    assert tenant["mtu"] == 9000
    # a network on one of its NICs is told of it
    assert found["host1"]["compass_networks"]["external"]["bond"]["name"] == "bond1"
    assert "bond" not in found["host3"]["compass_networks"]["external"], "not a host of the bond"


def test_a_network_without_what_only_the_installation_needs(tmp_path):
    network = re.sub(r" *(gw|dhcp_ranges):.*\n", "", files.NETWORK)
    found = build(tmp_path, network=network)["hosts"]["host1"]["compass_networks"]["mgmt"]
    assert found["address"] == "10.9.0.50"
    assert "gateway" not in found


def test_architectures_are_facts_of_the_hosts(tmp_path):
    text = json.dumps(build(tmp_path, files.FIRST_GENERATION))
    assert not re.search("arch|arm64|aarch64|x86", text)


def test_no_secret_is_in_the_inventory(tmp_path):
    run = files.run_directory(tmp_path / "run", HOSTS, yaml.safe_load(files.NETWORK))
    for found in (
        build(tmp_path, files.FIRST_GENERATION),
        build(tmp_path, files.SECOND_GENERATION),
        inventory.build([run], WISH),
    ):
        assert "hunter2" not in json.dumps(found)
    found = inventory.build([run], inventory.Wish(password=True))
    assert found["hosts"]["host1"]["ansible_password"] == "hunter2"


EXPANSION = "TYPE: virtual\nhosts: [{name: host4, roles: [kube_node]}]\n"


def expand(directory, dha=EXPANSION, network=files.NETWORK):
    later = directory / "later"
    later.mkdir()
    first = files.write(directory, dha=files.DHA, network=files.NETWORK)
    return inventory.build([first, files.write(later, dha=dha, network=network)], WISH)


def test_an_expansion(tmp_path):
    found = expand(
        tmp_path,
        network=files.NETWORK.replace('["10.9.0.50"', '["10.9.0.60"').replace(
            '["198.51.100.10"', '["198.51.100.13"'
        ),
    )
    assert found["groups"]["compass_expansion"] == ["host4"]
    assert found["groups"]["kube_node"] == ["host2", "host3", "host4"]
    assert addresses(found, "mgmt")["host4"] == "10.9.0.60"
    assert addresses(found, "external")["host4"] == "198.51.100.13"
    assert addresses(found, "tenant")["host4"] == "172.20.1.10", "it goes on where it was"


def test_an_expansion_of_a_run(tmp_path):
    network = yaml.safe_load(files.NETWORK)
    first = files.run_directory(tmp_path / "run", HOSTS, network)
    for one in network["ip_settings"]:
        one["ip_ranges"] = [[one["cidr"].replace("0/24", end) for end in ("170", "180")]]
    later = files.run_directory(tmp_path / "expansion", {"host4": ["kube_node"]}, network)
    found = inventory.build([first, later], WISH)
    assert found["groups"]["compass_expansion"] == ["host4"]
    assert addresses(found, "mgmt") == {
        "host1": "10.9.0.50",
        "host2": "10.9.0.51",
        "host3": "10.9.0.52",
        "host4": "10.9.0.170",
    }


def test_an_expansion_that_begins_with_an_address_in_use(tmp_path):
    network = files.NETWORK.replace('"10.9.0.100"', '"10.9.0.101"')
    with pytest.raises(CompassError) as error:
        expand(tmp_path, network=network)
    assert said(error, tmp_path) == (
        "later/network.yml, line 20: host4 would get 10.9.0.50, which host1 already has. Begin the"
        " range after the addresses that are in use, or take another virtual address."
    )


def test_an_expansion_with_a_host_that_is_there(tmp_path):
    with pytest.raises(CompassError) as error:
        expand(tmp_path, dha=EXPANSION.replace("host4", "host2"))
    assert said(error, tmp_path) == (
        "later/dha.yml, line 2: host2 is already a host of the cluster; an expansion may name only"
        " new hosts. Remove it there."
    )


def said(error, directory):
    return str(error.value).replace(f"{directory}/", "")


# What is changed in the DHA file, and what is said.
WRONG_DHA = {
    "type": (("virtual", "vitual"), "dha.yml, line 2: TYPE is vitual; write virtual or baremetal."),
    "no hosts": (
        ("hosts:", "host:"),
        "dha.yml, line 2: hosts must be a list with at least one item.",
    ),
    "two of a name": (("host3", "host2"), "dha.yml, line 16: there are two hosts called host2."),
    "a number": (("host3", "3"), "dha.yml, line 16: name must be a string; write it in quotes."),
    "no roles": (
        ("roles: [kube-node]", "role: [kube-node]"),
        "dha.yml, line 14: roles must be a list with at least one item.",
    ),
    "a role of OpenStack": (
        ("[kube-node]", "[controller]"),
        "dha.yml, line 15: host2 has the role controller, which a cluster of Kubernetes does not"
        " have; write one of kube_master, etcd, kube_node, ha, storage_master, storage_node,"
        " opencontrail, or remove it.",
    ),
    "a misspelt role": (
        ("[kube-node]", "[kube-nod]"),
        "dha.yml, line 15: host2 has the role kube_nod, which a cluster of Kubernetes does not"
        " have; write kube_node.",
    ),
    "a switch that is no word": (
        ('"Enable"', "true"),
        "dha.yml, line 6: multi_network must be a string; write it in quotes.",
    ),
    "a colon in a parameter": (
        ('"kubernetes"', '"a:b"'),
        "dha.yml, line 9: multinet_datastore contains a colon or a comma, where Compass would split"
        " it; write it without.",
    ),
    "a comma in a parameter": (
        ('"kubernetes"', '"a,b"'),
        "dha.yml, line 9: multinet_datastore contains a colon or a comma, where Compass would split"
        " it; write it without.",
    ),
    "two keys in one item": (
        ('multi_network: "Enable"', 'multi_network: "Enable"\n    moon: "Enable"'),
        "dha.yml, line 6: an item of plugins is one key and its value.",
    ),
    "a key twice": (
        ("FLAVOR: cluster", "FLAVOR: cluster\nTYPE: baremetal"),
        "dha.yml, line 4: TYPE is here twice, and the first one would be lost. Remove one of them.",
    ),
    "no YAML": (
        ("  - name: host2", " - name: host2"),
        "dha.yml, line 14: this is not YAML: expected <block end>, but found. Look at this line and"
        " the one before it: quotes, colons, the depth of the indentation.",
    ),
    "bare metal without MACs": (
        ("virtual", "baremetal"),
        "dha.yml, line 12: host1 has no MAC of its PXE NIC: write it as mac, or as eth0 in"
        " interfaces.",
    ),
}
WRONG_BARE_METAL = {
    "no MAC": (
        ("'02:00:5E:00:01:0B'", "'02:00:5E:00:01'"),
        "dha.yml, line 14: 02:00:5E:00:01 is not a MAC; write six pairs of hexadecimal digits, in"
        " quotes.",
    ),
    "one MAC twice": (
        ("52:54:00:11:22:34", "02:00:5e:00:01:0b"),
        "dha.yml, line 16: eth1 of host2 has the MAC 02:00:5e:00:01:0b, which eth1 of host1 has,"
        " too.",
    ),
    "a NIC that networks are on": (
        ("eth1: 52", "eth2: 52"),
        "network.yml, line 14: eth1 is used here, and host2 in dha.yml has no such NIC, but eth0,"
        " eth2. Add it there with its MAC, under interfaces.",
    ),
}
WRONG_NETWORK = {
    "no mapping": (
        ("name: tenant, interface", "name: tennant, interface"),
        "network.yml, line 25: sys_intf_mappings has no network tenant, so its NIC is not known;"
        " write tennant.",
    ),
    "no range": (
        ('cidr: "10.9.0.0/24"', 'cidr: "10.9.0.1/24"'),
        "network.yml, line 22: 10.9.0.1/24 is not a range as 10.1.0.0/24.",
    ),
    "no address": (
        ('"10.9.0.50"', '"10.9.0.500"'),
        "network.yml, line 20: 10.9.0.500 is not an address.",
    ),
    "another network's range": (
        ('"10.9.0.100"', '"10.9.1.100"'),
        "network.yml, line 20: the range 10.9.0.50 to 10.9.1.100 of mgmt is not in 10.9.0.0/24.",
    ),
    "a range backwards": (
        ('"10.9.0.50"', '"10.9.0.150"'),
        "network.yml, line 20: the range 10.9.0.150 to 10.9.0.100 of mgmt is the wrong way round;"
        " write the lower address first.",
    ),
    "too short a range": (
        ('"10.9.0.100"', '"10.9.0.51"'),
        "network.yml, line 20: the ip_ranges of mgmt have no address left for host3: there are 2 of"
        " them. Make the range longer.",
    ),
    "a VLAN": (
        ("vlan_tag: 301", "vlan_tag: 4095"),
        "network.yml, line 14: vlan_tag is 4095; write a number from 1 to 4094, or None.",
    ),
    "a virtual address that a host gets": (
        ("10.9.0.222", "10.9.0.51"),
        "network.yml, line 40: internal_vip would get 10.9.0.51, which host2 already has. Begin the"
        " range after the addresses that are in use, or take another virtual address.",
    ),
    "a virtual address elsewhere": (
        ("10.9.0.222", "10.8.0.222"),
        "network.yml, line 40: internal_vip 10.8.0.222 is not in 10.9.0.0/24, the range of mgmt.",
    ),
    "a virtual address on a NIC": (
        ('"24", interface: mgmt', '"24", interface: eth0'),
        "network.yml, line 40: internal_vip is on eth0, but ip_settings has no such network; write"
        " one of mgmt, tenant, storage, external.",
    ),
    "two networks of a name": (
        ("name: storage, ip_ranges", "name: tenant, ip_ranges"),
        "network.yml, line 33: there are two networks tenant.",
    ),
    "two mappings of a name": (
        ("name: storage, interface", "name: tenant, interface"),
        "network.yml, line 15: there are two networks called tenant.",
    ),
    "no management": (
        ("name: mgmt", "name: management"),
        "network.yml, line 40: internal_vip is on mgmt, but ip_settings has no such network; write"
        " one of management, tenant, storage, external.",
    ),
}


@pytest.mark.parametrize(("change", "sentence"), WRONG_DHA.values(), ids=WRONG_DHA)
def test_a_wrong_dha_file(tmp_path, change, sentence):
    refused(tmp_path, sentence, dha=files.DHA.replace(*change))


@pytest.mark.parametrize(("change", "sentence"), WRONG_BARE_METAL.values(), ids=WRONG_BARE_METAL)
def test_a_wrong_dha_file_of_bare_metal(tmp_path, change, sentence):
    refused(tmp_path, sentence, dha=files.FIRST_GENERATION.replace(*change))


@pytest.mark.parametrize(("change", "sentence"), WRONG_NETWORK.values(), ids=WRONG_NETWORK)
def test_a_wrong_network_file(tmp_path, change, sentence):
    refused(tmp_path, sentence, network=files.NETWORK.replace(*change))


def refused(directory, sentence, **texts):
    with pytest.raises(CompassError) as error:
        build(directory, **texts)
    assert said(error, directory) == sentence


def test_no_network_to_go_through(tmp_path):
    with pytest.raises(CompassError, match="there is no network tunnels, only mgmt, tenant"):
        build(tmp_path, wish=inventory.Wish(underlay="tunnels"))


def test_a_file_that_is_not_there(tmp_path):
    source = {"dha": str(tmp_path / "dha.yml"), "network": "/"}
    with pytest.raises(CompassError) as error:
        inventory.build([source], WISH)
    assert said(error, tmp_path) == "dha.yml cannot be read: No such file or directory."


def test_a_run_of_another_cluster(tmp_path):
    run = files.run_directory(tmp_path / "run", HOSTS, yaml.safe_load(files.NETWORK))
    text = tmp_path / "run" / "group_vars" / "all"
    text.write_text(text.read_text().replace("'host3'", "'node3'"))
    with pytest.raises(CompassError) as error:
        inventory.build([run], WISH)
    assert said(error, tmp_path) == (
        "run/group_vars/all, line 3: host3 is in run/inventories/inventory.json but has no"
        " addresses here: the two files do not belong to one run. Give the files of one run."
    )


@pytest.mark.parametrize(
    "secret",
    ["*hunter2", "hunter2: x", "'hunter2", '"hunter2', "!hunter2 x", "%hunter2", "@hunter2",
     "[hunter2", "{hunter2", "|hunter2", "`hunter2", "&hunter2 *x", "2026-99-hunter2", "\thunter2",
     "!!int hunter2", "? hunter2", "hunter2\x07"],
)  # fmt: skip
@pytest.mark.parametrize("dha", [files.FIRST_GENERATION, files.SECOND_GENERATION])
def test_no_error_tells_a_password(tmp_path, dha, secret):
    text = dha.replace("'hunter2'", "hunter2").replace("hunter2", secret, 1)
    try:
        found = json.dumps(build(tmp_path, dha=text))
    except CompassError as error:
        found = repr(error) + repr(error.__cause__)
    assert "hunter2" not in found


NAMES = st.from_regex(r"host[0-9]{1,2}", fullmatch=True)
ROLES = st.lists(
    st.sampled_from(["kube_master", "kube-master", "etcd", "kube_node", "ha"]),
    min_size=1,
    max_size=3,
    unique_by=lambda role: role.replace("-", "_"),
)


@given(hosts=st.dictionaries(NAMES, ROLES, min_size=1, max_size=8))
@settings(deadline=None, max_examples=60)
def test_dha_run_and_both_generations_agree(tmp_path_factory, hosts):
    hosts = {**hosts, "node": ["kube_node"]}
    directory = tmp_path_factory.mktemp("compass")
    macs = {name: [f"02:00:00:00:{n:02x}:{nic:02x}" for nic in (0, 1)]
            for n, name in enumerate(hosts)}  # fmt: skip
    plain = {"TYPE": "virtual", "hosts": [{"name": n, "roles": r} for n, r in hosts.items()]}
    first = {
        "TYPE": "baremetal",
        "hosts": [
            {"name": n, "roles": r, "mac": macs[n][0], "interfaces": [{"eth1": macs[n][1]}]}
            for n, r in hosts.items()
        ],
    }
    second = {
        "TYPE": "baremetal",
        "hosts": [
            {"name": n, "roles": r, "interfaces": dict(zip(("eth0", "eth1"), macs[n]))}
            for n, r in hosts.items()
        ],
    }
    found = [build(directory, dha=yaml.safe_dump(dha)) for dha in (plain, first, second)]
    run = files.run_directory(
        directory / "run",
        {name: [role.replace("-", "_") for role in roles] for name, roles in hosts.items()},
        yaml.safe_load(files.NETWORK),
    )
    found.append(inventory.build([run], WISH))
    assert found[1]["hosts"] == found[2]["hosts"]
    for one in found:
        for variables in one["hosts"].values():
            variables.pop("compass_nics", None)
        assert one["hosts"] == found[0]["hosts"]
        assert one["groups"] == found[0]["groups"]


@st.composite
def networks(draw):
    """What network.yml says of networks: ranges in pieces, ranges that two share, VLANs, NICs."""
    mappings, ip_settings = [], []
    for number, name in enumerate(["mgmt", *draw(st.permutations(["tenant", "sriov", "storage"]))]):
        tag = draw(st.sampled_from(["None", None, 2, 4094]))
        nic = draw(st.sampled_from(["eth0", "eth1"]))
        mappings.append({"name": name, "interface": nic, "type": "normal", "vlan_tag": tag})
        cuts = draw(st.lists(st.integers(2, 200), min_size=2, max_size=4, unique=True))
        if len(cuts) == 3:
            cuts.pop()
        cuts.sort()
        pieces = list(zip(cuts[::2], cuts[1::2]))
        one = {
            "name": name,
            "ip_ranges": [[f"172.20.{number}.{end}" for end in piece] for piece in pieces],
            "cidr": f"172.20.{number}.0/24",
            "role": draw(st.sampled_from([["controller", "compute"], [], ["compute"]])),
        }
        if ip_settings and draw(st.booleans()):
            one.update({key: ip_settings[-1][key] for key in ("ip_ranges", "cidr")})
        ip_settings.append(one)
    return {
        "nic_mappings": [],
        "bond_mappings": [],
        "sys_intf_mappings": mappings,
        "ip_settings": ip_settings,
    }


@given(network=networks(), count=st.integers(1, 6))
@settings(deadline=None, max_examples=30)
def test_addresses_are_those_that_compass_hands_out(tmp_path_factory, network, count):
    directory = tmp_path_factory.mktemp("compass")
    hosts = {f"host{number}": ["kube_node"] for number in range(count)}
    dha = {"TYPE": "virtual", "hosts": [{"name": n, "roles": r} for n, r in hosts.items()]}
    texts = {"dha": yaml.safe_dump(dha, sort_keys=False), "network": yaml.safe_dump(network)}
    try:
        run = files.run_directory(directory / "run", hosts, network)
    except StopIteration:
        with pytest.raises(CompassError, match="no address left"):
            build(directory, **texts)
        return
    found = build(directory, **texts)
    assert found["hosts"] == inventory.build([run], WISH)["hosts"]
    every = [
        one["address"]
        for variables in found["hosts"].values()
        for one in variables["compass_networks"].values()
    ]
    assert len(every) == len(set(every)) == 4 * count
    assert all(
        ipaddress.ip_address(one["address"]) in ipaddress.ip_network(one["cidr"])
        for variables in found["hosts"].values()
        for one in variables["compass_networks"].values()
    )


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_anything_in_place_of_a_value_is_an_inventory_or_an_error(tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("compass")
    texts = {
        "dha": yaml.safe_load(files.FIRST_GENERATION),
        "network": yaml.safe_load(files.NETWORK),
    }
    which = data.draw(st.sampled_from(sorted(texts)))
    at = texts[which]
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], (dict, list)) or not at[key] or data.draw(st.booleans()):
            at[key] = data.draw(ANYTHING)
            break
        at = at[key]
    try:
        build(directory, **{name: yaml.safe_dump(text) for name, text in texts.items()})
    except CompassError as error:
        assert re.match(r"/.*\.yml, line \d+: .*\.$", str(error), re.DOTALL)
