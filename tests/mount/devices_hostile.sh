#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A VM that says nonsense of its devices, and one that changes its keys as fast as it can: neither makes the
# daemon stumble, fills the log, or keeps another VM's devices from being told.
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/xenstore.sh"
requires inotifywait
WITHIN=60
flood=
end_flood() {
    [ -z "$flood" ] || kill -KILL $flood 2>/dev/null || true
}
cleanup_fn end_flood
cleanup_fn xenstore_stop
make_host
xenstore_start
xen_domain 3 personal
xen_domain 5 work
qfs_mount --xenstore "$XENSTORE"
watch_start devices "$P/devices"

# offers NAME DESC SIZE MODE [PATH]: by the VM "personal"; the values as guest.c takes them
offers() {
    guest_offers 3 "$@"
}
offers sda "Good" 1000 w
watch_expect devices "CREATE devices/personal:sda"

: "--- nonsense"
long=$(printf 'x%.0s' {1..256})
offers UPPER "A disk" 1000 w
offers under_score "A disk" 1000 w
offers thirteen-char "A disk" 1000 w
offers sdb "two\\x0alines" 1000 w
offers sdc "\\x1b[2Jterminal" 1000 w
offers sdd "\\xff\\xfe" 1000 w
offers sde "$long" 1000 w
offers sdf "A disk" -1 w
offers sdg "A disk" 0x10 w
offers sdh "A disk" 99999999999999999999 w
offers sdi "A disk" 1000 rw
offers sdj "A disk" 1000 "w\\x0a"
offers sdk "A disk" 1000 w /etc/passwd
offers sdl "A disk" 1000 w /dev/../etc
offers sdm "A\\x00disk" 1000 w
offers sdn "A disk" "" w
as_guest 3 write qubes-block-devices/sdo/desc "without the rest" >/dev/null
as_guest 3 write qubes-block-devices/sdp "a value where a directory should be" >/dev/null
offers sdz "Good too" 2000 r
watch_expect devices "CREATE devices/personal:sdz"
same listing "personal:sda personal:sdz" "$(ls "$P/devices" | tr '\n' ' ' | sed 's/ $//')"
same "lines in sda" 9 "$(wc -l <"$P/devices/personal:sda")"

: "--- said once each, however often it is looked at"
for ((i = 0; i < 30; i++)); do
    as_guest 3 write qubes-block-devices/sda/desc "Good $i" >/dev/null
done
until_true 60 grep -q 'description=Good 29' "$P/devices/personal:sda" || fail "$(cat "$P/devices/personal:sda")"
twice=$(grep -o 'device ".*left out.*' "$TEST_TMP/daemon.log" | sort | uniq -d)
same "said twice" "" "$twice"
expect_error "$TEST_TMP/daemon.log" 'device "sdf" of personal .*its size is malformed'
! grep -q '"sdo"' "$TEST_TMP/daemon.log" || fail "what is not written yet is complained of"

: "--- names without end cost a few lines only"
for ((i = 0; i < 60; i++)); do echo "write qubes-block-devices/BAD$i x"; done |
    "$TEST_TMP/xenstore/guest" "$XENSTORED_PID" 3 >/dev/null
as_guest 3 write qubes-block-devices/sda/desc "After" >/dev/null
until_true 60 grep -q 'description=After' "$P/devices/personal:sda" || fail "$(cat "$P/devices/personal:sda")"
lines=$(grep -c 'left out' "$TEST_TMP/daemon.log")
[ "$lines" -le 33 ] || fail "$lines lines of log"

: "--- a flood: another VM's devices are told while it goes on"
echo "hold 600 qubes-block-devices/sda/size qubes-block-devices/sda/desc qubes-block-devices/sdz/size" |
    "$TEST_TMP/xenstore/guest" "$XENSTORED_PID" 3 >/dev/null &
flood=$!
until_true 60 grep -q 'size=100' "$P/devices/personal:sda" || fail "no flood"
for name in sda sdb sdc; do
    guest_offers 5 $name "A disk" 1000 w
    watch_expect devices "CREATE devices/work:$name"
    kill -0 $flood || fail "the flood has ended"
done
guest_takes_back 5 sdb
watch_expect devices "DELETE devices/work:sdb"

: "--- it is looked at ten times in a second at most"
watch_start sda "$P/devices/personal:sda"
began=$(date +%s%N)
until_true 60 eval '[ "$(watch_count sda "MODIFY devices/personal:sda")" -ge 5 ]' || fail "it is not told any more"
# the watch's events first, then the clock: a slow machine makes the time longer only
told=$(watch_count sda "MODIFY devices/personal:sda")
seconds=$((($(date +%s%N) - began) / 1000000000 + 1))
[ "$told" -le $((10 * (seconds + 1))) ] || fail "$told events in $seconds s"
end_flood
! grep -q xenstore "$P/error" || fail "$(cat "$P/error")"
