# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container is attached to: written before the first delegate is called, kept until every
one is detached.

One file per (container, interface of the request). DEL, CHECK and GC work from it alone, so it
holds the delegates' configurations as they were used.
"""

from __future__ import annotations

import time

from .._cni import conf, errors, files, runtime
from .._cni.quick_os import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._cni.netns import Mark

_FORMAT = 1
_BRIDGE = "mn-"  # how the plan names the bridges of its networks


class Corrupt(Exception):  # noqa: N818 - it holds what is corrupt
    """A state that cannot be understood; `file` holds it."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self.file = file

    def put_aside(self) -> errors.Error:
        """Keep the file under another name, and return the Error that says so; raise Error."""
        kept = f"{self.file}.corrupt-{int(time.time())}"
        try:
            os.rename(self.file, kept)
        except OSError as error:
            raise errors.io_failure(
                f"The damaged state {self.file} cannot be moved aside.", error
            ) from None
        return errors.Error(
            errors.DECODING_FAILURE,
            "The state of the attachment was damaged.",
            f"It is kept as {kept}.",
        )


class Attached:
    """One delegate of a state.

    raw: its configuration; result: None while its ADD has not ended; full_name: namespace/name of
    its NetworkAttachmentDefinition; chained: whether it works on the master's interface;
    device_file: where its device is described; args: what CNI_ARGS say beside the request's own;
    kept: {file: text}, what a flannel plugin needs at DEL.
    """

    def __init__(
        self,
        raw: dict[str, Any],
        interface: str,
        *,
        result: dict[str, Any] | None = None,
        capability_args: dict[str, Any] | None = None,
        full_name: str | None = None,
        chained: bool = False,
        device_file: str | None = None,
        args: dict[str, str] | None = None,
        kept: dict[str, str] | None = None,
    ) -> None:
        self.raw = raw
        self.interface = interface
        self.result = result
        self.capability_args = capability_args or {}
        self.full_name = full_name
        self.chained = chained
        self.device_file = device_file
        self.args = args or {}
        self.kept = kept or {}

    @property
    def network(self) -> conf.NetworkList:
        """The delegate's network; raise Error."""
        return conf.parse(self.raw, f"the state of the network {self.raw.get('name')}")

    @property
    def final_result(self) -> dict[str, Any]:
        """The result of an ADD that has ended."""
        if self.result is None:
            raise ValueError(f"the ADD of {self.place} has not ended")
        return self.result

    @property
    def place(self) -> str:
        """What names it in errors."""
        return f"network {self.raw.get('name')}, interface {self.interface}"

    def attachment(self, cni: runtime.Runtime, container_id: str, netns: str) -> runtime.Attachment:
        """Return what the plugins are called for; netns: a path, empty when it is gone."""
        return runtime.Attachment(
            container_id,
            netns,
            self.interface,
            args=_cni_args(cni.environ.get("CNI_ARGS", ""), self.args),
            capability_args=self.capability_args,
        )


def _cni_args(given: str, own: dict[str, str]) -> str | None:
    """Return the CNI_ARGS of a delegate, None where they are those given to us.

    Not every plugin knows the kubelet's keys and ours; they refuse others without `IgnoreUnknown`.
    """
    is_strict = "IgnoreUnknown=" not in given
    if not own and not (is_strict and "K8S_POD_" in given):
        return None
    parts = [given] if given else []
    if is_strict:
        parts.append("IgnoreUnknown=1")
    return ";".join(parts + [f"{key}={value}" for key, value in own.items()])


def is_on_our_bridge(result: dict[str, Any] | None) -> bool:
    """Say whether a CNI result has a port on a bridge of ours, which the guard is told of."""
    return any(
        str(interface.get("name")).startswith(_BRIDGE) and not interface.get("sandbox")
        for interface in (result or {}).get("interfaces") or ()
    )


class State:
    """What one ADD has attached.

    interface: that of the request; path: the directories the plugins were found in; timeout:
    seconds; attached: the master first; in_process: the plugins whose work is done without their
    executables; namespace: of netns.mark(), None in a state of a former version.
    """

    def __init__(
        self,
        *,
        conf_name: str,
        container_id: str,
        interface: str,
        netns: str,
        path: list[str],
        timeout: float,
        attached: list[Attached],
        in_process: list[str] | None = None,
        namespace: Mark | None = None,
    ) -> None:
        self.conf_name = conf_name
        self.container_id = container_id
        self.interface = interface
        self.netns = netns
        self.path = path
        self.timeout = timeout
        self.attached = attached
        self.in_process = in_process or []
        self.namespace = namespace


class Store:
    """The states in a directory."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def begin(self, state: State) -> None:
        """Keep a state that there was none of, before anything is attached; raise Error."""
        self._write(state, files.write_new)

    def write(self, state: State) -> None:
        """Keep a state in place of what there is of it, by which DEL could go as well; raise
        Error.
        """
        self._write(state, lambda file, text: files.write(file, text, sync_name=False))

    def _write(self, state: State, write: Callable[[str, str], None]) -> None:
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            write(self.file(state.container_id, state.interface), conf.encode(_to_dict(state)))
        except OSError as error:
            raise errors.io_failure(
                f"The state cannot be written to {self.directory}.", error
            ) from None

    def read(self, container_id: str, interface: str) -> State | None:
        """Return the State, None when there is none; raise Error or Corrupt."""
        file = self.file(container_id, interface)
        try:
            text = files.read(file)
        except OSError as error:
            raise errors.io_failure(f"The state {file} cannot be read.", error) from None
        if text is None:
            return None
        try:
            state = _from_dict(conf.decode(text, file))
            if (state.container_id, state.interface) != (container_id, interface):
                raise ValueError("it belongs to another attachment")
            return state
        except (errors.Error, KeyError, TypeError, ValueError, AttributeError):
            raise Corrupt(file) from None

    def read_or_put_aside(self, container_id: str, interface: str) -> State | None:
        """Return the State, None when there is none; raise Error, also for a damaged one."""
        try:
            return self.read(container_id, interface)
        except Corrupt as corrupt:
            raise corrupt.put_aside() from None

    def is_newer(self, state: State, since: float) -> bool:
        """Say whether a state was written after a time.time(); raise OSError."""
        return os.stat(self.file(state.container_id, state.interface)).st_mtime >= since

    def remove(self, state: State) -> None:
        """Forget a state; raise Error."""
        file = self.file(state.container_id, state.interface)
        try:
            self.discard(state.container_id, state.interface)
            files.remove(file)
        except OSError as error:
            raise errors.io_failure(f"The state {file} cannot be removed.", error) from None

    def discard(self, container_id: str, interface: str) -> None:
        """Remove what writes that were killed have left of an attachment; raise OSError.

        Call it with the attachment's lock.
        """
        name = os.path.basename(self.file(container_id, interface))
        files.discard(self.directory, f"{name}.")

    def attachments(self) -> list[tuple[str, str]]:
        """Return the (container id, interface) of every state there is."""
        names = [name for name in self._names() if name.endswith(".json") and ":" in name]
        return [_attachment(name[: -len(".json")]) for name in names]

    def unfinished(self) -> list[tuple[str, str]]:
        """Return the (container id, interface) of every attachment of which there is a lock or half
        a state, and no state.
        """
        found = set()
        for name in self._names():
            base = ""
            if name.startswith(".") and name.endswith(".lock"):
                base = name[1 : -len(".lock")]
            elif name.endswith(".tmp"):
                base = name.lstrip(".").rpartition(".json.")[0]
            if ":" in base:
                found.add(_attachment(base))
        return sorted(found.difference(self.attachments()))

    def _names(self) -> list[str]:
        try:
            return sorted(os.listdir(self.directory))
        except FileNotFoundError:
            return []

    def interfaces_of(self, container_id: str) -> list[str]:
        """Return the interfaces by which a container is attached."""
        return [interface for known, interface in self.attachments() if known == container_id]

    def file(self, container_id: str, interface: str) -> str:
        """Return the file of a state."""
        # ':' is neither in a container's id nor in an interface's name.
        return os.path.join(self.directory, f"{container_id}:{interface}.json")


def _attachment(text: str) -> tuple[str, str]:
    """The (container id, interface) that a file is named after."""
    container_id, _colon, interface = text.partition(":")
    return container_id, interface


def _to_dict(state: State) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "name": state.conf_name,
        "containerID": state.container_id,
        "ifName": state.interface,
        "netns": state.netns,
        "namespace": state.namespace,
        "path": state.path,
        "timeoutSeconds": state.timeout,
        "inProcess": state.in_process,
        "delegates": [_attached_to_dict(one) for one in state.attached],
    }


def _attached_to_dict(one: Attached) -> dict[str, Any]:
    raw = {"conf": one.raw, "ifName": one.interface, "result": one.result}
    more = {
        "capabilityArgs": one.capability_args,
        "name": one.full_name,
        "chained": one.chained,
        "deviceFile": one.device_file,
        "args": one.args,
        "kept": one.kept,
    }
    return dict(raw, **{key: value for key, value in more.items() if value})


def _from_dict(raw: dict[str, Any]) -> State:
    if raw["format"] != _FORMAT:
        raise ValueError("it has another format")
    attached = [
        Attached(
            one["conf"],
            one["ifName"],
            result=one["result"],
            capability_args=one.get("capabilityArgs"),
            full_name=one.get("name"),
            chained=bool(one.get("chained")),
            device_file=one.get("deviceFile"),
            args=one.get("args"),
            kept=one.get("kept"),
        )
        for one in raw["delegates"]
    ]
    texts = [raw[key] for key in ("name", "containerID", "ifName", "netns")] + list(raw["path"])
    if not all(isinstance(text, str) for text in texts) or not all(map(_is_sound, attached)):
        raise ValueError("it is damaged")
    return State(
        conf_name=raw["name"],
        container_id=raw["containerID"],
        interface=raw["ifName"],
        netns=raw["netns"],
        path=list(raw["path"]),
        timeout=float(raw["timeoutSeconds"]),
        attached=attached,
        in_process=list(raw.get("inProcess") or []),
        namespace=raw.get("namespace"),
    )


def _is_sound(one: Attached) -> bool:
    return (
        isinstance(one.interface, str)
        and isinstance(one.network.name, str)
        and isinstance(one.capability_args, dict)
        and isinstance(one.kept, dict)
        and isinstance(one.args, dict)
        and all(isinstance(text, str) for text in [*one.kept.values(), *one.args.values()])
        and isinstance(one.result, (dict, type(None)))
        and isinstance(one.device_file, (str, type(None)))
    )
