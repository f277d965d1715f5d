#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A rename that was cut off by the daemon's end, anywhere, is done as a whole or not at all.
# RENAME_KILLS: how often the daemon is killed at some moment, 5 unless told otherwise.
. "$(dirname "$0")/../lib/mount.sh"
make_host
appvms=$HOST/var/lib/qubes/appvms
notes=$HOST/var/lib/qubesfs/renames
mkdir -p "$notes" "$HOST/var/lib/qubesfs/plans"
note() {
    printf '%s\n' qid=3 uuid=8b1e5f6a-3c6d-4d0e-9a52-0c6f0f6b2a03 "old=$1" "new=$2" \
        "from=$appvms/$1" "to=$appvms/$2" >"$notes/3"
}

# written down, but not decided: nothing of it is done
note work job
qfs_mount
until_true 60 _absent "$notes/3" || fail "the note stays"
[ -d "$appvms/work" ] || fail "the directory was moved"
content_is "$P/vms/work/prefs/name" work
echo work >"$P/backups/default/include"
qfs_unmount

# decided in the catalogue: the rest is done at the next start
note work job
catalogue_rename work job
qfs_mount
until_true 60 _absent "$notes/3" || fail "the note stays"
[ -d "$appvms/job" ] || fail "the directory was not moved"
becomes "$P/backups/default/include" job
content_is "$P/vms/job/prefs/name" job

# killed at some moment
old=job
for round in $(seq "${RENAME_KILLS:-5}"); do
    new=vm$round
    "$LIB/sysop" rename "$P/vms/$old" "$P/vms/$new" >"$TEST_TMP/answer" 2>&1 &
    rename=$!
    sleep "0.0$((RANDOM % 10))$((RANDOM % 10))"
    kill -KILL $QFS_PID
    wait $QFS_PID 2>/dev/null || true
    wait $rename || true
    umount -l "$P"
    if grep -q "name=\"$new\"" "$CATALOGUE"; then
        old=$new
    elif grep -q OK "$TEST_TMP/answer"; then
        fail "answered OK, but $new is not in the catalogue"
    fi
    qfs_mount
    until_true 60 _absent "$notes/3" || fail "the note stays"
    content_is "$P/vms/$old/prefs/name" "$old"
    same "directories" "$(printf '%s\n' "$old" personal | sort)" "$(ls "$appvms" | sort)"
    becomes "$P/backups/default/include" "$old"
done
