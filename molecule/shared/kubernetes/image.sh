#!/bin/sh
# Give the container runtime an image that is one directory.
# Usage: image.sh NAME DIRECTORY CONFIG; CONFIG is a JSON object (Cmd, Env, ...).
set -e
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
tar -cf "$directory/layer.tar" -C "$2" .
cd "$directory"
sum=$(sha256sum layer.tar | cut -d ' ' -f 1)
cat >config.json <<JSON
{
  "os": "linux",
  "architecture": "$(dpkg --print-architecture)",
  "config": $3,
  "rootfs": {"type": "layers", "diff_ids": ["sha256:$sum"]}
}
JSON
cat >manifest.json <<JSON
[{"Config": "config.json", "RepoTags": ["$1"], "Layers": ["layer.tar"]}]
JSON
tar -cf image.tar manifest.json config.json layer.tar
if [ -e /etc/crio ]; then
    skopeo --insecure-policy copy docker-archive:image.tar "containers-storage:$1"
else
    ctr -n k8s.io images import image.tar
fi
