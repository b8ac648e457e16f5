# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The skeleton of a plugin: environment and stdin to a Request, the command to its handler, the
answer or the error to stdout (SPEC section 2).
"""

from __future__ import annotations

import sys

from . import conf, errors, netns, version
from .quick_os import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, BinaryIO, Optional, TextIO

    Handler = Callable[["Request"], Optional[dict[str, Any]]]

_ID, _NETNS, _INTERFACE, _PATH = "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"
# Command: (since which version of the specification, what it needs in the environment).
COMMANDS = {
    "ADD": ("0.1.0", (_ID, _NETNS, _INTERFACE, _PATH)),
    "DEL": ("0.1.0", (_ID, _INTERFACE, _PATH)),
    "CHECK": ("0.4.0", (_ID, _NETNS, _INTERFACE, _PATH)),
    "STATUS": ("1.1.0", (_PATH,)),
    "GC": ("1.1.0", (_PATH,)),
}


class Request:
    """What a runtime asks of a plugin.

    container_id, netns, interface, args (CNI_ARGS) are empty where not given; path: directories;
    conf: raw; version: that of the request.
    """

    def __init__(
        self,
        command: str,
        environ: Mapping[str, str],
        configuration: dict[str, Any],
        request_version: str,
    ) -> None:
        self.command = command
        self.container_id = environ.get(_ID, "")
        self.netns = environ.get(_NETNS, "")
        self.interface = environ.get(_INTERFACE, "")
        self.args = environ.get("CNI_ARGS", "")
        self.path = [
            directory for directory in environ.get(_PATH, "").split(os.pathsep) if directory
        ]
        self.conf = configuration
        self.version = request_version
        self.environ = environ


def main(
    handlers: Mapping[str, Handler],
    about: str,
    *,
    environ: Mapping[str, str] | None = None,
    stdin: BinaryIO | None = None,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
    supported: tuple[str, ...] = version.ALL,
    conf_optional: Iterable[str] = (),
) -> int:
    """Serve one request and return the exit status.

    handlers: command -> function of a Request that returns what to print or None, and raises Error;
    about: for people who start the plugin by hand; environ, stdin, stdout, stderr: where not given,
    the process's own; conf_optional: commands that are served without (or with an unreadable)
    configuration as well: their Request.conf is empty then.
    """
    environ = os.environ if environ is None else environ
    stdin, stdout, stderr = stdin or sys.stdin.buffer, stdout or sys.stdout, stderr or sys.stderr
    command = environ.get("CNI_COMMAND", "")
    if not command:
        stderr.write(f"{about}\nCNI protocol versions supported: {', '.join(supported)}\n")
        return 0
    answer_version = supported[-1]
    try:
        if command == "VERSION":
            _print({"cniVersion": supported[-1], "supportedVersions": list(supported)}, stdout)
            return 0
        _check_environment(command, handlers, environ)
        configuration, answer_version = _read_conf(stdin, command in conf_optional, supported)
        _check_version(command, answer_version, supported)
        request = Request(command, environ, configuration, answer_version)
        _check_namespace(request)
        answer = handlers[command](request)
    except Exception as error:  # whatever it was, the runtime gets an error object
        _print(errors.as_error(error, "The plugin failed.").to_dict(answer_version), stdout)
        return 1
    if answer is not None:
        _print(answer, stdout)
    return 0


def _check_environment(
    command: str, handlers: Mapping[str, Handler], environ: Mapping[str, str]
) -> None:
    if command not in COMMANDS or command not in handlers:
        raise errors.Error(
            errors.INVALID_ENVIRONMENT,
            f"The CNI_COMMAND {command!r} is not supported.",
            f"Supported are {', '.join([*handlers, 'VERSION'])}.",
        )
    needed = COMMANDS[command][1]
    missing = [name for name in needed if not environ.get(name)]
    if missing:
        raise errors.Error(
            errors.INVALID_ENVIRONMENT, f"{command} needs {', '.join(missing)} in the environment."
        )
    if _ID in needed and not conf.is_name(environ[_ID]):
        raise errors.Error(
            errors.INVALID_ENVIRONMENT,
            f"CNI_CONTAINERID {environ[_ID]!r} is not the id of a container.",
        )
    if _INTERFACE in needed and not conf.is_interface_name(environ[_INTERFACE]):
        raise errors.Error(
            errors.INVALID_ENVIRONMENT,
            f"CNI_IFNAME {environ[_INTERFACE]!r} cannot be an interface's name.",
        )


def _read_conf(
    stdin: BinaryIO, optional: bool, supported: tuple[str, ...]
) -> tuple[dict[str, Any], str]:
    try:
        configuration = conf.decode(
            stdin.read(), "The network configuration on stdin", comments=True
        )
    except errors.Error:
        if not optional:
            raise
        return {}, supported[-1]
    stated = configuration.get("cniVersion") or version.UNSTATED
    if stated not in supported:
        if optional:
            return configuration, supported[-1]
        raise errors.Error(
            errors.INCOMPATIBLE_VERSION,
            f"The configuration's cniVersion {stated!r} is not supported.",
            f"Supported are {', '.join(supported)}.",
        )
    return configuration, stated


def _check_version(command: str, request_version: str, supported: tuple[str, ...]) -> None:
    since = COMMANDS[command][0]
    if supported.index(request_version) < supported.index(since):
        raise errors.Error(
            errors.INCOMPATIBLE_VERSION,
            f"{command} needs cniVersion {since} or later, but the configuration says"
            f" {request_version}.",
        )


def _check_namespace(request: Request) -> None:
    """Whoever is told to attach or clear the host's own namespace was told wrong, unless the
    override says otherwise.
    """
    if (
        request.command in ("ADD", "DEL")
        and request.netns
        and request.environ.get("CNI_NETNS_OVERRIDE", "").upper() not in ("1", "TRUE")
        and netns.is_own(request.netns)
    ):
        raise errors.Error(
            errors.INVALID_NETNS,
            f"CNI_NETNS {request.netns} is the plugin's own network namespace, not a container's.",
        )


def _print(answer: dict[str, Any], stdout: TextIO) -> None:
    stdout.write(conf.encode(answer) + "\n")
    stdout.flush()
