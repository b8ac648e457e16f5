# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What mirrors are filled from, over loopback: release pages and a registry of container images.

Below /v2/ it answers as registries do: it asks for a token, gives it to who logs in, and sends who
wants a blob to a storage that takes no login. All else is a file of its directory.

    upstream_server.py MIRROR FILE USER:PASSWORD

serves the programs of a mirror directory as upstream's releases, under upstream's paths and names,
and flanneld's image; the file gets the variables with which the playbook mirror finds them.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import io
import json
import pathlib
import re
import sys
import tarfile
import tempfile
import urllib.parse

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "plugins" / "plugin_utils" / "_artifacts" / "releases.yml"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TOKEN = "Bearer of-the-registry"


class UpstreamServer(http.server.ThreadingHTTPServer):
    """Serves a directory and a registry, on a free port of 127.0.0.1, and remembers what was asked
    for.

    login: `user:password` that is asked for; None: nobody is asked. bearer, an attribute: whether
    the registry wants a token, which it gives to who logs in; otherwise it takes the login itself.
    """

    def __init__(self, directory, login=None):
        self.asked, self.bearer = [], True
        self.login = login and "Basic " + base64.b64encode(login.encode()).decode()
        self.blobs, self.names = {}, {}
        handler = functools.partial(Handler, directory=str(directory))
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def publish(self, repository, tag, layers):
        """Publish an image: layers is {architecture: {path in the image: content}}.

        One that has an attestation besides, as those made by buildx do.
        """
        manifests = []
        for architecture, files in layers.items():
            layer = io.BytesIO()
            with tarfile.open(fileobj=layer, mode="w") as tar:
                for name, content in files.items():
                    member = tarfile.TarInfo(name)
                    member.size, member.mode = len(content), 0o755
                    tar.addfile(member, io.BytesIO(content))
            rootfs = {"type": "layers", "diff_ids": ["sha256:" + sha256(layer.getvalue())]}
            path = "/" + next(iter(files))
            config = {
                "architecture": architecture,
                "os": "linux",
                "config": {"Entrypoint": [path]},
                "rootfs": rootfs,
            }
            manifest = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": self._blob(_json(config), "application/vnd.oci.image.config.v1+json"),
                "layers": [self._blob(layer.getvalue(), "application/vnd.oci.image.layer.v1.tar")],
            }
            platform = {"architecture": architecture, "os": "linux"}
            manifests.append(self._blob(_json(manifest), MANIFEST) | {"platform": platform})
        unknown = {"architecture": "unknown", "os": "unknown"}
        manifests.append(self._blob(b"{}", MANIFEST) | {"platform": unknown})
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        self.names[repository, tag] = self._blob(_json(index), INDEX)["digest"]
        return self.names[repository, tag]

    def _blob(self, content, kind):
        digest = "sha256:" + sha256(content)
        self.blobs[digest] = content
        return {"mediaType": kind, "digest": digest, "size": len(content)}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Answers one request."""

    def do_GET(self):
        server, given = self.server, self.headers["Authorization"]
        server.asked.append(self.path)
        if self.path.startswith("http://"):  # it is asked as a proxy
            if server.login and self.headers["Proxy-Authorization"] != server.login:
                return self._answer(407, b"")
            self.path = urllib.parse.urlsplit(self.path).path
            return super().do_GET()
        if self.path.startswith("/storage/"):
            if given:
                return self._answer(400, b"one way to log in at a time")
            return self._answer(200, server.blobs[self.path[len("/storage/") :]])
        if not self.path.startswith("/v2/"):
            if server.login and given != server.login:
                return self._ask('Basic realm="mirror"')
            if self.path.startswith("/token?"):
                return self._answer(200, json.dumps({"token": TOKEN.split()[1]}).encode())
            return super().do_GET()
        if server.bearer and given != TOKEN:
            return self._ask(f'Bearer realm="{server.url}/token",service="here"')
        if not server.bearer and server.login and given != server.login:
            return self._ask('Basic realm="registry"')
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", self.path)
        if not found:
            return self._answer(200, b"{}")
        repository, kind, reference = found.groups()
        digest = server.names.get((repository, reference), reference)
        if digest not in server.blobs:
            return self._answer(404, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')
        if kind == "manifests":
            assert "oci.image.index" in self.headers["Accept"]
            return self._answer(200, server.blobs[digest])
        return self._answer(307, b"", {"Location": f"{server.url}/storage/{digest}"})

    def _ask(self, challenge):
        self._answer(401, b"", {"WWW-Authenticate": challenge})

    def _answer(self, status, content, headers=None):
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *dummy):
        pass


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def _json(content):
    return json.dumps(content).encode()


def serve_releases(server, mirror, directory):
    """Put the default releases of a mirror directory below another one; return variables."""
    table = yaml.safe_load(TABLE.read_text())
    host = server.url.replace("//", f"//{base64.b64decode(server.login.split()[1]).decode()}@")
    urls, sums, machines = {"ghcr.io": host}, {}, set()
    for component in ("flannel", "cni-plugins", "etcd"):
        entry = table[component]
        version = next(iter(entry["versions"]))
        path = urllib.parse.urlsplit(entry["base_url"]).path
        urls[component] = host + path
        for place in sorted((mirror / component / version).glob("linux-*")):
            words = {"version": version, "arch": place.name[len("linux-") :], "number": version}
            machines.add(words["arch"])
            target = pathlib.Path(f"{directory}{path}/{entry['path'].format(**words)}")
            target.parent.mkdir(parents=True, exist_ok=True)
            with tarfile.open(target, "w:gz", compresslevel=1) as tar:
                for name, member in entry["executables"].items():
                    tar.add(place / name, member.format(**words))
            sums.setdefault(component, {}).setdefault(version, {})[words["arch"]] = sha256(
                target.read_bytes()
            )
    version = next(iter(table["flannel"]["versions"]))
    layers = {
        arch: {
            "opt/bin/flanneld": (
                mirror / "flannel" / version / f"linux-{arch}" / "flanneld"
            ).read_bytes()
        }
        for arch in machines
    }
    server.publish("flannel-io/flannel", f"v{version}", layers)
    return {
        "mirror_architectures": sorted(machines),
        "multinet_flanneld_form": "daemonset",
        "multinet_release_base_urls": urls,
        "multinet_release_sums": sums,
    }


def main():
    mirror, file, login = sys.argv[1:]
    with tempfile.TemporaryDirectory() as work, UpstreamServer(work, login) as server:
        variables = serve_releases(server, pathlib.Path(mirror), work)
        partial = pathlib.Path(f"{file}.partial")
        partial.write_text(json.dumps(variables))
        partial.rename(file)
        server.serve_forever()


if __name__ == "__main__":
    main()
