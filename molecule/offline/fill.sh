#!/usr/bin/env bash
# Where there is an internet: fill a mirror, pack it, and see that nothing is left to do. The
# releases, under upstream's paths and names, and the image of the DaemonSets are served by
# tests/upstream_server.py, behind a password, of the programs that `make setup` built.
# Usage: fill.sh DIRECTORY
set -euo pipefail
root=$(dirname "$(realpath "$0")")/../..
cd "$1"

export no_proxy=127.0.0.1 XDG_CACHE_HOME=$PWD/cache
python "$root/tests/upstream_server.py" "$MULTINET_MIRROR" variables.json me:secret 2>server.log &
trap 'kill $!' EXIT
timeout 60 sh -c 'until [ -e variables.json ]; do sleep 0.1; done'

echo 'all: {hosts: {node: }}' >inventory.yml
fill() {
    ansible-playbook -i inventory.yml multinet.flannel.mirror -e @variables.json \
        -e multinet_artifact_dir="$PWD/mirror" -e mirror_carry="$PWD/carried.tar" "$@"
}
fill --check --diff
[ ! -e mirror ]
fill -vv
fill --check
fill
