#!/usr/bin/env bash
# What a host and its pods have, into a file, as far as it stays as it is while nobody does anything:
# processes, listeners, files, rules, links, addresses, routes, sysctls. Usage: traces.sh FILE
set -euo pipefail
export LC_ALL=C
exec >"$1"
cd /

network() { # COMMAND TO ENTER IT...
    "$@" ip -o link | sed 's/^[0-9]*: //'
    "$@" ip -o address | awk '{ print $2, $3, $4 }'
    for family in -4 -6; do
        "$@" ip $family rule
        "$@" ip $family route show table all | sed 's/ expires [0-9]*sec//'
    done
    "$@" tc qdisc
    "$@" ss -Hlnutw | awk '{ print $1, $5 }' | sort
    "$@" sysctl --all --pattern '^net\.(ipv[46]\.(ip_forward|conf)|bridge)' 2>/dev/null | sort
}

processes=$(ps -e -o args=)
# but this script, and what Ansible and the host's own timers run; a process that is about to run
# another program is there twice
grep -vE 'sshd|ansible|traces\.sh|^ps -e|systemd|agetty|crictl|^sleep' <<<"$processes" | sort -u
nft --stateless list ruleset
network env
for pod in $(find /run/netns -type f | sort); do
    echo "$pod"
    network nsenter --net="$pod"
done
find . /run /dev/shm -xdev -printf '%p %y\n' |
    grep -vE '^(\.|/run)/(proc|sys|root|var/log|run/log|run/systemd|tmp/systemd|run/user)(/| )' |
    grep -vE '(containerd|containers|kubelet|etcd|systemd|\.ansible|compiled-modules)' | sort
find etc opt -xdev -type f -print0 | sort -z | xargs -0 sha256sum
