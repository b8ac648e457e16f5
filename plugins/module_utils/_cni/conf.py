# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network configurations: a plugin's configuration is its raw dict, unknown keys and all; only what
the runtime needs is looked at.
"""

from __future__ import annotations

from . import errors, quick_json, version
from .quick_os import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, NoReturn

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
# C ends a text at the first of these, and no name that is meant has one of the others.
_CONTROL = frozenset(map(chr, (*range(0x20), 0x7F)))
_LINES = frozenset("\t\n\r")
SUFFIXES = (".conf", ".conflist", ".json")
# A change of these changes what the kernel has for others, such as accept_redirects
# (Documentation/networking/ip-sysctl.rst).
_FORWARDING = ("/ip_forward", "/all/forwarding")
# The keys of a network and of its plugins that are read here; plugins read their own.
_KEYS = frozenset(
    (
        "name",
        "type",
        "cniVersion",
        "cniVersions",
        "capabilities",
        "plugins",
        "disableCheck",
        "disableGC",
        "loadOnlyInlinedPlugins",
    )
)


class NetworkList:
    """A network: a name, a version, and the plugins that are called one after the other (SPEC
    section 1).

    cni_version: None where the configuration states none; plugins: their configurations, raw; raw:
    what it was made from.
    """

    def __init__(
        self,
        name: str,
        cni_version: str | None,
        plugins: list[dict[str, Any]],
        *,
        disable_check: bool = False,
        disable_gc: bool = False,
        raw: dict[str, Any],
    ) -> None:
        self.name = name
        self.cni_version = cni_version
        self.plugins = plugins
        self.disable_check = disable_check
        self.disable_gc = disable_gc
        self.raw = raw

    @property
    def version(self) -> str:
        """The version this network's plugins are spoken to in."""
        return self.cni_version or version.UNSTATED

    @property
    def capabilities(self) -> set[str]:
        """What at least one of its plugins says it can do."""
        return {
            name
            for plugin in self.plugins
            for name, supported in (plugin.get("capabilities") or {}).items()
            if supported
        }


class _Number(float):
    """A number that prints as it was read: 1.10 stays 1.10, and 1e400 does not become Infinity."""

    text: str
    was_made = False  # whether there are any

    def __new__(cls, text: str) -> _Number:
        cls.was_made = True
        number = super().__new__(cls, text)
        number.text = text
        return number


def decode(text: str | bytes, what: str, comments: bool = False) -> dict[str, Any]:
    """Return the JSON object in text; what names it in the Error.

    comments: whether lines that begin with '#' are skipped, as the first generation's
    configurations have them. (No JSON string can hold such a line.)
    """
    value = decode_value(_without_comments(text) if comments else text, what)
    if not isinstance(value, dict):
        raise errors.Error(
            errors.DECODING_FAILURE,
            f"{what} is not a JSON object.",
            f"It is {type(value).__name__}.",
        )
    return value


def _without_comments(text: str | bytes) -> str | bytes:
    if isinstance(text, bytes):
        if b"#" not in text:
            return text
        lines = text.split(b"\n")
        return b"\n".join(line for line in lines if not line.lstrip().startswith(b"#"))
    return "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))


def decode_value(text: str | bytes, what: str) -> Any:
    """Return the JSON value in text, of whatever type; what names it in the Error."""
    try:
        # "NaN" and its like are no JSON; letting them in would hand them on to plugins that refuse
        # them.
        return quick_json.loads(
            text, parse_constant=_refuse_constant, parse_float=_Number, parse_int=_integer
        )
    except (ValueError, RecursionError) as error:
        raise errors.Error(errors.DECODING_FAILURE, f"{what} is not JSON.", str(error)) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _integer(text: str) -> float:
    return _Number(text) if text == "-0" else int(text)


def encode(value: Any) -> str:
    """Return a value that decode() made, or one made of such values, as JSON; its numbers look as
    they did; raise Error for one that is nested too deeply.
    """
    try:
        return _encode(value) if _Number.was_made else quick_json.encode(value)
    except RecursionError:
        raise errors.Error(
            errors.DECODING_FAILURE, "The configuration is nested too deeply."
        ) from None


def _encode(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{quick_json.dumps(key)}: {_encode(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_encode, value))}]"
    return value.text if isinstance(value, _Number) else quick_json.dumps(value)


def folded(raw: dict[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Return an object with its keys written as in known, whatever their case.

    Go's JSON ignores it (and takes a long s, U+017F, for an s), so what works with other programs
    may be written so; a key that is there in both forms counts as it is known.
    """
    keys = {key.casefold(): key for key in known}
    if all(keys.get(key.casefold(), key) == key for key in raw):
        return raw
    other = {keys[key.casefold()]: value for key, value in raw.items() if key.casefold() in keys}
    rest = {key: value for key, value in raw.items() if key.casefold() not in keys}
    return {**rest, **other, **{key: raw[key] for key in other if key in raw}}


def meant(key: str, known: Iterable[str]) -> str | None:
    """Return the known key that an unknown one is nearly, None where it is like none of them."""
    import difflib  # where a key is unknown

    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(key.lower(), names, 1, 0.85)
    return names[near[0]] if near else None


def network_keys(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a network's configuration with those of its keys that are read here in the case of the
    specification, its plugins' too.
    """
    raw = folded(raw, _KEYS)
    plugins = raw.get("plugins")
    if isinstance(plugins, list):
        plugins = [folded(one, _KEYS) if isinstance(one, dict) else one for one in plugins]
        raw = dict(raw, plugins=plugins)
    return raw


def parse(raw: dict[str, Any], where: str, name: str | None = None) -> NetworkList:
    """Return the network of a configuration: a list, or a single plugin's configuration.

    where: names it in errors; name: the network's name when the configuration has none. Raises
    Error with code 7 (or 1: unknown cniVersion).
    """
    plugins = [raw] if raw.get("plugins") is None else raw["plugins"]
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
        disable_check=_flag(raw, "disableCheck", where),
        disable_gc=_flag(raw, "disableGC", where),
        raw=raw,
    )


def _is_capabilities(value: object) -> bool:
    return value is None or (
        isinstance(value, dict) and all(isinstance(offered, bool) for offered in value.values())
    )


def _version(raw: dict[str, Any], where: str) -> str | None:
    """The highest version of `cniVersions` and `cniVersion` that is known here (SPEC section 1);
    None when neither says anything.
    """
    stated = raw.get("cniVersion")
    several = raw.get("cniVersions") or []
    if not isinstance(several, list):
        raise _invalid(where, "`cniVersions` is not a list")
    if stated in (None, "") and not several:
        return None
    known = [one for one in several + [stated] if one in version.ALL]
    if not known:
        raise errors.Error(
            errors.INCOMPATIBLE_VERSION,
            f"{where}: the cniVersion {several or stated!r} is not known here.",
            f"Known are {', '.join(version.ALL)}.",
        )
    return max(known, key=version.ALL.index)


def _flag(raw: dict[str, Any], key: str, where: str) -> bool:
    value = raw.get(key) or False
    if value in ("true", "false"):  # libcni takes the words as well
        return value == "true"
    if not isinstance(value, bool):
        raise _invalid(where, f"`{key}` is neither true nor false")
    return value


def _invalid(where: str, sentence: str) -> errors.Error:
    return errors.Error(errors.INVALID_CONFIGURATION, f"{where}: {sentence}.")


def read_file(path: str) -> dict[str, Any]:
    """Return the network's configuration in a file; raise Error.

    A list gets the plugins of <its directory>/<its name>/*.conf as well, after its own, unless it
    has `loadOnlyInlinedPlugins` (SPEC section 1; libcni's NetworkConfFromFile).
    """
    raw = _read(path)
    name = raw.get("name")
    is_list = raw.get("plugins") is not None or path.endswith(".conflist")
    if not is_list or not isinstance(name, str) or not is_name(name):
        return raw
    if _flag(raw, "loadOnlyInlinedPlugins", path):
        return raw
    directory = os.path.join(os.path.dirname(path), name)
    inlined = raw.get("plugins") or []
    if not os.path.isdir(directory) or not isinstance(inlined, list):
        return raw
    return dict(raw, plugins=inlined + [_read(file) for file in files(directory, (".conf",))])


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError as error:
        raise errors.io_failure(
            f"The network configuration {path} cannot be read.", error
        ) from None
    return network_keys(decode(text, path, comments=True))


def load_file(path: str) -> NetworkList:
    """Return the NetworkList in a file; raise Error."""
    return parse(read_file(path), path)


def files(path: str, suffixes: tuple[str, ...] = SUFFIXES) -> list[str]:
    """Return the configuration files in a directory (paths) in the order in which a runtime looks
    at them, none where there is no directory; raise Error.

    As libcni's ConfFiles, by which all runtimes look: hidden files are among them.
    """
    try:
        names = sorted(name for name in os.listdir(path) if name.endswith(suffixes))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise errors.io_failure(
            f"The CNI configuration directory {path} cannot be read.", error
        ) from None
    paths = [os.path.join(path, name) for name in names]
    return [one for one in paths if not os.path.isdir(one)]


def load_directory(path: str) -> NetworkList:
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


def is_name(text: str) -> bool:
    """Say whether text may be the name of a network or the id of a container (SPEC section 2)."""
    return bool(text) and text[0] not in "_.-" and _NAME_CHARACTERS.issuperset(text)


def is_interface_name(text: str) -> bool:
    """Say whether Linux (and the CNI specification) take text as the name of an interface."""
    try:
        size = len(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return False
    return (
        0 < size <= 15
        and text not in (".", "..")
        and _CONTROL.isdisjoint(text)
        # of a `%`, the kernel makes a name of its own
        and not any(character in "/:%" or character.isspace() for character in text)
    )


def texts(value: object) -> Iterator[str]:
    """Yield every text in a JSON value, the keys of its objects too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)


def unlike(value: object) -> str | None:
    """Return a text in a JSON value that others read as another one, None where there is none: with
    a control character (a name ends at NUL), or with half a character.
    """
    for text in texts(value):
        if not (_CONTROL - _LINES).isdisjoint(text) or any(
            "\ud800" <= one <= "\udfff" for one in text
        ):
            return text
    return None


def sysctl_path(key: str, interface: str) -> str:
    """Return the path below /proc/sys of a sysctl of a tuning configuration; IFNAME in it stands
    for the interface (github.com/containernetworking/plugins, plugins/meta/tuning/tuning.go).
    """
    return key.replace(".", "/").replace("IFNAME", interface, 1)


def sysctls_in_order(paths: Iterable[str]) -> list[str]:
    """Return paths with those first whose change would take others back."""
    return sorted(paths, key=lambda one: not one.endswith(_FORWARDING))
