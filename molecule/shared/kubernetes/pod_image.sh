#!/bin/sh
# Give the container runtime the one image of all test pods, the pause container's too: busybox,
# which sleeps unless told otherwise.
set -e
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
mkdir "$directory/bin" "$directory/tmp"
cp /bin/busybox "$directory/bin/"
for applet in $(busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "$directory/bin/$applet"
done
"${0%/*}/image.sh" localhost/pod:test "$directory" \
    '{"Cmd": ["/bin/sleep", "infinity"], "Env": ["PATH=/bin"]}'
