#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 400
# A copy that is cut off at any byte goes on with the very same bytes, by each tool that can; what has
# changed meanwhile is refused; signals to a reader change no byte; one that goes away leaves no thread.
. "$(dirname "$0")/../lib/mount.sh"
requires openssl gzip scrypt rsync pv
export PASSPHRASE='correct horse'
make_host
vms=$HOST/var/lib/qubes/appvms
truncate -s 400M "$vms/work/private.img"
for at in 0 50 51 52 120 200 399; do
    head -c 6M /dev/urandom | dd of="$vms/work/private.img" bs=1M seek=$at conv=notrunc status=none
    truncate -s 400M "$vms/work/private.img"
done
seq 1000000 3500000 | dd of="$vms/personal/private.img" bs=1M conv=notrunc status=none
qfs_mount --state "$TEST_TMP/state"
plan=$P/backups/default
backup=$plan/backup
printf '%s\n' "$PASSPHRASE" >"$plan/passphrase"
printf '%s\n' work personal sys-firewall >"$plan/include"
echo 14 >"$plan/kdf"
copy=$TEST_TMP/copy

threads() {
    # of backups: "backup", "backup-pack", ...; the plans' own stays
    cat /proc/"$QFS_PID"/task/*/comm 2>/dev/null | grep -c '^backup' || true
}
few_threads() {
    [ "$(threads)" -le 1 ]
}
restored() {
    local out=$TEST_TMP/restored script=emergency-restore-4.sh
    [ "$(cat "$plan/format")" = 4 ] || script=emergency-restore.sh
    "$LIB/../../docs/$script" "$1" "$out" || fail "$1 is not restored"
    cmp "$vms/work/private.img" "$out/vm3/private.img" || fail "work differs"
    cmp "$vms/personal/private.img" "$out/vm4/private.img" || fail "personal differs"
    rm -r "$out"
}

: "--- nothing to go on with"
expect_errno ESPIPE pread "$backup" 1000000
expect_error "$plan/error" 'none to go on with'

for variant in '4 gzip' '3 gzip' '4 zstd' '4 none' '3 none'; do
    read -r format codec <<<"$variant"
    echo "$format" >"$plan/format"
    echo "$codec" >"$plan/compression"
    : "--- format $variant: cut off and gone on with, at random places"
    head -c 1 "$backup" >/dev/null
    until_true 60 few_threads # else it counts as a copy of its own that was cut off
    cat "$backup" >"$copy"
    size=$(stat -c %s "$copy")
    # it was read to the end, and may be gone on with: whoever wrote it down may have lost its end
    places="$((size - 1)) 10240"
    for i in 1 2 3 4; do
        places="$places $(((RANDOM * 32768 + RANDOM) % size))"
    done
    [ "$variant" != '4 gzip' ] || places="$places 1 511 512 513 10239 10241 $((size - 10240)) $((size / 2))
        $((size / 3)) $((size / 4)) $((size / 5)) $((size / 6)) $((size / 7)) $((size / 8))"
    [ "$codec" != none ] || places="$places 30001 3000001"
    for at in $places; do
        head -c "$at" "$copy" >"$copy.2"
        case $((at % 3)) in
        0) tail -c "+$((at + 1))" "$backup" >>"$copy.2" ;;
        1) dd if="$backup" bs=64k iflag=skip_bytes skip="$at" status=none >>"$copy.2" ;;
        *)
            # it wants the size to be exact, or is loud; and it reads whole blocks of 1024
            if [ "$codec" = none ] && [ "$at" -ge 1024 ]; then
                rsync --append --inplace "$backup" "$copy.2"
            else
                tail -c "+$((at + 1))" "$backup" >>"$copy.2"
            fi
            ;;
        esac
        cmp "$copy" "$copy.2" || fail "$variant: another one when it goes on at $at of $size"
    done
    restored "$copy"
    [ "$variant" = '4 gzip' ] || continue

    : "--- a copy of a copy: cut off again and again while it is made"
    head -c 3000000 "$backup" >"$copy.2"
    while :; do
        at=$(stat -c %s "$copy.2")
        dd if="$backup" bs=64k iflag=skip_bytes,count_bytes skip="$at" count=9000000 status=none >>"$copy.2"
        [ "$(stat -c %s "$copy.2")" -gt "$at" ] || break
    done
    restored "$copy.2"
    grep -qx state=done "$plan/status" || fail "$(cat "$plan/status")"
    # a new one takes its place
    expect_errno OK pread "$backup" 0
    expect_errno OK pread "$backup" 4096
    expect_errno ESPIPE pread "$backup" $((size - 4096))
done
echo 4 >"$plan/format"
echo gzip >"$plan/compression"

: "--- signals change nothing"
dd if="$backup" of="$copy" bs=300k 2>"$TEST_TMP/dd" &
dd=$!
# it catches the signal by now, or is through
catches_usr1() {
    local caught
    caught=$(awk '/^SigCgt/ { print $2 }' "/proc/$dd/status" 2>/dev/null) || return 0
    [ -z "$caught" ] || grep -qs '^State:.*Z' "/proc/$dd/status" || [ $((0x$caught & 0x200)) != 0 ]
}
until_true 60 catches_usr1 || fail "dd does not catch SIGUSR1"
for i in $(seq 100); do
    kill -USR1 $dd 2>/dev/null || break
    sleep 0.005
done
wait $dd
restored "$copy"

: "--- a VM's own backup goes on, too, and not the plan's in its place"
head -c 2000000 "$P/vms/work/backup" >"$copy"
expect_errno ESPIPE pread "$backup" 2000000
tail -c +2000001 "$P/vms/work/backup" >>"$copy"
"$LIB/../../docs/emergency-restore-4.sh" "$copy" "$TEST_TMP/restored"
cmp "$vms/work/private.img" "$TEST_TMP/restored/vm3/private.img" || fail "work alone differs"
rm -r "$TEST_TMP/restored"

: "--- what has changed is refused, before another byte leaves"
echo none >"$plan/compression"
echo personal >"$plan/include"
head -c 15000000 "$backup" >"$copy"
printf changed | dd of="$vms/personal/private.img" bs=1M seek=8 conv=notrunc status=none
if tail -c +15000001 "$backup" >"$copy.2" 2>"$TEST_TMP/tail"; then
    # a file system that clones still has the old state
    cat "$copy.2" >>"$copy"
    echo "cloned"
else
    grep -q busy "$TEST_TMP/tail" || fail "$(cat "$TEST_TMP/tail")"
    expect_error "$plan/error" 'has changed since a part of it was sent'
    grep -qx state=failed "$plan/status" || fail "$(cat "$plan/status")"
fi
rm -f "$copy.2"

: "--- two at once: the newer one is gone on with, whichever is cut off last"
echo gzip >"$plan/compression"
printf '%s\n' work personal sys-firewall >"$plan/include"
pv -q -L 5m "$backup" >"$copy" &
pid=$!
until_true 60 test -s "$copy" || fail "it does not run"
head -c 3000000 "$backup" >"$copy.2"
kill -KILL $pid
wait $pid || true
until_true 60 few_threads || fail "$(threads) threads are left"
tail -c +3000001 "$backup" >>"$copy.2"
restored "$copy.2"
rm -f "$copy.2"

: "--- a reader that goes away leaves no thread and no memory"
printf '%s\n' work personal >"$plan/include"
for i in 1 2 3; do
    pv -q -L 20m "$backup" >/dev/null &
    pid=$!
    until_true 60 grep -qx state=running "$plan/status" || fail "it does not run"
    sleep 0.3
    kill -KILL $pid
    wait $pid || true
    until_true 60 few_threads || fail "$(threads) threads are left"
done
# what is kept is let go by cancel, by another passphrase, and with the plan
head -c 3000000 "$backup" >"$copy"
echo cancel >"$plan/control"
expect_errno ESPIPE pread "$backup" 3000000
head -c 3000000 "$backup" >"$copy"
printf '%s\n' "$PASSPHRASE" >"$plan/passphrase"
expect_errno OK pread "$backup" 3000000
echo another >"$plan/passphrase"
expect_errno ESPIPE pread "$backup" 3000000
