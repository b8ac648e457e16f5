# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Executables of a host: what is there, and installing verified ones by rename."""

from __future__ import annotations

import contextlib
import os
import stat

from .._cni import files
from .sums import ArtifactError, sha256_of, verify_sum

MODE = "0755"


def look(path):
    """Return {path, sha256, mode, device, free}: sha256 and mode are None when there is nothing,
    sha256 also for what is no regular file.
    """
    parent = os.path.dirname(path)
    while not os.path.isdir(parent):
        parent = os.path.dirname(parent)
    space = os.statvfs(parent)
    state = {
        "path": path,
        "sha256": None,
        "mode": None,
        "device": os.stat(parent).st_dev,
        "free": space.f_bavail * space.f_frsize,
    }
    try:
        found = os.stat(path)
        state["mode"] = f"{stat.S_IMODE(found.st_mode):04o}"
        if stat.S_ISREG(found.st_mode):
            state["sha256"] = sha256_of(path)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}.") from error
    return state


def differs(state, sha256):
    """Return whether an executable (a state of look()) has to be changed to have the sum
    ``sha256``; None asks for nothing.
    """
    return sha256 is not None and (state["sha256"] != sha256 or state["mode"] != MODE)


def install(wanted):
    """Install each of ``wanted`` ({path, sha256, src}), all or none, and set the mode of what is
    already right. Raises ArtifactError.
    """
    staged = []
    path = None
    try:
        for item in wanted:
            path = item["path"]
            if os.path.isdir(path):
                raise ArtifactError(f"{path} is a directory, not an executable; move it away.")
            if look(path)["sha256"] == item["sha256"]:
                source = path  # only its mode is wrong
            elif item["src"]:
                source = item["src"]
            else:
                raise ArtifactError(
                    f"{path} does not have the sum {item['sha256']}, and nothing was given to"
                    " install it from."
                )
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            with open(source, "rb") as stream:
                staged.append((files.stage(path, stream, int(MODE, 8)), path))
            verify_sum(
                staged[-1][0],
                item["sha256"],
                "the controller",
                f"What arrived on the host for {path}",
            )
        files.commit(staged)
    except (OSError, ArtifactError) as error:
        for temporary, _path in staged:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(
            f"{path} could not be installed: {error.strerror or error}. Nothing was changed."
        ) from error
