#!/usr/bin/env bash
# Run the static checks in parallel. Prints a line for each check, then the output of those that
# failed. `scripts/lint.sh ruff mypy` runs only those, `scripts/lint.sh quick` runs all that take
# seconds, as before each commit (.pre-commit-config.yaml).
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=/dev/null
[ -n "${MULTINET_CACHE:-}" ] || . .build/env

only=("$@")
output=$(mktemp -d)
trap 'rm -rf "$output"' EXIT

check() { # NAME COMMAND...
    local name=$1 start=$EPOCHREALTIME word=ok tenths
    shift
    echo "$name" >>"$output/names"
    case " ${only[*]} " in
        "  " | *" $name "*) ;;
        " quick ") [[ "$name" != @(ansible-lint|antsibull-docs) ]] || return 0 ;;
        *) return 0 ;;
    esac
    "$@" >"$output/$name" 2>&1 </dev/null || word=FAILED
    tenths=$(((${EPOCHREALTIME/./} - ${start/./}) / 100000))
    printf 'lint: %-14s %-6s %3d.%d s\n' "$name" $word $((tenths / 10)) $((tenths % 10))
    [ $word = ok ] || mv "$output/$name" "$output/$name.failed"
}

# The checkout under the name by which its files import each other.
collection=ansible_collections/multinet/flannel
mkdir -p ".build/tree/${collection%/*}"
ln -sfn "$PWD" ".build/tree/$collection"

check ansible-lint ansible-lint -q --nocolor --format pep8 &
check imports env PYTHONPATH=.build/tree lint-imports --no-logo --cache-dir .build/import-linter &
check ruff ruff check --quiet &
check mypy mypy --no-error-summary ".build/tree/$collection/plugins" scripts roles/isolation/files/isolation.py &
check format ruff format --quiet --diff &
check one-place python3 scripts/one_place.py &
check markdown python3 scripts/markdown.py &
check antsibull-docs antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck . &
check docs python3 scripts/docs.py --check &
check yamllint yamllint --strict . &
git ls-files -z --cached --others --exclude-standard -- '*.sh' .ci/run >"$output/shell"
check shellcheck xargs -0 -a "$output/shell" shellcheck &
wait

for name in "${only[@]}"; do
    [ "$name" = quick ] || grep -qx "$name" "$output/names" || {
        echo "lint: there is no check $name. The checks are $(sort "$output/names" | xargs)"
        exit 2
    }
done
shopt -s nullglob
failed=("$output"/*.failed)
for file in "${failed[@]}"; do
    name=$(basename "$file" .failed)
    printf '\n%s (again: make lint CHECK=%s)\n' "$name" "$name"
    cat "$file"
done
[ ${#failed[@]} -eq 0 ]
