# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules repeat is said once, in plugins/doc_fragments."""

from __future__ import annotations

import ast
import collections
import pathlib

import pytest
import yaml
from ansible_collections.multinet.flannel.plugins.doc_fragments import attributes

MODULES = sorted((pathlib.Path(__file__).parents[4] / "plugins" / "modules").glob("*.py"))


# What Ansible knows of every module, or reads itself
COMMON = {"changed", "diff", "exception", "failed", "msg", "skipped", "warnings"}


def documentation(path, name="DOCUMENTATION"):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return yaml.safe_load(node.value.value)
    raise AssertionError(f"{path.name} has no {name}")


def calls(path, name):
    """Each call of a function or a method."""
    return [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and name in (getattr(node.func, "attr", ""), getattr(node.func, "id", ""))
    ]


def results(path, method):
    """The names that each call of exit_json or fail_json gives; "**" if there are more."""
    return [{keyword.arg or "**" for keyword in call.keywords} for call in calls(path, method)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_check_mode_and_diff_mode_are_described_by_the_fragment(path):
    found = documentation(path)
    fragments = found["extends_documentation_fragment"]
    assert "multinet.flannel.attributes" in fragments
    said = found.get("attributes", {})
    assert not any("description" in attribute for attribute in said.values())
    if "multinet.flannel.attributes.info" not in fragments:
        described = yaml.safe_load(attributes.ModuleDocFragment.DOCUMENTATION)["attributes"]
        assert {name for name in said if "support" in said[name]} == set(described)


def test_no_two_modules_describe_the_same_option_word_for_word():
    places = collections.defaultdict(list)
    for path in MODULES:
        for name, option in documentation(path).get("options", {}).items():
            places[name, str(option)].append(path.stem)
    assert [(key[0], modules) for key, modules in places.items() if len(modules) > 1] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_what_a_module_returns_is_documented_and_the_other_way_round(path):
    described = documentation(path, "RETURN") or {}
    success, failure = results(path, "exit_json"), results(path, "fail_json")
    assert set().union(*success, *failure) - COMMON - {"**"} <= set(described)
    for name, value in described.items():
        given = {"always": [*success, *failure], "success": success, "failure": failure}
        assert all({name, "**"} & each for each in given.get(value["returned"], [])), name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_an_option_that_is_required_has_no_default(path):
    """Ansible would never miss it."""
    options = documentation(path).get("options", {})
    for module in calls(path, "AnsibleModule"):
        rules = next((one.value for one in module.keywords if one.arg == "required_if"), None)
        for dummy, dummy, names in ast.literal_eval(rules) if rules else []:
            assert not [name for name in names if "default" in options[name]]
