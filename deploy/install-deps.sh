#!/usr/bin/env bash
# Installs what vrouter needs to be built and tested on Debian 12 (and its relatives), beside a Rust toolchain.
#
#   deploy/install-deps.sh           build and test tools, with apt
#   deploy/install-deps.sh --fuzz    also cargo-fuzz, built by cargo
#   deploy/install-deps.sh --packages  also cargo-deb, built by cargo
#
# Installs only what is missing, and runs apt only then. Needs root or sudo only when something is missing.
set -euo pipefail

build=(gcc g++ libc6-dev clang llvm libclang-dev libelf-dev zlib1g-dev m4 pkg-config libbpf-dev make)
run=(iproute2 iputils-ping tshark python3-scapy iperf3 ethtool bpftool tcpdump nftables)
# Container engines, which tests run with our plugins.
run+=(podman containerd runc docker.io containernetworking-plugins busybox-static util-linux)
# Reads metrics, and checks rules and alerts.
run+=(prometheus)
# Units, packages, and a Python of its own for an example.
run+=(systemd debootstrap lintian dpkg-dev python3-venv)
fuzz=no
packages=no

say() { printf 'install-deps: %s\n' "$*"; }
die() { printf 'install-deps: %s\n' "$*" >&2; exit 1; }

for argument in "$@"; do
  case $argument in
    --fuzz) fuzz=yes ;;
    --packages) packages=yes ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) die "unknown argument '$argument'; only --fuzz and --packages are known" ;;
  esac
done

command -v dpkg-query >/dev/null || die "this is not Debian: install by hand: ${build[*]} ${run[*]}"

missing=()
for package in "${build[@]}" "${run[@]}"; do
  status=$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done

if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ]; then
    as_root=(env)
  elif command -v sudo >/dev/null; then
    as_root=(sudo env)
  else
    die "missing: ${missing[*]}. Neither root nor sudo: as root, run: apt-get install ${missing[*]}"
  fi
  apt() { "${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" </dev/null; }
  install() { apt install --yes --no-install-recommends "${missing[@]}" >"$log" 2>&1; }
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT

  say "installing with apt: ${missing[*]}"
  # The package lists of a machine may be absent or too old: ask for new ones only when the first try fails.
  if ! install; then
    say "the package lists are absent or old: apt-get update"
    apt update || die "apt-get update failed"
    install || { cat "$log" >&2; die "apt-get could not install: ${missing[*]}"; }
  fi
  say "installed"
fi

if [ "$fuzz" = yes ] && ! command -v cargo-fuzz >/dev/null && [ ! -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo-fuzz" ]; then
  command -v cargo >/dev/null || die "cargo is missing: install Rust first, see https://rustup.rs"
  say "building cargo-fuzz (once, a minute or two)"
  cargo install --quiet --locked cargo-fuzz </dev/null
  say "cargo-fuzz installed"
fi

if [ "$packages" = yes ] && ! command -v cargo-deb >/dev/null && [ ! -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo-deb" ]; then
  command -v cargo >/dev/null || die "cargo is missing: install Rust first, see https://rustup.rs"
  say "building cargo-deb (once, a minute or two)"
  cargo install --quiet --locked cargo-deb </dev/null
  say "cargo-deb installed"
fi
