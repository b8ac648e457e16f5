# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the playbook compass with an inventory of Compass, and see what the deck was told.

Usage: deploy.py INVENTORY
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tests" / "integration"))

import deck_server  # noqa: E402 - found by the line above


def run(program, inventory, *arguments, **environment):
    sources = [HERE.parent / "shared" / "inventory", HERE / "inventory" / "hosts.yml", inventory]
    return subprocess.run(
        [pathlib.Path(sys.executable).parent / program]
        + [f"--inventory={source}" for source in sources]
        + list(arguments),
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def main(inventory):
    listed = json.loads(run("ansible-inventory", inventory, "--list"))
    hosts = list(listed["_meta"]["hostvars"])
    deck = deck_server.Deck(hosts)
    out = run(
        "ansible-playbook",
        inventory,
        "multinet.flannel.compass",
        ANSIBLE_CALLBACKS_ENABLED="multinet.flannel.compass_status",
        COMPASS_STATUS_URL=deck.url,
        COMPASS_STATUS_EMAIL=deck_server.EMAIL,
        COMPASS_STATUS_PASSWORD=deck_server.PASSWORD,
        COMPASS_STATUS_PATIENCE="60",
        no_proxy="127.0.0.1",
    )
    deck.close()
    print(out)
    told = {host: deck.of(host) for host in hosts}
    if any(states != ["INSTALLING", "SUCCESSFUL"] for states in told.values()):
        raise SystemExit(f"the deck was told {told}")
    print("\n".join(map(str, deck.posted)))


if __name__ == "__main__":
    main(sys.argv[1])
