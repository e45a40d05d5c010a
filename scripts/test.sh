#!/usr/bin/env bash
# The test command: gets the real clients, builds everything, runs every test, and says what was skipped and why.
#
#   scripts/test.sh [arguments for cargo test]
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/clients.sh
skipped=$(mktemp)
output=$(mktemp)
trap 'rm -f "$skipped" "$output"' EXIT
export PORTCULLIS_SKIPPED=$skipped

# The end-to-end tests drive the program. Built with the tests in one go, it shares their dependencies; built alone it would
# have other features, and all of them twice.
cargo build --locked --workspace --bins --tests
PORTCULLIS_BIN=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/debug/portcullis
export PORTCULLIS_BIN
status=0
cargo test --locked --workspace --no-fail-fast "$@" 2>&1 | tee "$output" || status=$?

echo
echo "== skipped =="
cat "$skipped" <(grep -a '^SKIPPED:' "$output" || true) | sort -u
awk '/^test result:/ { passed += $4; failed += $6 } END { printf "%d passed, %d failed\n", passed, failed }' "$output"
exit "$status"
