#!/usr/bin/env bash
# Make the root file system of a test host: Debian with systemd and an SSH server, nothing of the collection.
# Usage: [SUITE=bookworm] [ARCH=amd64] host-image.sh OUTPUT.tar [PACKAGE...]
set -euo pipefail

output=$1
shift
root=$(mktemp -d "$output.root.XXXXXX")
formats=/proc/sys/fs/binfmt_misc
mounted='' registered=''
finish() {
    [ -z "$registered" ] || echo -1 >$formats/qemu-aarch64
    [ -z "$mounted" ] || umount $formats
    rm -rf "$root"
}
trap finish EXIT

packages=(
    systemd systemd-sysv dbus openssh-server python3 iproute2 nftables iptables kmod procps
    iputils-ping ca-certificates tcpdump "$@"
)
# The packages of another architecture are emulated while they set themselves up, and no longer: the machine's registry of
# binary formats is left as it was.
if [ "${ARCH:-amd64}" = arm64 ] && [ ! -e $formats/qemu-aarch64 ]; then
    [ -e $formats/register ] || { mount -t binfmt_misc binfmt_misc $formats && mounted=yes; }
    cat /usr/lib/binfmt.d/qemu-aarch64.conf >$formats/register && registered=yes
fi
debootstrap --variant=minbase --arch="${ARCH:-amd64}" --include="$(IFS=,; echo "${packages[*]}")" "${SUITE:-bookworm}" "$root"

# The registry of binary formats is one per kernel: a privileged container's systemd-binfmt would empty the machine's.
for unit in systemd-binfmt.service proc-sys-fs-binfmt_misc.automount; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
# The hosts' network is closed, so that no test packet leaves the machine; the default route says which interface is the underlay.
cat >"$root/etc/systemd/system/test-default-route.service" <<'UNIT'
[Unit]
Description=Default route of a test host
DefaultDependencies=no
Before=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=ip route replace default dev eth0
ExecStart=ip -6 route replace default dev eth0

[Install]
WantedBy=sysinit.target
UNIT
ln -s ../test-default-route.service "$root/etc/systemd/system/sysinit.target.wants/test-default-route.service"
# Each task of Ansible is a Python that compiles what it imports, which is half of the work of most.
python=usr/lib/python3/dist-packages
cp "${0%/*}/compiled_modules.py" "$root/$python/"
chroot "$root" python3 -m py_compile "/$python/compiled_modules.py" # hosts write nothing beside it
echo 'import compiled_modules; compiled_modules.keep("/var/tmp/compiled-modules")' >"$root/$python/compiled_modules.pth"
printf 'PermitRootLogin prohibit-password\nUsePAM no\nUseDNS no\nMaxSessions 50\n' >"$root/etc/ssh/sshd_config.d/test-host.conf"

rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/locale/*
# Each host makes its own identity.
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
tar -C "$root" -cf "$output" .
