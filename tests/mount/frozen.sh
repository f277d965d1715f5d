#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 120
# libvirtd hangs (SIGSTOP) while writes to `control` wait: listings, other files and their events go on, the
# VM of a waiting writer is removed and told, a writer can be killed, and after 15 s it is answered.
. "$(dirname "$0")/../lib/libvirtd.sh"
libvirtd_isolate "$0" "$@"
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait virsh
make_host
catalogue add one HVm and add two HVm and add three HVm

mkdir "$TEST_TMP/libvirt"
cleanup_fn libvirtd_stop
libvirtd_start "$TEST_TMP/libvirt"
qfs_mount --connect qemu:///system
WITHIN=10 becomes "$P/vms/one/state" Halted

# one writer each waits for ever, as far as libvirt is concerned
cleanup_fn libvirtd_thaw
libvirtd_freeze
for vm in one two three; do
    "$LIB/sysop" write "$P/vms/$vm/control" kill >"$TEST_TMP/$vm" 2>&1 &
    declare "$vm=$!"
done
sleep 0.5
watch_start vms "$P/vms" "$P/vms/one" "$P/vms/work/prefs/label"

: "--- all else goes on"
timeout 2 ls -lR "$P/vms" >/dev/null
content_is "$P/vms/work/state" Halted
catalogue set work label red
becomes "$P/vms/work/prefs/label" red
watch_expect vms 'MODIFY vms/work/prefs/label'

: "--- the VM of a waiting writer goes; its writer is answered"
catalogue_remove one
vanishes "$P/vms/one"
watch_expect vms 'DELETE vms/one/control' 'DELETE,ISDIR vms/one'
until_true 2 _ended "$one" || fail "the writer of a removed VM waits on"
content_is "$TEST_TMP/one" EINPROGRESS
timeout 2 ls -l "$P/vms" >/dev/null

: "--- a writer can be killed"
kill -KILL "$two"
until_true 2 _ended "$two" || fail "a waiting writer cannot be killed"

: "--- the third is answered after 15 s"
until_true 17 _ended "$three" || fail "no answer after 15 s"
content_is "$TEST_TMP/three" EINPROGRESS
timeout 2 ls -lR "$P/vms" >/dev/null

: "--- it goes on: the commands end, and say how"
libvirtd_thaw
until_true 15 grep -q 'kill' "$P/vms/three/error" || fail "no outcome: $(cat "$P/vms/three/error")"
WITHIN=10 becomes "$P/vms/three/state" Halted
