# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's whole set of small text files: what differs (pure), and writing it so that no reader
ever sees half a file.

The flow is check() -> look() -> decide() -> apply(); only look() and apply() touch the host.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import shutil
import stat
import time

from .._tokens import token

HIDDEN = "(not shown: secret)\n"
_MODE = re.compile(r"[0-7]{4}")
_SHOWN_BYTES = 100000


class NodeFilesError(Exception):
    """The wish cannot be fulfilled; ``errors`` is the list of sentences."""

    def __init__(self, errors):
        super().__init__(" ".join(errors))
        self.errors = list(errors)


def check(files, directories, absent):
    """Return what is wrong with the wish as a list of sentences (empty: nothing).

    files: list of {path, content, mode, owner, group, secret}; directories: list of {path, mode,
    owner, group};
    absent: list of paths, a directory that is to go with all its content ends in a slash.
    """
    errors = []
    seen = {}
    for place, paths in (
        ("files", [item["path"] for item in files]),
        ("directories", [item["path"] for item in directories]),
        ("absent", absent),
    ):
        for path in paths:
            errors.extend(_path_errors(place, path))
            plain = os.path.normpath(path)
            if plain in seen:
                errors.append(
                    f"{place}: {path} is already listed in {seen[plain]}; list each path once."
                )
            seen[plain] = place
    for item in files:
        if item["path"].endswith("/"):
            errors.append(f"files: {item['path']} ends in a slash; give the path of a file.")
    for place, items in (("files", files), ("directories", directories)):
        for item in items:
            if item.get("mode") is not None and not _MODE.fullmatch(item["mode"]):
                errors.append(
                    f"{place}: mode {item['mode']} of {item['path']} is not four octal digits;"
                    " write it in quotes, for example '0644'."
                )
    doomed = [os.path.normpath(path) + os.sep for path in absent if path.endswith("/")]
    for path in [item["path"] for item in files] + [item["path"] for item in directories]:
        for directory in doomed:
            if path.startswith(directory):
                errors.append(
                    f"absent: {directory} is to be removed, but {path} inside it is to be there;"
                    " drop one of the two."
                )
    return errors


def _path_errors(place, path):
    if not path.startswith("/"):
        return [f"{place}: {path!r} is not an absolute path; write it from / on."]
    if ".." in path.split("/") or "\0" in path:
        return [f"{place}: {path!r} leads through '..'; write the path without it."]
    if place == "absent" and len([part for part in path.split("/") if part]) < 2:
        return [
            f"absent: {path!r} is the root or a directory right below it, which is never removed;"
            " name what lies inside it."
        ]
    return []


def look(path):
    """Return what is at ``path``: {kind: absent|file|directory|link|other, mode, uid, gid, content
    (bytes, files only), entries (directories only)}.
    """
    try:
        found = os.lstat(path)
        link = stat.S_ISLNK(found.st_mode)
        if link and os.path.isdir(path):
            found = os.stat(path)  # a link to a directory serves as the directory
    except (FileNotFoundError, NotADirectoryError):
        return {"kind": "absent"}
    state = {
        "kind": "other",
        "link": link,
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "uid": found.st_uid,
        "gid": found.st_gid,
    }
    if stat.S_ISREG(found.st_mode):
        with open(path, "rb") as stream:
            state.update(kind="file", content=stream.read())
    elif stat.S_ISDIR(found.st_mode):
        state.update(kind="directory", entries=len(os.listdir(path)))
    elif link:
        state.update(kind="link")
    return state


def decide(files, directories, absent, look_at=look, ids=None, clock=time.time):
    """Compare the (checked) wish with what ``look_at`` sees and return the list of changes, in the
    order they are to be made.

    A change is {action: directory|file|remove, path, before (a state of look()), mode, uid, gid}
    and for files content (bytes) and secret. ``ids(owner, group)`` gives (uid, gid), None for what
    is not asked for; ``clock()`` the time (seconds since 1970), for ``keep_token``. Raises
    NodeFilesError when something of another kind is in the way.
    """
    ids = ids or _ids
    errors = []
    changes = []
    for item in directories:
        before = look_at(item["path"])
        uid, gid = _ids_or_error(ids, "directories", item, errors)
        if before["kind"] not in ("absent", "directory"):
            errors.append(
                f"directories: {item['path']} exists and is not a directory (it is a"
                f" {before['kind']}); move it away."
            )
        elif before["kind"] == "absent" or _attributes_differ(before, item.get("mode"), uid, gid):
            changes.append(
                {
                    "action": "directory",
                    "path": item["path"],
                    "before": before,
                    "mode": item.get("mode"),
                    "uid": uid,
                    "gid": gid,
                }
            )
    for item in files:
        before = look_at(item["path"])
        uid, gid = _ids_or_error(ids, "files", item, errors)
        content = item["content"].encode("utf-8", "surrogateescape")
        if (
            item.get("keep_token")
            and before["kind"] == "file"
            and token.is_good(
                before["content"].decode("ascii", "replace"), item["content"], clock()
            )
        ):
            content = before["content"]
        mode = item.get("mode") or "0644"
        if before["kind"] in ("directory", "other"):
            errors.append(
                f"files: {item['path']} exists and is not a regular file (it is a"
                f" {before['kind']}); move it away."
            )
        elif (
            before["kind"] != "file"
            or before["content"] != content
            or _attributes_differ(before, mode, uid, gid)
        ):
            changes.append(
                {
                    "action": "file",
                    "path": item["path"],
                    "before": before,
                    "mode": mode,
                    "uid": uid,
                    "gid": gid,
                    "content": content,
                    "secret": bool(item.get("secret")),
                }
            )
    for path in absent:
        plain = path.rstrip("/")
        before = look_at(plain)
        whole = path.endswith("/")
        if (
            before["kind"] == "directory"
            and not before.get("link")
            and before["entries"]
            and not whole
        ):
            errors.append(
                f"absent: {path} is a directory that is not empty; end the path in a slash to"
                " remove it with all its content."
            )
        elif before["kind"] != "absent":
            changes.append({"action": "remove", "path": plain, "before": before})
    if errors:
        raise NodeFilesError(errors)
    return changes


def _attributes_differ(before, mode, uid, gid):
    return any(
        wanted is not None and wanted != is_now
        for wanted, is_now in ((mode, before["mode"]), (uid, before["uid"]), (gid, before["gid"]))
    )


def _ids_or_error(ids, place, item, errors):
    try:
        return ids(item.get("owner"), item.get("group"))
    except KeyError as error:
        errors.append(
            f"{place}: {item['path']}: the host knows no {error.args[0]}; create it first."
        )
        return None, None


def _ids(owner, group):
    """Numbers of a user and a group given by name or number; KeyError('user x') when the host does
    not know it.
    """
    numbers = []
    for kind, name, number_of in (
        ("user", owner, lambda name: pwd.getpwnam(name).pw_uid),
        ("group", group, lambda name: grp.getgrnam(name).gr_gid),
    ):
        if name is None or name.isdigit():
            numbers.append(None if name is None else int(name))
            continue
        try:
            numbers.append(number_of(name))
        except KeyError:
            raise KeyError(f"{kind} {name}") from None
    return tuple(numbers)


def diff(changes):
    """Return the changes as Ansible's diff: a list of {before_header, after_header, before, after}.

    Neither secret content nor that of a file which not everybody on the host may read is in it.
    """
    result = []
    for change in changes:
        before, after = change["before"], _after(change)
        hidden = change.get("secret", False) or not (
            _readable_by_all(before) and _readable_by_all(after)
        )
        texts = [_text(state, hidden) for state in (before, after)]
        if texts[0] == texts[1]:  # only mode or owner differ, or what differs is hidden
            same = before.get("content") == after.get("content")
            texts = (
                [_attributes(before), _attributes(after)]
                if same
                else ["(old) " + HIDDEN, "(new) " + HIDDEN]
            )
        result.append(
            {
                "before_header": (
                    f"{change['path']}"
                    f" ({before['kind'] if before['kind'] == 'absent' else 'mode ' + before['mode']})"
                ),
                "after_header": (
                    f"{change['path']}"
                    f" ({after['kind'] if after['kind'] == 'absent' else 'mode ' + after['mode']})"
                ),
                "before": texts[0],
                "after": texts[1],
            }
        )
    return result


def _after(change):
    """The state, as look() gives it, that a change leads to."""
    before = change["before"]
    if change["action"] == "remove":
        return {"kind": "absent"}
    after = {
        "kind": change["action"],
        "mode": change["mode"] or before.get("mode", "0755"),
        "content": change.get("content"),
    }
    for key in ("uid", "gid"):
        after[key] = before.get(key) if change[key] is None else change[key]
    return after


def _readable_by_all(state):
    return state["kind"] != "file" or bool(int(state["mode"], 8) & 0o004)


def _attributes(state):
    return f"mode {state['mode']}, owner {state['uid']}, group {state['gid']}\n"


def _text(state, hidden):
    if state["kind"] == "absent":
        return ""
    if state["kind"] != "file":
        return state["kind"] + "\n"
    if hidden:
        return HIDDEN
    if len(state["content"]) > _SHOWN_BYTES:
        return f"(not shown: {len(state['content'])} bytes)\n"
    try:
        return state["content"].decode("utf-8")
    except UnicodeDecodeError:
        return f"(not shown: not UTF-8, {len(state['content'])} bytes)\n"


def apply(changes):
    """Make the changes: directories, then all files (each staged beside its target before the first
    is renamed), then removals.

    Raises NodeFilesError; when a file cannot be staged (a full disk), no file has been changed.
    """
    staged = []
    path = None
    try:
        for change in changes:
            path = change["path"]
            if change["action"] == "directory":
                _make_directory(change)
            elif change["action"] == "file":
                staged.append(
                    (
                        stage(
                            path,
                            change["content"],
                            int(change["mode"], 8),
                            change["uid"],
                            change["gid"],
                        ),
                        path,
                    )
                )
        commit(staged)
        for change in changes:
            path = change["path"]
            if change["action"] == "remove":
                _remove(change)
    except OSError as error:
        for temporary, _path in staged:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise NodeFilesError(
            [f"{path} could not be changed: {error.strerror or error}.{_hint(path, error)}"]
        ) from error


def _hint(path, error):
    parent = os.path.dirname(path)
    if isinstance(error, FileNotFoundError):
        return f" The directory {parent} is not there: list it in directories."
    return ""


def stage(path, content, mode, uid=None, gid=None):
    """Write ``content`` (bytes, or an open binary stream) to a temporary file beside ``path``, on
    the disk and with its mode; return its name.
    """
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}.tmp")
    _remove_leftovers(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb") as stream:
            if isinstance(content, bytes):
                stream.write(content)
            else:
                shutil.copyfileobj(content, stream, 1 << 20)
            stream.flush()
            if uid is not None or gid is not None:
                os.fchown(stream.fileno(), -1 if uid is None else uid, -1 if gid is None else gid)
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


def commit(staged):
    """Rename each (temporary, path) into place, then bring the directories to the disk."""
    for temporary, path in staged:
        os.rename(temporary, path)
    for directory in sorted({os.path.dirname(path) for _temporary, path in staged}):
        sync_directory(directory)


def sync_directory(path):
    """Bring a directory's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_leftovers(path):
    """Remove the temporary files that killed runs left beside ``path``: those whose process is
    gone, or is this one.
    """
    leftover = re.compile(rf"\.{re.escape(os.path.basename(path))}\.([0-9]+)\.tmp")
    directory = os.path.dirname(path)
    for name in os.listdir(directory):
        match = leftover.fullmatch(name)
        if match and (
            int(match.group(1)) == os.getpid() or not os.path.exists("/proc/" + match.group(1))
        ):
            os.unlink(os.path.join(directory, name))


def _make_directory(change):
    path = change["path"].rstrip("/")
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    if change["before"]["kind"] == "absent":
        os.mkdir(path, 0o700)
    if change["uid"] is not None or change["gid"] is not None:
        os.chown(
            path,
            -1 if change["uid"] is None else change["uid"],
            -1 if change["gid"] is None else change["gid"],
        )
    if change["mode"] or change["before"]["kind"] == "absent":
        os.chmod(path, int(change["mode"] or "0755", 8))
    sync_directory(os.path.dirname(path))


def _remove(change):
    if change["before"]["kind"] == "directory" and not change["before"].get("link"):
        shutil.rmtree(change["path"])
    else:
        os.unlink(change["path"])
    sync_directory(os.path.dirname(change["path"]))
