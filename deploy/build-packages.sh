#!/usr/bin/env bash
# Builds the Debian packages of vrouter into target/packages.
#
#   deploy/build-packages.sh                     builds the programs (release), then the packages
#   deploy/build-packages.sh --binaries DIR      packages programs that are built already
#   deploy/build-packages.sh --revision N        revision of the packages [1]
#   deploy/build-packages.sh --fast              less compression: for tests
#
# Needs cargo-deb (deploy/install-deps.sh --packages) and dpkg-dev.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
binaries=
revision=1
fast=()
while [ $# -gt 0 ]; do
  case $1 in
    --binaries) binaries=$(realpath "$2"); shift 2 ;;
    --revision) revision=$2; shift 2 ;;
    --fast) fast=(--fast); shift ;;
    -h | --help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "build-packages: unknown argument '$1'" >&2; exit 1 ;;
  esac
done

export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
command -v cargo-deb >/dev/null || { echo 'build-packages: cargo-deb is missing: deploy/install-deps.sh --packages' >&2; exit 1; }

programs=(vrouterd vrouter-control vrctl vrouter-cni vrouter-docker pktgen)
if [ -z "$binaries" ]; then
  cargo build --release -p vrouter-dataplane -p vrouter-control -p vrouter-bench --bins
  binaries=$target/release
fi

# cargo-deb takes programs from a target directory: one of our own, so that packaging never builds anything. Man pages and completions are taken
# from target/packages/stage of the repository.
top=$PWD
stage=$top/target/packages/stage
rm -rf "$stage"
mkdir -p "$stage/release" "$stage/papers" "$stage/sysusers"
# Each package brings the user that its daemons run as.
for package in dataplane control plugins; do cp deploy/systemd/vrouter.sysusers "$stage/sysusers/vrouter-$package.conf"; done
for program in "${programs[@]}"; do
  [ -x "$binaries/$program" ] || { echo "build-packages: $program is not in $binaries" >&2; exit 1; }
  cp "$binaries/$program" "$stage/release/"
  # The CNI plugin has no command line; its page is deploy/man/vrouter-cni.8.
  [ "$program" = vrouter-cni ] || "$stage/release/$program" --write-papers "$stage/papers/$program"
done

out=$top/target/packages
rm -f "$out"/*.deb
# The date of files in packages: that of the changelog's first entry, so that the same programs make the same packages.
SOURCE_DATE_EPOCH=$(date -d "$(sed -n '/^ -- /{s/.*>  //p;q}' deploy/debian/changelog)" +%s)
export SOURCE_DATE_EPOCH
package() { CARGO_TARGET_DIR=$stage cargo deb --offline --quiet --no-build --deb-revision "$revision" --output "$out/" ${fast[@]+"${fast[@]}"} "$@" >&2; }
package -p vrouter-dataplane
package -p vrouter-control
package -p vrouter-control --variant plugins
package -p vrouter-bench
ls -1 "$out"/*.deb
