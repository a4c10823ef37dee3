#!/bin/sh
# Removes what tests left behind: processes in their namespaces, the namespaces, their state directories.
#
#   sweep.sh PREFIX   everything whose name begins with PREFIX
#   sweep.sh          everything of tests whose process is gone (names are vrt-PID-...)
#   sweep.sh -        waits for the end of standard input, then removes the prefix given as second argument (the reaper)

sweep() {
  for mount in /run/netns/"$1"*; do
    [ -e "$mount" ] || continue
    namespace=${mount##*/}
    for process in $(ip netns pids "$namespace" 2>/dev/null); do kill -KILL "$process" 2>/dev/null; done
    ip netns delete "$namespace" 2>/dev/null
    [ -z "$VERBOSE" ] || echo "swept namespace $namespace"
  done
  # Control groups of containers: those at the leaves first.
  for group in /sys/fs/cgroup/"$1"* /sys/fs/cgroup/*/"$1"*; do
    [ -d "$group" ] || continue
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
    [ -z "$VERBOSE" ] || echo "swept control group $group"
  done
  for directory in "${TMPDIR:-/tmp}/$1"*; do
    [ -d "$directory" ] || continue
    # What is mounted there goes first, innermost before what it lies in.
    awk -v place="$directory/" 'index($2 "/", place) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l
    rm -rf --one-file-system -- "$directory"
    [ -z "$VERBOSE" ] || echo "swept $directory"
  done
}

case ${1:-} in
  -) cat >/dev/null; sweep "$2" ;;
  '')
    for left in /run/netns/vrt-* "${TMPDIR:-/tmp}"/vrt-*; do
      [ -e "$left" ] || continue
      owner=${left##*/vrt-}
      owner=${owner%%-*}
      [ -d "/proc/$owner" ] || sweep "vrt-$owner-"
    done ;;
  *) sweep "$1" ;;
esac
exit 0
