#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Events reach every place from which the tree is seen: another mount of it, another namespace, below a
# mount that hides it; two daemons' mounts do not disturb each other; what is mounted on a VM goes with
# it.
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait unshare mount mountpoint
make_host
qfs_mount

# a bind mount, in a namespace of its own that is kept by a process
mkdir "$TEST_TMP/elsewhere"
: >"$TEST_TMP/watch.elsewhere"
: >"$TEST_TMP/watch.elsewhere.stderr"
unshare --mount --propagation private sh -c '
    mount --bind "$1" "$2" && umount "$1" &&
    exec inotifywait -m --format "%e %w%f" -o "$3" "$2/vms" "$2/vms/work/state" 2>"$3.stderr"' \
    sh "$P" "$TEST_TMP/elsewhere" "$TEST_TMP/watch.elsewhere" &
other=$!
cleanup_fn kill $other
until_true 5 grep -q 'Watches established' "$TEST_TMP/watch.elsewhere.stderr" || fail "no namespace"
sed_elsewhere() {
    sed "s|$TEST_TMP/elsewhere/||" "$TEST_TMP/watch.elsewhere"
}
told_elsewhere() {
    sed_elsewhere | grep -qxF -- "$1"
}

# a bind mount of a part
mkdir "$TEST_TMP/part"
mount --bind "$P/vms/work" "$TEST_TMP/part"
cleanup_fn umount -l "$TEST_TMP/part"
watch_start part "$TEST_TMP/part/state"

# a second daemon, of the same host
first=$P
first_pid=$QFS_PID
P=$TEST_TMP/second
qfs_mount
second_pid=$QFS_PID
cleanup_fn eval "kill $second_pid 2>/dev/null || true"
[ "$(cat "$first/vms/work/state" "$P/vms/work/state" | paste -sd ' ')" = 'Halted Halted' ]
watch_start second "$P/vms"
P=$first
QFS_PID=$first_pid
watch_start first "$P/vms" "$P/vms/work/state"

# one hides the mount
watch_start before "$P/vms/work/state" "$P/vms"
exec {control}>"$P/vms/work/control"
mount -t tmpfs none "$P"
echo start >&"$control"
watch_expect before 'MODIFY vms/work/state' 'CLOSE_WRITE,CLOSE vms/work/state'
watch_expect first 'MODIFY vms/work/state' 'CLOSE_WRITE,CLOSE vms/work/state'
watch_expect part "MODIFY $TEST_TMP/part/state" "CLOSE_WRITE,CLOSE $TEST_TMP/part/state"
until_true 2 told_elsewhere 'CLOSE_WRITE,CLOSE vms/work/state' || fail "elsewhere: $(sed_elsewhere)"
content_is "$TEST_TMP/part/state" Running
catalogue_add hidden
watch_expect before 'CREATE,ISDIR vms/hidden'
until_true 2 told_elsewhere 'CREATE,ISDIR vms/hidden' || fail "elsewhere: $(sed_elsewhere)"
umount "$P"
exec {control}>&-
[ -d "$P/vms/hidden" ]
until_true 2 grep -q "CREATE,ISDIR $TEST_TMP/second/vms/hidden" "$TEST_TMP/watch.second" ||
    fail "the second mount: $(cat "$TEST_TMP/watch.second")"

# something is mounted on a VM's directory, and on a file: the VM moves and goes all the same
watch_clear first
mount -t tmpfs none "$P/vms/hidden"
catalogue_rename hidden renamed
watch_expect first 'MOVED_FROM,ISDIR vms/hidden' 'MOVED_TO,ISDIR vms/renamed'
appears "$P/vms/renamed/state"
mount -t tmpfs none "$P/vms/renamed"
catalogue_remove renamed
watch_expect first 'DELETE,ISDIR vms/renamed'
[ ! -e "$P/vms/renamed" ] || fail "renamed is still there"
catalogue_add over
appears "$P/vms/over/state"
mount --bind /etc/hostname "$P/vms/over/state"
catalogue_remove over
watch_expect first 'DELETE,ISDIR vms/over'
[ ! -e "$P/vms/over" ] || fail "over is still there"

# the daemons end, although others still see their mounts
P=$TEST_TMP/second
QFS_PID=$second_pid
qfs_unmount
P=$first
QFS_PID=$first_pid
umount "$TEST_TMP/part" # the watch on it is no file in use
_cleanups=("${_cleanups[@]/umount -l $TEST_TMP\/part /true }")
qfs_unmount
