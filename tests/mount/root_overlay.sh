#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 600
# A real guest with a template's root: what it writes there is gone at the next boot, its private data stays.
# On a file system with reflinks, its volume can be read while it writes, and does not change by a byte.
. "$(dirname "$0")/../lib/libvirtd.sh"
libvirtd_isolate "$0" "$@"
. "$(dirname "$0")/../lib/mount.sh"
requires virsh python3 losetup
"$LIB/guest.sh" || exit $?
exclusively qemu-guest
reflinks=true
mount_image btrfs 300M "$HOST/var/lib/qubes/appvms" -q ||
    mount_image xfs 400M "$HOST/var/lib/qubes/appvms" -q -m reflink=1 || reflinks=false
make_host
kernel=$HOST/var/lib/qubes/vm-kernels/tiny
mkdir -p "$kernel"
cp "$LIB/../../build/guest/vmlinuz" "$LIB/../../build/guest/initramfs" "$kernel/"
options() {
    catalogue set work kernelopts "console=ttyS0 quiet $*"
    until_true 30 grep -q "$1" "$P/vms/work/prefs/kernelopts" || fail "the new kernelopts are not seen"
}
catalogue set fedora-23 kernel tiny and set work kernel tiny and set work uses_default_kernel False \
    and set work memory 96 and set work maxmem 96 and set work uses_default_netvm False and set work netvm_qid none
image=$HOST/var/lib/qubes/appvms/work/private.img
template=$HOST/var/lib/qubes/vm-templates/fedora-23/root.img

mkdir "$TEST_TMP/libvirt"
cleanup_fn libvirtd_stop
libvirtd_start "$TEST_TMP/libvirt"
qfs_mount --connect qemu:///system
log=$HOST/var/log/qubes/guest-work.log
says() {
    until_true 120 grep -q -- "$1" "$log" || fail "the guest does not say '$1': $(tail -n 5 "$log")"
}

before=$(sha256sum <"$template")
options qfs.mark=first
echo start >"$P/vms/work/control"
says 'GUEST-MARKED first'
echo kill >"$P/vms/work/control"
same "private" first "$(head -c 16 "$image" | tr -d ' ')"

options qfs.mark=second qfs.write=yes
echo start >"$P/vms/work/control"
says 'GUEST-MARKED second'
same "what the second boot found" "vda=block0ofroot vdb=first" \
    "$(sed -n 's/.*GUEST-FOUND \(vda=.* vdb=first\).*/\1/p' "$log" | tr -d '\r')"
same "the template's root" "$before" "$(sha256sum <"$template")"

: "--- its volume, while it writes"
says 'GUEST-WROTE'
if $reflinks; then
    # what it reads from one open file at the beginning and after the guest has written on
    python3 - "$P/vms/work/volumes/private.img" "$image" "$log" <<'END'
import hashlib, os, sys, time
volume, image, log = sys.argv[1:]

def digest(descriptor):
    total, offset = hashlib.sha256(), 0
    while data := os.pread(descriptor, 1 << 20, offset):
        total.update(data)
        offset += len(data)
    return total.hexdigest()

def written():
    with open(log, errors="replace") as lines:
        return sum("GUEST-WROTE" in line for line in lines)

kept, live = os.open(volume, os.O_RDONLY), os.open(image, os.O_RDONLY)
first, image_first, begin, end = digest(kept), digest(live), written(), time.time() + 60
while written() < begin + 5 or digest(live) == image_first:
    if time.time() > end:
        sys.exit("the guest writes nothing")
    time.sleep(0.1)
os.posix_fadvise(kept, 0, 0, os.POSIX_FADV_DONTNEED)
if digest(kept) != first:
    sys.exit("the open volume has changed")
if digest(os.open(volume, os.O_RDONLY)) == first:
    sys.exit("a new open is an old state")
END
else
    expect_errno EBUSY open "$P/vms/work/volumes/private.img" r
fi
echo kill >"$P/vms/work/control"
cmp "$image" "$P/vms/work/volumes/private.img"
content_is "$P/vms/work/error" ''
