#!/usr/bin/env bash
# Makes the container image from packages and a Debian root, without a registry: what the Dockerfile makes, where base images cannot be pulled.
#
#   deploy/image/build.sh DIRECTORY ROOT TAG
#
# DIRECTORY has the .debs (deploy/build-packages.sh), ROOT is a Debian made by debootstrap (deploy/test-packages.sh --prepare makes
# target/packages/debian). Needs root and buildah. BUILDAH may name other options: BUILDAH="buildah --root /tmp/x".
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# = 3 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 1; }
debs=$(realpath "$1") root=$(realpath "$2") tag=$3
read -ra buildah <<<"${BUILDAH:-buildah}"

scene=$(mktemp -d)
trap 'umount "$scene/root/proc" 2>/dev/null || true; rm -rf --one-file-system "$scene"' EXIT
cp -a "$root" "$scene/root"
mkdir "$scene/root/debs"
cp "$debs"/*.deb "$scene/root/debs/"
mount -t proc none "$scene/root/proc"
chroot "$scene/root" env DEBIAN_FRONTEND=noninteractive sh -c 'dpkg -i /debs/*.deb' </dev/null >"$scene/log" 2>&1 || { cat "$scene/log" >&2; exit 1; }
umount "$scene/root/proc"
rm -rf "$scene/root/debs" "$scene/root"/var/cache/apt/* "$scene/root"/var/lib/apt/lists/* "$scene/root"/usr/share/{locale,doc-base}/*
install -D -m 755 deploy/image/install-cni.sh "$scene/root/usr/local/bin/install-cni"

container=$("${buildah[@]}" from scratch)
"${buildah[@]}" add --quiet "$container" "$scene/root" / >/dev/null
# The same labels and command as in the Dockerfile.
"${buildah[@]}" config --label org.opencontainers.image.title=vrouter --label org.opencontainers.image.licenses=Apache-2.0 \
  --label 'org.opencontainers.image.description=A userspace virtual router for compute nodes' \
  --cmd '["/usr/sbin/vrouterd", "--help"]' "$container"
"${buildah[@]}" commit --quiet --rm "$container" "$tag"
