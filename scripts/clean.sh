#!/usr/bin/env bash
# Remove the hosts and networks that this checkout created for the demo and for scenarios, and its
# build directory. The cache and the hosts of other checkouts stay.
# With --list, only print these hosts and networks.
set -euo pipefail
cd "$(dirname "$0")/.."

hosts=() networks=()
if command -v podman >/dev/null; then
    # molecule/default/create.yml sets the label
    mapfile -t hosts < <(podman ps -a --filter "label=multinet.checkout=$(pwd -P)" --format '{{.Names}}')
fi
if [ ${#hosts[@]} -gt 0 ]; then
    mapfile -t networks < <(podman inspect --type container \
        --format '{{range $name, $_ := .NetworkSettings.Networks}}{{println $name}}{{end}}' \
        "${hosts[@]}" | grep . | sort -u)
fi
if [ "${1:-}" = --list ]; then
    [ ${#hosts[@]} -eq 0 ] || printf '%s\n' "${hosts[@]}" "${networks[@]}"
    for machine in .build/machines/*.pid; do
        [ ! -e "$machine" ] || basename "$machine" .pid
    done
    exit
fi
if [ ${#hosts[@]} -gt 0 ]; then
    podman rm --force --volumes --time 0 "${hosts[@]}" >/dev/null
fi
for network in "${networks[@]}"; do
    # one that hosts of another checkout are in stays
    podman network rm "$network" >/dev/null 2>&1 || echo "The network $network stays: it is used."
done
for machine in .build/machines/*.pid; do
    [ ! -e "$machine" ] || python3 scripts/arm64.py stop "$(basename "$machine" .pid)" >/dev/null
done
rm -rf .build .ansible .pytest_cache .hypothesis
