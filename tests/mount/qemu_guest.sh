#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 600
# A real Linux guest, started by `echo start > control`: it prints on its console; what it does itself and
# what others do to it is told in the right order, each once; a template's root is only overlaid.
. "$(dirname "$0")/../lib/libvirtd.sh"
libvirtd_isolate "$0" "$@"
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait virsh
"$LIB/guest.sh" || exit $?
exclusively qemu-guest
make_host

kernel=$HOST/var/lib/qubes/vm-kernels/tiny
mkdir -p "$kernel"
cp "$LIB/../../build/guest/vmlinuz" "$LIB/../../build/guest/initramfs" "$kernel/"

# vm NAME KERNEL-OPTION...: a standalone VM with the tiny guest
vm() {
    local name=$1 directory=$HOST/var/lib/qubes/appvms/$1
    shift
    catalogue add "$name" AppVm and set "$name" memory 96 and set "$name" maxmem 96 \
        and set "$name" uses_default_netvm False and set "$name" netvm_qid none \
        and set "$name" template_qid none and set "$name" uses_default_kernel False \
        and set "$name" kernel tiny and set "$name" kernelopts "console=ttyS0 quiet $*"
    mkdir -p "$directory"
    truncate -s 4M "$directory/"{root,private}.img
}
vm guest
vm brief qfs.action=poweroff qfs.delay=1
vm again qfs.action=reboot qfs.delay=1
# a template-based one: its root is the template's, and stays as it is
catalogue set fedora-23 kernel tiny and set work kernel tiny and set work uses_default_kernel False \
    and set work kernelopts 'console=ttyS0 quiet' and set work memory 96 and set work maxmem 96 \
    and set work uses_default_netvm False and set work netvm_qid none

mkdir "$TEST_TMP/libvirt"
cleanup_fn libvirtd_stop
libvirtd_start "$TEST_TMP/libvirt"
qfs_mount --connect qemu:///system
virsh() {
    command virsh -q -c qemu:///system "$@" >>"$TEST_TMP/virsh.log" 2>&1 || {
        tail -n 5 "$TEST_TMP/virsh.log"
        fail "virsh $*"
    }
}
console=$HOST/var/log/qubes
says() {
    until_true 180 grep -q -- "$2" "$console/guest-$1.log" || fail "$1 does not say '$2'"
}
# told WATCH STATE...: the states that were told to a watcher, in order
states() {
    grep -o "vm $1 state .*" "$P/events" | cut -d' ' -f4- || true
}

: "--- it boots and prints; defined only now"
! command virsh -q -c qemu:///system list --all --name | grep -q guest || fail "defined before its start"
watch_start guest "$P/vms/guest/state"
echo start >"$P/vms/guest/control"
content_is "$P/vms/guest/state" Running
says guest GUEST-UP
says guest 'GUEST-DISKS: .*vda vdb'
[ "$(cat "$P/vms/guest/xid")" -gt 0 ] || fail "no xid"
command virsh -c qemu:///system dumpxml guest >"$TEST_TMP/live.xml"
same uuid "$(grep -o '<uuid>.*</uuid>' "$TEST_TMP/live.xml" | tr -d '</>uid')" \
    "$(tr -d 'uid' <"$P/vms/guest/uuid")"
diff "$TEST_TMP/live.xml" "$P/vms/guest/domain.xml" >/dev/null ||
    grep -q 'vda' "$P/vms/guest/domain.xml" || fail "domain.xml is not the live one"

: "--- others: each is told once, in order"
virsh suspend guest
becomes "$P/vms/guest/state" Paused
virsh resume guest
becomes "$P/vms/guest/state" Running
virsh shutdown guest
WITHIN=30 becomes "$P/vms/guest/state" Halted
says guest GUEST-POWEROFF
same "states" "Halted Running
Running Paused
Paused Running" "$(states guest | head -n 3)"
same "the last state" Halted "$(states guest | tail -n 1 | cut -d' ' -f2)"
# the stop may be seen half-way
same "states told" "$(states guest | wc -l)" "$(watch_count guest 'MODIFY vms/guest/state')"

: "--- shutdown wait through the mount; kill"
echo start >"$P/vms/guest/control"
until_true 180 sh -c "[ \$(grep -c GUEST-UP '$console/guest-guest.log') = 2 ]" || fail "no second boot"
sleep 1
echo 'shutdown wait 12' >"$P/vms/guest/control"
content_is "$P/vms/guest/state" Halted
echo start >"$P/vms/guest/control"
virsh destroy guest
becomes "$P/vms/guest/state" Halted
content_is "$P/vms/guest/xid" -1

: "--- a guest that goes off by itself"
echo start >"$P/vms/brief/control"
WITHIN=60 becomes "$P/vms/brief/state" Halted
says brief 'GUEST-ACTION poweroff'
same "its first state" "Halted Running" "$(states brief | head -n 1)"

: "--- a reboot is one story: the guest that comes up is the one that is shown"
echo start >"$P/vms/again/control"
says again 'GUEST-ACTION reboot'
until_true 180 sh -c "[ \$(grep -c GUEST-UP '$console/guest-again.log') = 2 ]" || fail "it does not come up again"
content_is "$P/vms/again/state" Running
same "xid" "$(command virsh -c qemu:///system domid again)" "$(cat "$P/vms/again/xid")"
echo kill >"$P/vms/again/control"
content_is "$P/vms/again/state" Halted

: "--- a template-based VM boots from an overlay; the template's root stays as it is"
root=$HOST/var/lib/qubes/vm-templates/fedora-23/root.img
before=$(sha256sum <"$root")
echo start >"$P/vms/work/control"
says work GUEST-UP
echo kill >"$P/vms/work/control"
same "the template's root" "$before" "$(sha256sum <"$root")"
same "files beside it" "" "$(find "$(dirname "$root")" -name '*TRANSIENT*')"
content_is "$P/vms/work/error" ''
