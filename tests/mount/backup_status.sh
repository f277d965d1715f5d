#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 300
# `status` while a backup is read: figures, events; cancel; what makes a read fail says so there.  (If the ETA is
# right, unit/test_backup_progress tells, with a clock of its own.)
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait pv
export PASSPHRASE='correct horse'
make_host
vms=$HOST/var/lib/qubes/appvms
head -c 320M /dev/urandom >"$vms/work/private.img"
# both compress by half: what the reader has tells little of the work that is left
for i in $(seq 130); do
    head -c 512K /dev/urandom
    head -c 512K /dev/zero
done >"$vms/personal/private.img"
for i in $(seq 0 2 319); do
    head -c 1M /dev/zero | dd of="$vms/work/private.img" bs=1M seek=$i conv=notrunc status=none
done
qfs_mount --state "$TEST_TMP/state"
plan=$P/backups/default
backup=$plan/backup
printf '%s\n' "$PASSPHRASE" >"$plan/passphrase"
printf '%s\n' work personal >"$plan/include"
echo 14 >"$plan/kdf"
value() {
    sed -n "s/^$1=//p" "$plan/status"
}

: "--- while it runs"
for variant in '4 none' '3 gzip'; do
    read -r format codec <<<"$variant"
    echo "$format" >"$plan/format"
    echo "$codec" >"$plan/compression"
    watch_start status "$plan/status"
    begin=$(date +%s%N)
    pv -q -L 30m "$backup" >"$TEST_TMP/copy" &
    pid=$!
    until_true 60 grep -qx state=running "$plan/status" || fail "$(cat "$plan/status")"
    same operation backup "$(value operation)"
    before=0
    guess=
    while kill -0 $pid 2>/dev/null; do
        [ "$(value state)" = running ] || break
        done_=$(value bytes_done)
        [ "$done_" -ge "$before" ] || fail "it goes backwards: $before, $done_"
        before=$done_
        percent=$(value percent)
        case $(value current) in
        '' | qubes.xml | backup-header | qubesfs-manifest | 'work private.img' | 'personal private.img' | 'work firewall.xml' | 'personal firewall.xml') ;;
        *) fail "current: $(value current)" ;;
        esac
        [ "$percent" -lt 12 ] || guess=$(value eta_seconds)
        sleep 0.2
    done
    wait $pid
    end=$(date +%s%N)
    same "$variant state" done "$(value state)"
    same "$variant percent" 100 "$(value percent)"
    same "$variant bytes" "$(value bytes_total)" "$(value bytes_done)"
    [ -n "$guess" ] || fail "$variant: nobody told how long it would take"
    sleep 0.6 # the last event may come that late
    events=$(watch_count status 'MODIFY backups/default/status')
    [ "$events" -ge 4 ] && [ "$events" -le $(((end - begin) / 500000000 + 3)) ] ||
        fail "$events events in $(((end - begin) / 1000000)) ms"
    watch_stop status
done

: "--- cancel"
echo 4 >"$plan/format"
pv -q -L 10m "$backup" >"$TEST_TMP/copy" 2>"$TEST_TMP/pv" &
pid=$!
until_true 60 test -s "$TEST_TMP/copy" || fail "it does not run"
echo cancel >"$plan/control"
! wait $pid || fail "a reader did not notice"
grep -qi cancel "$TEST_TMP/pv" || fail "$(cat "$TEST_TMP/pv")"
becomes_state() {
    until_true 60 grep -qx "state=$1" "$plan/status" || fail "$(cat "$plan/status")"
}
becomes_state cancelled
grep -q '^error=cancelled' "$plan/status" || fail "$(cat "$plan/status")"

: "--- a plan that is read is not removed"
mkdir "$P/backups/other"
printf '%s\n' "$PASSPHRASE" >"$P/backups/other/passphrase"
exec 7<"$P/backups/other/backup"
head -c 1000 <&7 >/dev/null
expect_errno EBUSY rmdir "$P/backups/other"
expect_error "$P/backups/other/error" 'is being read'
exec 7<&-
until_true 60 rmdir "$P/backups/other" 2>/dev/null || fail "it can't be removed"

# A reader that has taken some and waits: the volume can't have been read to its end, whatever runs ahead.
begin_reading() {
    exec 8<"$backup"
    dd bs=1M count=12 iflag=fullblock status=none of="$TEST_TMP/copy" <&8
    same state running "$(value state)"
}
# true if the rest comes without an error
goes_on() {
    local status=0
    cat <&8 >>"$TEST_TMP/copy" 2>"$TEST_TMP/cat" || status=$?
    exec 8<&-
    return $status
}
clones=false
cp --reflink=always "$vms/personal/private.img" "$TEST_TMP/clone" 2>/dev/null && clones=true
rm -f "$TEST_TMP/clone"

: "--- loud: what changes while it is read"
echo none >"$plan/compression"
printf 'work\n' >"$plan/include"
begin_reading
printf changed | dd of="$vms/work/private.img" bs=1M seek=200 conv=notrunc status=none
if goes_on; then
    $clones || fail "a volume that changed was read to its end"
else
    becomes_state failed
    expect_error "$plan/error" 'work/private.img was changed while it was read'
fi
: "--- shorter"
begin_reading
truncate -s 100M "$vms/work/private.img"
if goes_on; then
    $clones || fail "a volume that shrank was read to its end"
else
    becomes_state failed
    expect_error "$plan/error" 'work/private.img'
fi
: "--- and the next one works, though its reader stalls"
ticks() {
    awk '{ print $14 + $15 }' "/proc/$QFS_PID/stat"
}
is_idle() {
    local before
    before=$(ticks)
    sleep 1
    [ $(($(ticks) - before)) -le 10 ]
}
begin_reading
sleep "${STALL:-16}"
until_true 60 is_idle || fail "it works while its reader waits"
same state running "$(value state)"
goes_on || fail "$(cat "$TEST_TMP/cat")"
becomes_state done
same error '' "$(value error)"
"$LIB/../../docs/emergency-restore-4.sh" "$TEST_TMP/copy" "$TEST_TMP/restored"
cmp "$vms/work/private.img" "$TEST_TMP/restored/vm3/private.img" || fail "work differs"
grep -q 'backup_timestamp="[0-9]' "$CATALOGUE" || fail "the catalogue does not tell of the backup"
