#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# umount and a new qubesfs at once: the old one, still ending, takes nothing away from the new one.
. "$(dirname "$0")/../lib/mount.sh"
make_host
qfs_mount
for try in 1 2 3 4 5 6 7 8; do
    old=$QFS_PID
    umount "$P"
    "$QUBESFS" -f --root "$HOST" --connect test:///default --xenstore none "$P" \
        >>"$TEST_TMP/daemon.log" 2>&1 &
    QFS_PID=$!
    until_true 20 _ended "$old" || fail "the old daemon does not end"
    until_true 20 _answers "$P" || fail "no mount after 20 s"
    sleep 0.1
    kill -0 $QFS_PID 2>/dev/null || fail "the new daemon has ended (round $try)"
    content_is "$P/vms/work/state" Halted
done
! grep 'failed to unmount' "$TEST_TMP/daemon.log" || fail "libfuse has unmounted what was not there"
