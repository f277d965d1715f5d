#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# volumes/*.img: exact sizes, holes, what tools make of them; the state of the moment of the open, whatever
# happens to the image meanwhile; errors; events.
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait rsync qemu-img python3
make_host
vms=$HOST/var/lib/qubes/appvms
mkdir -p "$TEST_TMP/out"
volumes=$P/vms/work/volumes
image=$vms/work/private.img

# a sparse one: 64 MiB with data at 5 places
truncate -s 0 "$image" && truncate -s 64M "$image"
for at in 0 7 8 30 63; do
    head -c 300K /dev/urandom | dd of="$image" bs=1M seek=$at conv=notrunc status=none
done
truncate -s +123 "$image"
touch -d '2020-01-02 03:04:05.678901234' "$image"
qfs_mount

: "--- which there are, and how they look"
same "work" "private.img
volatile.img" "$(ls "$volumes")"
same "the template" "private.img
root.img
volatile.img" "$(ls "$P/vms/fedora-23/volumes")"
same "dom0" '' "$(ls "$P/vms/dom0/volumes")"
same "size, blocks, mode, time" "$(stat -c '%s %b 440 %y' "$image")" \
    "$(stat -c '%s %b %a %y' "$volumes/private.img")"
cmp "$image" "$volumes/private.img"
expect_errno EACCES open "$volumes/private.img" w
expect_errno EACCES truncate "$volumes/private.img" 0
expect_errno EPERM create "$volumes/other.img"
expect_errno EPERM unlink "$volumes/private.img"
expect_errno ENOENT open "$volumes/root.img" r
cat "$volumes/private.img" >/dev/null # opened for reading it is fine, which takes nothing away

: "--- holes, and tools that keep them"
# data_of FILE: the places with data
data_of() {
    python3 -c '
import os, sys
f = os.open(sys.argv[1], os.O_RDONLY)
size, at = os.fstat(f).st_size, 0
while at < size:
    try:
        data = os.lseek(f, at, os.SEEK_DATA)
    except OSError:
        break
    at = os.lseek(f, data, os.SEEK_HOLE)
    print(data, at)' "$1"
}
same "holes" "$(data_of "$image")" "$(data_of "$volumes/private.img")"
out=$TEST_TMP/out
cp --sparse=auto "$volumes/private.img" "$out/cp"
rsync -S "$volumes/private.img" "$out/rsync"
qemu-img convert -f raw -O raw "$volumes/private.img" "$out/qemu-img"
tar -C "$volumes" --sparse -cf "$out/tar.tar" private.img
tar -C "$out" -xf "$out/tar.tar" && mv "$out/private.img" "$out/tar"
[ "$(stat -c %s "$out/tar.tar")" -lt 4000000 ] || fail "tar has stored the holes"
python3 -c 'import shutil, sys; shutil.copyfile(*sys.argv[1:])' "$volumes/private.img" "$out/sendfile"
dd if="$volumes/private.img" of="$out/direct" bs=1M iflag=direct status=none
for tool in cp rsync qemu-img tar sendfile direct; do
    # qemu-img rounds up to a sector
    cmp -n "$(stat -c %s "$image")" "$image" "$out/$tool" || fail "$tool: another content"
    case $tool in sendfile | direct) continue ;; esac
    [ "$(stat -c %b "$out/$tool")" -lt 10000 ] || fail "$tool: $(stat -c %b "$out/$tool") blocks, the holes are gone"
done

: "--- a halted VM's plain file: what it was, or an error"
if ! cp --reflink=always "$image" "$out/clone" 2>/dev/null; then
    exec {before}<"$volumes/private.img"
    head -c 1 <&$before >/dev/null
    echo more >>"$image"
    # past what the kernel has read ahead
    ! tail -c +60000000 <&$before >/dev/null 2>"$out/stderr" || fail "a changed file was read to its end"
    grep -q 'Device or resource busy' "$out/stderr" || fail "$(cat "$out/stderr")"
    exec {before}<&-
    expect_error "$P/vms/work/error" 'read private.img: .*was written to while it was read'
    cmp "$image" "$volumes/private.img"

    : "--- a running VM's"
    echo start >"$P/vms/work/control"
    expect_errno EBUSY open "$volumes/private.img" r
    expect_error "$P/vms/work/error" 'open private.img: "work" is running.*shut it down'
    cmp "$vms/personal/private.img" "$P/vms/personal/volumes/private.img"
    echo kill >"$P/vms/work/control"
    echo kill >"$P/vms/sys-firewall/control" # its netvm, started for it
    cmp "$image" "$volumes/private.img"
    ! grep -q 'open private.img' "$P/vms/work/error" || fail "the refusal stays: $(cat "$P/vms/work/error")"
fi

: "--- events: it changes, goes and comes again"
watch_start volumes "$volumes"
printf x | dd of="$image" conv=notrunc status=none
echo refresh >"$P/vms/work/control"
watch_expect volumes 'MODIFY vms/work/volumes/private.img' 'CLOSE_WRITE,CLOSE vms/work/volumes/private.img'
cmp "$image" "$volumes/private.img"
mv "$vms/work/volatile.img" "$out/volatile"
echo refresh >"$P/vms/work/control"
watch_expect volumes 'DELETE vms/work/volumes/volatile.img'
expect_errno ENOENT stat "$volumes/volatile.img"
mv "$out/volatile" "$vms/work/volatile.img"
echo refresh >"$P/vms/work/control"
watch_expect volumes 'CREATE vms/work/volumes/volatile.img'
watch_clear volumes
find "$P/vms" -path '*/volumes/*' -exec cat {} + >/dev/null
echo refresh >"$P/vms/work/control"
watch_nothing volumes
