#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2016  # backquotes are Markdown's
# scale.sh DIR: a thousand and ten thousand VMs, with libvirt's embedded test driver and with none.
. "$(dirname "$0")/common.sh"
trap unmount EXIT

# The test driver lives inside its caller: each call of virsh loads the file anew, which costs far more
# than the question.  So it is asked a few times only.
SAMPLE=5

columns=() # of one set of VMs each
row() {
    local name=$1
    shift
    printf '| %s |' "$name"
    printf ' %s |' "$@"
    echo
}

declare -A result
keep() {
    result[$column.$1]=$2
}

for count in 1000 10000; do
    say "$count VMs"
    directory=$W/$count
    "$HERE/many" "$directory" "$count"
    for connect in none "test://$directory/test.xml"; do
        column="$count, ${connect%%:*}"
        columns+=("$column")
        keep start "$(mount_ms --root "$directory/host" --connect "$connect")"
        find_daemon
        keep memory_start "$(memory)"
        keep ls "$(best ls -l "$P/vms")"
        keep states "$(best read_states)"
        keep ls_r "$(milliseconds ls -lR "$P/vms")"
        keep memory_ls_r "$(memory)"
        keep everything -
        keep memory_everything -
        # that is tens of seconds of the kernel's time: once for each number of VMs will do
        if [ "$count" -lt 10000 ] || [ "$connect" != none ]; then
            keep everything "$(milliseconds read_everything)"
            keep memory_everything "$(memory)"
        fi
        unmount
        if [ "$connect" = none ]; then
            keep list -
            keep domstates -
            keep against -
            continue
        fi
        keep list "$(best virsh -q -c "$connect" list --all)"
        sampled=0
        for place in $(seq 1 "$SAMPLE"); do
            took=$(milliseconds virsh -q -c "$connect" domstate "vm0000$place")
            sampled=$(awk -v a="$sampled" -v b="$took" 'BEGIN { print a + b }')
        done
        keep domstates "$(awk -v s="$sampled" -v n=$((count / SAMPLE)) 'BEGIN { printf "%.0f", s * n }')"
        keep against "$(ratio "${result[$column.states]}" "${result[$column.domstates]}")"
    done
    rm -r "$directory"
done

echo "### Many VMs, embedded hypervisor"
echo
row 'VMs, `--connect`' "${columns[@]}"
printf -- '|---|'
printf -- '---:|%.0s' "${columns[@]}"
echo
print() {
    local column values=()
    for column in "${columns[@]}"; do
        values+=("${result[$column.$1]}")
    done
    row "$2" "${values[@]}"
}
print start 'start until the mount answers, ms'
print ls '`ls -l vms`, ms'
print states 'reading all `state` files, ms'
print ls_r '`ls -lR vms`, ms'
print everything 'reading every file but `backup`, ms'
print memory_start 'memory after start, RSS / PSS MiB (to be below 150)'
print memory_ls_r 'memory after `ls -lR vms`'
print memory_everything 'memory after reading everything'
print list '`virsh list --all`, ms'
print domstates "one \`virsh domstate\` a VM, ms ($SAMPLE calls, extrapolated)"
print against 'all states / all `virsh domstate`'
