#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 300
# A real libvirtd with QEMU: what virsh does to a VM shows in its files and by inotify; a libvirtd that
# dies and comes back is survived; one that hangs costs the caller alone.
. "$(dirname "$0")/../lib/libvirtd.sh"
libvirtd_isolate "$0" "$@"
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait virsh
make_host
# an HVM has no kernel to load: it starts its firmware and finds nothing to boot
catalogue add box HVm and set box memory 64 and set box uses_default_netvm False and set box netvm_qid none
mkdir -p "$HOST/var/lib/qubes/appvms/box"
truncate -s 4M "$HOST/var/lib/qubes/appvms/box/"{root,private,volatile}.img

mkdir "$TEST_TMP/libvirt"
cleanup_fn libvirtd_stop
libvirtd_start "$TEST_TMP/libvirt"
qfs_mount --connect qemu:///system
vm=$P/vms/box
virsh() {
    command virsh -q -c qemu:///system "$@" >>"$TEST_TMP/virsh.log" 2>&1 || {
        tail -n 5 "$TEST_TMP/virsh.log"
        fail "virsh $*"
    }
}

becomes "$vm/state" Halted

# an image is missing: it says which, and nothing is left half-made
mv "$HOST/var/lib/qubes/appvms/box/private.img" "$TEST_TMP/"
expect_errno ENOENT write "$vm/control" start
expect_error "$vm/error" private.img
content_is "$vm/state" Halted
! command virsh -q -c qemu:///system list --all --name | grep -q box || fail "box was defined"
mv "$TEST_TMP/private.img" "$HOST/var/lib/qubes/appvms/box/"

expect_errno OK write "$vm/control" start
! grep -q private.img "$vm/error" || fail "start succeeded, its line stays: $(cat "$vm/error")"
content_is "$vm/state" Running
virsh dominfo box

watch_start state "$vm/state"
virsh suspend box
becomes "$vm/state" Paused
watch_exactly state 'MODIFY vms/box/state' 'CLOSE_WRITE,CLOSE vms/box/state'
watch_clear state
virsh resume box
becomes "$vm/state" Running
watch_clear state
virsh destroy box
becomes "$vm/state" Halted
watch_exactly state 'MODIFY vms/box/state' 'CLOSE_WRITE,CLOSE vms/box/state'
content_is "$vm/xid" -1
virsh start box
becomes "$vm/state" Running

# it dies: its guest lives on, we don't know how it is
libvirtd_kill9
becomes "$vm/state" NA
expect_errno ENOTCONN write "$vm/control" pause
expect_error "$vm/error" pause
libvirtd_restart "$TEST_TMP/libvirt"
WITHIN=15 becomes "$vm/state" Running
expect_errno OK write "$vm/control" pause
content_is "$vm/state" Paused

# it hangs: the caller can be interrupted, the rest goes on
libvirtd_freeze
cleanup_fn libvirtd_thaw
"$LIB/sysop" write "$vm/control" unpause >"$TEST_TMP/hanging" 2>&1 &
caller=$!
sleep 0.5
kill -0 $caller || fail "the hypervisor hangs, the command is done: $(cat "$TEST_TMP/hanging")"
content_is "$P/vms/work/state" Halted
same "VMs" 6 "$(ls "$P/vms" | wc -l)"
catalogue set work label red
becomes "$P/vms/work/prefs/label" red
kill -TERM $caller
until_true 3 _ended $caller || fail "a caller that hangs cannot be interrupted"
libvirtd_thaw
WITHIN=10 becomes "$vm/state" Running

expect_errno OK write "$vm/control" kill
content_is "$vm/state" Halted
