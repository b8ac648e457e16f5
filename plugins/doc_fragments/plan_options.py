# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that a declaration is checked against and derived with, from the table of them."""

from __future__ import annotations

import json

from ansible_collections.multinet.flannel.plugins.module_utils._plan import argument_spec


class ModuleDocFragment:
    """What module network_plan and filter plan take as C(options)."""

    # annotated, because ansible-test takes what a plain assignment gives for the text itself
    DOCUMENTATION: str = json.dumps(
        {
            "options": {
                "options": {
                    "description": [
                        "What the declaration is checked against and derived with. All keys are"
                        " optional."
                    ],
                    "type": "dict",
                    "suboptions": argument_spec.documentation(),
                }
            },
            "requirements": ["netaddr >= 1.3, in the controller's Python"],
        }
    )
