# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's whole set of small text files: what differs, and writing what differs.

The flow is check() -> decide() -> apply(). check() is pure, decide() looks, apply() alone writes.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import os
import pwd
import re
import shutil
import stat
from typing import TYPE_CHECKING, NamedTuple

from .._cni.files import (
    commit,
    make_directories,
    remove,
    remove_leftovers,
    stage,
    sync_directory,
    target,
    temporary_name,
)
from . import written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HIDDEN = "(not shown: secret)\n"
# A directory by what it was made of (lookup library_files); `multinet`: before there were versions.
_VERSION = re.compile(r"[0-9a-f]{12}|multinet")
_MODE = re.compile(r"[0-7]{4}")
_SHOWN_BYTES = 100000
_ORIGINAL = ".original"


class NodeFilesError(Exception):
    """The wish cannot be fulfilled; ``errors`` is the list of sentences."""

    def __init__(self, errors: Sequence[str]) -> None:
        super().__init__(" ".join(errors))
        self.errors = list(errors)


class File(NamedTuple):
    """A file that is to be there."""

    path: str
    content: str
    mode: str = "0644"  # four octal digits
    owner: str | None = None  # name or number; None: as it is
    group: str | None = None
    secret: bool = False
    # is given the content that is there; whether that stays instead
    keep: Callable[[bytes], bool] | None = None
    # is given the content that is there; whether it is the collection's. Else it is kept beside it
    is_ours: Callable[[bytes], bool] | None = None
    adds: bool = False  # its content is lines, and those that are there stay
    last: bool = False  # it is replaced when everything else is done, of which it is the record


class Directory(NamedTuple):
    """A directory that is to be there."""

    path: str
    mode: str | None = None  # None: as it is, 0755 for a new one
    owner: str | None = None
    group: str | None = None


class Wish(NamedTuple):
    """What is to be there, and what is to be absent: a path that ends in a slash with all its
    content.
    """

    files: Sequence[File] = ()
    directories: Sequence[Directory] = ()
    absent: Sequence[str] = ()
    # files that go where is_ours says so of their content, for what was kept of another's
    given_back: Sequence[str] = ()
    is_ours: Callable[[bytes], bool] = lambda content: False
    kept: Sequence[str] = ()  # files of others that stay, and are kept as they are now
    # directories that each version has one of: of the others beside them the latest stays
    versioned: Sequence[str] = ()
    record: str = ""  # path of the record of what nobody else changes, see written.py; "": none


class State(NamedTuple):
    """What is at a path."""

    kind: str  # absent, file, directory, link or other
    link: bool = False  # a directory that is reached by a link
    mode: str = ""
    uid: int | None = None
    gid: int | None = None
    content: bytes = b""  # of a file; of a link the path in it
    entries: int = 0  # of a directory


class FileChange(NamedTuple):
    """One thing to be done."""

    # directory, file, keep (what has no .original at its end), give back (what has one) or remove
    action: str
    path: str
    before: State
    mode: str | None = None  # None, like the ids: as it is
    uid: int | None = None
    gid: int | None = None
    content: bytes = b""
    secret: bool = False
    last: bool = False


def missing(
    needs: Mapping[str, str], is_there: Callable[[str], bool] = os.path.exists
) -> list[str]:
    """Return which roles have not run before on a host, a sentence each.

    needs: what they bring: {path: name of the role}. is_there: whether the host has a path.
    """
    lacking: dict[str, list[str]] = {}
    for path, role in needs.items():
        if not is_there(path):
            lacking.setdefault(role, []).append(path)
    return [
        f"{', '.join(paths)} {'is' if len(paths) == 1 else 'are'} not on this host: run the role"
        f" multinet.flannel.{role} first."
        for role, paths in lacking.items()
    ]


def check(wish: Wish) -> list[str]:
    """Return what is wrong with a wish as sentences (empty: nothing)."""
    errors = []
    seen: dict[str, str] = {}
    for place, paths in (
        ("files", [item.path for item in wish.files]),
        ("directories", [item.path for item in wish.directories]),
        ("absent", wish.absent),
    ):
        for path in paths:
            errors.extend(_path_errors(place, path))
            plain = os.path.normpath(path)
            if plain in seen:
                errors.append(
                    f"{place}: {path} is already listed in {seen[plain]}; list each path once."
                )
            seen[plain] = place
    errors.extend(
        f"files: {item.path} ends in a slash; give the path of a file."
        for item in wish.files
        if item.path.endswith("/")
    )
    for place, items in (("files", wish.files), ("directories", wish.directories)):
        for item in items:
            if item.mode is not None and not _MODE.fullmatch(item.mode):
                errors.append(
                    f"{place}: mode {item.mode} of {item.path} is not four octal digits;"
                    " write it in quotes, for example '0644'."
                )
    doomed = [os.path.normpath(path) + os.sep for path in wish.absent if path.endswith("/")]
    for path in [file.path for file in wish.files] + [item.path for item in wish.directories]:
        errors.extend(
            f"absent: {directory} would be removed, but {path} inside it is listed, too; remove one"
            " of the two entries."
            for directory in doomed
            if path.startswith(directory)
        )
    return errors


def _path_errors(place: str, path: str) -> list[str]:
    if not path.startswith("/"):
        return [f"{place}: {path!r} is not an absolute path; write a path that begins with /."]
    if ".." in path.split("/") or "\0" in path:
        return [f"{place}: {path!r} leads through '..'; write the path without it."]
    if place == "absent" and len([part for part in path.split("/") if part]) < 2:
        return [
            f"absent: {path!r} is the root or a directory right below it, which is never removed;"
            " name what lies inside it."
        ]
    return []


def original(path: str) -> str:
    """Return where another's file stays that one of ours takes the place of."""
    return path + _ORIGINAL


def look(path: str) -> State:
    """Return what is at a path; raise OSError."""
    try:
        found = os.lstat(path)
        link = stat.S_ISLNK(found.st_mode)
        if link and os.path.isdir(path):
            found = os.stat(path)  # a link to a directory serves as the directory
    except (FileNotFoundError, NotADirectoryError):
        return State("absent")
    mode = f"{stat.S_IMODE(found.st_mode):04o}"
    state = State("link" if link else "other", link, mode, found.st_uid, found.st_gid)
    if stat.S_ISREG(found.st_mode):
        with open(path, "rb") as stream:
            return state._replace(kind="file", content=stream.read())
    if stat.S_ISDIR(found.st_mode):
        return state._replace(kind="directory", entries=len(os.listdir(path)))
    return state._replace(content=os.fsencode(os.readlink(path))) if link else state


def ids_of(owner: str | None, group: str | None) -> tuple[int | None, int | None]:
    """Return the numbers of a user and a group, None for what is not asked for.

    Raises KeyError("user x") when the host does not know it.
    """
    return (
        _number("user", owner, lambda name: pwd.getpwnam(name).pw_uid),
        _number("group", group, lambda name: grp.getgrnam(name).gr_gid),
    )


def _number(kind: str, name: str | None, number_of: Callable[[str], int]) -> int | None:
    if name is None or name.isdigit():
        return None if name is None else int(name)
    try:
        return number_of(name)
    except KeyError:
        raise KeyError(f"{kind} {name}") from None


def decide(wish: Wish) -> list[FileChange]:
    """Compare a (checked) wish with what is there; return what is to be done, in order.

    Raises NodeFilesError with everything that is in the way.
    """
    errors: list[str] = []
    changes = [_decide_directory(item, errors) for item in wish.directories]
    changes += [_decide_kept(path) for path in wish.kept]
    for item in wish.files:
        change = _decide_file(item, errors)
        changes += [_decide_keep(item, change), change]
    changes += [_decide_absent(path, errors) for path in wish.absent]
    changes += [_decide_given_back(path, wish.is_ours) for path in wish.given_back]
    changes += [change for path in wish.versioned for change in _decide_versions(path)]
    if errors:
        raise NodeFilesError(errors)
    due = [change for change in changes if change is not None]
    record = _decide_record(wish, due) if wish.record else None
    return [*due, record] if record else due


def _decide_record(wish: Wish, changes: Sequence[FileChange]) -> FileChange | None:
    sums = {
        item.path: hashlib.sha256(item.content.encode("utf-8", "surrogateescape")).hexdigest()
        for item in wish.files
        if item.is_ours or written.is_kept(item.path)
    }
    if not sums:
        return None
    gone = [change.path for change in changes if change.action in ("remove", "give back")]
    text = written.text(sums, gone, wish.record)
    return _decide_file(File(wish.record, text, "0600", last=True), [])


def _decide_directory(item: Directory, errors: list[str]) -> FileChange | None:
    before = look(item.path)
    uid, gid = _ids_or_error("directories", item, errors)
    change = FileChange("directory", item.path, before, item.mode, uid, gid)
    if before.kind not in ("absent", "directory"):
        errors.append(
            f"directories: {item.path} exists and is not a directory (it is a {before.kind});"
            " move it away."
        )
    return change if before.kind == "absent" or _attributes_differ(change) else None


def _decide_file(item: File, errors: list[str]) -> FileChange | None:
    before = look(item.path)
    uid, gid = _ids_or_error("files", item, errors)
    content = item.content.encode("utf-8", "surrogateescape")
    if item.keep and before.kind == "file" and item.keep(before.content):
        content = before.content
    if item.adds and before.kind == "file":
        there = before.content.splitlines(keepends=True)
        new = [line for line in content.splitlines(keepends=True) if line not in there]
        content = b"".join(there + new)
    change = FileChange(
        "file", item.path, before, item.mode, uid, gid, content, item.secret, item.last
    )
    if before.kind in ("directory", "other"):
        errors.append(
            f"files: {item.path} exists and is not a regular file (it is a {before.kind});"
            " move it away."
        )
    same = before.kind == "file" and before.content == content and not _attributes_differ(change)
    return None if same else change


def _decide_keep(item: File, change: FileChange | None) -> FileChange | None:
    """Before a file of another's is replaced; what was kept at an earlier time is older."""
    if change is None or item.is_ours is None or change.before.kind not in ("file", "link"):
        return None
    found = change.before.content
    if change.before.kind == "link":  # what is behind it stays where it is
        found = b""
        with contextlib.suppress(OSError), open(item.path, "rb") as stream:
            found = stream.read()
    if item.is_ours(found):
        return None
    return _keeping(item.path)


def _decide_kept(path: str) -> FileChange | None:
    there, kept = look(path), look(original(path))
    same = (there.kind, there.content) == (kept.kind, kept.content)
    return None if same or there.kind == "absent" else _keeping(path)


def _keeping(path: str) -> FileChange:
    text = f"(what {path} is now)\n"
    return FileChange("keep", original(path), look(original(path)), content=text.encode())


def _decide_absent(path: str, errors: list[str]) -> FileChange | None:
    plain = path.rstrip("/")
    before = look(plain)
    if before.kind == "absent":
        return None
    if before.kind == "directory" and not before.link and before.entries and plain == path:
        errors.append(
            f"absent: {path} is a directory that is not empty; end the path in a slash to remove it"
            " with all its content."
        )
    return FileChange("remove", plain, before)


def _decide_given_back(path: str, is_ours: Callable[[bytes], bool]) -> FileChange | None:
    """Where another has put something since, that stays, and what was kept is out of date."""
    before, kept = look(path), look(original(path))
    if before.kind not in ("absent", "file") or (
        before.kind == "file" and not is_ours(before.content)
    ):
        return None if kept.kind == "absent" else FileChange("remove", original(path), kept)
    if kept.kind == "absent":
        return None if before.kind == "absent" else FileChange("remove", path, before)
    text = f"(what {original(path)} is now)\n"
    return FileChange("give back", path, before, content=text.encode())


def _decide_versions(path: str) -> list[FileChange]:
    """The latest of the others stays for what was started with it; what has no name of a version is
    somebody else's.
    """
    try:
        with os.scandir(os.path.dirname(path)) as beside:
            others = [
                one
                for one in beside
                if one.path != path
                and _VERSION.fullmatch(one.name)
                and one.is_dir(follow_symlinks=False)
            ]
    except FileNotFoundError:
        return []
    others.sort(key=lambda one: one.stat().st_mtime_ns)
    return [FileChange("remove", one.path, look(one.path)) for one in others[:-1]]


def _attributes_differ(change: FileChange) -> bool:
    before = change.before
    return any(
        wanted is not None and wanted != is_now
        for wanted, is_now in (
            (change.mode, before.mode),
            (change.uid, before.uid),
            (change.gid, before.gid),
        )
    )


def _ids_or_error(
    place: str, item: File | Directory, errors: list[str]
) -> tuple[int | None, int | None]:
    try:
        return ids_of(item.owner, item.group)
    except KeyError as error:
        errors.append(f"{place}: {item.path}: this host has no {error.args[0]}; create it first.")
        return None, None


def diff(changes: Sequence[FileChange]) -> list[dict[str, str]]:
    """Return the changes as Ansible's diff: {before_header, after_header, before, after} of each.

    Neither secret content nor that of a file which not everybody on the host may read is in it.
    """
    result = []
    for change in changes:
        before, after = change.before, _after(change)
        hidden = change.secret or not (_readable_by_all(before) and _readable_by_all(after))
        texts = _text(before, hidden), _text(after, hidden)
        if texts[0] == texts[1]:  # only mode or owner differ, or what differs is hidden
            if before.content == after.content:
                texts = _attributes(before), _attributes(after)
            else:
                texts = "(old) " + HIDDEN, "(new) " + HIDDEN
        result.append(
            {
                "before_header": f"{change.path} ({_mode_or_absent(before)})",
                "after_header": f"{change.path} ({_mode_or_absent(after)})",
                "before": texts[0],
                "after": texts[1],
            }
        )
    return result


def _after(change: FileChange) -> State:
    """Return the state that a change leads to."""
    if change.action == "remove":
        return State("absent")
    before = change.before
    return State(
        "file" if change.action in ("keep", "give back") else change.action,
        mode=change.mode or before.mode or "0755",
        uid=before.uid if change.uid is None else change.uid,
        gid=before.gid if change.gid is None else change.gid,
        content=change.content,
    )


def _readable_by_all(state: State) -> bool:
    return state.kind != "file" or bool(int(state.mode, 8) & 0o004)


def _mode_or_absent(state: State) -> str:
    return "absent" if state.kind == "absent" else f"mode {state.mode}"


def _attributes(state: State) -> str:
    return f"mode {state.mode}, owner {state.uid}, group {state.gid}\n"


def _text(state: State, hidden: bool) -> str:
    if state.kind == "absent":
        return ""
    if state.kind != "file":
        return state.kind + "\n"
    if hidden:
        return HIDDEN
    if len(state.content) > _SHOWN_BYTES:
        return f"(not shown: {len(state.content)} bytes)\n"
    try:
        return state.content.decode("utf-8")
    except UnicodeDecodeError:
        return f"(not shown: not UTF-8, {len(state.content)} bytes)\n"


def apply(changes: Sequence[FileChange]) -> None:
    """Make the changes: directories, then all files (each staged beside its target before the first
    is renamed), then removals, then the files that are last.

    Raises NodeFilesError; when a file cannot be staged (a full disk), no file has been changed.
    """
    staged: list[tuple[str, str]] = []
    last: list[tuple[str, str]] = []
    path = ""
    try:
        for change in changes:
            path = change.path
            if change.action == "directory":
                _make_directory(change)
            elif change.action == "file":
                (last if change.last else staged).append((_stage(change), path))
            elif change.action == "keep":
                _keep(path)
        commit(staged)
        for change in changes:
            path = change.path
            if change.action == "remove":
                _remove(change)
            elif change.action == "give back":
                commit([(original(path), path)])
        commit(last)
    except OSError as error:
        for temporary, dummy in staged + last:
            with contextlib.suppress(OSError):
                remove(temporary)
        path = target(error) or path
        raise NodeFilesError(
            [f"{path} could not be changed: {error.strerror or error}.{_hint(path, error)}"]
        ) from error


def _hint(path: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        parent = os.path.dirname(path)
        return f" The directory {parent} is not there: list it in directories."
    return ""


def _stage(change: FileChange) -> str:
    mode = int(change.mode or "0644", 8)
    return stage(change.path, change.content, mode, uid=change.uid, gid=change.gid)


def _keep(path: str) -> None:
    """A second name for the same file: whoever starts it meanwhile finds it under the first."""
    remove_leftovers(path)
    temporary = temporary_name(path)
    os.link(path[: -len(_ORIGINAL)], temporary, follow_symlinks=False)
    commit([(temporary, path)])
    remove(temporary)  # is there where a killed run kept it before: rename() leaves both names


def _make_directory(change: FileChange) -> None:
    path = change.path.rstrip("/")
    new = change.before.kind == "absent"
    make_directories(os.path.dirname(path))
    if new:
        os.mkdir(path, 0o700)
    if change.uid is not None or change.gid is not None:
        os.chown(
            path, -1 if change.uid is None else change.uid, -1 if change.gid is None else change.gid
        )
    if change.mode or new:
        os.chmod(path, int(change.mode or "0755", 8))
    sync_directory(os.path.dirname(path))


def _remove(change: FileChange) -> None:
    if change.before.kind == "directory" and not change.before.link:
        shutil.rmtree(change.path)
    else:
        os.unlink(change.path)
    sync_directory(os.path.dirname(change.path))
