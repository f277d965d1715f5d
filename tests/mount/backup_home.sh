#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# dom0's home: found although /etc/passwd writes it with a slash; a FUSE mount in it whose process
# hangs holds nobody up.
. "$(dirname "$0")/../lib/mount.sh"
make_host
home=$HOST/home/user
sed -i 's,/home/user:,/home/user/:,' "$HOST/etc/passwd"
mkdir "$home/remote" "$TEST_TMP/other"
"$LIB/sample-host" "$TEST_TMP/other"
"$QUBESFS" -f --root "$TEST_TMP/other" --connect none --xenstore none "$home/remote" \
    2>>"$TEST_TMP/daemon.log" &
other=$!
end_other() {
    kill -CONT $other
    kill $other
    wait $other || true
}
cleanup_fn end_other
until_true 60 test -e "$home/remote/version" || fail "the other mount does not answer"
qfs_mount
plan=$P/backups/default
echo secret >"$plan/passphrase"
echo dom0 >"$plan/include"
echo 3 >"$plan/format"
echo 0 >"$plan/encrypted"
echo none >"$plan/compression"
kill -STOP $other

timeout 20 cat "$plan/contents" >"$TEST_TMP/contents" || fail "contents: $(cat "$plan/error")"
grep -q 'dom0-home/user	' "$TEST_TMP/contents" || fail "no home: $(cat "$TEST_TMP/contents")"
timeout 20 cat "$plan/backup" >"$TEST_TMP/copy" || fail "backup: $(cat "$plan/error")"
mkdir "$TEST_TMP/out"
tar -xi -f "$TEST_TMP/copy" -C "$TEST_TMP/out"
tar -t -f "$TEST_TMP/out/dom0-home/user.000" >"$TEST_TMP/names"
grep -qx 'dom0-home/user/Documents/notes.txt' "$TEST_TMP/names" || fail "$(cat "$TEST_TMP/names")"
! grep -q remote "$TEST_TMP/names" || fail "the mount is in it: $(cat "$TEST_TMP/names")"
