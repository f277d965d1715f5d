#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# boot.sh DIR SECONDS: boots Xen and dom0 of build/xen in QEMU, by software emulation.  dom0 has DIR at
# /share, runs DIR/run.sh, writes DIR/out.log and DIR/rc, and powers off.
set -eu
share=$(realpath "$1") seconds=$2
cd "$(dirname "$0")/../../build/xen"
rm -f "$share/rc" "$share/out.log"
# Time is counted in instructions (icount), so that libxl's limits (40 s for a hotplug script) hold on a machine
# that has other work too: it just takes longer.  XEN_FAST=1 is for one that has not.
time=(-accel "tcg,thread=single" -icount shift=1 -smp 1)
[ -z "${XEN_FAST:-}" ] || time=(-accel "tcg,thread=multi" -smp 2)
# A model without SMAP (with it dom0 dies in its first exception frame under emulation) and of Intel's make (of AMD's,
# libvirtd finds no suitable one).
exec timeout --foreground "$seconds" qemu-system-x86_64 "${time[@]}" -cpu Nehalem -m 2048 \
    -nodefaults -no-user-config -nographic -serial mon:stdio -nic none -no-reboot \
    -drive file=root.img,format=raw,if=virtio,snapshot=on \
    -virtfs local,path="$share",mount_tag=share,security_model=none \
    -kernel xen.bin -append "console=com1 com1=115200,8n1 dom0_mem=1024M,max:1024M noreboot=false" \
    -initrd "vmlinux console=hvc0 quiet panic=1,dom0-initrd.gz"
