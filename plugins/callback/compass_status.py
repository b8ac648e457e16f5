# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: compass_status
type: notification
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: Report the progress of hosts to Compass-deck of Compass4nfv
description:
  - Posts the state of each host to the deck while roles run and at the end. It contains the
    completed part of the playbook, the role and the task, or the error.
  - If the deck is down or slow, or refuses a request, the playbook does not fail and does not wait.
    There is a warning at the end.
  - If a playbook is killed or ends before its summary, the state is C(ERROR). If it cannot be
    loaded (a syntax error, a missing role), nothing is posted; the caller sees the exit code.
  - The deck uses the last state of any host as that of the cluster. So if a host fails, no host is
    posted as C(SUCCESSFUL).
  - In check mode nothing is posted.
requirements:
  - Enable it with C(callbacks_enabled = multinet.flannel.compass_status) in C(ansible.cfg), or with
    the environment variable C(ANSIBLE_CALLBACKS_ENABLED).
options:
  url:
    description: URL of the deck's API.
    type: str
    default: http://compass-deck:80/api
    env: [{name: COMPASS_STATUS_URL}]
    ini: [{section: callback_compass_status, key: url}]
  email:
    description: The user of the deck.
    type: str
    default: ""
    env: [{name: COMPASS_STATUS_EMAIL}]
    ini: [{section: callback_compass_status, key: email}]
  password:
    description: The password of O(email).
    type: str
    default: ""
    env: [{name: COMPASS_STATUS_PASSWORD}]
    ini: [{section: callback_compass_status, key: password}]
  cluster:
    description: The cluster's name in the deck. By default the value of C(compass_cluster) or
      C(cluster_name) in the inventory.
    type: str
    default: ""
    env: [{name: COMPASS_STATUS_CLUSTER}]
    ini: [{section: callback_compass_status, key: cluster}]
  final:
    description: Whether this run is the last of the installation, so that its success is the
      success of the cluster. With C(false), hosts stay C(INSTALLING).
    type: bool
    default: true
    env: [{name: COMPASS_STATUS_FINAL}]
    ini: [{section: callback_compass_status, key: final}]
  timeout:
    description: How long a request may take, in seconds. The playbook does not wait for it.
    type: float
    default: 5
    env: [{name: COMPASS_STATUS_TIMEOUT}]
    ini: [{section: callback_compass_status, key: timeout}]
  patience:
    description: How long the end of the playbook waits for the deck, in seconds. States that are
      not posted by then are posted in the background, for up to a minute.
    type: float
    default: 2
    env: [{name: COMPASS_STATUS_PATIENCE}]
    ini: [{section: callback_compass_status, key: patience}]
"""

import contextlib
import json
import os
import subprocess
import sys
from typing import Any

from ansible_collections.multinet.flannel.plugins.plugin_utils._compass import deck
from ansible_collections.multinet.flannel.plugins.plugin_utils._progress_callback import (
    ProgressCallback,
)


class CallbackModule(ProgressCallback):
    """See DOCUMENTATION."""

    CALLBACK_NAME = "multinet.flannel.compass_status"
    CALLBACK_TYPE = "notification"
    CALLBACK_NEEDS_ENABLED = True

    def begin(self, variables: dict[str, Any]) -> None:
        """Start the program that speaks to the deck; without it, nothing is told."""
        self._program: subprocess.Popen[str] | None = None
        cluster = (
            self.get_option("cluster")
            or (variables.get("compass_cluster") or {}).get("name")
            or variables.get("cluster_name")
        )
        if not cluster:
            self._display.warning(
                "Nothing is reported to the deck: it is not known which cluster this is. Set"
                " COMPASS_STATUS_CLUSTER to its name."
            )
            return
        settings = {
            "cluster": str(cluster),
            **{name: self.get_option(name) for name in ("url", "email", "password", "timeout")},
        }
        try:
            self._program = subprocess.Popen(
                [sys.executable, "-I", deck.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,  # ctrl-C ends the playbook, and this is to tell it
            )
        except OSError as error:
            self._display.warning(f"Nothing is reported to the deck: {error}")
            return
        if self._program.stdin:
            os.set_blocking(self._program.stdin.fileno(), False)
        self.tell(settings)

    def final(self) -> bool:
        """Return the option."""
        return bool(self.get_option("final"))

    def tell(self, telling: dict[str, Any]) -> None:
        """Hand a telling on; what does not fit into the pipe, or has no reader, is lost."""
        if self._program and self._program.stdin:
            with contextlib.suppress(OSError):
                self._program.stdin.write(json.dumps(telling) + "\n")
                self._program.stdin.flush()

    def finish(self, failed: list[str]) -> None:
        """The end is told; wait a little for the deck, and say what went wrong."""
        if not self._program:
            return
        self.tell({"end": True})
        try:
            problem = self._program.communicate(timeout=self.get_option("patience"))[0].strip()
        except subprocess.TimeoutExpired:
            problem = "this tries again for one more minute"
        except OSError as error:
            problem = str(error)
        if problem:
            self._display.warning(
                f"The end of this run could not be reported to the deck: {problem}"
            )
