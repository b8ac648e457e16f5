# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a controller without the internet needs, in a mirror directory: Python wheels, as pip finds
them, and collections, as ansible-galaxy installs them.

The wheels are pip's to choose and to check. The collections are packed from what is installed on
this controller: what carries a site there is what was run here.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from typing import TYPE_CHECKING, Any

import yaml
from ansible_collections.multinet.flannel.plugins.module_utils._cni import files
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import ArtifactError

from . import releases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    # calls a command, returns its exit status and what it printed
    Run = Callable[[list[str]], tuple[int, str]]

FOLDER = "controller"
COLLECTION = "multinet.flannel"
# What pip is told to install at the other end
REQUIREMENTS = "requirements.txt"
_FIRST, _SECOND = "MANIFEST.json", "FILES.json"


def _run(command: list[str]) -> tuple[int, str]:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout


class Controller:
    """The folder controller/ of a mirror directory."""

    def __init__(
        self, directory: str, pip_options: Sequence[str] = (), run: Run | None = None
    ) -> None:
        """pip_options: for pip download, where the other controller has another Python, or another
        machine.
        """
        self.folder = os.path.join(directory, FOLDER)
        self._pip_options = list(pip_options)
        self._run = run or _run

    def missing(self) -> Iterator[tuple[str, str, Callable[[], None]]]:
        """Yield what is not here, or not whole: (name below the mirror, where it comes from in
        words, what brings it).

        Nothing is fetched, and nothing is written. What brings it raises ArtifactError; so does
        this.
        """
        if not self._has_wheels():
            yield f"{FOLDER}/{REQUIREMENTS}", "pip's index, with its wheels", self._fetch_wheels
        for file, begin, content in collections():
            path = os.path.join(self.folder, file)
            if files.read(path) != content:
                bring = functools.partial(self._replace, path, begin, content)
                yield f"{FOLDER}/{file}", "what is installed here", bring

    def _replace(self, path: str, begin: str, content: bytes) -> None:
        """Write a collection, and remove its other versions: of two, none could be installed."""
        _write(path, content)
        for name in os.listdir(self.folder):
            if name.startswith(begin) and name != os.path.basename(path):
                files.remove(os.path.join(self.folder, name))

    def _pip(self, target: str, options: list[str]) -> tuple[int, str]:
        # built at the other end would be what it lacks a compiler for
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
        command += ["--only-binary=:all:", "--dest", target, *options, *self._pip_options]
        return self._run([*command, *_requirements()])

    def _has_wheels(self) -> bool:
        """Return whether pip is content with what is here."""
        if files.read(os.path.join(self.folder, REQUIREMENTS)) != _text_of_requirements():
            return False
        with tempfile.TemporaryDirectory() as work:
            options = ["--isolated", "--no-index", "--find-links", self.folder]
            return self._pip(work, options)[0] == 0

    def _fetch_wheels(self) -> None:
        try:
            os.makedirs(self.folder, exist_ok=True)
        except OSError as error:
            raise _not_written(self.folder, error) from error
        code, output = self._pip(self.folder, [])
        if code:
            said = [line for line in output.splitlines() if line.startswith("ERROR: ")]
            why = releases.shown(" ".join(said or output.splitlines()[-1:]))
            raise ArtifactError(
                f"pip could not download the Python packages for a controller: {why} Correct pip's"
                " own settings, which say where packages come from (PIP_INDEX_URL, pip.conf,"
                " https_proxy), or leave the packages out with mirror_controller: false."
            )
        _write(os.path.join(self.folder, REQUIREMENTS), _text_of_requirements())


def collections() -> Iterator[tuple[str, str, bytes]]:
    """Yield (file name, how the names of all versions begin, archive) of this collection and of
    what it depends on, as installed here.

    Raises ArtifactError.
    """
    wanted, done = [COLLECTION], set()
    while wanted:
        name = wanted.pop(0)
        if name not in done:
            done.add(name)
            manifest, content = archive(_place(name))
            info = manifest["collection_info"]
            wanted += sorted(info["dependencies"] or {})
            begin = "{namespace}-{name}-".format(**info)
            yield f"{begin}{info['version']}.tar.gz", begin, content


def archive(place: str) -> tuple[dict[str, Any], bytes]:
    """Return (manifest, archive) of a collection that is installed in a directory.

    The same files give the same archive. Bundles of collections leave out tests and documents; so
    the list of files is of those that are there. Raises ArtifactError.
    """
    try:
        manifest = json.loads(_whole(place, _FIRST))
        listed = json.loads(_whole(place, _SECOND))
        listed["files"] = [
            one for one in listed["files"] if os.path.exists(os.path.join(place, one["name"]))
        ]
        second = json.dumps(listed, indent=1).encode()
        manifest["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(second).hexdigest()
        members: list[tuple[str, bytes | None]] = [
            (_FIRST, json.dumps(manifest, indent=1).encode()),
            (_SECOND, second),
        ]
        for one in listed["files"]:
            if one["ftype"] == "dir":
                members.append((one["name"], None))
            else:
                content = _whole(place, one["name"])
                if hashlib.sha256(content).hexdigest() != one["chksum_sha256"]:
                    raise ArtifactError(
                        f"{os.path.join(place, one['name'])} was changed since the collection was"
                        " installed. Install it again (ansible-galaxy collection install --force)."
                    )
                members.append((one["name"], content))
        return manifest, _packed(members)
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(
            f"{place} is not a collection that ansible-galaxy installed, so it cannot be put into"
            f" the mirror: {error}. Install its archive (ansible-galaxy collection install), or set"
            " mirror_controller to false."
        ) from error


def _packed(members: list[tuple[str, bytes | None]]) -> bytes:
    """Return the tar of (name, content); None: a directory, which ansible-galaxy looks for."""
    target = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=target, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            member.size, member.mode = len(content or b""), 0o755 if content is None else 0o644
            tar.addfile(member, io.BytesIO(content or b""))
    return target.getvalue()


def _place(name: str) -> str:
    try:
        return next(iter(importlib.import_module(f"ansible_collections.{name}").__path__))
    except ImportError as error:
        raise ArtifactError(
            f"The collection {name}, which {COLLECTION} depends on, is not installed here: install"
            f" it (ansible-galaxy collection install {name}), so that it can be put into the"
            " mirror."
        ) from error


def _requirements() -> list[str]:
    """Return what pip is asked for."""
    meta = os.path.join(_place(COLLECTION), "meta")
    runtime = yaml.safe_load(_whole(meta, "runtime.yml"))
    libraries = _whole(meta, "ee-requirements.txt").decode().split()
    return [f"ansible-core{runtime['requires_ansible']}", *libraries]


def _text_of_requirements() -> bytes:
    return "".join(f"{one}\n" for one in _requirements()).encode()


def _whole(place: str, name: str) -> bytes:
    with open(os.path.join(place, name), "rb") as stream:
        return stream.read()


def _write(path: str, content: bytes) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        files.write(path, content, 0o644)
    except OSError as error:
        raise _not_written(path, error) from error


def _not_written(path: str, error: OSError) -> ArtifactError:
    return ArtifactError(
        f"{path} could not be written on the controller: {error.strerror or error}."
    )
