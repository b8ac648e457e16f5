#!/bin/sh
# Deploy the networks on the hosts of a run of Compass4nfv. Needs a shell, and an ansible-playbook
# with the collection multinet.flannel; nothing of the Ansible and the Python of the caller is used.
#
#   multi_network.sh RUN_DIRECTORY
#
# In MULTI_NETWORK_DIRECTORY (/var/ansible/multi_network):
#   venv/bin/ansible-playbook  what is run, or MULTI_NETWORK_PLAYBOOK
#   group_vars/all.yml         the networks; without it, nothing is done
#   log, progress              what was said; a line of JSON for each step of each host
#   exit-code                  0: the networks are as declared. It is written last
# The exit code is that of ansible-playbook; 64: called wrongly, 69: something is missing.
set -u

directory=${MULTI_NETWORK_DIRECTORY:-/var/ansible/multi_network}
playbook=${MULTI_NETWORK_PLAYBOOK:-$directory/venv/bin/ansible-playbook}

give_up() { # CODE SENTENCE
    echo "multi_network: $2" >&2
    [ ! -d "$directory" ] || echo "$1" >"$directory/exit-code"
    exit "$1"
}

[ $# -eq 1 ] || give_up 64 "one argument is needed, the directory of the run."
run=${1%/}
[ -f "$run/inventories/inventory.json" ] ||
    give_up 64 "$run is no directory of a run: it has no inventories/inventory.json."
[ -d "$directory" ] || give_up 69 "$directory is missing; its networks are declared there."
rm -f "$directory/exit-code"
[ -x "$playbook" ] || give_up 69 "$playbook is missing. Install ansible-core and the collection there."
[ -f "$directory/group_vars/all.yml" ] ||
    give_up 69 "$directory/group_vars/all.yml is missing: declare multinet_networks in it."

# The first run stays the inventory's beginning when a host is added.
first=${run%-expansion}
{
    echo "plugin: multinet.flannel.compass"
    echo "run_directory: $first"
    echo "password: true"
    [ "$first" = "$run" ] || printf 'expansions:\n  - run_directory: %s\n' "$run"
} >"$directory/opnfv.compass.yml"

# The caller is an Ansible too, and an older one: its settings and its plugins are not for ours.
for name in $(env | sed -n -e 's/^\(ANSIBLE_[A-Za-z0-9_]*\)=.*/\1/p' \
    -e 's/^\(PYTHON[A-Za-z0-9_]*\)=.*/\1/p'); do
    unset "$name"
done
callbacks=multinet.flannel.progress
[ -z "${COMPASS_STATUS_EMAIL:-}" ] || callbacks=$callbacks,multinet.flannel.compass_status
export ANSIBLE_CALLBACKS_ENABLED="$callbacks"
export ANSIBLE_COLLECTIONS_PATH="$directory/collections:${playbook%/bin/*}/collections"
export ANSIBLE_CONFIG="$directory/ansible.cfg" # where there is one
export ANSIBLE_HOST_KEY_CHECKING=false         # the hosts were installed an hour ago
# else a wrong file is an empty inventory, on which everything succeeds
export ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=true
export ANSIBLE_INVENTORY_ENABLED=multinet.flannel.compass # nobody else tries it, and tells of it
export ANSIBLE_NOCOLOR=1
export ANSIBLE_PIPELINING=true
# Compass has more to do after this, so its success is not the cluster's yet.
export COMPASS_STATUS_FINAL="${COMPASS_STATUS_FINAL:-false}"
export MULTINET_PROGRESS_FILE="$directory/progress"

cd "$directory" || give_up 69 "$directory cannot be entered."
"$playbook" -i opnfv.compass.yml multinet.flannel.compass >log 2>&1
code=$?
[ $code -eq 0 ] || tail -n 20 log >&2
echo $code >exit-code
exit $code
