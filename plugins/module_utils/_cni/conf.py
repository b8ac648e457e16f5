# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network configurations: a plugin's configuration is its raw dict, unknown keys and all; only what
the runtime needs is looked at.
"""

from __future__ import annotations

import os

from . import errors, quick_json, version

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_SUFFIXES = (".conf", ".conflist", ".json")


class NetworkList:
    """A network: a name, a version, and the plugins that are called one after the other (SPEC
    section 1).

    name: str; cni_version: str or None where the configuration states none; plugins: list of dict,
    raw; disable_check, disable_gc: bool; raw: the dict it was made from.
    """

    def __init__(self, name, cni_version, plugins, disable_check=False, disable_gc=False, raw=None):
        self.name = name
        self.cni_version = cni_version
        self.plugins = plugins
        self.disable_check = disable_check
        self.disable_gc = disable_gc
        self.raw = raw

    @property
    def version(self):
        """The version this network's plugins are spoken to in (str)."""
        return self.cni_version or version.UNSTATED


class _Number(float):
    """A number that prints as it was read: 1.10 stays 1.10, and 1e400 does not become Infinity."""

    def __new__(cls, text):
        number = super().__new__(cls, text)
        number.text = text
        return number


def decode(text, what, comments=False):
    """Return the JSON object in text (str or bytes) as a dict; what (str) names it in the errors.

    comments: whether lines that begin with '#' are skipped, as the first generation's
    configurations have them. (No JSON string can hold such a line.)
    """
    if comments and (b"#" if isinstance(text, bytes) else "#") in text:
        mark, end = (b"#", b"\n") if isinstance(text, bytes) else ("#", "\n")
        text = end.join(line for line in text.split(end) if not line.lstrip().startswith(mark))
    value = decode_value(text, what)
    if not isinstance(value, dict):
        raise errors.Error(
            errors.DECODING_FAILURE,
            f"{what} is not a JSON object.",
            f"It is {type(value).__name__}.",
        )
    return value


def decode_value(text, what):
    """Return the JSON value in text (str or bytes), of whatever type; what (str) names it in the
    Error.
    """
    try:
        # "NaN" and its like are no JSON; letting them in would hand them on to plugins that refuse
        # them.
        return quick_json.loads(
            text, parse_constant=_refuse_constant, parse_float=_Number, parse_int=_integer
        )
    except (ValueError, RecursionError) as error:
        raise errors.Error(errors.DECODING_FAILURE, f"{what} is not JSON.", str(error)) from None


def _refuse_constant(name):
    raise ValueError(f"{name} is not a JSON number")


def _integer(text):
    return _Number(text) if text == "-0" else int(text)


def encode(value):
    """Return a value that decode() made, or one made of such values, as JSON (str); its numbers
    look as they did.

    Raises Error for a value that is nested too deeply.
    """
    try:
        return _encode(value)
    except RecursionError:
        raise errors.Error(
            errors.DECODING_FAILURE, "The configuration is nested too deeply."
        ) from None


def _encode(value):
    if isinstance(value, dict):
        return f"{{{', '.join((f'{quick_json.dumps(key)}: {_encode(item)}' for key, item in value.items()))}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_encode, value))}]"
    return value.text if isinstance(value, _Number) else quick_json.dumps(value)


def parse(raw, where, name=None):
    """Return the NetworkList of a configuration (dict): a list, or a single plugin's configuration.

    where: str, names it in errors; name: the network's name when the configuration has none.
    Raises Error with code 7 (or 1: unknown cniVersion).
    """
    plugins = raw.get("plugins") if "plugins" in raw else [raw]
    if not isinstance(plugins, list) or not plugins:
        raise _invalid(where, "`plugins` is not a list with at least one plugin's configuration")
    for place, plugin in enumerate(plugins):
        if not isinstance(plugin, dict):
            raise _invalid(where, f"plugin {place} of `plugins` is not an object")
        if not isinstance(plugin.get("type"), str) or not plugin["type"]:
            raise _invalid(where, f"plugin {place} has no `type`, the file name of its executable")
        if "/" in plugin["type"] or plugin["type"] in (".", ".."):
            raise _invalid(
                where,
                f"the `type` {plugin['type']!r} is a path: give the executable's file name only",
            )
        if not _is_capabilities(plugin.get("capabilities")):
            raise _invalid(
                where,
                f"the `capabilities` of plugin {plugin['type']} are not names with true or false",
            )
    network_name = raw.get("name", name)
    if not isinstance(network_name, str) or not is_name(network_name):
        raise _invalid(
            where,
            f"the `name` {network_name!r} is not one: letters, digits, '_', '.', '-', and a letter"
            " or digit first",
        )
    return NetworkList(
        network_name,
        _version(raw, where),
        plugins,
        _flag(raw, "disableCheck", where),
        _flag(raw, "disableGC", where),
        raw,
    )


def _is_capabilities(value):
    return value is None or (
        isinstance(value, dict) and all(isinstance(offered, bool) for offered in value.values())
    )


def _version(raw, where):
    """The highest version of `cniVersions` and `cniVersion` that is known here (SPEC section 1);
    None when neither says anything.
    """
    stated = raw.get("cniVersion")
    several = raw.get("cniVersions", [])
    if not isinstance(several, list):
        raise _invalid(where, "`cniVersions` is not a list")
    if stated in (None, "") and not several:
        return None
    known = [one for one in several + [stated] if one in version.ALL]
    if not known:
        raise errors.Error(
            errors.INCOMPATIBLE_VERSION,
            f"{where}: the cniVersion {stated if not several else several!r} is not known here.",
            f"Known are {', '.join(version.ALL)}.",
        )
    return max(known, key=version.ALL.index)


def _flag(raw, key, where):
    value = raw.get(key, False)
    if value in ("true", "false"):  # libcni takes the words as well
        return value == "true"
    if not isinstance(value, bool):
        raise _invalid(where, f"`{key}` is neither true nor false")
    return value


def _invalid(where, sentence):
    return errors.Error(errors.INVALID_CONFIGURATION, f"{where}: {sentence}.")


def read_file(path):
    """Return the JSON object in a file, as it is written there (dict); raise Error."""
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise errors.Error(
            errors.IO_FAILURE, f"The network configuration {path} cannot be read.", error.strerror
        ) from None
    return decode(text, path, comments=True)


def load_file(path):
    """Return the NetworkList in a file; raise Error."""
    return parse(read_file(path), path)


def files(path):
    """Return the configuration files in a directory (paths) in the order in which a runtime looks
    at them; raise Error.
    """
    try:
        names = sorted(
            name
            for name in os.listdir(path)
            if name.endswith(_SUFFIXES) and not name.startswith(".")
        )
    except OSError as error:
        raise errors.Error(
            errors.IO_FAILURE,
            f"The CNI configuration directory {path} cannot be read.",
            error.strerror,
        ) from None
    return [os.path.join(path, name) for name in names]


def load_directory(path):
    """Return the NetworkList a runtime would use: that of the directory's first configuration file
    by name; raise Error.
    """
    found = files(path)
    if not found:
        raise errors.Error(
            errors.INVALID_CONFIGURATION,
            f"There is no network configuration (*.conf, *.conflist, *.json) in {path}.",
        )
    return load_file(found[0])


def is_name(text):
    """Say whether text may be the name of a network or the id of a container (SPEC section 2)."""
    return bool(text) and text[0] not in "_.-" and _NAME_CHARACTERS.issuperset(text)


def is_interface_name(text):
    """Say whether Linux (and the CNI specification) take text as the name of an interface."""
    return (
        0 < len(text.encode("utf-8", "surrogateescape")) <= 15
        and text not in (".", "..")
        and not any(character in "/:" or character.isspace() for character in text)
    )
