# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook rollback goes by what is on the host, whatever the inventory declares by then."""

from __future__ import annotations

import json
import os
import pathlib

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


def test_where_flanneld_runs_in_pods_it_is_not_put_back_on_the_host(site: Site) -> None:
    deploy(site, BLUE)
    for file in ("etc/systemd/system/flanneld@.service", "etc/flannel/blue.env"):
        (site.root / file).unlink()
    site.write(f"var/lib/multinet/previous/{FLANNELD}", "old")
    site.write("var/lib/multinet/previous/opt/rollback-test", "old")
    said = site.rollback("--limit=node1", "--check")
    assert "put back: /opt/rollback-test. Networks" in said, said
    assert "blue; their flanneld run in pods: declare the former image or version" in said, said
    assert "restart" not in site.read("var/lib/multinet/asked")


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
