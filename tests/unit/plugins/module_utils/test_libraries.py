# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user reads where a package is missing."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils import _libraries

ROOT = pathlib.Path(__file__).resolve().parents[4]
PACKAGE = "ansible_collections.multinet.flannel."


def test_the_sentence_names_the_package_its_python_and_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "netaddr", None)
    with pytest.raises(_libraries.MissingLibraryError) as caught:
        _libraries.need("netaddr")
    sentence = str(caught.value)
    assert sentence.startswith("The Python package netaddr is missing on the controller (")
    assert f"install it with `{sys.executable} -m pip install 'netaddr>=1.3'`" in sentence
    assert sentence.endswith("dependencies of the execution environment.") and "\n" not in sentence


@pytest.mark.parametrize("name", sorted(_libraries.OLDEST))
@pytest.mark.parametrize("version", ["0.8.0", "0.7", "0.9rc1"])
def test_a_package_that_is_too_old_is_named_with_its_version(name, version, tmp_path, monkeypatch):
    """Debian 12 has netaddr 0.8.0 and cryptography 38.0.4."""
    _libraries.need(name)
    about = tmp_path / f"{name}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(_libraries, "_version", _libraries._version.__wrapped__)
    with pytest.raises(_libraries.MissingLibraryError) as caught:
        _libraries.need(name)
    newer = f"on the controller is {version}, and {_libraries.OLDEST[name]} or newer is needed"
    assert newer in str(caught.value) and "-m pip install" in str(caught.value)


def test_the_execution_environment_has_what_is_needed():
    wanted = (ROOT / "meta" / "ee-requirements.txt").read_text(encoding="utf-8").split()
    assert wanted == [f"{name}>={version}" for name, version in sorted(_libraries.OLDEST.items())]


@pytest.mark.parametrize(
    "code",
    [
        "from {0}plugins.filter import plan as it; it.plan_filter([])",
        "from {0}plugins.filter import planned_files as it;"
        " it.planned_files({{'networks': [], 'isolated': [], 'allowed': []}}, 'isolation',"
        " {{'node_addresses': [], 'docker_network': ''}})",
    ],
)
def test_filters_say_it_in_one_sentence(code, tmp_path):
    script = (
        "import sys; sys.modules['netaddr'] = None\n"
        "from ansible.errors import AnsibleFilterError\n"
        f"try: exec({code.format(PACKAGE)!r})\n"
        "except AnsibleFilterError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("The Python package netaddr is missing on the controller (")
