#!/bin/sh
# The first process of a Kubernetes node's container: what a container has to be given to pass for a
# machine, then systemd.
# Usage: init.sh [spare|crio|dual|machine]... A spare host is no node until someone starts its
# units; `crio`: with CRI-O in place of containerd; `dual`: the node names its IPv6 address too;
# `machine`: no container, and its systemd runs.
set -e
words=" $* "
told() { [ "${words#* "$1" }" != "$words" ]; }

# The machine's own settings, which kubelet writes: a container gets copies.
settings='vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops'
! told machine || settings=
for setting in $settings; do
    mkdir -p "/var/lib/test-sysctl/${setting%/*}"
    cat "/proc/sys/$setting" >"/var/lib/test-sysctl/$setting"
    mount --bind "/var/lib/test-sysctl/$setting" "/proc/sys/$setting"
done

for program in /opt/test-mirror/kubernetes/*/*/kube* /opt/mirror/etcd/*/*/etcd; do
    [ ! -e "$program" ] || ln -sf "$program" /usr/local/sbin/
done
# What the node had before any network of ours: containerd writes the template's CNI configuration
# when the node has its podCIDR.
mkdir -p /opt/cni/bin /etc/containerd
for plugin in bridge host-local loopback portmap; do
    [ -e "/opt/cni/bin/$plugin" ] || cp /opt/mirror/cni-plugins/*/*/$plugin /opt/cni/bin/
done
[ -e /etc/containerd/cni.template ] || cp /etc/kubernetes/cni.template /etc/containerd/
grep -qs sandbox_image /etc/containerd/config.toml ||
    cp /etc/kubernetes/containerd.toml /etc/containerd/config.toml
ln -sf /etc/kubernetes/units/*.service /etc/systemd/system/
mkdir -p /etc/systemd/system/multi-user.target.wants
if told crio; then
    ln -sf /opt/test-mirror/cri-o/*/*/[!S]* /usr/local/bin/
    if [ ! -e /etc/crio ]; then
        mkdir -p /etc/crio/crio.conf.d /etc/cni/net.d
        cp /etc/kubernetes/crio.conf /etc/crio/crio.conf.d/10-crio.conf
        cp /etc/kubernetes/crio.conflist /etc/cni/net.d/10-crio-bridge.conflist
        echo KUBELET_RUNTIME=--container-runtime-endpoint=unix:///run/crio/crio.sock \
            >/etc/kubelet.env
    fi
    ln -sf /dev/null /etc/systemd/system/containerd.service
    ln -sf /etc/kubernetes/units/crio.service /etc/systemd/system/multi-user.target.wants/
fi
# By itself a kubelet names one address.
! told dual || ip -o address show dev eth0 scope global |
    awk '{ split($4, one, "/"); all = all comma one[1]; comma = "," }
        END { print "KUBELET_ADDRESSES=--node-ip=" all }' >/etc/kubelet.addresses.env
told spare || while read -r unit; do
    ln -sf "/etc/kubernetes/units/$unit.service" /etc/systemd/system/multi-user.target.wants/
done <"/etc/kubernetes/$(cat /proc/sys/kernel/hostname).units"
if told machine; then
    systemctl daemon-reload
    exec xargs systemctl enable --now containerd <"/etc/kubernetes/$(uname -n).units"
fi
# kubectl by hand
mkdir -p /root/.kube
ln -sf /etc/kubernetes/admin.conf /root/.kube/config

# On a machine with the old cgroup tree: only the hierarchies that the container has for itself.
# systemd would mount the others as the machine has them, and a kubelet removes what it takes for
# cgroups of pods that are gone: those of other hosts.
if mountpoint -q /sys/fs/cgroup/systemd; then
    umount -l /sys/fs/cgroup/systemd
    awk '$3 == "cgroup" { for (i = split($4, word, ","); i > 0; i--) own[word[i]] }
        FILENAME == "/proc/cgroups" && (FNR == 1 || $1 in own)' \
        /proc/self/mounts /proc/cgroups >/var/lib/test-cgroups
    mount --bind /var/lib/test-cgroups /proc/cgroups
    exec /sbin/init systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1
fi
exec /sbin/init
