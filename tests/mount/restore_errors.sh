#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 400
# A restore that may not begin, is damaged, cut off, cancelled or ended: an error where it is found, and
# the host as it was.
. "$(dirname "$0")/../lib/mount.sh"
. "$LIB/restore.sh"
requires python3
"$LIB/sample-host-r4" "$HOST"
qfs_mount
plan_ready
cat "$P/backups/default/backup" >"$TEST_TMP/backup"
qfs_unmount
empty_host r4
qfs_mount
plan=$P/backups/default
mkdir "$P/backups/other"
before=$(disk_state)

: "--- the calls, one by one"
python3 - "$plan" "$P/backups/other" "$TEST_TMP/backup" "$PASSPHRASE" <<'END'
import errno
import os
import sys
import time

plan, other, path, passphrase = sys.argv[1:]
with open(path, 'rb') as file:
    data = file.read()


def error_of(call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return 'OK'


def expect(expected, call, *arguments):
    found = error_of(call, *arguments)
    assert found == expected, '%s instead of %s' % (found, expected)


def write_all(file, piece):
    at = 0
    while at < len(piece):
        at += os.write(file, piece[at:at + 30000])


def open_plan(name='backup', flags=0):
    return os.open(plan + '/' + name, os.O_WRONLY | flags)


def status(key, directory=plan):
    with open(directory + '/status') as file:
        return dict(line.rstrip('\n').split('=', 1) for line in file)[key]


def wait_for(key, value, directory=plan):
    end = time.monotonic() + 60
    while status(key, directory) != value:
        assert time.monotonic() < end, status(key, directory)
        time.sleep(0.01)


def write_file(name, text):
    with open(name, 'w') as file:
        file.write(text)


# no byte, no restore: a close is fine, with and without a passphrase
file = open_plan(flags=os.O_TRUNC)
os.fsync(file)
os.close(file)
assert status('state') == 'idle'
file = open_plan()
expect('ENOKEY', os.write, file, data[:1000])
os.close(file)
write_file(plan + '/passphrase', passphrase + '\n')

# no backup, and a wrong passphrase
file = open_plan()
expect('EINVAL', write_all, file, b'no backup at all\n' * 100000)
expect('EINVAL', os.close, file)
write_file(other + '/passphrase', 'wrong\n')
file = os.open(other + '/backup', os.O_WRONLY)
expect('EKEYREJECTED', write_all, file, data)
expect('EKEYREJECTED', os.close, file)
write_file(other + '/passphrase', passphrase + '\n')

# bytes in their order only; what is asked too early can be asked again
file = open_plan()
write_all(file, data[:20000])
expect('EIO', os.fsync, file)
expect('ESPIPE', os.pwrite, file, b'x', 5)
assert status('state') == 'running' and status('operation') == 'restore'

# one restore at a time, but a verification beside it
second = os.open(other + '/backup', os.O_WRONLY)
expect('EBUSY', os.write, second, data[:1000])
os.close(second)
second = os.open(other + '/verify', os.O_WRONLY)
write_all(second, data)
os.close(second)
assert status('state', other) == 'done' and status('operation', other) == 'verify', status('state', other)

# cut off
expect('EIO', os.close, file)
wait_for('state', 'failed')
assert 'cut off' in status('error')

# damaged: told by a write, or at the latest by the close
damaged = bytearray(data)
damaged[len(data) // 2] ^= 1
file = open_plan('verify')
found = error_of(write_all, file, bytes(damaged))
closed = error_of(os.close, file)
assert 'EBADMSG' in (found, closed), (found, closed)
assert status('state') == 'failed'

# cancelled
file = open_plan()
write_all(file, data[:len(data) // 2])
write_file(plan + '/control', 'cancel\n')
wait_for('state', 'cancelled')
expect('ECANCELED', write_all, file, data[len(data) // 2:])
expect('ECANCELED', os.close, file)
assert status('state') == 'cancelled'
END
expect_untouched "$before"
expect_error "$plan/error" ' restore: cancelled'

: "--- ended by SIGTERM while it is written"
(head -c 30000 "$TEST_TMP/backup" && sleep 100 >/dev/null) >"$plan/backup" 2>/dev/null &
writer=$!
status_becomes operation restore
status_becomes state running
kill -TERM "$QFS_PID"
until_true 60 _ended "$QFS_PID" || fail "the daemon does not end"
wait "$QFS_PID" || fail "the daemon ended with status $?"
QFS_PID=
kill $(ps -o pid= --ppid $writer) $writer 2>/dev/null || true
expect_untouched "$before"

: "--- a restore needs the room: a file system that is too small"
qfs_mount
plan_ready
small=$HOST/var/lib/qubes/appvms
mount -t tmpfs -o size=64k none "$small"
cleanup_fn eval "umount -l \"$small\" 2>/dev/null || true"
status=0
cat "$TEST_TMP/backup" >"$plan/backup" 2>"$TEST_TMP/stderr" || status=$?
[ $status != 0 ] || fail "restored without room"
grep -q 'No space left' "$TEST_TMP/stderr" || fail "$(cat "$TEST_TMP/stderr")"
expect_error "$plan/error" 'not enough room'
umount "$small"
expect_untouched "$before"

: "--- in two parts, and with zeros after it"
size=$(stat -c %s "$TEST_TMP/backup")
head -c $((size / 3)) "$TEST_TMP/backup" >"$TEST_TMP/part1"
tail -c +$((size / 3 + 1)) "$TEST_TMP/backup" >"$TEST_TMP/part2"
(
    cat "$TEST_TMP/part1" 2>/dev/null || true
    cat "$TEST_TMP/part2"
    head -c 10000 /dev/zero
) >"$plan/backup"
same 'state' done "$(status_field state)"
appears "$P/vms/work"
same 'what is staged' '' "$(staged)"

: "--- what is there is never touched: each conflict"
before=$(disk_state)
status=0
cat "$TEST_TMP/backup" >"$plan/backup" 2>"$TEST_TMP/stderr" || status=$?
[ $status != 0 ] || fail "restored over what is there"
grep -q 'File exists' "$TEST_TMP/stderr" || fail "$(cat "$TEST_TMP/stderr")"
expect_untouched "$before"
echo rename >"$plan/conflict"
restore_ok "$TEST_TMP/backup"
appears "$P/vms/work-1"
same 'its template' fedora-1 "$(cat "$P/vms/work-1/prefs/template")"
same 'its netvm' sys-net-1 "$(cat "$P/vms/work-1/prefs/netvm")"
same_image "$HOST/var/lib/qubes/appvms/work/private.img" "$HOST/var/lib/qubes/appvms/work-1/private.img"
grep -q '^# work: restored as work-1$' "$plan/contents" || fail "$(cat "$plan/contents")"
echo skip >"$plan/conflict"
printf '%s\n' work >"$plan/include"
before=$(disk_state)
restore_ok "$TEST_TMP/backup"
expect_untouched "$before"
grep -q '^# work: left out: ' "$plan/contents" || fail "$(cat "$plan/contents")"

: "--- a catalogue that a running qubesd has in its memory"
begin_qubesd
echo rename >"$plan/conflict"
before=$(disk_state)
status=0
cat "$TEST_TMP/backup" >"$plan/backup" 2>"$TEST_TMP/stderr" || status=$?
[ $status != 0 ] || fail "restored behind qubesd's back"
grep -q 'Read-only file system' "$TEST_TMP/stderr" || fail "$(cat "$TEST_TMP/stderr")"
expect_untouched "$before"
cat "$TEST_TMP/backup" >"$plan/verify"
end_qubesd

: "--- a start removes what a killed save has left, and nothing else"
qfs_unmount
cp "$CATALOGUE" "$CATALOGUE.backup"
touch "$CATALOGUE.qubesfs-a1B2c3"
qfs_mount
[ -e "$CATALOGUE.backup" ] || fail "the user's own copy is gone"
[ ! -e "$CATALOGUE.qubesfs-a1B2c3" ] || fail "what a killed save has left is still there"
