# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes over networks that others deployed on a host, while pods run, and gives them back.

A bridge gets our name, and its ports stay on it. The directory of the addresses that host-local
gave out gets our name, and theirs becomes a link to it, so that whoever frees an address by the old
name does so. Files of theirs that ours take the place of are kept in KEPT, and RECORD says what was
done: what is written there is given back by a reset. Pods that run get the sysctls that new ones
get, which keep networks apart inside a pod.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import signal
import stat
import time
from typing import TYPE_CHECKING, Any

from .._cni import files
from . import daemons, deployed, links, pod_settings
from .removal import Host, RemovalError, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    Record = dict[str, Any]
    # returns what is attached to bridges, by their names
    Look = Callable[[Collection[str]], Iterable[pod_settings.End]]

RECORD = deployed.ADOPTED
KEPT = "/var/lib/multinet/adopted"
# Backends that forward without a flanneld, until it would learn of a node
_BY_THE_KERNEL = ("vxlan", "host-gw", "ipip")
_ENDS_WITHIN = 10.0  # seconds that a flanneld may take


def read(path: str = RECORD) -> Record:
    """Return the record: {networks: [{name, unit, bridge, ipam_dir, theirs: {name, bridge,
    ipam_dir, subnet_file, written: its text, daemon, device, backend: its type}}], files: [path],
    pods: {port of a bridge: {sysctl: what it was}}}, {} without one; raise RemovalError.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            found: Record = json.load(stream)
            return {**found}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise RemovalError(
            f"{path}, which says what was taken over on this host, cannot be read: {error}."
        ) from error


def names(record: Record) -> dict[str, str]:
    """Return {name of our network: what it was called before}."""
    return {one["name"]: one["theirs"]["name"] for one in record.get("networks", [])}


def entry(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the record has of a network.

    theirs: of foreign.recognise(); ours: of a plan.
    """
    kept = ("name", "bridge", "ipam_dir", "subnet_file", "daemon", "device")
    return {
        **{key: ours[key] for key in ("name", "unit", "bridge", "ipam_dir")},
        "theirs": {
            **{key: theirs[key] for key in kept},
            "written": files.text(theirs["subnet_file"]),
            "backend": theirs["declaration"].get("backend", {}).get("type", ""),
        },
    }


def take_steps(
    host: Host, networks: Sequence[Mapping[str, Any]], away: Iterable[str], kept: Iterable[str]
) -> list[Step]:
    """Return the steps that take networks over; none where it was done.

    Raises RemovalError where a flanneld runs in a pod.

    networks: of entry(). away: files that go meanwhile, CNI configurations by which no new pod is
    to be attached. kept: files that ours will take the place of.
    """
    record = read()
    before = {one["name"]: one for one in record.get("networks", [])}
    after = {**before, **{one["name"]: one for one in networks if one["name"] not in before}}
    # by a second run, ours are in their place
    candidates = (*away, *(record.get("files", []) if record else kept))
    paths = [path for path in candidates if os.path.isfile(path) and not _is_kept(path)]
    steps = []
    wanted = {
        **record,
        "networks": list(after.values()),
        "files": sorted({*record.get("files", []), *paths}),
    }
    if wanted != record and networks:
        # first: what a run that is stopped half way did is to be found by a reset
        steps.append(Step(f"record {RECORD}", functools.partial(_write_record, wanted)))
    for path in paths:
        steps.append(Step(f"kept {path}", functools.partial(_keep, path)))
    for path in away:
        if os.path.lexists(path):
            steps.append(Step(f"moved away {path}", functools.partial(_remove, path)))
    ours = {one["unit"] for one in networks}
    for daemon in _daemons(networks):
        steps += _stop_steps(host, daemon, ours)
    for one in networks:
        theirs = one["theirs"]
        steps += _rename_steps(host, theirs["bridge"], one["bridge"])
        is_theirs = os.path.isdir(theirs["ipam_dir"]) and not os.path.islink(theirs["ipam_dir"])
        if is_theirs or os.path.lexists(_link(theirs["ipam_dir"])):
            act = functools.partial(_move_directory, theirs["ipam_dir"], one["ipam_dir"])
            steps.append(Step(f"addresses of {theirs['ipam_dir']} to {one['ipam_dir']}", act))
    return steps


def pod_steps(
    networks: Iterable[Mapping[str, Any]], plan: Mapping[str, Any], look: Look
) -> list[Step]:
    """Return the step that gives pods of others the sysctls of the networks that take theirs over;
    none where they have them. It comes after take_steps(), which make the record.

    networks: of entry().
    """
    planned = {one["name"]: one for one in plan["networks"]}
    sysctls = {
        bridge: pod_settings.of_network(planned[one["name"]])
        for one in networks
        if one["name"] in planned
        for bridge in (one["theirs"]["bridge"], one["bridge"])
    }
    ports = sorted(
        end.port for end in look(sysctls) if pod_settings.different(end, sysctls[end.bridge])
    )
    if not ports:
        return []
    act = functools.partial(_settle, look, sysctls)
    return [Step(f"sysctls of the pods at {', '.join(ports)}", act)]


def pod_steps_back(look: Look) -> list[Step]:
    """Return the steps that give pods of others the sysctls which they had."""
    record = read()
    kept = record.get("pods", {})
    bridges = [
        bridge
        for one in record.get("networks", [])
        for bridge in (one["theirs"]["bridge"], one["bridge"])
    ]
    return [
        Step(
            f"sysctls of the pod at {end.port}, which become what they were before",
            functools.partial(pod_settings.give_back, end, kept[end.port]),
        )
        for end in (look(bridges) if kept else ())
        if end.port in kept
    ]


def network_steps(host: Host) -> list[Step]:
    """Return the steps that give bridges and addresses back; for when our daemons have ended."""
    steps = []
    for one in read().get("networks", []):
        theirs = one["theirs"]
        steps += _rename_steps(host, one["bridge"], theirs["bridge"])
        is_ours = os.path.isdir(one["ipam_dir"]) and os.path.islink(theirs["ipam_dir"])
        if is_ours or os.path.lexists(_link(theirs["ipam_dir"])):
            act = functools.partial(_move_directory_back, one["ipam_dir"], theirs["ipam_dir"])
            steps.append(Step(f"addresses of {one['ipam_dir']} to {theirs['ipam_dir']}", act))
    return steps


def lasting(networks: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of those networks (of a plan) whose tunnel device and routes others had, and
    which the kernel goes on with while no flanneld runs: they are to stay as they are.
    """
    theirs = {one["name"]: one["theirs"] for one in read().get("networks", [])}
    return [
        one["name"]
        for one in networks
        if one["backend"]["type"] in _BY_THE_KERNEL
        and one["name"] in theirs
        and theirs[one["name"]].get("backend") == one["backend"]["type"]
        and theirs[one["name"]].get("device") == (one.get("device") or "")
    ]


def file_steps() -> list[Step]:
    """Return the steps that put files back which were kept; for when ours are gone."""
    return [
        Step(f"{path}, which becomes what it was before", functools.partial(_put_back, path))
        for path in kept_files()
    ]


def kept_files() -> list[str]:
    """Return the paths of what is kept."""
    return [path for path in read().get("files", []) if _is_kept(path)]


def daemon_steps(host: Host) -> list[Step]:
    """Return the steps that start the daemons of others again; the last of all."""
    networks = read().get("networks", [])
    steps = []
    for one in networks:
        theirs = one["theirs"]
        if theirs["written"] and not os.path.lexists(theirs["subnet_file"]):
            # by it, flanneld asks for the subnet that it had
            act = functools.partial(_write_subnet_file, theirs["subnet_file"], theirs["written"])
            steps.append(Step(f"{theirs['subnet_file']}, which becomes what it was before", act))
    for daemon in _daemons(networks):
        if daemon["kind"] == "unit":
            steps.append(Step(f"{daemons.called(daemon)} starts again", _starter(host, daemon)))
    return steps


def by_hand() -> list[str]:
    """Return what is left to people when a host's networks are given back, as sentences."""
    return [
        f"Start the flanneld that wrote {one['theirs']['subnet_file']} again; it"
        + (
            f" was {daemons.called(one['theirs']['daemon'])}."
            if one["theirs"]["daemon"]
            else " did not run any more when its network was taken over. If it was in a DaemonSet,"
            " apply the manifest that you saved."
        )
        for one in read().get("networks", [])
        if (one["theirs"]["daemon"] or {}).get("kind") != "unit"
    ]


def _daemons(networks: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the daemons of networks, each once: one unit may start several."""
    found = {
        daemons.called(one["theirs"]["daemon"]): one["theirs"]["daemon"]
        for one in networks
        if one["theirs"]["daemon"]
    }
    return list(found.values())


def _starter(host: Host, daemon: Mapping[str, Any]) -> Callable[[], None]:
    def start() -> None:
        host.execute(["systemctl", "daemon-reload"])
        host.execute(["systemctl", "enable", "--now", "--no-block", daemon["id"]])

    return start


def _stop_steps(host: Host, daemon: Mapping[str, Any], ours: Collection[str]) -> list[Step]:
    called = daemons.called(daemon)
    if daemon["kind"] == "unit":
        if daemon["id"] in ours and not _runs(daemon["subnet_file"]):
            return []  # by a second run, a unit of this name is ours
        if not host.has_unit(daemon["id"]):
            return []
        command = ["systemctl", "disable", "--now", daemon["id"]]
        return [host.step(called, command, functools.partial(host.has_unit, daemon["id"]))]
    if daemon["kind"] == "pod" and _runs(daemon["subnet_file"]):
        raise RemovalError(daemons.in_pod(daemon))
    if daemon["kind"] == "process" and _runs(daemon["subnet_file"]):
        return [Step(called, functools.partial(_end, daemon["subnet_file"]))]
    return []


def _runs(subnet_file: str) -> list[int]:
    """Return the process numbers of others' flanneld that write a subnet file."""
    return [one["pid"] for one in daemons.others() if one["subnet_file"] == subnet_file]


def _end(subnet_file: str) -> None:
    for pid in _runs(subnet_file):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _ENDS_WITHIN
    while _runs(subnet_file):
        if time.monotonic() > deadline:
            raise RemovalError(
                f"The flanneld that writes {subnet_file} does not end, or is started again. Stop"
                " it, and run this again."
            )
        time.sleep(0.1)


def _rename_steps(host: Host, former: str, name: str) -> list[Step]:
    if not host.has_link(former) or host.has_link(name):
        return []
    return [Step(f"device {former} to {name}", functools.partial(_rename, host, former, name))]


def _rename(host: Host, former: str, name: str) -> None:
    try:
        host.execute(["ip", "link", "set", former, "name", name])
    except RemovalError:
        # kernels before 6.2 rename what is down alone; its addresses and ports stay
        with contextlib.suppress(RemovalError):  # there is no IPv6
            host.execute(["sh", "-c", links.keep_addresses(former)])
        host.execute(["ip", "link", "set", former, "down"])
        try:
            host.execute(["ip", "link", "set", former, "name", name])
        except RemovalError:
            host.execute(["ip", "link", "set", former, "up"])
            raise
        host.execute(["ip", "link", "set", name, "up"])


def _link(theirs: str) -> str:
    """Where the link to a directory is while the directory is moved: who is killed then leaves it,
    and the next run completes what it finds.
    """
    return theirs + ".multinet"


def _move_directory(theirs: str, ours: str) -> None:
    files.remove(_link(theirs))
    os.symlink(ours, _link(theirs))
    if os.path.lexists(theirs):
        _move(theirs, ours)
    os.rename(_link(theirs), theirs)


def _move_directory_back(ours: str, theirs: str) -> None:
    if os.path.islink(theirs):
        os.rename(theirs, _link(theirs))
    if os.path.isdir(ours):
        _move(ours, theirs)
    files.remove(_link(theirs))


def _move(source: str, target: str) -> None:
    """Move a file or a directory, of which a run that was killed may have moved a part."""
    files.make_directories(os.path.dirname(target))
    is_directory = os.path.isdir(source)
    if not is_directory or not os.path.lexists(target):
        try:
            os.rename(source, target)
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
    if is_directory:
        files.make_directories(target)
        files.discard(source, "")  # of a copy that was cut off on its way here
        for name in os.listdir(source):
            _move(os.path.join(source, name), os.path.join(target, name))
        os.rmdir(source)
    else:
        _copy(source, target)
        os.unlink(source)


def _settle(look: Look, sysctls: Mapping[str, Mapping[str, str]]) -> None:
    ends = list(look(sysctls))
    record = read()
    pods = record.setdefault("pods", {})
    for end in ends:
        was = pod_settings.different(end, sysctls[end.bridge])
        if was:  # what an earlier run has written is what it was
            pods[end.port] = {**was, **pods.get(end.port, {})}
    _write_record(record)
    for end in ends:
        pod_settings.give(end, sysctls[end.bridge])


def _write_record(record: Record) -> None:
    files.make_directories(os.path.dirname(RECORD))
    files.write(RECORD, json.dumps(record, indent=2, sort_keys=True) + "\n", 0o600)


def _write_subnet_file(path: str, text: str) -> None:
    files.make_directories(os.path.dirname(path))
    files.write(path, text, 0o644)


def _is_kept(path: str) -> bool:
    return os.path.lexists(KEPT + path)


def _keep(path: str) -> None:
    files.make_directories(os.path.dirname(KEPT + path))
    _copy(path, KEPT + path)


def _put_back(path: str) -> None:
    files.make_directories(os.path.dirname(path))
    _copy(KEPT + path, path)
    os.unlink(KEPT + path)


def _copy(source: str, target: str) -> None:
    found = os.stat(source)
    mode = stat.S_IMODE(found.st_mode)
    with open(source, "rb") as stream:
        files.write(target, stream, mode, uid=found.st_uid, gid=found.st_gid)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
