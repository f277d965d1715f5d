#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# run.sh [xenstored | oxenstored]...: qubesfs in the dom0 of a real Xen (make test-xen).  Each run's log and those of
# libxl and of Xen's scripts are in build/xen/RUN/.  Limits are long: all is emulated, and slow.
set -eu
cd "$(dirname "$0")/../.."
limit=${XEN_SECONDS:-3600}
[ $# -gt 0 ] || set -- xenstored oxenstored
tests/xen/build.sh
root=$PWD
status=0
for store; do
    share=$root/build/xen/run.$store
    rm -rf --one-file-system "$share"
    mkdir -p "$share/templates"
    cp build/qubesfs tests/xen/dom0.sh "$share/"
    cp tests/xen/dom0.sh "$share/run.sh"
    cp tests/xen/xen.xml "$share/templates/"
    cc -O2 -D_GNU_SOURCE -o "$share/latency" tests/xen/latency.c -lxenstore
    echo "XENSTORED=$store" >"$share/env"

    tests/lib/sample-host "$share/host"
    kernel=$share/host/var/lib/qubes/vm-kernels/tiny
    mkdir -p "$kernel" "$share/host/var/lib/qubes/appvms/guest"
    cp build/xen/root/guest/vmlinuz "$kernel/vmlinuz"
    cp build/xen/root/guest/initrd.gz "$kernel/initramfs"
    tests/lib/catalogue "$share/host/var/lib/qubes/qubes.xml" add guest AppVm \
        and set guest memory 128 and set guest maxmem 128 and set guest vcpus 1 \
        and set guest uses_default_netvm False and set guest netvm_qid none \
        and set guest template_qid none and set guest uses_default_kernel False \
        and set guest kernel tiny and set guest uses_default_kernelopts False \
        and set guest kernelopts "console=hvc0 quiet"
    truncate -s 1M "$kernel/modules.img"
    truncate -s 4M "$share/host/var/lib/qubes/appvms/guest/"{root,private}.img
    # something to find again after a backup
    seq 100000 | dd of="$share/host/var/lib/qubes/appvms/guest/private.img" bs=1M conv=notrunc status=none
    # in one piece: small reads through the shared directory take long
    tar -C "$share" -cSf "$share/host.tar" host
    rm -rf "$share/host"

    tests/xen/boot.sh "$share" "$limit" >"$share/console.log" 2>&1 || true
    if [ "$(cat "$share/rc" 2>/dev/null)" = 0 ]; then
        echo "PASS xen ($store)"
    else
        status=1
        echo "FAIL xen ($store); the ends of $share/console.log and out.log:"
        tail -n 10 "$share/console.log"
        tail -n 30 "$share/out.log" 2>/dev/null || true
    fi
done
exit $status
