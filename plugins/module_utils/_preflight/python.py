# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python that is to run the collection's own programs on a host, multinet_python: whether it
can. It need not be the one that runs this.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NamedTuple

LEAST = (3, 9)
# What units with ProtectHome and PrivateTmp do not see
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
_ASK = "import sys; print(*sys.version_info[:3]); print(sys.base_prefix)"
_SECONDS = 30


class Seen(NamedTuple):
    """What is at the path."""

    paths: tuple[str, ...] = ()  # where it leads, and where its standard library is
    version: tuple[int, ...] = ()
    problem: str = ""  # why there is no telling, a clause


def look(path: str) -> Seen:
    """Return what is at a path."""
    real = os.path.realpath(path)
    if path == sys.executable:
        return Seen((real, sys.base_prefix), tuple(sys.version_info[:3]))
    if not os.path.exists(path):
        return Seen(problem="is not on this host")
    try:
        done = subprocess.run(
            [path, "-I", "-S", "-c", _ASK],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
        version, prefix = done.stdout.decode("utf-8", "replace").splitlines()[:2]
        return Seen((real, prefix), tuple(int(part) for part in version.split()))
    except OSError as error:
        return Seen(problem=f"cannot be run on this host ({error.strerror})")
    except (subprocess.TimeoutExpired, ValueError):
        return Seen(problem="does not say on this host which Python it is")


def problem(path: str, seen: Seen) -> str:
    """Return why a Python cannot run the programs, as a sentence; "" where it can.

    path: as it is written in their first lines and in their units; seen: of look().
    """
    why = _why(path, seen)
    if not why:
        return ""
    least = ".".join(str(part) for part in LEAST)
    return (
        f"The collection's own programs run with {path} (multinet_python, by default what runs"
        f" Ansible's modules), which {why}. Set multinet_python to the absolute path of the"
        f" system's own Python, {least} or newer."
    )


def _why(path: str, seen: Seen) -> str:
    """Return a clause, "" for nothing."""
    if not path.startswith("/") or any(one.isspace() for one in path):
        return "is no absolute path without blanks"
    if seen.problem:
        return seen.problem
    if seen.version < LEAST:
        return f"is Python {'.'.join(str(part) for part in seen.version)} on this host"
    for one in (path, *seen.paths):
        for directory in HIDDEN:
            if one.startswith(directory + "/"):
                where = "is" if one == path else f"needs {one}, which is"
                return f"{where} below {directory}, where units of systemd see nothing"
    return ""
