#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# restore.sh DIR: restoring a backup of 1 GiB (RESTORE_MIB), made by Qubes' tools and by qubesfs, against the
# pipeline that Qubes' tools are; what is written is on the disk in the end.
. "$(dirname "$0")/common.sh"
trap unmount EXIT

MIB=${RESTORE_MIB:-1024}
directory=$W/restore
"$HERE/many" "$directory" 1
qubes=$directory/host/var/lib/qubes
image=$qubes/appvms/vm00000/private.img
plan=$P/backups/default
export PASSPHRASE=secret

say "an image of $MIB MiB"
rm -f "$qubes/appvms/vm00000/volatile.img"
mixed_image "$image" "$MIB"
say "its backups"
mount_ms --root "$directory/host" --connect none >/dev/null
find_daemon
echo $PASSPHRASE >"$plan/passphrase"
echo vm00000 >"$plan/include"
echo rename >"$plan/conflict"
echo 0 >"$plan/dom0_home"
cat "$plan/backup" >"$W/ours-4"
echo 3 >"$plan/format"
cat "$plan/backup" >"$W/ours-3"
unmount
mkdir "$W/unpacked"
tar -ixf "$W/ours-3" -C "$W/unpacked" qubes.xml.000
path=$(openssl enc -d -aes-256-cbc -md md5 -pass pass:$PASSPHRASE -in "$W/unpacked/qubes.xml.000" 2>/dev/null |
    gzip -dc | tee "$W/qubes.tar" | tar -xO | sed -n 's/.*backup_path="\(vm[0-9]*\)".*/\1/p' | head -n 1)
tar -xf "$W/qubes.tar" -C "$W/unpacked"
"$LIB/qubes-backup" format=3 qubes.xml="$W/unpacked/qubes.xml" "$path/private.img=$image" >"$W/qubes-3"
rm -r "$W/unpacked"

# as Qubes does: each chunk is unpacked and proven, then goes through openssl, gzip and tar
pipeline() {
    local out=$W/out chunk
    rm -rf "$out"
    mkdir "$out"
    tar -ixf "$1" -C "$out"
    for chunk in "$out/$path"/private.img.[0-9][0-9][0-9]; do
        [ "$(openssl dgst -sha512 -hmac $PASSPHRASE <"$chunk" | cut -d= -f2)" = "$(cut -d= -f2 "$chunk.hmac")" ]
    done
    cat "$out/$path"/private.img.[0-9][0-9][0-9] |
        openssl enc -d -aes-256-cbc -md md5 -pass pass:$PASSPHRASE 2>/dev/null | gzip -dc | tar -xS -C "$out"
    sync -f "$out"
}

by_mount() {
    cat "$1" >"$plan/backup"
}

rows=
pipe_ms=
# row NAME COMMAND...: adds a line to the table
row() {
    local name=$1 ms memory=-
    shift
    say "$name"
    if [ "$1" = by_mount ]; then
        mount_ms --root "$directory/host" --connect none >/dev/null
        find_daemon
        echo $PASSPHRASE >"$plan/passphrase"
    fi
    cat "$2" >/dev/null
    ms=$(milliseconds "$@")
    pipe_ms=${pipe_ms:-$ms}
    if [ "$1" = by_mount ]; then
        memory=$(awk '/^VmHWM:/ { printf "%.0f", $2 / 1024 }' "/proc/$QFS_PID/status")
        cmp "$image" "$(ls -t "$qubes"/appvms/vm00000?*/private.img | head -n 1)"
        rm -f "$qubes"/appvms/vm00000?*/private.img
        unmount
    else
        cmp "$image" "$W/out/$path/private.img"
        rm -rf "$W/out"
    fi
    rows+="| $name | $(awk -v ms="$ms" -v mib="$MIB" 'BEGIN { printf "%.0f", mib * 1000 / ms }') |"
    rows+=" $(ratio "$pipe_ms" "$ms") | $memory |"$'\n'
}

row "Qubes' tools, format 3" pipeline "$W/qubes-3"
row "Qubes' backup, format 3" by_mount "$W/qubes-3"
row "ours, format 3, gzip" by_mount "$W/ours-3"
row "ours, format 4, gzip, log2 N = 17" by_mount "$W/ours-4"

cat <<X

### Restoring $MIB MiB

A quarter each of random bytes, text, programs and holes, from the page cache to the disk, on $(nproc) cores. The
backup of Qubes' tools is one stream of gzip -6; memory is the daemon's most, a key of format 4 (128 MiB) included.

| | MiB/s | times Qubes' tools | memory, MiB |
|---|---:|---:|---:|
$rows
X
