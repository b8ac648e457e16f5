# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same delegates, container and mishaps through the meta-plugin and through Multus thin,
without an API.

A scenario returns what was seen, by name. What both see alike is right by agreement; where they
differ, BECAUSE says who is right and why, and the test fails for a difference that is not there and
for one that is gone.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess

import pytest
from cni_host import BIN, CniHost

if os.geteuid() != 0:
    pytest.skip("needs root for network namespaces", allow_module_level=True)


def network(number, **more):
    """A flannel network as the collection writes it, without the keys that only the meta-plugin
    knows.
    """
    flannel = {
        "type": "flannel",
        "subnetFile": f"/run/flannel/net{number}.env",
        "dataDir": f"/var/lib/cni/flannel/net{number}",
        "delegate": {
            "bridge": f"mn-net{number}",
            "isDefaultGateway": number == 0,
            "ipMasq": False,
            "hairpinMode": True,
        },
    }
    tuning = {"type": "tuning", "sysctl": {"net.ipv4.conf.all.arp_ignore": "1"}}
    return dict(
        {"name": f"net{number}", "cniVersion": "0.4.0", "plugins": [flannel, tuning]}, **more
    )


def single(plugin, **more):
    return dict({"name": "own", "cniVersion": "0.4.0", "type": plugin}, **more)


def meta(*delegates, **more):
    return dict({"name": "meta", "cniVersion": "0.4.0", "delegates": list(delegates)}, **more)


class Side:
    """A fresh host and pod, with one of the two plugins."""

    def __init__(self, plugin, directory, upstream_bin):
        directory.mkdir()
        self.plugin = plugin
        self.host = CniHost(directory, upstream_bin, ("multinet",))
        shutil.copy(upstream_bin / "multus", self.host.path(BIN) / "multus")
        for number in range(4):
            self.host.lease(
                f"/run/flannel/net{number}.env",
                f"10.{100 + number}.5.1/24",
                f"10.{100 + number}.0.0/16",
            )
        self.pod = self.host.pod()

    def cni(self, command, conf, **environ):
        """Call the plugin; return (whether it succeeded, its answer)."""
        if isinstance(conf, dict):
            conf = json.dumps(dict(conf, type=self.plugin))
        done = self.host.run(
            [BIN + "/" + self.plugin], conf, self.host.environ(command, self.pod, **environ)
        )
        try:
            answer = json.loads(done.stdout) if done.stdout.strip() else None
        except ValueError:
            answer = "no JSON"  # a panic, or an error printed after it
        return done.returncode == 0, answer

    def recorder(self):
        """Install the delegate `able`, which keeps what it is called with."""
        log = self.host.directory / "able.log"
        self.host.plugin(
            "able",
            f'echo "$CNI_COMMAND $CNI_IFNAME $(cat)" >> {log}\n'
            """echo '{"cniVersion": "0.4.0"}'\n""",
        )
        return lambda: (
            [line.split(" ", 2) for line in log.read_text(encoding="utf-8").splitlines()]
            if log.exists()
            else []
        )

    def routes(self):
        listing = json.loads(
            subprocess.run(
                ["ip", "-n", self.pod, "-j", "route"], check=True, capture_output=True, text=True
            ).stdout
            or "[]"
        )
        return sorted((one["dst"], one.get("gateway", ""), one["dev"]) for one in listing)

    def state_files(self):
        return [
            file
            for file in self.host.path("/var/lib/cni").glob(
                ("multus" if self.plugin == "multus" else "multinet") + "/*"
            )
            if self.pod in file.name
        ]

    def left(self):
        """What is left on the host and in the pod, the plugins' own state as `state`."""
        kept = [
            (
                "state"
                if item.startswith(("multus/", "multinet/"))
                else re.sub(r"^veth.*", "veth", item)
            )
            for item in self.host.leftovers()
        ]
        return sorted(set(kept)) + sorted(self.host.addresses(self.pod))

    def seen(self, **more):
        return dict(more, interfaces=self.host.addresses(self.pod), routes=self.routes())


def plain(result):
    """A result without what is random: hardware addresses and host ends."""
    return json.loads(
        re.sub(r"veth[0-9a-f]+|([0-9a-f]{2}:){5}[0-9a-f]{2}", "x", json.dumps(result))
    )


def code(answer):
    return answer.get("code") if isinstance(answer, dict) else answer


def attach_and_detach(side, conf):
    added, result = side.cni("ADD", conf)
    seen = side.seen(added=added, result=plain(result) if added else None)
    seen["deleted"] = side.cni("DEL", conf)[0]
    seen["left"] = side.left()
    seen["deleted again"] = side.cni("DEL", conf)[0]
    return seen


def one_network(side):
    return attach_and_detach(side, meta(network(0)))


def two_networks(side):
    return attach_and_detach(side, meta(network(0), network(1)))


def four_networks(side):
    return attach_and_detach(side, meta(*map(network, range(4))))


def a_single_plugin_and_a_list(side):
    return attach_and_detach(
        side, meta(dict(network(0)["plugins"][0], name="net0", cniVersion="0.4.0"), network(1))
    )


def answers_in_the_callers_version(side):
    added, result = side.cni("ADD", meta(network(0), cniVersion="1.0.0"))
    return side.seen(
        added=added,
        version=result.get("cniVersion"),
        left=side.cni("DEL", meta(network(0), cniVersion="1.0.0"))[0] and side.left(),
    )


def a_second_network_that_fails(side):
    side.host.plugin(
        "fails",
        'test "$CNI_COMMAND" = ADD || exit 0\necho \'{"cniVersion": "0.4.0", "code": 107, "msg":'
        ' "no"}\'\nexit 1\n',
    )
    added, answer = side.cni("ADD", meta(network(0), single("fails")))
    return side.seen(added=added, code=code(answer), left=side.left())


def no_lease_yet(side):
    side.host.path("/run/flannel/net1.env").unlink()
    added, answer = side.cni("ADD", meta(network(0), network(1)))
    return side.seen(added=added, code=code(answer), left=side.left())


def a_missing_executable(side):
    added, answer = side.cni("ADD", meta(network(0), single("nowhere")))
    return side.seen(added=added, code=code(answer), left=side.left())


def an_interface_that_is_there(side):
    subprocess.run(["ip", "-n", side.pod, "link", "add", "net1", "type", "bridge"], check=True)
    added, _answer = side.cni("ADD", meta(network(0), network(1)))
    return {"added": added, "left": side.left()}


def added_twice(side):
    conf = meta(network(0))
    side.cni("ADD", conf)
    again = side.cni("ADD", conf)[0]
    after = side.seen(again=again)
    side.cni("DEL", conf)
    return dict(after, left=side.left())


def a_damaged_state(side):
    conf = meta(network(0), network(1))
    side.cni("ADD", conf)
    for file in side.state_files():
        file.write_bytes(file.read_bytes()[:20])
    told = side.cni("DEL", {"name": "meta", "cniVersion": "0.4.0", "delegates": conf["delegates"]})[
        0
    ]
    return {
        "says that it succeeded": told,
        "left": [item for item in side.left() if item != "state" and "corrupt" not in item],
    }


def a_delete_that_fails_once(side):
    flag = side.host.directory / "flag"
    flag.touch()
    fails = (
        f'test "$CNI_COMMAND" != DEL || test ! -e {flag} || {{ echo \'{{"code": 100, "msg":'
        ' "no"}\'; exit 1; }'
    )
    side.host.plugin("tuning", f'cat > /dev/null\n{fails}\necho \'{{"cniVersion": "0.4.0"}}\'\n')
    conf = meta(network(0), single("tuning"))
    side.cni("ADD", conf)
    first = side.cni("DEL", conf)[0]
    kept = bool(side.state_files())
    flag.unlink()
    return {
        "first": first,
        "state is kept": kept,
        "second": side.cni("DEL", conf)[0],
        "left": side.left(),
    }


def two_interfaces_of_one_container(side):
    side.cni("ADD", meta(network(0)))
    added = side.cni("ADD", meta(network(1)), CNI_IFNAME="eth1")[0]
    between = side.host.addresses(side.pod)
    deleted = side.cni("DEL", meta(network(1)), CNI_IFNAME="eth1")[0]
    after = side.host.addresses(side.pod)
    side.cni("DEL", meta(network(0)))
    return {"added": added, "both": between, "deleted": deleted, "one": after, "left": side.left()}


def the_runtimes_wishes(side):
    calls = side.recorder()
    able = single("able", capabilities={"portMappings": True, "aliases": True})
    wishes = {
        "portMappings": [{"hostPort": 80, "containerPort": 80, "protocol": "tcp"}],
        "aliases": ["a"],
    }
    side.cni(
        "ADD",
        meta(
            able,
            dict(able, name="second"),
            capabilities={"portMappings": True, "aliases": True},
            runtimeConfig=wishes,
        ),
    )
    told = [json.loads(conf).get("runtimeConfig") for _command, _interface, conf in calls()]
    return {
        "the first network's mappings": "portMappings" in (told[0] or {}),
        "the first network's unknown wish": "aliases" in (told[0] or {}),
        "the second network's": bool(told[1]),
    }


def numbers_and_unknown_keys(side):
    calls = side.recorder()
    side.cni("ADD", meta(single("able", big=12345678901234567890, unknown={"b": 1, "a": [None]})))
    conf = calls()[0][2]
    return {"big": "12345678901234567890" in conf, "unknown": json.loads(conf).get("unknown")}


def configurations_that_are_none(side):
    listed = {"name": "x", "cniVersion": "0.4.0"}
    confs = {
        "no delegates": meta(),
        "an empty list of plugins": meta(dict(listed, plugins=[])),
        "null for a plugin": meta(dict(listed, plugins=[None])),
        "no JSON": "{",
        "an unknown version": meta(network(0), cniVersion="9.9.9"),
    }
    seen = {}
    for name, conf in confs.items():
        added, answer = side.cni("ADD", conf)
        seen[name] = (
            "succeeds"
            if added
            else (
                "an error object"
                if isinstance(answer, dict) and "code" in answer
                else "no error object"
            )
        )
    return dict(seen, left=side.left())


def check_of_what_is_gone(side):
    conf = meta(network(0), network(1))
    side.cni("ADD", conf)
    before = side.cni("CHECK", conf)[0]
    subprocess.run(
        [
            "ip",
            "-n",
            side.pod,
            "addr",
            "flush",
            "dev",
            "net1" if "net1" in side.host.addresses(side.pod) else "net0",
        ],
        check=True,
    )
    after = side.cni("CHECK", conf)[0]
    side.cni("DEL", conf)
    return {"as it was": before, "an address is gone": after}


def garbage_collection(side):
    conf = meta(network(0), network(1), cniVersion="1.1.0")
    side.cni("ADD", conf)
    side.host.remove(side.pod)
    collected = side.cni("GC", dict(conf, **{"cni.dev/valid-attachments": []}))[0]
    return {
        "collected": collected,
        "left": [item for item in side.host.leftovers() if "networks/" in item],
    }


def without_the_namespace(side):
    conf = meta(network(0), network(1))
    side.cni("ADD", conf)
    side.host.remove(side.pod)
    deleted = side.cni("DEL", conf, CNI_NETNS="")[0]
    return {"deleted": deleted, "left": side.host.leftovers()}


SCENARIOS = [
    one_network,
    two_networks,
    four_networks,
    a_single_plugin_and_a_list,
    answers_in_the_callers_version,
    a_second_network_that_fails,
    no_lease_yet,
    a_missing_executable,
    an_interface_that_is_there,
    added_twice,
    a_damaged_state,
    a_delete_that_fails_once,
    two_interfaces_of_one_container,
    the_runtimes_wishes,
    numbers_and_unknown_keys,
    configurations_that_are_none,
    check_of_what_is_gone,
    garbage_collection,
    without_the_namespace,
]
# Scenario: what differs, and why. "here" is this meta-plugin; SPEC is the CNI specification 1.1.0,
# NPWG the multi-network specification 1.3.
_STATE = (
    "Multus keeps its state file after it undid a failed ADD; here a DEL afterwards has nothing"
    " to do."
)
_CODE = (
    "Here: a delegate's error code is the answer (SPEC section 5), where Multus makes every one"
    " 999, so nobody knows that trying again later would do."
)
BECAUSE = {
    "answers_in_the_callers_version": {
        "version": (
            "Here: the answer is in the version of the request (SPEC section 2). Multus hands on"
            " the delegate's."
        )
    },
    "a_second_network_that_fails": {"code": _CODE, "left": _STATE},
    "no_lease_yet": {"code": _CODE, "left": _STATE},
    "a_missing_executable": {
        "code": (
            "Either: Multus says 999, here 5 (no executable can be read); SPEC names no code of its"
            " own for it."
        ),
        "left": _STATE,
    },
    "an_interface_that_is_there": {"left": _STATE},
    "added_twice": {
        "interfaces": (
            "Here: the second ADD is refused before anything is done. Multus undoes it together"
            " with what the first one attached."
        ),
        "routes": "As above.",
    },
    "a_damaged_state": {
        "says that it succeeded": (
            "Here: what cannot be read is an error once, and the file is kept aside. Multus reports"
            " success and has done nothing."
        ),
        "left": (
            "Here: everything is detached by the configuration on stdin. With Multus two addresses"
            " and two interfaces stay for ever."
        ),
    },
    "a_delete_that_fails_once": {
        "state is kept": (
            "Here: kept until every DEL succeeded (SPEC section 4: DEL may be repeated). Multus"
            " drops it unless retryDeleteOnError is set."
        ),
        "left": (
            "Multus' second DEL says that it succeeded, and leaves what the first one could not"
            " detach."
        ),
    },
    "two_interfaces_of_one_container": {
        "left": (
            "Here: a state for each (container, interface), which SPEC section 2 calls an"
            " attachment. Multus has one per container, so one leaks."
        )
    },
    "the_runtimes_wishes": {
        "the first network's unknown wish": (
            "Here: what a plugin declares as capability reaches it (SPEC section 3). Multus knows"
            " seven names."
        ),
        "the second network's": (
            "Here: the runtime's wishes are the default network's alone (NPWG 7.5 MUST NOT). Multus"
            " maps a port in every network."
        ),
    },
    "numbers_and_unknown_keys": {
        "big": (
            "Here: numbers go on as they were written. Multus makes them floats, and"
            " 12345678901234567890 becomes another number."
        )
    },
    "configurations_that_are_none": {
        "an empty list of plugins": "Here: an error object (SPEC section 5). Multus panics.",
        "null for a plugin": "As above.",
    },
    "check_of_what_is_gone": {
        "an address is gone": (
            "Here: addresses are looked for, since flannel's own CHECK does nothing. Multus says"
            " that all is well."
        )
    },
    "garbage_collection": {
        "left": (
            "Here: what is not listed as valid is detached (SPEC section 2, GC). Multus asks"
            " plugins for a GC that they do not have."
        )
    },
}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_as_multus_or_for_a_reason(scenario, tmp_path, upstream_bin):
    if not (upstream_bin / "multus").exists():
        pytest.skip("there is no multus among the upstream programs")
    seen = {}
    for plugin in ("multus", "multinet"):
        side = Side(plugin, tmp_path / plugin, upstream_bin)
        try:
            seen[plugin] = scenario(side)
        finally:
            side.host.close()
    differing = {key for key in seen["multus"] if seen["multus"][key] != seen["multinet"][key]}
    told = "\n".join(
        f"{key}: Multus {seen['multus'][key]}, here {seen['multinet'][key]}"
        for key in sorted(differing)
    )
    assert differing == set(BECAUSE.get(scenario.__name__, {})), told
