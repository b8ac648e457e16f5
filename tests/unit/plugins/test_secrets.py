# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pre-shared key of a network, and etcd's client key, are looked for in all that is made of a
declaration: the plan, files and their modes, results with diff and invocation, the system's log,
objects and what is exported of them.
"""

from __future__ import annotations

import base64
import json
import os
import pathlib
import stat
import subprocess
import sys

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.multinet.flannel.plugins.filter.kubernetes import (
    kubernetes_objects,
    kubernetes_secrets,
)
from ansible_collections.multinet.flannel.plugins.filter.planned_files import planned_files
from ansible_collections.multinet.flannel.plugins.module_utils._plan import changes, secrets
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan

ROOT = pathlib.Path(__file__).resolve().parents[3]
MARKER = "hunter2-hunter2-" * 6
KEY = "-----BEGIN PRIVATE KEY----- hush-hush-hush"
NETWORKS = [
    {"name": "blue", "cidr": "10.1.0.0/16", "default": True, "backend": {"type": "host-gw"}},
    {"name": "red", "cidr": "10.3.0.0/16", "backend": {"type": "ipsec", "psk": MARKER}},
]
OPTIONS = {
    "datastore": "kubernetes",
    "cluster_cidrs": ["10.244.0.0/16"],
    "node_cidr_mask_sizes": [24],
}
KNOWN = secrets.secrets(NETWORKS)
SETTINGS = {
    "subnet_server": "http://127.0.0.1:10253",
    "node_name": "n1",
    "interface": "eth0",
    "kubeconfig": "/etc/kubeconfig",
    "port": 10253,
    "secrets": KNOWN,
}
# Runs a module as Ansible does on a host; what it tells the system's log is in a file.
RUN = """
import runpy, sys
from ansible.module_utils import basic
path, log = sys.argv[1:]
del sys.argv[1:]
basic.AnsibleModule.log = lambda self, msg, log_args=None: open(log, "a").write(msg + "\\n")
runpy.run_path(path, run_name="__main__")
"""


def shows(text, secret=MARKER):
    """Whether a text shows a secret, as it is or in base64 at any place."""
    encoded = [base64.b64encode(("x" * n + secret).encode()).decode()[4:-8] for n in range(3)]
    return any(one in text for one in [secret, *encoded])


@pytest.fixture(name="run")
def _run(tmp_path):
    """Return a function that runs a module: (its result, what it showed and logged)."""

    def run(module, **arguments):
        log = tmp_path / "log"
        arguments |= {"_ansible_diff": True, "_ansible_verbosity": 4}
        done = subprocess.run(
            [sys.executable, "-c", RUN, f"{ROOT}/plugins/modules/{module}.py", log],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            capture_output=True,
            text=True,
            check=False,
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        )
        logged = log.read_text(encoding="utf-8") if log.exists() else ""
        assert done.stdout and "Invoked with" in logged, done.stderr
        return json.loads(done.stdout), done.stdout + done.stderr + logged

    return run


def test_the_test_would_see_it():
    for length in range(3):
        assert shows(base64.b64encode(("y" * length + MARKER).encode()).decode())


@pytest.mark.parametrize("options", [None, OPTIONS], ids=["etcd", "kubernetes"])
def test_the_plan_has_a_fingerprint(options):
    planned = plan(NETWORKS, options)
    red = planned["networks"][1]
    assert not shows(json.dumps(planned))
    assert red["backend"]["psk"] == red["flannel_config"]["Backend"]["PSK"]
    assert red["backend"]["psk"].startswith("sha256:")
    assert secrets.unmasked(red, KNOWN)["Backend"]["PSK"] == MARKER
    assert secrets.masked(secrets.unmasked(red, KNOWN)) == red["flannel_config"]
    other = plan([NETWORKS[0], dict(NETWORKS[1], backend={"type": "ipsec", "psk": "o" * 96})])
    assert any("backend.psk changes" in one for one in changes.changed(planned, other))


def test_files_of_hosts(run, tmp_path):
    """What has the key is for root alone, and no output and no log has it."""
    planned = plan(NETWORKS, OPTIONS)
    parts = [*planned_files(planned, "flanneld", SETTINGS)]
    parts += planned_files(planned, "subnet_server", SETTINGS)
    parts.append({"path": "/deployed.json", "content": json.dumps(planned), "mode": "0644"})
    files = [dict(one, path=f"{tmp_path}/host{one['path']}") for one in parts]
    directories = sorted({os.path.dirname(one["path"]) for one in files})
    for directory in directories:
        pathlib.Path(directory).mkdir(parents=True)
    for psk in (MARKER, MARKER[::-1]):  # made, then changed
        for one in files:
            one["content"] = one["content"].replace(MARKER, psk)
        result, seen = run("node_files", files=files)
        assert result["changed"] and not shows(seen, psk) and not shows(seen)
    holders = [
        one for one in (tmp_path / "host").rglob("*.json") if MARKER[::-1] in one.read_text()
    ]
    assert {one.name for one in holders} == {"red.json", "subnets.json"}
    assert all(stat.S_IMODE(one.stat().st_mode) == 0o600 for one in holders)
    assert stat.S_IMODE((tmp_path / "host/etc/flannel/blue.json").stat().st_mode) == 0o644


LINES = ["SGVyZSBpcyBhIGtleSBvZiBzZXZlcmFsIGxpbmVz", "d2hpY2ggaXMgbm8gb25lIGxpbmUgaW4gYSBsb2c="]
PEM = "\n".join(["-----BEGIN PRIVATE KEY-----", *LINES, "-----END PRIVATE KEY-----", ""])


def test_a_key_of_several_lines_in_a_file(run, tmp_path):
    """Which Ansible's own masks do not find among the parameters: they are logged escaped."""
    files = [
        {"path": str(tmp_path / "key"), "content": PEM, "mode": "0600", "secret": True},
        {"path": str(tmp_path / "plain"), "content": "a plain line\n"},
    ]
    result, seen = run("node_files", files=files)
    assert result["changed"] and (tmp_path / "key").read_text() == PEM
    assert not [line for line in LINES if shows(seen, line)]
    assert [one["after"] for one in result["diff"] if one["after"] == "a plain line\n"]
    assert str(tmp_path / "plain") in result["changed_files"]


def test_a_key_of_several_lines_that_etcd_is_asked_with(run):
    contents = {"ca_cert": "ca", "client_cert": "client", "client_key": PEM}
    result, seen = run("etcd_info", endpoints=["https://127.0.0.1:1"], contents=contents)
    assert result["failed"] and not [line for line in LINES if shows(seen, line)]


def test_a_file_without_its_secret_is_refused():
    with pytest.raises(
        AnsibleFilterError, match="only a fingerprint of the secret of the network red"
    ):
        planned_files(plan(NETWORKS, OPTIONS), "flanneld", dict(SETTINGS, secrets={}))


def test_keys_of_etcd(run):
    arguments = {
        "endpoints": ["http://127.0.0.1:1"],
        "networks": plan(NETWORKS)["networks"],
        "when_unreachable": "empty",
        "_ansible_check_mode": True,
    }
    result, seen = run("flannel_network_config", secrets=KNOWN, **arguments)
    assert result["changed"] and len(result["diff"]) == 2 and not shows(seen)
    result, seen = run("flannel_network_config", **arguments)
    assert "O(secrets) lacks the secret of the network red" in result["msg"]


def test_objects_of_kubernetes(run, tmp_path):
    for name in ("ca.crt", "client.crt", "client.key"):
        (tmp_path / name).write_text(KEY)
    settings = {
        "namespace": "kube-system",
        "nodes": ["n1"],
        "nad_namespaces": ["default"],
        "legacy_crds": False,
        "datastore": "kubernetes",
        "daemonset": {
            "image": "flannel:1",
            "max_unavailable": "10%",
            "pki_dir": str(tmp_path),
            "flanneld": SETTINGS,
        },
    }
    planned = plan(NETWORKS, OPTIONS)
    items = kubernetes_objects(planned, settings)
    assert {one["metadata"]["name"] for one in items if one["kind"] == "Secret"} == {
        "multinet-etcd-client",
        "multinet-flannel-red",
    }
    assert not shows(json.dumps(items)) and not shows(json.dumps(items), KEY)
    known = kubernetes_secrets(planned, settings)
    assert MARKER in known["kube-system/multinet-flannel-red"]["red.json"]
    result, seen = run("kubernetes_objects", kubeconfig="/nowhere", objects=items, secrets=known)
    assert result["failed"] and not shows(seen) and not shows(seen, KEY)
    result, dummy = run("kubernetes_objects", kubeconfig="/nowhere", objects=items)
    assert "lacks the content of the Secret kube-system/multinet-" in result["msg"]
