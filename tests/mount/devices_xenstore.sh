#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Devices that VMs offer by XenStore come, change and go; so do attachments that others make.
. "$(dirname "$0")/../lib/mount.sh"
. "$(dirname "$0")/../lib/xenstore.sh"
requires inotifywait
cleanup_fn xenstore_stop
make_host
xenstore_start
xen_domain 3 sys-firewall
xen_domain 5 work
xen_domain 7 personal
guest_offers 3 sda "Kingston DataTraveler" 31457280000 w
qfs_mount --xenstore "$XENSTORE"

# there from the first moment
same listing "sys-firewall:sda" "$(ls "$P/devices")"
content_is "$P/devices/sys-firewall:sda" "backend=sys-firewall
device=/dev/sda
devnum=8:0
description=Kingston DataTraveler
size=31457280000
mode=w
state=free
attached=
frontend="

watch_start devices "$P/devices"
watch_start sda "$P/devices/sys-firewall:sda"

# three VMs plug in
guest_offers 3 sdb "A disk" 1000 r
guest_offers 5 mmcblk0p1 "A card, partition" 2000 w /dev/mmcblk0p1
guest_offers 7 loop5p3 "An image" 3000 w
watch_expect devices "CREATE devices/sys-firewall:sdb"
watch_expect devices "CREATE devices/work:mmcblk0p1"
watch_expect devices "CREATE devices/personal:loop5p3"
grep -qx 'mode=r' "$P/devices/sys-firewall:sdb"
grep -qx 'devnum=179:1' "$P/devices/work:mmcblk0p1"
grep -qx 'devnum=' "$P/devices/personal:loop5p3"
becomes_line() {
    until_true "$WITHIN" grep -qx -- "$2" "$1" || fail "no '$2' in $(cat "$1")"
}

# a change, and a device that goes
as_guest 3 write qubes-block-devices/sda/desc "Another stick" >/dev/null
watch_expect sda "MODIFY devices/sys-firewall:sda" "CLOSE_WRITE,CLOSE devices/sys-firewall:sda"
grep -qx 'description=Another stick' "$P/devices/sys-firewall:sda"
guest_takes_back 3 sdb
watch_expect devices "DELETE devices/sys-firewall:sdb"

# somebody attaches behind our back, and detaches
ls "$P/vms/work/devices"
watch_start links "$P/vms/work/devices"
watch_clear sda
xen_vbd 5 51840 3 /dev/sda
watch_expect links "CREATE vms/work/devices/xvdi"
watch_expect sda "MODIFY devices/sys-firewall:sda"
same link "../../../devices/sys-firewall:sda" "$(readlink "$P/vms/work/devices/xvdi")"
same "through the link" "state=attached" "$(grep state "$P/vms/work/devices/xvdi")"
grep -qx 'attached=work' "$P/devices/sys-firewall:sda"
grep -qx 'frontend=xvdi' "$P/devices/sys-firewall:sda"
xen_vbd_end 5 51840 3
watch_expect links "DELETE vms/work/devices/xvdi"
becomes_line "$P/devices/sys-firewall:sda" 'state=free'

# pulled out while it is attached: stale, with what is known of it; then let go
xen_vbd 5 51841 3 /dev/sda
becomes_line "$P/devices/sys-firewall:sda" 'frontend=xvdi1'
guest_takes_back 3 sda
becomes_line "$P/devices/sys-firewall:sda" 'state=stale'
grep -qx 'description=Another stick' "$P/devices/sys-firewall:sda"
xen_vbd_end 5 51841 3
watch_expect devices "DELETE devices/sys-firewall:sda"

# the VM with the device has gone while another holds it
xen_vbd 5 51856 7 /dev/loop5p3
becomes_line "$P/devices/personal:loop5p3" 'attached=work'
xen_domain_end 7
becomes_line "$P/devices/personal:loop5p3" 'state=stale'
xenstore-rm /local/domain/5/device/vbd/51856
watch_expect devices "DELETE devices/personal:loop5p3"

# a front end that points to a back end which does not know it is a VM's lie
guest_offers 3 sdc "A disk" 1000 w
watch_expect devices "CREATE devices/sys-firewall:sdc"
xenstore-write /local/domain/5/device/vbd/51872/backend /local/domain/3/backend/vbd/5/51872 \
    /local/domain/5/device/vbd/51872/backend-id 3 /local/domain/5/device/vbd/51872/state 4
guest_offers 5 sdx "A mark" 1 r
watch_expect devices "CREATE devices/work:sdx"
grep -qx 'attached=' "$P/devices/sys-firewall:sdc"

# a reboot: the new domain comes before the old one goes
xen_domain 9 work
guest_offers 9 sdd "New life" 1 w
watch_expect devices "CREATE devices/work:sdd"
watch_expect devices "DELETE devices/work:sdx" 
xen_domain_end 5
guest_offers 9 sde "New life" 1 w
watch_expect devices "CREATE devices/work:sde"
[ -e "$P/devices/work:sdd" ]

# a domain number used again, by another VM
xen_domain_end 9
xen_domain 9 personal
guest_offers 9 sdf "Another's" 1 w
watch_expect devices "CREATE devices/personal:sdf"
watch_expect devices "DELETE devices/work:sdd"
_absent "$P/devices/work:sde"

# the journal tells it
expect_error "$P/events" 'device sys-firewall:sdb removed$'
expect_error "$P/events" 'device sys-firewall:sda attached work xvdi$'
expect_error "$P/events" 'device sys-firewall:sda detached work xvdi$'
expect_error "$P/events" 'device personal:loop5p3 stale$'

# without XenStore the last state stays; with it, only what has changed is told
watch_clear devices
xenstore_kill
until_true 60 grep -q xenstore "$P/error" || fail "its loss is not told"
[ -e "$P/devices/sys-firewall:sdc" ]
xenstore_restart
xen_domain 3 sys-firewall
guest_offers 3 sdc "A disk" 1000 w
xen_domain 9 personal
guest_offers 9 sdg "After" 1 w
until_true 60 test -e "$P/devices/personal:sdg" || fail "it does not come back"
until_true 60 _content_is "$P/error" "" || fail "$(cat "$P/error")"
WITHIN=60 watch_expect devices "CREATE devices/personal:sdg"
[ -e "$P/devices/sys-firewall:sdc" ]
expect_errno EPERM unlink "$P/devices/sys-firewall:sdc"
