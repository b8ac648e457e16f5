# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's container runtimes and kubelet need to find the meta-plugin, and how that is taken
back. decide() and take_back() are pure.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

from .._cni.files import listed, make_directories, remove, remove_leftovers
from .._cni.files import write as write_whole
from .._node.files import look
from . import texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    # calls a command, returns its exit status, stdout and stderr, as AnsibleModule.run_command
    Run = Callable[[list[str]], tuple[int, str, str]]

RECORD = "/etc/multinet/runtime.json"
CRIO_DROPIN = "/etc/crio/crio.conf.d/90-multinet.conf"
DOCKER_DROPIN = "/etc/systemd/system/docker.service.d/multinet.conf"
KUBELET_FILES = ("/etc/default/kubelet", "/etc/sysconfig/kubelet")
DOCKER_DAEMON = "/etc/docker/daemon.json"
# That of distributions is made anew at each start, and not changed here.
CONTAINERD = "/etc/containerd/config.toml"
RESULTS = "/var/lib/cni/results"
LAST_KUBELET = (1, 23)  # the last one that called CNI itself


class WiringError(Exception):
    """It cannot be done; the message is a sentence."""


class Settings(NamedTuple):
    """How the runtimes are to find the meta-plugin."""

    conf_dir: str
    bin_dir: str
    containerd_config: str
    configure: bool = False  # whether what containerd and CRI-O go by may be changed
    docker_network: dict[str, Any] | None = None  # of the plan, for docker's own bridge


class Due(NamedTuple):
    """What is to be done on a host."""

    changes: dict[str, str | None]  # path -> text, or None for no file
    former: dict[str, Any]  # the record as it is, see runtime_record()
    record: dict[str, Any]  # as it is to be
    restarts: list[str]  # units

    @property
    def is_any(self) -> bool:
        """Say whether there is anything to do."""
        return bool(self.changes or self.restarts or self.record != self.former)


def containerd_text(run: Run, path: str) -> str | None:
    """Return the configuration (str) that containerd uses, with imports and defaults, or its file's
    content if it cannot be asked; None without one.

    containerd inside a distribution cannot be asked.
    """
    executable = shutil.which("containerd") if path == CONTAINERD else None
    if executable:
        code, out, dummy = run([executable, "--config", path, "config", "dump"])
        if code == 0:
            return out
    return read(path)


def crio_texts(*, ours: bool = False) -> list[str] | None:
    """Return the files of CRI-O's configuration in the order that it reads them, without our own
    unless it is asked for; None where there is no CRI-O.
    """
    if not (shutil.which("crio") or os.path.isdir("/etc/crio")):
        return None
    directory = os.path.dirname(CRIO_DROPIN)
    dropins = [os.path.join(directory, name) for name in listed(directory)]
    paths = ["/etc/crio/crio.conf", *dropins]
    return [read(path) or "" for path in paths if ours or path != CRIO_DROPIN]


def observe(run: Run, containerd_config: str) -> dict[str, Any]:
    """Return what decide() goes by: files ({path: text or None}), containerd, crio, kubelet,
    kubelet_unit, docker_unit (texts) and docker_address.
    """
    paths = (containerd_config, CRIO_DROPIN, DOCKER_DROPIN, DOCKER_DAEMON, *KUBELET_FILES)
    docker = shutil.which("dockerd")
    kubelet = shutil.which(
        "kubelet", path=os.environ.get("PATH", "") + ":/usr/local/bin:/usr/bin:/opt/bin"
    )
    return {
        "files": {path: read(path) for path in paths},
        "containerd": containerd_text(run, containerd_config),
        "crio": crio_texts(),
        "kubelet": run([kubelet, "--version"])[1] if kubelet else None,
        "kubelet_unit": _unit(run, "kubelet.service") if kubelet else "",
        "docker_unit": _unit(run, "docker.service") if docker else "",
        "docker_address": _address(run) if docker else None,
    }


def _unit(run: Run, name: str) -> str:
    return run(["systemctl", "cat", name])[1] if shutil.which("systemctl") else ""


def _address(run: Run) -> str | None:
    """Return the IPv4 address of docker's own bridge with its length, None when it has none."""
    if not shutil.which("ip"):
        return None
    code, out, dummy = run(["ip", "-j", "-4", "address", "show", "dev", "docker0"])
    for link in json.loads(out or "[]") if code == 0 else []:
        for info in link.get("addr_info", []):
            return f"{info['local']}/{info['prefixlen']}"
    return None


def containerd_problems(text: str | None, settings: Settings) -> list[str]:
    """Return why containerd would not use the meta-plugin, as sentences.

    text: its configuration, see containerd_text().
    """
    conf_dir, bin_dir, config = settings[:3]
    said = texts.containerd_cni(text) if text is not None else None
    if said is None or (settings.configure and config == CONTAINERD):
        return []
    problems = []
    otherwise = (
        f", or set multinet_configure_containerd: true, which changes {config}"
        if config == CONTAINERD
        else ""
    )
    if said["conf_dir"].rstrip("/") != conf_dir.rstrip("/"):
        problems.append(
            f"containerd looks for CNI configurations in {said['conf_dir']}, but"
            f" multinet_cni_conf_dir is {conf_dir}. Set it to {said['conf_dir']}{otherwise}."
        )
    if bin_dir.rstrip("/") not in [directory.rstrip("/") for directory in said["bin_dirs"]]:
        problems.append(
            f"containerd looks for CNI executables in {' and '.join(said['bin_dirs'])}, but"
            f" multinet_cni_bin_dir is {bin_dir}. Set it to {said['bin_dirs'][0]}{otherwise}."
        )
    number = said["max_conf_num"]
    if number != 1:
        problems.append(
            f"containerd uses {'all' if number < 1 else number} CNI configurations at once"
            f" (max_conf_num = {number}), so every pod would be attached by others than"
            f" the meta-plugin, too. Set max_conf_num = 1 there{otherwise}."
        )
    return problems


def crio_problems(files: list[str] | None, settings: Settings) -> list[str]:
    """Return why CRI-O would not use the meta-plugin, as sentences.

    files: see crio_texts().
    """
    if files is None or settings.configure:
        return []
    conf_dir, bin_dir = settings[:2]
    said = texts.crio_cni(files)
    otherwise = (
        "or set multinet_configure_containerd: true, which writes a drop-in to"
        " /etc/crio/crio.conf.d. Drain the node first: at its restart, CRI-O detaches the pods of"
        " former networks"
    )
    problems = []
    if said["conf_dir"] != conf_dir.rstrip("/"):
        problems.append(
            f"CRI-O looks for CNI configurations in {said['conf_dir']}, but multinet_cni_conf_dir"
            f" is {conf_dir}. Set it to {said['conf_dir']}, {otherwise}."
        )
    if bin_dir.rstrip("/") not in said["bin_dirs"]:
        problems.append(
            f"CRI-O looks for CNI executables in {' and '.join(said['bin_dirs'])}, but"
            f" multinet_cni_bin_dir is {bin_dir}. Set it to {said['bin_dirs'][0]}, {otherwise}."
        )
    if said["network"] not in ("", "multinet"):
        problems.append(
            f"CRI-O uses only the CNI network {said['network']} (cni_default_network), so the"
            f" meta-plugin would attach no pod. Remove that line, {otherwise}."
        )
    return problems


def passed_over(run: Run, settings: Settings) -> list[str]:
    """Return in what the container runtimes pass over the meta-plugin by the configuration that
    they have now, as sentences, whatever may be changed of it.
    """
    here = settings._replace(configure=False)
    containerd = containerd_text(run, settings.containerd_config)
    return containerd_problems(containerd, here) + crio_problems(crio_texts(ours=True), here)


def crio_former_pods(conf_dir: str, results: str = RESULTS) -> list[str]:
    """Return the pods ("namespace/name", sorted) that CRI-O would detach at its next start.

    At its start it takes every pod for one of the network that is the first now, and frees the
    attachments of all others whose files are in the directory, those of running pods too, unless
    `disableGC` is set there (seen with 1.34.0). conf_dir: that directory; results: where libcni
    keeps the attachments.
    """
    files = [_json(read(os.path.join(conf_dir, name))) for name in listed(conf_dir)]
    networks = {file.get("name") for file in files if file.get("disableGC") is not True}
    networks -= {None, "multinet"}
    found = set()
    for name in listed(results):
        kept = _json(read(os.path.join(results, name)))
        said = {pair[0]: pair[1] for pair in kept.get("cniArgs") or [] if len(pair) == 2}
        if kept.get("networkName") in networks and said.get("K8S_POD_NAME"):
            found.add(f"{said.get('K8S_POD_NAMESPACE')}/{said['K8S_POD_NAME']}")
    return sorted(found)


def due(observed: dict[str, Any] | None, settings: Settings | None) -> Due:
    """Return what is to be done on this host; raise WiringError, OSError.

    observed: see observe(); settings: None takes everything back.
    """
    former = runtime_record()
    wanted = decide(observed, settings) if observed and settings else []
    changes, record, restarts = plan(read, wanted, former)
    return Due(changes, former, record, restarts)


def decide(observed: dict[str, Any], settings: Settings) -> list[dict[str, Any]]:
    """Return the files that are to be as follows: {path, content, unit: the unit that reads it,
    address: docker's, there} of each; raise WiringError.
    """
    wanted = []
    if settings.configure:
        wanted += _containerd(observed, settings)
        wanted += _crio(observed, settings)
    version = texts.kubelet_version(observed["kubelet"]) if observed["kubelet"] else None
    if version and version <= LAST_KUBELET:
        wanted.append(_kubelet(observed, settings))
    if settings.docker_network:
        wanted.append(_docker(observed, settings.docker_network))
    return wanted


def _docker(observed: dict[str, Any], network: dict[str, Any]) -> dict[str, Any]:
    command = texts.docker_command(observed["docker_unit"], DOCKER_DROPIN)
    if command is None:
        raise WiringError(
            f"multinet_docker_network is '{network['name']}', but this host has no docker.service."
            " Install docker, or leave the variable out for this host."
        )
    for key in ("bip", "mtu", "ip-masq"):
        by_unit = "--" + key in command
        if by_unit or key in _json(observed["files"][DOCKER_DAEMON]):
            raise WiringError(
                f"docker is given {key} by {'its unit' if by_unit else DOCKER_DAEMON} already, and"
                " accepts it only once. Remove it there, or leave the variable out for this host."
            )
    return {
        "path": DOCKER_DROPIN,
        "content": texts.docker_dropin(command, network),
        "unit": "docker.service",
        "address": observed["docker_address"],
    }


def _crio(observed: dict[str, Any], settings: Settings) -> list[dict[str, Any]]:
    """CRI-O watches the directory as containerd does; a restart would cost the pods of former
    networks theirs.
    """
    if not crio_problems(observed["crio"], settings._replace(configure=False)):
        return []
    known = texts.crio_cni(observed["crio"])["bin_dirs"]
    bin_dirs = list(dict.fromkeys([settings.bin_dir, *known]))
    content = texts.crio_dropin(settings.conf_dir, bin_dirs)
    return [{"path": CRIO_DROPIN, "content": content, "unit": "crio.service"}]


def _containerd(observed: dict[str, Any], settings: Settings) -> list[dict[str, Any]]:
    """Once it is ours, the file stays in the list: what is not in the list is taken back."""
    said = observed["containerd"]
    if settings.containerd_config != CONTAINERD or said is None:
        return []
    text = found = observed["files"][CONTAINERD]
    if containerd_problems(said, settings._replace(configure=False)):
        values: dict[str, Any] = {"conf_dir": settings.conf_dir}
        if any(key == "bin_dirs" for dummy, key, value in texts.containerd_keys(said)):
            values["bin_dirs"] = [settings.bin_dir]
        else:
            values["bin_dir"] = settings.bin_dir
        values["max_conf_num"] = 1
        text = texts.set_containerd_cni("version = 2\n" if found is None else found, values)
    if text is None:
        return []
    return [{"path": CONTAINERD, "content": text, "unit": "containerd.service"}]


def _kubelet(observed: dict[str, Any], settings: Settings) -> dict[str, Any]:
    found = observed["files"]
    path = next((path for path in KUBELET_FILES if found[path] is not None), None)
    path = path or next(
        (path for path in KUBELET_FILES if path in observed["kubelet_unit"]), KUBELET_FILES[0]
    )
    text = found[path] or ""
    variable = texts.kubelet_variable(text, observed["kubelet_unit"])
    if variable is None:
        raise WiringError(
            f"The kubelet's unit reads none of {', '.join(texts.KUBELET_VARIABLES)}, so the"
            " collection cannot set its CNI options. Write --network-plugin=cni where its options"
            " are."
        )
    flags = {
        "--network-plugin": "cni",
        "--cni-conf-dir": settings.conf_dir,
        "--cni-bin-dir": settings.bin_dir,
    }
    return {
        "path": path,
        "content": texts.set_kubelet_flags(text, variable, flags),
        "unit": "kubelet.service",
    }


def take_back(path: str, now: str | None, record: dict[str, Any]) -> str | None:
    """Return what a file is to be without what decide() put there: a text, or None for no file.

    now: the file as it is; record: {before: str or None, after: str}. As it was before, byte for
    byte; if somebody has changed it since, their changes stay and only our values go back to what
    they were.
    """
    before = record["before"]
    if now is None or now == record["after"] or path in (CRIO_DROPIN, DOCKER_DROPIN):
        return before if now is not None else None
    if path in KUBELET_FILES:
        variable = texts.kubelet_variable(now, "")
        if not variable:
            return now
        flags = texts.kubelet_flags(before or "", variable)
        return texts.set_kubelet_flags(now, variable, flags)
    ours = ("conf_dir", "bin_dir", "bin_dirs", "max_conf_num")
    old = {key: value for dummy, key, value in texts.containerd_keys(before or "")}
    return texts.set_containerd_cni(now, {key: old.get(key) for key in ours})


def plan(
    found: Callable[[str], str | None], wanted: Iterable[dict[str, Any]], record: dict[str, Any]
) -> tuple[dict[str, str | None], dict[str, Any], list[str]]:
    """Return changes, record and restarts, see Due.

    found: gives the text of a file; wanted: see decide(), nothing takes everything back; record:
    see runtime_record().
    """
    changes: dict[str, str | None] = {}
    files: dict[str, dict[str, Any]] = {}
    restarts = list(record["pending"])
    for item in wanted:
        path, now = item["path"], found(item["path"])
        old = record["files"].get(path)
        if old or now != item["content"]:  # what was just so before is not ours
            files[path] = {
                "before": old["before"] if old else now,
                "after": item["content"],
                "unit": item["unit"],
            }
            address = old.get("address") if old else item.get("address")
            files[path].update({"address": address} if address else {})
        if now != item["content"]:
            changes[path] = item["content"]
            restarts.append(item["unit"])
    for path, old in record["files"].items():
        if path not in files:
            now = found(path)
            text = take_back(path, now, old)
            if text != now:
                changes[path] = text
                restarts.append(old["unit"])
    return changes, {"files": files, "pending": []}, list(dict.fromkeys(restarts))


class Host:
    """The files and units of this host."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def bring(self, due: Due) -> None:
        """Do what is due; raise WiringError, OSError.

        The record is written ahead of the changes, with all that is to be taken back or restarted
        if this is interrupted.
        """
        former = due.former["files"]
        for path in former:  # also of files that a killed run has not come to
            remove_leftovers(os.path.realpath(path))
        self._remember({"files": {**former, **due.record["files"]}, "pending": due.restarts})
        docker_leaves = due.changes.get(DOCKER_DROPIN, "") is None
        if docker_leaves:
            self._leave_network(former[DOCKER_DROPIN])
        for path, text in due.changes.items():
            write(path, text)
        if docker_leaves and not listed(os.path.dirname(DOCKER_DROPIN)):
            os.rmdir(os.path.dirname(DOCKER_DROPIN))
        if any(path.startswith("/etc/systemd/") for path in due.changes):
            self.systemctl("daemon-reload")
        for unit in due.restarts:
            stopped_here = docker_leaves and unit == "docker.service"
            if stopped_here or self._run(["systemctl", "is-active", "--quiet", unit])[0] == 0:
                self.systemctl("restart", unit)
        self._remember(due.record)

    def _leave_network(self, record: dict[str, Any]) -> None:
        """Stop docker, which takes its rules back.

        Without a last start, it would go on with the address that it remembers.
        """
        self.systemctl("stop", "docker.service")
        if record.get("address"):
            write(DOCKER_DROPIN, texts.docker_last_dropin(record["after"], record["address"]))
            self.systemctl("daemon-reload")
            self.systemctl("restart", "docker.service")
            self.systemctl("stop", "docker.service")

    @staticmethod
    def _remember(record: dict[str, Any]) -> None:
        text = json.dumps(record, indent=2, sort_keys=True) + "\n"
        there_is = record["files"] or record["pending"]
        write(RECORD, text if there_is else None, 0o600)  # a kubelet's options may hold secrets

    def systemctl(self, *arguments: str) -> None:
        """Run systemctl; raise WiringError when it fails."""
        code, dummy, error = self._run(["systemctl", *arguments])
        if code:
            raise WiringError(
                f"'systemctl {' '.join(arguments)}' failed: {error.strip()}. See journalctl -u"
                f" {arguments[-1]}."
            )


def read(path: str) -> str | None:
    """Return the text of a file, None when there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def write(path: str, text: str | None, mode: int | None = None) -> None:
    """Put a text where a file is, with the mode it had (else 0644); None: no file."""
    if text is None:
        remove(path)
        return
    real = os.path.realpath(path)
    state = look(real)
    make_directories(os.path.dirname(real))
    mode = mode if mode is not None else int(state.mode or "0644", 8)
    write_whole(real, text, mode, uid=state.uid, gid=state.gid)


def runtime_record() -> dict[str, Any]:
    """Return the record ({files: {path: {before, after}}, pending: list of units}), empty when
    there is none; raise WiringError.
    """
    text = read(RECORD)
    try:
        record = json.loads(text) if text is not None else {"files": {}, "pending": []}
        return {"files": dict(record["files"]), "pending": list(record["pending"])}
    except (ValueError, KeyError, TypeError) as error:
        raise WiringError(
            f"The record of what was changed for the container runtimes, {RECORD}, can't be read"
            f" ({error}). Restore it from a backup, or remove it and check the runtimes' files"
            " yourself."
        ) from error


def _json(text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
