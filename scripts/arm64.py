# Copyright (c) 2026, the multinet.flannel authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real arm64 hosts among the test hosts: Debian with its own kernel in an emulated machine.

    arm64.py build                              build the machines' disk, and programs for them
    arm64.py start NAME NETWORK ADDRESS...      start a machine in a podman network, unless it runs
    arm64.py stop NAME...

User-mode emulation would not do: qemu translates neither nftables' messages nor a tunnel's. The
root file system is that of the other test hosts (host-image.sh), with Debian's kernel and udev, and
a small initramfs of our own: it mounts the disk and gives the machine name, address and key, all
from the kernel's command line. What a machine writes is gone when it is stopped, and is there when
it reboots.
"""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import fcntl
import inspect
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import setup

if TYPE_CHECKING:
    from collections.abc import Iterator

# Debian package -> a file it brings, besides those of setup.py
PACKAGES = {
    "cpio": "/usr/bin/cpio",
    "e2fsprogs": "/usr/sbin/mkfs.ext4",
    "qemu-system-arm": "/usr/bin/qemu-system-aarch64",
    "qemu-user-static": "/usr/bin/qemu-aarch64-static",
}
# udev, which a container has not, and what a machine needs to be a Kubernetes node
HOST_PACKAGES = ["udev", "busybox-static", "conntrack", "containerd", "runc"]
NODE_PROGRAMS = ["kube-proxy", "kubelet"]
SUITE = "bookworm"
# The modules that the initramfs loads: what mounts the disk, and the network device
MODULES = ["virtio_mmio", "virtio_blk", "crc32c_generic", "ext4", "virtio_net"]
# etcd of the versions before ours, as Debian has them: 3.4 is the last that has to be asked to run
# on arm64.
ETCD_SUITES = ["bookworm", "trixie"]
# No console and no timers: nothing but the host's own work is emulated.
MASKED = ["getty.target", "serial-getty@ttyAMA0.service", "timers.target"]
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/lib/$module"; done </modules
until mount -t ext4 /dev/vda /mnt; do sleep 0.2; done
ip link set lo up
ip link set eth0 up
for word in $(cat /proc/cmdline); do
    value=${word#*=}
    case $word in
    host.name=*) echo "$value" >/mnt/etc/hostname ;;
    host.address=*) ip address add "$value" dev eth0 ;;
    host.key=*)
        mkdir -p -m 700 /mnt/root/.ssh
        echo "$value" | base64 -d >/mnt/root/.ssh/authorized_keys
        ;;
    esac
done
mount --move /dev /mnt/dev
umount /proc /sys
exec switch_root /mnt /sbin/init
"""
MIRROR = setup.BUILD / "mirror"  # leads to that of both architectures
NODE = setup.BUILD / "node-programs"  # leads to NODE_PROGRAMS
NICENESS = -15
STATE = setup.BUILD / "machines"  # NAME.pid and NAME.console of those that run


def command(name: str, addresses: list[str], key: str, base: pathlib.Path) -> list[str]:
    """Return the command that starts a machine in the background.

    addresses: of its one interface, with their prefix lengths; key: the text of an authorized_keys;
    base: the directory with kernel, initrd and disk. Its tap device is called as tap() says.
    """
    words = [
        "console=ttyAMA0",
        "net.ifnames=0",
        "mitigations=off",
        *(f"systemd.mask={unit}" for unit in MASKED),
        f"host.name={name}",
        *(f"host.address={address}" for address in addresses),
        f"host.key={base64.b64encode(key.encode()).decode()}",
    ]
    return [
        *("qemu-system-aarch64", "-name", name, "-M", "virt", "-cpu", "cortex-a72", "-smp", "2"),
        *("-m", "1500", "-accel", "tcg,thread=multi"),
        *("-kernel", f"{base}/vmlinuz", "-initrd", f"{base}/initrd", "-append", " ".join(words)),
        # Each machine writes beside the disk, into a file that goes with it.
        *("-drive", f"if=none,id=d0,file={base}/disk,format=raw,snapshot=on,cache=unsafe"),
        *("-device", "virtio-blk-device,drive=d0"),
        *("-netdev", f"tap,id=n0,ifname={tap(name)},script=no,downscript=no"),
        *("-device", f"virtio-net-device,netdev=n0,mac={mac(name)}"),
        *("-object", "rng-random,id=r0,filename=/dev/urandom"),
        *("-device", "virtio-rng-device,rng=r0", "-display", "none", "-monitor", "none"),
        *("-serial", f"file:{STATE / name}.console", "-pidfile", f"{STATE / name}.pid"),
        "-daemonize",
    ]


def tap(name: str) -> str:
    """Return what the machine's end on this side is called."""
    return f"arm{setup.digest(name)[:8]}"


def mac(name: str) -> str:
    """Return the machine's MAC address."""
    return "52:54:" + ":".join(re.findall("..", setup.digest(name)[:8]))


def bridge_mac(name: str) -> str:
    """Return the MAC address of the end on this side.

    A bridge takes the lowest of its ports' addresses: with this one it keeps that which it has.
    """
    return "fe" + mac(name)[2:]


def running(name: str) -> int:
    """Return the process of a machine, 0 where it does not run."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((STATE / f"{name}.pid").read_text())
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if words[1:3] == [b"-name", name.encode()]:
            return pid
    return 0


def start(name: str, network: str, addresses: list[str]) -> bool:
    """Start a machine in a podman network; return whether it had to be started."""
    if running(name):
        return False
    found = subprocess.run(
        ["podman", "network", "inspect", network], stdout=subprocess.PIPE, check=True
    )
    bridge = json.loads(found.stdout)[0]["network_interface"]
    if not pathlib.Path("/sys/class/net", bridge).exists():
        # podman makes it with the first container and removes it with the last
        raise setup.SetupError(f"{name}: {network} has no bridge; start a container in it first")
    STATE.mkdir(parents=True, exist_ok=True)
    key = pathlib.Path(os.environ["MULTINET_SSH_DIR"], "authorized_keys").read_text()
    subprocess.run(command(name, addresses, key, base_directory()), check=True)
    prefer(running(name))
    to_bridge = ["address", bridge_mac(name), "master", bridge, "up"]
    subprocess.run(["ip", "link", "set", tap(name), *to_bridge], check=True)
    return True


def prefer(pid: int) -> None:
    """Let a machine wait for no processor: emulated, it is many times slower than its neighbours.

    A daemon is a session of its own, which the kernel weighs by its autogroup (sched(7)), where it
    has them, else by its niceness.
    """
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.setpriority(os.PRIO_PROCESS, int(thread), NICENESS)
    with contextlib.suppress(OSError):
        pathlib.Path(f"/proc/{pid}/autogroup").write_text(f"{NICENESS}\n")


def stop(name: str) -> bool:
    """Stop a machine; return whether it ran. Its tap device goes with it."""
    pid = running(name)
    if pid:
        os.kill(pid, signal.SIGKILL)
        while running(name):
            time.sleep(0.1)
    for path in STATE.glob(f"{name}.*"):
        path.unlink()
    return bool(pid)


def debian_source() -> str:
    """Return where this machine has its Debian packages from: it has those of arm64, too."""
    chosen = os.environ.get("MULTINET_DEBIAN_SOURCE")
    if chosen:
        return chosen
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
        + ["Origin: Debian", "Label: Debian"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    if not listed.stdout.strip():
        raise setup.SetupError(
            "arm64: apt of this machine has no source of Debian; set MULTINET_DEBIAN_SOURCE to one"
        )
    return listed.stdout.split()[0]


def unpack(suite: str, arch: str, packages: list[str], target: pathlib.Path) -> list[str]:
    """Download packages of any suite and architecture, unpack them, no more, into a directory, and
    return their upstream versions.

    linux-image-arm64 stands for the kernel that it depends on. apt and dpkg of this machine are not
    touched.
    """
    home = target.with_name(target.name + ".apt")
    shutil.rmtree(home, ignore_errors=True)
    for folder in ("state/lists/partial", "cache/archives/partial", "debs"):
        (home / folder).mkdir(parents=True)
    (home / "status").touch()
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources = home / "sources.list"
    sources.write_text(f"deb [signed-by={keyring}] {debian_source()} {suite} main\n")
    settings = {
        "APT::Architecture": arch,
        "APT::Architectures::": arch,
        "APT::Sandbox::User": "root",
        "Dir::State": home / "state",
        "Dir::State::status": home / "status",
        "Dir::Cache": home / "cache",
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    setup.run("arm64", ["apt-get", *options, "-q", "update"])
    names = []
    for name in packages:
        depends = subprocess.run(
            ["apt-cache", *options, "depends", name], stdout=subprocess.PIPE, text=True, check=True
        )
        kernel = re.search(r"Depends: (linux-image-[0-9]\S+)", depends.stdout)
        names.append(kernel.group(1) if kernel else name)
    setup.run("arm64", ["apt-get", *options, "-q", "download", *names], cwd=home / "debs")
    found = sorted((home / "debs").iterdir())
    for package in found:
        setup.run("arm64", ["dpkg-deb", "--extract", str(package), str(target)])
    shutil.rmtree(home)
    return [package.name.split("_")[1].rpartition("-")[0] for package in found]


def make_initramfs(kernel: pathlib.Path, target: pathlib.Path) -> None:
    """Pack INIT, busybox and MODULES of an unpacked kernel."""
    (version,) = os.listdir(kernel / "lib" / "modules")
    setup.run("arm64", ["depmod", "-b", str(kernel), version])
    tree = target.with_name("initramfs")
    for folder in ("bin", "lib", "proc", "sys", "dev", "mnt"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(kernel / "bin" / "busybox", tree / "bin")
    names: list[str] = []
    for module in MODULES:
        shown = subprocess.run(
            ["modprobe", "-d", str(kernel), "-S", version, "--show-depends", module],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        # What a module needs comes before it; "builtin" is no file.
        for path in re.findall(r"^insmod (\S+)", shown.stdout, re.MULTILINE):
            name = os.path.basename(path)
            if name not in names:
                shutil.copy(path, tree / "lib")
                names.append(name)
    (tree / "modules").write_text("".join(f"{name}\n" for name in names))
    (tree / "init").write_text(INIT)
    (tree / "init").chmod(0o755)
    pack = 'find . | cpio --quiet -o -H newc | gzip >"$0"'
    setup.run("arm64", ["sh", "-ec", pack, str(target)], cwd=tree)
    shutil.rmtree(tree)


def image_archive() -> pathlib.Path:
    """Return where the machines' root file system is, or would be."""
    made_of = setup.digest(*setup.HOST_IMAGE, SUITE, *HOST_PACKAGES)
    return setup.CACHE / "images" / f"arm64-{made_of}.tar"


def base_directory() -> pathlib.Path:
    """Return where kernel, initrd and disk of the machines are, or would be."""
    made_by = [inspect.getsource(one) for one in (unpack, make_initramfs, make_base)]
    return setup.CACHE / "arm64" / setup.digest(image_archive().name, INIT, *MODULES, *made_by)


def make_image() -> None:
    """Make the root file system, in minutes: the packages set themselves up emulated."""
    archive = image_archive()
    if archive.exists():
        return setup.say("arm64", "root file system: there")
    setup.say("arm64", "debootstrap")
    partial = setup.scratch(archive)
    command = [str(setup.HOST_IMAGE[0]), str(partial), *HOST_PACKAGES]
    setup.run("arm64-image", command, env={"ARCH": "arm64", "SUITE": SUITE})
    partial.rename(archive)
    return setup.say("arm64", "root file system made")


def make_base() -> None:
    """Make kernel, initrd and disk."""
    make_image()
    target = base_directory()
    if target.exists():
        return setup.say("arm64", "disk: there")
    partial = setup.scratch(target)
    kernel, root = partial / "kernel", partial / "root"
    root.mkdir(parents=True)
    unpack(SUITE, "arm64", ["linux-image-arm64", "busybox-static"], kernel)
    make_initramfs(kernel, partial / "initrd")
    (image,) = (kernel / "boot").glob("vmlinuz-*")
    shutil.copy(image, partial / "vmlinuz")
    setup.run("arm64", ["tar", "-C", str(root), "-xf", str(image_archive())])
    # The modules alone: installed as a package, the kernel has an initramfs made for minutes.
    modules = root / "usr" / "lib" / "modules"
    shutil.copytree(kernel / "lib" / "modules", modules, symlinks=True)
    # A machine that is no Kubernetes node does not start it.
    (root / "etc/systemd/system/multi-user.target.wants/containerd.service").unlink()
    disk = ["-E", "lazy_itable_init=1", "-O", "^has_journal", "-d", str(root)]
    setup.run("arm64", ["mkfs.ext4", "-q", "-F", *disk, str(partial / "disk"), "4G"])
    for folder in (kernel, root):
        shutil.rmtree(folder)
    partial.rename(target)
    return setup.say("arm64", "disk made")


@contextlib.contextmanager
def cross_compiling() -> Iterator[None]:
    """Have what setup.py builds be for arm64."""
    os.environ["GOARCH"] = "arm64"
    try:
        yield
    finally:
        del os.environ["GOARCH"]


def mirror_directory() -> pathlib.Path:
    """Return where the mirror directory of both architectures is, or would be."""
    with cross_compiling():
        arm64 = setup.mirror_directory(setup.COMPONENTS)
    made_by = [inspect.getsource(one) for one in (unpack, add_former_etcd, make_mirror)]
    return setup.CACHE / "mirror" / setup.digest(arm64.name, *ETCD_SUITES, *made_by)


def add_former_etcd(mirror: pathlib.Path, architectures: list[str]) -> None:
    """Fill a mirror directory with the versions of etcd that ETCD_SUITES have."""
    for suite in ETCD_SUITES:
        for arch in architectures:
            tree = mirror / "unpacked"
            version = unpack(suite, arch, ["etcd-server", "etcd-client"], tree)[0]
            folder = mirror / "etcd" / version / f"linux-{arch}"
            folder.parent.mkdir(exist_ok=True)
            (tree / "usr" / "bin").rename(folder)
            setup.run("arm64", ["sh", "-ec", "sha256sum etcd etcdctl >SHA256SUMS"], cwd=folder)
            shutil.rmtree(tree)


def make_mirror() -> None:
    """Fill a mirror directory with the programs of both architectures and etcd's old versions."""
    target = mirror_directory()
    if target.exists():
        return setup.say("arm64", "mirror: there")
    built = [setup.fill_mirror(setup.COMPONENTS)]
    with cross_compiling():
        built.append(setup.fill_mirror(setup.COMPONENTS))
    partial = setup.scratch(target)
    for folder in built:
        shutil.copytree(folder, partial, copy_function=os.link, dirs_exist_ok=True)
        (partial / "manifest.json").unlink()  # of one architecture
    add_former_etcd(partial, ["amd64", "arm64"])
    partial.rename(target)
    return setup.say("arm64", "mirror made")


def node_directory() -> pathlib.Path:
    """Return where NODE_PROGRAMS are, or would be."""
    sources = [setup.UPSTREAM / "kubernetes" / file for file in ("go.mod", "go.sum")]
    made_by = [inspect.getsource(one) for one in (setup.build_packages, make_node_programs)]
    return setup.CACHE / "arm64" / setup.digest(*sources, *NODE_PROGRAMS, *setup.COMPILE, *made_by)


def make_node_programs() -> None:
    """Build what a node runs of Kubernetes."""
    target = node_directory()
    if target.exists():
        return setup.say("arm64", "kubelet: there")
    setup.say("arm64", "building kubelet and kube-proxy")
    partial = setup.scratch(target)
    partial.mkdir(parents=True)
    packages = [f"k8s.io/kubernetes/cmd/{name}" for name in NODE_PROGRAMS]
    setup.build_packages("upstream", "kubernetes", ["build"], f"{partial}/", packages)
    partial.rename(target)
    return setup.say("arm64", "kubelet built")


def make_programs() -> None:
    """Fill the mirror directory and build what nodes run: one after the other, as Go uses every
    processor.
    """
    make_mirror()
    with cross_compiling():
        make_node_programs()


def build() -> None:
    """Build what is not there: the root file system and the programs side by side."""
    setup.install_packages(PACKAGES)
    (setup.CACHE / "logs").mkdir(parents=True, exist_ok=True)
    with (setup.CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            for stage in [pool.submit(make_base), pool.submit(make_programs)]:
                stage.result()
    setup.BUILD.mkdir(exist_ok=True)
    for link, directory in ((MIRROR, mirror_directory()), (NODE, node_directory())):
        link.unlink(missing_ok=True)
        link.symlink_to(directory)


def main(arguments: list[str]) -> None:
    """Do what the command line says; a line "changed" where something was changed."""
    verb, *names = arguments or [""]
    if verb == "build":
        build()
    elif verb == "start" and len(names) > 2:
        print("changed" if start(names[0], names[1], names[2:]) else "ok")
    elif verb == "stop":
        stopped = [stop(name) for name in names]
        print("changed" if any(stopped) else "ok")
    else:
        raise setup.SetupError(str(__doc__))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except setup.SetupError as problem:
        sys.exit(f"\n{problem}")
