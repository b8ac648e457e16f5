# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each rule finds what breaks it, wherever that stands but in its own place."""

from __future__ import annotations

import importlib
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts"))
one_place = importlib.import_module("one_place")

BROKEN = {
    "what the annotations of leases begin with": [
        'f"{name}.multinet.flannel"',
        "key.endswith('.multinet.flannel')",
        '"red.multinet.flannel/public-ip"',
    ],
    "the plugins whose work the meta-plugin does": ['("flannel", "tuning")'],
    "where attachments are recorded": ['"/var/lib/cni/multinet"', "/var/lib/cni/multinet-runtime"],
    "a file put into place by rename": ["os.replace(new, old)", "shutil.move(new, old)"],
    "a template of a role": ["lookup('ansible.builtin.template', 'unit.j2')"],
    "the kernel's name of an architecture": ['{"aarch64": "arm64"}', "machine == 'armv7l'"],
    "the version of a component": ["  etcd: 3.6.14", '"flannel": "0.27.4"', "etcd_version: 3.6.14"],
    "a sha256 sum": ["sha256:" + "0af9" * 16],
    "the number of a leak class": ['finding["class"] == 14', '{"class": 21}', "CLASSES[4]"],
    "a fact as a variable of its own": ["{{ ansible_default_ipv4.address }}"],
    "a port": ["http://127.0.0.1:10253/blue", "PORT = 2379", "verify_port: 47470"],
    "the Python of a host": [
        "meta_plugin_python: /usr/bin/python3",
        "{{ ansible_facts['python']['executable'] }}",
    ],
}


@pytest.mark.parametrize("rule", one_place.RULES, ids=lambda rule: rule.what)
def test_seen(rule):
    for line in BROKEN[rule.what]:
        text = f"first\n{line}\n"
        (found,) = one_place.broken(rule, "plugins/modules/somewhere.py", text)
        assert found.startswith("plugins/modules/somewhere.py:2: ") and rule.instead in found
        assert one_place.broken(rule, rule.places.split()[0].replace("*", "x"), text) == []
