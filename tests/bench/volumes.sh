#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# volumes.sh DIR: reading a volume through the mount, beside reading its file; all of it in memory.
. "$(dirname "$0")/common.sh"
MIB=512
"$LIB/sample-host" "$W/host"
image=$W/host/var/lib/qubes/appvms/work/private.img
head -c ${MIB}M /dev/urandom >"$image"
touch -d 2020-01-01 "$image"
mount_ms --root "$W/host" --connect test:///default >/dev/null
find_daemon
trap unmount EXIT
volume=$P/vms/work/volumes/private.img

speed() {
    awk -v ms="$1" -v mib=$MIB 'BEGIN { printf "%.0f", mib * 1000 / ms }'
}
read_with() {
    dd if="$1" of=/dev/null bs=1M "${@:2}" status=none
}
cold() {
    touch "$image" # another state: what the kernel has of the volume is dropped
    sleep 1.5      # one that is old enough to be told from the next
    read_with "$volume"
}
say "volumes: $MIB MiB, by dd bs=1M"
file=$(best read_with "$image")
cold_ms=$(milliseconds cold | awk '{ print $1 - 1500 }')
read_with "$volume"
warm=$(best read_with "$volume")
direct=$(best read_with "$volume" iflag=direct)

echo "## Volumes"
echo
echo "| $MIB MiB by \`dd bs=1M\` | MiB/s | of the file's speed |"
echo "| --- | ---: | ---: |"
echo "| the file itself, in the page cache | $(speed "$file") | |"
echo "| the volume, again | $(speed "$warm") | $(ratio "$file" "$warm") |"
echo "| the volume, for the first time | $(speed "$cold_ms") | $(ratio "$file" "$cold_ms") |"
echo "| the volume, past the page cache (\`iflag=direct\`) | $(speed "$direct") | $(ratio "$file" "$direct") |"
