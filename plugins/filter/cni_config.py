# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CNI configuration files of a host, from the plan."""

from __future__ import annotations

import json

NETWORK_DIRECTORY = "/etc/cni/multinet/net.d"


def cni_config_files(plan, conf_dir):
    """Return the files of module node_files (list of dict): one conflist per network of plan, then
    the host's own in conf_dir.
    """
    contents = [
        (f"{NETWORK_DIRECTORY}/{network['name']}.conflist", network["cni_conflist"])
        for network in plan["networks"]
    ]
    contents.append((conf_dir + "/00-multinet.conf", plan["cni_conf"]))
    return [
        {"path": path, "content": json.dumps(content, indent=2) + "\n", "mode": "0644"}
        for path, content in contents
    ]


class FilterModule:
    """Filters about CNI configuration."""

    def filters(self):
        return {"cni_config_files": cni_config_files}
