# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real kube-apiserver with its etcd, TLS and RBAC, in a network namespace of its own; the test
talks to it as an administrator.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess

import yaml
from ansible_collections.multinet.flannel.plugins.module_utils._cni import netns
from ansible_collections.multinet.flannel.plugins.module_utils._kubernetes import objects
from etcd_server import Authority
from waiting import PATIENCE, wait_for

NODE = "node-1"  # of its pods
SERVING = 5  # number of the host that may serve others, too: node-5


class KubeApi:
    """directory: pathlib.Path; upstream_bin: pathlib.Path with etcd and kube-apiserver; addresses:
    those that it has besides 127.0.0.1.
    """

    def __init__(self, directory, upstream_bin, addresses=()):
        self.directory = directory
        self.name = f"cnik-{os.getpid()}"
        self.processes = []
        self.connection = None
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        subprocess.run(["ip", "-n", self.name, "link", "set", "lo", "up"], check=True)
        self.authority = Authority(directory / "pki")
        certificate, key = self.authority.issue("apiserver", ("127.0.0.1", *addresses))
        self._admin = self.issue_client("admin")
        subprocess.run(
            ["openssl", "genrsa", "-out", directory / "sa.key", "2048"],
            check=True,
            capture_output=True,
        )
        self._upstream_bin = upstream_bin
        self.start_etcd()
        self._argv = [
            upstream_bin / "kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            "--secure-port=6443",
            f"--bind-address={'0.0.0.0' if addresses else '127.0.0.1'}",
            "--advertise-address=192.0.2.1",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}",
            f"--client-ca-file={self.authority.ca_crt}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={directory / 'sa.key'}",
            f"--service-account-signing-key-file={directory / 'sa.key'}",
            "--disable-admission-plugins=ServiceAccount",
            "--enable-priority-and-fairness=false",
        ]
        self.start()

    def start_etcd(self):
        """Start its etcd."""
        data = self.directory / "etcd"
        self.etcd = self._start(
            "etcd", [self._upstream_bin / "etcd", "--data-dir", data, "--unsafe-no-fsync"]
        )

    def start(self, *options):
        """Start the API server, with more options (str) than usual if some are given, and wait
        until it serves.
        """
        self.server = self._start("apiserver", [*self._argv, *options])
        log = self.directory / "apiserver.log"

        def serves():
            try:
                if self.request("GET", "/readyz")[0] == 200:
                    return True
            except (OSError, http.client.HTTPException):
                pass
            self.connection = None
            return False

        try:
            wait_for(serves, self.server, why=lambda: log.read_text(encoding="utf-8")[-3000:])
        except AssertionError:
            self.close()
            raise

    def stop(self):
        """Stop the API server, at once (it would wait for open watches); its etcd stays."""
        self.server.kill()
        self.server.wait(PATIENCE)
        self.connection = None

    def close(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.kill()
                process.wait(PATIENCE)
        subprocess.run(["ip", "netns", "del", self.name], check=False)

    def issue_client(self, name):
        """Return (certificate, key) paths of a client that may do everything."""
        key, request, certificate = (
            self.directory / "pki" / (name + end) for end in (".key", ".csr", ".crt")
        )
        make_key = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        make_key += ["-nodes", "-subj", f"/O=system:masters/CN={name}"]
        make_key += ["-keyout", key, "-out", request]
        sign = [
            "openssl",
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            request,
            "-CA",
            self.authority.ca_crt,
        ]
        sign += ["-CAkey", self.directory / "pki" / "ca.key", "-CAcreateserial"]
        for command in (make_key, [*sign, "-out", certificate]):
            subprocess.run(command, check=True, capture_output=True)
        return certificate, key

    def _start(self, name, argv):
        with open(self.directory / (name + ".log"), "ab") as log:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.name, *map(str, argv)], stdout=log, stderr=log
            )
        self.processes.append(process)
        return process

    def request(self, method, path, body=None, content_type="application/json", user=None):
        """Return (status, answer) as the administrator gets it, or another user in whose name he
        asks.
        """
        if self.connection is None:
            context = ssl.create_default_context(cafile=str(self.authority.ca_crt))
            context.load_cert_chain(*map(str, self._admin))
            connection = http.client.HTTPSConnection(
                "127.0.0.1", 6443, timeout=PATIENCE, context=context
            )
            with netns.inside("/run/netns/" + self.name):
                connection.connect()
            self.connection = connection
        headers = dict(
            {"Content-Type": content_type}, **({"Impersonate-User": user} if user else {})
        )
        try:
            self.connection.request(
                method, path, None if body is None else json.dumps(body), headers
            )
            response = self.connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            self.connection = None
            raise
        return response.status, json.loads(text) if text[:1] == b"{" else text

    def ok(self, method, path, body=None, content_type="application/json"):
        """Like request(), but only the answer, and a failure is one of the test."""
        status, answer = self.request(method, path, body, content_type)
        assert status < 300, (method, path, status, answer)
        return answer

    def set_up(self):
        """Make what the collection has in every cluster: kinds, service accounts, roles."""
        settings = {
            "namespace": "kube-system",
            "nodes": [NODE],
            "serving": [f"node-{SERVING}"],
            "nad_namespaces": [],
            "datastore": "kubernetes",
            "legacy_crds": True,
        }
        for item in objects.objects({"networks": []}, settings):
            path = objects.path(item)
            self.ok("POST", path.rpartition("/")[0], item)
            if item["kind"] == "CustomResourceDefinition":
                self._wait_for(path)

    def finish(self, namespace):
        """Let a namespace that was deleted end, as its controller does once it is empty."""
        status, found = self.request("GET", f"/api/v1/namespaces/{namespace}")
        if status == 200 and "deletionTimestamp" in found["metadata"]:
            found["spec"]["finalizers"] = []
            self.ok("PUT", f"/api/v1/namespaces/{namespace}/finalize", found)

    def _wait_for(self, path):
        def is_established():
            conditions = self.ok("GET", path).get("status", {}).get("conditions") or []
            return any(
                one["type"] == "Established" and one["status"] == "True" for one in conditions
            )

        wait_for(is_established, why=lambda: path)

    def token(self, node=NODE):
        """Return a token of a node's service account, which is made if need be."""
        path = objects.account_path(node)
        if self.request("GET", path)[0] == 404:
            self.ok("POST", path.rpartition("/")[0], {"metadata": {"name": node}})
        return self.ok(
            "POST",
            path + "/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        )["status"]["token"]

    def pod(self, name, namespace="apps", **annotations):
        """Create a pod; return its uid."""
        item = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "annotations": annotations.get("annotations", {})},
            "spec": {"nodeName": NODE, "containers": [{"name": "c", "image": "i"}]},
        }
        return self.ok("POST", f"/api/v1/namespaces/{namespace}/pods", item)["metadata"]["uid"]

    def annotations(self, name, namespace="apps"):
        """Return a pod's annotations."""
        return self.ok("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")["metadata"].get(
            "annotations", {}
        )

    def kubeconfig(self, path, user, server="https://127.0.0.1:6443"):
        """Write a kubeconfig for a user (dict)."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "x",
            "clusters": [
                {
                    "name": "c",
                    "cluster": {
                        "server": server,
                        "certificate-authority": str(self.authority.ca_crt),
                    },
                }
            ],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        }
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
