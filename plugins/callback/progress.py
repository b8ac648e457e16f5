# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: progress
type: notification
author: multinet.flannel authors (@multinet-flannel)
version_added: 0.1.0
short_description: Write the progress of hosts to a file, one line of JSON for each step
description:
  - This is for an installer that starts C(ansible-playbook) and shows the progress to its users.
  - Each line has C(time) (seconds since 1970), C(host), C(state) (INSTALLING, SUCCESSFUL or ERROR),
    C(percentage) (0 to 1, of the whole run), C(message) and C(severity) (INFO, WARNING or ERROR).
  - The last line has C(end), and C(failed), the hosts that failed or could not be reached. Without
    this line, the playbook was killed. The exit code decides whether the playbook succeeded.
  - In check mode nothing is written. If the file cannot be written, there is a warning.
requirements:
  - Enable it with C(callbacks_enabled = multinet.flannel.progress) in C(ansible.cfg), or with the
    environment variable C(ANSIBLE_CALLBACKS_ENABLED).
options:
  file:
    description: The path of the file. An existing file is overwritten.
    type: path
    required: true
    env: [{name: MULTINET_PROGRESS_FILE}]
    ini: [{section: callback_multinet_progress, key: file}]
"""

import json
import time
from typing import IO, Any

from ansible_collections.multinet.flannel.plugins.plugin_utils._progress_callback import (
    ProgressCallback,
)


class CallbackModule(ProgressCallback):
    """See DOCUMENTATION."""

    CALLBACK_NAME = "multinet.flannel.progress"
    CALLBACK_TYPE = "notification"
    CALLBACK_NEEDS_ENABLED = True

    _file: IO[str] | None = None

    def begin(self, variables: dict[str, Any]) -> None:
        """Begin the file."""
        path = self.get_option("file")
        try:
            # it is open until the playbook ends
            self._file = open(path, "w", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            self._display.warning(f"The progress is not written to {path}: {error.strerror}")

    def tell(self, telling: dict[str, Any]) -> None:
        """Write a line."""
        if self._file:
            try:
                self._file.write(json.dumps({"time": round(time.time(), 3), **telling}) + "\n")
                self._file.flush()
            except OSError as error:
                self._display.warning(f"The progress is not written any more: {error.strerror}")
                self._file = None

    def finish(self, failed: list[str]) -> None:
        """Write the last line."""
        self.tell({"end": True, "failed": failed})
