# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ADD and DEL of a pod on 1, 2 and 4 flannel networks: by the meta-plugin, by Multus thin, and by
the bare delegates one after the other.

All three have the networks that the collection would configure, call the same upstream executables,
and run in turns. Everything is in this process' own network and mount namespaces, and is gone when
it exits. Needs root; benchmarks/README.md says how to repeat it.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import ctypes
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import checkout
import processes
import yaml
from ansible_collections.multinet.flannel.plugins.lookup import library_files, meta_plugin_launchers
from ansible_collections.multinet.flannel.plugins.module_utils._architectures import SUPPORTED
from ansible_collections.multinet.flannel.plugins.module_utils._isolation import ports
from ansible_collections.multinet.flannel.plugins.module_utils._isolation.ruleset import ruleset
from ansible_collections.multinet.flannel.plugins.module_utils._meta import guard
from ansible_collections.multinet.flannel.plugins.module_utils._plan.plan import plan
from kube_api import KubeApi

BIN, LIBRARY = "/opt/cni/bin", "/usr/local/lib/multinet"
GUARD_DIR = "/run/multinet-isolation"
# What a host keeps in these places is a directory of this run's own, on a real disk: what is
# written to be durable has to cost what it costs.
PLACES = ("/run/flannel", "/var/lib/cni", "/opt/cni", LIBRARY, "/etc/multinet", GUARD_DIR)
WANTED = ("flannel", "bridge", "host-local", "tuning", "multus")
SERVERS = ("etcd", "kube-apiserver")
NAMESPACE = "apps"
OURS, MULTUS, BARE = "multinet", "Multus thin", "bare delegates"
GUARDED = "multinet and its guard"
_CLONE_NEWNS, _CLONE_NEWNET, _MS_REC, _MS_PRIVATE = 0x00020000, 0x40000000, 0x4000, 0x40000


def planned(number):
    """Return the collection's plan (dict) for so many networks."""
    return plan(
        [
            {
                "name": f"net{one}",
                "cidr": f"10.{100 + one}.0.0/16",
                "default": one == 0,
                "attach": "all",
                "backend": {"type": "vxlan", "vni": 10 + one, "port": 8500 + one},
            }
            for one in range(number)
        ],
        {},
    )


def networks(number, masquerade):
    """Return the meta-plugin's configuration (dict) as the collection writes it for so many
    networks, with their subnet files written.
    """
    whole = planned(number)
    for one, network in enumerate(whole["networks"]):
        file = pathlib.Path(network["subnet_file"])
        file.parent.mkdir(parents=True, exist_ok=True)
        # A /20, so that no run is longer than its addresses.
        file.write_text(
            f"FLANNEL_NETWORK=10.{100 + one}.0.0/16\n"
            f"FLANNEL_SUBNET=10.{100 + one}.16.1/20\n"
            "FLANNEL_MTU=1450\n"
            "FLANNEL_IPMASQ=false\n"
        )
    configuration = whole["cni_conf"]
    for delegate in configuration["delegates"]:
        delegate["plugins"][0]["delegate"]["ipMasq"] = masquerade
    return configuration


class Guard:
    """The guard's process (role isolation) with the tables of so many networks, for a with block.

    The meta-plugin tells it of ports where the host has its rules: for one contender alone.
    """

    TOLD = pathlib.Path(guard.RULES)

    def __init__(self, number, python):
        whole = planned(number)
        self.rules = self.TOLD.with_name("rules")
        self.rules.write_text(ruleset(whole, "trusted") + "\n" + ports.table(whole), "utf-8")
        program = checkout.ROOT / "roles/isolation/files/isolation.py"
        self.command = [python, "-I", "-S", str(program), "hold"]

    def __enter__(self):
        environment = dict(os.environ, MULTINET_ISOLATION_RULES=str(self.rules))
        self.process = subprocess.Popen(self.command, env=environment)
        while not os.path.exists(guard.STATE):
            if self.process.poll() is not None:
                raise RuntimeError("the guard does not run")
            time.sleep(0.05)
        return self

    def __exit__(self, *dummy):
        self.process.terminate()
        self.process.wait()
        pathlib.Path(guard.STATE).unlink(missing_ok=True)

    def seconds(self):
        """Return what it has used of the processor."""
        text = pathlib.Path(f"/proc/{self.process.pid}/schedstat").read_text(encoding="ascii")
        return int(text.split()[0]) / 1e9

    @contextlib.contextmanager
    def told(self):
        """The time in which the meta-plugin tells it of ports."""
        os.link(self.rules, self.TOLD)
        try:
            yield
        finally:
            self.TOLD.unlink()


class Contender:
    """One way to attach a pod: the calls of ADD and of DEL, each (executable, environment, stdin
    bytes).
    """

    def __init__(self, name, configuration, api):
        self.name = name
        self.pod = name.replace(" ", "-").lower()
        self.configuration = copy.deepcopy(configuration)
        name_at_api = f"{self.pod}{len(configuration['delegates'])}"
        self.args = (
            f"IgnoreUnknown=1;K8S_POD_NAMESPACE={NAMESPACE};K8S_POD_NAME={name_at_api}"
            if api
            else ""
        )
        if api and name != BARE:
            # the default network is configured, the pod asks for the others
            self.configuration.update(
                kubeconfig=str(api), delegates=self.configuration["delegates"][:1]
            )
        if not os.path.exists("/run/netns/" + self.pod):
            subprocess.run(["ip", "netns", "add", self.pod], check=True)
        self.turn = 0

    def operation(self, command, run):
        """Do a whole ADD or DEL; run: takes (executable, environment, stdin), returns stdout.

        Raises RuntimeError when a plugin fails.
        """
        self.turn += command == "ADD"
        if self.name != BARE:
            file = "multus" if self.name == MULTUS else "multinet"
            self.configuration["type"] = file
            run(
                BIN + "/" + file,
                self._environment(command, "eth0"),
                json.dumps(self.configuration).encode(),
            )
            return
        # What a runtime does with each network, one after the other (CNI specification, section 3):
        # in reverse for DEL.
        order = 1 if command == "ADD" else -1
        for network in self.configuration["delegates"][::order]:
            result = None if command == "ADD" else network["result"]
            for plugin in network["plugins"][::order]:
                request = dict(
                    plugin,
                    name=network["name"],
                    cniVersion=network["cniVersion"],
                    **({"prevResult": result} if result else {}),
                )
                printed = run(
                    BIN + "/" + plugin["type"],
                    self._environment(command, network["ifName"]),
                    json.dumps(request).encode(),
                )
                if command == "ADD":
                    result = network["result"] = json.loads(printed)

    def _environment(self, command, interface):
        return dict(
            os.environ,
            CNI_COMMAND=command,
            CNI_CONTAINERID=f"{self.pod}-{self.turn}",
            CNI_NETNS="/run/netns/" + self.pod,
            CNI_IFNAME=interface,
            CNI_PATH=BIN,
            CNI_ARGS=self.args,
        )


class Runner:
    """Starts executables. Files instead of pipes, so that nobody waits for the one who measures."""

    def __init__(self):
        self.files = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]

    def start(self, file, environment, stdin):
        for descriptor in self.files:
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(self.files[0], stdin)
        os.lseek(self.files[0], 0, os.SEEK_SET)
        return os.posix_spawn(
            file,
            [file],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, one, number) for number, one in enumerate(self.files)
            ],
        )

    def end(self, pid, file):
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        printed = os.pread(self.files[1], 1 << 20, 0)
        if status:
            complaint = os.pread(self.files[2], 1 << 20, 0)
            raise RuntimeError(f"{file}: status {status}\n{printed.decode()}{complaint.decode()}")
        return printed

    def run(self, file, environment, stdin):
        return self.end(self.start(file, environment, stdin), file)


def measured(contender, command, runner, told):
    """Return (wall, processor) seconds of one operation; the processor's are those of everything
    that was started and waited for, and of the guard. told: the Guard that is told of ports.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    of_guard = told.seconds() if told else 0
    with told.told() if told else contextlib.nullcontext():
        begin = time.perf_counter()
        contender.operation(command, runner.run)
        wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, busy + (told.seconds() - of_guard if told else 0)


def counted(contender, command, runner, census):
    """Return (number of processes, MiB of the first executable's process at most, MiB of the
    largest process) of one operation.
    """
    everyone = []

    def run(file, environment, stdin):
        pids = []
        everyone.append(
            census.follow(lambda: pids.append(runner.start(file, environment, stdin)) or pids[0])
        )
        return runner.end(pids[0], file)

    contender.operation(command, run)
    first = max(tree[0]["peak"] for tree in everyone)
    return (
        sum(map(len, everyone)),
        first / 1024,
        max(one["peak"] for tree in everyone for one in tree) / 1024,
    )


def objects(api, numbers):
    """Put into a kube_api.KubeApi what pods on so many networks (list of int) ask for, and the
    pods.
    """
    api.set_up()
    api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    for network in planned(max(numbers))["networks"]:
        item = dict(network["net_attach_def"])
        api.ok(
            "POST",
            f"/apis/k8s.cni.cncf.io/v1/namespaces/{NAMESPACE}/network-attachment-definitions",
            item,
        )
    for number in numbers:
        asked = ", ".join(f"net{one}@net{one}" for one in range(1, number))
        for name in (OURS, MULTUS):
            notes = {"k8s.v1.cni.cncf.io/networks": asked} if asked else {}
            api.pod(name.replace(" ", "-").lower() + str(number), NAMESPACE, annotations=notes)


def credentials(api, directory):
    """Write a kubeconfig as the collection's: JSON with the path of a token. Who has it may do all:
    Multus writes the status in another way, which the collection's own role does not grant.
    """
    rbac = {"apiGroup": "rbac.authorization.k8s.io"}
    subject = {**rbac, "kind": "Group", "name": "system:serviceaccounts:multinet-nodes"}
    role = {**rbac, "kind": "ClusterRole", "name": "cluster-admin"}
    api.ok(
        "POST",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {"metadata": {"name": "both"}, "subjects": [subject], "roleRef": role},
    )
    (directory / "token").write_text(api.token(), encoding="ascii")
    file = directory / "kubeconfig"
    api.kubeconfig(file, {"tokenFile": str(directory / "token")})
    file.write_text(json.dumps(yaml.safe_load(file.read_text("utf-8"))), encoding="utf-8")


def row(number, masquerade, api, names, rounds, counts, census, its_guard=None):
    """Measure one configuration and return {(contender, command): {"wall", "cpu", "processes",
    "peak", "largest"}}, lists of one value a round. its_guard: the Guard of the contender GUARDED.
    """
    configuration = networks(number, masquerade)
    contenders = [Contender(name, configuration, api) for name in names]
    runner = Runner()
    for contender in contenders:  # what happens once: bridges, byte code, files in the page cache
        for command in ("ADD", "DEL") * 2:
            contender.operation(command, runner.run)
    values = {
        (name, command): {key: [] for key in ("wall", "cpu", "processes", "peak", "largest")}
        for name in names
        for command in ("ADD", "DEL")
    }
    for turn in range(rounds):
        first = turn % len(contenders)
        for contender in contenders[first:] + contenders[:first]:
            for command in ("ADD", "DEL"):
                told = its_guard if contender.name == GUARDED else None
                wall, cpu = measured(contender, command, runner, told)
                values[contender.name, command]["wall"].append(wall)
                values[contender.name, command]["cpu"].append(cpu)
    with census() as counter:  # after the measuring: being told costs those who are told of
        for _turn in range(counts):
            for contender in contenders:
                for command in ("ADD", "DEL"):
                    for key, value in zip(
                        ("processes", "peak", "largest"),
                        counted(contender, command, runner, counter),
                    ):
                        values[contender.name, command][key].append(value)
    left = sorted(
        str(path)
        for path in pathlib.Path("/var/lib/cni").rglob("*")
        if path.is_file() and path.name[0].isdigit()
    )
    if left:
        raise RuntimeError(f"addresses were left: {', '.join(left)}")
    return values


def ratio(values, command, of, to, key):
    """The median over the rounds of one contender's value to the other's in the same round, so that
    what slows down a round slows down both.
    """
    return statistics.median(
        a / b for a, b in zip(values[of, command][key], values[to, command][key])
    )


def title(number, masquerade, api):
    return f"{number}{', ipMasq' if masquerade else ''}{', API' if api else ''}"


def table(rows):
    """Return the lines of the table in docs/benchmarks.md."""
    lines = [
        (
            "| networks | | wall: ours / Multus | ours / bare | Multus / bare | CPU: ours / Multus"
            " | ours / bare | memory: ours / Multus | processes: ours, Multus, bare |"
        ),
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for key, values in rows.items():
        for command in ("ADD", "DEL"):
            ratios = [
                ratio(values, command, *pair, key)
                for key, *pair in (
                    ("wall", OURS, MULTUS),
                    ("wall", OURS, BARE),
                    ("wall", MULTUS, BARE),
                    ("cpu", OURS, MULTUS),
                    ("cpu", OURS, BARE),
                    ("peak", OURS, MULTUS),
                )
            ]
            numbers = ", ".join(
                f"{statistics.median(values[name, command]['processes']):.0f}"
                for name in (OURS, MULTUS, BARE)
            )
            lines.append(
                f"| {title(*key)} | {command} | {' | '.join(f'{one:.2f}' for one in ratios)} |"
                f" {numbers} |"
            )
    return lines


def absolute(rows, names):
    """Return the lines of a table of medians in the machine's own units. names: of contenders."""
    lines = [
        "| networks | | "
        + " | ".join(f"{name}: ms, CPU ms, MiB (largest)" for name in names)
        + " |",
        "|" + " --- |" * (2 + len(names)),
    ]
    for key, values in rows.items():
        for command in ("ADD", "DEL"):
            cells = []
            for name in names:
                one = {
                    what: statistics.median(numbers)
                    for what, numbers in values[name, command].items()
                }
                cells.append(
                    f"{one['wall'] * 1000:.1f}, {one['cpu'] * 1000:.1f}, {one['peak']:.1f}"
                    f" ({one['largest']:.1f})"
                )
            lines.append(f"| {title(*key)} | {command} | {' | '.join(cells)} |")
    return lines


def of_guard(rows):
    """Return the lines of a table of what the guard adds to an operation of ours."""
    lines = ["| networks | | wall | CPU |", "| --- | --- | --- | --- |"]
    for key, values in rows.items():
        for command in ("ADD", "DEL"):
            cells = []
            for what in ("wall", "cpu"):
                with_it, without = (values[name, command][what] for name in (GUARDED, OURS))
                more = statistics.median(a - b for a, b in zip(with_it, without)) * 1000
                cells.append(f"{ratio(values, command, GUARDED, OURS, what):.2f} ({more:+.1f} ms)")
            lines.append(f"| {title(*key)} | {command} | {' | '.join(cells)} |")
    return lines


def own_world(directory, executables, python, network=None):
    """Enter new mount and network namespaces, and install the plugins there as the roles do.

    The host's places are in directory (pathlib.Path); network: path of a network namespace to enter
    instead of a new one.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if network:
        with open(network, "rb") as there:
            entered = libc.setns(there.fileno(), _CLONE_NEWNET)
    else:
        entered = libc.unshare(_CLONE_NEWNET)
    if (
        entered
        or libc.unshare(_CLONE_NEWNS)
        or libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    ):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    for place in PLACES:
        (directory / place[1:]).mkdir(parents=True)
        # a mount needs something to be mounted on; nothing is ever written there
        os.makedirs(place, exist_ok=True)
        subprocess.run(["mount", "--bind", directory / place[1:], place], check=True)
    os.makedirs("/run/netns", exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "netns", "/run/netns"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    os.mkdir(BIN)
    for name, file in executables.items():
        shutil.copy(file, BIN + "/" + name)
    for file in library_files.library(lib_dir=LIBRARY) + meta_plugin_launchers.launchers(
        ["multinet"], BIN, LIBRARY, python
    ):
        path = pathlib.Path(file["path"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["content"], encoding="utf-8")
        path.chmod(int(file["mode"], 8))


@contextlib.contextmanager
def world(*arguments):
    """own_world() for the time of a with block."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as net, open("/proc/self/ns/mnt", "rb") as mounts:
        own_world(*arguments)
        try:
            yield
        finally:
            libc.setns(net.fileno(), _CLONE_NEWNET)
            libc.setns(mounts.fileno(), _CLONE_NEWNS)


def find(directories, wanted=WANTED):
    """Return {name: file} of upstream executables; exits where one is missing."""
    machine = SUPPORTED[os.uname().machine]
    places = [pathlib.Path(one) for one in directories]
    if not places:
        mirrors = [
            os.environ[name]
            for name in ("MULTINET_MIRROR", "MULTINET_TEST_MIRROR")
            if name in os.environ
        ]
        places = [
            place
            for mirror in mirrors
            for place in pathlib.Path(mirror).glob("*/*/linux-" + machine)
        ]
    found = {
        name: next((place / name for place in places if (place / name).is_file()), None)
        for name in wanted
    }
    missing = [name for name, file in found.items() if file is None]
    if missing:
        sys.exit(
            f"There is no {', '.join(missing)}; run `make test-programs`, or name the directories"
            " with --bin."
        )
    return found


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rounds", type=int, default=40, help="measured rounds of each row (default 40)"
    )
    parser.add_argument(
        "--counts", type=int, default=5, help="rounds in which processes are counted (default 5)"
    )
    parser.add_argument(
        "--networks",
        type=int,
        nargs="+",
        default=[1, 2, 4],
        help="numbers of networks (default 1 2 4)",
    )
    parser.add_argument(
        "--ip-masq",
        type=int,
        nargs="*",
        default=[2],
        help="numbers of networks to measure with ipMasq as well (default 2)",
    )
    parser.add_argument(
        "--api",
        type=int,
        nargs="*",
        default=[1, 2, 4],
        help=(
            "numbers of networks that the pod asks a Kubernetes API for (default 1 2 4; the first"
            " is the default network)"
        ),
    )
    parser.add_argument(
        "--bin",
        action="append",
        default=[],
        help="a directory of upstream executables (default: the mirrors of `make test-programs`)",
    )
    parser.add_argument(
        "--python",
        default="/usr/bin/python3",
        help="the Python that runs the meta-plugin (default /usr/bin/python3)",
    )
    parser.add_argument(
        "--directory",
        default="/var/tmp",
        help="directory on a disk for the run's files (default /var/tmp)",
    )
    parser.add_argument(
        "--guard", action="store_true", help="also measure ours with the guard of the host"
    )
    parser.add_argument("--json", type=pathlib.Path, help="write all values to this file")
    return parser.parse_args()


def main():
    options = read_options()
    if os.geteuid() != 0:
        sys.exit("Network namespaces need root.")
    executables = find(options.bin)
    servers = find(options.bin, SERVERS) if options.api else {}
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    libc = ctypes.CDLL(None)

    def census():
        # its socket belongs to the first network namespace, which the kernel tells about processes
        there = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        libc.setns(home, _CLONE_NEWNET)
        try:
            return processes.Census()
        finally:
            libc.setns(there, _CLONE_NEWNET)
            os.close(there)

    directory = pathlib.Path(tempfile.mkdtemp(prefix="multinet-bench-", dir=options.directory))
    rows = {}
    names = [OURS, MULTUS, BARE, *([GUARDED] if options.guard else [])]

    def measure(number, masquerade, kubeconfig=None):
        with Guard(number, options.python) if options.guard else contextlib.nullcontext() as one:
            rows[number, masquerade, bool(kubeconfig)] = row(
                number, masquerade, kubeconfig, names, options.rounds, options.counts, census, one
            )
        print("\n".join(table(rows)[-2:]), file=sys.stderr, flush=True)

    try:
        with world(directory / "alone", executables, options.python):
            for number, masquerade in [(one, False) for one in options.networks] + [
                (one, True) for one in options.ip_masq
            ]:
                measure(number, masquerade)
        if options.api:
            (directory / "bin").mkdir()
            for name, file in servers.items():
                (directory / "bin" / name).symlink_to(file)
            api = KubeApi(directory, directory / "bin")
            try:
                objects(api, options.api)
                credentials(api, directory)
                with world(
                    directory / "api", executables, options.python, "/run/netns/" + api.name
                ):
                    for number in options.api:
                        measure(number, False, directory / "kubeconfig")
            finally:
                api.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print("\n".join([*table(rows), "", *absolute(rows, names)]))
    if options.guard:
        print("\n".join(["", *of_guard(rows)]))
    if options.json:
        every = [
            dict(
                {"networks": key[0], "ipMasq": key[1], "API": key[2]},
                **{" ".join(who): numbers for who, numbers in values.items()},
            )
            for key, values in rows.items()
        ]
        options.json.write_text(json.dumps(every) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
