# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a kubeconfig: which server, whom to trust, who we are
(kubernetes.io/docs/reference/config-api/kubeconfig.v1).

Kubeconfigs are YAML, which the standard library does not read; of YAML this reads what kubectl,
kubeadm, kubelet, installers and people write: mappings and lists, indented or in brackets, scalars
quoted and plain, also over several lines, literal and folded blocks, anchors and aliases, and JSON.
Everything else is refused by its line, never guessed.
"""

from __future__ import annotations

from .._cni import conf, errors
from .._cni.quick_os import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Access:
    """How to reach a server (URL).

    ca_data: PEM; insecure: any certificate will do; tls_name: whom the certificate has to name;
    certificate, key: ours, files or PEM.
    """

    def __init__(
        self,
        server: str,
        *,
        ca_file: str | None = None,
        ca_data: str | None = None,
        insecure: bool = False,
        tls_name: str | None = None,
        token: str | None = None,
        token_file: str | None = None,
        certificate: str | None = None,
        key: str | None = None,
        proxy: str | None = None,
    ) -> None:
        self.server = server
        self.ca_file = ca_file
        self.ca_data = ca_data
        self.insecure = insecure
        self.tls_name = tls_name
        self.token = token
        self.token_file = token_file
        self.certificate = certificate
        self.key = key
        self.proxy = proxy

    @property
    def is_renewed(self) -> bool:
        """Whether who we are may be in a file, where somebody renews it."""
        return bool(self.token_file or self.certificate)


_TEXTS = frozenset(
    (
        "server",
        "certificate-authority",
        "certificate-authority-data",
        "tls-server-name",
        "proxy-url",
        "token",
        "tokenFile",
        "client-certificate",
        "client-certificate-data",
        "client-key",
        "client-key-data",
    )
)
_WORDS = {
    written: value
    for word, value in (("null", None), ("true", True), ("false", False))
    for written in (word, word.capitalize(), word.upper())
}
_WORDS["~"] = None
_PEM = "-----BEGIN"
_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def in_cluster(environ: Mapping[str, str], directory: str = _SERVICE_ACCOUNT) -> Access | None:
    """Return how a pod's service account reaches the API, None where the environment names none."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        return None
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Access(server, ca_file=directory + "/ca.crt", token_file=directory + "/token")


def load(path: str) -> Access:
    """Return how a kubeconfig's current context reaches the API; raise Error (code 5, 6 or 7)."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.Error(
            errors.IO_FAILURE,
            f"The kubeconfig {path} cannot be read.",
            getattr(error, "strerror", None) or str(error),
        ) from None
    try:
        raw = conf.decode_value(text, "It") if text.lstrip().startswith("{") else parse_yaml(text)
    except errors.Error as error:
        raise errors.Error(
            errors.DECODING_FAILURE, f"The kubeconfig {path} cannot be understood.", error.details
        ) from None
    except (ValueError, RecursionError) as error:
        raise errors.Error(
            errors.DECODING_FAILURE, f"The kubeconfig {path} cannot be understood.", str(error)
        ) from None
    return _access(_Named(raw, path), os.path.dirname(path))


class _Named:
    """Look-ups in a kubeconfig that say what is missing."""

    def __init__(self, raw: object, path: str) -> None:
        self.path = path
        self.raw = raw if isinstance(raw, dict) else {}

    def current_context(self) -> dict[str, Any]:
        contexts = self._all("contexts")
        name = self.raw.get("current-context") or (
            contexts[0].get("name") if len(contexts) == 1 else None
        )
        if name is None:
            raise self.error("it has no `current-context`")
        return self.find("contexts", name, "context")

    def find(self, kind: str, name: object, key: str) -> dict[str, Any]:
        entry = next((entry for entry in self._all(kind) if entry.get("name") == name), None)
        if entry is None:
            raise self.error(f"it has no entry {name!r} in `{kind}`")
        value = entry.get(key) or {}
        if not isinstance(value, dict):
            raise self.error(f"`{key}` of {name!r} is not a mapping")
        for inner in _TEXTS.intersection(value):
            if not isinstance(value[inner], (str, type(None))):
                raise self.error(f"`{inner}` of {name!r} is not text")
        return value

    def error(self, sentence: str) -> errors.Error:
        return errors.Error(
            errors.INVALID_CONFIGURATION, f"The kubeconfig {self.path}: {sentence}."
        )

    def _all(self, kind: str) -> list[dict[str, Any]]:
        entries = self.raw.get(kind) or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise self.error(f"`{kind}` is not a list of mappings")
        return entries


def _access(config: _Named, directory: str) -> Access:
    context = config.current_context()
    cluster = config.find("clusters", context.get("cluster"), "cluster")
    user = config.find("users", context["user"], "user") if context.get("user") else {}
    server = cluster.get("server")
    if not isinstance(server, str) or not server.startswith(("https://", "http://")):
        raise config.error(f"the `server` {server!r} is not an http or https URL")
    for key, what in (
        ("exec", "a program that prints credentials (`exec`)"),
        ("auth-provider", "an `auth-provider`"),
        ("username", "a user name and password"),
    ):
        if user.get(key):
            raise config.error(
                f"its user has {what}, which is not supported; give it a `tokenFile`, a `token` or"
                " a client certificate"
            )
    for key in ("as", "as-groups", "as-uid", "as-user-extra"):
        if user.get(key):
            raise config.error(
                f"its user impersonates another one (`{key}`), which is not supported"
            )

    def file(entry: dict[str, Any], key: str) -> str | None:
        value = entry.get(key)
        return os.path.join(directory, value) if value else None

    def data(entry: dict[str, Any], key: str) -> str | None:
        value = entry.get(key)
        if not value:
            return None
        import base64  # where a kubeconfig carries its certificates

        try:
            text = base64.b64decode("".join(value.split()), validate=True).decode()
            text = text[text.index(_PEM) :]  # people and openssl write before it
        except ValueError:
            raise config.error(f"`{key}` is not base64 of a PEM text") from None
        return text.encode("ascii", "ignore").decode()  # OpenSSL takes no comment in other scripts

    return Access(
        server,
        ca_file=file(cluster, "certificate-authority"),
        ca_data=data(cluster, "certificate-authority-data"),
        insecure=cluster.get("insecure-skip-tls-verify") in (True, "true"),
        tls_name=cluster.get("tls-server-name"),
        proxy=cluster.get("proxy-url"),
        token=user.get("token"),
        token_file=file(user, "tokenFile"),
        certificate=data(user, "client-certificate-data") or file(user, "client-certificate"),
        key=data(user, "client-key-data") or file(user, "client-key"),
    )


def parse_yaml(text: str) -> Any:
    """Return what a YAML text of the kind described above holds (every scalar but null, true and
    false is a str); raise ValueError.
    """
    return _Yaml(text).document()


class _Yaml:
    def __init__(self, text: str) -> None:
        self.raw = text.splitlines()
        self.lines: list[tuple[int, int, str]] = []  # (number, indent, content)
        for number, line in enumerate(self.raw):
            content = line.strip()
            if not content or content.startswith("#"):
                continue
            if not self.lines and (content == "---" or content.startswith("%YAML ")):
                continue
            if line.rstrip() == "...":
                break
            indent = len(line) - len(line.lstrip())
            if "\t" in line[:indent]:
                raise ValueError(f"line {number + 1} is indented by a tab")
            self.lines.append((number, indent, content))
        self.place = 0
        self.anchors: dict[str, Any] = {}

    def document(self) -> Any:
        if not self.lines:
            return {}
        value = self._block(self.lines[0][1])
        if self.place < len(self.lines):
            raise self._error("is indented wrongly or begins a second document")
        return value

    def _error(self, sentence: str) -> ValueError:
        number = self.lines[min(self.place, len(self.lines) - 1)][0]
        return ValueError(f"line {number + 1} {sentence}: {self.raw[number].strip()[:40]}")

    def _block(self, indent: int) -> Any:
        """The list or mapping whose lines have this indent."""
        return self._list(indent) if self._is_item() else self._mapping(indent)

    def _here(self, indent: int) -> bool:
        return self.place < len(self.lines) and self.lines[self.place][1] == indent

    def _is_item(self) -> bool:
        content = self.lines[self.place][2]
        return content == "-" or content.startswith("- ")

    def _list(self, indent: int) -> list[Any]:
        items = []
        while self._here(indent) and self._is_item():
            number, _indent, content = self.lines[self.place]
            rest = content[1:].strip()
            if not rest or rest.startswith("#"):
                self.place += 1
                items.append(self._nested(indent, False))
            elif _key(rest) is not None:
                # the mapping begins on the line of its dash
                inner = indent + len(content) - len(content[1:].lstrip())
                self.lines[self.place] = (number, inner, rest)
                items.append(self._mapping(inner))
            else:
                self.place += 1
                items.append(self._scalar(rest, indent))
        return items

    def _mapping(self, indent: int) -> dict[str, Any]:
        mapping = {}
        while self._here(indent) and not self._is_item():
            key = _key(self.lines[self.place][2])
            if key is None:
                raise self._error("is not `key: value`")
            name, rest = key
            if name in mapping:
                raise self._error("repeats a key")
            self.place += 1
            mapping[name] = self._nested(indent, True) if not rest else self._scalar(rest, indent)
        return mapping

    def _nested(self, indent: int, under_key: bool) -> Any:
        """What is indented more than indent; a list under a key may stand below the key itself."""
        if self.place < len(self.lines):
            deeper = self.lines[self.place][1]
            if deeper > indent or (under_key and deeper == indent and self._is_item()):
                return self._block(deeper)
        return None

    def _scalar(self, text: str, indent: int) -> Any:
        if text[0] in "|>":
            return self._block_text(text, indent)
        if text[0] == "&":
            name, _space, rest = text[1:].partition(" ")
            rest = rest.strip()
            value = self._scalar(rest, indent) if rest else self._nested(indent, True)
            self.anchors[name] = value
            return value
        if text[0] == "*" and text[1:].partition(" #")[0].strip() in self.anchors:
            return self.anchors[text[1:].partition(" #")[0].strip()]
        if text[0] in "*!@`%":
            self.place -= 1
            raise self._error("has a tag, or an alias without its anchor, which is not read here")
        return self._inline(text, indent)

    def _inline(self, text: str, indent: int) -> Any:
        """A value that begins in its line, and may go on in those below: in brackets until these
        end, else while they are indented more and there is nothing between.
        """
        in_brackets = text[0] in "{["
        value = _inline(text)
        while self.place < len(self.lines) and (
            (value is _Yaml and in_brackets) or self.lines[self.place][1] > indent
        ):
            number, _indent, more = self.lines[self.place]
            if value is not _Yaml and text[0] in "\"'{[":
                break  # it has ended
            if not in_brackets and number != self.lines[self.place - 1][0] + 1:
                break
            if _key(more) is not None and text[0] not in "\"'{[":
                break
            text = f"{text.partition(' #')[0] if in_brackets else text} {more}"
            self.place += 1
            value = _inline(text)
        if value is _Yaml:
            self.place -= 1
            raise self._error("has a value that does not end, or is not a plain value")
        if self.place < len(self.lines) and self.lines[self.place][1] > indent:
            raise self._error("goes on with a value of the line before, which is not read here")
        return value

    def _block_text(self, header: str, indent: int) -> str:
        """Lines as they are (`|`), or joined (`>`)."""
        if header[1:].partition("#")[0].strip() not in ("", "-", "+"):
            self.place -= 1
            raise self._error("begins a block with its indentation, which is not read here")
        begin = self.lines[self.place - 1][0] + 1
        end = begin
        while end < len(self.raw) and (
            not self.raw[end].strip() or len(self.raw[end]) - len(self.raw[end].lstrip()) > indent
        ):
            end += 1
        while self.place < len(self.lines) and self.lines[self.place][0] < end:
            self.place += 1
        body = self.raw[begin:end]
        depth = min((len(line) - len(line.lstrip()) for line in body if line.strip()), default=0)
        lines = [line[depth:].rstrip() if header[0] == ">" else line[depth:] for line in body]
        if header[0] == ">" and any(line[:1] in (" ", "\t") for line in lines):
            raise self._error(
                "follows a folded block with an indented line, which is not read here"
            )
        text = "\n".join(lines).strip("\n") if header[0] == ">" else "\n".join(lines).rstrip("\n")
        if header[0] == ">":
            text = _folded(text)
        return text if "-" in header else text + "\n"


def _folded(text: str) -> str:
    """Join lines: a single end of line is a space, of several one goes."""
    joined = ""
    for line in text.split("\n"):
        if not line:
            joined += "\n"
        else:
            joined += line if not joined or joined.endswith("\n") else " " + line
    return joined


def _key(text: str) -> tuple[str, str] | None:
    """Return (key, what follows) of `key: value`, or None when the text is none."""
    if text[0] in "\"'":
        end = text.find(text[0], 1)
        if end < 0 or text[end + 1 : end + 2] != ":":
            return None
        name, rest = text[1:end], text[end + 2 :]
    else:
        name, colon, rest = text.partition(":")
        if not colon or text[0] in "{[" or " #" in name:
            return None
    if rest and not rest.startswith(" "):
        return None
    rest = rest.strip()
    return name.strip(), "" if rest.startswith("#") else rest


def _inline(text: str) -> Any:
    """Return the value of a scalar on one line, or _Yaml when it is none."""
    if text[0] == "'":
        end = 1
        while end < len(text):
            if text[end] == "'":
                if text[end + 1 : end + 2] != "'":
                    return text[1:end].replace("''", "'") if _is_end(text[end + 1 :]) else _Yaml
                end += 1
            end += 1
        return _Yaml
    if text[0] in '"{[':
        import json  # where a value is written as in JSON

        try:
            value, end = json.JSONDecoder().raw_decode(text)
        except ValueError:
            if text[0] == '"':
                return _Yaml
            value, end = _Flow(text).read()
        return value if _is_end(text[end:]) else _Yaml
    plain = text.partition(" #")[0].strip()
    if ": " in plain or plain.endswith(":") or plain.startswith(("- ", "? ", ",", "]", "}")):
        return _Yaml
    return _WORDS.get(plain, plain)


class _Flow:
    """A list or mapping on one line, in brackets: `{cluster: local, user: 'me'}`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0

    def read(self) -> tuple[Any, int]:
        """Return the value and where it ends; (_Yaml, 0) when it is none."""
        try:
            return self._value(), self.place
        except (IndexError, ValueError):
            return _Yaml, 0

    def _next(self) -> str:
        """The next character that is no space."""
        while self.text[self.place] == " ":
            self.place += 1
        return self.text[self.place]

    def _value(self) -> Any:
        first = self._next()
        if first in "[{":
            self.place += 1
            return self._items("]") if first == "[" else dict(self._items("}"))
        if first in "\"'":
            return self._quoted(first)
        end = self.place
        while self.text[end] not in ",[]{}" and self.text[end : end + 2] not in (": ", " #"):
            end += 1
        plain, self.place = self.text[self.place : end].strip(), end
        if not plain or plain[0] in "&*!@`%|>?":
            raise ValueError(plain)
        return _WORDS.get(plain, plain)

    def _quoted(self, quote: str) -> str:
        end = self.text.index(quote, self.place + 1)
        while quote == "'" and self.text[end + 1] == quote:  # twice: itself
            end = self.text.index(quote, end + 2)
        value, self.place = self.text[self.place + 1 : end], end + 1
        if quote == '"' and "\\" in value:
            raise ValueError(self.text)  # nobody writes such into a kubeconfig
        return value.replace("''", "'") if quote == "'" else value

    def _items(self, closing: str) -> list[Any]:
        found: list[Any] = []
        while self._next() != closing:
            item = self._value()
            if closing == "}":
                if self._next() != ":":
                    raise ValueError(item)
                self.place += 1
                item = (item, self._value())
            found.append(item)
            if self._next() == ",":
                self.place += 1
            elif self._next() != closing:
                raise ValueError(self.text)
        self.place += 1
        return found


def _is_end(text: str) -> bool:
    return not text.strip() or text.lstrip().startswith("#")
