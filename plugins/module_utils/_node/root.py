# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a module has root's rights on its host, and finds root's programs. Runs on hosts."""

from __future__ import annotations

import getpass
import os
from collections.abc import MutableMapping

# Where systems keep the programs that are root's
_PLACES = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def prepare() -> str:
    """Make root's programs be found; return problem()."""
    complete_path()
    return problem()


def complete_path(environ: MutableMapping[str, str] | None = None) -> None:
    """Have root's programs be found, such as nft: su, by which a user may have become root, leaves
    that user's PATH as it is. environ: by default this process's.
    """
    environ = os.environ if environ is None else environ
    there = [one for one in environ.get("PATH", os.defpath).split(os.pathsep) if one]
    more = [one for one in _PLACES if one not in there]
    environ["PATH"] = os.pathsep.join([*there, *more])


def problem() -> str:
    """Return a sentence if the user is not root, who alone sees all of the host, else ""."""
    if os.geteuid() == 0:
        return ""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # no such user on the host
        name = str(os.geteuid())
    return sentence("this host", name)


def unread(error: Exception) -> str:
    """Return why something could not be read; of the system's errors, which name no remedy, with
    what to do.
    """
    remedy = ". Is the disk full or damaged? Look at that path as root, then run this again."
    return f"{error}{remedy if isinstance(error, OSError) else ''}"


def sentence(hosts: str, user: str) -> str:
    """Return the sentence for hosts on which Ansible works as a user who is not root."""
    return (
        f"Ansible works on {hosts} as {user}, who is not root. Set ansible_become: true for it, and"
        " use --ask-become-pass if sudo needs a password."
    )
