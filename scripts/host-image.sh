#!/usr/bin/env bash
# Make the root file system of a test host: Debian with systemd and an SSH server, nothing of the collection.
# Usage: host-image.sh OUTPUT.tar [PACKAGE...]
set -euo pipefail

output=$1
shift
root=$(mktemp -d "$output.root.XXXXXX")
trap 'rm -rf "$root"' EXIT

packages=(
    systemd systemd-sysv dbus openssh-server python3 iproute2 nftables iptables kmod procps
    iputils-ping ca-certificates tcpdump "$@"
)
debootstrap --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" bookworm "$root"

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
printf 'PermitRootLogin prohibit-password\nUsePAM no\nUseDNS no\nMaxSessions 50\n' >"$root/etc/ssh/sshd_config.d/test-host.conf"

rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/locale/*
# Each host makes its own identity.
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
tar -C "$root" -cf "$output" .
