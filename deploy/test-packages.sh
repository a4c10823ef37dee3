#!/usr/bin/env bash
# Installs the packages on a fresh Debian that systemd runs, lets two containers talk, lets the daemons die and hang, upgrades, purges, and looks at
# what is left. The Debian is in namespaces of its own.
#
#   deploy/test-packages.sh DIRECTORY PREFIX
#   deploy/test-packages.sh --prepare         only makes the fresh system
#
# DIRECTORY has the .debs. PREFIX begins the names of the namespaces and directories that are made, so that what a killed run leaves behind
# can be found. Needs root, debootstrap and a Debian mirror for the first run; the fresh system is kept in target/packages/debian.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null
mkdir -p target/packages
say() { printf '%s  %s\n' "$(date +%T)" "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# The fresh system, made once.
base=target/packages/debian
if [ ! -x "$base/lib/systemd/systemd" ]; then
  (
    flock 9
    [ -x "$base/lib/systemd/systemd" ] && exit
    # The mirror that this machine uses.
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null | grep -oE 'https?://[^ ]*/debian/?( |$)' | head -1 || true)
    say "making a fresh Debian from ${mirror:=http://deb.debian.org/debian}"
    rm -rf "$base" "$base.new"
    debootstrap --variant=minbase --include=iproute2,iputils-ping,libelf1,zlib1g,systemd,dbus bookworm "$base.new" "${mirror// /}" >"$base.log" 2>&1 ||
      { tail -20 "$base.log" >&2; fail 'debootstrap'; }
    mv "$base.new" "$base"
  ) 9>target/packages/debian.lock
fi

[ "$1" != --prepare ] || exit 0
debs=$(realpath "$1")
prefix=$2

scene=$(mktemp -d "${TMPDIR:-/tmp}/$prefix-packages.XXXXXX")
root=$scene/root
node=$prefix-node
group=$scene/cgroup/$prefix-packages
manager=
cleanup() {
  set +e
  # The first process of its namespace: all others go with it.
  [ -z "$manager" ] || kill -KILL "$manager"
  for namespace in "$node" "$prefix-c1" "$prefix-c2"; do
    for pid in $(ip netns pids "$namespace" 2>/dev/null); do kill -KILL "$pid"; done
    ip netns delete "$namespace" 2>/dev/null
  done
  # Processes take their time to end.
  for _ in $(seq 50); do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
    [ -d "$group" ] || break
    sleep 0.1
  done
  umount "$scene/cgroup" "$root" "$scene" 2>/dev/null
  rm -rf --one-file-system "$scene"
}
trap cleanup EXIT

# A copy for this run: a layer on top where the kernel can, else a copy.
mkdir -p "$root"
if mount -t tmpfs none "$scene" && mkdir -p "$scene/upper" "$scene/work" "$root" &&
  mount -t overlay -o "lowerdir=$(realpath "$base"),upperdir=$scene/upper,workdir=$scene/work" none "$root" 2>/dev/null; then :; else
  cp -a "$base/." "$root"
fi

say 'start systemd'
cat >"$scene/boot" <<'BOOT'
set -e
cd "$1"
mount --make-rprivate /
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t bpf bpf sys/fs/bpf
for directory in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$directory"; done
chmod 1777 tmp
mkdir dev/pts dev/shm
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
  IFS=: read -r name major minor <<<"$node"
  mknod -m 666 "dev/$name" c "$major" "$minor"
done
ln -s pts/ptmx dev/ptmx
mkdir -p .old
pivot_root . .old
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin sh -c 'umount -l /.old; rmdir /.old; exec /lib/systemd/systemd --log-target=journal'
BOOT
ip netns add "$node"
ip -n "$node" link set lo up
mkdir "$scene/cgroup"
mount -t cgroup2 none "$scene/cgroup"
mkdir "$group"
(
  echo "$BASHPID" >"$group/cgroup.procs"
  exec ip netns exec "$node" unshare --pid --mount --uts --ipc --cgroup --fork --kill-child bash "$scene/boot" "$root"
) >"$scene/console.log" 2>&1 &
outside=$!
disown "$outside"
until_true() {
  local what=$1
  shift
  for _ in $(seq 300); do
    if "$@" >"$scene/out" 2>&1; then return; fi
    sleep 0.2
  done
  { cat "$scene/out" "$scene"/*.log; inside journalctl --no-pager -n 100 || true; } >&2
  fail "waited in vain for: $what"
}
inside() {
  nsenter -t "$manager" --pid --mount --uts --ipc --net --cgroup \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"
}
vrctl() { inside vrctl "$@"; }
files() { (cd "$root" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./run -o -path ./tmp \) -prune -o -print | sort); }
booted() {
  manager=$(pgrep --parent "$outside")
  [[ $(inside systemctl is-system-running || true) =~ ^(running|degraded)$ ]]
}
until_true 'systemd to run' booted
files >"$scene/before"
mkdir "$root/debs"

say 'install'
packages=(vrouter-dataplane vrouter-control vrouter-plugins vrouter-tools)
for package in "${packages[@]}"; do
  deb=("$debs/${package}"_*.deb)
  [ -f "${deb[0]}" ] || { say "(no $package)"; continue; }
  cp "${deb[0]}" "$root/debs/$package.deb"
done
inside sh -c 'dpkg -i /debs/*.deb' >"$scene/log" 2>&1 || { cat "$scene/log" >&2; fail 'dpkg -i'; }
inside getent passwd vrouter >/dev/null || fail 'no user vrouter'
for file in usr/sbin/vrouterd usr/sbin/vrouter-control usr/bin/vrctl etc/vrouter/vrouterd.toml etc/vrouter/vrouter-control.toml \
  usr/share/man/man8/vrouterd.8.gz usr/share/man/man8/vrouter-control.8.gz usr/share/man/man1/vrctl-endpoint-create.1.gz \
  usr/share/bash-completion/completions/vrctl usr/share/doc/vrouter-dataplane/copyright; do
  [ -s "$root/$file" ] || fail "not installed: $file"
done
for unit in vrouterd vrouter-control; do
  [ -L "$root/etc/systemd/system/multi-user.target.wants/$unit.service" ] || fail "$unit is not enabled"
done
[ ! -e "$root/etc/systemd/system/multi-user.target.wants/vrouter-docker.service" ] || fail 'vrouter-docker is enabled without being asked for'

say 'configure, as an admin would'
echo 'node = "here"' >>"$root/etc/vrouter/vrouterd.toml"
printf '[dataplane]\nhere = "unix:/run/vrouter/vrouterd.sock"\n' >>"$root/etc/vrouter/vrouter-control.toml"
echo 'VROUTER_DOCKER_OPTS="--node here --docker-api none"' >"$root/etc/default/vrouter-docker"
inside systemctl restart vrouterd vrouter-control
inside systemctl --quiet enable --now vrouter-docker
units=(vrouterd vrouter-control vrouter-docker)
inside systemctl is-active --quiet "${units[@]}" || fail "not running: $(inside systemctl --failed --no-pager --plain)"

say 'run'
in_sync() { vrctl status -o json | grep -Eq '"connected": *true'; }
until_true 'the daemons to serve' in_sync
vrctl network create blue >/dev/null
vrctl subnet create blue/v4 --cidr 10.1.0.0/24 >/dev/null
vrctl subnet create blue/v6 --cidr fd00:1::/64 >/dev/null
for index in 1 2; do
  ip netns add "$prefix-c$index"
  ip link add "veth-c$index" mtu 60000 netns "$node" type veth peer name eth0 mtu 60000 netns "$prefix-c$index"
  ip -n "$node" link set "veth-c$index" up
  vrctl endpoint create "blue/c$index" --node here --interface "veth-c$index" -o json >"$scene/c$index.json"
  python3 - "$scene/c$index.json" "$prefix-c$index" <<'PYTHON'
import ipaddress, json, subprocess, sys
endpoint = json.load(open(sys.argv[1]))
endpoint = endpoint[0] if isinstance(endpoint, list) else endpoint
ip = lambda *words: subprocess.run(["ip", "-n", sys.argv[2], *words], check=True)
ip("link", "set", "eth0", "address", endpoint["mac"], "up")
for address in endpoint["addresses"]:
    family = ipaddress.ip_address(address).version
    gateway = next(g for g in endpoint["gateways"] if ipaddress.ip_interface(g).version == family)
    ip("address", "add", f"{address}/{gateway.split('/')[1]}", "dev", "eth0", *(["nodad"] if family == 6 else []))
    ip("route", "add", "default", "via", gateway.split("/")[0])
    print(address, file=open(f"{sys.argv[1]}.v{family}", "w"))
PYTHON
done
talk() {
  local family to
  for family in 4 6; do
    to=$(cat "$scene/c2.json.v$family")
    until_true "an answer of $to" ip netns exec "$prefix-c1" ping -q -c 3 -i 0.2 -W 1 "$to"
    say "two containers talk: $(grep transmitted "$scene/out")"
  done
}
talk
vrctl audit >"$scene/out" || { cat "$scene/out" >&2; fail audit; }

say 'die, and hang'
for unit in "${units[@]}"; do
  inside mkdir -p "/run/systemd/system/$unit.service.d"
  inside sh -c "printf '[Service]\nWatchdogSec=5s\n' >/run/systemd/system/$unit.service.d/watchdog.conf"
done
inside systemctl daemon-reload
again() { # UNIT BEFORE: it runs, as another process than before
  local now
  now=$(inside systemctl show --property MainPID --value "$1")
  [ "$now" != 0 ] && [ "$now" != "$2" ] && inside systemctl is-active --quiet "$1"
}
for signal in KILL STOP; do
  for unit in "${units[@]}"; do
    before=$(inside systemctl show --property MainPID --value "$unit")
    inside systemctl kill --signal "$signal" "$unit"
    until_true "$unit to run again after $signal" again "$unit" "$before"
  done
done
until_true 'the daemons to serve' in_sync
talk

say 'upgrade'
cp "$root/etc/vrouter/vrouterd.toml" "$scene/edited"
newer() { # PACKAGE VERSION EDIT: the same package, newer
  rm -rf "$scene/newer"
  dpkg-deb -R "$root/debs/$1.deb" "$scene/newer"
  sed -i "s/^Version: .*/Version: $2/" "$scene/newer/DEBIAN/control"
  [ -z "$3" ] || echo "$3" >>"$scene/newer/etc/vrouter/vrouterd.toml"
  dpkg-deb -Znone -b "$scene/newer" "$root/debs/newer.deb" >/dev/null
}
# The admin's words stay, without a question where the package has nothing new to say...
newer vrouter-dataplane 9.0.0-1 ''
before=$(inside systemctl show --property MainPID --value vrouterd)
inside dpkg -i /debs/newer.deb >"$scene/log" 2>&1 || { cat "$scene/log" >&2; fail 'upgrade'; }
until_true 'the new vrouterd to run' again vrouterd "$before"
talk
cmp -s "$root/etc/vrouter/vrouterd.toml" "$scene/edited" || fail 'the upgrade changed a file that the admin had edited'
# ... and where it has, too: its words are beside them.
newer vrouter-dataplane 9.0.1-1 '# Something new.'
inside dpkg -i --force-confold /debs/newer.deb >"$scene/log" 2>&1 || { cat "$scene/log" >&2; fail 'second upgrade'; }
cmp -s "$root/etc/vrouter/vrouterd.toml" "$scene/edited" || fail 'the second upgrade changed a file that the admin had edited'
grep -q 'Something new' "$root/etc/vrouter/vrouterd.toml.dpkg-dist" || fail 'the new words are not beside the old ones'

say 'end'
inside systemctl stop "${units[@]}"
for unit in "${units[@]}"; do
  result=$(inside systemctl show --property Result --value "$unit")
  [ "$result" = success ] || fail "$unit ended with $result: $(inside journalctl --no-pager -n 20 -u "$unit")"
done
if inside test -e /run/vrouter/vrouterd.sock; then fail 'a socket was left behind'; fi
inside systemctl start "${units[@]}"

say 'remove'
mapfile -t installed < <(inside dpkg-query -W -f '${Package}\n' 'vrouter-*')
inside dpkg -r "${installed[@]}" >"$scene/log" 2>&1 || { cat "$scene/log" >&2; fail 'dpkg -r'; }
[ -s "$root/var/lib/vrouter/control.redb" ] || fail 'removing took the store away'
cmp -s "$root/etc/vrouter/vrouterd.toml" "$scene/edited" || fail 'removing took settings away'
if inside systemctl is-active "${units[@]}" >"$scene/out"; then fail "removed, and running: $(cat "$scene/out")"; fi
say 'purge'
inside dpkg -P "${installed[@]}" >"$scene/log" 2>&1 || { cat "$scene/log" >&2; fail 'dpkg -P'; }
rm -rf "$root/debs" "$root/etc/default/vrouter-docker"
files >"$scene/after"
# What may stay: accounts (files of them are kept for ids), caches, logs, dpkg's own books.
left=$(comm -13 "$scene/before" "$scene/after" | grep -vE '^\./(etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|var/(log|cache|backups)(/|$)|var/lib/(dpkg|systemd)/|etc/\.pwd\.lock$)' || true)
[ -z "$left" ] || fail "left behind after purge: $left"
gone=$(comm -23 "$scene/before" "$scene/after" | grep -vE '^\./var/(log|lib/(dpkg|systemd))/' || true)
[ -z "$gone" ] || fail "taken away with the packages: $gone"
say 'nothing is left behind'
