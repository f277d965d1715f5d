#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# dom0's own block devices, by the kernel's events: loop devices and their partitions.
WITH_BLOCK_DEVICES=true
. "$(dirname "$0")/../lib/mount.sh"
requires inotifywait losetup python3
COUNT=${LOOP_COUNT:-12} # at once; by hand up to 200
make_host

# one partition, of 1 MiB at 1 MiB
python3 - "$TEST_TMP/disk.img" <<'X'
import struct, sys
image = bytearray(4 << 20)
image[446:462] = struct.pack('<B3sB3sII', 0, bytes(3), 0x83, bytes(3), 2048, 2048)
image[510:512] = b'\x55\xaa'
open(sys.argv[1], 'wb').write(image)
X
truncate -s 3M "$TEST_TMP/plain.img" "$TEST_TMP/used.img"
mkdir -p "$HOST/var/lib/qubes/appvms/work"
truncate -s 3M "$HOST/var/lib/qubes/appvms/work/private.img"

loop_for "$TEST_TMP/plain.img" -r
plain=$LOOP
qfs_mount
[ -e "$P/devices/dom0:$plain" ] || fail "$plain is not there from the first moment"
same "its file" "backend=dom0
device=/dev/$plain
devnum=$((16#$(stat -c %t "/dev/$plain"))):$((16#$(stat -c %T "/dev/$plain")))
description=$TEST_TMP/plain.img
size=$((3 << 20))
mode=r
state=free
attached=
frontend=" "$(cat "$P/devices/dom0:$plain")"

watch_start devices "$P/devices"

# a partitioned image: the device and its partition appear; removed, they go
loop_for "$TEST_TMP/disk.img" -P
disk=$LOOP
watch_expect devices "CREATE devices/dom0:$disk"
# some kernels read no partition tables
[ -e "/sys/class/block/${disk}p1" ] || addpart "/dev/$disk" 1 2048 2048
watch_expect devices "CREATE devices/dom0:${disk}p1"
grep -qx "size=$((1 << 20))" "$P/devices/dom0:${disk}p1"
number=$(cat "/sys/class/block/${disk}p1/dev")
grep -qx "devnum=$number" "$P/devices/dom0:${disk}p1" || fail "not $number: $(cat "$P/devices/dom0:${disk}p1")"
losetup -d "/dev/$disk"
watch_expect devices "DELETE devices/dom0:${disk}p1"
watch_expect devices "DELETE devices/dom0:$disk"

# images of VMs and what is in use are not offered
loop_for "$HOST/var/lib/qubes/appvms/work/private.img"
image=$LOOP
loop_for "$TEST_TMP/used.img"
used=$LOOP
watch_expect devices "CREATE devices/dom0:$used"
_absent "$P/devices/dom0:$image" || fail "a VM's image is offered"
if command -v mkfs.ext4 >/dev/null && mkfs.ext4 -q "/dev/$used" && mkdir "$TEST_TMP/m" &&
    mount -t ext4 "/dev/$used" "$TEST_TMP/m"; then
    vanishes "$P/devices/dom0:$used"
    umount "$TEST_TMP/m"
    appears "$P/devices/dom0:$used"
fi

# many at once
watch_clear devices
many=()
for ((i = 0; i < COUNT; i++)); do
    truncate -s 1M "$TEST_TMP/many.$i.img"
    loop_for "$TEST_TMP/many.$i.img"
    many+=("$LOOP")
done
for loop in "${many[@]}"; do
    WITHIN=60 watch_expect devices "CREATE devices/dom0:$loop"
done
for loop in "${many[@]}"; do losetup -d "/dev/$loop"; done
for loop in "${many[@]}"; do
    WITHIN=60 watch_expect devices "DELETE devices/dom0:$loop"
done
expect_errno EPERM unlink "$P/devices/dom0:$plain"
expect_errno EPERM create "$P/devices/dom0:new"
