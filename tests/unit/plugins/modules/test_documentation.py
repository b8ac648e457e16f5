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


def documentation(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "DOCUMENTATION":
            return yaml.safe_load(node.value.value)
    raise AssertionError(f"{path.name} has no DOCUMENTATION")


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
