#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 400
# A backup that goes to another process over a pipe and comes back over another, as ssh and
# `qvm-run --pass-io` do it; either side dies in the middle.
. "$(dirname "$0")/../lib/mount.sh"
. "$LIB/restore.sh"
"$LIB/sample-host-r4" "$HOST"
qfs_mount
plan_ready
plan=$P/backups/default

: "--- away and kept there"
cat "$plan/backup" | (cat >"$TEST_TMP/far")
qfs_unmount
empty_host r4
qfs_mount
plan_ready
before=$(disk_state)
size=$(stat -c %s "$TEST_TMP/far")

: "--- the far side dies: what came is taken back"
(head -c $((size / 2)) "$TEST_TMP/far") | cat >"$plan/backup" 2>"$TEST_TMP/stderr" && fail "half a backup is taken for a whole one"
grep -q 'Input/output error' "$TEST_TMP/stderr" || fail "$(cat "$TEST_TMP/stderr")"
status_becomes state failed
expect_untouched "$before"

: "--- the near side dies"
mkfifo "$TEST_TMP/pipe"
(cat "$TEST_TMP/far"; sleep 100) >"$TEST_TMP/pipe" &
far=$!
cat <"$TEST_TMP/pipe" >"$plan/backup" &
near=$!
status_becomes state running
kill -KILL $near
wait $near 2>/dev/null || true
status_is_over() {
    case $(status_field state) in failed | done) ;; *) return 1 ;; esac
}
until_true 60 status_is_over || fail "$(cat "$plan/status")"
kill $(ps -o pid= --ppid $far) $far 2>/dev/null || true
wait $far 2>/dev/null || true
if [ "$(status_field state)" = failed ]; then
    expect_untouched "$before"
    : "--- back again, whole"
    cat "$TEST_TMP/far" | cat >"$plan/backup"
fi
same 'state' done "$(status_field state)"
appears "$P/vms/work"
