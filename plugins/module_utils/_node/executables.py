# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Executables of a host: what is there, installing verified ones by rename, and whose they are."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import subprocess
from typing import TYPE_CHECKING, Any

from .._cni import files
from . import deployed, executable_file
from .sums import ArtifactError, sha256_of, verify_sum

if TYPE_CHECKING:
    from collections.abc import Iterable

MODE = "0755"
# How long an executable may take to say its version, in seconds
TRIED_FOR = 20
_VERSION = re.compile(r"\bv?([0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.]+)?)\b")
# Which executables the collection installed here: {path: sha256}
RECORD = "/etc/multinet/executables.json"
# What the meta-plugin's own executable is known by (lookup meta_plugin_launchers)
_LAUNCHER = b"# The CNI meta-plugin of multinet.flannel.\n"
# Under which paths it was installed here: one a line
LAUNCHERS = "/etc/multinet/launchers"


def look(path: str) -> dict[str, Any]:
    """Return {path, sha256, mode, device, free}; raise ArtifactError.

    sha256 and mode are None when there is nothing, sha256 also for what is no regular file; device
    and free (bytes) are those of the file system.
    """
    parent = os.path.dirname(path)
    while not os.path.isdir(parent):
        parent = os.path.dirname(parent) or "/"
    space = os.statvfs(parent)
    state: dict[str, Any] = {
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


def tried(path: str, arguments: list[str], architecture: str) -> dict[str, str]:
    """Run an executable that is there to see whether it runs here; return {problem, version}.

    arguments: with which it says its version and ends. architecture: of this host, Go's name.
    problem: a clause such as `is empty`, "" for one that runs. version: the first it says, "" for
    none.
    """
    try:
        problem = executable_file.problem(*executable_file.read(path), architecture)
        # what is right for another host is not run: an emulator may be registered for it
        if problem:
            return {"problem": problem, "version": ""}
        done = subprocess.run(
            [path, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TRIED_FOR,
            check=False,
            # else an old etcd says nothing but that it wants it
            env=dict(os.environ, ETCD_UNSUPPORTED_ARCH=architecture),
        )
    except OSError as error:
        # for want of what runs it, the kernel says of the file itself that it is not there
        reason = error.strerror
        if isinstance(error, FileNotFoundError) and os.path.exists(path):
            reason = "the program or loader that runs it is not on this host"
        return {"problem": f"cannot be run: {reason}", "version": ""}
    except subprocess.TimeoutExpired:
        problem = f"did not end within {TRIED_FOR} s when it was asked for its version"
        return {"problem": problem, "version": ""}
    said = done.stdout.decode("utf-8", "replace")
    if done.returncode < 0 or done.returncode in (126, 127):  # by a signal, or a script's shell
        line = next(iter(said.splitlines()), f"exit status {done.returncode}")
        return {"problem": f"cannot be run: {line}", "version": ""}
    version = _VERSION.search(said)
    return {"problem": "", "version": version.group(1) if version else ""}


def differs(state: dict[str, Any], sha256: str | None) -> bool:
    """Return whether an executable (a state of look()) has to be changed to have a sum.

    None asks for nothing.
    """
    return sha256 is not None and (state["sha256"] != sha256 or state["mode"] != MODE)


def states(
    wanted: Iterable[dict[str, Any]], architecture: str, record: str = RECORD
) -> list[dict[str, Any]]:
    """Return what is at the path of each executable: that of look(), and recorded: whether the
    collection installed one there; replaced: whether somebody has replaced it since; and of tried()
    for those that are there and to be tried. Raises ArtifactError.

    wanted: {path, version_arguments: None for one that is not to be tried} of each. architecture:
    of this host, Go's name.
    """
    ours, found = installed_sums(record), []
    for item in wanted:
        state = look(item["path"])
        path, sha256 = state["path"], state["sha256"]
        state.update(recorded=path in ours, replaced=sha256 != ours.get(path, sha256))
        if item["version_arguments"] is not None and sha256:
            state.update(tried(path, item["version_arguments"], architecture))
        found.append(state)
    return found


def installed_sums(record: str = RECORD) -> dict[str, str]:
    """Return {path: sha256} of the executables that were installed; raise ArtifactError."""
    try:
        with open(record, encoding="utf-8") as stream:
            return dict(json.load(stream))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(
            f"The record of the installed executables, {record}, can't be read ({error}). Remove"
            " it; a reset then keeps these executables, and says so."
        ) from error


def why_not_ours(path: str, ours: dict[str, str]) -> str:
    """Return why an executable that is there is not the collection's, "" for one that is.

    ours: as installed_sums() returns it. Raises ArtifactError.
    """
    if is_launcher_at(path):
        return ""
    if path not in ours:
        return "not installed by the collection"
    if look(path)["sha256"] != ours[path]:
        return "replaced since the collection installed it"
    return ""


def is_launcher(content: bytes) -> bool:
    """Say whether an executable is the meta-plugin's own, of any version of the collection."""
    return _LAUNCHER in content[:512]


def is_launcher_at(path: str) -> bool:
    """Say it of what is at a path; what cannot be read is not."""
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        return is_launcher(stream.read(512))
    return False


def launchers(record: str = LAUNCHERS) -> list[str]:
    """Return the paths under which the meta-plugin was installed here; raise ArtifactError."""
    try:
        return [path for path in (files.read(record) or b"").decode().split("\n") if path]
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{record} cannot be read ({error}); run site again.") from error


def is_missing(record: str = RECORD) -> bool:
    """Say whether there is no record of installed executables: the first install() writes it."""
    return not os.path.exists(record)


def is_lost(record: str = RECORD, networks: str = deployed.PATH) -> bool:
    """Say whether networks are deployed here without a record of the installed executables."""
    return os.path.exists(networks) and is_missing(record)


def install(
    wanted: Iterable[dict[str, Any]], record: str | None = None, ours: Iterable[dict[str, Any]] = ()
) -> None:
    """Install executables, and set the mode of what is already right. None is replaced before all
    have arrived on the host.

    wanted: {path, sha256, src} of each. record: the file that keeps which were installed. ours:
    {path, sha256} of others that are written into it, too, where what is there has that sum. Raises
    ArtifactError.
    """
    wanted = list(wanted)
    staged: list[tuple[str, str]] = []
    path = record or ""
    try:
        if record:
            _remember(record, wanted, ours)
        for item in wanted:
            path = item["path"]
            source = _source(item)
            files.make_directories(os.path.dirname(path))
            with open(source, "rb") as stream:
                staged.append((files.stage(path, stream, int(MODE, 8)), path))
            arrived = f"What arrived on the host for {path}"
            verify_sum(staged[-1][0], item["sha256"], "the controller", arrived)
        files.commit(staged)
    except (OSError, ArtifactError) as error:
        replaced = [done for temporary, done in staged if not os.path.lexists(temporary)]
        for temporary, dummy in staged:
            with contextlib.suppress(OSError):
                files.remove(temporary)
        if isinstance(error, ArtifactError):
            raise
        so_far = f"{', '.join(replaced)} had been replaced" if replaced else "Nothing was changed"
        raise ArtifactError(
            f"{files.target(error) or path} could not be written: {error.strerror or error}."
            f" {so_far}."
        ) from error


def _remember(
    record: str, wanted: Iterable[dict[str, Any]], ours: Iterable[dict[str, Any]]
) -> None:
    """Record what is going to be installed. An entry counts only if the file has that sum."""
    new = {
        item["path"]: item["sha256"]
        for item in wanted
        if look(item["path"])["sha256"] != item["sha256"]
    }
    new.update(
        (item["path"], item["sha256"])
        for item in ours
        if item["sha256"] and look(item["path"])["sha256"] == item["sha256"]
    )
    # that there were none to install is worth a file: without it the next run takes it for lost
    if new or is_missing(record):
        files.make_directories(os.path.dirname(record))
        text = json.dumps({**installed_sums(record), **new}, indent=2, sort_keys=True) + "\n"
        files.write(record, text, 0o644)


def _source(item: dict[str, Any]) -> str:
    """Return the file to install an executable from."""
    path = item["path"]
    if os.path.isdir(path):
        raise ArtifactError(f"{path} is a directory, not an executable; move it away.")
    if look(path)["sha256"] == item["sha256"]:
        return path  # only its mode is wrong
    if not item["src"]:
        raise ArtifactError(
            f"{path} does not have the sum {item['sha256']}, and nothing was given to install it"
            " from."
        )
    return item["src"]
