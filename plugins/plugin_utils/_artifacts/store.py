# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mirror directory on the controller: <component>/<version>/linux-<arch>/ with executables (or
upstream's archive) and SHA256SUMS.

The cache of downloads has the same form, so both are read and filled by the same code.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import http.client
import json
import lzma
import os
import shutil
import ssl
import tarfile
import threading
import time
import urllib.error
import zlib
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, cast

from ansible.module_utils.urls import open_url
from ansible_collections.multinet.flannel.plugins.module_utils._cni import files
from ansible_collections.multinet.flannel.plugins.module_utils._node import executable_file
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import (
    ArtifactError,
    sha256_of,
    verify_sum,
)

from . import releases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_ATTEMPTS = 3
# other errors of the system are of the file that is written
_OF_THE_NETWORK = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")  # as tarfile reads them


# open_url() gives the whole process its opener, with this URL's user and password: one at a time.
OPENING = threading.Lock()


def download(url: str, path: str, headers: dict[str, str] | None = None) -> None:
    """Write what a URL gives to a file, after what an earlier try left there; raise ArtifactError,
    OSError. The default way to fetch.

    headers: for who is asked alone, not for where it redirects to.
    """
    if os.path.islink(path):
        os.unlink(path)  # what it leads to is somebody's
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _go_on(url, path, headers or {})
            return
        except _OF_THE_NETWORK as error:
            if attempt == _ATTEMPTS or (
                isinstance(error, urllib.error.HTTPError) and error.code < 500
            ):
                raise ArtifactError(
                    f"{releases.shown(url)} could not be downloaded: {error}. Check the"
                    " address and the proxy, set multinet_release_base_urls to a place that has"
                    " it, or use a mirror directory."
                ) from error
            time.sleep(attempt)


def _go_on(url: str, path: str, asking: dict[str, str]) -> None:
    there = os.path.getsize(path) if os.path.exists(path) else 0
    try:
        with OPENING:
            # asked for by its bytes, it comes as they are
            headers = {"Range": f"bytes={there}-"} if there else {}
            response = open_url(
                url,
                headers={**headers, **asking},
                timeout=60,
                unredirected_headers=[*asking],
                use_netrc=not asking,
            )
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and there:
            os.unlink(path)
            return _go_on(url, path, asking)
        raise
    resumed = response.status == HTTPStatus.PARTIAL_CONTENT
    with contextlib.closing(response), open(path, "ab" if resumed else "wb") as stream:
        begin = stream.tell()
        shutil.copyfileobj(response, stream, 1 << 20)
        length, got = response.headers.get("Content-Length"), stream.tell() - begin
    if length is not None and got < int(length):
        raise http.client.IncompleteRead(b"", int(length) - got)
    return None


def executable_problem(path: str, sha256: str, architecture: str) -> str:
    """Return a sentence when a file with its right sum cannot be executed on an architecture.

    "" also where the sum is wrong: that is told where the file is used. Raises OSError.
    """
    problem = executable_file.problem(*executable_file.read(path), architecture)
    if not problem or sha256_of(path) != sha256:
        return ""
    return (
        f"{path} {problem}. It has the sum beside it, so the wrong file was put there: replace it"
        f" with the one for linux-{architecture}, and put that one's sum into {releases.SUMS_FILE}."
    )


class Store:
    """A mirror directory."""

    def __init__(self, directory: str, fetch: Callable[[str, str], object] = download) -> None:
        """fetch: writes what a URL gives to a path; only fill() calls it."""
        self.directory = directory
        self.fetch = fetch

    def folder(self, wanted: dict[str, Any]) -> str:
        """Return where an artifact or release (with component, version, arch) lies."""
        return releases.folder(
            self.directory, wanted["component"], wanted["version"], wanted["arch"]
        )

    def sums(self, wanted: dict[str, Any]) -> tuple[dict[str, str] | None, tuple[str, str] | None]:
        """Return (sums, origin) as parse_sums() does, (None, None) where there is no SHA256SUMS."""
        place = os.path.join(self.folder(wanted), releases.SUMS_FILE)
        try:
            with open(place, encoding="utf-8") as stream:
                text = stream.read()
        except FileNotFoundError:
            return None, None
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{place} cannot be read: {error}.") from error
        return releases.parse_sums(text, place)

    def find(self, release: dict[str, Any], names: list[str]) -> dict[str, tuple[str, str]]:
        """Return where executables of a release are: {name: (sha256 it is to have, path)}.

        When only upstream's archive is there, the result is {archive: (sha256, path)}. Raises
        ArtifactError.
        """
        folder = self.folder(release)
        what = f"{release['component']} {release['version']} for {release['arch']}"
        make = "Make it with: " + releases.MIRROR_COMMAND % self.directory
        if not os.path.isdir(folder):
            raise ArtifactError(f"The mirror has no {what}: there is no directory {folder}. {make}")
        sums, dummy = self.sums(release)
        if sums is None:
            raise ArtifactError(
                f"The mirror directory {folder} has no {releases.SUMS_FILE}. {make}, or by hand"
                f" there: sha256sum * > {releases.SUMS_FILE}"
            )
        missing = [name for name in names if name not in sums]
        chosen = names
        if missing:
            if release["archive"] not in sums:
                raise ArtifactError(
                    f"{os.path.join(folder, releases.SUMS_FILE)} lists neither {', '.join(missing)}"
                    f" nor {release['archive']}, only {', '.join(sorted(sums)) or 'nothing'}."
                    f" {make}"
                )
            chosen = [release["archive"]]
        for name in chosen:
            if not os.path.isfile(os.path.join(folder, name)):
                raise ArtifactError(
                    f"{os.path.join(folder, name)} is listed in {releases.SUMS_FILE} but is not"
                    f" there. {make}"
                )
        return {name: (sums[name], os.path.join(folder, name)) for name in chosen}

    def verify(self, release: dict[str, Any]) -> bool:
        """Return whether the release is here, whole.

        It is not when it is absent, or was unpacked by fill() and is damaged. Raises ArtifactError
        for a damaged one that somebody put here by hand: it is not ours to replace.
        """
        if not os.path.isdir(self.folder(release)):
            return False
        dummy, origin = self.sums(release)
        if origin is not None and origin != (release["archive"], release["sha256"]):
            return False
        try:
            found = self.find(release, sorted(release["members"]))
            wrong = []
            for name, (sha256, path) in found.items():
                verify_sum(path, sha256, f"the {releases.SUMS_FILE} beside it")
                if name in release["members"]:
                    wrong.append(executable_problem(path, sha256, release["arch"]))
            if any(wrong):
                raise ArtifactError(" ".join(filter(None, wrong)))
        except ArtifactError:
            if origin is None:
                raise
            return False
        return True

    def fill(self, release: dict[str, Any], renew: bool = False, archive: str = "") -> bool:
        """Have the release here, unpacked from the archive with the release's sum; return whether
        something had to be done.

        renew: do not believe what is there. archive: a file of somebody's that is read instead of
        fetching one. Raises ArtifactError.
        """
        try:
            # each release has its own lock, so several are fetched at a time
            os.makedirs(self.directory, exist_ok=True)
            with locked(self.directory, "-{component}-{version}-{arch}".format(**release)):
                sums, origin = self.sums(release)
                there = sums is not None and origin == (release["archive"], release["sha256"])
                files_there = all(
                    os.path.isfile(os.path.join(self.folder(release), name))
                    for name in release["members"]
                )
                if there and files_there and not renew:
                    return False
                self._unpack(release, archive)
                return True
        except OSError as error:
            raise ArtifactError(
                f"{self.folder(release)} could not be written on the controller:"
                f" {error.strerror or error}."
            ) from error

    def _unpack(self, release: dict[str, Any], archive: str) -> None:
        folder = self.folder(release)
        parent, name = os.path.split(folder)
        os.makedirs(parent, exist_ok=True)
        work = os.path.join(parent, f".{name}.tmp")  # alone here: the lock is held
        shutil.rmtree(work, ignore_errors=True)
        os.mkdir(work)
        try:
            if archive:
                _check_archive(archive, release)
                sums = _executables(archive, release, work)
            else:
                sums = self._fetched(release, f"{parent}/.{name}.{release['archive']}.part", work)
            text = releases.format_sums(sums, release["archive"], release["sha256"])
            files.write(os.path.join(work, releases.SUMS_FILE), text, 0o644)
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(work, folder)
            files.sync_directory(parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _fetched(self, release: dict[str, Any], archive: str, work: str) -> dict[str, str]:
        self._fetch(release, archive)
        try:
            return _executables(archive, release, work)
        finally:  # of one that is no good nothing is kept
            os.unlink(archive)

    def _fetch(self, release: dict[str, Any], archive: str) -> None:
        """Have the archive, whole. Of what was cut off, the next run fetches the rest."""
        begun = os.path.exists(archive)
        self.fetch(release["fetch_from"], archive)
        try:
            _check_archive(archive, release)
        except ArtifactError:
            os.unlink(archive)
            if not begun:
                raise
            # its beginning may have been of something else
            self._fetch(release, archive)

    def manifest(self) -> dict[str, Any]:
        """Return what the directory has: {artifacts: [{component, version, architecture, files:
        {name: sha256}, and for what fill() unpacked archive, archive_sha256}]}.
        """
        found = []
        for component, version, machine in _levels(self.directory, 3):
            if not machine.startswith("linux-"):
                continue
            arch = machine[len("linux-") :]
            sums, origin = self.sums({"component": component, "version": version, "arch": arch})
            if sums is not None:
                entry: dict[str, Any] = {
                    "component": component,
                    "version": version,
                    "architecture": arch,
                    "files": sums,
                }
                if origin:
                    entry.update(archive=origin[0], archive_sha256=origin[1])
                found.append(entry)
        return {"artifacts": found}

    def write_manifest(self) -> bool:
        """Bring manifest.json up to date; return whether it had to change; raise ArtifactError."""
        path = os.path.join(self.directory, "manifest.json")
        text = json.dumps(self.manifest(), indent=2, sort_keys=True) + "\n"
        try:
            with locked(self.directory):
                if files.read(path) == text.encode():
                    return False
                files.write(path, text, 0o644)
        except OSError as error:
            raise ArtifactError(
                f"{path} could not be changed: {error.strerror or error}."
            ) from error
        return True


def missing(
    artifacts: Iterable[dict[str, Any]],
    table: dict[str, dict[str, Any]],
    mirror: str | None,
    base_urls: dict[str, str] | None = None,
    sums: dict[str, Any] | None = None,
) -> list[str]:
    """Return a sentence for each artifact, with arch, that cannot be had. Fetches nothing.

    mirror: the directory to take them from; None: upstream's releases, whose sums must be known.
    """
    found = []
    for artifact in artifacts:
        key = (artifact["component"], artifact["version"], artifact["arch"])
        try:
            if mirror is None:
                releases.release(table, *key, base_urls=base_urls, sums=sums)
            else:
                Store(mirror).find(releases.upstream(table, *key), sorted(artifact["executables"]))
        except ArtifactError as error:
            found.append(str(error))
    return found


@contextlib.contextmanager
def locked(directory: str, part: str = "") -> Iterator[None]:
    """Keep out other hosts' forks and other runs while a directory, or a part of it, changes."""
    with open(os.path.join(directory, f".lock{part}"), "w", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _check_archive(archive: str, release: dict[str, Any]) -> None:
    """Raise ArtifactError unless it has the sum that it is to have, saying what came instead."""
    head, dummy = executable_file.read(archive)
    if executable_file.kind(head) == "a web page":
        raise ArtifactError(
            f"{release['url']} is a web page, not an archive; a proxy or a login page sends such"
            " pages. Look at it with a browser; give the proxy or the login what it asks for, or"
            " use another place (multinet_release_base_urls)."
        )
    verify_sum(archive, release["sha256"], release["according_to"], release["url"])
    if not head.startswith(_PACKED):
        raise ArtifactError(
            f"{release['url']} is {executable_file.kind(head)}, not an archive. It has the sum that"
            f" {release['according_to']} demands, so the wrong file was summed."
        )


def _executables(archive: str, release: dict[str, Any], directory: str) -> dict[str, str]:
    """Unpack the executables of a release into a directory; return {name: sha256}."""
    sums = {}
    for executable in _extract(archive, release, directory):
        os.chmod(executable, 0o755)
        problem = executable_file.problem(*executable_file.read(executable), release["arch"])
        if problem:
            raise ArtifactError(
                f"{os.path.basename(executable)} of {release['url']} {problem}. Nothing of it was"
                " kept; find out what was published there."
            )
        sums[os.path.basename(executable)] = sha256_of(executable)
    return sums


def _extract(archive: str, release: dict[str, Any], directory: str) -> Iterator[str]:
    """Yield the path of each executable of the release, unpacked into a directory."""
    try:
        with tarfile.open(archive) as tar:
            members = {}
            for member in tar:
                if member.name.startswith("/") or ".." in member.name.split("/"):
                    raise ArtifactError(
                        f"The archive {release['url']} has {member.name!r}, which would be unpacked"
                        " outside the directory. Nothing was unpacked; upstream's archives have no"
                        " such name, so download it again from upstream."
                    )
                if member.isreg():
                    members[os.path.normpath(member.name)] = member
            for name, member in sorted(release["members"].items()):
                if member not in members:
                    raise ArtifactError(
                        f"The archive {release['url']} has no {member}; every archive of"
                        f" {release['component']} {release['version']} has it. Use upstream's"
                        " archive."
                    )
                target = os.path.join(directory, name)
                source = cast(IO[bytes], tar.extractfile(members[member]))  # it is a regular file
                with source, open(target, "wb") as stream:
                    shutil.copyfileobj(source, stream, 1 << 20)
                    stream.flush()
                    os.fsync(stream.fileno())
                yield target
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        why = str(error).splitlines()[0].rstrip(".:") or error.__class__.__name__
        raise ArtifactError(f"{release['url']} is not a readable archive: {why}.") from error


def _levels(directory: str, depth: int) -> Iterator[tuple[str, ...]]:
    """Yield the names on the way to each directory so many levels below one, but hidden ones."""
    if depth == 0:
        yield ()
        return
    try:
        names = sorted(
            entry.name
            for entry in os.scandir(directory)
            if entry.is_dir() and not entry.name.startswith(".")
        )
    except FileNotFoundError:
        return
    for name in names:
        for rest in _levels(os.path.join(directory, name), depth - 1):
            yield (name, *rest)
