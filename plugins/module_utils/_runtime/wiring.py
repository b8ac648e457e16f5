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

from .._cni import files
from .._node import files as node_files
from . import texts

RECORD = "/etc/multinet/runtime.json"
CRIO_DROPIN = "/etc/crio/crio.conf.d/90-multinet.conf"
DOCKER_DROPIN = "/etc/systemd/system/docker.service.d/multinet.conf"
KUBELET_FILES = ("/etc/default/kubelet", "/etc/sysconfig/kubelet")
DOCKER_DAEMON = "/etc/docker/daemon.json"
CONTAINERD = (  # that of distributions is made anew at each start, and not changed here
    "/etc/containerd/config.toml"
)
RESULTS = "/var/lib/cni/results"
LAST_KUBELET = (1, 23)  # the last one that called CNI itself


class WiringError(Exception):
    """It cannot be done; the message is a sentence."""


def containerd_text(run, path):
    """Return containerd's configuration (str) as it goes by it, imports and defaults included, or
    what is in the file where it cannot be asked; else None.

    run: see observe(); path: str. containerd inside a distribution cannot be asked.
    """
    executable = shutil.which("containerd") if path == CONTAINERD else None
    rc, out, dummy = (
        run([executable, "--config", path, "config", "dump"]) if executable else (1, "", "")
    )
    return out if rc == 0 else read(path)


def crio_texts():
    """Return the files of CRI-O's configuration but ours (list of str) in the order that it reads
    them, None where there is no CRI-O.
    """
    if not (shutil.which("crio") or os.path.isdir("/etc/crio")):
        return None
    directory = os.path.dirname(CRIO_DROPIN)
    paths = ["/etc/crio/crio.conf"] + sorted(
        os.path.join(directory, name) for name in _listdir(directory)
    )
    return [read(path) or "" for path in paths if path != CRIO_DROPIN]


def observe(run, containerd_config):
    """Return what decide() goes by.

    run: callable(list of str) -> (rc, stdout, stderr), as AnsibleModule.run_command;
    containerd_config: path.
    """
    found = {
        path: read(path)
        for path in (containerd_config, CRIO_DROPIN, DOCKER_DROPIN, DOCKER_DAEMON) + KUBELET_FILES
    }
    docker = shutil.which("dockerd")
    kubelet = shutil.which(
        "kubelet", path=os.environ.get("PATH", "") + ":/usr/local/bin:/usr/bin:/opt/bin"
    )
    return {
        "files": found,
        "containerd": containerd_text(run, containerd_config),
        "crio": crio_texts(),
        "kubelet": run([kubelet, "--version"])[1] if kubelet else None,
        "kubelet_unit": _unit(run, "kubelet.service") if kubelet else "",
        "docker_unit": _unit(run, "docker.service") if docker else "",
        "docker_address": _address(run) if docker else None,
    }


def _unit(run, name):
    return run(["systemctl", "cat", name])[1] if shutil.which("systemctl") else ""


def _address(run):
    """Return the IPv4 address of docker's own bridge with its length (str), None when it has none."""
    rc, out, dummy = (
        run(["ip", "-j", "-4", "address", "show", "dev", "docker0"])
        if shutil.which("ip")
        else (1, "", "")
    )
    addresses = (
        [info for link in json.loads(out or "[]") for info in link.get("addr_info", [])]
        if rc == 0
        else []
    )
    return f"{addresses[0]['local']}/{addresses[0]['prefixlen']}" if addresses else None


def containerd_problems(text, containerd_config, conf_dir, bin_dir, configure):
    """Say (list of sentences) in what containerd would pass over the meta-plugin.

    text: str or None, its configuration.
    """
    said = texts.containerd_cni(text) if text is not None else None
    if said is None or (configure and containerd_config == CONTAINERD):
        return []
    problems = []
    otherwise = (
        f", or set multinet_configure_containerd: true to have {containerd_config} changed"
        if containerd_config == CONTAINERD
        else ""
    )
    if said["conf_dir"].rstrip("/") != conf_dir.rstrip("/"):
        problems.append(
            f"containerd looks for CNI configurations in {said['conf_dir']}, and"
            f" multinet_cni_conf_dir is {conf_dir}. Set it to {said['conf_dir']}{otherwise}."
        )
    if bin_dir.rstrip("/") not in [directory.rstrip("/") for directory in said["bin_dirs"]]:
        problems.append(
            f"containerd looks for CNI executables in {' and '.join(said['bin_dirs'])}, and"
            f" multinet_cni_bin_dir is {bin_dir}. Set it to {said['bin_dirs'][0]}{otherwise}."
        )
    if said["max_conf_num"] != 1:
        problems.append(
            f"containerd uses {'all' if said['max_conf_num'] < 1 else said['max_conf_num']} CNI"
            f" configurations at once (max_conf_num = {said['max_conf_num']}), so every pod would"
            f" be attached by others beside the meta-plugin. Set max_conf_num = 1 there{otherwise}."
        )
    return problems


def crio_problems(files, conf_dir, bin_dir, configure):
    """Say (list of sentences) in what CRI-O would pass over the meta-plugin.

    files: see crio_texts().
    """
    if files is None or configure:
        return []
    said = texts.crio_cni(files)
    otherwise = (
        "or set multinet_configure_containerd: true to have a drop-in of /etc/crio/crio.conf.d say"
        " so. Drain the node first: at its restart, CRI-O detaches the pods of former networks"
    )
    problems = []
    if said["conf_dir"] != conf_dir.rstrip("/"):
        problems.append(
            f"CRI-O looks for CNI configurations in {said['conf_dir']}, and multinet_cni_conf_dir"
            f" is {conf_dir}. Set it to {said['conf_dir']}, {otherwise}."
        )
    if bin_dir.rstrip("/") not in said["bin_dirs"]:
        problems.append(
            f"CRI-O looks for CNI executables in {' and '.join(said['bin_dirs'])}, and"
            f" multinet_cni_bin_dir is {bin_dir}. Set it to {said['bin_dirs'][0]}, {otherwise}."
        )
    if said["network"] not in ("", "multinet"):
        problems.append(
            f"CRI-O takes the CNI network {said['network']} alone (cni_default_network), so no pod"
            f" would be attached by the meta-plugin. Remove that line, {otherwise}."
        )
    return problems


def crio_former_pods(conf_dir, results=RESULTS):
    """Return the pods (sorted list of "namespace/name") that CRI-O would detach at its next start.

    At its start it takes every pod for one of the network that is the first now, and frees the
    attachments of all others whose files are in the directory, those of running pods too, unless
    `disableGC` is set there (seen with 1.34.0). conf_dir: that directory; results: where libcni
    keeps the attachments.
    """
    files = [_json(read(os.path.join(conf_dir, name))) for name in _listdir(conf_dir)]
    networks = {file.get("name") for file in files if file.get("disableGC") is not True} - {
        None,
        "multinet",
    }
    found = set()
    for name in _listdir(results):
        kept = _json(read(os.path.join(results, name)))
        said = {pair[0]: pair[1] for pair in kept.get("cniArgs") or [] if len(pair) == 2}
        if kept.get("networkName") in networks and said.get("K8S_POD_NAME"):
            found.add(f"{said.get('K8S_POD_NAMESPACE')}/{said['K8S_POD_NAME']}")
    return sorted(found)


def due(observed, wish):
    """Return (changes, former record, record, restarts) of this host: see decide() and plan();
    raise WiringError, OSError. wish: None takes everything back.
    """
    former = recorded()
    changes, record, restarts = plan(read, decide(observed, wish) if wish else [], former)
    return changes, former, record, restarts


def decide(observed, wish):
    """Return the files that are to be as follows, a list of {path, content, unit: the unit that
    reads it, address: docker's, there}; raise WiringError.

    wish: conf_dir, bin_dir, containerd_config (str), configure (bool: whether what containerd and
    CRI-O go by may be changed), docker_network (dict or None).
    """
    found = observed["files"]
    wanted = []
    if (
        wish["configure"]
        and wish["containerd_config"] == CONTAINERD
        and observed["containerd"] is not None
    ):
        wanted += _containerd(observed, wish)
    # CRI-O watches the directory as containerd does; a restart would cost the pods of former
    # networks theirs
    if wish["configure"] and crio_problems(
        observed["crio"], wish["conf_dir"], wish["bin_dir"], False
    ):
        known = texts.crio_cni(observed["crio"])["bin_dirs"]
        content = texts.crio_dropin(
            wish["conf_dir"], list(dict.fromkeys([wish["bin_dir"]] + known))
        )
        wanted.append({"path": CRIO_DROPIN, "content": content, "unit": "crio.service"})
    version = texts.kubelet_version(observed["kubelet"]) if observed["kubelet"] else None
    if version and version <= LAST_KUBELET:
        wanted.append(_kubelet(observed, wish))
    if wish["docker_network"]:
        command = texts.docker_command(observed["docker_unit"], DOCKER_DROPIN)
        if command is None:
            raise WiringError(
                f"multinet_docker_network is '{wish['docker_network']['name']}', but this host has"
                " no docker.service. Install docker, or leave the variable out for this host."
            )
        for key in ("bip", "mtu", "ip-masq"):
            if key in _json(found[DOCKER_DAEMON]) or "--" + key in command:
                raise WiringError(
                    f"docker is given {key} by"
                    f" {'its unit' if '--' + key in command else DOCKER_DAEMON} already, and takes"
                    " it once alone. Remove it there, or leave the variable out for this host."
                )
        wanted.append(
            {
                "path": DOCKER_DROPIN,
                "content": texts.docker_dropin(command, wish["docker_network"]),
                "unit": "docker.service",
                "address": observed["docker_address"],
            }
        )
    return wanted


def _containerd(observed, wish):
    """Once it is ours, the file stays in the list: what is not in the list is taken back."""
    text = found = observed["files"][CONTAINERD]
    if containerd_problems(
        observed["containerd"], CONTAINERD, wish["conf_dir"], wish["bin_dir"], False
    ):
        bin_key = "bin_dirs" if "bin_dirs" in observed["containerd"] else "bin_dir"
        values = {
            "conf_dir": wish["conf_dir"],
            bin_key: [wish["bin_dir"]] if bin_key == "bin_dirs" else wish["bin_dir"],
            "max_conf_num": 1,
        }
        text = texts.set_containerd_cni("version = 2\n" if found is None else found, values)
    return (
        [{"path": CONTAINERD, "content": text, "unit": "containerd.service"}]
        if text is not None
        else []
    )


def _kubelet(observed, wish):
    found = observed["files"]
    path = next((path for path in KUBELET_FILES if found[path] is not None), None)
    path = path or next(
        (path for path in KUBELET_FILES if path in observed["kubelet_unit"]), KUBELET_FILES[0]
    )
    text = found[path] or ""
    variable = texts.kubelet_variable(text, observed["kubelet_unit"])
    if variable is None:
        raise WiringError(
            f"The kubelet's unit reads none of {', '.join(texts.KUBELET_VARIABLES)}, so its options"
            " about CNI cannot be set. Write --network-plugin=cni where it has its options."
        )
    flags = {
        "--network-plugin": "cni",
        "--cni-conf-dir": wish["conf_dir"],
        "--cni-bin-dir": wish["bin_dir"],
    }
    return {
        "path": path,
        "content": texts.set_kubelet_flags(text, variable, flags),
        "unit": "kubelet.service",
    }


def take_back(path, now, record):
    """Return what a file is to be without what decide() put there: a text, or None for no file.

    now: str or None, the file as it is; record: {before: str or None, after: str}. As it was
    before, byte for byte; if somebody has changed it since, their changes stay and only our values
    go back to what they were.
    """
    before = record["before"]
    if now is None or now == record["after"] or path in (CRIO_DROPIN, DOCKER_DROPIN):
        return before if now is not None else None
    if path in KUBELET_FILES:
        variable = texts.kubelet_variable(now, "")
        return (
            texts.set_kubelet_flags(now, variable, texts.kubelet_flags(before or "", variable))
            if variable
            else now
        )
    ours = ("conf_dir", "bin_dir", "bin_dirs", "max_conf_num")
    old = dict((key, value) for dummy, key, value in texts.containerd_lines(before or ""))
    return texts.set_containerd_cni(now, {key: old.get(key) for key in ours})


def plan(found, wanted, record):
    """Return (changes, record, restarts): {path: text, or None for no file}, the record as it is to
    be, the units that read what changes.

    found: callable(path) -> text or None; wanted: see decide(), an empty list takes everything
    back; record: see recorded().
    """
    changes, files, restarts = {}, {}, list(record["pending"])
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
    """The files and units of this host. run: see observe()."""

    def __init__(self, run):
        self._run = run

    def bring(self, changes, former, record, restarts):
        """Do what plan() said.

        The record is written ahead of the changes, with all that is to be taken back or restarted
        if this is interrupted.
        """
        stopped = []
        self._remember({"files": dict(former["files"], **record["files"]), "pending": restarts})
        if changes.get(DOCKER_DROPIN, "") is None:
            self._leave_network(former["files"][DOCKER_DROPIN])
            stopped.append("docker.service")
        for path, text in changes.items():
            write(path, text)
        if changes.get(DOCKER_DROPIN, "") is None and not _listdir(os.path.dirname(DOCKER_DROPIN)):
            os.rmdir(os.path.dirname(DOCKER_DROPIN))
        if any(path.startswith("/etc/systemd/") for path in changes):
            self.systemctl("daemon-reload")
        for unit in restarts:
            if unit in stopped or self._run(["systemctl", "is-active", "--quiet", unit])[0] == 0:
                self.systemctl("restart", unit)
        self._remember(record)

    def _leave_network(self, record):
        """Stop docker, which takes its rules back.

        Without a last start, it would go on with the address that it remembers.
        """
        self.systemctl("stop", "docker.service")
        if record.get("address"):
            write(DOCKER_DROPIN, texts.docker_farewell(record["after"], record["address"]))
            self.systemctl("daemon-reload")
            self.systemctl("restart", "docker.service")
            self.systemctl("stop", "docker.service")

    @staticmethod
    def _remember(record):
        text = json.dumps(record, indent=2, sort_keys=True) + "\n"
        write(
            RECORD, text if record["files"] or record["pending"] else None, 0o600
        )  # a kubelet's options may hold secrets

    def systemctl(self, *arguments):
        rc, dummy, error = self._run(["systemctl"] + list(arguments))
        if rc:
            raise WiringError(
                f"'systemctl {' '.join(arguments)}' failed: {error.strip()}. See journalctl -u"
                f" {arguments[-1]}."
            )


def read(path):
    """Return the text of a file, None when there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def write(path, text, mode=None):
    """Put a text where a file is, with the mode it had (else 0644); None: no file."""
    if text is None:
        files.remove(path)
        return
    state = node_files.look(path)
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    mode = mode if mode is not None else int(state.mode or "0644", 8)
    real = os.path.realpath(path)
    files.write(real, text, mode, uid=state.uid, gid=state.gid)


def recorded():
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
            f" ({error}). Restore it from a backup, or remove it and look through the runtimes'"
            " files yourself."
        ) from error


def _json(text):
    try:
        value = json.loads(text) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _listdir(path):
    try:
        return os.listdir(path)
    except OSError:
        return []
