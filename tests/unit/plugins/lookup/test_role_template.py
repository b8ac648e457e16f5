# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup role_template: what the builtin one returns, without a copy of all variables."""

from __future__ import annotations

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import lookup_loader
from ansible.template import Templar
from ansible_collections.multinet.flannel.plugins.lookup.role_template import LookupModule


class NeverCopied:
    """A value of a variable that nobody may copy."""

    def __deepcopy__(self, memo):
        raise AssertionError("the value of a variable was copied")


def test_the_text_is_that_of_the_builtin_lookup(tmp_path, monkeypatch):
    template = tmp_path / "unit.j2"
    template.write_text(
        "{{ ansible_managed | comment }}\n{% if port %}\nPort={{ port }}\n{% endif %}\n\n"
    )
    variables = {"port": 8472}
    loader = DataLoader()
    templar = Templar(loader=loader, variables=variables)
    # by its short name, for no collections are set up here
    builtin = lookup_loader.get("template", loader=loader, templar=templar)
    monkeypatch.setattr(lookup_loader, "get", lambda name, **dummy: builtin)
    ours = LookupModule(loader=loader, templar=templar)
    ours._load_name = "multinet.flannel.role_template"
    text = ours.run([str(template)], dict(variables, facts=NeverCopied()))
    assert text == builtin.run([str(template)], variables)
    assert "Port=8472\n" in text[0]
