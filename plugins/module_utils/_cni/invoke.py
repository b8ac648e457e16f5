# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find a plugin's executable, run it, and read what it answered (SPEC sections 2 and 5)."""

from __future__ import annotations

import errno
import os
import select
import sys
import time

from . import conf, errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from signal import SIGKILL, SIGPIPE, SIGTERM, SIGXFSZ

    # Exit status, stdout, stderr.
    Outcome = tuple[int, bytes, bytes]
else:
    # `signal` adds names for people, and takes milliseconds to import
    from _signal import SIGKILL, SIGPIPE, SIGTERM, SIGXFSZ

# A plugin that is being replaced while it is started ("text file busy") is tried again: as often
# and as slowly as libcni does.
_BUSY_TRIES = 6
_BUSY_SECONDS = 1.0
_OUTPUT_LIMIT = 16 * 1024 * 1024


class Exec:
    """The edge to the machine; tests put their own in its place."""

    def find(self, plugin: str, path: list[str]) -> str:
        """Return the file of a plugin in a list of directories; raise Error."""
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
        # Files instead of pipes: nothing can block, and nobody who inherited an end can keep us
        # waiting.
        streams = [_anonymous_file("stdin"), _anonymous_file("stdout"), _anonymous_file("stderr")]
        try:
            os.write(streams[0], stdin)
            os.lseek(streams[0], 0, os.SEEK_SET)
            pid = _spawn(file, environ, streams)
            status = _wait(pid, file, seconds, streams[1:])
            return status, _content(streams[1]), _content(streams[2])
        finally:
            for stream in streams:
                os.close(stream)


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


def _anonymous_file(name: str) -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    return os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)


def _content(stream: int) -> bytes:
    os.lseek(stream, 0, os.SEEK_SET)
    with os.fdopen(os.dup(stream), "rb") as file:
        return file.read(_OUTPUT_LIMIT)


def _spawn(file: str, environ: dict[str, str], streams: list[int]) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, stream, number) for number, stream in enumerate(streams)]
    for attempt in range(_BUSY_TRIES):
        try:
            # Its own process group, so that what it started can be ended with it; the signals
            # Python ignores are not the plugin's affair.
            return os.posix_spawn(
                file,
                [file],
                environ,
                file_actions=actions,
                setpgroup=0,
                setsigdef=(SIGPIPE, SIGXFSZ, SIGTERM),
            )
        except OSError as error:
            if error.errno != errno.ETXTBSY or attempt == _BUSY_TRIES - 1:
                raise errors.Error(
                    errors.IO_FAILURE, f"{file} cannot be started.", error.strerror
                ) from None
        time.sleep(_BUSY_SECONDS)
    raise AssertionError("the last attempt returned or raised")


def _wait(pid: int, file: str, seconds: float | None, outputs: list[int]) -> int:
    """Return the exit status of a child; kill it when it is late or talks without end."""
    deadline = None if seconds is None else time.monotonic() + seconds
    ending = _pidfd(pid)
    try:
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            left = 1.0 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise errors.Error(
                    errors.TRY_AGAIN_LATER,
                    f"{file} did not end within {seconds:.0f} seconds and was killed.",
                )
            if any(os.fstat(output).st_size > _OUTPUT_LIMIT for output in outputs):
                raise errors.Error(
                    errors.DECODING_FAILURE,
                    f"{file} printed more than {_OUTPUT_LIMIT >> 20} MiB and was killed.",
                )
            _sleep(ending, min(left, 1.0))
    except errors.Error:
        _kill(pid)  # late, too talkative, or we are told to end ourselves
        raise
    finally:
        if ending is not None:
            os.close(ending)


def _pidfd(pid: int) -> int | None:
    """Return a descriptor that is readable when the child has ended, or None on a kernel before
    5.3.
    """
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _sleep(ending: int | None, seconds: float) -> None:
    if ending is None:
        time.sleep(min(seconds, 0.002))
        return
    poll = select.poll()
    poll.register(ending, select.POLLIN)
    poll.poll(seconds * 1000)


def _kill(pid: int) -> None:
    try:
        os.killpg(pid, SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


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
