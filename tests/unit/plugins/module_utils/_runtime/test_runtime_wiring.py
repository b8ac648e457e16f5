# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files as distributions ship them (data/): what is read out of them, what is changed, and that all
of it comes back.
"""

from __future__ import annotations

import json
import os
import pathlib

import pytest
import yaml
from ansible_collections.multinet.flannel.plugins.module_utils._runtime import texts, wiring

DATA = pathlib.Path(__file__).parent / "data"
ROLE = pathlib.Path(__file__).resolve().parents[5] / "roles" / "multinet"
DISTRIBUTIONS = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__multinet_distributions"]
NETWORK = {
    "name": "blue",
    "cidr": "10.1.0.0/16",
    "unit": "flanneld@blue.service",
    "subnet_file": "/run/flannel/networks/blue.env",
}
WISH = wiring.Settings("/etc/cni/net.d", "/opt/cni/bin", wiring.CONTAINERD)
FLAGS = {
    "--network-plugin": "cni",
    "--cni-conf-dir": "/etc/cni/net.d",
    "--cni-bin-dir": "/opt/cni/bin",
}


def data(name):
    return (DATA / name).read_text(encoding="utf-8")


class Files(dict):
    """A host's files; get() gives None for what is not there."""

    def apply(self, changes):
        for path, text in changes.items():
            if text is None:
                del self[path]
            else:
                self[path] = text


def observed(files, **changes):
    paths = (
        wiring.CONTAINERD,
        wiring.CRIO_DROPIN,
        wiring.DOCKER_DROPIN,
        wiring.DOCKER_DAEMON,
    ) + wiring.KUBELET_FILES
    base = {
        "files": {path: files.get(path) for path in paths},
        "containerd": files.get(wiring.CONTAINERD),
        "crio": None,
        "kubelet": None,
        "kubelet_unit": "",
        "docker_unit": "",
        "docker_address": "172.17.0.1/16",
    }
    return dict(base, **changes)


NOTHING = {"files": {}, "pending": []}


# containerd


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "containerd-debian.toml",
            {"conf_dir": "/etc/cni/net.d", "bin_dirs": ["/usr/lib/cni"], "max_conf_num": 1},
        ),
        (
            "containerd-k3s.toml",
            {
                "conf_dir": "/var/lib/rancher/k3s/agent/etc/cni/net.d",
                "bin_dirs": ["/var/lib/rancher/k3s/data/cni"],
                "max_conf_num": 1,
            },
        ),
        (
            "containerd-2.toml",
            {"conf_dir": "/etc/cni/net.d", "bin_dirs": ["/opt/cni/bin"], "max_conf_num": 0},
        ),
        ("containerd-docker.toml", None),
    ],
)
def test_what_containerd_says(name, said):
    assert texts.containerd_cni(data(name)) == said


def test_containerd_without_a_word_on_cni_has_its_defaults():
    assert texts.containerd_cni("version = 2\n") == {
        "conf_dir": "/etc/cni/net.d",
        "bin_dirs": ["/opt/cni/bin"],
        "max_conf_num": 1,
    }


def test_where_containerd_looks_elsewhere_it_is_said():
    found = wiring.containerd_problems(data("containerd-debian.toml"), WISH)
    assert found == [
        "containerd looks for CNI executables in /usr/lib/cni, but multinet_cni_bin_dir is"
        " /opt/cni/bin. Set it to /usr/lib/cni, or set multinet_configure_containerd: true, which"
        " changes /etc/containerd/config.toml."
    ]
    assert (
        wiring.containerd_problems(
            data("containerd-debian.toml"),
            wiring.Settings("/etc/cni/net.d/", "/usr/lib/cni", wiring.CONTAINERD),
        )
        == []
    )
    assert (
        wiring.containerd_problems(data("containerd-debian.toml"), WISH._replace(configure=True))
        == []
    )
    several = wiring.containerd_problems(data("containerd-2.toml"), WISH)
    assert len(several) == 1 and several[0].startswith(
        "containerd uses all CNI configurations at once (max_conf_num = 0)"
    )
    paths = DISTRIBUTIONS["k3s"]
    assert (
        wiring.containerd_problems(
            data("containerd-k3s.toml"),
            wiring.Settings(
                paths["cni_conf_dir"], paths["cni_bin_dir"], paths["containerd_config"]
            ),
        )
        == []
    )
    elsewhere = wiring.containerd_problems(
        data("containerd-k3s.toml"),
        wiring.Settings("/etc/cni/net.d", paths["cni_bin_dir"], paths["containerd_config"], True),
    )
    assert elsewhere == [
        "containerd looks for CNI configurations in /var/lib/rancher/k3s/agent/etc/cni/net.d, but"
        " multinet_cni_conf_dir is /etc/cni/net.d. Set it to"
        " /var/lib/rancher/k3s/agent/etc/cni/net.d."
    ], "a file that k3s writes itself is not changed"


@pytest.mark.parametrize(
    "name", ["containerd-debian.toml", "containerd-2.toml", "containerd-k3s.toml"]
)
def test_containerd_is_changed_in_those_lines_alone(name):
    before = data(name)
    after = texts.set_containerd_cni(
        before,
        {
            "conf_dir": "/c",
            "max_conf_num": 1,
            "bin_dirs" if "bin_dirs" in before else "bin_dir": (
                ["/b"] if "bin_dirs" in before else "/b"
            ),
        },
    )
    assert texts.containerd_cni(after) == {"conf_dir": "/c", "bin_dirs": ["/b"], "max_conf_num": 1}
    gone = [line for line in before.splitlines() if line not in after.splitlines()]
    assert all(
        line.strip().split(" ")[0] in ("conf_dir", "bin_dir", "bin_dirs", "max_conf_num")
        for line in gone
    )


SEVERAL_LINES = """version = 3
[plugins."io.containerd.internal.v1.opt"]
  paths = [
    ["/a",
     "]"],  # ] of no array
  ]
[plugins."io.containerd.cri.v1.runtime".cni]
  # bin_dirs = [
  bin_dirs = [  # [ of no array
    "/opt/cni/bin",  # "/old/bin"
    '/usr/lib/cni',
  ]
  conf_dir = "/etc/cni/net.d"
[debug]
  level = "info"
"""


def test_an_array_of_several_lines_is_replaced_as_a_whole_and_comes_back():
    said = texts.containerd_cni(SEVERAL_LINES)
    assert said["bin_dirs"] == ["/opt/cni/bin", "/usr/lib/cni"]
    after = texts.set_containerd_cni(SEVERAL_LINES, {"bin_dirs": ["/b"], "conf_dir": "/c"})
    head, tail = SEVERAL_LINES.split("  bin_dirs = [  #")
    assert (
        after
        == f'{head}  bin_dirs = ["/b"]\n  conf_dir = "/c"\n[debug]\n{tail.split("[debug]")[1][1:]}'
    )
    wish = WISH._replace(configure=True, bin_dir="/b")
    files = Files({wiring.CONTAINERD: SEVERAL_LINES})
    wanted = wiring.decide(observed(files), wish)
    changes, record, dummy = wiring.plan(files.get, wanted, NOTHING)
    files.apply(changes)
    assert texts.containerd_cni(files[wiring.CONTAINERD])["bin_dirs"] == ["/b"]
    files[wiring.CONTAINERD] += "# by hand\n"
    changes, dummy, dummy = wiring.plan(files.get, [], record)
    back = changes[wiring.CONTAINERD]
    assert texts.containerd_cni(back)["bin_dirs"] == said["bin_dirs"]
    assert back.endswith("# by hand\n") and back.startswith(head)


def test_a_comment_about_a_key_is_no_key():
    text = 'version = 2\n# bin_dirs come with version 3\n[plugins.cri.cni]\n  bin_dir = "/a"\n'
    files = Files({wiring.CONTAINERD: text})
    (wanted,) = wiring.decide(observed(files), WISH._replace(configure=True, bin_dir="/b"))
    assert '  bin_dir = "/b"\n' in wanted["content"] and "bin_dirs =" not in wanted["content"]


def test_a_file_behind_a_link_keeps_its_own_mode_and_owner(tmp_path):
    real, link = tmp_path / "real.toml", tmp_path / "config.toml"
    real.write_text("a")
    real.chmod(0o600)
    link.symlink_to(real)
    wiring.write(str(link), "b")
    assert link.is_symlink() and real.read_text() == "b"
    assert real.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("", "[plugins.cri.cni]"),
        ("version = 2\n", '[plugins."io.containerd.grpc.v1.cri".cni]'),
        ("version = 3", '[plugins."io.containerd.cri.v1.runtime".cni]'),
    ],
)
def test_a_table_that_is_not_there_is_added(text, table):
    after = texts.set_containerd_cni(text, {"bin_dir": "/b"})
    assert (
        after.startswith(text)
        and table in after
        and texts.containerd_cni(after)["bin_dirs"] == ["/b"]
    )


# CRI-O


def test_crio_stays_as_it_is_where_it_finds_the_meta_plugin():
    """A restart would cost running pods their network: with what packages say, none is needed."""
    for files in ([], [data("crio.conf")], [data("crio.conf"), data("crio-debian.conf")]):
        assert wiring.decide(observed({}, crio=files), WISH._replace(configure=True)) == []
        assert (
            wiring.crio_problems(
                files, wiring.Settings("/etc/cni/net.d/", "/opt/cni/bin", wiring.CONTAINERD)
            )
            == []
        )


def test_crio_that_looks_elsewhere_gets_a_dropin_only_when_it_may():
    files = [
        data("crio.conf"),
        (
            '[crio.network]\nplugin_dirs = ["/usr/lib/cni/"]\nnetwork_dir ='
            ' "/etc/cni/other.d/"\ncni_default_network = "crio"\n'
        ),
    ]
    assert wiring.decide(observed({}, crio=files), WISH) == []
    found = wiring.crio_problems(files, WISH)
    assert [
        sentence.split(", or set multinet_configure_containerd: true, ")[0] for sentence in found
    ] == [
        (
            "CRI-O looks for CNI configurations in /etc/cni/other.d, but multinet_cni_conf_dir is"
            " /etc/cni/net.d. Set it to /etc/cni/other.d"
        ),
        (
            "CRI-O looks for CNI executables in /usr/lib/cni, but multinet_cni_bin_dir is"
            " /opt/cni/bin. Set it to /usr/lib/cni"
        ),
        (
            "CRI-O uses only the CNI network crio (cni_default_network), so the meta-plugin would"
            " attach no pod. Remove that line"
        ),
    ]
    assert wiring.crio_problems(files, WISH._replace(configure=True)) == []
    wanted = wiring.decide(observed({}, crio=files), WISH._replace(configure=True))
    assert [item["path"] for item in wanted] == [wiring.CRIO_DROPIN]
    assert wanted[0]["content"].splitlines()[1:] == [
        "[crio.network]",
        'cni_default_network = "multinet"',
        'network_dir = "/etc/cni/net.d"',
        'plugin_dirs = ["/opt/cni/bin", "/usr/lib/cni"]',
    ]


def test_what_runtimes_pass_over_is_told_by_what_they_read_now(monkeypatch):
    """Our own drop-in among it, which an upgrade may have taken away."""
    settings = wiring.Settings("/etc/cni/net.d", "/opt/cni/bin", wiring.CONTAINERD, True)
    files = {
        "/etc/crio/crio.conf": '[crio.network]\nnetwork_dir = "/etc/cni/other.d/"\n',
        wiring.CRIO_DROPIN: texts.crio_dropin(settings.conf_dir, [settings.bin_dir]),
    }
    monkeypatch.setattr(wiring, "read", files.get)
    monkeypatch.setattr(wiring, "listed", lambda directory: ["90-multinet.conf"])
    monkeypatch.setattr(wiring.shutil, "which", lambda name: name if name == "crio" else None)
    assert wiring.passed_over(no_command, settings) == []
    del files[wiring.CRIO_DROPIN]
    files[wiring.CONTAINERD] = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".cni]\n'
    files[wiring.CONTAINERD] += 'conf_dir = "/etc/cni"\n'
    containerd, crio = wiring.passed_over(no_command, settings)
    assert "containerd looks for CNI configurations in /etc/cni, but" in containerd
    assert "CRI-O looks for CNI configurations in /etc/cni/other.d, but" in crio


def no_command(argv):
    raise AssertionError(argv)


def test_the_last_of_crios_files_decides():
    files = [
        '[crio.network]\nnetwork_dir = "/a"\nplugin_dirs = ["/b"]\n',
        "[crio.network]\nplugin_dirs = [\n  '/c/',\n  # '/d',\n  \"/e\"\n]\n",
    ]
    assert texts.crio_cni(files) == {"conf_dir": "/a", "bin_dirs": ["/c", "/e"], "network": ""}
    assert wiring.crio_problems(None, wiring.Settings("/x", "/y", wiring.CONTAINERD)) == []


def test_pods_that_crio_would_detach_at_its_next_start(tmp_path):
    conf, results = tmp_path / "net.d", tmp_path / "results"
    conf.mkdir()
    results.mkdir()
    for name, network in [("00-multinet.conf", "multinet"), ("10-crio-bridge.conflist", "crio")]:
        (conf / name).write_text(json.dumps({"name": network}), encoding="utf-8")
    (conf / "README").write_text("no configuration", encoding="utf-8")
    for network, namespace, name in [
        ("crio", "shop", "db-0"),
        ("multinet", "shop", "web"),
        ("gone", "shop", "old"),
        ("crio", "a", "b"),
    ]:
        kept = {
            "kind": "cniCacheV1",
            "networkName": network,
            "cniArgs": [
                ["IgnoreUnknown", "1"],
                ["K8S_POD_NAMESPACE", namespace],
                ["K8S_POD_NAME", name],
            ],
        }
        (results / f"{network}-{name}-eth0").write_text(json.dumps(kept), encoding="utf-8")
    (results / "torn").write_text("{", encoding="utf-8")
    assert wiring.crio_former_pods(str(conf), str(results)) == ["a/b", "shop/db-0"]
    assert wiring.crio_former_pods(str(tmp_path / "nothing"), str(results)) == []
    (conf / "10-crio-bridge.conflist").write_text(
        '{"name": "crio", "disableGC": true}', encoding="utf-8"
    )
    assert wiring.crio_former_pods(str(conf), str(results)) == []


def test_pods_are_not_taken_for_none_where_a_directory_cannot_be_read(tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "listdir", refused)
    with pytest.raises(PermissionError):
        wiring.crio_former_pods(str(tmp_path), str(tmp_path))


# The kubelet


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("kubelet-2017", "KUBELET_OPTS"),
        ("kubelet-several-lines", "KUBELET_OPTS"),
        ("kubelet-kubeadm", "KUBELET_EXTRA_ARGS"),
    ],
)
def test_a_kubelets_other_options_stay(name, variable):
    before = data(name)
    assert texts.kubelet_variable(before, "") == variable
    after = texts.set_kubelet_flags(before, variable, FLAGS)
    assert texts.kubelet_flags(after, variable) == FLAGS
    assert texts.set_kubelet_flags(after, variable, FLAGS) == after
    words = [
        word
        for word in before.replace('"', "").split()
        if not word.startswith(texts.KUBELET_FLAGS) and word != "kubenet"
    ]
    assert [
        word for word in after.replace('"', "").split() if not word.startswith(texts.KUBELET_FLAGS)
    ] == words
    assert texts.kubelet_flags(texts.set_kubelet_flags(after, variable, {}), variable) == {}


def test_an_old_option_goes_and_comes_back():
    before = data("kubelet-several-lines")
    assert texts.kubelet_flags(before, "KUBELET_OPTS") == {
        "--network-plugin": "cni",
        "--network-plugin-dir": "/etc/cni/net2.d",
    }
    record = {"before": before, "after": texts.set_kubelet_flags(before, "KUBELET_OPTS", FLAGS)}
    assert wiring.take_back("/etc/default/kubelet", record["after"], record) == before
    edited = record["after"].replace("--v=2", "--v=9")
    back = wiring.take_back("/etc/default/kubelet", edited, record)
    assert "--v=9" in back and texts.kubelet_flags(back, "KUBELET_OPTS") == texts.kubelet_flags(
        before, "KUBELET_OPTS"
    )


@pytest.mark.parametrize(
    ("version", "paths"),
    [
        ("Kubernetes v1.23.17", ["/etc/default/kubelet"]),
        ("Kubernetes v1.24.0", []),
        ("Kubernetes v1.34.4", []),
    ],
)
def test_only_kubelets_that_call_cni_themselves_are_told(version, paths):
    wanted = wiring.decide(
        observed({"/etc/default/kubelet": data("kubelet-kubeadm")}, kubelet=version), WISH
    )
    assert [item["path"] for item in wanted] == paths


def test_a_kubelet_without_a_file_gets_the_one_that_its_unit_reads():
    unit = (
        "EnvironmentFile=-/etc/sysconfig/kubelet\nExecStart=\nExecStart=/usr/bin/kubelet"
        " $KUBELET_KUBECONFIG_ARGS $KUBELET_EXTRA_ARGS\n"
    )
    wanted = wiring.decide(observed({}, kubelet="Kubernetes v1.19.3", kubelet_unit=unit), WISH)
    assert [(item["path"], item["content"]) for item in wanted] == [
        (
            "/etc/sysconfig/kubelet",
            (
                'KUBELET_EXTRA_ARGS="--network-plugin=cni --cni-conf-dir=/etc/cni/net.d'
                ' --cni-bin-dir=/opt/cni/bin"\n'
            ),
        )
    ]
    with pytest.raises(wiring.WiringError, match="reads none of KUBELET_OPTS"):
        wiring.decide(
            observed({}, kubelet="Kubernetes v1.19.3", kubelet_unit="ExecStart=/usr/bin/kubelet\n"),
            WISH,
        )


# docker


def test_docker_starts_as_before_and_in_the_network():
    wanted = wiring.decide(
        observed({}, docker_unit=data("docker.service")), WISH._replace(docker_network=NETWORK)
    )
    assert [item["path"] for item in wanted] == [wiring.DOCKER_DROPIN]
    assert (
        "ExecStart=\nExecStart=/usr/sbin/dockerd -H fd://"
        " --containerd=/run/containerd/containerd.sock $DOCKER_OPTS --bip=${FLANNEL_SUBNET}"
        " --mtu=${FLANNEL_MTU} --ip-masq=false\n" in wanted[0]["content"]
    )
    unit = data("docker.service") + f"\n# {wiring.DOCKER_DROPIN}\n{wanted[0]['content']}"
    again = wiring.decide(observed({}, docker_unit=unit), WISH._replace(docker_network=NETWORK))
    assert again == wanted, "our own drop-in is not the unit's command"
    assert texts.docker_last_dropin(wanted[0]["content"], "172.17.0.1/16").endswith(
        "ExecStart=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock"
        " $DOCKER_OPTS --bip=172.17.0.1/16\n"
    )


def test_the_address_that_docker_had_first_is_remembered():
    files, seen, wish = everything()
    changes, record, dummy = wiring.plan(files.get, wiring.decide(seen, wish), NOTHING)
    files.apply(changes)
    later = dict(seen, docker_address="10.1.5.1/24")
    dummy, record, dummy = wiring.plan(
        files.get,
        wiring.decide(later, wish._replace(docker_network=dict(NETWORK, cidr="10.9.0.0/16"))),
        record,
    )
    assert record["files"][wiring.DOCKER_DROPIN]["address"] == "172.17.0.1/16"


@pytest.mark.parametrize(
    ("files", "unit", "words"),
    [
        ({}, "", "has no docker.service"),
        (
            {wiring.DOCKER_DAEMON: '{"bip": "172.26.0.1/16"}'},
            "docker.service",
            "given bip by /etc/docker/daemon.json",
        ),
        ({}, "ExecStart=/usr/bin/dockerd --mtu=1400\n", "given mtu by its unit"),
    ],
)
def test_docker_that_cannot_be_in_a_network(files, unit, words):
    unit = data(unit) if unit == "docker.service" else unit
    with pytest.raises(wiring.WiringError, match=words):
        wiring.decide(observed(files, docker_unit=unit), WISH._replace(docker_network=NETWORK))


# What is changed, remembered and taken back


def everything():
    files = Files(
        {
            wiring.CONTAINERD: data("containerd-debian.toml"),
            "/etc/default/kubelet": data("kubelet-2017"),
        }
    )
    seen = observed(
        files,
        crio=['plugin_dirs = ["/usr/lib/cni"]'],
        kubelet="Kubernetes v1.8.4",
        docker_unit=data("docker.service"),
    )
    return files, seen, WISH._replace(configure=True, docker_network=NETWORK)


def test_once_then_never_again_and_all_of_it_comes_back():
    files, seen, wish = everything()
    before = dict(files)
    changes, record, restarts = wiring.plan(files.get, wiring.decide(seen, wish), NOTHING)
    assert sorted(changes) == sorted(
        [wiring.CONTAINERD, wiring.CRIO_DROPIN, "/etc/default/kubelet", wiring.DOCKER_DROPIN]
    )
    assert sorted(restarts) == [
        "containerd.service",
        "crio.service",
        "docker.service",
        "kubelet.service",
    ]
    files.apply(changes)
    seen = dict(
        seen,
        files={path: files.get(path) for path in seen["files"]},
        containerd=files[wiring.CONTAINERD],
    )
    assert wiring.plan(files.get, wiring.decide(seen, wish), record) == ({}, record, [])
    changes, record, restarts = wiring.plan(files.get, [], record)
    files.apply(changes)
    assert dict(files) == before and record == NOTHING and len(restarts) == 4


def test_what_is_no_longer_wanted_is_taken_back():
    files, seen, wish = everything()
    changes, record, dummy = wiring.plan(files.get, wiring.decide(seen, wish), NOTHING)
    files.apply(changes)
    seen = dict(
        seen,
        files={path: files.get(path) for path in seen["files"]},
        containerd=files[wiring.CONTAINERD],
        kubelet="Kubernetes v1.24.1",
    )
    changes, record, restarts = wiring.plan(
        files.get, wiring.decide(seen, wish._replace(docker_network=None)), record
    )
    assert changes == {"/etc/default/kubelet": data("kubelet-2017"), wiring.DOCKER_DROPIN: None}
    assert restarts == ["kubelet.service", "docker.service"]


def test_a_restart_that_was_missed_is_made_up_for():
    assert wiring.plan(Files().get, [], {"files": {}, "pending": ["crio.service"]}) == (
        {},
        NOTHING,
        ["crio.service"],
    )


def test_what_was_just_so_before_is_not_taken_back():
    files, seen, wish = everything()
    text = texts.set_kubelet_flags(data("kubelet-2017"), "KUBELET_OPTS", FLAGS)
    files["/etc/default/kubelet"] = text
    seen = dict(seen, files={path: files.get(path) for path in seen["files"]})
    changes, record, dummy = wiring.plan(files.get, wiring.decide(seen, wish), NOTHING)
    assert "/etc/default/kubelet" not in changes and "/etc/default/kubelet" not in record["files"]


def test_containerd_that_somebody_has_changed_since_keeps_their_changes():
    files, seen, wish = everything()
    changes, record, dummy = wiring.plan(files.get, wiring.decide(seen, wish), NOTHING)
    files.apply(changes)
    files[wiring.CONTAINERD] += '[debug]\n  level = "info"\n'
    changes, dummy, dummy = wiring.plan(files.get, [], record)
    assert (
        changes[wiring.CONTAINERD] == data("containerd-debian.toml") + '[debug]\n  level = "info"\n'
    )


# Distributions


def test_distributions():
    for paths in DISTRIBUTIONS.values():
        assert set(paths) == {"cni_conf_dir", "cni_bin_dir", "containerd_config"}
        assert all(path.startswith("/") and not path.endswith("/") for path in paths.values())
    specification = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())
    option = specification["argument_specs"]["main"]["options"]["multinet_kubernetes_distribution"]
    assert option["choices"] == list(DISTRIBUTIONS)
