# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The meta-plugin with the upstream plugins in real network namespaces; what it did is read from
the kernel and from the plugins' own files.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._isolation import ports
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.nodes import TRUSTED
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.ruleset import ruleset
from ansible_collections.multinet.flannel.plugins.module_utils._meta.conf import POD_ANNOTATIONS
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from cni_host import BIN, NET, CniHost
from waiting import PATIENCE, wait_for

GUARD = pathlib.Path(__file__).resolve().parents[2] / "roles/isolation/files/isolation.py"
SEED = (pathlib.Path(__file__).parent / "data" / "10-2flannels.conf").read_text(encoding="utf-8")

if os.geteuid() != 0:
    pytest.skip("needs root for network namespaces", allow_module_level=True)


@pytest.fixture(name="host")
def _host(tmp_path, upstream_bin):
    host = CniHost(tmp_path, upstream_bin, ("multinet", "multus"))
    host.lease("/run/flannel/subnet.env", "10.1.5.1/24", "10.1.0.0/16")
    host.lease("/run/flannel/subnet2.env", "10.3.7.1/24", "10.3.0.0/16")
    yield host
    host.close()


@pytest.fixture(name="pod")
def _pod(host):
    return host.pod()


IN_PROCESS = ["flannel", "tuning", "bridge", "host-local"]


def today(*more, **keys):
    """Return a configuration as the collection writes it: two networks, each a list of plugins, and
    more delegates after them.
    """
    delegates = [
        {
            "name": name,
            "cniVersion": "0.4.0",
            "ifName": interface,
            "plugins": [
                {
                    "type": "flannel",
                    "subnetFile": file,
                    "dataDir": "/var/lib/cni/flannel/" + name,
                    "delegate": {
                        "bridge": "mn-" + name,
                        "isDefaultGateway": name == "blue",
                        "ipMasq": False,
                    },
                },
                {"type": "tuning", "sysctl": {"net.ipv4.conf.all.arp_ignore": "1"}},
            ],
        }
        for name, interface, file in (
            ("red", "net1", "/run/flannel/subnet2.env"),
            ("blue", "eth0", "/run/flannel/subnet.env"),
        )
    ]
    delegates[1]["masterplugin"] = True
    return dict(
        {
            "name": "meta",
            "cniVersion": "1.0.0",
            "type": "multinet",
            "delegates": delegates + list(more),
        },
        **keys,
    )


@pytest.mark.parametrize("name", ["multus", "multinet"])
def test_the_first_generations_file_verbatim(host, pod, name):
    status, answer = host.cni("ADD", SEED, pod, name)
    assert status == 0, answer
    # the one marked masterplugin, second in the list, has eth0, the default route and the answer
    assert host.addresses(pod) == {"eth0": "10.1.5.2/24", "net0": "10.3.7.2/24"}
    assert host.default_route(pod) == ("10.1.5.1", "eth0")
    # a configuration without cniVersion is answered in the form of its time
    assert answer["ip4"]["ip"] == "10.1.5.2/24"
    assert "ips" not in answer
    assert host.cni("DEL", SEED, pod, name) == (0, None)
    assert host.addresses(pod) == {}
    assert host.leftovers() == []
    assert host.cni("DEL", SEED, pod, name) == (0, None)


def test_the_first_generations_file_by_cnitool(host, pod, upstream_bin):
    (host.path(NET) / "10-2flannels.conf").write_text(SEED, encoding="utf-8")
    environ = {"NETCONFPATH": NET, "CNI_PATH": BIN}
    done = host.run(
        [upstream_bin / "cnitool", "add", "flannel-networks", "/run/netns/" + pod], environ=environ
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert host.addresses(pod) == {"eth0": "10.1.5.2/24", "net0": "10.3.7.2/24"}
    done = host.run(
        [upstream_bin / "cnitool", "del", "flannel-networks", "/run/netns/" + pod], environ=environ
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert host.leftovers() == []


def test_todays_configuration_by_cnitool_with_check_status_and_gc(host, pod, upstream_bin):
    (host.path(NET) / "00-multinet.conf").write_text(
        json.dumps(today(cniVersion="1.1.0")), encoding="utf-8"
    )
    environ = {"NETCONFPATH": NET, "CNI_PATH": BIN}

    def cnitool(command):
        return host.run(
            [upstream_bin / "cnitool", command, "meta", "/run/netns/" + pod], environ=environ
        )

    assert cnitool("status").returncode == 0
    done = cnitool("add")
    assert done.returncode == 0, done.stderr + done.stdout
    answer = json.loads(done.stdout)
    assert (answer["cniVersion"], answer["ips"][0]["address"]) == ("1.1.0", "10.1.5.2/24")
    assert host.addresses(pod) == {"eth0": "10.1.5.2/24", "net1": "10.3.7.2/24"}
    assert cnitool("check").returncode == 0
    subprocess.run(["ip", "-n", pod, "link", "del", "net1"], check=True)
    done = cnitool("check")
    assert done.returncode != 0 and "net1" in done.stderr + done.stdout
    # cnitool knows of none that is valid, so everything goes
    done = cnitool("gc")
    assert done.returncode == 0, done.stderr + done.stdout
    assert host.addresses(pod) == {}
    assert host.leftovers() == []
    host.path("/run/flannel/subnet2.env").unlink()
    assert cnitool("status").returncode != 0


def test_the_default_route_stays_the_masters_where_its_plugin_tells_none(host, pod):
    """Calico's plugin makes one, and its result has no routes."""
    script = """[ "$CNI_COMMAND" = ADD ] || exit 0
within() { nsenter --net="$CNI_NETNS" ip "$@" || exit 1; }
within link add "$CNI_IFNAME" type veth peer name other
within link set other up
within link set "$CNI_IFNAME" up
within addr add 10.50.0.5/32 dev "$CNI_IFNAME"
within route add 169.254.1.1 dev "$CNI_IFNAME" scope link
within route add default via 169.254.1.1 dev "$CNI_IFNAME"
echo '{"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.50.0.5/32"}]}'
"""
    host.plugin("quiet", script)
    conf = today({"type": "quiet", "name": "quiet", "cniVersion": "0.4.0", "masterplugin": True})
    del conf["delegates"][1]["masterplugin"]
    conf["delegates"][1]["ifName"] = "net2"
    status, answer = host.cni("ADD", conf, pod)
    assert status == 0, answer
    routes = host._ip(pod, "-j", "route", "show", "default")
    assert [(one["gateway"], one["dev"]) for one in routes] == [("169.254.1.1", "eth0")]
    assert host.cni("DEL", conf, pod) == (0, None)


def dual_stack(name, interface, number, routes, told):
    """Return a plugin that makes routes within the pod, and a delegate of it. told: whether its
    result has the default routes.
    """
    said = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}] if told else []
    answer = {
        "cniVersion": "0.4.0",
        "ips": [
            {"version": "4", "address": f"10.50.{number}.5/24"},
            {"version": "6", "address": f"fd50:{number}::5/64"},
        ],
        "routes": said,
    }
    script = f"""[ "$CNI_COMMAND" = ADD ] || exit 0
within() {{ nsenter --net="$CNI_NETNS" ip "$@" || exit 1; }}
within link add {interface} type veth peer name other{number}
within link set other{number} up
within link set {interface} up
within addr add 10.50.{number}.5/24 dev {interface}
within -6 addr add fd50:{number}::5/64 dev {interface} nodad
{routes}
echo '{json.dumps(answer)}'
"""
    raw = {"type": name, "name": name, "cniVersion": "0.4.0"}
    return script, dict(raw, ifName=interface)


SHOWN = ("route", "show", "default")
ADDED = """within route append default via 10.50.2.1 dev {interface}
within -6 route append default via fd50:2::1 dev {interface}
"""
REPLACED = """within route replace default via 10.50.2.1 dev {interface}
within -6 route replace default via fd50:2::1 dev {interface}
"""


@pytest.mark.parametrize(
    ("interface", "routes", "tells", "master_tells"),
    [
        pytest.param("net1", ADDED, False, True, id="added"),
        pytest.param("net1", ADDED, True, True, id="added and told"),
        pytest.param("net1", REPLACED, False, False, id="replaced"),
        pytest.param("red0", ADDED, False, False, id="added by another interface"),
        pytest.param("red0", REPLACED, True, True, id="replaced by another interface, and told"),
    ],
)
def test_the_default_route_stays_the_masters_whatever_a_delegate_does(
    host, pod, interface, routes, tells, master_tells
):
    """Of both families: for IPv6 two default routes are one with two ways. The plugin may name its
    interface as it likes.
    """
    begin = ADDED.replace(":2:", ":1:").replace(".2.", ".1.").format(interface="eth0")
    script, master = dual_stack("first", "eth0", 1, begin, master_tells)
    host.plugin("first", script)
    script, second = dual_stack("second", interface, 2, routes.format(interface=interface), tells)
    host.plugin("second", script)
    conf = today(delegates=[dict(master, masterplugin=True), dict(second, ifName="net1")])
    status, answer = host.cni("ADD", conf, pod)
    assert status == 0, answer
    found = [
        [(one.get("gateway"), one.get("dev")) for one in host._ip(pod, "-j", family, *SHOWN)]
        for family in ("-4", "-6")
    ]
    assert found == [[("10.50.1.1", "eth0")], [("fd50:1::1", "eth0")]]
    assert host.cni("DEL", conf, pod) == (0, None)


def test_a_default_route_that_the_master_has_not_is_the_next_ones(host, pod):
    script, master = dual_stack("first", "eth0", 1, "", told=False)
    host.plugin("first", script)
    for number in (2, 3):
        routes = ADDED.replace(":2:", f":{number}:").replace(".2.", f".{number}.")
        name = f"net{number}"
        script, second = dual_stack(name, name, number, routes.format(interface=name), told=False)
        host.plugin(name, script)
        master = [master, second] if number == 2 else [*master, second]
    conf = today(delegates=[dict(master[0], masterplugin=True), *master[1:]])
    status, answer = host.cni("ADD", conf, pod)
    assert status == 0, answer
    for family in ("-4", "-6"):
        assert [one["dev"] for one in host._ip(pod, "-j", family, *SHOWN)] == ["net2"]
    assert host.cni("DEL", conf, pod) == (0, None)


def test_a_name_that_another_pod_has_by_now_leads_to_none(host, pod):
    """A name is used again, and the kernel gives the inode again, too."""
    conf = today(inProcess=IN_PROCESS)
    assert host.cni("ADD", conf, pod)[0] == 0
    host.remove(pod)
    subprocess.run(["ip", "netns", "add", pod], check=True)
    host.pods.append(pod)
    for name in ("eth0", "net1"):
        subprocess.run(["ip", "-n", pod, "link", "add", name, "type", "bridge"], check=True)
    assert host.cni("DEL", conf, pod) == (0, None)
    assert host.leftovers() == []
    assert set(host.addresses(pod)) == {"eth0", "net1"}


def test_check_looks_for_the_addresses_too(host, pod):
    assert host.cni("ADD", today(), pod)[0] == 0
    assert host.cni("CHECK", today(), pod) == (0, None)
    subprocess.run(["ip", "-n", pod, "addr", "del", "10.3.7.2/24", "dev", "net1"], check=True)
    status, answer = host.cni("CHECK", today(), pod)
    assert (
        (status, answer["code"]) == (1, 3)
        and "10.3.7.2/24" in answer["msg"]
        and "net1" in answer["msg"]
    )
    assert host.cni("DEL", today(), pod) == (0, None)


def test_check_looks_for_an_interface_under_the_name_that_its_plugin_gave_it(host, pod):
    host.plugin(
        "renaming",
        """case $CNI_COMMAND in
ADD)
nsenter --net=$CNI_NETNS ip link add data0 type veth peer name other || exit
nsenter --net=$CNI_NETNS ip addr add 10.9.9.9/24 dev data0 || exit
cat <<END
{
  "cniVersion": "0.4.0",
  "interfaces": [{"name": "data0", "sandbox": "$CNI_NETNS"}],
  "ips": [{"version": "4", "address": "10.9.9.9/24", "interface": 0}]
}
END
;;
DEL) nsenter --net=$CNI_NETNS ip link del data0; exit 0;;
esac
""",
    )
    conf = today({"name": "third", "cniVersion": "0.4.0", "type": "renaming"})
    assert host.cni("ADD", conf, pod)[0] == 0
    assert host.cni("CHECK", conf, pod) == (0, None)
    subprocess.run(["ip", "-n", pod, "addr", "del", "10.9.9.9/24", "dev", "data0"], check=True)
    assert "10.9.9.9/24" in host.cni("CHECK", conf, pod)[1]["msg"]
    subprocess.run(["ip", "-n", pod, "link", "del", "data0"], check=True)
    status, answer = host.cni("CHECK", conf, pod)
    assert status == 1 and "data0" in answer["msg"], answer
    assert host.cni("DEL", conf, pod) == (0, None)
    assert host.leftovers() == []


def test_del_without_configuration_and_without_the_namespace(host, pod):
    assert host.cni("ADD", today(), pod)[0] == 0
    assert len(host.leftovers()) == 7
    host.remove(pod)
    for file in ("/run/flannel/subnet.env", "/run/flannel/subnet2.env"):
        host.path(file).unlink()
    assert host.cni("DEL", "", pod, CNI_NETNS="") == (0, None)
    assert host.leftovers() == []
    assert host.cni("DEL", today(), pod, CNI_NETNS="") == (0, None)
    # nobody knows what an attachment without state and configuration is
    status, answer = host.cni("DEL", "", pod, CNI_NETNS="")
    assert (status, answer["code"]) == (1, 6)


def test_a_delegate_that_fails_takes_all_others_back(host, pod):
    host.plugin(
        "fail",
        'cat >/dev/null; [ "$CNI_COMMAND" = ADD ] || exit 0; echo \'{"cniVersion": "0.4.0", "code":'
        ' 123, "msg": "no such luck"}\'; exit 1\n',
    )
    status, answer = host.cni(
        "ADD", today({"name": "third", "cniVersion": "0.4.0", "type": "fail"}), pod
    )
    assert (status, answer["code"]) == (1, 123)
    assert answer["msg"] == "network third, interface net2: plugin fail: no such luck"
    assert host.addresses(pod) == {}
    assert host.leftovers() == []


@pytest.mark.parametrize("signal_number", [signal.SIGKILL])
def test_killed_in_the_middle_of_an_add(host, pod, signal_number, tmp_path):
    mark, killed = tmp_path / "third", tmp_path / "killed"
    host.plugin(
        "slow",
        f"cat >/dev/null; [ $CNI_COMMAND = ADD ] || exit 0; touch {mark};"
        f" until [ -e {killed} ]; do sleep 0.1; done\n",
    )
    conf = json.dumps(today({"name": "third", "cniVersion": "0.4.0", "type": "slow"}))
    # exec all the way down, so this is the meta-plugin's own process
    running = subprocess.Popen(
        host.command([BIN + "/multinet"]),
        stdin=subprocess.PIPE,
        env=dict(os.environ, **host.environ("ADD", pod)),
        text=True,
    )
    running.stdin.write(conf)
    running.stdin.close()
    wait_for(mark.exists, running)
    running.send_signal(signal_number)
    assert running.wait(PATIENCE) == -signal_number
    killed.touch()
    assert set(host.addresses(pod)) == {"eth0", "net1"}
    assert host.cni("DEL", "", pod) == (0, None)
    assert host.addresses(pod) == {}
    assert host.leftovers() == []


def test_a_delegate_that_hangs_is_cut_off(host, pod):
    host.plugin("hang", "cat >/dev/null; [ $CNI_COMMAND = ADD ] || exit 0; sleep 600\n")
    status, answer = host.cni(
        "ADD",
        today({"name": "third", "cniVersion": "0.4.0", "type": "hang"}, timeoutSeconds=8),
        pod,
    )
    assert (status, answer["code"]) == (1, 11)
    assert "hang" in answer["msg"]
    assert host.leftovers() == []


def test_rubbish_from_a_delegate(host, pod):
    host.plugin("rubbish", "cat >/dev/null; [ $CNI_COMMAND = ADD ] || exit 0; echo what?\n")
    status, answer = host.cni(
        "ADD", today({"name": "third", "cniVersion": "0.4.0", "type": "rubbish"}), pod
    )
    assert (status, answer["code"]) == (1, 6)
    assert "plugin rubbish" in answer["msg"]
    assert host.leftovers() == []


def test_no_lease_yet_is_to_be_tried_again(host, pod):
    host.path("/run/flannel/subnet2.env").unlink()
    status, answer = host.cni("ADD", SEED, pod)
    assert (status, answer["code"]) == (1, 11)
    assert "/run/flannel/subnet2.env" in answer["msg"]
    assert host.addresses(pod) == {}
    assert host.leftovers() == []


def test_a_missing_delegate_is_found_out_first(host, pod):
    status, answer = host.cni("ADD", today({"name": "third", "type": "not-there"}), pod)
    assert (status, answer["code"]) == (1, 5)
    assert answer["msg"] == f"network third: There is no executable not-there in {BIN}."
    assert host.leftovers() == []


def test_a_missing_plugin_behind_flannel_is_found_out_first(host, pod):
    (host.path(BIN) / "bridge").unlink()
    status, answer = host.cni("ADD", today(inProcess=["flannel", "tuning"]), pod)
    assert status == 1 and "There is no executable bridge" in answer["msg"], answer
    assert host.leftovers() == []


@pytest.mark.parametrize(
    "one, other",
    [([], ["flannel", "tuning"]), (["flannel", "tuning"], []), ([], IN_PROCESS), (IN_PROCESS, [])],
)
def test_what_was_attached_by_one_form_is_detached_by_the_other(host, pod, one, other):
    conf = today(inProcess=one)
    status, answer = host.cni("ADD", conf, pod)
    assert status == 0, answer
    assert host.addresses(pod) == {"eth0": "10.1.5.2/24", "net1": "10.3.7.2/24"}
    assert host.cni("CHECK", conf, pod) == (0, None)
    state = next(host.path("/var/lib/cni/multinet").glob("*.json"))
    state.write_text(
        json.dumps(dict(json.loads(state.read_text(encoding="utf-8")), inProcess=other)),
        encoding="utf-8",
    )
    assert host.cni("CHECK", conf, pod) == (0, None)
    assert host.cni("DEL", conf, pod) == (0, None)
    assert host.addresses(pod) == {}
    assert host.leftovers() == []


@pytest.mark.parametrize("installed_at_add", [False, True])
def test_a_node_needs_no_executable_of_what_is_done_in_process(host, pod, installed_at_add):
    conf = today(cniVersion="1.1.0", inProcess=[] if installed_at_add else ["flannel", "tuning"])
    if installed_at_add:
        assert host.cni("ADD", conf, pod)[0] == 0
    else:
        for delegate in conf["delegates"]:
            delegate["cniVersion"] = "1.1.0"
    for name in ("flannel", "tuning"):
        (host.path(BIN) / name).unlink()
    if not installed_at_add:
        assert host.cni("STATUS", conf, pod) == (0, None)
        status, answer = host.cni("ADD", conf, pod)
        assert status == 0, answer
        assert host.addresses(pod) == {"eth0": "10.1.5.2/24", "net1": "10.3.7.2/24"}
        assert host.cni("CHECK", dict(conf, prevResult=answer), pod) == (0, None)
        # what is not plain is an error, and nothing stays
        host.path("/run/flannel/subnet2.env").write_text("FLANNEL_MTU=1450\n", encoding="utf-8")
        status, answer = host.cni("ADD", conf, host.pod())
        assert (status, answer["code"]) == (1, 5)
        assert "There is no executable flannel in" in answer["msg"], answer
    valid = {"cni.dev/valid-attachments": [{"containerID": pod, "ifname": "eth0"}]}
    assert host.cni("GC", dict(conf, **valid), pod) == (0, None)
    assert host.cni("DEL", conf, pod) == (0, None)
    assert host.leftovers() == []


@pytest.mark.parametrize(
    "what, arguments",
    [
        ({"type": "tuning", "mtu": 1400}, ""),
        ({"type": "tuning"}, "IgnoreUnknown=1;MAC=02:00:00:00:00:07"),
        ({"type": "flannel", "DataDir": "/x", "subnetFile": "/run/flannel/subnet3.env"}, ""),
    ],
)
def test_what_a_missing_executable_never_did_is_no_reason_to_fail_for_ever(
    host, pod, what, arguments
):
    host.lease("/run/flannel/subnet3.env", "10.5.7.1/24", "10.5.0.0/16")
    conf = today(dict(what, name="more", cniVersion="0.4.0", ifName="net2"), inProcess=IN_PROCESS)
    for name in ("flannel", "tuning"):
        (host.path(BIN) / name).unlink()
    status, answer = host.cni("ADD", conf, pod, CNI_ARGS=arguments)
    assert (status, answer["code"]) == (1, 5)
    assert "Undoing it failed" not in answer["details"]
    assert host.leftovers() == []
    assert host.cni("DEL", conf, pod, CNI_ARGS=arguments) == (0, None)


def test_an_address_that_the_runtime_asks_for_is_none_of_tunings_business(host, pod):
    conf = today(inProcess=IN_PROCESS)
    del conf["delegates"][0]
    (host.path(BIN) / "tuning").unlink()
    status, answer = host.cni("ADD", conf, pod, CNI_ARGS="IgnoreUnknown=1;IP=10.1.5.77")
    assert status == 0, answer
    assert host.addresses(pod) == {"eth0": "10.1.5.77/24"}
    assert host.cni("DEL", conf, pod) == (0, None)
    assert host.leftovers() == []


@pytest.mark.parametrize("in_process", [[], IN_PROCESS])
@pytest.mark.parametrize("command", ["DEL", "GC"])
def test_a_process_that_has_the_number_of_a_dead_containers_keeps_its_interfaces(
    host, pod, command, in_process
):
    """After a reboot, for one: a runtime that names namespaces by a process has no name then."""
    conf = today(cniVersion="1.1.0", inProcess=in_process)
    other = host.pod()
    for name in (pod, other):
        assert host.cni("ADD", conf, name)[0] == 0
    before = host.addresses(other)
    others = subprocess.Popen(["nsenter", "--net=/run/netns/" + other, "sleep", "infinity"])
    try:
        file = host.path(f"/var/lib/cni/multinet/id-{pod}:eth0.json")
        state = json.loads(file.read_text(encoding="utf-8"))
        path = f"/proc/{others.pid}/ns/net"
        wait_for(lambda: os.stat(path).st_ino == os.stat("/run/netns/" + other).st_ino)
        file.write_text(json.dumps(dict(state, netns=path)), encoding="utf-8")
        valid = [{"containerID": "id-" + other, "ifname": "eth0"}]
        conf["cni.dev/valid-attachments"] = valid
        assert host.cni(command, conf, pod, CNI_NETNS="") == (0, None)
    finally:
        others.kill()
        others.wait()
    assert host.addresses(other) == before
    assert not [name for name in host.leftovers() if pod in name]


@pytest.mark.parametrize("told", [True, False])
def test_a_namespace_that_was_unmounted_is_gone(host, pod, told):
    """A runtime that was killed between unmounting and removing leaves a mere file."""
    conf = today(inProcess=IN_PROCESS)
    assert host.cni("ADD", conf, pod)[0] == 0
    host.remove(pod)
    path = pathlib.Path("/run/netns", pod)
    path.touch()
    try:
        assert host.cni("DEL", conf, pod, **({} if told else {"CNI_NETNS": ""})) == (0, None)
        assert host.leftovers() == []
        assert host.cni("DEL", conf, pod) == (0, None)  # there is no state any more
    finally:
        path.unlink()


@pytest.mark.parametrize("in_process", [[], ["flannel", "tuning"], IN_PROCESS])
def test_a_flannel_plugin_that_was_killed_before_it_filled_its_file(host, pod, in_process):
    conf = today(inProcess=in_process)
    assert host.cni("ADD", conf, pod)[0] == 0
    file = next(host.path("/var/lib/cni/multinet").glob("*.json"))
    state = json.loads(file.read_text(encoding="utf-8"))
    assert host.cni("DEL", conf, pod) == (0, None)
    for delegate in state["delegates"]:
        delegate.pop("kept")
        delegate["result"] = None
    file.write_text(json.dumps(state), encoding="utf-8")
    for name in ("blue", "red"):
        host.path(f"/var/lib/cni/flannel/{name}/id-{pod}").touch()
    assert host.cni("DEL", conf, pod) == (0, None)
    assert host.leftovers() == []


def test_a_damaged_state_is_an_error_once_and_leaks_nothing(host, pod):
    assert host.cni("ADD", today(), pod)[0] == 0
    host.path(f"/var/lib/cni/multinet/id-{pod}:eth0.json").write_text(
        '{"format": 1, "deleg', encoding="utf-8"
    )
    status, answer = host.cni("DEL", today(), pod)
    assert (status, answer["code"]) == (1, 6)
    assert host.addresses(pod) == {}
    assert host.cni("DEL", today(), pod) == (0, None)
    assert [item for item in host.leftovers() if "corrupt" not in item] == []


def test_a_second_add_and_a_foreign_interface_are_errors_and_harm_nothing(host, pod):
    assert host.cni("ADD", today(), pod)[0] == 0
    before = (host.addresses(pod), host.leftovers())
    assert host.cni("ADD", today(), pod)[0] == 1
    assert (host.addresses(pod), host.leftovers()) == before
    other = host.pod()
    subprocess.run(["ip", "-n", other, "link", "add", "net1", "type", "bridge"], check=True)
    status, answer = host.cni("ADD", today(), other)
    assert status == 1 and "net1" in answer["msg"]
    assert set(host.addresses(other)) == {"net1"}
    assert host.leftovers() == before[1]


def test_the_same_flannel_network_twice_for_one_container_is_an_error(host, pod):
    conf = today()
    del conf["delegates"][0]
    assert host.cni("ADD", conf, pod)[0] == 0
    before = host.leftovers()
    status, answer = host.cni("ADD", conf, pod, CNI_IFNAME="eth1")
    assert status == 1 and "blue" in answer["msg"]
    assert host.leftovers() == before
    assert host.cni("DEL", conf, pod, CNI_IFNAME="eth1") == (0, None)
    assert host.leftovers() == before


@pytest.mark.parametrize("name", ["multinet", "multus"])
def test_itself_as_a_delegate_is_refused(host, pod, name):
    status, answer = host.cni("ADD", today({"name": "third", "type": name, "delegates": []}), pod)
    assert (status, answer["code"]) == (1, 7)
    assert "its own delegate" in answer["msg"]
    assert host.leftovers() == []


def test_itself_by_a_detour_is_refused(host, pod):
    host.plugin("detour", f"exec {BIN}/multinet\n")
    status, answer = host.cni(
        "ADD",
        today(
            {
                "name": "third",
                "type": "detour",
                "cniVersion": "0.4.0",
                "delegates": [{"type": "bridge"}],
            }
        ),
        pod,
    )
    assert (status, answer["code"]) == (1, 7)
    assert host.addresses(pod) == {}
    assert host.leftovers() == []


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_answers_look_as_bridges_own_of_that_version(host, version):
    """The delegate speaks 0.4.0; what the caller gets is compared with what bridge itself prints
    when it is asked in the caller's version.
    """

    def network(name, cni_version):
        return {
            "name": name,
            "type": "bridge",
            "bridge": "br-" + name,
            "cniVersion": cni_version,
            "isGateway": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]],
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "fd00:1::/64", "gw": "fd00:9::7"}],
            },
            "dns": {"nameservers": ["10.9.0.1"]},
        }

    def neutral(answer, pod):
        text = json.dumps(answer, sort_keys=True)
        for link in answer.get("interfaces", []):
            text = text.replace(link["mac"], "MAC").replace(
                f'"{link["name"]}"', f'"{"eth0" if link["name"] == "eth0" else "LINK"}"'
            )
        return json.loads(text.replace(pod, "POD"))

    direct, ours = host.pod(), host.pod()
    status, expected = host.cni("ADD", network("direct", version), direct, "bridge")
    assert status == 0, expected
    host.cni("DEL", network("direct", version), direct, "bridge")
    status, answer = host.cni(
        "ADD",
        {"name": "meta", "cniVersion": version, "delegates": [network("ours", "0.4.0")]},
        ours,
    )
    assert status == 0, answer
    expected, answer = neutral(expected, direct), neutral(answer, ours)
    # what 0.4.0 cannot say is lost on the way
    for link in expected.get("interfaces", []):
        link.pop("mtu", None)
    assert answer == expected


def test_stderr_of_a_delegate_is_handed_on_and_is_no_failure(host, pod):
    host.plugin(
        "chatty",
        'cat >/dev/null; echo "a word from chatty" >&2; [ $CNI_COMMAND = ADD ] && echo'
        ' \'{"cniVersion": "0.4.0"}\'; exit 0\n',
    )
    conf = {
        "name": "meta",
        "cniVersion": "1.0.0",
        "delegates": [{"name": "n", "type": "chatty", "cniVersion": "0.4.0"}],
    }
    done = host.run([BIN + "/multinet"], json.dumps(conf), host.environ("ADD", pod))
    assert done.returncode == 0
    assert done.stderr == "a word from chatty\n"


# The guard of the host


@pytest.fixture(name="guard")
def _guard(host):
    """The guard of the host, with its two networks declared; starts when it is called."""
    networks = [
        {"name": "blue", "cidr": "10.1.0.0/16", "default": True},
        {"name": "red", "cidr": "10.3.0.0/16"},
    ]
    for number, network in enumerate(networks, 1):
        network["backend"] = {"type": "vxlan", "vni": number, "port": 8471 + number}
    the_plan = plan(networks)
    rules = host.path("/etc/multinet/isolation.nft")
    rules.write_text(ruleset(the_plan, TRUSTED) + ports.table(the_plan), encoding="utf-8")
    started = []

    def start():
        command = host.command([sys.executable, "-I", str(GUARD), "hold"])
        started.append(subprocess.Popen(command))
        wait_for(host.path("/run/multinet-isolation/state.json").exists, started[-1])
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def given(host):
    """Return the chains that the host's table leads ports to, and the text of the table."""
    text = host.run(["nft", "list", "table", "bridge", "multinet"]).stdout
    return sorted(re.findall(r"goto (given_\S+?)[ ,]", text)), text


def test_a_pod_is_held_to_what_it_was_given_while_it_is_attached(host, pod, guard):
    guard()
    status, answer = host.cni("ADD", today(), pod)
    assert status == 0, answer
    chains, text = given(host)
    assert chains == ["given_mn-blue", "given_mn-red"]
    inside = json.loads(host.run(["ip", "-n", pod, "-j", "addr"]).stdout)
    for link in inside:
        if link["ifname"] in ("eth0", "net1"):
            assert link["address"] in text
            address = next(one["local"] for one in link["addr_info"] if one["family"] == "inet")
            assert f"{link['address']} . {address}" in text
    assert host.cni("CHECK", dict(today(), prevResult=answer), pod)[0] == 0
    assert host.cni("DEL", today(), pod)[0] == 0
    wait_for(lambda: not given(host)[0])


def test_without_the_guard_nothing_stays_attached(host, pod, guard):
    status, answer = host.cni("ADD", today(), pod)
    assert status == 1
    assert answer["code"] == 11
    assert "guard of this host does not answer" in answer["msg"]
    assert not list(host.path("/var/lib/cni/multinet").glob("*.json"))
    assert "eth0" not in host.run(["ip", "-n", pod, "-br", "link"]).stdout
    guard()
    assert host.cni("ADD", today(), pod)[0] == 0, "the runtime tries again"


def test_pods_that_run_already_are_known_to_a_guard_that_comes_later(host, pod, guard):
    rules = host.path("/etc/multinet/isolation.nft")
    text = rules.read_text(encoding="utf-8")
    rules.unlink()
    assert host.cni("ADD", today(), pod)[0] == 0
    rules.write_text(text, encoding="utf-8")
    guard()
    assert given(host)[0] == ["given_mn-blue", "given_mn-red"]


# What a definition of a user says: the runtime hands over the pod's annotation, a file is the
# definition.
CLOSED = {
    "network": "red",
    "things": ["red", "/run/flannel/subnet2.env", "/var/lib/cni/flannel/red", "mn-red"],
    "namespaces": ["friends"],
}


def asks_for(host, definition, pod, namespace="evil", *, closed=(CLOSED,), more=None, **keys):
    """Have a pod of a namespace ask for a network, whose definition is given, with more keys in its
    annotation, and more in the configuration; return (exit status, answer, the configuration).
    """
    directory = host.path("/etc/cni/multus/net.d")
    directory.mkdir(parents=True, exist_ok=True)
    raw = {"cniVersion": "1.0.0", "name": "mine", **definition}
    (directory / "mine.conf").write_text(json.dumps(raw), encoding="utf-8")
    annotation = json.dumps([{"name": raw["name"], **keys}])
    conf = today(
        namespaces=list(closed),
        inProcess=IN_PROCESS,
        runtimeConfig={POD_ANNOTATIONS: {"k8s.v1.cni.cncf.io/networks": annotation}},
        **(more or {}),
    )
    conf["delegates"] = [one for one in conf["delegates"] if one["name"] == "blue"]
    args = f"IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME=pod"
    status, answer = host.cni("ADD", conf, pod, CNI_ARGS=args)
    return status, answer, conf


HTTP = {"portMappings": [{"hostPort": 6443, "containerPort": 80, "protocol": "tcp"}]}
PORTMAP = {"type": "portmap", "backend": "nftables", "capabilities": {"portMappings": True}}


@pytest.mark.parametrize("allowed", [[], ["mine"]])
def test_an_annotation_takes_no_port_of_the_node(host, pod, allowed):
    """The kubelet's own ports lead to the pod, but not those that only its annotation names."""
    chain = {"plugins": [local(), PORTMAP]}
    status, answer, conf = asks_for(host, chain, pod, more={"hostPorts": allowed}, **HTTP)
    rules = host.run(["nft", "list", "ruleset"]).stdout
    if allowed:
        assert status == 0 and "dport 6443 dnat" in rules, (answer, rules)
    else:
        assert status == 1 and "port 6443 of its node" in answer["msg"], answer
        assert "6443" not in rules
    assert host.cni("DEL", conf, pod) == (0, None)
    conf["delegates"][0]["plugins"].append(PORTMAP)
    conf["runtimeConfig"] = HTTP
    assert host.cni("ADD", conf, pod)[0] == 0
    assert "dport 6443 dnat" in host.run(["nft", "list", "ruleset"]).stdout
    assert host.cni("DEL", conf, pod) == (0, None)


TOLD = {
    "cniVersion": "1.0.0",
    "interfaces": [
        {"name": "mn-x", "mac": "02:00:00:00:00:01"},
        {"name": "uplink", "mac": "02:00:00:00:00:02"},
        {"name": "net1", "mac": "02:00:00:00:00:03", "sandbox": "/x"},
    ],
}


@pytest.mark.parametrize("key", ["prevResult", "PrevResult", "prevre\u017fult"])
def test_a_definition_does_not_say_what_plugins_have_done(host, pod, key):
    """The guard and DEL would believe it: whose port it is, which device to delete."""
    definition = {"type": "tuning", key: TOLD}
    for asked in (definition, {"plugins": [local(), definition]}):
        status, answer, conf = asks_for(host, asked, pod, closed=[])
        assert status == 1 and f"`{key}`" in answer["msg"], answer
        assert host.leftovers() == []
        assert host.cni("DEL", conf, pod) == (0, None)


ODD = {
    "beyond ASCII": ("1.0.0", [{"name": "\u00e9" * 7}]),
    "longer than a name": ("1.0.0", [{"name": "\u00e9" * 15}]),
    "no name": ("1.0.0", [{"name": 'a"; flush'}]),
    "a text, which 0.2.0 does not know": ("0.2.0", "xyz"),
    "texts, which 0.2.0 does not know": ("0.2.0", ["mn-x"]),
}


@pytest.mark.parametrize("case", ODD)
def test_the_name_of_no_interface_is_not_remembered(host, pod, case):
    """What is remembered of a pod is read by the guard, by DEL and by GC, and stops none."""
    version, interfaces = ODD[case]
    result = {"cniVersion": version, "interfaces": interfaces}
    if version == "0.2.0":
        result["ip4"] = {"ip": "10.98.0.2/24"}
    script = f"[ $CNI_COMMAND != ADD ] || echo '{json.dumps(result)}'\n"
    host.plugin("odd", script + "[ $CNI_COMMAND = ADD ]\n")
    status, answer, conf = asks_for(host, {"type": "odd", "cniVersion": version}, pod, closed=[])
    (state,) = host.path("/var/lib/cni/multinet").glob("*.json")
    assert not any(name in state.read_text() for name in ("\\u00e9", "\u00e9", "xyz", "flush"))
    if version == "1.0.0":
        assert status == 1 and "no name of an interface" in answer["msg"], answer
    assert host.cni("DEL", conf, pod)[0] == 1, "the plugin's own"
    host.plugin("odd", script)
    other = host.pod()
    assert host.cni("ADD", today(), other)[0] == 0
    assert host.cni("DEL", today(), other) == (0, None)
    everything = dict(conf, cniVersion="1.1.0") | {"cni.dev/valid-attachments": []}
    assert host.cni("GC", everything, pod) == (0, None)
    assert host.leftovers() == []


def test_a_definition_takes_no_port_of_the_node(host, pod):
    for key in ("runtimeConfig", "RUNTIMECONFIG"):
        chain = {"plugins": [local(), {**PORTMAP, "capabilities": {}, key: HTTP}]}
        status, answer, conf = asks_for(host, chain, pod, closed=[])
        assert "6443" not in host.run(["nft", "list", "ruleset"]).stdout
        assert status == 1 and f"`{key}`" in answer["msg"], answer
        assert host.cni("DEL", conf, pod) == (0, None)


@pytest.mark.parametrize("behind", ["ipam", "flannel"])
def test_a_definition_starts_no_file_outside_the_plugins_directories(host, pod, behind):
    """As libcni has it: a file name only. A pod's own files have a path on its node, too."""
    program = host.path("/var/lib/cni") / "program"
    host.path("/var/lib/cni").mkdir(exist_ok=True)
    program.write_text("#!/bin/sh\ntouch /var/lib/cni/was-here\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    definition = {
        "ipam": {"type": "bridge", "bridge": "mn-mine", "ipam": {"type": "/var/lib/cni/program"}},
        "flannel": {
            "type": "flannel",
            "subnetFile": "/run/flannel/subnet2.env",
            "dataDir": "/var/lib/cni/mine",
            "delegate": {"type": "../../../var/lib/cni/program"},
        },
    }[behind]
    status, answer, _conf = asks_for(host, definition, pod, closed=[])
    assert status == 1
    assert "is not a file name" in answer["msg"], answer
    assert not host.path("/var/lib/cni/was-here").exists()
    program.unlink()
    assert host.leftovers() == []


MAC = "02:11:22:33:44:55"
HOST_DEVICE = {"type": "host-device"}


def bridged(**keys):
    return {"type": "bridge", "ipam": {"type": "static", "addresses": []}, **keys}


def local(**keys):
    """A bridge with addresses of its own."""
    addresses = {"type": "host-local", "ranges": [[{"subnet": "10.99.0.0/24"}]], **keys}
    return {"type": "bridge", "bridge": "mn-mine", "ipam": addresses}


def flannelled(**keys):
    own = {"subnetFile": "/run/flannel/mine.env", "dataDir": "/var/lib/cni/flannel/mine"}
    return {"type": "flannel", "delegate": {"bridge": "mn-mine"}, **own, **keys}


# Ways by which a definition, or an annotation, means what is the network red's.
DETOURS = {
    "its bridge": bridged(bridge="mn-red"),
    "blanks": bridged(bridge=" mn-red\n"),
    "another name of its bridge": bridged(bridge="storage"),
    "a long name of its bridge": {"type": "macvlan", "master": "a-longer-name-of-the-bridge"},
    "a device on its bridge": {"type": "ipvlan", "master": "mn-red.5"},
    "one on that": {"type": "macvlan", "master": "upper"},
    "a port of its bridge": dict(HOST_DEVICE, device="port0"),
    "its MAC": dict(HOST_DEVICE, hwaddr=MAC),
    "its MAC in capitals": dict(HOST_DEVICE, hwaddr="02-11-22-33-44-55".upper()),
    "its MAC with periods": dict(HOST_DEVICE, hwaddr="0211.2233.4455"),
    "a MAC of a port": dict(HOST_DEVICE, hwaddr="02:11:22:33:44:66"),
    "its place in sysfs": dict(HOST_DEVICE, kernelpath="/sys/devices/virtual/net/mn-red"),
    "all devices": dict(HOST_DEVICE, kernelpath="/sys/devices/virtual"),
    "all devices by a detour": dict(HOST_DEVICE, kernelpath="/sys/devices/system/../virtual"),
    "all devices by PCI": dict(HOST_DEVICE, pciBusID="../../../devices/virtual"),
    "all devices from the root": dict(HOST_DEVICE, pciBusID="/../../../devices/virtual"),
    "a lower device in a list": {"plugins": [{"type": "x"}, {"type": "y", "z": [{"mn-red": 1}]}]},
    "its lease": flannelled(subnetFile="/run/flannel/subnet2.env"),
    "slashes": flannelled(subnetFile="//run///flannel/./subnet2.env"),
    "a link": flannelled(subnetFile="/var/lib/cni/link/subnet2.env"),
    "a link of /var": flannelled(subnetFile="/var/run/flannel/subnet2.env"),
    "another root": flannelled(subnetFile="/proc/self/root/run/flannel/subnet2.env"),
    "a hard link": flannelled(subnetFile="/run/flannel/hard.env"),
    "a relative path": flannelled(subnetFile=os.path.relpath("/run/flannel/subnet2.env")),
    "its data directory": flannelled(dataDir="/var/lib/cni/flannel/red/"),
    "below its data directory": flannelled(dataDir="/var/lib/cni/flannel/red/more"),
    "its data as addresses": dict(local(dataDir="/var/lib/cni/flannel"), name="red"),
    "below its addresses": local(dataDir="/var/lib/cni/networks/red"),
    "its addresses": dict(local(), name="red"),
    "the bridge of flannel": flannelled(delegate={"bridge": "storage"}),
}


@pytest.mark.parametrize("way", DETOURS)
def test_a_definition_means_nothing_of_a_network_that_is_not_for_its_pod(host, pod, way):
    """By whatever name; what it has of its own stays allowed."""
    commands = """
        link add mn-red address 02:11:22:33:44:55 type bridge
        link property add dev mn-red altname storage
        link property add dev mn-red altname a-longer-name-of-the-bridge
        link add link mn-red name mn-red.5 address 02:00:00:00:00:05 type macvlan
        link add link mn-red.5 name upper address 02:00:00:00:00:07 type macvlan
        link add port0 address 02:11:22:33:44:66 type veth peer port1
        link set port0 master mn-red
    """
    for line in commands.strip().splitlines():
        subprocess.run(["ip", "-n", host.name, *line.split()], check=True)
    (host.path("/var/lib/cni/flannel") / "red").mkdir(parents=True)
    (host.path("/var/lib/cni") / "link").symlink_to("/run/flannel")
    (host.path("/run/flannel") / "hard.env").hardlink_to(host.path("/run/flannel/subnet2.env"))
    status, answer, _conf = asks_for(host, DETOURS[way], pod)
    assert status == 1
    assert answer["msg"].startswith("A pod of the namespace evil may not use the network"), answer
    assert host.leftovers() == ["port0", "port1"]


def test_an_annotation_means_nothing_of_such_a_network_either(host, pod):
    for keys in ({"cni-args": {"master": "mn-red"}}, {"deviceID": "../../../devices/virtual"}):
        status, answer, _conf = asks_for(host, {"type": "macvlan"}, pod, **keys)
        assert status == 1
        assert answer["msg"].startswith("A pod of the namespace evil may not use"), answer


@pytest.mark.parametrize("namespace", ["evil", "friends"])
def test_what_a_definition_has_of_its_own_stays_allowed(host, namespace):
    host.lease("/run/flannel/mine.env", "10.98.5.1/24", "10.98.0.0/16")
    subprocess.run(["ip", "-n", host.name, "link", "add", "own", "type", "bridge"], check=True)
    own = {"type": "macvlan", "master": "own", "ipam": {}}
    for definition in (local(), local(dataDir="/var/lib/cni/mine"), flannelled(), own):
        pod = host.pod()
        status, answer, conf = asks_for(host, definition, pod, namespace)
        assert status == 0, answer
        assert set(host.addresses(pod)) == {"eth0", "net1"}
        assert host.cni("DEL", conf, pod) == (0, None)


def test_friends_may_use_it(host, pod):
    status, answer, conf = asks_for(host, today()["delegates"][0], pod, "friends")
    assert status == 0, answer
    assert host.addresses(pod)["net1"] == "10.3.7.2/24"
    assert host.cni("DEL", conf, pod) == (0, None)


OWN_FILES = "/etc/cni/multinet/net.d"


def ours(host):
    """Have the host keep both networks as the collection does; return what the configuration says
    of them: blue is every pod's, red that of some namespaces.
    """
    host.path(OWN_FILES).mkdir(parents=True, exist_ok=True)
    for own in today()["delegates"]:
        own = {key: one for key, one in own.items() if key not in ("ifName", "masterplugin")}
        (host.path(OWN_FILES) / f"{own['name']}.conflist").write_text(json.dumps(own))
    blue = ["blue", "/run/flannel/subnet.env", "/var/lib/cni/flannel/blue", "mn-blue"]
    return [
        {
            "network": "blue",
            "things": [*blue, "/var/lib/cni/networks/blue"],
            "namespaces": {},
            "file": f"{OWN_FILES}/blue.conflist",
            "ranges": ["10.1.0.0/16"],
        },
        {
            **CLOSED,
            "things": [*CLOSED["things"], "/var/lib/cni/networks/red"],
            "file": f"{OWN_FILES}/red.conflist",
            "ranges": ["10.3.0.0/16", "fd00:3::/48"],
        },
    ]


def generated(name):
    """The definition of a network, as the collection writes it."""
    (own,) = (one for one in today()["delegates"] if one["name"] == name)
    return {key: one for key, one in own.items() if key not in ("ifName", "masterplugin")}


def one_of(address, **keys):
    subnet = address.rpartition(".")[0] + ".0/24"
    ranges = [[{"subnet": subnet, "rangeStart": address, "rangeEnd": address, **keys}]]
    return {"type": "host-local", "dataDir": "/var/lib/cni/mine", "ranges": ranges}


TAKEN = {
    "the address of a neighbour": {
        "type": "bridge",
        "bridge": "mn-blue",
        "ipam": one_of("10.1.5.2", gateway="10.1.5.200"),
    },
    "the address of the gateway": {
        "type": "bridge",
        "bridge": "mn-blue",
        "ipam": one_of("10.1.5.1", gateway="10.1.5.200"),
    },
    "a second port without an address": {"type": "bridge", "bridge": "mn-blue"},
    "all of its addresses": dict(
        {"type": "bridge", "bridge": "mn-mine", "name": "blue"},
        ipam={"type": "host-local", "ranges": [[{"subnet": "10.99.0.0/24"}]]},
    ),
    "its lease": flannelled(subnetFile="/run/flannel/subnet.env"),
    "its plugins and one more": {"plugins": [*generated("blue")["plugins"], bridged()]},
    "its plugins with addresses of its own": {
        "plugins": [dict(generated("blue")["plugins"][0], ipam=one_of("10.1.5.9"))]
    },
}


@pytest.mark.parametrize("namespace", ["evil", "friends"])
@pytest.mark.parametrize("way", TAKEN)
def test_a_network_that_is_a_pods_is_no_other_definitions(host, way, namespace):
    """A network of every pod, and one that this pod may use."""
    text = json.dumps(TAKEN[way])
    if namespace == "friends":
        for blue, red in (("blue", "red"), ("10.1.5", "10.3.7"), ("subnet.env", "subnet2.env")):
            text = text.replace(blue, red)
    pod = host.pod()
    status, answer, conf = asks_for(host, json.loads(text), pod, namespace, closed=ours(host))
    assert status == 1, answer
    assert "only by its own definition" in answer["msg"], answer
    assert host.leftovers() == []
    assert host.cni("DEL", conf, pod) == (0, None)


def test_a_network_is_got_by_its_own_definition(host):
    """The host's own configuration of it counts, so that one of before an upgrade works."""
    closed = ours(host)
    before = generated("red")
    before["plugins"][1:] = [{"type": "tuning", "sysctl": {"net.ipv4.ip_forward": "1"}}]
    for definition in (generated("red"), before, dict(before, cniVersion="1.0.0")):
        pod = host.pod()
        status, answer, _conf = asks_for(host, definition, pod, "evil", closed=closed)
        assert status == 1 and "it is for the namespaces friends" in answer["msg"], answer
        status, answer, conf = asks_for(host, definition, pod, "friends", closed=closed)
        assert status == 0, answer
        assert host.addresses(pod)["net1"].startswith("10.3.7.")
        (state,) = host.path("/var/lib/cni/multinet").glob("*.json")
        assert json.loads(state.read_text())["delegates"][1]["conf"] == generated("red")
        assert host.cni("DEL", conf, pod) == (0, None)


UNDERLAY = """
    link add uplink type bridge
    address add 192.168.7.1/24 dev uplink
    link set uplink up
    link add flannel.2 type vxlan id 2 dstport 8473 nolearning
    link set flannel.2 up
    link add mn-red type bridge
    link set mn-red up
    address add 10.3.7.1/24 dev mn-red
    route add 10.3.8.0/24 via 172.21.0.9 dev uplink onlink
"""


@pytest.fixture
def node(host):
    """The host has an underlay, and ways to nodes: one on its link, two behind a router."""
    for line in UNDERLAY.strip().splitlines():
        subprocess.run(["ip", "-n", host.name, *line.split()], check=True)
    for mac, address in (("00:11:22:33:44:55", "172.20.0.9"), ("00:11:22:33:44:66", "192.168.7.5")):
        entry = ["fdb", "append", mac, "dev", "flannel.2", "dst", address]
        subprocess.run(["bridge", "-n", host.name, *entry], check=True)


def ptp(ipam):
    return {"type": "ptp", "ipam": ipam}


def gateway(subnet, **keys):
    ranges = [[{"subnet": subnet, **keys}]]
    ipam = {"type": "host-local", "dataDir": "/var/lib/cni/mine", "ranges": ranges}
    return {"type": "bridge", "bridge": "own0", "isGateway": True, "ipam": ipam}


def odd(address, **keys):
    """The plugin of a definition whose addresses only its result tells."""
    return (
        {"type": "bridge", "bridge": "own0", "isGateway": True}
        | keys
        | {"ipam": {"type": "odd", "this": [{"address?": address}]}}
    )


# Definitions with what is somebody else's: their route on the host would be the more specific one.
OTHERS = {
    "a node's address": (ptp(one_of("192.168.7.2")), "192.168.7.0/24"),
    "an address of a node behind a router": (ptp(one_of("172.20.0.9")), "a node"),
    "a node's, which leads to a lease": (ptp(one_of("172.21.0.9")), "a node"),
    "a node's, beside a key of another plugin": (
        dict(ptp(one_of("192.168.7.2")), bridge="uplink"),
        "192.168.7.0/24",
    ),
    "a node's, beside another type": (
        dict(ptp(one_of("192.168.7.2")), TYPE="macvlan"),
        "192.168.7.0/24",
    ),
    "a node's, beside no addresses": (
        dict(ptp(one_of("192.168.7.2")), IPAM=None),
        "192.168.7.0/24",
    ),
    "half of the underlay, beside no gateway": (
        dict(gateway("192.168.7.0/25"), ISGATEWAY=None),
        "192.168.7.0/24",
    ),
    "a gateway, beside another length": (
        gateway("50.1.0.0/24", gateway="172.20.0.77", address="50.1.0.0/32"),
        "a node",
    ),
    "half of the underlay": (gateway("192.168.7.0/25"), "192.168.7.0/24"),
    "a range around a node": (gateway("172.20.0.0/24"), "a node"),
    "the host's own address": (ptp(one_of("192.168.7.1", gateway="192.168.7.3")), "192.168.7."),
    "the address of a pod of red": (ptp(one_of("10.3.7.2")), "red"),
    "an address of another node's pods": (ptp(one_of("10.3.9.5")), "red"),
    "half of another node's subnet": (gateway("10.3.9.0/25"), "red"),
    "more than a network": (gateway("10.0.0.0/8"), "blue"),
    "a network of its pod": (gateway("10.1.77.0/24"), "blue"),
    "the old form": (ptp({"type": "host-local", "subnet": "10.3.9.0/25"}), "red"),
    "in another case": (ptp({"type": "host-local", "SUBNET": "10.3.9.0/25"}), "red"),
    "IPv4 in IPv6": (gateway("::ffff:10.3.9.0/121"), "red"),
    "IPv6": (gateway("fd00:3:0:9::/64"), "red"),
    "a Service": (gateway("10.96.7.0/24"), "Services"),
    "behind macvlan": (dict(gateway("10.3.9.0/25"), type="macvlan", master="uplink"), "red"),
    "the gateway": (gateway("10.77.0.0/24", gateway="192.168.7.9"), "192.168.7.0/24"),
    "a node as the gateway of the wire's bridge": (
        dict(gateway("192.168.7.0/24", gateway="192.168.7.5"), bridge="uplink"),
        "a node",
    ),
    "with noughts before its length": (gateway("10.3.9.0/0025"), "red"),
    "a node's, with noughts": (gateway("172.20.0.0/0024"), "a node"),
    "IPv4 in IPv6 with a short length": (gateway("::ffff:10.3.9.5/24"), "the network"),
    "a gateway on the host with a length of its own": (
        gateway("50.1.0.0/24", gateway="172.20.0.77"),
        "a node",
    ),
    "what only the result tells": (odd("10.3.9.5/25"), "red"),
    "a node's that only the result tells": (odd("172.20.0.9/32"), "a node"),
    "an underlay that only the result tells": (odd("192.168.7.77/32"), "192.168.7.0/24"),
    "a node's, on the wire": (odd("172.20.0.9/8", type="macvlan", master="uplink"), "a node"),
    "the host's, on the wire": (odd("192.168.7.1/24", type="macvlan", master="uplink"), "the host"),
}
IPAM = """
text=$(cat)
[ $CNI_COMMAND != ADD ] || echo '{"cniVersion": "1.0.0", "ips": [{"address": "ADDRESS"}]}'
"""


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("way", OTHERS)
def test_a_definition_has_no_address_of_somebody_else(host, pod, way):
    definition, whose = OTHERS[way]
    told = re.search(r'"address\?": "(.*?)"', json.dumps(definition))
    host.plugin("odd", IPAM.replace("ADDRESS", told[1] if told else ""))
    before = host.run(["ip", "route"]).stdout
    status, answer, conf = asks_for(
        host, definition, pod, closed=ours(host), more={"serviceRanges": ["10.96.0.0/12"]}
    )
    routes = set(host.run(["ip", "route"]).stdout.splitlines())
    assert status == 1, (answer, routes - set(before.splitlines()))
    assert "somebody else" in answer["msg"] and whose in answer["msg"], answer
    if not told:
        assert not re.search("own0|veth", "".join(routes)), routes
    assert host.leftovers() == []
    assert host.cni("DEL", conf, pod) == (0, None)
    # nor when it is tried again, on what the first time left
    status, answer, conf = asks_for(
        host, definition, pod, closed=ours(host), more={"serviceRanges": ["10.96.0.0/12"]}
    )
    assert status == 1 and "somebody else" in answer["msg"], answer


@pytest.mark.usefixtures("node")
def test_an_annotation_gives_a_definition_no_address_of_somebody_else(host, pod):
    able = dict(ptp({"type": "host-local", "ranges": [[{"subnet": "10.99.0.0/24"}]]}))
    for keys in (
        {"ips": ["10.3.7.2/32"]},
        {"ips": ["192.168.7.2"]},
        {"cni-args": {"ips": ["10.3.7.2"]}},
    ):
        for capabilities in ({"ips": True}, {}):
            status, answer, _conf = asks_for(
                host, dict(able, capabilities=capabilities), pod, closed=ours(host), **keys
            )
            assert status == 1 and "somebody else" in answer["msg"], answer


@pytest.mark.usefixtures("node")
def test_a_definition_has_addresses_of_its_own(host):
    """Several pods, whose routes and gateways are then on the host, on the underlay's wire too."""
    for line in ("link add weave type bridge", "address add 10.32.0.1/12 dev weave"):
        subprocess.run(["ip", "-n", host.name, *line.split()], check=True)
    host.plugin("weave-net", IPAM.replace("ADDRESS", "10.32.0.5/12"))
    host.plugin("cnv-bridge", 'exec "$(dirname "$0")/bridge"')
    wire = {
        "type": "host-local",
        "ranges": [[{"subnet": "192.168.7.0/24", "rangeStart": "192.168.7.200"}]],
    }
    for definition in (
        ptp({"type": "host-local", "ranges": [[{"subnet": "10.99.0.0/24"}]]}),
        dict(gateway("10.98.0.0/24"), isDefaultGateway=True),
        dict(gateway("10.97.0.0/24"), bridge="own1", isGateway=False),
        {"type": "macvlan", "master": "uplink", "ipam": wire},
        # on the wire, too: a bridge without a gateway
        {"type": "bridge", "bridge": "own2", "ipam": wire},
        # the plugin by another name, and one beside it that gives no addresses
        dict(gateway("10.93.0.0/24"), bridge="own3", type="cnv-bridge"),
        {"plugins": [dict(gateway("10.92.0.0/24"), bridge="own4"), {"type": "tuning", "ipam": {}}]},
        # another CNI's, which has its own addresses
        {"type": "weave-net"},
    ):
        pods = [host.pod(), host.pod()]
        for pod in pods:
            status, answer, conf = asks_for(host, definition, pod, closed=ours(host))
            assert status == 0, answer
        for pod in pods:
            assert host.cni("DEL", conf, pod) == (0, None)
    host.lease("/run/flannel/mine.env", "10.96.5.1/24", "10.96.0.0/16")
    add = (
        "link add flannel.9 type vxlan id 9 dstport 8479",
        "address add 10.96.5.0/32 dev flannel.9",
    )
    for line in add:
        subprocess.run(["ip", "-n", host.name, *line.split()], check=True)
    for pod in (host.pod(), host.pod()):
        status, answer, conf = asks_for(host, flannelled(), pod, closed=ours(host))
        assert status == 0, answer


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("vlan", [5, 6])
def test_the_gateway_of_a_definitions_vlan_is_its_own(host, pod, vlan):
    """The plugin makes a device of the VLAN, with the gateway's address; not every kernel can."""
    for line in ("add own0 type bridge", "add own0.5 type bridge"):
        subprocess.run(["ip", "-n", host.name, "link", *line.split()], check=True)
    address = "address add 10.95.0.1/24 dev own0.5"
    subprocess.run(["ip", "-n", host.name, *address.split()], check=True)
    definition = dict(gateway("10.95.0.0/24"), vlan=vlan)
    dummy, answer, conf = asks_for(host, definition, pod, closed=ours(host))
    assert ("somebody else" in (answer or {}).get("msg", "")) == (vlan == 6), answer
    host.cni("DEL", conf, pod)


# Where a definition would have its plugins write as root, or read what others can exchange.
PLACES = {
    "a directory of the system": flannelled(dataDir="/etc/multinet/sudoers.d"),
    "by host-local": local(dataDir="/etc/multinet/sudoers.d"),
    "by tuning": {"plugins": [local(), {"type": "tuning", "dataDir": "/run/multinet-isolation"}]},
    "in another case": flannelled(DATADIR="/etc/multinet/sudoers.d"),
    "beside it": flannelled(dataDir="/var/lib/cnix"),
    "by a link": flannelled(dataDir="/var/lib/cni/link/x"),
    "by a detour": flannelled(dataDir="/var/lib/cni/../../etc/multinet"),
    "from here": flannelled(dataDir=os.path.relpath("/var/lib/cni/mine")),
    "a volume": local(dataDir="/var/lib/cni/volume/mine"),
    "somebody's": local(dataDir="/var/lib/cni/somebodys/mine"),
    "by a link that others can exchange": local(dataDir="/var/lib/cni/volume/link"),
    "a lease": flannelled(subnetFile="/etc/multinet/mine.env"),
    "a lease that others can exchange": flannelled(subnetFile="/var/lib/cni/volume/mine.env"),
    "a list": local(dataDir=["/etc/multinet"]),
    "what a runtime remembers": flannelled(dataDir="/var/lib/cni/results"),
    "what the meta-plugin remembers": local(dataDir="/var/lib/cni/multinet-runtime/x"),
}


def test_the_place_of_state_may_be_on_another_disk(host, pod):
    there = host.path("/var/lib/cni").rename(host.path("/var/lib/elsewhere"))
    host.path("/var/lib/cni").symlink_to(there)
    definition = local(dataDir="/var/lib/cni/mine")
    status, answer, _conf = asks_for(host, definition, pod, closed=[])
    assert status == 0, answer


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("key", ["forceAddress", "FORCEADDRESS"])
def test_a_definition_takes_no_address_of_a_bridge_away(host, pod, key):
    definition = dict(gateway("192.168.7.0/24", rangeStart="192.168.7.200"), bridge="uplink")
    status, answer, _conf = asks_for(host, dict(definition, **{key: True}), pod, closed=[])
    assert status == 1 and "takes the addresses of a bridge" in answer["msg"], answer
    assert "192.168.7.1/24" in host.run(["ip", "address", "show", "uplink"]).stdout


@pytest.mark.parametrize("way", PLACES)
def test_a_definition_names_no_place_that_is_not_for_it(host, pod, way):
    for place in ("/etc/multinet", "/run/flannel", "/var/lib/cni/volume"):
        host.path(place).mkdir(exist_ok=True)
        host.lease(f"{place}/mine.env", "10.98.5.1/24", "10.98.0.0/16")
    host.path("/var/lib/cni/volume").chmod(0o777)
    host.path("/var/lib/cni/somebodys").mkdir()
    os.chown(host.path("/var/lib/cni/somebodys"), 1000, 0)
    host.path("/var/lib/cni/link").symlink_to("/etc/multinet")
    host.path("/var/lib/cni/volume/link").symlink_to("/var/lib/cni/mine")
    status, answer, conf = asks_for(host, PLACES[way], pod, closed=[])
    written = {file.name for file in host.path("/etc/multinet").rglob("*")} - {"mine.env"}
    assert status == 1 and not written, (answer, written)
    assert "is not for it" in answer["msg"], answer
    assert host.cni("DEL", conf, pod) == (0, None)


@pytest.mark.parametrize("key", ["bridge", "master", "interface"])
def test_a_text_ends_at_no_character_that_is_in_it(host, pod, key):
    """The kernel takes a name with NUL for what is before that; no process starts with one."""
    own = {"type": "macvlan", "master": "mn-red\0"}
    if key == "bridge":
        own = bridged(bridge="mn-red\0", vlan=0, preserveDefaultVlan=True)
    asked = {"interface": "x\0", "ips": ["10.3.7.77"]} if key == "interface" else {}
    definition = today()["delegates"][0] if asked else own
    status, answer, conf = asks_for(host, definition, pod, "friends" if asked else "evil", **asked)
    assert status == 1
    assert "'mn-red\\x00'" in answer["msg"] or "'x\\x00'" in answer["msg"], answer
    assert answer["code"] == 7
    assert host.leftovers() == []
    assert host.cni("DEL", conf, pod) == (0, None)
