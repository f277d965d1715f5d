#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What is written to a device's file: refusals, each with its errno and its line in P/error; detaching in
# XenStore what the hypervisor does not know of.
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/xenstore.sh"
requires inotifywait
cleanup_fn xenstore_stop
make_host
xenstore_start
xen_domain 103 sys-firewall
guest_offers 103 sda "A stick" 1000 w
guest_offers 103 sda1 "Its partition" 500 w
guest_offers 103 sr0 "A disc" 700 r
qfs_mount --xenstore "$XENSTORE"
sda=$P/devices/sys-firewall:sda

# refused DEVICE ERRNO TEXT LINE: the command gives that errno, and a line in P/error says why
refused() {
    expect_errno "$2" write "$P/devices/sys-firewall:$1" "$3"
    expect_error "$P/error" "$4"
}

refused sda EINVAL "attach" 'no command'
refused sda EINVAL "attach work vdb ro more" 'no command'
refused sda EINVAL "eject" '"eject" is no command'
refused sda EINVAL "\n" 'no command'
refused sda ENOENT "attach nobody" 'no VM "nobody"'
refused sda EINVAL "attach dom0" 'dom0 is given no devices'
refused sda EINVAL "attach sys-firewall" "\"sys-firewall\"'s own"
refused sda ENODEV "attach work" 'does not run'
refused sda EALREADY "detach" 'no VM has it'
refused sr0 ENODEV "attach work" 'does not run'
expect_errno EPERM unlink "$sda"

echo start >"$P/vms/work/control"
xid=$(cat "$P/vms/work/xid")
xen_domain "$xid" work
refused sr0 EINVAL "attach work" 'read-only: attach work ro'
refused sda EINVAL "attach work xvdi" 'no front end here'
refused sda EINVAL "attach work ../../x" 'no front end here'
# libvirt's test driver can't, and says so in its own words
refused sda EIO "attach work" 'work can.t be given the disk'
content_is "$P/vms/work/error" ''

# attached behind our back
xen_vbd "$xid" 2048 103 /dev/sda
until_true "$WITHIN" grep -q state=attached "$sda" || fail "$(cat "$sda")"
refused sda EALREADY "attach work" 'has it already, as sda'
refused sda1 EBUSY "attach work" 'overlaps'
refused sr0 EBUSY "attach work sda ro" 'another disk as sda'
echo start >"$P/vms/personal/control"
refused sda EBUSY "attach personal" '"work" has it, as sda'

# the back end lets go: the test plays it
(
    until_true 60 sh -c "[ \"\$(xenstore-read /local/domain/103/backend/vbd/$xid/2048/state)\" = 5 ]"
    xenstore-write "/local/domain/103/backend/vbd/$xid/2048/state" 6
) &
xenstore-watch -n 2 "/local/domain/$xid/qubes-block-devices" >"$TEST_TMP/told" &
watcher=$!
until_true 60 test -s "$TEST_TMP/told" || fail "no watch"
expect_errno OK write "$sda" "detach"
grep -qx 'state=free' "$sda" || fail "$(cat "$sda")"
until_true 60 _ended $watcher || fail "others are not told"
! xenstore-list "/local/domain/$xid/device/vbd" | grep -q . || fail "the front end is still there"
# that one succeeded: its line is gone, others' lines stay
! grep -q 'detach sys-firewall:sda:' "$P/error" || fail "$(cat "$P/error")"

# one that does not let go is detached by force
xen_vbd "$xid" 2048 103 /dev/sda
until_true "$WITHIN" grep -q state=attached "$sda" || fail "$(cat "$sda")"
expect_errno OK write "$sda" "detach force"
grep -qx 'state=free' "$sda" || fail "$(cat "$sda")"

# a stale one, whose VM has gone
xen_vbd "$xid" 2048 103 /dev/sda
until_true "$WITHIN" grep -q state=attached "$sda" || fail "$(cat "$sda")"
xen_domain_end 103
until_true "$WITHIN" grep -q state=stale "$sda" || fail "$(cat "$sda")"
refused sda EBUSY "attach personal" 'it has gone, but "work" still holds it'
expect_errno OK write "$sda" "detach"
vanishes "$sda"
