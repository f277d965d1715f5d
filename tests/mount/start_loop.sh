#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# time limit: 1500
# A VM is started and killed START_LOOPS times (5 unless told otherwise): no domain, file, descriptor or memory
# is left of it.
. "$(dirname "$0")/../lib/libvirtd.sh"
libvirtd_isolate "$0" "$@"
. "$(dirname "$0")/../lib/mount.sh"
requires virsh
"$LIB/guest.sh" || exit $?
loops=${START_LOOPS:-5}
make_host
kernel=$HOST/var/lib/qubes/vm-kernels/tiny
mkdir -p "$kernel"
cp "$LIB/../../build/guest/vmlinuz" "$LIB/../../build/guest/initramfs" "$kernel/"
catalogue set work kernel tiny and set work uses_default_kernel False and set work memory 64 and set work maxmem 64 \
    and set work uses_default_netvm False and set work netvm_qid none
mkdir "$TEST_TMP/libvirt"
cleanup_fn libvirtd_stop
libvirtd_start "$TEST_TMP/libvirt"
qfs_mount --connect qemu:///system

cycle() {
    echo start >"$P/vms/work/control"
    content_is "$P/vms/work/state" Running
    echo kill >"$P/vms/work/control"
    content_is "$P/vms/work/state" Halted
}
descriptors() {
    find "/proc/$QFS_PID/fd" -mindepth 1 -maxdepth 1 | wc -l
}
memory_kib() {
    awk '/^VmRSS/ { print $2 }' "/proc/$QFS_PID/status"
}
files() {
    (cd "$HOST/var/lib/qubes" && find appvms vm-templates -printf '%p\n' | sort)
}
_as_before() {
    [ "$(descriptors)" -le "$fds" ]
}
# connections and threads that stay are made by the first ones
cycle && cycle
fds=$(descriptors) memory=$(memory_kib) before=$(files)
for ((i = 0; i < loops; i++)); do cycle; done
# the kernel lets go of what was closed a moment later
until_true 30 _as_before || fail "$fds descriptors before, $(descriptors) after $loops starts"
same "files" "$before" "$(files)"
same "domains that run" '' "$(virsh -q -c qemu:///system list --name | tr -d '\n')"
same "domains" work "$(virsh -q -c qemu:///system list --all --name | tr -d '\n')"
echo "$loops starts: $((($(memory_kib) - memory))) KiB more"
# a start needs some hundred KiB at work: what it leaves would show as so much each time (the sanitizers keep
# what was freed, and tell leaks themselves)
case $BUILD in */asan | */tsan) ;; *) leaks=true ;; esac
[ -z "${leaks:-}" ] || [ $(($(memory_kib) - memory)) -lt $((8192 + 100 * loops)) ] || fail "$((($(memory_kib) - memory))) KiB more after $loops starts"
content_is "$P/vms/work/error" ''
