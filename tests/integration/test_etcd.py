# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client and the module flannel_network_config against a real etcd; etcdctl is the witness of
what is stored.
"""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys
import threading

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._drift import datastore
from ansible_collections.multinet.flannel.plugins.module_utils._etcd import client as etcd
from etcd_server import Authority, free_port, running_etcd
from waiting import PATIENCE

BLUE = {
    "name": "blue",
    "etcd_prefix": "/coreos.com/network/blue",
    "flannel_config": {
        "Network": "10.1.0.0/16",
        "SubnetLen": 24,
        "Backend": {"Type": "vxlan", "VNI": 1, "Port": 8472},
    },
    "unit": "flanneld@blue.service",
}
RED = {
    "name": "red",
    "etcd_prefix": "/coreos.com/network/red",
    "flannel_config": {
        "Network": "10.3.0.0/16",
        "SubnetLen": 24,
        "Backend": {"Type": "vxlan", "VNI": 2, "Port": 8286},
    },
}
LEASE = {
    "PublicIP": "192.0.2.7",
    "PublicIPv6": None,
    "BackendType": "vxlan",
    "BackendData": {"VNI": 1, "VtepMAC": "82:00:00:00:00:01"},
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def tls(authority):
    """The parameters of a client that etcd accepts."""
    certificate, key = authority.issue("client", addresses=(), usages=("client",))
    return {
        "ca_cert": str(authority.ca_crt),
        "client_cert": str(certificate),
        "client_key": str(key),
    }


@pytest.fixture(scope="module")
def url(upstream_bin, authority, tmp_path_factory):
    certificate, key = authority.issue("server")
    with running_etcd(
        upstream_bin / "etcd", tmp_path_factory.mktemp("etcd"), (authority.ca_crt, certificate, key)
    ) as started:
        yield started


@pytest.fixture
def etcdctl(upstream_bin, url, tls):
    """Run etcdctl and return what it prints; the keys are gone after the test."""

    def run(*arguments):
        command = [
            str(upstream_bin / "etcdctl"),
            "--endpoints",
            url,
            "--cacert",
            tls["ca_cert"],
            "--cert",
            tls["client_cert"],
            "--key",
            tls["client_key"],
            *arguments,
        ]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    yield run
    run("del", "--prefix", "/")


@pytest.fixture
def module(url, tls):
    """Run flannel_network_config as Ansible would on the host, and return its result."""
    path = pathlib.Path(etcd.__file__).parents[2] / "modules" / "flannel_network_config.py"

    def run(check=False, **params):
        arguments = dict({"endpoints": [url], "networks": [BLUE, RED]}, **tls)
        arguments.update(params)
        arguments.update({"_ansible_check_mode": check, "_ansible_diff": True})
        done = subprocess.run(
            [sys.executable, str(path)],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            capture_output=True,
            text=True,
            check=False,
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        )
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    return run


def actions(result):
    assert not result.get("failed"), result["msg"]
    return {network["name"]: network["action"] for network in result["networks"]}


# What the module writes


def test_creates_the_keys_and_finds_them_on_the_second_run(module, etcdctl):
    assert actions(module()) == {"blue": "created", "red": "created"}
    assert (
        json.loads(etcdctl("get", "--print-value-only", "/coreos.com/network/blue/config"))
        == BLUE["flannel_config"]
    )
    assert (
        json.loads(etcdctl("get", "--print-value-only", "/coreos.com/network/red/config"))
        == RED["flannel_config"]
    )
    again = module()
    assert actions(again) == {"blue": "unchanged", "red": "unchanged"}
    assert again["changed"] is False and again["diff"] == []


def test_check_mode_says_what_the_run_does_and_writes_nothing(module, etcdctl):
    foretold = module(check=True)
    assert etcdctl("get", "--prefix", "/", "--keys-only").strip() == ""
    done = module()
    for key in ("changed", "networks", "diff"):
        assert foretold[key] == done[key]
    assert '"VNI": 1' in done["diff"][0]["after"] and done["diff"][0]["before"] == ""


def test_another_formatting_is_no_change(module, etcdctl):
    etcdctl(
        "put",
        "/coreos.com/network/blue/config",
        '{"Backend":{"Port":8472,\n "VNI":1,"Type":"vxlan"},  '
        ' "SubnetLen":24,"Network":"10.1.0.0/16"}',
    )
    assert actions(module(networks=[BLUE])) == {"blue": "unchanged"}


def test_what_is_no_json_is_written_anew(module, etcdctl):
    etcdctl("put", "/coreos.com/network/blue/config", "not json")
    result = module(networks=[BLUE])
    assert actions(result) == {"blue": "updated"} and result["networks"][0]["before"] == "not json"


def test_returns_the_leases(module, etcdctl):
    module()
    etcdctl("put", "/coreos.com/network/blue/subnets/10.1.5.0-24", json.dumps(LEASE))
    result = module()
    assert result["changed"] is False
    found = [
        (lease["subnet"], lease["public_ip"], lease["backend_type"])
        for lease in result["networks"][0]["leases"]
    ]
    assert found == [("10.1.5.0/24", "192.0.2.7", "vxlan")]
    assert result["networks"][1]["leases"] == []


@pytest.mark.parametrize("check", [True, False])
def test_refuses_another_range_under_leases(module, etcdctl, check):
    module()
    etcdctl("put", "/coreos.com/network/blue/subnets/10.1.5.0-24", json.dumps(LEASE))
    wider = dict(BLUE, flannel_config=dict(BLUE["flannel_config"], Network="10.0.0.0/12"))
    other = dict(RED, flannel_config=dict(RED["flannel_config"], Network="10.4.0.0/16"))
    result = module(networks=[wider, other], check=check)
    assert (
        result["failed"]
        and "blue" in result["msg"]
        and "192.0.2.7" in result["msg"]
        and "10.1.0.0/16 -> 10.0.0.0/12" in result["msg"]
        and "another cluster's, give this one a multinet_etcd_prefix" in result["msg"]
    )
    assert len(result["errors"]) == 1  # red has no leases
    assert (
        json.loads(etcdctl("get", "--print-value-only", "/coreos.com/network/blue/config"))
        == BLUE["flannel_config"]
    )
    assert (
        json.loads(etcdctl("get", "--print-value-only", "/coreos.com/network/red/config"))
        == RED["flannel_config"]
    )
    assert actions(module(networks=[wider, other], check=check, allow_range_change=True)) == {
        "blue": "updated",
        "red": "updated",
    }


def test_a_cluster_with_a_prefix_of_its_own_meets_no_other(module, etcdctl):
    """What is declared may be the same; below one prefix it would be one network of both."""
    module()
    etcdctl("put", "/coreos.com/network/blue/subnets/10.1.5.0-24", json.dumps(LEASE))
    before = etcdctl("get", "--prefix", "/coreos.com/")
    second = [
        dict(network, etcd_prefix=f"/second/network/{network['name']}") for network in (BLUE, RED)
    ]
    second[0]["flannel_config"] = dict(BLUE["flannel_config"], Network="10.7.0.0/16")
    result = module(networks=second)
    assert actions(result) == {"blue": "created", "red": "created"}
    assert [network["leases"] for network in result["networks"]] == [[], []]
    gone = module(networks=second, state="absent", leaving=[], last=True, prune=True)
    assert actions(gone) == {"blue": "removed", "red": "removed"}
    assert etcdctl("get", "--prefix", "/coreos.com/") == before
    assert etcdctl("get", "--prefix", "/second/") == ""


def test_changes_the_backend_under_leases(module, etcdctl):
    module()
    etcdctl("put", "/coreos.com/network/blue/subnets/10.1.5.0-24", json.dumps(LEASE))
    gbp = dict(
        BLUE,
        flannel_config=dict(
            BLUE["flannel_config"], Backend={"Type": "vxlan", "VNI": 1, "Port": 8472, "GBP": True}
        ),
    )
    assert actions(module(networks=[gbp])) == {"blue": "updated"}


def test_absent_removes_a_networks_keys_and_no_others(module, etcdctl):
    module()
    etcdctl("put", "/coreos.com/network/blue/subnets/10.1.5.0-24", json.dumps(LEASE))
    etcdctl("put", "/coreos.com/network/bluegreen/config", "{}")
    foretold = module(networks=[BLUE], state="absent", check=True)
    assert actions(foretold) == {"blue": "removed"} and "192.0.2.7" in foretold["diff"][0]["before"]
    assert "subnets/10.1.5.0-24" in etcdctl("get", "--prefix", "/", "--keys-only")
    assert actions(module(networks=[BLUE], state="absent")) == {"blue": "removed"}
    assert etcdctl("get", "--prefix", "/", "--keys-only").split() == [
        "/coreos.com/network/bluegreen/config",
        "/coreos.com/network/red/config",
    ]
    assert module(networks=[BLUE], state="absent")["changed"] is False


def test_a_host_that_leaves_takes_its_own_leases_alone(module, etcdctl):
    """Whatever the inventory says: the configuration and the other hosts' leases stay."""
    module()
    translated = dict(LEASE, PublicIP="203.0.113.9")  # of a host behind a NAT
    leases = {
        "10.1.5.0-24": dict(LEASE, PublicIP="192.0.2.1", BackendData={"VtepMAC": "82:01"}),
        "10.1.6.0-24": dict(LEASE, BackendData={"VtepMAC": "82:02"}),
        # the third subnet was the host's once, and is another's by now
        "10.1.7.0-24": dict(LEASE, BackendData={"VtepMAC": "82:03"}),
        "10.1.8.0-24": dict(translated, BackendData={"VtepMAC": "82:04"}),
    }
    prefix = "/coreos.com/network/blue/subnets/"
    for subnet, lease in leases.items():
        etcdctl("put", prefix + subnet, json.dumps(lease))
    # two clusters on one etcd: a prefix that begins alike
    etcdctl("put", "/coreos.com/network/bluegreen/subnets/10.1.5.0-24", json.dumps(LEASE))
    before = etcdctl("get", "--prefix", "/", "--keys-only").split()
    one = {
        "subnets": ["10.1.5.0/24", "10.1.7.0/24", "10.1.8.0/24"],
        "public": ["192.0.2.1", "127.0.0.1"],
        "mac": "82:04",
    }
    going = {"leaving": [{"blue": one}], "state": "absent", "last": True}
    foretold = module(**going, check=True)
    assert actions(foretold) == {"blue": "released", "red": "removed"}
    assert foretold["networks"][0]["keys"] == [prefix + "10.1.5.0-24", prefix + "10.1.8.0-24"]
    assert [lease["subnet"] for lease in foretold["networks"][0]["others"]] == [
        "10.1.6.0/24",
        "10.1.7.0/24",
    ]
    assert etcdctl("get", "--prefix", "/", "--keys-only").split() == before
    gone = [
        prefix + "10.1.5.0-24",
        prefix + "10.1.8.0-24",
        "/coreos.com/network/red/config",  # nobody has a lease of it
    ]
    assert actions(module(**going)) == {"blue": "released", "red": "removed"}
    assert etcdctl("get", "--prefix", "/", "--keys-only").split() == [
        key for key in before if key not in gone
    ]
    assert module(**going)["changed"] is False
    # a host that no longer knows its subnet goes by its address, as flanneld does
    two = {"subnets": [], "public": ["192.0.2.7"], "mac": None}
    assert actions(module(leaving=[{"blue": two}], state="absent")) == {
        "blue": "released",
        "red": "unchanged",
    }
    assert etcdctl("get", "--prefix", "/", "--keys-only").split() == [
        "/coreos.com/network/blue/config",
        "/coreos.com/network/bluegreen/subnets/10.1.5.0-24",
    ]


# The client


@pytest.fixture
def client(url, tls, etcdctl):
    return etcd.Client([url], **tls)


def test_the_leases_of_many_hosts_go_although_a_transaction_has_a_limit(module, client, etcdctl):
    module()
    hosts = []
    for number in range(250):
        address, subnet = f"192.0.2.{number}", f"10.1.{number}.0"
        lease = json.dumps(dict(LEASE, PublicIP=address))
        client.txn([], [("put", f"/coreos.com/network/blue/subnets/{subnet}-24", lease)])
        hosts.append({"blue": {"subnets": [subnet + "/24"], "public": [address], "mac": None}})
    result = module(networks=[BLUE], leaving=hosts, state="absent")
    assert len(result["networks"][0]["keys"]) == 250
    assert etcdctl("get", "--prefix", "/coreos.com/network/blue", "--keys-only").split() == [
        "/coreos.com/network/blue/config"
    ]


def many(number, third=0):
    """Return networks, each with a range of its own; third: what its third byte is."""
    return [
        {
            "name": f"n{one}",
            "etcd_prefix": f"/coreos.com/network/n{one}",
            "flannel_config": {"Network": f"10.{one}.{third}.0/24", "SubnetLen": 26},
        }
        for one in range(number)
    ]


def test_more_networks_than_a_transaction_takes(module, etcdctl):
    """Each with one operation (created), two comparisons (range) and two operations (removed)."""
    for params, action in (
        ({"networks": many(200)}, "created"),
        ({"networks": many(200)}, "unchanged"),
        ({"networks": many(200, third=1)}, "updated"),
        ({"networks": many(200, third=1), "state": "absent"}, "removed"),
    ):
        assert set(actions(module(**params)).values()) == {action}
        there = etcdctl("get", "--prefix", "/coreos.com/network/n", "--keys-only").split()
        assert len(there) == (0 if action == "removed" else 200)


def test_what_is_left_half_written_is_finished_by_the_next_run(module, client, etcdctl):
    assert set(actions(module(networks=many(90))).values()) == {"created"}
    networks = many(200)
    found = actions(module(networks=networks))
    assert [found[one["name"]] for one in networks] == ["unchanged"] * 90 + ["created"] * 110


def test_a_transaction_is_refused_when_the_key_changed(client):
    assert client.txn([("revision", "/a", 0)], [("put", "/a", "1")])
    assert not client.txn([("revision", "/a", 0)], [("put", "/a", "2")])
    seen = client.get("/a")
    client.put("/a", "other")
    assert not client.txn([("revision", "/a", seen.mod_revision)], [("put", "/a", "2")])
    assert client.get("/a").value == "other"


def test_a_transaction_is_refused_when_a_lease_came(client):
    assert client.txn([("empty", "/n/subnets/")], [("put", "/n/config", "1")])
    client.put("/n/subnets/10.1.5.0-24", "{}")
    assert not client.txn([("empty", "/n/subnets/")], [("put", "/n/config", "2")])


def test_alarms_and_room_are_known(client, etcdctl):
    found = client.status()
    assert found["alarms"] == [] and 0 < found["db_size"] < found["quota"]
    change = {"memberID": str(found["member"]), "alarm": "NOSPACE"}
    client._post("/v3/maintenance/alarm", {"action": "ACTIVATE", **change})
    try:
        assert client.status()["alarms"] == ["NOSPACE"]
    finally:
        etcdctl("alarm", "disarm")
    assert client.status()["alarms"] == []


def test_a_host_asks_once_for_all_its_networks(module, client, url, tls, monkeypatch):
    module()
    lease = client.lease_grant(3600)
    for name, subnet in (("blue", "10.1.5.0-24"), ("red", "10.3.5.0-24")):
        client.put(f"/coreos.com/network/{name}/subnets/{subnet}", json.dumps(LEASE), lease)
    asked = []
    post = etcd.Client._post

    def counted(self, path, *more, **named):
        asked.append(path)
        return post(self, path, *more, **named)

    monkeypatch.setattr(etcd.Client, "_post", counted)
    environment = {
        "FLANNELD_ETCD_ENDPOINTS": url,
        "FLANNELD_ETCD_CAFILE": tls["ca_cert"],
        "FLANNELD_ETCD_CERTFILE": tls["client_cert"],
        "FLANNELD_ETCD_KEYFILE": tls["client_key"],
    }
    networks = [BLUE, RED]
    plan = {"datastore": "etcd", "networks": networks}
    written = {"blue": {"FLANNEL_SUBNET": "10.1.5.1/24"}, "red": {"FLANNEL_SUBNET": "10.3.5.1/24"}}
    for dummy in range(2):
        asked.clear()
        found = datastore.read(plan, dict.fromkeys(written, environment), written)
        assert found["configs"] == {one["name"]: one["flannel_config"] for one in networks}
        assert found["leases"]["blue"][0]["mac"] == "82:00:00:00:00:01"
        assert 3000 < found["lease_seconds"]["red"] <= 3600
        assert not found["leases_wrong"] and found["etcd"]["alarms"] == []
        assert asked.count("/v3/kv/range") == 1
    assert "/v3/lease/timetolive" not in asked  # the second look knows when it ends
    client.txn([], [("delete", "/coreos.com/network/blue/config")])
    found = datastore.read(plan, dict.fromkeys(written, environment), written)
    assert found["configs"]["blue"] == {}
    away = dict(environment, FLANNELD_ETCD_ENDPOINTS=f"https://127.0.0.1:{free_port()}")
    found = datastore.read(plan, dict.fromkeys(written, away), written)
    assert found["leases_wrong"] and found["leases"] == {"blue": None, "red": None}


def test_leases_carry_keys(client):
    lease = client.lease_grant(3600)
    client.put("/leased", "é", lease)
    assert (client.get("/leased").value, client.get("/leased").lease) == ("é", lease)
    assert 3000 < client.lease_seconds(lease) <= 3600
    client._post("/v3/lease/revoke", {"ID": str(lease)})
    assert client.get("/leased") is None
    assert client.lease_seconds(lease) == -1


def test_tells_status_and_members(client, url):
    client.check_health()
    status = client.status()
    assert status["version"].startswith("3.") and status["leader"] == status["member"]
    assert [(member.id, member.name, member.client_urls) for member in client.members()] == [
        (status["member"], "one", [url])
    ]


def test_asks_the_next_endpoint_when_one_is_down(url, tls):
    dead = f"https://127.0.0.1:{free_port()}"
    client = etcd.Client([dead, url], **tls)
    assert client.status()["leader"]
    assert [endpoint.url for endpoint in client._endpoints] == [url, dead]


def test_a_cluster_without_quorum_is_named_so(client, upstream_bin, tmp_path, monkeypatch):
    with running_etcd(upstream_bin / "etcd", tmp_path) as lonely:
        one = etcd.Client([lonely], timeout=PATIENCE)
        # two members from now on, one of which never comes
        one.member_add(f"http://127.0.0.1:{free_port()}")
        with pytest.raises(etcd.EtcdError, match="no quorum"):
            one.check_health()


# Every way it can go wrong ends in one sentence


def fails(timeout=PATIENCE, **arguments):
    with pytest.raises(etcd.EtcdError) as raised:
        etcd.Client(timeout=timeout, **arguments).status()
    return str(raised.value)


def test_nobody_listens(tls):
    url = f"https://127.0.0.1:{free_port()}"
    assert (
        fails(endpoints=[url], **tls)
        == f"etcd at {url} can't be reached: connection refused. Start etcd there or correct the"
        " endpoint."
    )


def test_nobody_answers(tls):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert "no answer in time" in fails(
            timeout=1, endpoints=[f"https://127.0.0.1:{silent.getsockname()[1]}"], **tls
        )


def test_a_name_that_is_unknown(tls):
    assert "this host cannot resolve its name" in fails(
        endpoints=["https://nowhere.invalid:2379"], **tls
    )


def test_wrong_ca(url, tls, tmp_path):
    other = Authority(tmp_path / "other", "another")
    assert "isn't signed by the given CA" in fails(
        endpoints=[url], **dict(tls, ca_cert=str(other.ca_crt))
    )


def test_client_certificate_of_another_ca(url, tls, tmp_path):
    certificate, key = Authority(tmp_path / "other", "another").issue("client")
    assert "refuses the client certificate" in fails(
        endpoints=[url], **dict(tls, client_cert=str(certificate), client_key=str(key))
    )


def test_expired_client_certificate(url, tls, authority):
    certificate, key = authority.issue("late", days=-1)
    assert "refuses the client certificate" in fails(
        endpoints=[url], **dict(tls, client_cert=str(certificate), client_key=str(key))
    )


def test_no_client_certificate(url, tls):
    assert "wants a client certificate, but none is given" in fails(
        endpoints=[url], ca_cert=tls["ca_cert"]
    )


def test_tls_missing_on_either_side(url, tls, upstream_bin, tmp_path):
    assert "Write https://" in fails(endpoints=[url.replace("https:", "http:")])
    with running_etcd(upstream_bin / "etcd", tmp_path) as plain:
        assert "Write http://" in fails(endpoints=[plain.replace("http:", "https:")], **tls)


def test_certificate_for_another_address(upstream_bin, authority, tls, tmp_path):
    certificate, key = authority.issue("elsewhere", addresses=("192.0.2.1",))
    with running_etcd(
        upstream_bin / "etcd", tmp_path, (authority.ca_crt, certificate, key)
    ) as started:
        assert "does not name that address" in fails(endpoints=[started], **tls)


def test_expired_server_certificate(upstream_bin, authority, tls, tmp_path):
    certificate, key = authority.issue("expired", days=-1)
    with running_etcd(
        upstream_bin / "etcd", tmp_path, (authority.ca_crt, certificate, key)
    ) as started:
        assert "isn't valid at this time" in fails(endpoints=[started], **tls)


def test_something_that_is_no_etcd():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def answer():
            peer, _address = other.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope")

        thread = threading.Thread(target=answer)
        thread.start()
        assert "is not an etcd 3.4 or newer" in fails(
            endpoints=[f"http://127.0.0.1:{other.getsockname()[1]}"]
        )
        thread.join()


def test_the_module_says_the_sentence_and_check_mode_can_go_on_without_etcd(module, tls):
    url = f"https://127.0.0.1:{free_port()}"
    for check in (True, False):
        assert "connection refused" in module(endpoints=[url], check=check)["msg"]
    assert "connection refused" in module(endpoints=[url], when_unreachable="empty")["msg"]
    assert actions(module(endpoints=[url], when_unreachable="empty", check=True)) == {
        "blue": "created",
        "red": "created",
    }
    missing = dict(endpoints=[url], client_cert="/nonexistent/client.crt")
    assert (
        module(**missing)["msg"]
        == "The client certificate /nonexistent/client.crt doesn't exist. Put it there or correct"
        " its path."
    )
    assert actions(module(when_unreachable="empty", check=True, **missing))["blue"] == "created"


def test_an_endpoint_that_does_not_answer_beside_one_that_does_is_named(url, tls):
    """flanneld, like the client, takes the next one."""
    environment = {
        "FLANNELD_ETCD_CAFILE": tls["ca_cert"],
        "FLANNELD_ETCD_CERTFILE": tls["client_cert"],
        "FLANNELD_ETCD_KEYFILE": tls["client_key"],
    }
    both = {**environment, "FLANNELD_ETCD_ENDPOINTS": f"https://127.0.0.2:1,{url}"}
    assert datastore.silent([both, both]) == {
        "127.0.0.2": "etcd at https://127.0.0.2:1 can't be reached: connection refused. Start"
        " etcd there or correct the endpoint."
    }
    assert datastore.silent([{**environment, "FLANNELD_ETCD_ENDPOINTS": url}, {}]) == {}
