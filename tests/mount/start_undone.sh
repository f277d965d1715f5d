#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 400
# A start on a real QEMU: its chain of netvms first, scratch images made anew; one that fails, at whatever
# step, leaves nothing behind, says why, and the next one works.
. "$(dirname "$0")/../lib/libvirtd.sh"
libvirtd_isolate "$0" "$@"
. "$(dirname "$0")/../lib/mount.sh"
. "$LIB/xenstore.sh"
requires virsh partx
"$LIB/guest.sh" || exit $?
make_host
vms=$HOST/var/lib/qubes/appvms
kernels=$HOST/var/lib/qubes/vm-kernels
template=$HOST/var/lib/qubes/vm-templates/fedora-23
mkdir -p "$kernels/tiny" "$kernels/broken" "$TEST_TMP/templates"
cp "$LIB/../../build/guest/vmlinuz" "$LIB/../../build/guest/initramfs" "$kernels/tiny/"
echo 'no kernel' | tee "$kernels/broken/vmlinuz" >"$kernels/broken/initramfs"

# work -> sys-firewall -> sys-net, all of them with the template's root
for name in work sys-firewall; do
    catalogue set $name kernel tiny and set $name uses_default_kernel False and set $name memory 96 and set $name maxmem 96
done
catalogue add sys-net NetVm and set sys-net kernel tiny and set sys-net memory 96 and set sys-net maxmem 96 \
    and set sys-net uses_default_kernel False
catalogue set sys-firewall netvm_qid 5
mkdir "$HOST/var/lib/qubes/servicevms/sys-net"
truncate -s 4M "$HOST/var/lib/qubes/servicevms/sys-net/private.img"

mkdir "$TEST_TMP/libvirt"
cleanup_fn libvirtd_stop
libvirtd_start "$TEST_TMP/libvirt"
cleanup_fn xenstore_stop
xenstore_start
qfs_mount --connect qemu:///system --xenstore "$XENSTORE" --templates "$TEST_TMP/templates"
domains() {
    virsh -q -c qemu:///system list --all --name | sort | tr -s '\n' ' '
}
# files: all in the AppVMs' directories, as they are
files() {
    (cd "$HOST/var/lib/qubes" && find appvms -type f -printf '%p %i %s\n' 2>/dev/null | sort)
}
# refused VM ERRNO WORDS: its start fails so, and leaves nothing
refused() {
    local before
    before=$(files)
    expect_errno "$2" write "$P/vms/$1/control" start
    expect_error "$P/vms/$1/error" "$3"
    same "files" "$before" "$(files)"
    content_is "$P/vms/$1/state" Halted
}

: "--- each step fails once"
mv "$vms/work/private.img" "$TEST_TMP/"
refused work ENOENT 'the private image of "work" is missing: .*/private.img'
mv "$TEST_TMP/private.img" "$vms/work/"
catalogue set work kernel none-such
until_true 20 grep -qx none-such "$P/vms/work/prefs/kernel"
refused work ENOENT 'the kernel of "work" is missing: .*/vm-kernels/none-such/vmlinuz'
catalogue set work kernel tiny and set sys-net kernel none-such
until_true 20 grep -qx tiny "$P/vms/work/prefs/kernel"
refused work ENOENT 'the netvm of "work".*the netvm of "sys-firewall".*the kernel of "sys-net" is missing'
catalogue set sys-net kernel tiny
until_true 20 grep -qx tiny "$P/vms/sys-net/prefs/kernel"
same "domains" '' "$(domains)"
mkdir "$vms/work/volatile.img.old"
mv "$vms/work/volatile.img" "$TEST_TMP/volatile"
mkdir "$vms/work/volatile.img"
refused work EINVAL 'volatile.img is no regular file'
rmdir "$vms/work/volatile.img"
mv "$TEST_TMP/volatile" "$vms/work/volatile.img"
refused work EISDIR "can't rename .*volatile.img"
rmdir "$vms/work/volatile.img.old"
same "domains" 'sys-firewall sys-net ' "$(domains)" # its netvms were started for it, and stay
echo '<domain type="qemu"><name/></domain>' >"$TEST_TMP/templates/qemu.xml"
refused work EIO "can't be started"
rm "$TEST_TMP/templates/qemu.xml"
catalogue set work kernel broken
until_true 20 grep -qx broken "$P/vms/work/prefs/kernel"
refused work EIO "can't be started"
same "domains" 'sys-firewall sys-net ' "$(domains)"
catalogue set work kernel tiny
until_true 20 grep -qx tiny "$P/vms/work/prefs/kernel"
xenstore_kill
refused work ENOTCONN "XenStore"
same "domains" 'sys-firewall sys-net ' "$(domains)"
xenstore_restart

: "--- then it works, with new scratch images"
before=$(stat -c %i "$vms/work/volatile.img")
echo start >"$P/vms/work/control"
for name in sys-net sys-firewall work; do content_is "$P/vms/$name/state" Running; done
content_is "$P/vms/work/error" ''
[ "$before" != "$(stat -c %i "$vms/work/volatile.img")" ] || fail "the old volatile.img"
[ ! -e "$vms/work/volatile.img.old" ] || fail "the old volatile.img is left"
same "its size" $(((12 + 1024 + 512) * 1048576)) "$(stat -c %s "$vms/work/volatile.img")"
same "its partitions" "2048 2097152 82
2099200 24576 83" "$(partx -g -r -o START,SECTORS,TYPE "$vms/work/volatile.img" | sed 's/0x//')"
expect_errno EALREADY write "$P/vms/work/control" start
same "states told" "Halted Running" "$(sed -n 's/.* vm work state //p' "$P/events")"
same "XenStore" AppVM "$(xenstore-read "/local/domain/$(cat "$P/vms/work/xid")/qubes-vm-type")"
same "layers" 3 "$(find "$template" -name 'root.img.TRANSIENT-*' | wc -l)"
for name in work sys-firewall sys-net; do echo kill >"$P/vms/$name/control"; done
same "layers" '' "$(find "$template" -name '*TRANSIENT*')"

: "--- what a crash of the host leaves behind is no obstacle"
echo layer >"$template/root.img.TRANSIENT-work"
catalogue set work netvm_qid none and set work uses_default_netvm False
until_true 20 grep -qx none "$P/vms/work/prefs/netvm"
echo start >"$P/vms/work/control"
content_is "$P/vms/work/state" Running
content_is "$P/vms/sys-firewall/state" Halted
echo kill >"$P/vms/work/control"

: "--- a circle is refused at once"
catalogue set sys-firewall netvm_qid 2
until_true 20 grep -qx sys-firewall "$P/vms/sys-firewall/prefs/netvm"
expect_errno EINVAL write "$P/vms/sys-firewall/control" start
expect_error "$P/vms/sys-firewall/error" 'goes in a circle'
