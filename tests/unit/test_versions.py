# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo and the tests run is what is installed by default: one table says the version."""

from __future__ import annotations

import importlib.util
import pathlib
import re
import sys

import pytest
import yaml
from ansible_collections.multinet.flannel.plugins.plugin_utils._artifacts import releases

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEFAULTS = releases.default_versions(releases.load_table())
# It cannot be had as a Go module under its present name, github.com/flannel-io/cni-plugin. This is
# the last version of the same program before it moved.
OTHERS = {"flannel-cni": "0.9.1"}
INVENTORIES = ("inventories/demo", "molecule/shared/inventory")


@pytest.fixture(scope="module", name="setup")
def _setup():
    spec = importlib.util.spec_from_file_location("setup", ROOT / "scripts" / "setup.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # typing.NamedTuple looks there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("component", DEFAULTS)
def test_the_default_version_is_built(setup, component):
    version = OTHERS.get(component, DEFAULTS[component])
    assert setup.source_of(component).version == version, f"tests/upstream/{component}/go.mod"


@pytest.mark.parametrize("inventory", INVENTORIES)
def test_inventories_of_what_was_built_name_only_the_others(inventory):
    text = (ROOT / inventory / "group_vars" / "all.yml").read_text(encoding="utf-8")
    found = re.findall(r"\bmultinet_versions: (.*)", text)
    assert [yaml.safe_load(value) for value in found] == [OTHERS]


def test_programs_get_the_names_that_the_table_has(setup):
    for component, entry in releases.load_table().items():
        renamed = setup.source_of(component).renamed.values()
        assert set(renamed) <= set(entry["executables"])
