#!/usr/bin/env bash
# The other end: a site from a carried tar, with a controller that reaches nothing.
# Usage: other_end.sh TAR DIRECTORY
set -euo pipefail
tar=$1 site=$2
root=$(dirname "$(realpath "$0")")/../..

ip -brief link | tee /dev/stderr | grep -qv '^lo ' && exit 1
mkdir -p "$site/mirror"
tar -C "$site/mirror" -xf "$tar"
cd "$site/mirror"
sha256sum --check --strict --quiet MANIFEST.sha256

"$VIRTUAL_ENV/bin/python" -m venv "$site/venv"
# nothing of the development environment from here on
export PATH="$site/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export HOME=$site ANSIBLE_HOME=$site/ansible ANSIBLE_COLLECTIONS_PATH=$site/collections
unset VIRTUAL_ENV PYTHONPATH
pip --isolated install --quiet --no-index --find-links controller -r controller/requirements.txt
ansible-galaxy collection install --offline -p "$ANSIBLE_COLLECTIONS_PATH" controller/*.tar.gz

# a connection of before would lead out of here
export ANSIBLE_SSH_CONTROL_PATH_DIR=$site/cp MULTINET_MIRROR=$site/mirror
play() {
    ansible-playbook -i "$root/molecule/shared/inventory" -i "$root/molecule/offline/inventory" "$@"
}
play multinet.flannel.site
play multinet.flannel.site | tee "$site/second.log"
[ "$(grep -c 'changed=0 ' "$site/second.log")" = 2 ]
play "$root/molecule/shared/attach.yml"
play multinet.flannel.verify
