# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._node import files, multus, removal

LAUNCHER = "#!/usr/bin/python3 -IS\n# The CNI meta-plugin of multinet.flannel.\n"
THIN = {"name": "multus-cni-network", "type": "multus", "delegates": [{"name": "cbr0"}]}


@pytest.fixture
def host(tmp_path):
    """A host that Multus serves; returns what writes a file, or removes it."""
    for directory in ("net.d", "bin"):
        (tmp_path / directory).mkdir()

    def write(path, content=None):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / path).write_text(text)

    write("net.d/00-multus.conf", THIN)
    write("net.d/10-flannel.conflist", {"name": "cbr0", "plugins": [{"type": "flannel"}]})
    write("bin/multus", "upstream's")
    return write


def look(tmp_path):
    return multus.look(str(tmp_path / "net.d"), str(tmp_path / "bin"))


def test_multus_is_found_by_its_configuration_and_its_executable(tmp_path, host):
    host("net.d/05-list.conflist", {"plugins": [{"type": "multus"}, {"type": "tuning"}]})
    host("net.d/06-thick.conf", {"type": "multus-shim"})
    host("net.d/00-multinet.conf", {"type": "multus"})  # ours, under its name
    host("net.d/07-off.conf.old", THIN)
    host("net.d/08-none.conf", "{")
    host("net.d/09-none.json", "[]")
    host("bin/multus-shim", LAUNCHER)
    assert look(tmp_path) == (
        [
            f"{tmp_path}/net.d/{one}"
            for one in ("00-multus.conf", "05-list.conflist", "06-thick.conf")
        ],
        [],
        [f"{tmp_path}/bin/multus"],
    )
    assert multus.look(f"{tmp_path}/none", f"{tmp_path}/none") == ([], [], [])


@pytest.mark.parametrize("text", ['{"type": "multus", "delegates": 5}', '{"a":' * 100000])
def test_a_configuration_that_nobody_can_use_is_nobodys(text):
    assert not multus.is_fed_by_us(text.encode())


def test_multus_is_asked_again_by_what_is_there_or_is_given_back(tmp_path, host):
    directory = str(tmp_path / "net.d")
    assert multus.serves_then(directory, [])
    host("kept.conf", THIN)
    (tmp_path / "net.d/00-multus.conf").unlink()
    assert not multus.serves_then(directory, [f"{directory}/10-flannel.conflist"])
    assert multus.serves_then(
        directory, [f"{directory}/10-flannel.conflist", f"{tmp_path}/kept.conf"]
    )
    assert not multus.serves_then(directory, [f"{tmp_path}/none"])


def test_a_host_that_multus_serves_is_refused_unless_it_is_to_be_replaced(tmp_path, host):
    launchers = [f"{tmp_path}/bin/multinet"]
    assert multus.problem(look(tmp_path), launchers, is_deployed=False) == (
        f"Multus is on this host ({tmp_path}/net.d/00-multus.conf), and 00-multinet.conf would come"
        " before its configuration. Write multinet_replace_multus: true to have the meta-plugin"
        " serve its pods and annotations from now on, until a reset; or remove Multus first."
    )
    # it has come later, and no runtime calls it
    assert multus.problem(look(tmp_path), launchers, is_deployed=True) == ""


def test_its_executable_is_not_replaced_unasked(tmp_path, host):
    launchers = [f"{tmp_path}/bin/multinet", f"{tmp_path}/bin/multus"]
    assert multus.problem(look(tmp_path), launchers, is_deployed=True) == (
        f"Multus is on this host ({tmp_path}/bin/multus), and multinet_meta_plugin_names has its"
        " name. Write multinet_replace_multus: true to have the meta-plugin serve its pods and"
        " annotations from now on, until a reset; or remove Multus first."
    )
    host("bin/multus", LAUNCHER)
    assert multus.problem(look(tmp_path), launchers, is_deployed=True) == ""


def test_what_will_be_done_is_said_and_what_is_done_is_not(tmp_path, host):
    launchers = [f"{tmp_path}/bin/multinet", f"{tmp_path}/bin/multus"]
    said = multus.sentences(look(tmp_path), launchers, False, ["kube-system/kube-multus-ds"])
    assert said == [
        "Multus is replaced on this host: 00-multinet.conf comes before 00-multus.conf;"
        f" {tmp_path}/bin/multus is now the meta-plugin, and the former file is"
        f" {tmp_path}/bin/multus.original. Running pods keep their interfaces, and a reset brings"
        " Multus back. DaemonSet kube-system/kube-multus-ds stays as it is; each time its pod"
        " starts here, it puts its own executable back, until the next run. Delete it when you do"
        " not want to go back to Multus."
    ]
    (two,) = multus.sentences(look(tmp_path), launchers, False, ["a/thin", "b/thick"])
    assert "DaemonSet a/thin stays as it is" in two and "DaemonSet b/thick stays as it is" in two
    host("bin/multus", LAUNCHER)
    assert multus.sentences(look(tmp_path), launchers, is_deployed=True) == []


def test_a_configuration_that_is_taken_over_is_in_the_way_only_where_pods_ask_multus(
    tmp_path, host
):
    path = f"{tmp_path}/net.d/00-multus.conf"
    assert multus.without(look(tmp_path), [path]).confs == []
    assert multus.without(look(tmp_path), []).confs == [path]
    host("net.d/00-multus.conf", dict(THIN, kubeconfig="/etc/cni/net.d/multus.d/kubeconfig"))
    found = multus.without(look(tmp_path), [path])
    assert "multinet_replace_multus: true" in multus.problem(found, [], is_deployed=False)
    # it is kept with all else that is taken over, and once
    assert multus.to_keep(found) == [path]
    assert multus.to_keep(found, [path]) == []


def give_back(tmp_path):
    steps = removal.multus_steps(str(tmp_path / "net.d"))
    for step in steps:
        step.act()
    return [step.what for step in steps]


def keep(tmp_path):
    wanted = files.Wish(kept=multus.to_keep(look(tmp_path)))
    files.apply(files.decide(wanted))
    assert files.decide(files.Wish(kept=multus.to_keep(look(tmp_path)))) == []


def test_a_configuration_that_multus_made_of_ours_is_again_what_it_was(tmp_path, host):
    conf = tmp_path / "net.d/00-multus.conf"
    keep(tmp_path)
    conf.unlink()  # Multus renames another one into place
    host("net.d/00-multus.conf", dict(THIN, delegates=[{"name": "multinet", "type": "multinet"}]))
    keep(tmp_path)  # what a later run sees is not what was there before
    assert give_back(tmp_path) == [f"our delegate from {conf}, which becomes what it was before"]
    assert json.loads(conf.read_text()) == THIN
    assert give_back(tmp_path) == []


def test_a_configuration_that_multus_made_of_ours_under_another_name_is_told(tmp_path, host):
    keep(tmp_path)
    fed = tmp_path / "net.d/00-multus.conflist"
    plugin = dict(THIN, delegates=[{"name": "multinet", "type": "multinet"}])
    host("net.d/00-multus.conflist", {"name": "multus-cni-network", "plugins": [plugin]})
    assert multus.stays(look(tmp_path), multus.kept(str(tmp_path / "net.d"))) == [
        f"{fed} stays: Multus wrote it with the meta-plugin as its delegate. Restart Multus'"
        " DaemonSet, or remove the file."
    ]
    assert multus.stays(look(tmp_path), [str(fed)]) == []


def test_a_configuration_of_multus_that_is_its_own_stays(tmp_path, host):
    keep(tmp_path)
    conf = tmp_path / "net.d/00-multus.conf"
    conf.unlink()
    host("net.d/00-multus.conf", dict(THIN, logLevel="debug"))
    assert give_back(tmp_path) == [f"file {conf}.original"]
    assert json.loads(conf.read_text())["logLevel"] == "debug"
    keep(tmp_path)
    conf.unlink()  # Multus was removed meanwhile
    assert give_back(tmp_path) == [f"file {conf}.original"]
    assert sorted(one.name for one in (tmp_path / "net.d").iterdir()) == ["10-flannel.conflist"]
