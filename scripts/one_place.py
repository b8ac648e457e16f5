# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check that what has one place stands nowhere else: each rule is a line of data."""

from __future__ import annotations

import fnmatch
import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent

LOOKED_AT = "plugins/* roles/* playbooks/* scripts/* molecule/* benchmarks/* tests/*.py ansible.cfg"
# A test says for itself what it expects, and documentation shows it.
NOT_LOOKED_AT = (
    "tests/unit/* tests/integration/test_* scripts/one_place.py"
    " *.md plugins/filter/*.yml plugins/doc_fragments/*"
)
DOCUMENTATION = re.compile(
    r'^(DOCUMENTATION|EXAMPLES|RETURN) = r?""".*?"""', re.MULTILINE | re.DOTALL
)


class Rule(NamedTuple):
    """What has one place: a regular expression, where it may stand (globs), and what to do."""

    what: str
    pattern: str
    places: str
    instead: str


RULES = [
    Rule(
        "what the annotations of leases begin with",
        r"[\"'}\w]\.multinet\.flannel[\"'/]",
        "plugins/module_utils/_names.py molecule/*",
        "use LEASES of _names.py",
    ),
    Rule(
        "the plugins whose work the meta-plugin does",
        r"[\"']flannel[\"'], [\"']tuning[\"']",
        "plugins/module_utils/_names.py",
        "use IN_PROCESS or NO_EXECUTABLE of _names.py",
    ),
    Rule(
        "where attachments are recorded",
        r"/var/lib/cni/multinet\b",
        "plugins/module_utils/_names.py"
        # one file that runs alone
        " roles/isolation/files/isolation.py"
        # what a reset removes
        " roles/reset/vars/main.yml"
        " molecule/* tests/*",
        "use ATTACHMENTS of _names.py, or one of the two",
    ),
    Rule(
        "a file put into place by rename",
        r"\bos\.(rename|replace|renames)\(|\bshutil\.move\(",
        "plugins/module_utils/_cni/files.py"
        # what is put aside under another name, and a whole directory
        " plugins/module_utils/_meta/log.py plugins/module_utils/_meta/state.py"
        " plugins/plugin_utils/_artifacts/store.py plugins/module_utils/_node/adopted.py"
        # one file that runs alone, in memory
        " roles/isolation/files/isolation.py",
        "use _cni/files.py, which syncs, keeps mode and owner, and leaves nothing half written",
    ),
    Rule(
        "a template of a role",
        r"lookup\('ansible\.builtin\.template'",
        "plugins/lookup/role_template.py molecule/*",
        "use multinet.flannel.role_template, which does not copy all variables for it",
    ),
    Rule(
        "the kernel's name of an architecture",
        r"[\"'](x86_64|aarch64|i[36]86|armv[67]l)[\"']",
        "plugins/module_utils/_architectures.py",
        "use _architectures.py, which has both names of each, and which hosts may have",
    ),
    Rule(
        "the version of a component",
        r"\b(flannel|flannel-cni|cni-plugins|etcd)[\"']?: *[\"']?v?[0-9]+\.[0-9]+\.[0-9]+"
        r"|\b(etcd|flannel)_version: *[\"']?[0-9]",
        "plugins/plugin_utils/_artifacts/releases.yml"
        # flannel's CNI plugin, whose sources are to be had as they were before it moved
        " molecule/shared/inventory/group_vars/all.yml inventories/demo/group_vars/all.yml"
        # etcd's earlier versions, as Debian has them, and what hosts are upgraded from
        " molecule/mixed_arch/inventory/group_vars/test_hosts.yml"
        " molecule/upgrade/inventory/group_vars/test_hosts.yml",
        "the default is the first version of its component in releases.yml",
    ),
    Rule(
        "a sha256 sum",
        r"\b[0-9a-f]{64}\b",
        "plugins/plugin_utils/_artifacts/releases.yml",
        "sums stand with their versions in releases.yml",
    ),
    Rule(
        "the number of a leak class",
        r"\bclass[\"']?\]? *(=|==|!=|:) *[0-9]+|CLASSES\[[0-9]+\]",
        "plugins/module_utils/_observe/leaks.py",
        "name the class as leaks.py does",
    ),
    Rule(
        "a fact as a variable of its own",
        r"\bansible_(default_ipv[46]|architecture|distribution\w*|hostname|nodename|fqdn|os_family"
        r"|kernel|all_ipv[46]_addresses|processor\w*|python_version|service_mgr|interfaces|env)\b",
        "ansible.cfg",
        "write ansible_facts['...'], which is there where facts are not injected",
    ),
    Rule(
        "a port",
        r"(?<!10\.0\.0\.1:)\b(2379|2380|1025[34]|47470)\b",
        "plugins/module_utils/_ports.py"
        # what users set and are told, which a test compares with _ports.py
        " roles/multinet/defaults/main/settings.yml roles/verify/defaults/main.yml"
        " roles/*/meta/argument_specs.yml"
        # looked at as a user does, and servers of tests
        " molecule/* tests/*",
        "use _ports.py, and in roles multinet_subnet_server_port",
    ),
    Rule(
        "the Python of a host",
        r"ansible_facts\['python'\]\[|\b(?!multinet)\w+_python: |/usr/bin/python3",
        "roles/multinet/defaults/main/settings.yml"
        # of the test hosts
        " ansible.cfg benchmarks/meta_plugin.py molecule/shared/kubernetes/*",
        "use multinet_python",
    ),
]


def files() -> list[pathlib.Path]:
    """Return the files of the repository that rules look at."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [
        ROOT / name
        for name in listed.stdout.splitlines()
        if _matches(name, LOOKED_AT) and not _matches(name, NOT_LOOKED_AT)
    ]


def _matches(name: str, globs: str) -> bool:
    return any(fnmatch.fnmatch(name, glob) for glob in globs.split())


def broken(rule: Rule, name: str, text: str) -> list[str]:
    """Return a sentence for each line of a file that breaks the rule.

    name: str, the file's path in the repository; text: str, its content.
    """
    if _matches(name, rule.places):
        return []
    text = DOCUMENTATION.sub(lambda part: "\n" * part.group().count("\n"), text)
    return [
        f"{name}:{number}: {rule.what} (`{found.group()}`): {rule.instead}."
        for number, line in enumerate(text.splitlines(), 1)
        if (found := re.search(rule.pattern, line))
    ]


def main() -> int:
    """Print what breaks a rule; return the exit status."""
    found: list[str] = []
    for path in files():
        try:
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            continue
        name = str(path.relative_to(ROOT))
        for rule in RULES:
            found += broken(rule, name, text)
    # A place that is not there any more would let anything pass.
    for rule in RULES:
        found += [
            f"scripts/one_place.py: `{place}`, where {rule.what} may stand, is not there."
            for place in rule.places.split()
            if not any(ROOT.glob(place))
        ]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
