#!/usr/bin/env bash
# Remove the hosts and networks of the demo and of all scenarios, and what was built in this
# checkout; the cache stays.
set -euo pipefail
cd "$(dirname "$0")/.."

if command -v podman >/dev/null; then
    podman ps -aq --filter label=multinet=test-host | xargs -r podman rm -f -v -t 0 >/dev/null
    grep -rhoP '^ *test_network: \K\S+' inventories molecule benchmarks |
        xargs -r -n 1 podman network rm -f >/dev/null 2>&1 || true
fi
rm -rf .build .ansible .pytest_cache .hypothesis
