#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The stale mount of a killed daemon is replaced; a live one is left alone.
. "$(dirname "$0")/../lib/mount.sh"
make_host
qfs_mount

status=0
timeout 20 "$QUBESFS" --root "$HOST" --connect test:///default --xenstore none "$P" \
    2>"$TEST_TMP/err" || status=$?
same "status of a second daemon" 1 $status
same "lines of a second daemon" 1 "$(wc -l <"$TEST_TMP/err")"
content_is "$P/vms/work/state" Halted

kill -KILL "$QFS_PID"
wait "$QFS_PID" 2>/dev/null || true
QFS_PID=
expect_errno ENOTCONN stat "$P/version"
qfs_mount
content_is "$P/vms/work/state" Halted
same "mounts at $P" 1 "$(grep -cF " $P " /proc/self/mountinfo)"

# the same where the mount table has to write the name in its own way
qfs_unmount
P="$TEST_TMP/a b\\c"
mkdir "$P"
"$QUBESFS" --root "$HOST" --connect none --xenstore none "$P"
cleanup_fn umount "$P"
status=0
"$QUBESFS" --root "$HOST" --connect none --xenstore none "$P" 2>"$TEST_TMP/err" || status=$?
same "status of a second daemon" 1 $status
grep -q 'mounted already' "$TEST_TMP/err"
