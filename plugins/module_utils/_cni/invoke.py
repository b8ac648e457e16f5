# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find a plugin's executable, run it, and read what it answered (SPEC sections 2 and 5)."""

from __future__ import annotations

import sys

from . import conf, errors
from .quick_os import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    # Exit status, stdout, stderr.
    Outcome = tuple[int, bytes, bytes]


class Exec:
    """The edge to the machine; tests put their own in its place."""

    def find(self, plugin: str, path: list[str]) -> str:
        """Return the file of a plugin in a list of directories; raise Error."""
        check_type(plugin)
        for directory in path:
            file = os.path.join(directory, plugin)
            if os.path.isfile(file) and os.access(file, os.X_OK):
                return file
        where = ", ".join(path) or "an empty CNI_PATH"
        raise errors.Error(
            errors.IO_FAILURE,
            f"There is no executable {plugin} in {where}.",
            "Install the plugin or correct its `type`.",
        )

    def run(
        self, file: str, environ: dict[str, str], stdin: bytes, seconds: float | None
    ) -> Outcome:
        """Run an executable and return (exit status, its stdout, its stderr).

        seconds: how long it may take. A status below 0 is a signal's number. Raises Error (code 5)
        when it cannot be started, and (code 11) when the time is over; it is killed then.
        """
        from . import process  # what is done in-process needs none

        return process.run(file, environ, stdin, seconds)


class Substitute(Exec):
    """Another Exec, but for plugins that can do without an executable: whoever derives from it does
    their work in run().

    execute: the other one; when_missing: names of those plugins.
    """

    def __init__(self, execute: Exec, when_missing: Iterable[str]) -> None:
        self.execute = execute
        self.when_missing = when_missing

    def find(self, plugin: str, path: list[str]) -> str:
        """See Exec. The bare name stands for an executable that is not there."""
        try:
            return self.execute.find(plugin, path)
        except errors.Error:
            if plugin not in self.when_missing:
                raise
            return plugin


def check_type(plugin: str) -> None:
    """Raise Error for the `type` of a plugin that would lead out of the plugins' directories: users
    write some, and what is there is executed by root (as libcni's FindInPath).
    """
    if "/" in plugin or plugin in ("", ".", ".."):
        raise errors.Error(
            errors.INVALID_CONFIGURATION,
            f"The `type` {plugin!r} is not a file name: give the executable's file name only.",
        )


def relay_stderr(text: bytes) -> None:
    """Hand on what a plugin wrote to its stderr; it is never a failure by itself."""
    sys.stderr.flush()
    sys.stderr.buffer.write(text)
    sys.stderr.flush()


def exec_plugin(
    execute: Exec,
    file: str,
    environ: dict[str, str],
    stdin: bytes,
    *,
    seconds: float | None = None,
    relay: Callable[[bytes], object] = relay_stderr,
) -> bytes:
    """Run a plugin and return what it printed on stdout; raise the Error it printed when it failed.

    environ: the whole environment with the CNI_ variables; seconds: how long it may take.
    """
    status, stdout, stderr = execute.run(file, environ, stdin, seconds)
    if stderr:
        relay(stderr)
    # An error object counts even where the exit status says 0: nothing fails open.
    error = _error_object(stdout)
    if error is not None:
        raise error
    if status == 0:
        return stdout
    how = f"exit status {status}" if status > 0 else f"signal {-status}"
    said = (stdout or stderr).decode("utf-8", "replace").strip()
    raise errors.Error(
        errors.INTERNAL,
        f"{os.path.basename(file)} failed ({how}) and printed no CNI error.",
        said[-2000:],
    )


def _error_object(stdout: bytes) -> errors.Error | None:
    if b'"code"' not in stdout:
        return None
    try:
        return errors.Error.from_dict(conf.decode(stdout, "Its answer"))
    except errors.Error:
        return None


def environment(
    base: Mapping[str, str],
    *,
    command: str,
    container_id: str,
    netns: str,
    interface: str,
    path: list[str],
    args: str | None = None,
) -> dict[str, str]:
    """Return the environment of a plugin: the whole of base, so that nothing a caller sets is lost,
    and the CNI_ variables over it.

    path: directories; args: None to leave CNI_ARGS as it is in base.
    """
    environ = dict(base)
    environ.update(
        CNI_COMMAND=command,
        CNI_CONTAINERID=container_id,
        CNI_NETNS=netns,
        CNI_IFNAME=interface,
        CNI_PATH=os.pathsep.join(path),
    )
    if args is not None:
        environ["CNI_ARGS"] = args
    return environ
