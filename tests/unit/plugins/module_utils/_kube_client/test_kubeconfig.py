# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubeconfigs as tools write them, compared with what a YAML library reads, and what is refused."""

from __future__ import annotations

import base64
import json

import pytest
import yaml
from ansible_collections.multinet.flannel.plugins.module_utils._cni import errors
from ansible_collections.multinet.flannel.plugins.module_utils._kube_client import kubeconfig

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
DATA = base64.b64encode(PEM.encode()).decode()

KUBECTL = f"""apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {DATA}
    server: https://10.0.0.1:6443
  name: kubernetes
contexts:
- context:
    cluster: kubernetes
    user: system:node:n1
  name: system:node:n1@kubernetes
current-context: system:node:n1@kubernetes
kind: Config
preferences: {{}}
users:
- name: system:node:n1
  user:
    client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem
    client-key: /var/lib/kubelet/pki/kubelet-client-current.pem
"""

MULTUS = f"""# Kubeconfig file for Multus CNI plugin.
apiVersion: v1
kind: Config
clusters:
- name: local
  cluster:
    server: https://[10.96.0.1]:443
    certificate-authority-data: '{DATA}'   # the cluster's
users:
- name: multus
  user:
    token: "eyJhbGci.x.y"
contexts:
- name: multus-context
  context:
    cluster: local
    user: multus
current-context: multus-context
"""

INSTALLER = """---
apiVersion: "v1"
'kind': Config
clusters:
    -   name: "a # b"
        cluster: {"server": "https://h:1", "insecure-skip-tls-verify": true}
    -
        name: other
        cluster:
            server: https://o:2
            tls-server-name: kubernetes
            proxy-url: http://proxy:3128
            certificate-authority: pki/ca.crt
users:
    - name: u
      user:
          tokenFile: token
    - name: note
      user:
          text: |
            first
              second

            third
          after: 'it''s'
contexts: [{"name": "c", "context": {"cluster": "other", "user": "u"}}]
current-context: c
"""


FLOW = """
clusters: [{name: c, cluster: {server: https://h:1/x, insecure-skip-tls-verify: true}}]
contexts:
- {name: "x", context: {cluster: c, user: 'u'}}  # by hand
users: [ {name: u, user: {token: a.b:c, tokenFile: ~}} ]
current-context: x
more: [b, [], {}, "c", null]
"""


BY_HAND = """%YAML 1.1
---
clusters:
- name: c
  cluster: &mine {
    server: 'https://h:1',   # the balancer's
    insecure-skip-tls-verify: true
  }
- name: d
  cluster: *mine
contexts: [
  {name: x, context: {cluster: c, user: 'it''s'}},
  {"name": "y",
   "context": {"cluster": "d", "user": "u"}}
]
users:
- name: u
  user:
    token: >-
      eyJh
      bGci

      .x
    data: aaaa
      bbbb
      cccc
    more: &word plain
    again: *word
    block: &block
      a: 1
    same: *block
    quoted: "a
      b"
    kept: >
      one
      two
current-context: x
...
"""


@pytest.mark.parametrize(
    "text",
    [
        KUBECTL,
        MULTUS,
        INSTALLER,
        FLOW,
        BY_HAND,
        "",
        "a:\nb: ~\n",
        "- 1\n- a: 2\n  b:\n  - 3\n- 'x'\n",
    ],
)
def test_yaml_is_read_as_by_a_library(text):
    def as_text(value):
        if isinstance(value, dict):
            return {key: as_text(item) for key, item in value.items()}
        if isinstance(value, list):
            return [as_text(item) for item in value]
        return (
            str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
        )

    assert kubeconfig.parse_yaml(text) == as_text(yaml.safe_load(text) or {})


@pytest.mark.parametrize(
    "text",
    [
        "a: *x",
        "a: >\n  b\n   c\n  d",
        "a: >2\n  b",
        "a: b\n\n  c",
        "a: [b,\n",
        "a: !!str 1",
        "a\n",
        "a: 1\na: 2",
        "a: 'x",
        'a: "x',
        "\ta: 1\n\tb: 2",
        "a:\n\t b: 1",
        "a: 1\n b: 2",
        "a: [b",
        "a: [b c: d]",
        "a: {b, c: d}",
        "a: {b: c} d",
        "a: {b: *x}",
        "---\na: 1\n---\nb: 2",
        "a: b: c",
        "a: @x",
        "a:\n  - - x\n",
        "a: ? b",
        "a: }",
    ],
)
def test_yaml_that_is_not_read_is_refused_by_its_line(text):
    with pytest.raises(ValueError):
        kubeconfig.parse_yaml(text)


def load(tmp_path, text):
    file = tmp_path / "kubeconfig"
    file.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return kubeconfig.load(str(file))


def test_what_it_says(tmp_path):
    one = load(tmp_path, KUBECTL)
    assert (one.server, one.ca_data, one.token, one.certificate) == (
        "https://10.0.0.1:6443",
        PEM,
        None,
        "/var/lib/kubelet/pki/kubelet-client-current.pem",
    )
    one = load(tmp_path, MULTUS)
    assert (one.server, one.ca_data, one.token, one.insecure) == (
        "https://[10.96.0.1]:443",
        PEM,
        "eyJhbGci.x.y",
        False,
    )
    one = load(tmp_path, FLOW)
    assert (one.server, one.token, one.insecure) == ("https://h:1/x", "a.b:c", True)
    one = load(tmp_path, INSTALLER)
    assert (one.server, one.tls_name, one.proxy) == (
        "https://o:2",
        "kubernetes",
        "http://proxy:3128",
    )
    # beside the file
    assert one.ca_file == str(tmp_path / "pki/ca.crt")
    assert one.token_file == str(tmp_path / "token")


def minimal(**user):
    return {
        "clusters": [{"name": "c", "cluster": {"server": "https://h"}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }


def test_one_context_needs_no_current_one(tmp_path):
    raw = minimal(token="t")
    del raw["current-context"]
    assert load(tmp_path, raw).token == "t"
    one = load(tmp_path, minimal(**{"client-certificate-data": DATA, "client-key-data": DATA}))
    assert (one.certificate, one.key) == (PEM, PEM)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        "|\n      {0[0]}\n      {0[1]}\n",
        ">-\n      {0[0]}\n      {0[1]}\n",
        "{0[0]}\n      {0[1]}\n",
    ],
)
def test_certificates_over_several_lines_are_read(tmp_path, text):
    text = text.format((DATA[:20], DATA[20:]))
    one = load(
        tmp_path,
        "clusters:\n- name: c\n  cluster:\n    server: https://h\n"
        f"    certificate-authority-data: {text}\n"
        "contexts:\n- name: x\n  context: {cluster: c}\n",
    )
    assert one.ca_data == PEM


@pytest.mark.parametrize("before", ["# Zertifikat für alle\n", "Bag Attributes\n"])
def test_what_people_write_before_a_certificate_is_passed_over(tmp_path, before):
    """OpenSSL takes PEM as ASCII alone, and what begins otherwise counts as a path."""
    raw = minimal(**{"client-certificate-data": encoded(before + PEM)})
    raw["clusters"][0]["cluster"]["certificate-authority-data"] = encoded(before + PEM)
    one = load(tmp_path, raw)
    assert one.ca_data == one.certificate == PEM


def test_what_is_written_between_certificates_is_passed_over(tmp_path):
    raw = minimal(token="t")
    text = encoded(f"{PEM}# für alle\n{PEM}")
    raw["clusters"][0]["cluster"]["certificate-authority-data"] = text
    assert load(tmp_path, raw).ca_data == f"{PEM}# fr alle\n{PEM}"


@pytest.mark.parametrize("word", ["true", "True", "TRUE"])
def test_words_are_read_in_each_of_their_spellings(tmp_path, word):
    text = f"clusters: [{{name: c, cluster: {{server: 'http://h', x: {word}}}}}]"
    assert kubeconfig.parse_yaml(f"a: {word}") == {"a": True}
    assert kubeconfig.parse_yaml(text)["clusters"][0]["cluster"]["x"] is True


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ({"exec": {"command": "aws"}}, "`exec`"),
        ({"auth-provider": {"name": "gcp"}}, "auth-provider"),
        ({"username": "a", "password": "b"}, "password"),
        ({"token": "t", "as": "other"}, "impersonates"),
        ({"client-certificate-data": "%%"}, "base64"),
        ({"client-certificate-data": encoded("no certificate")}, "base64"),
    ],
)
def test_users_that_are_not_served_are_refused_clearly(tmp_path, user, words):
    with pytest.raises(errors.Error) as caught:
        load(tmp_path, minimal(**user))
    assert words in caught.value.msg


@pytest.mark.parametrize(
    "change",
    [
        {"current-context": "y"},
        {"contexts": []},
        {"clusters": {}},
        {"clusters": [{"name": "c", "cluster": {"server": "ftp://x"}}]},
        {"clusters": [{"name": "c", "cluster": []}]},
        {"users": [1]},
        {"clusters": [{"name": "c"}]},
        {"users": [{"name": "u", "user": {"token": 5}}]},
        {"current-context": ["x"]},
        {"contexts": [{"name": ["x"]}]},
        {
            "clusters": [
                {"name": "c", "cluster": {"server": "https://h", "certificate-authority": {}}}
            ]
        },
    ],
)
def test_what_is_missing_is_said(tmp_path, change):
    with pytest.raises(errors.Error) as caught:
        load(tmp_path, dict(minimal(token="t"), **change))
    assert str(tmp_path) in caught.value.msg


def test_files_that_are_none(tmp_path):
    for text in ("{", "a b c", "\udcff"):
        (tmp_path / "kubeconfig").write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(errors.Error):
            kubeconfig.load(str(tmp_path / "kubeconfig"))
    with pytest.raises(errors.Error):
        kubeconfig.load(str(tmp_path / "not-there"))


def test_inside_a_pod():
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    one = kubeconfig.in_cluster(environ)
    assert (one.server, one.token_file) == (
        "https://[fd00::1]:443",
        "/var/run/secrets/kubernetes.io/serviceaccount/token",
    )
    assert kubeconfig.in_cluster({}) is None
