#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 600
# A real guest is given loop devices and loses them again, by us and by virsh; its kernel sees it, and so
# does whoever watches.  A guest that stands still does not let go, and nobody says that it has.
WITH_BLOCK_DEVICES=true
. "$(dirname "$0")/../lib/libvirtd.sh"
libvirtd_isolate "$0" "$@"
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait virsh losetup
"$LIB/guest.sh" || exit $?
make_host
WITHIN=120

kernel=$HOST/var/lib/qubes/vm-kernels/tiny
mkdir -p "$kernel"
cp "$LIB/../../build/guest/vmlinuz" "$LIB/../../build/guest/initramfs" "$kernel/"
catalogue add guest AppVm and set guest memory 96 and set guest maxmem 96 \
    and set guest uses_default_netvm False and set guest netvm_qid none \
    and set guest template_qid none and set guest uses_default_kernel False \
    and set guest kernel tiny and set guest kernelopts "console=ttyS0 quiet"
mkdir -p "$HOST/var/lib/qubes/appvms/guest"
truncate -s 4M "$HOST/var/lib/qubes/appvms/guest/"{root,private}.img

truncate -s 3M "$TEST_TMP/one.img" "$TEST_TMP/two.img"
loop_for "$TEST_TMP/one.img"
one=/dev/$LOOP first=$P/devices/dom0:$LOOP
loop_for "$TEST_TMP/two.img" -r
second=$P/devices/dom0:$LOOP

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
# disks COUNT: the guest's kernel has so many besides its own
_disks() {
    [ "$(grep -a 'GUEST-DISKS:' "$HOST/var/log/qubes/guest-guest.log" | tail -n 1 | grep -o 'vd[a-z]' | wc -l)" = $((own + $1)) ]
}
disks() {
    until_true 120 _disks "$1" ||
        fail "not $own and $1 disks: $(grep -a GUEST-DISKS "$HOST/var/log/qubes/guest-guest.log")"
}
has() {
    until_true 120 grep -qx -- "$2" "$1" || fail "no '$2': $(cat "$1")"
}

echo start >"$P/vms/guest/control"
own=$(grep -o "<target dev='vd" "$P/vms/guest/domain.xml" | wc -l)
disks 0
ls "$P/vms/guest/devices"
watch_start links "$P/vms/guest/devices"
watch_start first "$first"

: "--- by us"
expect_errno OK write "$first" "attach guest"
same "its state" "state=attached attached=guest frontend=vdi" \
    "$(grep -E '^(state|attached|frontend)' "$first" | tr '\n' ' ' | sed 's/ $//')"
watch_expect links "CREATE vms/guest/devices/vdi"
watch_expect first "MODIFY devices/dom0:${one#/dev/}"
disks 1
expect_errno EALREADY write "$first" "attach guest"
expect_errno EINVAL write "$second" "attach guest"
expect_errno EBUSY write "$second" "attach guest vdi ro"
expect_errno EINVAL write "$second" "attach guest xvdi ro"
expect_errno OK write "$second" "attach guest vdk ro"
disks 2
has "$second" frontend=vdk
expect_errno OK write "$second" "detach"
has "$second" state=free
disks 1
expect_errno OK write "$first" "detach"
has "$first" state=free
watch_expect links "DELETE vms/guest/devices/vdi"
disks 0

: "--- by virsh"
virsh attach-disk guest "$one" vdj --sourcetype block --live
watch_expect links "CREATE vms/guest/devices/vdj"
has "$first" frontend=vdj
disks 1
virsh detach-disk guest vdj --live
watch_expect links "DELETE vms/guest/devices/vdj"
has "$first" state=free
disks 0

: "--- a guest that stands still"
expect_errno OK write "$first" "attach guest"
disks 1
virsh suspend guest
actual=$("$LIB/sysop" write "$first" detach)
case $actual in
EBUSY | ETIMEDOUT | EINPROGRESS) ;;
*) fail "detach from a guest that stands still: $actual" ;;
esac
grep -qx state=attached "$first" || fail "it is not true: $(cat "$first")"
until_true 120 grep -q "detach dom0:${one#/dev/}: .*let go" "$P/error" || fail "$(cat "$P/error")"
# ... lets go when it goes on
virsh resume guest
has "$first" state=free
disks 0
echo kill >"$P/vms/guest/control"
