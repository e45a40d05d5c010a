#!/usr/bin/env bash
# Portcullis and other scanners (syft, gitleaks, trufflehog) on the same images in the same run: what both found, what one
# alone found and why, and time and memory as ratios. Ratios of one run on one machine; never quote them without both.
#
#   scripts/side-by-side.sh [--rounds N] [--json FILE] [--without PEER] [OCI-LAYOUT...]
#
# Without a layout it makes one from Debian's essential packages, npm's express and eslint, and PyPI's flask and requests.
# PORTCULLIS_BIN names the program; without it an optimised one is built.
set -euo pipefail
cd "$(dirname "$0")/.."

options=() layouts=()
while [ $# -gt 0 ]; do
  case $1 in
  --rounds | --json | --without) options+=("$1" "$2"); shift 2 ;;
  *) layouts+=("$1"); shift ;;
  esac
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The mirror that this system's own apt is set up with.
mirror() {
  apt-get indextargets --format '$(SITE)|$(RELEASE)' 'Created-By: Packages' |
    awk -F'|' '$2 !~ /-security$/ && $1 ~ /debian\/?$/ { print $1; exit }'
}

make_default() {
  local packages=$work/packages
  mkdir -p "$packages/app" "$packages/usr/local/lib/python3/site-packages"
  mmdebstrap --quiet --mode=root --variant=essential --format=tar --aptopt='Acquire::Check-Valid-Until "false"' \
    trixie "$work/debian.tar" "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) trixie main"
  (cd "$packages/app" && echo '{"name":"app","private":true}' >package.json &&
    npm install --silent --ignore-scripts --no-audit --no-fund express@4.18.2 eslint@8.56.0)
  pip3 install --quiet --no-compile --target "$packages/usr/local/lib/python3/site-packages" flask==3.0.2 requests==2.31.0
  tar --sort=name --owner=0 --group=0 -C "$packages" -cf "$work/packages.tar" .
  python3 scripts/side-by-side.py pack "$work/default" "$work/debian.tar" "$work/packages.tar"
  layouts=("$work/default")
}

[ ${#layouts[@]} -gt 0 ] || make_default
if [ -z "${PORTCULLIS_BIN:-}" ]; then
  cargo build --locked --release -p gateway --bin portcullis
  PORTCULLIS_BIN=target/release/portcullis
fi
python3 scripts/side-by-side.py compare --portcullis "$PORTCULLIS_BIN" "${options[@]}" "${layouts[@]}"
