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

# The end-to-end tests drive this binary; tests of one crate alone would not build it.
cargo build --locked -p gateway --bin portcullis
status=0
cargo test --locked --workspace --no-fail-fast "$@" 2>&1 | tee "$output" || status=$?

echo
echo "== skipped =="
cat "$skipped" <(grep -a '^SKIPPED:' "$output" || true) | sort -u
awk '/^test result:/ { passed += $4; failed += $6 } END { printf "%d passed, %d failed\n", passed, failed }' "$output"
exit "$status"
