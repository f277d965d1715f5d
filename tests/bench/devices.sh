#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2016  # backquotes are Markdown's
# devices.sh DIR: how long from a change in XenStore (Debian's C xenstored, without Xen) to inotify, quiet and
# while another VM floods its keys; how long for loop devices to come and go.
. "$(dirname "$0")/common.sh"
export TEST_TMP=$W
. "$LIB/xenstore.sh"
LOOPS=${LOOPS:-200}
loops=()
end() {
    local loop
    unmount
    for loop in ${loops[@]+"${loops[@]}"}; do losetup -d "$loop" 2>/dev/null || true; done
    xenstore_stop
}
trap end EXIT

"$LIB/sample-host" "$W/host"
xenstore_start
cc -O2 -std=gnu11 -D_GNU_SOURCE -o "$W/xenstore_latency" "$HERE/xenstore_latency.c" -lxenstore
domains=(11 12 13 14 15 16 17 18 19 20)
for domain in "${domains[@]}" 30; do
    xen_domain "$domain" "vm$domain"
    guest_offers "$domain" sda "A disk" 1000 w
done
"$QUBESFS" --root "$W/host" --connect none --xenstore "$XENSTORE" "$P"
find_daemon

echo '### Devices'
echo
echo "From a domain's change of its keys in XenStore to inotify's event on the device's file, ms; another domain"
echo 'floods its keys as fast as xenstored takes it:'
echo
echo '| | median (to be below 2) | 95 % | 99 % | lost |'
echo '|---|---:|---:|---:|---:|'
row() {
    local name=$1 values
    shift
    read -ra values <<<"$("$@")"
    printf '| %s |' "$name"
    printf ' %s |' "${values[@]}"
    echo
}
say "XenStore's changes, quiet"
row quiet "$W/xenstore_latency" "$P" 400 "${domains[@]}"
say "XenStore's changes, while another domain floods"
echo "hold 600 qubes-block-devices/sda/size" |
    "$W/xenstore/guest" "$XENSTORED_PID" 30 >"$W/flood" &
flood=$!
row flood "$W/xenstore_latency" "$P" 400 "${domains[@]}"
kill -KILL $flood
wait $flood 2>/dev/null || true

say "$LOOPS loop devices"
# there LOOP... and gone LOOP...: wait until all are so
there() {
    local loop
    for loop; do while ! [ -e "$P/devices/dom0:${loop#/dev/}" ]; do sleep 0.002; done; done
}
gone() {
    local loop
    for loop; do while [ -e "$P/devices/dom0:${loop#/dev/}" ]; do sleep 0.002; done; done
}
for ((i = 0; i < LOOPS; i++)); do truncate -s 1M "$W/loop.$i"; done
began=$(now_us)
for ((i = 0; i < LOOPS; i++)); do
    loops+=("$(losetup -f --show "$W/loop.$i")")
done
made=$(now_us)
there "${loops[@]}"
all=$(now_us)
for loop in "${loops[@]}"; do losetup -d "$loop"; done
removed=$(now_us)
gone "${loops[@]}"
none=$(now_us)
loops=()
echo
echo "| $LOOPS loop devices | by \`losetup\`, ms | shown so long after the last, ms |"
echo '|---|---:|---:|'
echo "| made | $(((made - began) / 1000)) | $(((all - made) / 1000)) |"
echo "| removed | $(((removed - all) / 1000)) | $(((none - removed) / 1000)) |"
echo
