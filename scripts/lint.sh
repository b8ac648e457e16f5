#!/usr/bin/env bash
# yamllint, ansible-lint (production, on the collection at its real path) and shellcheck over what git knows or would add.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "lint: yamllint"
yamllint --strict .
echo "lint: shellcheck"
git ls-files -z --cached --others --exclude-standard -- '*.sh' .ci/run | xargs -0 shellcheck
echo "lint: ansible-lint"
ansible-lint
