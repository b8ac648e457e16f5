# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error of the plan."""

from __future__ import annotations


class PlanError(ValueError):
    """A declaration that cannot be carried out.

    `errors` holds one sentence for each thing that is wrong; str() joins them, one on a line.
    """

    def __init__(self, errors: list[str]) -> None:
        self.errors = list(errors)
        super().__init__("\n".join(self.errors))
