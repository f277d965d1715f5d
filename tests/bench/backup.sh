#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# backup.sh DIR: reading a backup of 1 GiB, against tar, gzip and openssl on the same data, and plain reading.
. "$(dirname "$0")/common.sh"
trap unmount EXIT

MIB=1024
directory=$W/backup
"$HERE/many" "$directory" 1
image=$directory/host/var/lib/qubes/appvms/vm00000/private.img
volatile=$directory/host/var/lib/qubes/appvms/vm00000/volatile.img

say "an image of $MIB MiB"
rm -f "$volatile"
mixed_image "$image" $MIB
cat "$image" >/dev/null # both find it in the page cache

# shellcheck disable=SC2046  # words
cc -O2 -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I"$HERE/../../include" -pthread -o "$W/mkarchive" \
    "$HERE/../interop/mkarchive.c" "$BUILD/libbackend.a" $(make -s --no-print-directory -C "$HERE/../.." libs)
export PASSPHRASE=secret

pipeline() {
    tar -cS -C "$(dirname "$image")" private.img | gzip "$1" |
        openssl enc -aes-256-cbc -md md5 -pass pass:secret >"$W/stream" 2>/dev/null
}
plain_read() {
    dd if="$image" of=/dev/null bs=1M status=none
}
archive() {
    "$W/mkarchive" "$@" vm1/private.img "$image" >"$W/stream"
}
# a copy within the mount's own rules: what cat gets is what a user gets
by_mount() {
    cat "$P/backups/default/backup" >"$W/stream"
}

rows=
pipe_ms=
# row NAME COMMAND...: measures it and adds a line to the table
row() {
    local name=$1 ms size=-
    shift
    say "$name"
    rm -f "$W/stream"
    ms=$(milliseconds "$@")
    [ -e "$W/stream" ] && size=$(($(stat -c %s "$W/stream") >> 20))
    [ "$1 ${2:-}" = "pipeline -6" ] && pipe_ms=$ms
    rows+="| $name | $(awk -v ms="$ms" -v mib=$MIB 'BEGIN { printf "%.0f", mib * 1000 / ms }') | $size |"
    rows+=" ${pipe_ms:+$(ratio "$pipe_ms" "$ms")} |"$'\n'
}

row "\`tar -S \\| gzip -6 \\| openssl\`" pipeline -6
row "\`tar -S \\| gzip -1 \\| openssl\`" pipeline -1
row "\`dd\` of the image" plain_read
for format in 3 4; do
    for codec in gzip zstd none; do
        row "format $format, $codec" archive format=$format compression=$codec kdf=17
    done
done
row "format 3, gzip, fast" archive format=3 compression=gzip level=fast
row "format 3, gzip, small" archive format=3 compression=gzip level=small
row "format 3, none, not encrypted" archive format=3 compression=none encrypted=0
row "format 4, gzip, log2 N = 14" archive format=4 compression=gzip kdf=14
mount_ms --root "$directory/host" --connect none >/dev/null
find_daemon
echo secret >"$P/backups/default/passphrase"
echo vm00000 >"$P/backups/default/include"
row "\`cat backups/default/backup\`" by_mount

cat <<X

### A backup of $MIB MiB

A quarter each of random bytes, text, programs and holes, from the page cache, on $(nproc) cores.

| | MiB/s | size, MiB | times gzip -6 |
|---|---:|---:|---:|
$rows
X
