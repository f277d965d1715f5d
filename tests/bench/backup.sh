#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# backup.sh DIR: reading a backup of 1 GiB, against tar, gzip and openssl on the same data.
. "$(dirname "$0")/common.sh"
trap unmount EXIT

MIB=1024
directory=$W/backup
"$HERE/many" "$directory" 1
image=$directory/host/var/lib/qubes/appvms/vm00000/private.img
volatile=$directory/host/var/lib/qubes/appvms/vm00000/volatile.img

# A quarter each, in stripes of 16 MiB: what does not compress, text, binary in between, holes.
say "an image of $MIB MiB"
random() {
    openssl enc -aes-128-ctr -pass pass:"$1" -pbkdf2 -nosalt -in /dev/zero 2>/dev/null | head -c 16M || true
}
rm -f "$image" "$volatile"
truncate -s ${MIB}M "$image"
for at in $(seq 0 4 $((MIB / 16 - 1))); do
    random "$at" | dd of="$image" bs=1M iflag=fullblock seek=$((at * 16)) conv=notrunc status=none
    { seq -f "%.0f: entry $at of a log, with a number %.0f" "${at}000000" "${at}999999" || true; } 2>/dev/null |
        head -c 16M | dd of="$image" bs=1M iflag=fullblock seek=$(((at + 1) * 16)) conv=notrunc status=none || true
    random "$at" | base64 -w 0 | head -c 16M |
        dd of="$image" bs=1M iflag=fullblock seek=$(((at + 2) * 16)) conv=notrunc status=none || true
done
cat "$image" >/dev/null # both find it in the page cache

pipeline() {
    tar -cS -C "$(dirname "$image")" private.img | gzip |
        openssl enc -aes-256-cbc -md md5 -pass pass:secret 2>/dev/null >"$W/pipeline"
}

# a copy within the mount's own rules: what cat gets is what a user gets
by_mount() {
    cat "$P/backups/default/backup" >"$W/stream"
}

mount_ms --root "$directory/host" --connect none >/dev/null
find_daemon
echo secret >"$P/backups/default/passphrase"
echo vm00000 >"$P/backups/default/include"
say "tar | gzip | openssl"
pipe_ms=$(milliseconds pipeline)
say "the plan's backup"
ours_ms=$(milliseconds by_mount)

rate() {
    awk -v ms="$1" -v mib=$MIB 'BEGIN { printf "%.1f", mib * 1000 / ms }'
}
mib() {
    echo $(($(stat -c %s "$1") >> 20))
}

cat <<X

### A backup of $MIB MiB

A quarter each of random bytes, text, base64 and holes, from the page cache.

| | MiB/s | size, MiB |
|---|---:|---:|
| \`tar -S \| gzip \| openssl aes-256-cbc\` | $(rate "$pipe_ms") | $(mib "$W/pipeline") |
| \`cat backups/default/backup\` | $(rate "$ours_ms") | $(mib "$W/stream") |
| ratio | $(ratio "$pipe_ms" "$ours_ms") | |
X
