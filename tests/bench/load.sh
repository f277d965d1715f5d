#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# load.sh DIR: what a backup takes beside time: memory for any size, nothing while its reader waits, little of what
# others ask meanwhile.  SIZES (GiB) in the environment; one that the disk has no room for is left out.
. "$(dirname "$0")/common.sh"
trap unmount EXIT

SIZES=${SIZES:-1 5 20}
"$LIB/sample-host" "$W/host"
image=$W/host/var/lib/qubes/appvms/work/private.img
cat /usr/bin/* 2>/dev/null | head -c 64M >"$W/piece" || true
tick=$(getconf CLK_TCK)

# begin FORMAT CODEC LEVEL: a daemon of its own, as memory is told by its peak
begin() {
    mount_ms --root "$W/host" --connect none >/dev/null
    find_daemon
    plan=$P/backups/default
    echo secret >"$plan/passphrase"
    echo work >"$plan/include"
    echo "$1" >"$plan/format"
    echo "$2" >"$plan/compression"
    echo "$3" >"$plan/level"
}
peak() {
    awk '/^VmHWM/ { printf "%.0f", $2 / 1024 }' "/proc/$QFS_PID/status"
}
# CPU time of the daemon, ms
cpu() {
    awk -v tick="$tick" '{ sub(/.*\) /, ""); print ($12 + $13) * 1000 / tick }' "/proc/$QFS_PID/stat"
}
read_all() {
    cat "$plan/backup" >/dev/null
}
fits() {
    [ "$(df --output=avail -k "$W" | tail -n 1)" -gt $((($1 + 2) << 20)) ]
}
# fill GIB dense|sparse: the image
fill() {
    case $2 in
    dense)
        while [ "$(stat -c %s "$image")" -lt $(($1 << 30)) ]; do
            cat "$W/piece"
        done >>"$image"
        ;;
    sparse)
        : >"$image"
        truncate -s "$1"G "$image"
        for at in $(seq 0 31); do
            dd if="$W/piece" of="$image" bs=1M count=4 seek=$((at * ($1 << 10) / 32)) conv=notrunc status=none
        done
        ;;
    esac
}

echo
echo "### Memory of a backup"
echo
echo "The daemon's peak (VmHWM), gzip fast, a new daemon each; to be below 300 MiB, with 128 more for a key of format 4."
echo
echo "| GiB | | format 3, MiB | format 4, MiB |"
echo "|---:|---|---:|---:|"
for kind in sparse dense; do
    : >"$image"
    for size in $SIZES; do
        [ $kind = sparse ] || fits "$size" || continue
        say "memory: $size GiB, $kind"
        fill "$size" $kind
        peaks=
        for format in 3 4; do
            begin $format gzip fast
            read_all
            peaks+=" $(peak) |"
            unmount
        done
        echo "| $size | $kind |$peaks"
    done
done

say "a reader that waits; others meanwhile"
: >"$image"
fill 2 dense
begin 4 gzip fast
quiet=$(best ls -l "$P/vms")
exec 3<"$plan/backup"
head -c 1M <&3 >/dev/null
# until what may be made ahead is made
before=-1
for _ in $(seq 60); do
    now=$(cpu)
    [ "$now" != "$before" ] || break
    before=$now
    sleep 1
done
before=$(cpu)
sleep 10
waiting=$(awk -v a="$before" -v b="$(cpu)" 'BEGIN { printf "%.1f", (b - a) / 10 }')
exec 3<&-
read_all &
reader=$!
sleep 1
times=
while kill -0 $reader 2>/dev/null; do
    times+="$(milliseconds ls -l "$P/vms")"$'\n'
    sleep 0.05
done
wait $reader
middle=$(printf %s "$times" | sort -n | awk '{ t[NR] = $1 } END { print t[int((NR + 1) / 2)], t[NR] }')

echo
echo "| | |"
echo "|---|---:|"
echo "| daemon's CPU while a backup's reader waits, ms a second | $waiting |"
echo "| \`ls -l vms\`, nothing else at work, ms (best of 3) | $quiet |"
echo "| \`ls -l vms\` while a backup is read at full speed, ms, median | ${middle% *} |"
echo "| longest | ${middle#* } |"
for format in 3 4; do
    unmount
    begin $format none default
    say "format $format, none, through the mount"
    before=$(cpu)
    ms=$(milliseconds read_all)
    echo "| \`cat\` of a backup through the mount, format $format, none, MiB/s | $(awk -v ms="$ms" 'BEGIN { printf "%.0f", 2048000 / ms }') |"
    echo "| the daemon's CPU for it, ns a byte | $(awk -v a="$before" -v b="$(cpu)" 'BEGIN { printf "%.2f", (b - a) * 1e6 / 2147483648 }') |"
done
