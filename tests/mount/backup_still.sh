#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 200
# A running VM is backed up from a state that stays still: on btrfs and XFS a clone of the volume as it was
# when the backup began, though somebody writes to it all the while.  Elsewhere it is refused.
. "$(dirname "$0")/../lib/mount.sh"
requires scrypt pv losetup
[ "$(id -u)" = 0 ] || skip "needs root, to mount images"
export PASSPHRASE='correct horse'
make_host
vms=$HOST/var/lib/qubes/appvms
tried=0

writer() {
    local i
    for ((i = 0; ; i++)); do
        printf 'written %d' "$i" | dd of="$1" bs=4096 seek=$((i * 977 % 25600)) conv=notrunc status=none
    done
}

try_on() {
    local kind=$1 at=$TEST_TMP/$1 pid copier
    shift
    mount_image "$kind" 600M "$at" "$@" || return 0
    head -c 100M /dev/urandom >"$at/private.img"
    ln -sfn "$at/private.img" "$vms/work/private.img"
    # the link is one of the host's, so below its root
    mkdir -p "$HOST$at"
    mount --bind "$at" "$HOST$at"
    cleanup_fn umount "$HOST$at"
    cp "$at/private.img" "$TEST_TMP/before"
    echo start >"$P/vms/work/control"
    pv -q -L 40m "$plan/backup" >"$TEST_TMP/copy" &
    copier=$!
    until_true 60 grep -qx state=running "$plan/status" || fail "$kind: $(cat "$plan/error")"
    writer "$at/private.img" &
    pid=$!
    wait $copier || { kill $pid; fail "$kind: $(cat "$plan/error")"; }
    kill $pid
    wait $pid 2>/dev/null || true
    echo kill >"$P/vms/work/control"
    ! cmp -s "$at/private.img" "$TEST_TMP/before" || fail "$kind: nothing was written meanwhile"
    "$LIB/../../docs/emergency-restore-4.sh" "$TEST_TMP/copy" "$TEST_TMP/restored"
    cmp "$TEST_TMP/before" "$TEST_TMP/restored/vm3/private.img" || fail "$kind: not the state of the beginning"
    rm -r "$TEST_TMP/restored" "$TEST_TMP/copy"
    # what is kept is let go: the file system is not busy then
    same "$kind names" private.img "$(ls -A "$at" | grep -v lost+found)"
    echo cancel >"$plan/control"
    umount "$HOST$at" || fail "$kind: a snapshot keeps it busy"
    mount --bind "$at" "$HOST$at"
    rm "$vms/work/private.img"
    tried=$((tried + 1))
}

qfs_mount --state "$TEST_TMP/state"
plan=$P/backups/default
printf '%s\n' "$PASSPHRASE" >"$plan/passphrase"
echo work >"$plan/include"
echo 14 >"$plan/kdf"

: "--- where there are no clones, a running VM is refused"
if ! cp --reflink=always "$vms/work/private.img" "$TEST_TMP/clone" 2>/dev/null; then
    echo start >"$P/vms/work/control"
    expect_errno EBUSY pread "$plan/backup" 0
    expect_error "$plan/error" 'are running.*: work;'
    grep -qx state=failed "$plan/status" || fail "$(cat "$plan/status")"
    echo kill >"$P/vms/work/control"
    expect_errno OK pread "$plan/backup" 0
fi
rm "$vms/work/private.img"
try_on btrfs -q
try_on xfs -q -m reflink=1
[ $tried -gt 0 ] || skip "neither btrfs nor XFS can be made and mounted here"
