#!/usr/bin/env bash
# Runs each fuzz target for a moment, from its seeds, on the pinned stable toolchain: coverage by LLVM's own flags,
# without a sanitizer (the code has no unsafe for it to watch). SECONDS_EACH sets the moment, default 3; the seed is fixed, so that a run can be repeated.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

target=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Cdebug-assertions -Ccodegen-units=1 -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
cargo build --release --bins --target "$target"
built=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/$target/release

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0
for source in fuzz_targets/*.rs; do
  name=$(basename "$source" .rs)
  mkdir -p "$work/$name"
  seeds=()
  for folder in "seeds/$name" "corpus/$name"; do
    [ -d "$folder" ] && seeds+=("$folder")
  done
  if "$built/$name" -seed=1 -max_total_time="${SECONDS_EACH:-3}" -rss_limit_mb=1024 -timeout=10 -print_final_stats=0 \
    -artifact_prefix="$work/$name/" "$work/$name" ${seeds[@]+"${seeds[@]}"} >"$work/$name.log" 2>&1; then
    echo "fuzz $name: ok, $(grep -ao 'Done [0-9]* runs' "$work/$name.log" | tail -1)"
    passed=$((passed + 1))
  else
    echo "fuzz $name: FAILED"
    tail -n 40 "$work/$name.log"
    failed=$((failed + 1))
  fi
done
echo "fuzz: $passed passed, $failed failed"
[ "$failed" = 0 ]
