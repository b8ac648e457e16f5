# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.multinet.flannel.plugins.module_utils._kube_client import (
    client,
    kubeconfig,
)


class CutOff(client.Client):
    """Is refused, tries again, and has no time left for that."""

    tried = False

    def _exchange(self, *dummy):
        if not self.tried:
            self.tried = True
            raise ConnectionRefusedError
        self.deadline = 0.0
        raise TimeoutError


def test_a_try_that_is_cut_off_hides_no_reason():
    api = CutOff(kubeconfig.Access("https://127.0.0.1:6443"))
    with pytest.raises(client.ApiError, match="connection refused"):
        api.get("/version")
