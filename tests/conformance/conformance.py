# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes' own end-to-end tests on a real cluster of three nodes, for one or more configurations
of the collection, and for plain flannel.

Each cluster is created and removed, except with --kubeconfig: then the tests of --focus run on a
cluster of a scenario, which stays. Needs root and what `setup.py --conformance` builds. The results
of all configurations that ran in this checkout are in .build/conformance.md.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / ".build"
KUBERNETES = ROOT / "molecule/shared/kubernetes"
DNS = pathlib.Path(__file__).parent / "coredns.yml"

CLUSTER = "10.244.0.0/16"
CLUSTER6 = "fd00:244::/56"
BLUE = {"name": "blue", "cidr": CLUSTER, "default": True, "backend": {"type": "vxlan", "vni": 1}}
EXTERNAL = {
    "name": "kube-flannel",
    "cidr": CLUSTER,
    "default": "external",
    "conf": "10-flannel.conflist",
}
OTHERS = [
    {
        "name": "red",
        "cidr": "10.3.0.0/16",
        "attach": "all",
        "backend": {"type": "vxlan", "vni": 2, "port": 8286},
    },
    {
        "name": "green",
        "cidr": "10.5.0.0/16",
        "attach": "request",
        "backend": {"type": "vxlan", "vni": 3, "port": 8287},
    },
]
IPV6 = {"blue": CLUSTER6, "kube-flannel": CLUSTER6, "red": "fd00:3::/56", "green": "fd00:5::/56"}
# What a word of a configuration's name changes; `api` is what nothing is changed of: leases from
# the API, the pods' first network one of ours, units, kube-proxy in iptables mode.
PLAIN = "flannel"
DUAL = "dual"
CRIO = "crio"
WORDS: dict[str, dict[str, object]] = {
    "api": {},
    "etcd": {"multinet_datastore": "etcd"},
    "external": {"multinet_networks": [EXTERNAL, *OTHERS]},
    "daemonset": {"multinet_flanneld_form": "daemonset"},
    "nftables": {"test_kube_proxy_mode": "nftables"},
    DUAL: {"test_cluster_cidrs": [CLUSTER, CLUSTER6]},
    CRIO: {"multinet_cni_version": "1.1.0"},
    PLAIN: {},
}
# These change the cluster: plain flannel is compared on the same one, where it was run there.
OF_THE_CLUSTER = ("nftables", DUAL, CRIO)
# Those that the nodes' first process is told (molecule/shared/kubernetes/init.sh).
OF_THE_NODES = (DUAL, CRIO)

# What cannot be had in such a cluster: clouds, SCTP in this kernel, components that are restarted
# over ssh.
NOT_FOR_US = r"\[Serial\]|\[Slow\]|\[Disruptive\]|\[Provider:|SCTP"
NOT_HERE = rf"{NOT_FOR_US}|\[Feature:"
SERVICES = "Services|Networking|Conntrack|Connectivity|NoSNAT|Topology|Traffic"


class Part(NamedTuple):
    """Tests that are run together: regular expressions over their names."""

    focus: str
    skip: str = ""


PARTS = {
    "network": Part(r"\[sig-network\].*\[Conformance\]"),
    "services": Part(rf"\[sig-network\] ({SERVICES}).*", rf"\[Conformance\]|{NOT_HERE}"),
    "node": Part(r"\[sig-node\].*\[Conformance\]"),
    # for configurations with that word
    DUAL: Part(r"\[sig-network\].*\[Feature:IPv6DualStack\]", NOT_FOR_US),
}

# The tests' images, by their names without registry and version: all have the same files.
REGISTRIES = ("promoterE2eRegistry", "buildImageRegistry", "gcRegistry")
WEB = {"Cmd": ["/agnhost", "netexec", "--http-port=80", "--udp-port=-1"]}
SHELL = {"Cmd": ["/bin/sleep", "infinity"]}
IMAGES: dict[str, dict[str, object]] = {
    "agnhost": {"Entrypoint": ["/agnhost"], "Cmd": ["pause"]},
    "busybox": SHELL,
    "coredns": {"Entrypoint": ["/coredns"]},
    "distroless-iptables": SHELL,
    "httpd": WEB,
    "jessie-dnsutils": SHELL,
    "nginx": WEB,
    "pause": {"Entrypoint": ["/agnhost", "pause"]},
    "regression-issue-74839": {"Entrypoint": ["/regression-issue-74839"]},
}


# Give CRI-O images of docker's archive on stdin; $@: their names. skopeo reads it from a file.
TO_CRIO = """set -e
archive=/var/lib/containers/images.tar
cat >$archive
for name; do
    skopeo --insecure-policy copy --quiet "docker-archive:$archive:$name" "containers-storage:$name"
done
rm $archive
"""


class Place(NamedTuple):
    """Where the hosts of a cluster are on this machine: clusters at the same time need different
    places. subnet: an IPv4 /24.
    """

    name: str = "mn-e2e"
    subnet: str = "198.18.223.0/24"

    def nodes(self) -> dict[str, str]:
        """Return {name of a node: its address}; the first is the control plane."""
        hosts = list(ipaddress.ip_network(self.subnet).hosts())
        return {f"{self.name}-{number}": str(hosts[9 + number]) for number in (1, 2, 3)}


HERE = Place()
NODES = HERE.nodes()


class Result(NamedTuple):
    """What became of one part of the tests with one configuration: their names, and how long they
    took.
    """

    configuration: str
    part: str
    passed: list[str]
    failed: list[str]
    skipped: list[str]
    minutes: float
    verify: str = "-"  # after all parts; "-" before that, and where nothing of ours is there


def words_of(configuration: str) -> list[str]:
    """Return the words of a configuration's name, such as `etcd+nftables`.

    Raises ValueError with a sentence about a word that there is not.
    """
    words = configuration.split("+")
    for word in words:
        if word not in WORDS:
            raise ValueError(
                f"{configuration}: there is no configuration {word}, but {', '.join(WORDS)};"
                " join some by +"
            )
    return words


def inventory(configuration: str, place: Place = HERE) -> dict[str, object]:
    """Return the inventory (YAML's data) of the cluster of a configuration."""
    values: dict[str, object] = {
        "test_network": place.name,
        "test_subnet": place.subnet,
        "multinet_datastore": "kubernetes",
        "multinet_nad_namespaces": ["default", "apps"],
        "multinet_networks": [BLUE, *OTHERS],
    }
    words = words_of(configuration)
    for word in words:
        values.update(WORDS[word])
    command = ["/etc/kubernetes/init.sh", *(word for word in OF_THE_NODES if word in words)]
    hosts = {
        name: {"test_address": address, "test_command": " ".join(command)}
        for name, address in place.nodes().items()
    }
    if DUAL in words:
        networks = values["multinet_networks"]
        assert isinstance(networks, list)
        values["multinet_networks"] = [{**one, "ipv6_cidr": IPV6[one["name"]]} for one in networks]
    groups: dict[str, object] = {
        "test_hosts": {"vars": values},
        "test_kubernetes": {"children": {"multinet_nodes": {}}},
        "multinet_nodes": {"hosts": hosts},
    }
    if values["multinet_datastore"] == "etcd":
        groups["multinet_etcd"] = {"hosts": {next(iter(hosts)): {}}}
    return groups


def images(listed: list[str]) -> dict[str, dict[str, object]]:
    """Return {name: configuration} of the images that are made, of those that the tests list."""
    found = {}
    for name in [*listed, "localhost/coredns:test"]:
        kind = name.rpartition("/")[2].partition(":")[0]
        if kind in IMAGES and name.startswith("localhost/"):
            found[name] = IMAGES[kind]
    return found


def read_reports(files: list[pathlib.Path]) -> tuple[list[str], list[str], list[str]]:
    """Return the names of the tests that (passed, failed, were skipped by themselves) of ginkgo's
    JUnit files; those that a focus left out are in none.
    """
    passed, failed, skipped = set(), set(), set()
    for file in files:
        for case in ElementTree.parse(file).getroot().iter("testcase"):
            kind, dummy, name = case.get("name", "").partition(" ")
            status, reason = case.get("status"), case.find("skipped")
            if kind != "[It]" or status == "pending":
                continue
            if status == "passed":
                passed.add(name)
            elif status != "skipped":
                failed.add(name)
            elif reason is not None and (reason.get("message") or "").startswith("skipped - "):
                skipped.add(name)
    return sorted(passed), sorted(failed), sorted(skipped)


def parts_of(configuration: str, names: list[str]) -> dict[str, Part]:
    """Return the parts of the suite that are for a configuration: those of names in their order, or
    all.
    """
    dual = DUAL in words_of(configuration)
    found = {name: part for name, part in PARTS.items() if name != DUAL or dual}
    return {name: found[name] for name in names or found if name in found}


def known(configuration: str, results: list[Result]) -> set[str]:
    """Return the tests that failed with plain flannel: on the same kind of cluster, where they were
    run there, else on the cluster of `flannel`.
    """
    of_cluster = [word for word in OF_THE_CLUSTER if word in words_of(configuration)]
    found: dict[str, bool] = {}
    for words in ([], of_cluster):
        for one in results:
            if set(words_of(one.configuration)) == {PLAIN, *words}:
                found |= {**dict.fromkeys(one.passed, False), **dict.fromkeys(one.failed, True)}
    return {test for test, failed in found.items() if failed}


def table(results: list[Result]) -> list[str]:
    """Return the lines of the table; what fails with plain flannel too is marked."""
    lines = [
        "| configuration | part | passed | failed | skipped | minutes | verify | what failed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in results:
        plain = PLAIN in words_of(one.configuration)
        too = set() if plain else known(one.configuration, results)
        failed = [
            f"{test} (with plain flannel too)" if test in too else test for test in one.failed
        ]
        counts = f"{len(one.passed)} | {len(one.failed)} | {len(one.skipped)}"
        lines.append(
            f"| {one.configuration} | {one.part} | {counts} | {one.minutes:.0f} | {one.verify} |"
            f" {'; '.join(failed).replace('|', '/') or '-'} |"
        )
    return lines


def ours(configuration: str, results: list[Result]) -> list[str]:
    """Return the tests that failed with a configuration and not with plain flannel, as far as that
    was run, and `verify` where it was not green.
    """
    if PLAIN in words_of(configuration):
        return []
    too = known(configuration, results)
    of_it = [one for one in results if one.configuration == configuration]
    red = ["verify"] if any(one.verify != "green" for one in of_it) else []
    return [test for one in of_it for test in one.failed if test not in too] + red


def keep(directory: pathlib.Path, result: Result) -> list[Result]:
    """Keep a result in a directory, in place of an older one; return all that are there."""
    file = directory / f"{result.configuration}.{result.part}.json"
    file.write_text(json.dumps(result._asdict(), indent=1))
    return [Result(**json.loads(one.read_text())) for one in sorted(directory.glob("*.*.json"))]


class Cluster:
    """The cluster of one configuration. directory: where its files are while it is there.
    kubeconfig: the administrator's, of a cluster that others created.
    """

    def __init__(
        self,
        configuration: str,
        directory: pathlib.Path,
        place: Place = HERE,
        kubeconfig: pathlib.Path | None = None,
    ) -> None:
        self.words = words_of(configuration)
        self.nodes = list(place.nodes())
        self.directory = directory
        self.kubeconfig = kubeconfig or directory / "kubernetes/admin.conf"
        self.registries = directory / "registries.yml"
        self.hosts = directory / "hosts.yml"
        self.hosts.write_text(json.dumps(inventory(configuration, place)))
        self.registries.write_text("".join(f"{name}: localhost\n" for name in REGISTRIES))
        (kubectl,) = pathlib.Path(os.environ["MULTINET_TEST_MIRROR"]).glob("kubernetes/*/*/kubectl")
        self.environment = {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "KUBE_TEST_REPO_LIST": str(self.registries),
            "MOLECULE_EPHEMERAL_DIRECTORY": str(directory),
            "MOLECULE_PROJECT_DIRECTORY": str(ROOT),
            "PATH": f"{kubectl.parent}:{os.environ['PATH']}",
        }

    def run(self, *command: object, check: bool = True) -> int:
        """Run a command that says on stderr what it does; return its exit status."""
        done = subprocess.run(
            [str(word) for word in command],
            check=check,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
        )
        return done.returncode

    def playbook(self, name: object, check: bool = True) -> int:
        """Run a playbook of the collection or of the scenarios."""
        shared = ROOT / "molecule/shared/inventory"
        return self.run("ansible-playbook", "-i", shared, "-i", self.hosts, name, check=check)

    def create(self) -> None:
        """Make the cluster with its networks."""
        self.playbook(KUBERNETES / "create.yml")
        if PLAIN in self.words or "external" in self.words:
            self.playbook(KUBERNETES / "kube_flannel.yml")
        if "daemonset" in self.words:
            self.playbook(KUBERNETES / "flanneld_image.yml")
        if PLAIN not in self.words:
            self.playbook("multinet.flannel.site")

    def prepare(self) -> None:
        """Give the cluster what the tests need: their images, and its DNS."""
        archive = self.directory / "images.tar"
        names = self.make_images(archive)
        load = ["ctr", "-n", "k8s.io", "images", "import", "-"]
        if CRIO in self.words:
            load = ["sh", "-c", TO_CRIO, "-", *names]
        for node in self.nodes:
            with archive.open("rb") as stream:
                command = ["podman", "exec", "-i", node, *load]
                subprocess.run(command, check=True, stdin=stream, stdout=sys.stderr)
        archive.unlink()
        self.run("kubectl", "apply", "-f", DNS)
        rollout = ["kubectl", "-n", "kube-system", "rollout", "status", "deployment", "coredns"]
        self.run(*rollout, "--timeout=120s")

    def make_images(self, archive: pathlib.Path) -> list[str]:
        """Write the images of the tests: a Debian, above it the programs, under all their names,
        which are returned.
        """
        base = pathlib.Path(os.environ["MULTINET_POD_ARCHIVE"])
        programs = self.directory / "programs.tar"
        # agnhost's porter serves with it
        key, certificate = self.directory / "localhost.key", self.directory / "localhost.crt"
        subject = ["-nodes", "-days", "30", "-subj", "/CN=localhost"]
        self.run("openssl", "req", "-x509", *subject, "-keyout", key, "-out", certificate)
        key.chmod(0o644)
        with tarfile.open(programs, "w") as layer:
            for name in ("agnhost", "regression-issue-74839", "coredns"):
                mirror = pathlib.Path(os.environ["MULTINET_SUITE_MIRROR"])
                (program,) = mirror.glob(f"*/*/*/{name}")
                layer.add(program, name)
            for file in (key, certificate):
                layer.add(file, file.name)
            # where tests look for them
            _link(layer, "usr/bin/sysctl", "/usr/sbin/sysctl")
            _link(layer, "agnhost-2", "agnhost")
            uploads = tarfile.TarInfo("uploads")
            uploads.type, uploads.mode = tarfile.DIRTYPE, 0o777
            layer.addfile(uploads)
        # what it says, and which variables it hands on, is not what Debian's does
        shell = self.directory / "shell.tar"
        with tarfile.open(shell, "w") as layer:
            _link(layer, "usr/bin/sh", "busybox")
        layers = {file.name: f"sha256:{_sum_of(file)}" for file in (base, programs, shell)}
        architecture = _output(["dpkg", "--print-architecture"])
        names = images(_output([os.environ["MULTINET_SUITE"], "--list-images"], self).split())
        manifest = []
        with tarfile.open(archive, "w") as whole:
            for file in (base, programs, shell):
                whole.add(file, file.name)
            for number, (name, config) in enumerate(names.items()):
                used = [layer for layer in layers if layer != shell.name or "/busybox:" in name]
                file = self.directory / f"{number}.json"
                value = {
                    "os": "linux",
                    "architecture": architecture,
                    "config": {**config, "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]},
                    "rootfs": {"type": "layers", "diff_ids": [layers[layer] for layer in used]},
                }
                file.write_text(json.dumps(value))
                whole.add(file, file.name)
                manifest.append({"Config": file.name, "RepoTags": [name], "Layers": used})
            file = self.directory / "manifest.json"
            file.write_text(json.dumps(manifest))
            whole.add(file, file.name)
        return list(names)

    def test(self, name: str, part: Part, processes: int) -> list[pathlib.Path]:
        """Run a part of the suite; return ginkgo's JUnit files. Its output goes to a file that has
        the part's name.

        Raises RuntimeError when it ends without its files.
        """
        (ginkgo,) = pathlib.Path(os.environ["MULTINET_SUITE_MIRROR"]).glob("*/*/*/ginkgo")
        log = BUILD / "conformance" / f"{'+'.join(self.words)}.{name}.log"
        reports = self.directory / name
        print(f"{name}: {log}", file=sys.stderr, flush=True)
        skip = [f"--skip={part.skip}"] if part.skip else []
        command = [
            ginkgo,
            f"--procs={processes}",
            "--no-color",
            "--timeout=90m",
            f"--focus={part.focus}",
            *skip,
            os.environ["MULTINET_SUITE"],
            "--",
            f"--kubeconfig={self.kubeconfig}",
            "--provider=skeleton",
            f"--num-nodes={len(self.nodes)}",
            "--node-os-distro=custom",
            "--dns-domain=cluster.local",
            f"--report-dir={reports}",
        ]
        with log.open("w") as output:
            subprocess.run(
                [str(word) for word in command],
                check=False,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        files = sorted(reports.glob("junit*.xml"))
        if not files:
            raise RuntimeError(f"The tests ended without a report: {log}")
        return files

    def verify(self) -> str:
        """Return what the verification says between pods of the scenarios: green or red."""
        if PLAIN in self.words:
            return "-"
        self.playbook(KUBERNETES / "pods.yml")
        return "red" if self.playbook("multinet.flannel.verify", check=False) else "green"

    def remove(self) -> None:
        """Remove the cluster."""
        self.playbook(ROOT / "molecule/default/destroy.yml")


def _output(command: list[str], cluster: Cluster | None = None) -> str:
    """Return what a command prints, in the environment of a cluster."""
    environment = cluster.environment if cluster else None
    done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def _link(layer: tarfile.TarFile, name: str, target: str) -> None:
    """Put a symbolic link into a layer of an image."""
    link = tarfile.TarInfo(name)
    link.type, link.linkname = tarfile.SYMTYPE, target
    layer.addfile(link)


def _sum_of(file: pathlib.Path) -> str:
    return _output(["sha256sum", str(file)]).split()[0]


def measure(
    configuration: str, parts: dict[str, Part], processes: int, place: Place
) -> Iterator[Result]:
    """Make the cluster of a configuration, run parts of the suite on it, remove it. Yield each
    part's result when the part ends, and all again with what `verify` says.
    """
    with tempfile.TemporaryDirectory(prefix="multinet-e2e-", dir="/var/tmp") as directory:
        cluster = Cluster(configuration, pathlib.Path(directory), place)
        cluster.remove()  # of a run that was killed
        try:
            cluster.create()
            cluster.prepare()
            results = []
            for name, part in parts.items():
                begin = time.monotonic()
                tests = read_reports(cluster.test(name, part, processes))
                minutes = (time.monotonic() - begin) / 60
                results.append(Result(configuration, name, *tests, minutes))
                yield results[-1]
            verify = cluster.verify()
            for result in results:
                yield result._replace(verify=verify)
        finally:
            cluster.remove()


def run_there(cluster: Cluster, part: Part, processes: int) -> bool:
    """Run tests on a cluster that others created, and take the cluster's DNS away again. Print
    their names; return whether all of them passed, and at least one.
    """
    try:
        cluster.prepare()
        passed, failed, dummy = read_reports(cluster.test("there", part, processes))
    finally:
        cluster.run("kubectl", "delete", "--ignore-not-found", "-f", DNS)
    print("\n".join([f"passed: {one}" for one in passed] + [f"FAILED: {one}" for one in failed]))
    return bool(passed) and not failed


def main() -> int:
    """See --help. Return 1 when anything fails that does not fail with plain flannel."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "configurations",
        nargs="+",
        help=f"words joined by +, of {', '.join(WORDS)}, such as api or etcd+nftables",
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        default=[],
        choices=list(PARTS),
        help="parts of the suite (default: all parts for the configuration)",
    )
    parser.add_argument("--focus", help="regular expression of tests' names, instead of parts")
    parser.add_argument(
        "--processes", type=int, default=4, help="number of tests in parallel (default 4)"
    )
    parser.add_argument(
        "--name", default=HERE.name, help=f"what the hosts are called (default {HERE.name})"
    )
    parser.add_argument(
        "--subnet", default=HERE.subnet, help=f"their IPv4 /24 (default {HERE.subnet})"
    )
    parser.add_argument(
        "--kubeconfig",
        type=pathlib.Path,
        help="the administrator's, of a cluster that is there; its hosts are --name with a number",
    )
    options = parser.parse_args()
    place = Place(options.name, options.subnet)
    chosen = {}
    for configuration in options.configurations:
        try:
            parts = parts_of(configuration, options.parts)
        except ValueError as problem:
            parser.error(str(problem))
        chosen[configuration] = {"focus": Part(options.focus)} if options.focus else parts
        if not chosen[configuration]:
            parser.error(f"{configuration}: it has no part {', '.join(options.parts)}")

    kept = BUILD / "conformance"
    kept.mkdir(parents=True, exist_ok=True)
    if options.kubeconfig:
        if not options.focus or len(chosen) != 1:
            parser.error("--kubeconfig: name one configuration, and the tests by --focus")
        with tempfile.TemporaryDirectory(prefix="multinet-e2e-", dir="/var/tmp") as directory:
            there = Cluster(*chosen, pathlib.Path(directory), place, options.kubeconfig)
            return int(not run_there(there, Part(options.focus), options.processes))
    bad = False
    for configuration, parts in chosen.items():
        results: list[Result] = []
        for result in measure(configuration, parts, options.processes, place):
            results = keep(kept, result)
            lines = table(results)
            (BUILD / "conformance.md").write_text("\n".join(lines) + "\n")
            print("\n".join(lines), flush=True)
        bad = bad or bool(ours(configuration, results))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
