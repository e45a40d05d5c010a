#!/usr/bin/env bash
# Runs every bundle case of a checkout of sigstore's conformance suite, by path and by digest, through
# `portcullis conformance verify-bundle`, and compares the answer with the case's name (`…_fail` must be refused).
#
#   scripts/sigstore-conformance.sh SUITE TRUSTED_ROOT
#
# TRUSTED_ROOT: the public-good instance's trusted_root.json, for the cases that bring none.
set -euo pipefail
suite=$(cd "$1/test/assets" && pwd)
default_root=$(realpath "$2")
cd "$(dirname "$0")/.."
cargo build --quiet --locked -p gateway --bin portcullis
portcullis=${CARGO_TARGET_DIR:-target}/debug/portcullis
beacon=https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon
identity=$beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main
issuer=https://token.actions.githubusercontent.com

passed=0
failed=0
for folder in "$suite"/bundle-verify/*/; do
  file() { if [ -f "$folder$1" ]; then echo "$folder$1"; else echo "$2"; fi; }
  content() { if [ -f "$folder$1" ]; then cat "$folder$1"; else echo "$2"; fi; }
  artifact=$(file artifact "$suite/a.txt")
  asked=(--bundle "${folder}bundle.sigstore.json" --trusted-root "$(file trusted_root.json "$default_root")")
  if [ -f "${folder}key.pub" ]; then
    asked+=(--key "${folder}key.pub")
  else
    asked+=(--certificate-identity "$(content identity "$identity")" --certificate-oidc-issuer "$(content issuer "$issuer")")
  fi
  case $(basename "$folder") in *_fail) wanted=1 ;; *) wanted=0 ;; esac
  for what in "$artifact" "sha256:$(sha256sum "$artifact" | cut -d' ' -f1)"; do
    code=0
    told=$("$portcullis" conformance verify-bundle "${asked[@]}" "$what" 2>&1) || code=$?
    if [ "$code" = "$wanted" ]; then
      passed=$((passed + 1))
    else
      failed=$((failed + 1))
      echo "$(basename "$folder"): exit code $code instead of $wanted: $told"
    fi
  done
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
