# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook rollback goes by what is on the host, whatever the inventory declares by then."""

from __future__ import annotations

import http.server
import json
import os
import pathlib
import threading
from typing import Any

import adhoc
import pytest
from adhoc import Ansible
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

BLUE = {"name": "blue", "cidr": "10.1.0.0/16", "default": True, "backend": {"type": "host-gw"}}
RED = {"name": "red", "cidr": "10.3.0.0/16", "backend": {"type": "host-gw"}}
GREEN = {"name": "green", "cidr": "10.4.0.0/16", "backend": {"type": "host-gw"}}
# all that the playbook changes
PLACES = ("/etc/flannel", "/etc/systemd/system", "/usr/local/bin", "/var/lib/multinet")
FLANNELD = "usr/local/bin/flanneld"
# Units run once they were restarted, without a process
SYSTEMCTL = """#!/bin/sh
echo "$*" >>/var/lib/multinet/asked
case $1 in
show)
  shift 3
  for unit; do
    state=inactive
    grep -q "^restart .*$unit" /var/lib/multinet/asked && state=active
    printf "Id=%s\\nActiveState=%s\\nUnitFileState=enabled\\n\\n" "$unit" "$state"
  done
esac
"""


class Site:
    """This machine as a host; write(path, content) and read(path): its files."""

    def __init__(self, directory: pathlib.Path, networks: list[dict[str, object]]) -> None:
        self.root = directory / "host"
        variables = {"multinet_networks": networks, "upgrade_wait": 0}
        down = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
        self.ansible = Ansible(directory, {"down": down, "node1": {}, "node2": {}}, variables)
        self.write("usr/local/bin/systemctl", SYSTEMCTL)
        (self.root / "var/lib/multinet").mkdir(parents=True)

    def write(self, path: str, content: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(0o755)

    def read(self, path: str) -> str:
        file = self.root / path
        return file.read_text() if file.exists() else ""

    def rollback(self, *options: str) -> str:
        """Return what the playbook says."""
        self.ansible.playbook("multinet.flannel.rollback", *options)
        return " ".join(self.ansible.output.split())


@pytest.fixture(name="site")
def _site(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(adhoc, "PLACES", (*adhoc.PLACES, *PLACES))
    # edited since, and as wrong as it may be in a hurry
    return Site(tmp_path, [dict(BLUE, cidr="10.1.0.0/33"), GREEN])


def deploy(site: Site, *networks: dict[str, object]) -> None:
    planned = plan(list(networks))
    site.write("etc/multinet/deployed.json", json.dumps({"plan": planned, "host": "node1"}))
    site.write("etc/systemd/system/flanneld@.service", "")
    for network in planned["networks"]:
        site.write(f"etc/flannel/{network['name']}.env", "FLANNELD_ETCD_PREFIX=/x\n")


def test_it_goes_by_what_is_deployed_and_not_by_the_inventory(site: Site) -> None:
    said = site.rollback()
    # a host that is down, or not part of it yet, is in nobody's way
    assert said.count("UNREACHABLE!") == 1, said
    for node in ("node1", "node2"):
        assert f"Nothing is deployed on {node}, so there is nothing to go back to." in said, said
    deploy(site, BLUE, RED)
    for name, version in (("", "new"), ("var/lib/multinet/previous/", "old")):
        site.write(name + FLANNELD, version)
        site.write(f"{name}usr/local/bin/etcd", version)
    limited = "--limit=node1"
    there = f"On node1, in a real run, put back: /{FLANNELD}. Networks as deployed there, whatever"
    said = site.rollback(limited, "--check")
    assert f"{there} the inventory declares: blue, red; restarted: flanneld@blue.service," in said
    assert site.read(FLANNELD) == "new" and "restart" not in site.read("var/lib/multinet/asked")
    said = site.rollback(limited)
    assert f"On node1, put back: /{FLANNELD}. Networks as" in said, said
    assert "restarted: flanneld@blue.service, flanneld@red.service." in said, said
    asked = site.read("var/lib/multinet/asked")
    assert "restart --no-block flanneld@blue.service flanneld@red.service" in asked, asked
    assert "green" not in asked
    # its data goes forward
    assert (site.read(FLANNELD), site.read("usr/local/bin/etcd")) == ("old", "new")
    said = site.rollback(limited)
    assert "On node1 no executable of a former version is left to put back. For another" in said


def test_what_is_misspelt_is_only_warned_of(site: Site) -> None:
    """It is the way out; and every other playbook refuses it."""
    deploy(site, BLUE)
    site.write(FLANNELD, "new")
    site.write(f"var/lib/multinet/previous/{FLANNELD}", "old")
    said = site.rollback("--limit=node1", "-e", "multinet_versionz=1")
    assert said.count("There is no variable multinet_versionz") == 1, said
    assert f"On node1, put back: /{FLANNELD}." in said, said
    assert site.read(FLANNELD) == "old"


def test_what_cannot_be_known_is_refused_before_anything_is_changed(site: Site) -> None:
    deploy(site, BLUE)
    site.write(FLANNELD, "new")
    site.write(f"var/lib/multinet/previous/{FLANNELD}", "old")
    site.write("etc/multinet/deployed.json", "{")
    said = site.rollback("--limit=node1")
    assert "The record of what is deployed, /etc/multinet/deployed.json, can't be read" in said
    assert site.read(FLANNELD) == "new" and not site.read("var/lib/multinet/asked")


class Api(http.server.ThreadingHTTPServer):
    """A Kubernetes API that has the DaemonSet of a network, and no node."""

    def __init__(self, kept: dict[str, str] | None) -> None:
        pod = {"containers": [{"name": "flanneld", "image": "flannel:2"}]}
        annotations = {"multinet.flannel/previous": json.dumps(kept)} if kept else {}
        self.daemon_set = {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {
                "name": "multinet-flannel-blue",
                "namespace": "kube-system",
                "annotations": annotations,
            },
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {
                    "metadata": {"annotations": {"multinet.flannel/sum": "new"}},
                    "spec": pod,
                },
            },
        }
        self.patches: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def kubeconfig(self) -> dict[str, Any]:
        cluster = {"server": f"http://127.0.0.1:{self.server_address[1]}"}
        return {
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers one request."""

    server: Api

    def do_GET(self) -> None:
        daemon_sets = [self.server.daemon_set] if "/daemonsets" in self.path else []
        items = {"apiVersion": "v1", "kind": "DaemonSetList", "metadata": {}, "items": daemon_sets}
        self._answer(items)

    def do_PATCH(self) -> None:
        self.server.patches.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.daemon_set["metadata"]["annotations"] = {}
        self._answer(self.server.daemon_set)

    def _answer(self, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *dummy: Any) -> None:
        pass


def test_where_flanneld_runs_in_pods_its_image_goes_back(site: Site) -> None:
    deploy(site, BLUE)
    for file in ("etc/systemd/system/flanneld@.service", "etc/flannel/blue.env"):
        (site.root / file).unlink()
    site.write(f"var/lib/multinet/previous/{FLANNELD}", "old")
    site.write("var/lib/multinet/previous/usr/local/bin/rollback-test", "old")
    config = site.root.parent / "kubeconfig"
    options = ("--limit=node1", "-e", f"multinet_kubeconfig={config}")
    kept = {"image": "flannel:1", "sum": "old", "upgrade": "{}"}
    with Api(kept) as api:
        # an API that cannot be asked keeps everything as it is
        said = site.rollback(*options, "--check")
        assert "kubeconfig on the controller cannot be used" in said, said
        assert "On node1" not in said and site.read("usr/local/bin/rollback-test") == ""
        config.write_text(json.dumps(api.kubeconfig))
        threading.Thread(target=api.serve_forever, daemon=True).start()
        image = "DaemonSet kube-system/multinet-flannel-blue: flannel:1 instead of flannel:2"
        said = site.rollback(*options, "--check")
        put = f"put back: /usr/local/bin/rollback-test, {image}. Networks as deployed there,"
        assert f"On node1, in a real run, {put}" in said, said
        assert "blue; their flanneld run in pods, which Kubernetes restarts." in said, said
        assert not api.patches and "restart" not in site.read("var/lib/multinet/asked")
        said = site.rollback("--limit=node1,node2", *options[1:])
        # the turn of one is that of all
        assert f"On node2, put back: {image}. Networks" in said, said
        (patch,) = api.patches
        assert patch["metadata"]["annotations"] == {"multinet.flannel/previous": None}
        template = patch["spec"]["template"]
        assert template["spec"]["containers"] == [{"name": "flanneld", "image": "flannel:1"}]
        assert template["metadata"]["annotations"] == {"multinet.flannel/sum": "old"}
        said = site.rollback(*options)
        assert "no executable or image of a former version is left to put back." in said, said
        api.shutdown()


def test_where_a_host_is_lost_no_further_turn_is_begun(tmp_path: pathlib.Path) -> None:
    """Ansible would go on, for not all hosts of that turn were lost."""
    away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    lost = {"name": "multinet.flannel.upgrade", "tasks_from": "lost"}
    tasks = [
        {"ansible.builtin.import_role": lost},
        {"ansible.builtin.debug": {"msg": "turn of {{ inventory_hostname }}"}},
        {"ansible.builtin.ping": {}},
    ]
    play = {"hosts": "all", "gather_facts": False, "serial": 2, "max_fail_percentage": 0}
    ansible = Ansible(tmp_path, {"a": {}, "b": away, "c": {}}, {"multinet_networks": [BLUE]})
    assert ansible.playbook([{**play, "tasks": tasks}]) != 0
    said = " ".join(ansible.output.split())
    assert "b failed or cannot be reached any more, so no further host is changed." in said, said
    assert "turn of a" in said and "turn of c" not in said, said
