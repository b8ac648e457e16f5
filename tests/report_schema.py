# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/report.schema.json, stricter than for its readers: in tests a key that it does not name is
an error.
"""

from __future__ import annotations

import json
import pathlib

import jsonschema

PATH = pathlib.Path(__file__).resolve().parents[1] / "docs" / "report.schema.json"


def _closed(part):
    """Return the part of a schema in which no object has keys that are not named."""
    if isinstance(part, list):
        return [_closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    closed = {key: _closed(value) for key, value in part.items()}
    if "properties" in part and part.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def problems(text):
    """Return what is wrong with the text of a report.json, as sentences."""
    schema = json.loads(PATH.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    found = jsonschema.Draft202012Validator(_closed(schema)).iter_errors(json.loads(text))
    return [f"{error.json_path}: {error.message[:300]}" for error in found]
