#!/bin/sh
# Give containerd the one image of all test pods, the pause container's too: busybox, which sleeps unless told otherwise.
set -e
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
mkdir bin tmp
cp /bin/busybox bin/
for applet in $(busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "bin/$applet"
done
tar -cf layer.tar bin tmp
sum=$(sha256sum layer.tar | cut -d ' ' -f 1)
cat >config.json <<JSON
{"os": "linux", "architecture": "$(dpkg --print-architecture)", "config": {"Cmd": ["/bin/sleep", "infinity"], "Env": ["PATH=/bin"]},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$sum"]}}
JSON
echo '[{"Config": "config.json", "RepoTags": ["localhost/pod:test"], "Layers": ["layer.tar"]}]' >manifest.json
tar -c manifest.json config.json layer.tar | ctr -n k8s.io images import -
