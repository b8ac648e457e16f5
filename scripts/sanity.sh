#!/usr/bin/env bash
# ansible-test sanity on a copy of what git knows or would add, at the path where ansible-test wants
# a collection.
set -euo pipefail
cd "$(dirname "$0")/.."

# Outside of the checkout: inside it, everything would be ignored by its git.
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
copy=$tree/ansible_collections/multinet/flannel
mkdir -p "$copy"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
    [ ! -e "$file" ] || printf '%s\0' "$file"
done | tar -cf - --null -T - | tar -xf - -C "$copy"

# ansible-test keeps its virtual environments under the home directory; those belong to the cache.
export HOME=$MULTINET_CACHE/ansible-test
mkdir -p "$HOME/.ansible/test/cache"
cp scripts/get_pip.py "$HOME/.ansible/test/cache/get_pip_24_2.py"
# Where pyenv has other Pythons, the code for hosts is tested on those too: the hosts' floor is 3.9.
for bin in "${PYENV_ROOT:-/nonexistent}"/versions/3.*/bin; do
    PATH=$bin:$PATH
done
PATH=$VIRTUAL_ENV/bin:$PATH

# ansible-test runs programs from there; modules that others left in /tmp are not for them.
mkdir "$tree/tmp"
export TMPDIR=$tree/tmp

cd "$copy"
ansible-test sanity --color no "$@"
