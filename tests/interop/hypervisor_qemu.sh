#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 240
# The hypervisor room with a real libvirtd and real guests: what virsh, the guests and a dying or hanging
# libvirtd do is told, in time and truly.
set -u
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/libvirtd.sh
libvirtd_isolate "$0" "$@"
tests/lib/guest.sh || exit $?
BUILD=${BUILD:-build}
guest=$PWD/build/guest
D=${TEST_TMP:-$(mktemp -d)}/hypervisor
mkdir -p "$D"
libraries='libvirt libxml-2.0 libcrypto'
case $BUILD in
*/asan) sanitizer=-fsanitize=address,undefined ;;
*/tsan) sanitizer=-fsanitize=thread ;;
*) sanitizer= ;;
esac
# shellcheck disable=SC2046,SC2086
${CC:-cc} -D_GNU_SOURCE -std=gnu11 -g -Iinclude $sanitizer -pthread -o "$D/room" \
    tests/interop/hypervisor_qemu.c "$BUILD/libbackend.a" $(pkg-config --libs $libraries) || exit 1

fail()
{
    echo "FAILED: $*" >&2
    tail -n 30 "$D/told" >&2
    libvirtd_thaw 2>/dev/null
    libvirtd_stop
    exit 1
}

# expect SECONDS PATTERN: a line that matches is told from the last mark on
mark=0
expect()
{
    local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
    until tail -n +$((mark + 1)) "$D/told" | grep -Eq -- "$2"; do
        [ "${EPOCHREALTIME/./}" -lt "$end" ] || fail "no '$2' within $1 s"
        sleep 0.02
    done
}
now() { mark=$(wc -l <"$D/told"); }
say() { now; echo "$*" >&3; }
vsh() { virsh -q -c qemu:///system "$@" >>"$D/virsh.log" 2>&1 || fail "virsh $*: $(tail -n 1 "$D/virsh.log")"; }
# boot NAME KERNELOPTS
boot() { say "start $1 $guest/vmlinuz $guest/initramfs console=ttyS0_quiet_$2 $D/$1.log $D/a.img"; }
up()
{
    for _ in $(seq 1800); do
        grep -aq GUEST-UP "$D/$1.log" 2>/dev/null && return
        sleep 0.1
    done
    fail "guest $1 does not come up"
}

libvirtd_start "$D" || fail "libvirtd"
truncate -s 8M "$D/a.img"
mkfifo "$D/orders"
"$D/room" qemu:///system <"$D/orders" >"$D/told" 2>"$D/log" &
room=$!
exec 3>"$D/orders"
expect 10 '^all$'

# our own start, from the built-in template
boot hq1 qfs.action=none
expect 20 '^start hq1: 0'
expect 1 '^hq1 Running 1$'
up hq1
grep -aq 'GUEST-DISKS:.*vda' "$D/hq1.log" || { sleep 1; grep -aq 'GUEST-DISKS:.*vda' "$D/hq1.log"; } ||
    fail "the guest has no disk"
boot hq1 ''
expect 5 '^start hq1: -114 hq1 runs already'

# somebody else
now; vsh suspend hq1; expect 1 '^hq1 Paused 1$'
say 'pause hq1'; expect 5 '^pause hq1: -114 '
now; vsh resume hq1; expect 1 '^hq1 Running 1$'
truncate -s 1M "$D/b.img"
now; vsh attach-disk hq1 "$D/b.img" vdb; expect 2 '^hq1 Running 1$'
now; vsh detach-disk hq1 vdb; expect 5 '^hq1 Running 1$'
# no guest agent: a pause
say 'suspend hq1'; expect 5 '^hq1 Paused 1$'; expect 5 '^suspend hq1: 0'
say 'resume hq1'; expect 5 '^hq1 Running 1$'; expect 5 '^resume hq1: 0'
say 'shutdown hq1'; expect 5 '^shutdown hq1: 0'; expect 20 '^hq1 Halted -1$'
say 'shutdown hq1'; expect 5 '^shutdown hq1: -114 hq1 does not run'

# ours is defined again and keeps its uuid; killed by somebody else
uuid=$(virsh -q -c qemu:///system domuuid hq1)
boot hq1 qfs.action=none; expect 20 '^start hq1: 0'
[ "$uuid" = "$(virsh -q -c qemu:///system domuuid hq1)" ] || fail "another uuid"
now; vsh destroy hq1; expect 1 '^hq1 Halted -1$'
now; vsh undefine hq1; expect 1 "^gone $uuid"

# a guest that goes off by itself, one that reboots, one that sleeps
boot hq2 qfs.action=poweroff; expect 20 '^start hq2: 0'; now; expect 20 '^hq2 Halted -1$'
boot hq2 qfs.action=reboot; expect 20 '^start hq2: 0'; now
for _ in $(seq 300); do grep -aq 'GUEST-ACTION reboot' "$D/hq2.log" && break; sleep 0.1; done
sleep 1
tail -n +$((mark + 1)) "$D/told" | grep -q Halted && fail "a reboot was told as a stop"
say 'kill hq2'; expect 5 '^kill hq2: 0'; expect 1 '^hq2 Halted -1$'
boot hq2 qfs.action=suspend; expect 20 '^hq2 Running '; expect 20 '^hq2 Suspended '
say 'unpause hq2'; expect 5 '^unpause hq2: -5 .*resume also wakes'
say 'resume hq2'; expect 5 '^hq2 Running '; expect 5 '^resume hq2: 0'

# a start that fails leaves nothing
say "start hq3 /nonexistent/vmlinuz $guest/initramfs x $D/hq3.log $D/a.img"
expect 10 "^start hq3: -5 hq3 can't be started: .*nonexistent"
virsh -q -c qemu:///system dominfo hq3 >/dev/null 2>&1 && fail "hq3 is still defined"

# libvirtd dies: told at once, and connected again soon; the guest lives on
now; libvirtd_kill9; expect 1 '^disconnected '
say 'kill hq2'; expect 5 '^kill hq2: -107 '
say 'refresh'; expect 5 '^refresh : -107 '
libvirtd_restart "$D" || fail "libvirtd does not come back"
expect 1 '^all hq2=Running/'
say 'pause hq2'; expect 5 '^pause hq2: 0'; expect 1 '^hq2 Paused '
say 'unpause hq2'; expect 5 '^unpause hq2: 0'
# a guest that dies while libvirtd is dead
now; pid=$(cat /run/libvirt/qemu/hq2.pid); libvirtd_kill9; kill -9 "$pid"; expect 1 '^disconnected '
libvirtd_restart "$D" || fail "libvirtd does not come back"
expect 5 '^(all hq2=Halted/-1|hq2 Halted -1)'

# libvirtd hangs: the callers hang and nobody else; it goes on where it was
boot hq2 qfs.action=none; expect 20 '^start hq2: 0'
libvirtd_freeze
say 'pause hq2'; sleep 1
tail -n +$((mark + 1)) "$D/told" | grep -q 'pause hq2' && fail "a hung libvirtd answered"
libvirtd_thaw; expect 5 '^pause hq2: 0'; expect 1 '^hq2 Paused '

# it hangs for good: the room says so in time
libvirtd_freeze
say 'kill hq2'; sleep 0.5
say quit; expect 5 '^stopped -110$'
wait "$room"
libvirtd_thaw
libvirtd_stop
grep -E 'ERROR: |WARNING: |runtime error' "$D/log" && fail "sanitizer"
echo "all told"
