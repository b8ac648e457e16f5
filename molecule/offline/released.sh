#!/usr/bin/env bash
# A site as README's inventory declares it: executables from upstream's releases, in the versions of
# the collection. Only the address of the releases is another (tests/upstream_server.py, with
# upstream's paths and names), and so are the sums. Its hosts are reset at the end.
# Usage: released.sh DIRECTORY
set -euo pipefail
root=$(dirname "$(realpath "$0")")/../..
cd "$1"

# in HOME is the cache of what is downloaded
export no_proxy=127.0.0.1 HOME=$PWD/released
python "$root/tests/upstream_server.py" "$MULTINET_MIRROR" released.json me:secret 2>server.log &
trap 'kill $!' EXIT
timeout 60 sh -c 'until [ -e released.json ]; do sleep 0.1; done'

play() {
    ansible-playbook -i "$root/molecule/shared/inventory" -i "$root/molecule/offline/inventory" \
        -e @released.json -e multinet_artifact_source=release -e multinet_flanneld_form=units \
        -e '{"multinet_versions": {}}' "$@"
}
play multinet.flannel.site
play multinet.flannel.site
play multinet.flannel.status
play multinet.flannel.reset -e multinet_reset_confirmed=true
