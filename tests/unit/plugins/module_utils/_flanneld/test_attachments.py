# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.multinet.flannel.plugins.module_utils._flanneld import attachments
from ansible_collections.multinet.flannel.plugins.module_utils._meta import state as states


def test_two_networks_at_once_leave_a_container_with_the_third_alone(tmp_path):
    plugin = tmp_path / "bin" / "quiet"
    plugin.parent.mkdir()
    plugin.write_text("#!/bin/sh\n")
    plugin.chmod(0o755)
    delegates = [{"name": "multinet-" + name, "cniVersion": "0.4.0", "plugins": [{"type": "quiet"}]} for name in ("blue", "red", "green")]
    store = states.Store(str(tmp_path / "state"))
    attached = [states.Attached(raw, "net%d" % number) for number, raw in enumerate(delegates)]
    store.write(states.State("multinet", "pod", "eth0", "/run/netns/gone", [str(plugin.parent)], 10.0, attached))

    steps = [
        step for name in ("multinet-red", "multinet-green")
        for step in attachments.detach_steps(name, str(plugin.parent), store.directory, str(tmp_path / "cache"))
    ]
    assert [step.what for step in steps] == ["net1 of container pod", "net2 of container pod"]
    for step in steps:
        step.act()
    assert [one.raw["name"] for one in store.read("pod", "eth0").attached] == ["multinet-blue"]
