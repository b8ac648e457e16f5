#!/usr/bin/env bash
# Build the collection's archive and install it where ANSIBLE_COLLECTIONS_PATH looks first: what runs is what a user gets.
set -euo pipefail
cd "$(dirname "$0")/.."

installed=.build/collections/ansible_collections/multinet/flannel
rm -rf .build/archive .build/collections.partial
ansible-galaxy collection build --output-path .build/archive >/dev/null
archive=$(echo .build/archive/*.tar.gz)

# FILES.json has the sum of every file: a run that is going on keeps its collection while nothing changed.
if [ -f "$installed/FILES.json" ] && tar -xzOf "$archive" FILES.json | cmp -s - "$installed/FILES.json"; then
    echo "installed: ${archive##*/}, as before"
    exit
fi
# Installed beside the old one and swapped in, so that an interruption leaves no half of it.
ansible-galaxy collection install --no-deps -p .build/collections.partial "$archive" >/dev/null 2>.build/install.log || {
    cat .build/install.log
    exit 1
}
rm -rf .build/collections
mv .build/collections.partial .build/collections
echo "installed: ${archive##*/}"
