# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that tell container runtimes and kubelets where CNI is: read, and changed in the places
that matter alone. Pure: text in, text out.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Union

    Value = Union[str, int, list[str]]  # of a key in TOML

# containerd: version 1, 2 and 3 of its configuration have the same keys in tables of other names.
_CONTAINERD_TABLE = re.compile(
    r"""\s*\[\s*plugins\.(?:cri|["']io\.containerd\.(?:grpc\.v1\.cri|cri\.v1\.runtime)["'])\.cni\s*\]\s*(?:#.*)?$"""
)
_TABLE = re.compile(r"\s*\[")
# A comment, or a string, which may hold what begins a comment or an array
_TOML_COMMENT = re.compile(r"""(?P<string>\"[^"\n]*\"|'[^'\n]*')|#[^\n]*""")
_CONTAINERD_KEYS = ("conf_dir", "bin_dir", "bin_dirs", "max_conf_num")
_DISABLED = re.compile(
    r"""^\s*disabled_plugins\s*=\s*\[[^\]]*["'](?:cri|io\.containerd\.grpc\.v1\.cri)["']""",
    re.MULTILINE,
)
# Kubelets had these options until 1.23; --network-plugin-dir is what --cni-conf-dir was called in
# the beginning.
KUBELET_FLAGS = ("--network-plugin", "--cni-conf-dir", "--cni-bin-dir", "--network-plugin-dir")
KUBELET_VARIABLES = ("KUBELET_OPTS", "KUBELET_EXTRA_ARGS", "KUBELET_ARGS")
_IN_NETWORK = " --bip=${FLANNEL_SUBNET} --mtu=${FLANNEL_MTU} --ip-masq=false"
_MANAGED = "# Ansible managed: multinet.flannel. It goes with the playbook reset.\n"


# containerd


def containerd_cni(text: str) -> dict[str, Any] | None:
    """Return what containerd's configuration says of CNI: {conf_dir: str, bin_dirs: list of str,
    max_conf_num: int}, its defaults where it says nothing.

    None when it has the CRI plugin switched off, so that no kubelet uses it.
    """
    if _DISABLED.search(text):
        return None
    found: dict[str, Any] = {key: value for dummy, key, value in containerd_keys(text)}
    bin_dirs = found.get("bin_dirs") or (
        [found["bin_dir"]] if found.get("bin_dir") else ["/opt/cni/bin"]
    )
    return {
        "conf_dir": found.get("conf_dir") or "/etc/cni/net.d",
        "bin_dirs": bin_dirs,
        "max_conf_num": found.get("max_conf_num", 1),
    }


def set_containerd_cni(text: str, values: Mapping[str, Value | None]) -> str:
    """Return containerd's configuration with other values in its table of CNI.

    values: by key; None stands for no such key. All other lines stay as they are; the table is
    added when there is none.
    """
    lines = text.splitlines(keepends=True)
    places = {key: numbers for numbers, key, dummy in containerd_keys(text)}
    header = next(
        (number for number, line in enumerate(lines) if _CONTAINERD_TABLE.match(line)), None
    )
    added = []
    for key, value in values.items():
        if key in places:
            first, *others = places[key]
            indent = _indent(lines[first])
            lines[first] = "" if value is None else f"{indent}{key} = {json.dumps(value)}\n"
            for number in others:
                lines[number] = ""
        elif value is not None:
            added.append(f"{key} = {json.dumps(value)}\n")
    if not added:
        return "".join(lines)
    if header is None:
        version = re.search(r"^\s*version\s*=\s*(\d)", text, re.MULTILINE)
        table = {"3": '"io.containerd.cri.v1.runtime"', "2": '"io.containerd.grpc.v1.cri"'}.get(
            version.group(1) if version else "1", "cri"
        )
        before = "".join(lines).rstrip("\n") + "\n" if lines else ""
        return f"{before}\n[plugins.{table}.cni]\n{''.join('  ' + line for line in added)}"
    indent = _indent(lines[header]) + "  "
    lines[header] = lines[header].rstrip("\n") + "\n"
    return "".join(lines[: header + 1] + [indent + line for line in added] + lines[header + 1 :])


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def containerd_keys(text: str) -> Iterator[tuple[range, str, Value]]:
    """Yield (its lines by number, key, value) of what matters in the table of CNI of containerd.

    Values are strings, numbers or lists of strings.
    """
    lines = text.splitlines()
    inside, number = False, 0
    while number < len(lines):
        line, first = lines[number], number
        key, equals, value = line.partition("=")
        number += 1
        if _TABLE.match(line):
            inside = bool(_CONTAINERD_TABLE.match(line))
        elif equals and not line.lstrip().startswith("#"):
            while _is_open(value) and number < len(lines):
                value += "\n" + lines[number]
                number += 1
            if inside and key.strip() in _CONTAINERD_KEYS:
                yield range(first, number), key.strip(), _toml_value(value.lstrip())


def _is_open(value: str) -> bool:
    """Whether an array of TOML goes on in the next line."""
    bare = _TOML_COMMENT.sub("", value)
    return bare.lstrip().startswith("[") and bare.count("[") > bare.count("]")


def _toml_value(text: str) -> Value:
    text = _TOML_COMMENT.sub(lambda found: found.group("string") or "", text)
    strings = _toml_strings(text)
    if text.startswith("["):
        return strings
    digits = re.match(r"-?\d+", text)
    return int(digits.group()) if digits else "".join(strings[:1])


def _toml_strings(text: str) -> list[str]:
    return [one or other for one, other in re.findall(r"""\"([^"]*)\"|'([^']*)'""", text)]


# CRI-O


def crio_cni(files: Iterable[str]) -> dict[str, Any]:
    """Return what CRI-O's files say of CNI: {conf_dir: str, bin_dirs: list of str, network: str},
    its defaults where they say nothing.

    files: their texts, later ones override. network: the name of the one network that it takes, ""
    for that of the first file.
    """
    found: dict[str, list[str]] = {}
    for text in files:
        plain = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        for key, value in re.findall(
            r"^\s*(network_dir|plugin_dirs|cni_default_network)\s*=\s*(\[[^\]]*\]|\"[^\"]*\"|'[^']*')",
            plain,
            re.MULTILINE,
        ):
            found[key] = _toml_strings(value)
    return {
        "conf_dir": (found.get("network_dir") or ["/etc/cni/net.d"])[0].rstrip("/"),
        "bin_dirs": [
            directory.rstrip("/") for directory in found.get("plugin_dirs") or ["/opt/cni/bin"]
        ],
        "network": (found.get("cni_default_network") or [""])[0],
    }


def crio_dropin(conf_dir: str, plugin_dirs: list[str]) -> str:
    """Return the drop-in by which CRI-O looks for CNI in these directories and takes the
    meta-plugin's configuration alone.
    """
    return (
        f"{_MANAGED}[crio.network]\n"
        'cni_default_network = "multinet"\n'
        f"network_dir = {json.dumps(conf_dir)}\n"
        f"plugin_dirs = {json.dumps(plugin_dirs)}\n"
    )


# The kubelet


def kubelet_version(text: str) -> tuple[int, int] | None:
    """Return the version (major, minor) in what `kubelet --version` prints, None when there is none
    in it.
    """
    found = re.search(r"v(\d+)\.(\d+)\.", text)
    return (int(found.group(1)), int(found.group(2))) if found else None


def kubelet_variable(text: str, unit: str) -> str | None:
    """Return the variable that holds the kubelet's options: one that a file (its text) sets, else
    one that the unit (its text) uses; else None.
    """
    for variable in KUBELET_VARIABLES:
        if _assignment(text, variable):
            return variable
    found = [variable for variable in KUBELET_VARIABLES if re.search(rf"\$\{{?{variable}\b", unit)]
    return found[0] if found else None


def kubelet_flags(text: str, variable: str) -> dict[str, str]:
    """Return which of the options about CNI a file sets in a variable: {option: value}."""
    found = _assignment(text, variable)
    flags = {}
    for flag in KUBELET_FLAGS:
        value = re.search(_flag_pattern(flag), _value(found)) if found else None
        if value:
            flags[flag] = value.group("value") or ""
    return flags


def set_kubelet_flags(text: str, variable: str, flags: Mapping[str, str]) -> str:
    """Return the file with these options about CNI ({option: value}) and no others; all other
    options and lines stay as they are.
    """
    if kubelet_flags(text, variable) == flags:
        return text
    found = _assignment(text, variable)
    if not found:
        end = "" if not text or text.endswith("\n") else "\n"
        return f'{text}{end}{variable}="{_joined(flags)}"\n'
    value = _value(found)
    for flag in KUBELET_FLAGS:
        value = re.sub(_flag_pattern(flag), "", value)
    quote = "'" if found.group("single") is not None else '"'
    value = " ".join(part for part in (value.rstrip(), _joined(flags)) if part)
    return "".join(
        [text[: found.start()], found.group("name"), quote, value, quote, text[found.end() :]]
    )


def _joined(flags: Mapping[str, str]) -> str:
    return " ".join(f"{flag}={value}" for flag, value in flags.items())


def _flag_pattern(flag: str) -> str:
    return rf"(?:(?<=\s)|^){re.escape(flag)}(?:(?:=|\s+(?!-))(?P<value>[^\s\"']*))?(?=\s|$)\s?"


def _assignment(text: str, variable: str) -> re.Match[str] | None:
    """The match of the line, or quoted lines, that set the variable; None when none does."""
    name = rf"^(?P<name>[ \t]*(?:export[ \t]+)?{variable}=)"
    value = r"""(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s"']*)(?=[ \t]*$))"""
    return re.search(name + value, text, re.MULTILINE)


def _value(assignment: re.Match[str]) -> str:
    return next(
        (value for value in assignment.group("double", "single", "bare") if value is not None), ""
    )


# docker


def docker_command(unit_text: str, own: str) -> str | None:
    """Return the command line that starts docker by its unit (what `systemctl cat` prints), the
    drop-in `own` (a path) left out; None when none.
    """
    command, mine = None, False
    for line in re.sub(r"\s*\\\n\s*", " ", unit_text).splitlines():
        if line.startswith("# /"):
            mine = line[2:].strip() == own
        key, equals, value = line.partition("=")
        if not mine and equals and key.strip() == "ExecStart":
            command = value.strip() or None
    return command


def docker_dropin(command: str, network: Mapping[str, Any]) -> str:
    """Return the drop-in of docker.service by which docker's own bridge is in a network of the
    plan: flannel's subnet and MTU at each start.

    command: see docker_command(); network: one of the plan. docker waits for the network's lease.
    """
    accept = f"/usr/sbin/iptables -%s DOCKER-USER -%s {network['cidr']} -j ACCEPT"
    lines = [
        "[Unit]",
        "Wants=" + network["unit"],
        "After=" + network["unit"],
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Restart=always",
        "RestartSec=2",
        "EnvironmentFile=" + network["subnet_file"],
        "ExecStart=",
        # the collection masquerades itself, and only what leaves the networks
        f"ExecStart={command}{_IN_NETWORK}",
        # docker drops what it forwards; networks are kept apart elsewhere
        "ExecStartPost=-" + accept % ("I", "s"),
        "ExecStartPost=-" + accept % ("I", "d"),
        "ExecStopPost=-" + accept % ("D", "s"),
        "ExecStopPost=-" + accept % ("D", "d"),
    ]
    return _MANAGED + "\n".join(lines) + "\n"


def docker_last_dropin(dropin: str, address: str) -> str:
    """Return the drop-in (made of docker_dropin()'s) for one last start, by which docker's bridge
    gets its former address back and remembers it.
    """
    command = next(
        line[len("ExecStart=") : -len(_IN_NETWORK)]
        for line in dropin.splitlines()
        if line.startswith("ExecStart=") and line.endswith(_IN_NETWORK)
    )
    return _MANAGED + f"[Service]\nExecStart=\nExecStart={command} --bip={address}\n"
