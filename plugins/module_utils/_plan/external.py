# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entry that stands for the network of another CNI."""

from __future__ import annotations

import re
from typing import Any

from . import subnets
from .network import check_name
from .options import Options
from .schema import EXTERNAL_KEYS, FAMILIES, NETWORK_KEYS, OWN_CONF
from .sentences import Report, nearest, show

_CONF_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\.(conflist|conf|json)")


def check(declared: dict[Any, Any], report: Report, options: Options) -> dict[str, Any]:
    """Return the entry as check.check() describes it.

    A value that is wrong is reported and becomes null.
    """
    for key in declared:
        if key in EXTERNAL_KEYS:
            continue
        if key in NETWORK_KEYS:
            report.wrong(
                f"{key} cannot be set for a network of another CNI; remove it, or write default:"
                " true for a network of this collection"
            )
        else:
            report.wrong(
                f"{show(key)} is not a key of an external network; {nearest(key, EXTERNAL_KEYS)}"
            )
    ranges = {family.cidr: subnets.cidr(declared, family, report) for family in FAMILIES}
    directory = options.values["cni_conf_dir"]
    conf = _conf(declared.get("conf"), directory, report)
    return {
        "name": check_name(declared, report),
        **{key: None if found is None else str(found) for key, found in ranges.items()},
        "conf": conf,
        "interface": "eth0",
        "file": f"{directory}/{conf}" if conf else directory,
    }


def _conf(value: Any, directory: str, report: Report) -> str | None:
    if value is None:
        return None
    if value == OWN_CONF:
        report.wrong(
            f"conf is {show(value)}, the file that this collection writes itself; write the name of"
            " the other CNI's file, for example 10-calico.conflist"
        )
        return None
    if not (isinstance(value, str) and _CONF_FILE.fullmatch(value)):
        report.wrong(
            f"conf is {show(value)}; write the name of a file in {directory} that ends in"
            " .conflist, .conf or .json, without the directory"
        )
        return None
    return str(value)
