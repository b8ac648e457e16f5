# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Container images in a mirror directory: the OCI layout images/, filled from their registries.

What a registry answers is said by OCI's distribution-spec 1.1 (its tokens by the page "Token
Authentication" of the Distribution project), what a layout holds by OCI's image-spec 1.1. Of an
image of several architectures those that are wanted are kept, as they were published, under an
index of ours. A name with a tag is believed to the registry; one with a digest is checked by it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.parse
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from ansible.module_utils.urls import open_url
from ansible_collections.multinet.flannel.plugins.module_utils._cni import files
from ansible_collections.multinet.flannel.plugins.module_utils._node import executable_file
from ansible_collections.multinet.flannel.plugins.module_utils._node.sums import (
    ArtifactError,
    sha256_of,
)

from . import releases
from .store import OPENING, download, locked

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = "images"
# A name without a registry is Docker's
DOCKER, DOCKER_AT = "docker.io", "https://registry-1.docker.io"
TOKEN_SECONDS = 60  # no token ends earlier

OCI = "application/vnd.oci.image."
INDEX, MANIFEST = f"{OCI}index.v1+json", f"{OCI}manifest.v1+json"
DOCKERS = "application/vnd.docker.distribution.manifest."
ACCEPT = ", ".join((INDEX, MANIFEST, f"{DOCKERS}list.v2+json", f"{DOCKERS}v2+json"))

_NAME = re.compile(
    r"((?P<registry>(?=[^/]*[.:]|localhost/)[a-zA-Z0-9][\w.-]*(:\d+)?)/)?"
    r"(?P<repository>[a-z0-9][a-z0-9._/-]*?)"
    r"(:(?P<tag>\w[\w.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_DIGEST = re.compile("sha256:[0-9a-f]{64}")


class Image(NamedTuple):
    """An image by its name."""

    name: str  # as it was written
    registry: str
    repository: str
    reference: str  # tag or digest


def parse(name: str) -> Image:
    """Return what a name such as ghcr.io/flannel-io/flannel:TAG says; raise ArtifactError."""
    found = _NAME.fullmatch(name)
    if not found:
        raise ArtifactError(
            f"{name!r} is not the name of an image: write it as ghcr.io/flannel-io/flannel:TAG,"
            " or with @sha256: and its digest."
        )
    registry, repository = found["registry"] or DOCKER, found["repository"]
    if registry == DOCKER and "/" not in repository:
        repository = f"library/{repository}"
    return Image(name, registry, repository, found["digest"] or found["tag"] or "latest")


class Registry:
    """A registry, of which one repository is read."""

    def __init__(self, image: Image, base_urls: dict[str, str]) -> None:
        """base_urls: {registry: URL in its place, which may have a user and a password}."""
        default = DOCKER_AT if image.registry == DOCKER else f"https://{image.registry}"
        parts = urllib.parse.urlsplit((base_urls.get(image.registry) or default).rstrip("/"))
        user, dummy, self._host = parts.netloc.rpartition("@")
        self._login = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        self._base = parts._replace(netloc=self._host).geturl()
        self._repository = image.repository
        self._headers: dict[str, str] = {}
        self._until = 0.0

    def fetch(self, kind: str, reference: str, path: str) -> None:
        """Write a blob or a manifest (kind: blobs, manifests) to a file; raise ArtifactError,
        OSError.
        """
        headers = {"Accept": ACCEPT} if kind == "manifests" else {}
        url = f"{self._base}/v2/{self._repository}/{kind}/{reference}"
        download(url, path, {**headers, **self._authorization()})

    def _authorization(self) -> dict[str, str]:
        """Return the header that the registry asks for."""
        if time.monotonic() > self._until:
            self._headers = self._log_in()
            self._until = time.monotonic() + TOKEN_SECONDS
        return self._headers

    def _log_in(self) -> dict[str, str]:
        basic = {"Authorization": f"Basic {self._login}"} if self._login else {}
        try:
            self._get(f"{self._base}/v2/", {})
            return {}
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.UNAUTHORIZED:
                return {}  # what is asked for next says it
            asked = error.headers.get("WWW-Authenticate") or ""
        if not asked.lower().startswith("bearer "):
            return basic
        words = dict(re.findall(r'(\w+)="([^"]*)"', asked))
        realm = urllib.parse.urlsplit(words.get("realm", ""))
        query = {
            "service": words.get("service", ""),
            "scope": f"repository:{self._repository}:pull",
        }
        # the password goes to nobody in clear whom it is not for
        trusted = realm.scheme == "https" or realm.netloc == self._host
        url = realm._replace(query=urllib.parse.urlencode(query)).geturl()
        try:
            answer = json.loads(self._get(url, basic if trusted else {}))
            return {"Authorization": f"Bearer {answer.get('token') or answer['access_token']}"}
        except urllib.error.HTTPError as error:
            raise ArtifactError(
                f"{self._base} does not let you read {self._repository} without a login, and gives"
                f" no token: {error}. Write user and password into multinet_release_base_urls:"
                f" {{{self._host}: 'https://user:password@{self._host}'}}."
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{realm.geturl()} gives no token, as a registry does.") from error

    @staticmethod
    def _get(url: str, headers: dict[str, str]) -> bytes:
        try:
            with OPENING:
                response = open_url(url, headers=headers, timeout=60, use_netrc=False)
            return response.read()
        except urllib.error.HTTPError:
            raise
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ArtifactError(
                f"{url} does not answer: {error}. Check the address and the proxy, or set"
                " multinet_release_base_urls to a place that has its images."
            ) from error


class Layout:
    """The OCI layout of a mirror directory."""

    def __init__(self, directory: str, base_urls: dict[str, str] | None = None) -> None:
        """base_urls: {registry: URL in its place}."""
        self.folder = os.path.join(directory, FOLDER)
        self._base_urls = base_urls or {}

    def verify(self, name: str, architectures: Iterable[str]) -> bool:
        """Return whether the image is here for the architectures (Go's names), whole."""
        try:
            entry = next(one for one in self._index() if _name_of(one) == name)
            found = set()
            for manifest in self._blob(entry)["manifests"]:
                content = self._blob(manifest)
                for blob in (content["config"], *content["layers"]):
                    if "sha256:" + sha256_of(self._place(blob["digest"])) != blob["digest"]:
                        return False
                found.add(manifest["platform"]["architecture"])
            return found >= set(architectures)
        except (OSError, ValueError, KeyError, TypeError, StopIteration, ArtifactError):
            return False

    def fill(self, name: str, architectures: Iterable[str]) -> None:
        """Fetch an image for the architectures; raise ArtifactError.

        Blobs that are here are not fetched again.
        """
        image = parse(name)
        registry = Registry(image, self._base_urls)
        try:
            os.makedirs(os.path.join(self.folder, "blobs", "sha256"), exist_ok=True)
            kept = [
                descriptor
                for descriptor in self._manifests(image, registry)
                if descriptor["platform"].get("os") == "linux"
            ]
            there = {one["platform"]["architecture"] for one in kept}
            missing = sorted(set(architectures) - there)
            if missing:
                raise ArtifactError(
                    f"The image {name} is not published for {', '.join(missing)}, only for"
                    f" {', '.join(sorted(there)) or 'no architecture of Linux'}. Name another one,"
                    " or leave the architecture out of mirror_architectures."
                )
            kept = [one for one in kept if one["platform"]["architecture"] in set(architectures)]
            for descriptor in kept:
                content = self._fetched(registry, "manifests", descriptor)
                for blob in (content["config"], *content["layers"]):
                    self._fetched(registry, "blobs", blob, is_json=False)
            self._add(name, kept)
        except OSError as error:
            raise ArtifactError(
                f"{self.folder} could not be written on the controller: {error.strerror or error}."
            ) from error
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(
                f"The registry {image.registry} describes {name} as no image is: {error!r}."
            ) from error

    def _manifests(self, image: Image, registry: Registry) -> list[dict[str, Any]]:
        """Return the descriptors of an image's manifests, each with its platform."""
        key = _sha256(image.name.encode())
        work = os.path.join(self.folder, f".{key}.part")
        with locked(self.folder, f"-{key}"):
            files.remove(work)
            registry.fetch("manifests", image.reference, work)
            with open(work, "rb") as stream:
                raw = stream.read()
            files.remove(work)
        digest = "sha256:" + _sha256(raw)
        if _DIGEST.fullmatch(image.reference) and digest != image.reference:
            raise ArtifactError(
                f"The registry {image.registry} answers {image.name} with something that has the"
                f" digest {digest}. Nothing of it was kept."
            )
        content = _parsed(raw, f"The registry {image.registry} answers {image.name}")
        if "manifests" in content:
            return [one for one in content["manifests"] if "platform" in one]
        kind = content.get("mediaType", MANIFEST)
        descriptor = {"mediaType": kind, "digest": digest, "size": len(raw)}
        config = self._fetched(registry, "blobs", content["config"])
        platform = {"architecture": config["architecture"], "os": config["os"]}
        return [dict(descriptor, platform=platform)]

    def _fetched(
        self, registry: Registry, kind: str, descriptor: dict[str, Any], is_json: bool = True
    ) -> Any:
        """Have a blob here; return its content where it is JSON."""
        path = self._place(descriptor["digest"])
        # another image, or another run, may want the same
        with locked(self.folder, f"-{os.path.basename(path)}"):
            self._have(registry, kind, descriptor["digest"], path)
        if not is_json:
            return None
        with open(path, "rb") as stream:
            return _parsed(stream.read(), path)

    @staticmethod
    def _have(registry: Registry, kind: str, digest: str, path: str) -> None:
        if os.path.exists(path) and "sha256:" + sha256_of(path) == digest:
            return
        partial = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.part")
        registry.fetch(kind, digest, partial)
        if "sha256:" + sha256_of(partial) != digest:
            files.remove(partial)
            raise ArtifactError(
                f"What the registry gives for {digest} has another sum. Nothing of it was kept;"
                " run this again, or look for a proxy that changes it."
            )
        files.commit([(partial, path)])

    def _add(self, name: str, manifests: list[dict[str, Any]]) -> None:
        """Have the layout name an image of these manifests."""
        raw = _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})
        digest = "sha256:" + _sha256(raw)
        entry = {
            "mediaType": INDEX,
            "digest": digest,
            "size": len(raw),
            # the first is OCI's, the second what containerd's import reads a whole name from
            "annotations": dict.fromkeys(
                ("org.opencontainers.image.ref.name", "io.containerd.image.name"), name
            ),
        }
        with locked(self.folder):
            files.write(self._place(digest), raw, 0o644)
            entries = [one for one in self._index() if _name_of(one) != name]
            entries = sorted([*entries, entry], key=_name_of)
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
            files.write(os.path.join(self.folder, "index.json"), _json(index), 0o644)
            version = _json({"imageLayoutVersion": "1.0.0"})
            files.write(os.path.join(self.folder, "oci-layout"), version, 0o644)

    def _index(self) -> list[dict[str, Any]]:
        with contextlib.suppress(FileNotFoundError):
            place = os.path.join(self.folder, "index.json")
            with open(place, "rb") as stream:
                return _parsed(stream.read(), place)["manifests"]
        return []

    def _blob(self, descriptor: dict[str, Any]) -> dict[str, Any]:
        """Return the content of a JSON blob, which has its sum; raise ValueError, OSError."""
        with open(self._place(descriptor["digest"]), "rb") as stream:
            raw = stream.read()
        if "sha256:" + _sha256(raw) != descriptor["digest"]:
            raise ValueError("a wrong sum")
        return json.loads(raw)

    def _place(self, digest: str) -> str:
        if not _DIGEST.fullmatch(digest):
            raise ArtifactError(f"{digest!r} is not a sha256 digest.")
        return os.path.join(self.folder, "blobs", *digest.split(":"))


def _name_of(entry: dict[str, Any]) -> str:
    return (entry.get("annotations") or {}).get("org.opencontainers.image.ref.name", "")


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=2, sort_keys=True).encode() + b"\n"


def _parsed(raw: bytes, who: str) -> dict[str, Any]:
    """Return a JSON object; raise ArtifactError with what it is instead. who: begins a sentence."""
    try:
        content = json.loads(raw)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ArtifactError(
            f"{releases.shown(who)} with {executable_file.kind(raw)}, not with JSON. Look at it"
            " with a browser; give the proxy or the login what it asks for."
        )
    return content
