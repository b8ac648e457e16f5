#!/usr/bin/env bash
# Build the collection's archive and install it where ANSIBLE_COLLECTIONS_PATH looks first: what
# runs is what a user gets.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p .build
exec 9>.build/install.lock
flock 9
rm -rf .build/archive .build/installed.partial
ansible-galaxy collection build --output-path .build/archive >/dev/null
archive=$(echo .build/archive/*.tar.gz)

# FILES.json has the sum of every file, so its own sum names the content.
sum=$(tar -xzOf "$archive" FILES.json | sha256sum)
installed=.build/installed/${sum:0:12}
if [ ! -d "$installed" ]; then
    ansible-galaxy collection install --force --no-deps -p .build/installed.partial "$archive" \
        >/dev/null 2>.build/install.log || {
        cat .build/install.log
        exit 1
    }
    mkdir -p .build/installed
    mv .build/installed.partial "$installed"
fi
# Another run in this checkout finds the old one or the new one, never none.
rm -rf .build/collections.new
ln -s "installed/${sum:0:12}" .build/collections.new
[ -L .build/collections ] || rm -rf .build/collections
mv -T .build/collections.new .build/collections
echo "installed: ${archive##*/}"
