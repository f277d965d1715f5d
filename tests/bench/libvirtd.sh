#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2016  # backquotes are Markdown's
# libvirtd.sh DIR: against a libvirtd of its own: many defined VMs, and how soon inotify tells.
. "$(dirname "$0")/../lib/libvirtd.sh"
libvirtd_isolate "$0" "$@"
. "$(dirname "$0")/common.sh"

URI=qemu:///system
SAMPLE=200
CHANGES=600

end() {
    local status=$?
    set +e
    unmount
    libvirtd_stop
    exit $status
}
trap end EXIT

"$LIB/guest.sh" >&2 || exit $?

# start_with COUNT: libvirtd, so many halted domains, the guest, and the catalogue of all of them
start_with() {
    "$HERE/many" "$W/$1" "$1" guest
    # as `virsh define` leaves them, but at once
    mkdir -p /etc/libvirt/qemu
    cp "$W/$1/qemu/"* /etc/libvirt/qemu/ 2>/dev/null || true
    libvirtd_start "$W/log"
    cat >"$W/guest.xml" <<X
<domain type='qemu'>
  <name>guest</name><memory unit='MiB'>96</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type>
    <kernel>$LIB/../../build/guest/vmlinuz</kernel><initrd>$LIB/../../build/guest/initramfs</initrd>
    <cmdline>console=ttyS0 quiet</cmdline></os>
  <features><acpi/></features>
  <devices><emulator>$(command -v qemu-system-x86_64)</emulator>
    <serial type='file'><source path='$W/log/console'/></serial></devices>
</domain>
X
    virsh -q -c $URI create "$W/guest.xml" >&2
    for _ in $(seq 100); do
        ! grep -q GUEST-UP "$W/log/console" || break
        sleep 0.2
    done
    grep -q GUEST-UP "$W/log/console"
}

stop_it() {
    unmount
    virsh -q -c $URI destroy guest >&2
    libvirtd_kill9
    kill -9 "$(cat /run/libvirt/virtlogd.pid)"
    rm -f /run/libvirt/*.pid /etc/libvirt/qemu/*.xml "$W/log/console"
}

latency() {
    "$BUILD/bench/latency" $URI guest "$P/vms/guest/state" $CHANGES |
        awk '{ printf "%.2f | %.2f | %.2f | %.2f", $1 / 1000, $2 / 1000, $3 / 1000, $4 / 1000 }'
}

domstates() {
    local place
    for place in $(seq -f 'vm%05.0f' 0 $(($1 - 1))); do
        virsh -q -c $URI domstate "$place"
    done
}

# the best that can be made of virsh: one process, one connection
domstates_at_once() {
    seq -f 'domstate vm%05.0f' 0 $(($1 - 1)) | virsh -q -c $URI
}

mkdir -p "$W/log"
say "a libvirtd with one guest"
start_with 0
mount_ms --root "$W/0/host" --connect $URI >"$W/start"
find_daemon
few=$(latency)
stop_it

row() {
    printf '| %s |' "$1"
    shift
    printf ' %s |' "$@"
    echo
}

declare -A result
latencies=
for count in 1000 10000; do
    say "a libvirtd with $count domains and one guest"
    start_with $count
    result[start$count]=$(mount_ms --root "$W/$count/host" --connect $URI)
    find_daemon
    result[memory_start$count]=$(memory)
    states=$(best read_states)
    result[states$count]=$states
    result[ls$count]=$(best ls -l "$P/vms")
    result[list$count]=$(best virsh -q -c $URI list --all)
    sampled=$(milliseconds domstates $SAMPLE)
    domstates=$(awk -v s="$sampled" -v n=$((count / SAMPLE)) 'BEGIN { printf "%.0f", s * n }')
    at_once=$(best domstates_at_once $count)
    result[domstates$count]=$domstates
    result[at_once$count]=$at_once
    result[against$count]=$(ratio "$states" "$domstates")
    result[against_once$count]=$(ratio "$states" "$at_once")
    latencies+="| $((count + 1)), $((count + 4)) | $(latency) |"$'\n'
    ls -lR "$P/vms" >/dev/null
    result[memory_ls_r$count]=$(memory)
    stop_it
    rm -r "${W:?}/$count"
done

print() {
    row "$2" "${result[${1}1000]}" "${result[${1}10000]}"
}

cat <<X

### Defined VMs in a real libvirtd (\`$URI\`)

| VMs | 1000 | 10000 |
|---|---:|---:|
X
print start 'start until the mount answers, ms'
print ls '`ls -l vms`, ms'
print states 'reading all `state` files, ms'
print list '`virsh list --all`, ms'
print domstates "one \`virsh domstate\` a VM, ms ($SAMPLE calls, extrapolated)"
print at_once 'one virsh told `domstate` for each VM, ms'
print against '**all states / all `virsh domstate`** (to be below 0.1)'
print against_once 'all states / one virsh told all'
print memory_start 'memory after start, RSS / PSS MiB (to be below 150)'
print memory_ls_r 'memory after `ls -lR vms`'
cat <<X

### From libvirt's event to inotify's

A running guest is paused and unpaused $CHANGES times by another client; one process receives libvirt's own
event and inotify's for \`vms/guest/state\`, which then reads the new state.  inotify minus libvirt, ms:

| domains, VMs | median (to be below 2) | 90 % | 99 % (below 10) | longest |
|---|---:|---:|---:|---:|
| 1, 4 | $few |
${latencies%$'\n'}
X
